"""How much work a fit may be, and what makes it repeatable. No library is loaded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """Seconds or steps, whichever is given; a seed; and whether slices are set aside for the self-check.

    Attributes:
        seconds: wall time of the fit, self-check included.
        steps: in place of `seconds`; a fit of so many steps is repeatable on one machine.
        seed: of weights and draws.
        check: whether slices are set aside for the self-check; without, every slice is learned from.
    """

    seconds: float | None = 180.0
    steps: int | None = None
    seed: int = 0
    check: bool = True
