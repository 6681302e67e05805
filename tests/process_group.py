"""A group of real processes (gloo) on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def run_group(work: Callable[[int, Path], None], folder: Path, processes: int = 2) -> None:
    """Run `work(rank, folder)` on one thread in each process of a group; it may leave the group earlier."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOO_SOCKET_IFNAME", "lo")
        mp.spawn(_join, args=(work, folder, processes), nprocs=processes)


def _join(rank: int, work: Callable[[int, Path], None], folder: Path, processes: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=processes
    )
    work(rank, folder)
    if dist.is_initialized():
        dist.destroy_process_group()
