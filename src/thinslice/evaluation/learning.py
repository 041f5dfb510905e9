"""Names of the methods that learn, and what each of them may spend. No library is loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thinslice.fitting.effort import Effort
    from thinslice.networks.model import Model

PARTS = ("axial", "coronal", "sagittal", "mean3")  # views of the first of `FITTED` that is asked for
PAPER = ("paper-1", "paper")
FITTED = ("thinslice-fit", "thinslice-scan", "thinslice")
LEARNED = (*PARTS, *PAPER, *FITTED)


@dataclass(frozen=True)
class Learning:
    """What a method that learns may spend, and what it starts from.

    Attributes:
        effort: of each fit; its seed is that of the first.
        model: weights in place of the shipped ones.
        device: "auto", "cpu", "cuda" or "mps".
    """

    effort: Effort
    model: Model | None = None
    device: str = "auto"

    def with_seed(self, seed: int) -> Learning:
        """The same with other weights and draws."""
        return replace(self, effort=replace(self.effort, seed=seed))
