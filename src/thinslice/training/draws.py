"""Draws of pairs, one after another, by this process or by workers that stay ahead of it.

What is drawn depends on the seed, the step and the group alone, not on who draws it: a run with workers learns from the
same pairs as one without.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from thinslice.errors import UsageError
from thinslice.fitting.config import FitConfig
from thinslice.fitting.inplane_pairs import Patches
from thinslice.training.pairs import axial_pairs, inplane_pairs
from thinslice.training.scans import ScanPool, TrainingScan
from thinslice.training.shapes import shape_pairs

_AHEAD = 4  # draws that a worker keeps ready
_BESIDE_CUDA = 4  # workers


class Draw(NamedTuple):
    """Which draw: of what network, in which step, and which of that step's groups."""

    network: str
    step: int
    group: int


class Draws(Dataset[Patches]):
    """The draws of a run, each of them by its name.

    Args:
        pool: scans.
        config: patch sizes.
        seed: of the run.
        shapes: share of the draws of the coronal and sagittal network that are bodies made in code.
        enough_body: as in `ScanPool.draw`.
    """

    def __init__(
        self, pool: ScanPool, config: FitConfig, *, seed: int, shapes: float = 0.0, enough_body: float = 0.0
    ) -> None:
        self.pool, self._config, self._seed, self._shapes = pool, config, seed, shapes
        self._enough_body = enough_body

    def __getitem__(self, draw: Draw) -> Patches:
        """The pairs of a draw, on the CPU."""
        random = np.random.default_rng([self._seed, draw.step, draw.group, draw.network == "axial"])
        if draw.network == "inplane" and random.random() < self._shapes:
            return shape_pairs(random, self._config)
        while True:
            scan = self.pool.draw(random, enough_body=self._enough_body)
            pairs = pairs_of(draw.network, scan, random, self._config)
            if pairs is not None:
                return pairs


def pairs_of(network: str, scan: TrainingScan, random: np.random.Generator, config: FitConfig) -> Patches | None:
    """Pairs of a scan for a network, "inplane" or "axial"; None where the scan has none for it."""
    return inplane_pairs(scan, random, config) if network == "inplane" else axial_pairs(scan, random)


def usual_workers(device: torch.device) -> int:
    """Processes that keep a device busy: none beside networks on the CPU, or where processes cannot be forked."""
    return _BESIDE_CUDA if device.type == "cuda" and _can_fork() else 0


def _can_fork() -> bool:
    return "fork" in multiprocessing.get_all_start_methods()


def drawn(draws: Draws, wanted: Iterable[Draw], *, workers: int, pin: bool) -> Iterator[Patches]:
    """The pairs of `wanted`, in that order.

    Args:
        draws: of the run.
        wanted: which; may be without end.
        workers: processes that draw; none where 0. They are forked, and share the memory of scans that are held.
        pin: whether to lay the pairs into memory that a graphics card copies from directly.

    Raises:
        UsageError: USE-WORKERS where processes cannot be forked here.
    """
    if not workers:
        return (draws[draw] for draw in wanted)
    if not _can_fork():
        raise UsageError("USE-WORKERS", f"{workers} workers were asked for; processes cannot be forked here")
    draws.pool.share_among(workers)
    return iter(
        DataLoader(
            draws,
            batch_size=None,
            sampler=wanted,
            num_workers=workers,
            collate_fn=_as_it_is,
            prefetch_factor=_AHEAD,
            pin_memory=pin,
            multiprocessing_context="fork",
        )
    )


def _as_it_is(pairs: Any) -> Any:
    return pairs
