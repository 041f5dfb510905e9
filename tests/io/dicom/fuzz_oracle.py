"""What a damaged input says, read with pydicom's and nibabel's own means: the truth for the fuzz campaign.

A volume is right where each of its slices is one of the images, at the place and with the values that
the image's own header states. No use is made of thinslice's parsing, sorting or fitting.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from pydicom.dataset import Dataset

from thinslice.volume import Volume

_LOST_AND_SAID = {"DCM-LOCALIZER", "DCM-DUP"}


@dataclass(frozen=True, eq=False)
class Image:
    """An image as its header states it; `hu` is None where pixels are compressed."""

    position: np.ndarray
    orientation: np.ndarray
    spacing: np.ndarray
    shape: tuple[int, int]
    hu: np.ndarray | None


def images_of(contents: dict[str, bytes]) -> list[Image | None]:
    """Every image; None for those whose header or pixels make no sense to pydicom either."""
    found: list[Image | None] = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for data in contents.values():
            try:
                ds = pydicom.dcmread(BytesIO(data), force=True)
                frames = ds.get("PerFrameFunctionalGroupsSequence")
                count = len(frames) if frames else 1
            except Exception:
                found.append(None)
                continue
            for index in range(count):
                try:
                    found.append(_image(ds, index))
                except Exception:
                    found.append(None)
    return found


def _image(ds: Dataset, frame: int) -> Image:
    holders = [ds]
    if "PerFrameFunctionalGroupsSequence" in ds:
        groups = [ds.PerFrameFunctionalGroupsSequence[frame], *ds.get("SharedFunctionalGroupsSequence", [])[:1]]
        holders = [
            sequence.value[0] for group in groups for sequence in group if sequence.VR == "SQ" and sequence.value
        ]
        holders.append(ds)

    def value(keyword: str, count: int = 1) -> np.ndarray:
        holder = next(holder for holder in holders if keyword in holder)
        element = holder[keyword].value
        numbers = np.array(
            [float(v) for v in (element if isinstance(element, (list, pydicom.multival.MultiValue)) else [element])]
        )
        assert len(numbers) == count or (count == 1 and len(numbers) >= 1)
        assert np.isfinite(numbers).all()
        return numbers[:count]

    rows, columns = int(ds.Rows), int(ds.Columns)
    hu = None
    if (
        not ds.file_meta.get("TransferSyntaxUID", "1.2.840.10008.1.2").startswith("1.2.840.10008.1.2.4")
        and ds.file_meta.get("TransferSyntaxUID") != "1.2.840.10008.1.2.5"
    ):
        order = ">" if ds.file_meta.get("TransferSyntaxUID") == "1.2.840.10008.1.2.2" else "<"
        bits, allocated = int(value("BitsStored")[0]), int(value("BitsAllocated")[0])
        stored = np.frombuffer(ds.PixelData, f"{order}u{allocated // 8}")[frame * rows * columns :][: rows * columns]
        stored = stored.reshape(rows, columns).astype(np.int64) & ((1 << bits) - 1)
        if int(value("PixelRepresentation")[0]) == 1:
            stored = np.where(stored >> (bits - 1), stored - (1 << bits), stored)
        hu = stored * value("RescaleSlope")[0] + value("RescaleIntercept")[0]
    return Image(
        value("ImagePositionPatient", 3),
        value("ImageOrientationPatient", 6),
        value("PixelSpacing", 2),
        (rows, columns),
        hu,
    )


def wrong(volume: Volume, images: list[Image | None]) -> str | None:
    """What is wrong with a volume that was read from images; None where it is right."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine
    left = [image for image in images if image is not None]
    said = {notice.code for notice in volume.origin.warnings}
    if volume.shape[0] < len(images) and not said & _LOST_AND_SAID:
        return f"{len(images) - volume.shape[0]} images are lost without a word"
    for index, hu in enumerate(volume.hu):
        position = lps[:3, 3] + index * lps[:3, 2]
        image = min(left, key=lambda image: float(np.abs(image.position - position).max()), default=None)
        if image is None:
            return f"slice {index} is none of the images"
        left.remove(image)
        if reason := _differs(image, position, lps, hu):
            return f"slice {index}: {reason}"
    return None


def _differs(image: Image, position: np.ndarray, lps: np.ndarray, hu: np.ndarray) -> str | None:
    if image.shape != hu.shape:
        return f"matrix {hu.shape}, not {image.shape}"
    pixel = float(image.spacing.min())
    off = np.abs(image.position - position).max()
    if not off <= 0.1 + 0.5 * pixel:  # what is called jitter or drift is within 0.1 mm, half a pixel in the plane
        return f"position off by {off:.3f} mm"
    normal = np.cross(image.orientation[:3], image.orientation[3:])
    if not abs((image.position - position) @ normal) <= 0.11:
        return f"position off by {abs((image.position - position) @ normal):.3f} mm along the normal"
    for column, direction, spacing in (
        (0, image.orientation[:3], image.spacing[1]),
        (1, image.orientation[3:], image.spacing[0]),
    ):
        if not np.abs(lps[:3, column] / spacing - direction).max() <= 3e-3:
            return f"step {column} is {lps[:3, column]}, not {direction * spacing}"
    if image.hu is not None and not np.allclose(hu, image.hu, rtol=1e-6, atol=1e-3):
        return f"values off by {np.abs(hu - image.hu).max():g} HU"
    return None


def wrong_nifti(volume: Volume, path: Path) -> str | None:
    """What is wrong with a volume that was read from a NIfTI file, by nibabel."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = nib.load(path)
            values, affine = np.asarray(image.dataobj, np.float64), image.affine
    except Exception as error:
        return f"nibabel cannot read it: {error}"
    unit = {1: 1000.0, 3: 1e-3}.get(int(image.header["xyzt_units"]) & 7, 1.0)
    order = list(volume.origin.header.order)
    if not np.allclose(affine[:3, order] * unit, volume.affine[:3, :3], rtol=1e-5, atol=1e-6 * unit):
        return f"affine {volume.affine.tolist()}, nibabel has {affine.tolist()}"
    same = values.squeeze().transpose(order).T
    return None if np.allclose(same, volume.hu, rtol=1e-6, atol=1e-3) else "values differ from nibabel's"
