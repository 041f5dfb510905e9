"""Weights from many scans: what a fit to one scan starts from."""

from thinslice.training.draws import usual_workers
from thinslice.training.loop import TrainConfig, train
from thinslice.training.processes import train_processes
from thinslice.training.scans import ScanPool

__all__ = ["ScanPool", "TrainConfig", "train", "train_processes", "usual_workers"]
