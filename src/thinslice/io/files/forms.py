"""The two forms by which a NIfTI header places its voxels, and what readers make of them.

A header has a sform (any affine) and a qform (rotation, voxel sizes from pixdim, offset), each with a code
that says what it is aligned to; 0 means "not set". A Volume keeps one affine. What the other form says is
kept as a transform from the first to the second in world space: however the grid is cut and refined after
that, it gives the second form of the result.

Measured with SimpleITK 2.5 (ITK 5.4) and nibabel 5.4. nibabel takes the sform where it has a code, else the
qform. ITK takes the sform where its code is 1 or the qform has none, unless its axes lean by 1e-4 radian or
more: then the qform, and without one it refuses. Voxel sizes are always pixdim for ITK. With both codes 0,
nibabel puts the middle of the volume at 0 with x to the left; ITK puts voxel 0 at 0 and takes the axes for
those of DICOM, so that x runs to the left and y to the back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from thinslice.errors import GeometryError, Notice
from thinslice.io.files.assemble import NO_ORIENTATION
from thinslice.volume import corner_shift_mm, lean, slice_distance_mm, squared

if TYPE_CHECKING:
    import nibabel as nib

_MM_PER_UNIT = {1: 1000.0, 3: 1e-3}  # metre, micrometre; 2 is mm, 0 says nothing
_ROUNDED = 1e-3  # relative: voxel sizes closer than this are equal
_WRONG = 1e-2  # relative: voxel sizes further apart than this are no rounding
_TENTH = 0.1  # of a voxel: forms that lie closer than this are one place, rounded
_SAME_MM = 5e-4  # affines that put corners closer than this are equal: float32 holds little more
_ITK_LEAN = 5e-5  # radian, half of what ITK tolerates of a sform
_ALIGNED = 2  # NIFTI_XFORM_ALIGNED_ANAT: aligned to another file


@dataclass(frozen=True, eq=False)
class Forms:
    """What a NIfTI header says of its place beside the affine that a Volume keeps.

    Attributes:
        sform_code: of the form that the affine is, but where it is 0; then the qform is the affine.
        qform_code: of the other one; where both are 0, pixdim alone says where voxels are.
        other: (4, 4), from where the affine puts a point to where the second form does, RAS mm; None where
            there is no second form. With both codes 0, the second is ITK's reading.
        quaternion: quatern_b, c, d as stored, which keep their last digits so; or None.
    """

    sform_code: int = 1
    qform_code: int = 1
    other: np.ndarray | None = None
    quaternion: tuple[float, float, float] | None = None


UNKNOWN = Forms(_ALIGNED, _ALIGNED)  # of what gives no orientation and is not NIfTI


def read_forms(header: nib.Nifti1Header, name: str) -> tuple[np.ndarray, str, Forms, tuple[Notice, ...]]:
    """The affine in mm, the header field it comes from, what else the header says, and what is odd about it.

    Raises:
        GeometryError: GEO-SPACING, GEO-AFFINE.
    """
    spacing = np.asarray(header["pixdim"][1:4], float) * _unit_mm(header)
    shape = _shape(header)
    if not np.isfinite(spacing).all() or spacing.min() <= 0:
        found = " x ".join(f"{value:g}" for value in spacing)
        raise GeometryError("GEO-SPACING", f"{name} has a voxel size (pixdim) of {found} mm; every size must be over 0")
    sform_code, qform_code = int(header["sform_code"]), int(header["qform_code"])
    quaternion = float(header["quatern_b"]), float(header["quatern_c"]), float(header["quatern_d"])
    if sform_code <= 0 and qform_code <= 0:
        affine = spatial_mm(header, header.get_base_affine())
        other = _by_itk(spacing) @ np.linalg.inv(affine)
        return affine, "pixdim", Forms(0, 0, other), (NO_ORIENTATION,)
    if sform_code <= 0:
        return spatial_mm(header, _qform(header, name)), "qform", Forms(0, qform_code, None, quaternion), ()
    affine = spatial_mm(header, header.get_sform())
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        return affine, "sform", Forms(sform_code, 0), ()  # refused where a Volume is made of it
    notices = _compare_sizes(affine, spacing, name, refuse=qform_code > 0)
    if qform_code <= 0:
        return affine, "sform", Forms(sform_code, 0), notices
    try:
        second = spatial_mm(header, _qform(header, name))
        apart = corner_shift_mm(affine, second, shape)
    except GeometryError:
        apart = np.nan
    if not np.isfinite(apart):
        message = (
            f"the qform (code {qform_code}) is no rotation with an offset; the sform is used, and it alone is kept"
        )
        return affine, "sform", Forms(sform_code, 0), (*notices, Notice("FILE-FORMS", message))
    if apart > _TENTH * spacing.min():
        by_itk = "sform" if sform_code == 1 and lean(affine) < 2 * _ITK_LEAN else "qform"
        message = (
            f"sform (code {sform_code}) and qform (code {qform_code}) place corners up to {apart:.4g} mm apart; "
            f"the sform is used: results in NIfTI keep both, others lie as the sform says; viewers built on ITK "
            f"go by the {by_itk} of this file"
        )
        notices = (*notices, Notice("FILE-FORMS", message))
    return affine, "sform", Forms(sform_code, qform_code, second @ np.linalg.inv(affine), quaternion), notices


def set_forms(header: nib.Nifti1Header, affine: np.ndarray, forms: Forms) -> None:
    """Set sform, qform, their codes and pixdim of a header whose shape is set, so that each reader finds its place.

    Args:
        header: in mm.
        affine: (4, 4), voxel (x, y, z) to RAS mm.
        forms: of the file that the volume was made from.
    """
    shape = _shape(header)
    second = affine if forms.other is None else forms.other @ affine
    sform_code, qform_code = forms.sform_code, forms.qform_code
    if not sform_code and not qform_code:
        header["pixdim"][:4] = 1, *np.linalg.norm(affine[:3, :3], axis=0)
        by_nibabel, by_itk = header.get_base_affine(), _by_itk(header["pixdim"][1:4])
        if max(corner_shift_mm(affine, by_nibabel, shape), corner_shift_mm(second, by_itk, shape)) < _SAME_MM:
            return
        sform_code = qform_code = _ALIGNED  # readers differ where no code is set: each form gets its own place
    if not sform_code and not square_enough(affine, shape):
        sform_code = qform_code  # a quaternion holds no shear
    if not qform_code and lean(affine) > _ITK_LEAN:
        qform_code = sform_code  # for ITK, which refuses such a sform and then takes the qform
    if sform_code:
        header.set_sform(affine, code=sform_code)
    header["pixdim"][1:4] = np.linalg.norm(affine[:3, :3], axis=0)
    # A result that was made upright is no more what a second form without shear was given for: its own place is taken.
    held = next((matrix for matrix in (second, affine) if square_enough(matrix, shape)), None)
    if qform_code and held is not None:
        _set_qform(header, squared(held, shape), forms.quaternion)
        header["qform_code"] = qform_code


def forms_of(header: Any) -> Forms:
    """What `Origin.header` says of a volume's forms; both with code 1, of a scanner, where it says nothing."""
    forms = getattr(header, "forms", None)
    return forms if isinstance(forms, Forms) else Forms()


