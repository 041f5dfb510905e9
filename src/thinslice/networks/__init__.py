"""Networks, the task that they learn, and what they run on."""

from __future__ import annotations

import os

# Threads that have nothing to do spin for some milliseconds by default and take the processors from other programs:
# two runs of two threads side by side on two cores took 2.6 times as long, and alone no less (docs/scaling.md).
# PyTorch reads it when it is first imported; who has set it keeps it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
