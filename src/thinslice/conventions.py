"""Conventions that the whole package shares: views, ranges of HU, tissues, progress, seeds. No library is loaded."""

from collections.abc import Callable

VIEWS = ("axial", "coronal", "sagittal")
PIXEL_WISE = ("coronal", "sagittal")
"""The views whose images stand on the slices."""

HU_RANGE = (-1024.0, 3071.0)
"""What networks are given and what figures are computed over. Results keep values beyond it."""

TISSUES = {"lung": (-1000.0, -500.0), "soft": (-50.0, 150.0), "bone": (250.0, float("inf"))}
"""Ranges of HU by which readers of CT distinguish tissues."""

BODY_HU = -500.0
"""Denser is the body: not the air about it, nor lung."""

MOST_SEED = (1 << 63) - 1
"""The largest seed: numpy takes more, torch does not."""

OnProgress = Callable[[str, float, float], None]
"""A callback for progress: (stage, done, total)."""