def spatial_mm(header: nib.Nifti1Header, affine: np.ndarray) -> np.ndarray:
    """The affine in mm, whatever length unit the header names."""
    factor = _unit_mm(header)
    return affine * np.array([[factor], [factor], [factor], [1.0]])


def square_enough(affine: np.ndarray, shape: tuple[int, int, int]) -> bool:
    """Whether the nearest grid with axes at right angles puts no corner further off than a tenth of a voxel."""
    smallest = np.linalg.norm(affine[:3, :3], axis=0).min()
    return corner_shift_mm(affine, squared(affine, shape), shape) <= _TENTH * smallest


def _shape(header: nib.Nifti1Header) -> tuple[int, int, int]:
    """(z, y, x)."""
    x, y, z = (int(n) for n in header["dim"][1:4])
    return z, y, x


def _unit_mm(header: nib.Nifti1Header) -> float:
    return _MM_PER_UNIT.get(int(header["xyzt_units"]) & 7, 1.0)


def _by_itk(spacing: np.ndarray) -> np.ndarray:
    """Where ITK puts the voxels of a file that gives no orientation, RAS mm."""
    x, y, z = np.asarray(spacing, float)
    return np.diag([-x, -y, z, 1.0])


def _qform(header: nib.Nifti1Header, name: str) -> np.ndarray:
    try:
        return header.get_qform()
    except ValueError as error:
        raise GeometryError("GEO-AFFINE", f"{name} has a qform that is no rotation ({error}); repair it") from error


def _compare_sizes(affine: np.ndarray, spacing: np.ndarray, name: str, *, refuse: bool) -> tuple[Notice, ...]:
    """Say, or refuse where the qform counts as well, that the sform has other voxel sizes than pixdim.

    Of slices that are sheared, pixdim may say either distance: of centres, or of planes.
    """
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    apart = np.minimum(np.abs(sizes / spacing - 1), np.abs(slice_distance_mm(affine) / spacing - 1))
    if not np.isfinite(apart).all() or apart.max() <= _ROUNDED:
        return ()
    by_pixdim, by_sform = (" x ".join(f"{v:.5g}" for v in values) for values in (spacing, sizes))
    if refuse and apart.max() > _WRONG:
        raise GeometryError(
            "GEO-SPACING",
            f"{name} has voxels of {by_sform} mm by its sform, and of {by_pixdim} mm by its qform and pixdim; find out "
            "which is right, then set the code of the other form to 0, or correct it",
        )
    return (Notice("FILE-PIXDIM", f"pixdim says {by_pixdim} mm, sform says {by_sform} mm; sform is used"),)


def _set_qform(header: nib.Nifti1Header, affine: np.ndarray, quaternion: tuple[float, float, float] | None) -> None:
    """Set the qform, with the digits of a quaternion that was stored where it is the same rotation."""
    header.set_qform(affine, code=1, strip_shears=True)
    if quaternion is None:
        return
    fresh = [float(header[f"quatern_{letter}"]) for letter in "bcd"]
    for letter, value in zip("bcd", quaternion, strict=True):
        header[f"quatern_{letter}"] = value
    if not np.allclose(header.get_qform()[:3, :3], affine[:3, :3], rtol=0, atol=1e-6):
        for letter, value in zip("bcd", fresh, strict=True):
            header[f"quatern_{letter}"] = value
