"""Which Couloir this is, for the floors below the Python interface, which the package's `__init__` leads to."""

__version__ = "0.1.0"
