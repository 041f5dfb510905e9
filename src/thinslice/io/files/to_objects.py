"""A volume as the objects of other libraries: nibabel, SimpleITK, torchio, MONAI; marked where it is synthetic.

Each library has an axis order and sense of its own (`thinslice.io.files.objects`). It is imported where
it is asked for.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from thinslice.io.files.axes import in_file_order
from thinslice.io.files.mark import KEY, cleaned, document, short_text
from thinslice.volume import Volume

if TYPE_CHECKING:
    import nibabel
    import SimpleITK
    import torchio
    from monai.data.meta_tensor import MetaTensor


def to_nibabel(volume: Volume) -> nibabel.Nifti1Image:
    """The volume as a nibabel image: float32, RAS, in the axis order of its source, with the forms of its header.

    Where it is synthetic, it is marked as a file is.
    """
    import nibabel

    from thinslice.io.files.forms import forms_of
    from thinslice.io.files.nifti import new_header

    kji, affine = in_file_order(volume)
    header = new_header(kji.shape, affine, forms_of(volume.origin.header), np.dtype(np.float32))
    image = nibabel.Nifti1Image(kji.T, affine, header)
    mark = volume.origin.mark
    if mark is not None:
        image.header["descrip"] = short_text(mark).encode("ascii")
        extension = nibabel.nifti1.Nifti1Extension("comment", json.dumps(document(mark)).encode("ascii"))
        image.header.extensions.append(extension)
    return image


def to_sitk(volume: Volume) -> SimpleITK.Image:
    """The volume as a SimpleITK image: float32, LPS, in the axis order of its source; marked where it is synthetic.

    Raises:
        GeometryError: GEO-SHEAR.
    """
    from thinslice.io.files.itk import to_image

    return to_image(volume, dtype=np.dtype(np.float32))


def to_torchio(volume: Volume) -> torchio.ScalarImage:
    """The volume as a torchio ScalarImage: float32 (1, i, j, k), RAS, in the axis order of its source.

    Where it is synthetic, its entry "thinslice" says so; torchio's transforms keep that, files that it writes do not.
    """
    import torch
    import torchio

    kji, affine = in_file_order(volume)
    tensor = torch.tensor(np.ascontiguousarray(kji.T)[None])
    mark = volume.origin.mark
    return torchio.ScalarImage(tensor=tensor, affine=affine, **({} if mark is None else {KEY: cleaned(mark)}))


def to_monai(volume: Volume) -> MetaTensor:
    """The volume as a MONAI MetaTensor: float32 (1, i, j, k), RAS, in the axis order of its source.

    Where it is synthetic, its meta entry "thinslice" says so.
    """
    import torch
    from monai.data.meta_tensor import MetaTensor
    from monai.utils.enums import SpaceKeys

    kji, affine = in_file_order(volume)
    meta: dict[str, Any] = {"space": SpaceKeys.RAS, "spatial_shape": np.array(kji.shape[::-1])}
    meta["original_affine"] = affine.copy()
    if volume.origin.mark is not None:
        meta[KEY] = cleaned(volume.origin.mark)
    tensor = torch.tensor(np.ascontiguousarray(kji.T)[None])
    return MetaTensor(tensor, affine=torch.from_numpy(affine), meta=meta)
