"""Thin slices as a step of a TorchIO or MONAI pipeline.

    >>> import torchio
    >>> from thinslice.transforms import ThinSlices
    >>> pipeline = torchio.Compose([ThinSlices(spacing=1.0, fit="none"), torchio.ToCanonical()])
    >>> ct, organs = torchio.ScalarImage("thick.nii.gz"), torchio.LabelMap("seg.nii.gz")
    >>> subject = pipeline(torchio.Subject(ct=ct, organs=organs))
    >>> subject["ct"].shape, subject["organs"].shape
    ((1, 48, 48, 80), (1, 48, 48, 80))

    >>> from monai.transforms import Compose, LoadImaged
    >>> both = ["image", "label"]
    >>> pipeline = Compose([LoadImaged(both), ThinSlices(keys="image", label_keys="label", spacing=1.0, fit="none")])
    >>> sample = pipeline({"image": "thick.nii.gz", "label": "seg.nii.gz"})
    >>> sample["image"].shape, sample["label"].shape
    (torch.Size([48, 48, 80]), torch.Size([48, 48, 80]))

Neither library is imported here: what comes in shows which one it is of.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from thinslice.errors import UsageError
from thinslice.io.files.axes import in_file_order
from thinslice.io.files.mark import KEY
from thinslice.io.scan import READING
from thinslice.pipeline import enhance
from thinslice.result import Result
from thinslice.system.keywords import names_of, refuse_unknown
from thinslice.volume import LPS_TO_RAS

_OF_ONE_SCAN = ("affine", "labels")  # what cannot hold for all that will come


class ThinSlices:
    """Synthesise thin slices of every scan that comes along, and carry its label maps to them.

    What goes in comes out: a torchio Subject or image, a dictionary, a MONAI MetaTensor, an image of nibabel or
    SimpleITK. Paths and volumes become a `Volume`. Nothing that comes in is changed.

    Args:
        keys: names of the scans in a Subject or dictionary. A Subject needs none where it holds one ScalarImage.
        label_keys: names of their label maps, each in the voxels of the first scan, of one channel or several. By
            default all LabelMaps of a Subject, and none of a dictionary.
        **options: those of `thinslice.enhance`, but for `affine` and `labels`. With the default `fit="auto"` every
            scan takes minutes; `fit="none"` takes seconds.
    """

    def __init__(
        self, *, keys: str | Sequence[str] | None = None, label_keys: str | Sequence[str] | None = None, **options: Any
    ) -> None:
        known = [name for name in (*names_of(enhance), *READING) if name not in _OF_ONE_SCAN]
        refuse_unknown("ThinSlices", options, ["keys", "label_keys", *known])
        self.keys, self.label_keys, self.options = _names(keys), _names(label_keys), options

    def __repr__(self) -> str:
        given = {"keys": self.keys, "label_keys": self.label_keys} | self.options
        return f"ThinSlices({', '.join(f'{name}={value!r}' for name, value in given.items() if value is not None)})"

    def __call__(self, data: Any) -> Any:
        """The same with thin slices.

        Raises:
            ThinsliceError: as `thinslice.enhance`; USE-INPUT where a name is missing, or it is not clear which images
                are meant.
        """
        if hasattr(type(data), "get_images_dict"):
            return self._subject(data)
        if isinstance(data, Mapping) and not _is_of(data, "torchio"):
            return self._dictionary(data)
        return _as_given(data, enhance(data, **self.options))

    def _subject(self, subject: Any) -> Any:
        scans = subject.get_images_dict(intensity_only=True)
        keys = self.keys or list(scans)
        if self.keys is None and len(keys) != 1:
            raise UsageError(
                "USE-INPUT",
                f"the subject holds {len(keys)} intensity images ({', '.join(keys) or 'none'}); name with keys=",
            )
        every = subject.get_images_dict(intensity_only=False)
        label_keys = self.label_keys
        if label_keys is None:
            label_keys = [name for name in every if name not in scans and name not in keys]
        out = copy.copy(subject)
        for name, image in self._thin(every, keys, label_keys).items():
            out[name] = image
        out.update_attributes()
        return out

    def _dictionary(self, data: Mapping[str, Any]) -> dict[str, Any]:
        if self.keys is None:
            raise UsageError("USE-INPUT", "a dictionary does not show which item is the scan; name it with keys=")
        return dict(data) | self._thin(data, self.keys, self.label_keys or [])

    def _thin(self, images: Mapping[str, Any], keys: Sequence[str], label_keys: Sequence[str]) -> dict[str, Any]:
        """The images of these names on thin slices."""
        for key in (*keys, *label_keys):
            if key not in images:
                raise UsageError("USE-INPUT", f"there is no image {key!r}; there are: {', '.join(map(str, images))}")
        results = {key: enhance(images[key], **self.options) for key in keys}
        first = keys[0]
        return {key: _as_given(images[key], result) for key, result in results.items()} | {
            key: _labels_as_given(images[key], results[first], images[first]) for key in label_keys
        }


def _names(keys: str | Sequence[str] | None) -> list[str] | None:
    names = [keys] if isinstance(keys, str) else keys
    if names is not None and not names:
        raise UsageError("USE-INPUT", "keys names no image; leave it out or name one")
    return None if names is None else list(names)


def _is_of(data: Any, library: str) -> bool:
    return any(kind.__module__.partition(".")[0] == library for kind in type(data).__mro__)


def _as_given(data: Any, result: Result) -> Any:
    """The thin slices as what the thick ones were."""
    if _is_of(data, "torchio"):
        image = result.to_torchio()
        return _torchio_like(data, image.data, image.affine, {KEY: image[KEY]})
    if _is_of(data, "monai"):
        tensor = result.to_monai()
        return _monai_like(data, tensor.as_tensor(), tensor.affine, {KEY: tensor.meta[KEY]})
    if _is_of(data, "nibabel"):
        return result.to_nibabel()
    if _is_of(data, "SimpleITK"):
        return result.to_sitk()
    return result.volume


def _labels_as_given(labels: Any, result: Result, scan: Any) -> Any:
    """A label map on the thin slices, in its own library and type of voxels; each channel is a map of its own."""
    if _is_of(labels, "torchio"):
        values, affine = _carried(labels.data, result, lambda channel: _torchio_like(labels, channel, labels.affine))
        return _torchio_like(labels, values, affine)
    if _is_of(labels, "monai"):
        values, affine = _carried(labels.as_tensor(), result, lambda channel: _monai(channel, labels))
        return _monai_like(labels, values, affine)
    if _is_of(labels, "torch") and _is_of(scan, "monai"):  # a bare tensor lies where the scan beside it does
        values, _ = _carried(labels, result, lambda channel: _monai(channel, scan))
        return values.reshape(labels.shape[:-3] + values.shape[-3:])
    raise UsageError("USE-INPUT", f"a label map in a pipeline is of torchio or MONAI, not a {type(labels).__name__}")


def _carried(tensor: Any, result: Result, image_of: Callable[[Any], Any]) -> tuple[Any, np.ndarray]:
    """The channels (..., i, j, k) of a map on thin slices, of the same type, and their affine to RAS."""
    found = [result.carry(image_of(channel[None])) for channel in tensor.reshape(-1, *tensor.shape[-3:])]
    placed = [in_file_order(replace(result.volume, hu=labels, padding=None)) for labels in found]
    values = np.stack([kji.T for kji, _ in placed])
    return tensor.new_tensor(values), placed[0][1]


def _torchio_like(image: Any, tensor: Any, affine: Any, mark: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """A torchio image of the same class, with what its owner noted in it, and marked where it is synthetic."""
    noted = {
        name: value for name, value in image.items() if name not in ("data", "affine", "type", "path", "stem", KEY)
    }
    if type(image).__name__ not in ("ScalarImage", "LabelMap"):
        noted["type"] = image.type
    return type(image)(tensor=tensor, affine=affine, **noted, **mark)


def _monai_like(image: Any, tensor: Any, affine: Any, mark: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """A MetaTensor with another one's dimensions, space and notes, marked where synthetic; `affine` is to RAS."""
    affine = np.asarray(affine)
    own = LPS_TO_RAS @ affine if _is_lps(image) else affine
    meta = {**image.meta, "spatial_shape": np.array(tensor.shape[-3:]), **mark}
    meta.pop("affine", None)
    tensor = tensor.reshape(image.shape[:-3] + tensor.shape[-3:])
    return type(image)(tensor, affine=image.affine.new_tensor(own), meta=meta)


def _monai(tensor: Any, beside: Any) -> Any:
    """A tensor (1, i, j, k) as a MetaTensor that lies where another does."""
    return type(beside)(tensor, affine=beside.affine, meta={"space": beside.meta.get("space", "RAS")})


def _is_lps(image: Any) -> bool:
    return str(image.meta.get("space", "RAS")).upper().endswith("LPS")
