"""Names of the methods that learn, and what each of them may spend. No library is loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thinslice.baselines.paper import PaperNetworks
    from thinslice.fitting.effort import Effort
    from thinslice.networks.model import Model

PARTS = ("axial", "coronal", "sagittal", "mean3")
"""Views of the first of `FITTED` that is asked for, or of `PAPER_TRAINED` where that is."""
PAPER = ("paper-1", "paper")
PAPER_TRAINED = "paper-trained"
FITTED = ("thinslice-fit", "thinslice-scan", "thinslice")
LEARNED = (*PARTS, *PAPER, PAPER_TRAINED, *FITTED)


@dataclass(frozen=True)
class Learning:
    """What a method that learns may spend, and what it starts from.

    Attributes:
        effort: of each fit; its seed is that of the first.
        model: weights in place of the shipped ones.
        paper: networks of the paper's recipe that were trained on many scans.
        device: "auto", "cpu", "cuda" or "mps".
    """

    effort: Effort
    model: Model | None = None
    paper: PaperNetworks | None = None
    device: str = "auto"

    def with_seed(self, seed: int) -> Learning:
        """The same with other weights and draws."""
        return replace(self, effort=replace(self.effort, seed=seed))
