"""Write a volume as a derived CT series that joins the study of its source."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.pixels import get_encoder  # type: ignore[attr-defined]
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from thinslice.errors import UsageError
from thinslice.io.dicom.headers.layout import OWN, PixelLayout
from thinslice.io.dicom.headers.quiet import quiet
from thinslice.io.dicom.headers.slices import CT_IMAGE
from thinslice.io.dicom.headers.source import SourceSeries, tag
from thinslice.io.dicom.write.derived import Provenance, add_references, decimal, series_dataset, slice_references
from thinslice.io.dicom.write.uid import IMPLEMENTATION_CLASS_UID, digest, uid_from
from thinslice.io.output_format import COMPRESSIONS, OutputFormat
from thinslice.system.output import whole_folder
from thinslice.volume import LPS_TO_RAS, Volume

_ENCODERS = {
    "jpegls": (JPEGLSLossless, "pyjpegls"),
    "j2k": (JPEG2000Lossless, "pylibjpeg"),
    "rle": (RLELossless, "pylibjpeg"),
}


@dataclass(frozen=True)
class WrittenSeries:
    """What was written.

    Attributes:
        files: number of files.
        clipped: voxels that did not fit into the bits stored and were clipped.
        bits: stored of a voxel.
        series_uid: SeriesInstanceUID.
        remarks: which attributes of the source are not carried as they stand; "" where all are.
    """

    files: int
    clipped: int
    bits: int
    series_uid: str
    remarks: str


@dataclass(frozen=True, eq=False)
class _Plane:
    """A slice of the output.

    Attributes:
        index: in the volume.
        position: LPS mm.
        along_mm: position along the normal.
        corners: (4, 3) LPS mm, of the corner pixels.
    """

    index: int
    position: np.ndarray
    along_mm: float
    corners: np.ndarray


def wrote(entry: Path) -> bool:
    """Whether this program wrote what is in a folder: such a name, and a header that says so."""
    if entry.suffix != ".dcm" or not entry.is_file():
        return False
    try:
        return read_file_meta_info(entry).get("ImplementationClassUID") == IMPLEMENTATION_CLASS_UID
    except (OSError, InvalidDicomError, ValueError, KeyError, EOFError):
        return False


@quiet()
def write_series(
    volume: Volume,
    folder: str | Path,
    form: OutputFormat = OutputFormat(),
    *,
    source: Volume,
    provenance: Provenance,
) -> WrittenSeries:
    """Write a volume as a series of CT images, one HU a step, on the volume's own grid: 16 bits signed by default.

    Args:
        volume: the new grid, HU (z, y, x); voxels in `padding` keep their value.
        folder: the output folder; files are called IM0001.dcm and so on, along the normal.
        form: compress, series_number, like_source and overwrite, which replaces a series that this program wrote; the
            rest goes with files.
        source: the volume that `read_series` gave.
        provenance: how the values were made.

    Raises:
        UsageError: DCM-OUT-SOURCE where the source was no DICOM series, DCM-COMPRESS, DCM-LIKE-SOURCE.
        OutputError: OUT-EXISTS, OUT-WRITE, OUT-FULL.
    """
    volume.refuse_uneven()
    kept = source.origin.header
    if not isinstance(kept, SourceSeries):
        raise UsageError(
            "DCM-OUT-SOURCE",
            f"a DICOM output folder needs a DICOM input, found {source.origin.kind}; name a .nii.gz, .nrrd or .mha",
        )
    check_encoder(form.compress)
    layout = pixel_layout(source, like_source=form.like_source)
    planes = _planes(volume)
    voxels, clipped = _digest(volume, planes, layout)
    series_uid = _series_uid(kept, volume, provenance, series_number=form.series_number, layout=layout, voxels=voxels)
    common = series_dataset(
        kept,
        provenance,
        series_uid=series_uid,
        spacing_mm=volume.slice_spacing_mm,
        series_number=form.series_number,
        layout=layout,
        padding=_padding_value(volume, layout),
        identity=_identity(kept, source),
    )
    _add_plane_geometry(common, volume, kept)
    with whole_folder(Path(folder), is_own=wrote, overwrite=form.overwrite) as temporary:
        for number, plane in enumerate(planes, 1):
            dataset = Dataset()
            dataset.update(common)
            dataset.SOPInstanceUID = uid_from("instance", series_uid, str(number))
            dataset.InstanceNumber = number
            dataset.ImagePositionPatient = [decimal(value) for value in plane.position]
            dataset.SliceLocation = decimal(plane.along_mm)
            add_references(dataset, kept, slice_references(kept, plane.corners))
            dataset.add_new(tag("PixelData"), "OW", layout.stored(volume.hu[plane.index])[0].tobytes())
            _save(dataset, temporary / f"IM{number:04d}.dcm", form.compress, provenance.version)
    return WrittenSeries(len(planes), clipped, layout.bits, series_uid, kept.carried.remarks())


def _series_uid(
    kept: SourceSeries,
    volume: Volume,
    provenance: Provenance,
    *,
    series_number: int | None,
    layout: PixelLayout,
    voxels: str,
) -> str:
    """Of the source, the settings, the grid and the stored voxels: any change of these gives another."""
    grid = (volume.affine.round(6) + 0.0).tobytes() + repr((volume.shape, provenance.thickness_mm)).encode()
    instances = "\n".join(sorted(f"{reference.sop_instance}#{reference.frame}" for reference in kept.references))
    return uid_from(
        *("series", kept.series_uid, instances),
        *(provenance.version, provenance.model, provenance.settings, repr(series_number), grid, voxels),
        *(() if layout == OWN else (repr(layout),)),
    )


def check_encoder(compress: str) -> None:
    """Refuse a way of compression for which no encoder is installed.

    Raises:
        UsageError: DCM-COMPRESS.
    """
    if compress == "none":
        return
    syntax, plugin = _ENCODERS[compress]
    if plugin not in get_encoder(syntax).available_plugins:
        raise UsageError(
            "DCM-COMPRESS",
            f"{compress} needs the package {plugin}, which is not installed (pyjpegls has no build for Python 3.14 so "
            f"far); install it, or choose {' or '.join(way for way in COMPRESSIONS if way != compress)}",
        )


def pixel_layout(source: Volume, *, like_source: bool) -> PixelLayout:
    """How a result of this source is stored.

    Raises:
        UsageError: DCM-LIKE-SOURCE where the source has no one layout that can be written.
    """
    if not like_source:
        return OWN
    kept = source.origin.header
    if not isinstance(kept, SourceSeries) or kept.layout is None:
        raise UsageError(
            "DCM-LIKE-SOURCE",
            "the source is no DICOM series whose slices share 16 bits allocated, slope 1 and one whole intercept; "
            "leave --like-source out",
        )
    return kept.layout


def _planes(volume: Volume) -> list[_Plane]:
    """The slices in order along the normal (row direction x column direction)."""
    lps = LPS_TO_RAS @ volume.affine
    normal = np.cross(lps[:3, 0], lps[:3, 1])
    normal /= np.linalg.norm(normal)
    slices, rows, columns = volume.shape
    ends = np.array([(x, y) for y in (0, rows - 1) for x in (0, columns - 1)]) @ lps[:3, :2].T
    positions = [lps[:3, 3] + index * lps[:3, 2] for index in range(slices)]
    planes = [
        _Plane(index, position, float(normal @ position), position + ends) for index, position in enumerate(positions)
    ]
    return sorted(planes, key=lambda plane: plane.along_mm)


def _add_plane_geometry(dataset: Dataset, volume: Volume, source: SourceSeries) -> None:
    """Matrix, spacing and orientation; the source's own strings where they say the same."""
    _, rows, columns = volume.shape
    dataset.Rows, dataset.Columns = rows, columns
    lps = LPS_TO_RAS @ volume.affine
    x, y = lps[:3, 0], lps[:3, 1]
    spacing = [float(np.linalg.norm(y)), float(np.linalg.norm(x))]
    cosines = [*(x / spacing[1]), *(y / spacing[0])]
    dataset.PixelSpacing = _as_in(source.pixel_spacing, spacing)
    dataset.ImageOrientationPatient = _as_in(source.orientation, cosines)


