"""Other readers of DICOM, asked for volumes in HU with an affine: oracles for ours, company in the scorecard."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Reading:
    """What a reader made of an input.

    Attributes:
        volumes: (HU (x, y, z) or (x, y, z, t), affine to RAS mm, mask of padding or None) of each volume.
        said: what it printed, on whatever way.
    """

    volumes: list[tuple[np.ndarray, np.ndarray, np.ndarray | None]] = field(default_factory=list)
    said: str = ""


def by_thinslice(place: Path, options: dict[str, Any]) -> Reading:
    from thinslice.errors import ThinsliceError
    from thinslice.io.dicom import read_series

    try:
        volume = read_series(place, **options)
    except ThinsliceError as error:
        return Reading([], error.line)
    if volume.slice_positions_mm is not None:
        raise ValueError("an uneven volume has no affine for all of its slices")
    padding = None if volume.padding is None else volume.padding.T
    said = "\n".join(notice.line for notice in volume.origin.warnings)
    return Reading([(volume.hu.T, volume.affine, padding)], said)


def by_simpleitk(place: Path, _: dict[str, Any]) -> Reading:
    import SimpleITK

    files = [str(file) for file in place.rglob("*") if file.is_file()] if place.is_dir() else []
    images: list[Any] = []
    with heard() as said:
        try:
            if len(files) == 1:
                images.append(SimpleITK.ReadImage(files[0]))
            for series in SimpleITK.ImageSeriesReader.GetGDCMSeriesIDs(str(place)) if len(files) > 1 else ():
                reader = SimpleITK.ImageSeriesReader()
                reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(place), series))
                images.append(reader.Execute())
        except RuntimeError as error:
            sys.stdout.write(f"{error}\n")
            images = []
    volumes = []
    for image in images:
        size = image.GetDimension()
        affine = np.eye(4)
        affine[:3, :3] = (np.array(image.GetDirection()).reshape(size, size) * image.GetSpacing())[:3, :3]
        affine[:3, 3] = image.GetOrigin()[:3]
        values = SimpleITK.GetArrayFromImage(image)
        if image.GetNumberOfComponentsPerPixel() > 1:
            values = values[..., 0]
        volumes.append((values.T, _LPS_TO_RAS @ affine, None))
    return Reading(volumes, said[0])


def by_dcm2niix(place: Path, _: dict[str, Any]) -> Reading:
    """The build that pip installs, which lies beside the interpreter; Debian's is older and differs.

    Copies that it makes beside its main result (equalised spacing, corrected tilt) are left aside.
    """
    program = Path(sys.executable).with_name("dcm2niix")
    assert program.exists(), "dcm2niix is a development dependency: pip install dcm2niix"
    with tempfile.TemporaryDirectory() as out:
        command = [str(program), "-z", "n", "-b", "n", "-f", "x", "-o", out, str(place)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=120, check=False)
        for copy in (*Path(out).glob("*_Eq*.nii"), *Path(out).glob("*_Tilt*.nii")):
            copy.unlink()
        return Reading(_nifti(Path(out)), done.stdout + done.stderr)


def by_dicom2nifti(place: Path, _: dict[str, Any]) -> Reading:
    import dicom2nifti

    with tempfile.TemporaryDirectory() as out, heard() as said:
        try:
            dicom2nifti.convert_directory(str(place), out, compression=False)
        except Exception as error:  # it raises whatever its libraries raise
            sys.stdout.write(f"{error}\n")
        volumes = _nifti(Path(out))
    return Reading(volumes, said[0])


def by_highdicom(place: Path, _: dict[str, Any]) -> Reading:
    """Images grouped by SeriesInstanceUID, files that pydicom does not read left out, as its manual shows."""
    import highdicom

    volumes = []
    with heard() as said:
        try:
            groups: dict[str, list[Any]] = {}
            for file in sorted(place.rglob("*")) if place.is_dir() else ():
                try:
                    dataset = pydicom.dcmread(file)
                except (pydicom.errors.InvalidDicomError, IsADirectoryError, EOFError):
                    continue
                if "Rows" in dataset:
                    groups.setdefault(str(dataset.get("SeriesInstanceUID")), []).append(dataset)
            for images in groups.values():
                if "PerFrameFunctionalGroupsSequence" in images[0]:
                    (image,) = images
                    volume = highdicom.Image.from_dataset(image).get_volume()
                else:
                    volume = highdicom.get_volume_from_series(images)
                affine = _LPS_TO_RAS @ np.array(volume.affine)[:, [2, 1, 0, 3]]
                volumes.append((np.asarray(volume.array, float).reshape(volume.spatial_shape).T, affine, None))
        except Exception as error:  # refusals are of many types
            sys.stdout.write(f"{type(error).__name__}: {error}\n")
            volumes = []
    return Reading(volumes, said[0])


READERS: dict[str, Callable[[Path, dict[str, Any]], Reading]] = {
    "thinslice": by_thinslice,
    "SimpleITK": by_simpleitk,
    "dcm2niix": by_dcm2niix,
    "dicom2nifti": by_dicom2nifti,
    "highdicom": by_highdicom,
}


def errors_of(
    volume: tuple[np.ndarray, np.ndarray, np.ndarray | None],
    hu_at: Callable[[np.ndarray], np.ndarray],
    *,
    above: tuple[int, ...] = (0,),
) -> float:
    """Largest distance in HU from the truth at the places that the affine claims; the nearest of several truths."""
    values, affine, padding = volume
    if values.ndim == 4:
        return max(errors_of((values[..., t], affine, None), hu_at, above=above) for t in range(values.shape[3]))
    if values.ndim != 3:
        return float("inf")
    index = np.stack(np.meshgrid(*map(np.arange, values.shape), indexing="ij"), axis=-1)
    ras = index @ affine[:3, :3].T + affine[:3, 3]
    truth = hu_at(ras * [-1, -1, 1])
    measured = slice(None) if padding is None else ~padding
    return min(float(np.abs(values - truth - offset)[measured].max()) for offset in above)


def unusual(said: str, usual: str) -> list[str]:
    """Lines that a reader does not print of a plain series, numbers and paths aside."""
    known = {_plain(line) for line in usual.splitlines()}
    return [line for line in said.splitlines() if _plain(line) and _plain(line) not in known]


def _plain(line: str) -> str:
    return re.sub(r"/\S*|0x[0-9a-f]+|[-+]?\d[\d.e+-]*", "", line).strip()


def _nifti(folder: Path) -> list[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    volumes = []
    for file in sorted(folder.glob("*.nii")):
        try:
            image = nibabel.load(file)
            volumes.append((np.asarray(image.dataobj, float), image.affine, None))
        except nibabel.spatialimages.HeaderDataError:  # an intercept that is no number: no value is one
            volumes.append((np.full((2, 2, 2), np.nan), np.eye(4), None))
    return volumes


@contextmanager
def heard() -> Iterator[list[str]]:
    """What is written to stdout and stderr within the block, by whatever language; it is in the list afterwards."""
    said = [""]
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    handler = logging.StreamHandler()
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        stream = os.fdopen(os.dup(file.fileno()), "w")
        streams, (sys.stdout, sys.stderr) = (sys.stdout, sys.stderr), (stream, stream)
        handler.setStream(stream)
        logging.getLogger().addHandler(handler)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("always")
                yield said
        finally:
            logging.getLogger().removeHandler(handler)
            stream.close()
            sys.stdout, sys.stderr = streams
            for number, descriptor in zip((1, 2), kept, strict=True):
                os.dup2(descriptor, number)
                os.close(descriptor)
            file.seek(0)
            said[0] = file.read().decode(errors="replace")
