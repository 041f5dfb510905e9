"""A thin volume of a thick one by linear interpolation: something to write, without any network."""

from dataclasses import replace

import numpy as np

from thinslice.dicom import Provenance
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
