"""What long work tells how far it is."""

from collections.abc import Callable

OnProgress = Callable[[str, float, float], None]  # (stage, done, total)
