"""Other tools in the same table: thick volumes out, their results in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from thinslice.errors import GeometryError, InputError, named
from thinslice.evaluation.protocols import Case
from thinslice.io import files
from thinslice.io.output_format import OutputFormat
from thinslice.volume import corner_shift_mm


def input_path(folder: Path, slug: str) -> Path:
    """Where the thick volume of a case goes."""
    return folder / f"{slug}.nii.gz"


def input_paths(folder: Path, slugs: Sequence[str]) -> list[Path]:
    """Where the thick volumes of cases go."""
    return [input_path(folder, slug) for slug in slugs]


def write_input(case: Case, folder: Path, *, overwrite: bool = False) -> Path:
    """Write the thick volume of a case, in float32: block means are no whole numbers of HU."""
    path = input_path(folder, case.slug)
    files.write(case.thick, path, OutputFormat(dtype="float32", sidecar=False, overwrite=overwrite))
    return path


def result_paths(folder: Path, slug: str) -> list[Path]:
    """Where the result of a case may lie, in any format that is read."""
    return [folder / f"{slug}{ending}" for ending in files.ENDINGS]


def find_result(folder: Path, slug: str, name: str) -> Path:
    """The file of a tool's result of a case.

    Raises:
        InputError: IN-RESULT where there is none.
    """
    found = [path for path in result_paths(folder, slug) if path.is_file()]
    if not found:
        raise InputError("IN-RESULT", f"the folder {named(folder, '')} of {name} holds no {slug}.nii.gz")
    return found[0]


def read_result(case: Case, folder: Path, name: str) -> np.ndarray:
    """The result of another tool, (n, y, x) HU on the truth's grid.

    Args:
        case: the case that the tool was given.
        folder: where its results are, named as the inputs were.
        name: of the tool, for messages.

    Raises:
        InputError: IN-RESULT where there is no such file.
        GeometryError: GEO-SHAPE or GEO-GRID where it lies on another grid than the truth.
    """
    path = find_result(folder, case.slug, name)
    # The slice axis is that of the input that the tool was given: isotropic results do not show it.
    volume = files.read_values(path, axis=getattr(case.thick.origin.header, "slice_axis", "z"))
    truth = case.truth_volume
    if volume.shape != truth.shape:
        raise GeometryError(
            "GEO-SHAPE",
            f"the result {named(path, '')} of {name} has {volume.shape} voxels (z, y, x), the truth {truth.shape}; "
            f"write it on slices {case.grid.output_spacing_mm:g} mm apart from {case.grid.output_mm[0]:+g} mm of the "
            "first thick slice",
        )
    apart = corner_shift_mm(volume.affine, truth.affine, truth.shape)
    if apart > 0.1 * min(truth.voxel_mm):
        raise GeometryError(
            "GEO-GRID",
            f"the result {named(path, '')} of {name} lies up to {apart:.3g} mm off the truth's grid; "
            "its slices must be the truth's",
        )
    return volume.hu
