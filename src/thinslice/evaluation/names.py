"""Names of the rows that learn, kept apart from them because they load torch."""

from __future__ import annotations

PARTS = ("axial", "coronal", "sagittal", "mean3")  # views of the first of `OURS` that is asked for
PAPER = ("paper-1", "paper")
OURS = ("thinslice-fit", "thinslice-scan", "thinslice")
LEARNED = (*PARTS, *PAPER, *OURS)
