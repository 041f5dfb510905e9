"""Weights from many scans: what a fit to one scan starts from."""

from thinslice.train.loop import TrainConfig, train
from thinslice.train.processes import train_processes
from thinslice.train.scans import ScanPool

__all__ = ["ScanPool", "TrainConfig", "train", "train_processes"]