def _as_in(texts: tuple[str, ...], values: list[float]) -> list[str]:
    same = len(texts) == len(values) and np.allclose([float(text) for text in texts], values, rtol=0, atol=1e-6)
    return list(texts) if same and max(map(len, texts)) <= 16 else [decimal(value) for value in values]


def _digest(volume: Volume, planes: list[_Plane], layout: PixelLayout) -> tuple[str, int]:
    """SHA-256 of the stored voxels in the order of writing, and how many are clipped."""
    total, clipped = hashlib.sha256(), 0
    for plane in planes:
        stored, beyond = layout.stored(volume.hu[plane.index])
        total.update(stored.tobytes())
        clipped += beyond
    return total.hexdigest(), clipped


def _identity(kept: SourceSeries, source: Volume) -> str:
    """What distinguishes a source without UIDs from another one without: its voxels too. "" where it has its UIDs."""
    if {"StudyInstanceUID", "FrameOfReferenceUID"} <= kept.carried.texts.keys():
        return ""
    voxels = hashlib.sha256()
    for hu in source.hu:
        voxels.update(hu.tobytes())
    return digest([kept.series_uid, *(reference.sop_instance for reference in kept.references), voxels.hexdigest()])


def _padding_value(volume: Volume, layout: PixelLayout) -> int | None:
    """The commonest value of the padding voxels, as it is stored, or None."""
    if volume.padding is None or not volume.padding.any():
        return None
    counts = np.zeros(1 << layout.bits, np.int64)
    for hu, padding in zip(volume.hu, volume.padding, strict=True):
        counts += np.bincount(layout.stored(hu[padding])[0].astype(np.int64) - layout.lowest, minlength=len(counts))
    return int(counts.argmax()) + layout.lowest


def _save(dataset: Dataset, file: Path, compress: str, version: str) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(CT_IMAGE)
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = f"THINSLICE_{version}"[:16]
    dataset.file_meta = meta
    # texts are bytes in the source's own character set already: written as they are
    dataset.set_original_encoding(False, True, dataset._character_set)
    if compress != "none":
        syntax, plugin = _ENCODERS[compress]
        try:
            dataset.compress(syntax, generate_instance_uid=False, encoding_plugin=plugin)
        except RuntimeError as error:  # OpenJPEG declines images below 32 pixels
            size = f"{dataset.Rows}x{dataset.Columns}"
            raise UsageError("DCM-COMPRESS", f"{compress} cannot compress images of {size}; choose none") from error
    dataset.save_as(file, enforce_file_format=True)
