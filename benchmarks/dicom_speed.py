"""How long a series of JPEG lossless CT takes to read, and a derived series of the same size to write.

The series is made in a temporary folder: a few slices like CT (a body in air, correlated noise), each
encoded once and used in turn at new positions; reading decodes every file. Every figure is the best of
several runs, since other work on the machine only ever adds to it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import gdcm
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from rich.console import Console
from rich.table import Table
from scipy import ndimage

from thinslice.io.dicom import Provenance, read_series, write_series
from thinslice.io.output_format import OutputFormat

ROOT = "1.2.826.0.1.3680043.8.498.9"
PROVENANCE = Provenance(version="0", method="none", settings="", model="", thickness_mm=1.0)
DIFFERENT = 8


def like_ct(size: int, seed: int) -> np.ndarray:
    """(size, size) HU: soft tissue with two lungs in air, and noise correlated as a soft kernel leaves it."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    hu = np.full((size, size), -1000.0)
    hu[(x / 0.85) ** 2 + (y / 0.6) ** 2 < 1] = 40
    for side in (-0.38, 0.38):
        hu[((x - side) / 0.28) ** 2 + (y / 0.42) ** 2 < 1] = -850
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=hu.shape), 0.8)
    return hu + 14 * noise / noise.std()


def header(number: int, size: int) -> Dataset:
    """A CT image at its place, without pixels."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, f"{ROOT}.3.{number + 1}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = f"{ROOT}.1", f"{ROOT}.2", f"{ROOT}.4"
    ds.ImageType, ds.Modality, ds.Manufacturer = ["ORIGINAL", "PRIMARY", "AXIAL"], "CT", "Phantom Works"
    ds.PatientName, ds.PatientID, ds.BodyPartExamined = "Phantom^Speed", "S1", "CHEST"
    ds.SeriesNumber, ds.InstanceNumber = 2, number + 1
    ds.SliceThickness, ds.PixelSpacing = "1", ["0.7", "0.7"]
    ds.ImageOrientationPatient, ds.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, number]
    ds.Rows = ds.Columns = size
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
    return ds


def save(ds: Dataset, file: Path, syntax: str) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    ds.file_meta = meta
    ds.save_as(file, enforce_file_format=True)


def encoded(size: int, seed: int, folder: Path) -> pydicom.FileDataset:
    """A slice in JPEG lossless, first-order prediction (1.2.840.10008.1.2.4.70)."""
    file, ds = folder / "one.dcm", header(0, size)
    ds.add_new("PixelData", "OW", (np.rint(like_ct(size, seed)) + 1024).astype("<i2").tobytes())
    save(ds, file, ExplicitVRLittleEndian)
    reader = gdcm.ImageReader()
    reader.SetFileName(str(file))
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    if not reader.Read():
        raise SystemExit("gdcm cannot read what was written")
    change.SetInput(reader.GetImage())
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(file))
    writer.SetFile(reader.GetFile())
    if not change.Change():
        raise SystemExit("gdcm cannot encode JPEG lossless")
    writer.SetImage(change.GetOutput())
    writer.Write()
    return pydicom.dcmread(file)


def make_series(folder: Path, *, slices: int, size: int) -> int:
    """Write the series; the number of its bytes."""
    kinds = [encoded(size, seed, folder) for seed in range(DIFFERENT)]
    (folder / "one.dcm").unlink()
    for number in range(slices):
        ds, kind = header(number, size), kinds[number % DIFFERENT]
        ds["PixelData"] = kind["PixelData"]
        save(ds, folder / f"{number:04d}.dcm", kind.file_meta.TransferSyntaxUID)
    return sum(file.stat().st_size for file in folder.iterdir())


def best(runs: int, work: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds of the fastest run."""
    found = []
    for _ in range(runs):
        wall, processor = time.perf_counter(), sum(os.times()[:4])
        work()
        found.append((time.perf_counter() - wall, sum(os.times()[:4]) - processor))
    return min(found)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--slices", type=int, default=1000)
    options.add_argument("--size", type=int, default=512, help="pixels along x and y")
    options.add_argument("--runs", type=int, default=3, help="the best of so many is shown")
    options.add_argument("--compress", default="none,jpegls,rle,j2k", help="which ways to write")
    options.add_argument("--folder", type=Path, help="where to put the series, for a while")
    chosen = options.parse_args()
    table = Table("", "wall s", "processor s", "MB")
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        source, target = Path(folder, "in"), Path(folder, "out")
        source.mkdir()
        size = make_series(source, slices=chosen.slices, size=chosen.size)
        volume = read_series(source)
        times = best(chosen.runs, lambda: read_series(source))
        table.add_row("read JPEG lossless", *(f"{value:.1f}" for value in times), f"{size / 1e6:.0f}")
        for compress in chosen.compress.split(","):

            def write(compress: str = compress) -> None:
                shutil.rmtree(target, ignore_errors=True)
                form = OutputFormat(compress=compress)
                write_series(volume, target, form, source=volume, provenance=PROVENANCE)

            times = best(chosen.runs, write)
            size = sum(file.stat().st_size for file in target.iterdir())
            table.add_row(f"write, compress {compress}", *(f"{value:.1f}" for value in times), f"{size / 1e6:.0f}")
    console = Console()
    console.print(
        f"{chosen.slices} slices of {chosen.size} x {chosen.size}, {os.cpu_count()} cores, best of {chosen.runs}"
    )
    console.print(table)


if __name__ == "__main__":
    main()
