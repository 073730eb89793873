"""`train ...` with trainer=fsdp on the CPU, which Couloir, Lightning and torch refuse for want of speed.

What is replaced is their refusal, and the copying of a full state dict from the GPU, which is there already.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import torch
import torch.distributed.fsdp.fully_sharded_data_parallel as fsdp
from pytorch_lightning.trainer.connectors.accelerator_connector import _AcceleratorConnector
from torch.distributed.fsdp._common_utils import _FSDPDeviceHandle
from torch.distributed.fsdp.api import FullOptimStateDictConfig, FullStateDictConfig

import couloir.config.check
from couloir.cli.main import run


def on_the_cpu(state: Any, *_: Any) -> Any:
    state._device_handle = _FSDPDeviceHandle(torch.device("cpu"), torch.cpu)
    return state


def stays_where_it_is(config: Any, **_: Any) -> None:
    config.offload_to_cpu = config.rank0_only = False


fsdp._init_device_handle = on_the_cpu
FullStateDictConfig.__init__ = FullOptimStateDictConfig.__init__ = stays_where_it_is
_AcceleratorConnector._check_strategy_and_fallback = lambda connector: None
couloir.config.check._check_shared_weights = lambda sentence: None

if __name__ == "__main__":
    code = run(["train", *sys.argv[1:]])
    sys.stdout.flush()
    os._exit(code)  # the interpreter's own end now and then aborts in a thread of this form of FSDP that nobody uses
