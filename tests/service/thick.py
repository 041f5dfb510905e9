"""Small thick series for Orthanc, each with UIDs of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from dicom_phantom import ROOT, Series, paint, save, series


def thick(number: int, *, slices: int = 12, thickness: float = 5.0) -> Series:
    """A series of 24 x 20 pixels with a little noise; its number tells it from others."""
    made = series(slices=slices)
    draw = np.random.default_rng(number)
    for ds in made:
        ds.StudyInstanceUID, ds.SeriesInstanceUID = f"{ROOT}.1.{number}", uid_of(number)
        ds.SOPInstanceUID = f"{ROOT}.3.{number}.{ds.InstanceNumber}"
        ds.FrameOfReferenceUID, ds.PatientID, ds.PatientName = f"{ROOT}.4.{number}", f"PID-{number}", "Secret^Person"
        ds.SliceThickness = f"{thickness:g}"
        paint(ds, draw.normal(40, 10, (ds.Rows, ds.Columns)).round())
    return made


def uid_of(number: int) -> str:
    """SeriesInstanceUID of a series."""
    return f"{ROOT}.2.{number}"


def saved(datasets: Series, folder: Path) -> Path:
    """The folder, with the series in it."""
    save(datasets, folder)
    return folder
