"""One process of several under `torchrun`, or the only one."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import distributed

from thinslice.networks.model import Model
from thinslice.networks.threads import use_threads
from thinslice.training.loop import CPU, train
from thinslice.training.scans import ScanPool


def train_processes(
    pool: ScanPool, *, threads: int | None = None, device: torch.device = CPU, **settings: Any
) -> Model | None:
    """`train`, shared among the processes that torchrun started; None in all but the first of them.

    Args:
        pool: the scans.
        threads: of the CPU, for each process.
        device: its kind; of several graphics cards each process of a machine takes its own.
        **settings: of `train`.
    """
    if threads is not None:
        use_threads(threads)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return train(pool, device=device, **settings)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        model = train(pool, device=device, **settings)
        return model if distributed.get_rank() == 0 else None
    finally:
        distributed.destroy_process_group()
