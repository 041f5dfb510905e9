"""A thin volume of a thick one by linear interpolation: something to write, without any network."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from dicom_phantom import save
from pydicom.dataset import Dataset

from thinslice.io.dicom import Provenance, read_series, write_series
from thinslice.io.output_format import OutputFormat
from thinslice.volume import Volume

PROVENANCE = Provenance(version="0.1.0", method="linear interpolation", settings="s1", model="m1", thickness_mm=1.25)


def linear_thin(volume: Volume, *, factor: int) -> Volume:
    """(n - 1) * factor + 1 slices; padding where the nearest thick slice has it, with its value."""
    thick = np.asarray(volume.hu)
    places = np.arange((len(thick) - 1) * factor + 1) / factor
    lower = np.minimum(places.astype(int), len(thick) - 2)
    weight = (places - lower)[:, None, None].astype(np.float32)
    hu = thick[lower] * (1 - weight) + thick[lower + 1] * weight
    padding = None
    if volume.padding is not None:
        nearest = np.rint(places).astype(int)
        padding = volume.padding[nearest]
        hu = np.where(padding, thick[nearest], hu)
    thin = volume.with_slices(hu, first=0.0, step=1 / factor, padding=padding)
    return replace(thin, thickness=PROVENANCE.thickness_mm)


def written(datasets: list[Dataset], folder: Path, **options: Any) -> tuple[Volume, Volume, list[Dataset]]:
    """Source volume, thin volume, and the data sets of the written files in order; options are of `OutputFormat`."""
    save(datasets, folder / "in")
    source = read_series(folder / "in")
    thin = linear_thin(source, factor=4)
    provenance = options.pop("provenance", PROVENANCE)
    result = write_series(thin, folder / "out", OutputFormat(**options), source=source, provenance=provenance)
    files = sorted((folder / "out").iterdir())
    assert [file.name for file in files] == [f"IM{number:04d}.dcm" for number in range(1, result.files + 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return source, thin, [pydicom.dcmread(file) for file in files]
