"""Sweeps: which trials there are, the processes that they run in, and what became of them. Nothing here but `trial`
imports torch.
"""
