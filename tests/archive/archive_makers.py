"""What tests of archives are made of, and what workers are asked to do in them."""

import os
import signal
from pathlib import Path

import dicom_phantom
import numpy as np

import thinslice
from thinslice.archive.attempts import Attempts
from thinslice.archive.outcome import Outcome
from thinslice.archive.plan import Task
from thinslice.archive.settings import Settings
from thinslice.archive.task import enhance_scan

QUICK = {"fit": "none", "check": False, "spacing": 2.5, "threads": 1}


def volume(seed: int = 0, *, slices: int = 8) -> thinslice.Volume:
    """A scan that takes a moment: water with noise and a lung, 24 x 24 pixels."""
    noise = np.random.default_rng(seed).normal(0, 10, (slices, 24, 24))
    hu = noise + np.where(np.indices(noise.shape)[2] < 8, -850.0, 40.0)
    return thinslice.Volume(np.rint(hu).astype(np.float32), np.diag([2.0, 2.0, 5.0, 1.0]))


def archive(top: Path) -> Path:
    """Files, a series, and a file that is no scan."""
    for name, seed in (("a/one.nii.gz", 1), ("b/two.nrrd", 2)):
        (top / name).parent.mkdir(parents=True)
        thinslice.write(volume(seed), top / name)
    dicom_phantom.save(dicom_phantom.series(slices=8), top / "c" / "series")
    (top / "b" / "bad.nii.gz").write_bytes(b"no NIfTI" * 100)
    (top / "b" / "notes.txt").write_text("nothing")
    return top


def many(top: Path, count: int, *, slices: int = 8) -> Path:
    """So many files, scan_000.nii.gz and so on."""
    top.mkdir(parents=True)
    for number in range(count):
        thinslice.write(volume(number, slices=slices), top / f"scan_{number:03d}.nii.gz")
    return top


def kills_its_worker(task: Task, settings: Settings, digest: str, attempts: Attempts) -> Outcome:
    """What scans called "killer" do whenever they are begun, "once" the first time; others are enhanced."""
    known = attempts.begun(task.key)
    if ("killer" in task.scan and known < 2) or ("once" in task.scan and known < 1):
        attempts.begin(task.key)
        os.kill(os.getpid(), signal.SIGKILL)
    return enhance_scan(task, settings, digest, attempts)
