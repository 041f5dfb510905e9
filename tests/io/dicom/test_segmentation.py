"""DICOM segmentations as label maps, written by highdicom."""

import sys

import highdicom as hd
import numpy as np
import pydicom
import pytest
from dicom_phantom import save, series
from highdicom.seg import SegmentationTypeValues as Kind
from pydicom.sr.codedict import codes

from thinslice.cli.app import run
from thinslice.errors import GeometryError, InputError
from thinslice.io.dicom import read_series
from thinslice.io.label_map import read_label_map
from thinslice.io.scan import read

NUMBERS = (1, 2, 3)


def segments_on(shape):
    """(z, y, x, segment): three boxes, the second within the first, on a few slices each."""
    masks = np.zeros((*shape, len(NUMBERS)), bool)
    masks[2:7, 4:15, 3:12, 0] = True
    masks[4, 6:9, 5:8, 1] = True
    masks[8:11, 10:20, 10:18, 2] = True
    return masks


def segmentation(images, masks, kind=Kind.BINARY, **changes):
    """A segmentation of slices in order; highdicom leaves out slices where a segment is absent."""
    describe = [
        hd.seg.SegmentDescription(
            segment_number=number, segment_label=f"Mueller {number}", algorithm_type="MANUAL",
            segmented_property_category=codes.SCT.Organ, segmented_property_type=codes.SCT.Liver,
        )
        for number in NUMBERS
    ]  # fmt: skip
    made = hd.seg.Segmentation(
        source_images=images, pixel_array=masks, segmentation_type=kind, segment_descriptions=describe,
        series_instance_uid=hd.UID(), series_number=9, sop_instance_uid=hd.UID(), instance_number=1,
        manufacturer="M", manufacturer_model_name="M", software_versions="1", device_serial_number="1",
        content_creator_name="Mueller^Hans",
    )  # fmt: skip
    for keyword, value in changes.items():
        setattr(made, keyword, value)
    return made


def labels_of(masks):
    """What a label map has: the last segment where several are."""
    return np.max(masks * np.array(NUMBERS), axis=-1)


@pytest.fixture
def folder(tmp_path):
    save(series(), tmp_path / "in")
    return tmp_path


@pytest.fixture
def images(folder):
    """The slices in order along the normal, as files hold them."""
    found = [pydicom.dcmread(path) for path in (folder / "in").iterdir()]
    return sorted(found, key=lambda image: float(image.ImagePositionPatient[2]))


@pytest.fixture
def scan(folder):
    return read_series(folder / "in")


@pytest.mark.parametrize("kind", [Kind.BINARY, Kind.LABELMAP, Kind.FRACTIONAL])
def test_segments_become_labels_with_their_numbers(folder, images, scan, kind):
    masks = segments_on(scan.shape)
    overlapping = kind is not Kind.LABELMAP
    if not overlapping:
        masks[..., 0] &= ~masks[..., 1]
    segmentation(images, masks, kind).save_as(folder / "seg.dcm")
    found = read_label_map(folder / "seg.dcm", scan=scan)
    assert found.values.dtype == np.int16
    assert np.array_equal(found.values, labels_of(masks))
    told = [(notice.code, notice.message.split()[0]) for notice in found.warnings]
    assert told == ([("LABEL-OVERLAP", str(masks[..., 1].sum()))] if overlapping else [])


def test_the_order_of_frames_and_of_source_images_means_nothing(folder, images, scan):
    masks = segments_on(scan.shape)
    made = segmentation(images[::-1], masks[::-1])
    groups, frames = made.PerFrameFunctionalGroupsSequence, made.pixel_array
    order = np.random.default_rng(0).permutation(len(groups))
    made.PerFrameFunctionalGroupsSequence = [groups[index] for index in order]
    made.PixelData = np.packbits(frames[order].ravel(), bitorder="little").tobytes()
    (folder / "seg").mkdir()
    made.save_as(folder / "seg" / "1-1.dcm")
    for path in (folder / "seg", folder / "seg" / "1-1.dcm"):  # archives deliver a folder with one file
        assert np.array_equal(read_label_map(path, scan=scan).values, labels_of(masks))


def test_a_part_of_the_scan_and_a_part_of_the_segmentation(folder, images, scan):
    masks = segments_on(scan.shape)
    segmentation(images[1:9], masks[1:9]).save_as(folder / "part.dcm")
    expected = labels_of(masks)
    expected[9:] = 0
    assert np.array_equal(read_label_map(folder / "part.dcm", scan=scan).values, expected)
    segmentation(images, masks).save_as(folder / "whole.dcm")
    save(series()[:9], folder / "few")
    found = read_label_map(folder / "whole.dcm", scan=read_series(folder / "few"))
    assert np.array_equal(found.values, labels_of(masks)[:9])
    assert [notice.code for notice in found.warnings] == ["LABEL-OUTSIDE", "LABEL-OVERLAP"]
    save(series(slices=20)[14:], folder / "beyond")
    with pytest.raises(GeometryError, match="wholly outside"):
        read_label_map(folder / "whole.dcm", scan=read_series(folder / "beyond"))


def test_slices_that_are_missing_are_no_place_for_labels(folder, images, scan):
    masks = segments_on(scan.shape)
    kept = [index for index in range(len(images)) if index not in (5, 6)]
    gaps = [image for index, image in enumerate(series()) if index in kept]
    save(gaps, folder / "gaps")
    segmentation([images[index] for index in kept], masks[kept]).save_as(folder / "seg.dcm")
    uneven = read(folder / "gaps", on_gap="fill")
    assert np.array_equal(read_label_map(folder / "seg.dcm", scan=uneven).values, labels_of(masks)[kept])
    segmentation(images, masks).save_as(folder / "all.dcm")
    with pytest.raises(GeometryError) as refused:
        read_label_map(folder / "all.dcm", scan=uneven)
    assert refused.value.code == "LABEL-GRID"


@pytest.mark.parametrize("step", [np.array([0.0, 0.6, 5.0]), None])
def test_tilted_and_oblique_scans(folder, step):
    turned = (1.0, 0.0, 0.0, 0.0, 0.8, 0.6) if step is None else (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    images = series(orientation=turned, step=step)
    save(images, folder / "other")
    scan = read_series(folder / "other")
    read_back = sorted((pydicom.dcmread(path) for path in (folder / "other").iterdir()), key=lambda i: i.InstanceNumber)
    masks = segments_on(scan.shape)
    segmentation(read_back, masks).save_as(folder / "seg.dcm")
    assert np.array_equal(read_label_map(folder / "seg.dcm", scan=scan).values, labels_of(masks))


def moved(made, mm):
    for group in made.PerFrameFunctionalGroupsSequence:
        position = group.PlanePositionSequence[0]
        position.ImagePositionPatient = [a + b for a, b in zip(position.ImagePositionPatient, mm, strict=True)]
    return made


@pytest.mark.parametrize(
    ("change", "error", "code"),
    [
        (lambda made: moved(made, (0.3, 0, 0)), GeometryError, "LABEL-GRID"),
        (lambda made: moved(made, (0, 0, 2.5)), GeometryError, "LABEL-GRID"),
        (lambda made: setattr(made, "FrameOfReferenceUID", hd.UID()), GeometryError, "LABEL-FOR"),
        (lambda made: setattr(made, "PixelData", made.PixelData[:100]), InputError, "FILE-BROKEN"),
        (lambda made: delattr(made, "PerFrameFunctionalGroupsSequence"), InputError, "FILE-BROKEN"),
        (lambda made: setattr(made, "Rows", 60000), InputError, "DCM-LIMIT"),
    ],
    ids=["beside pixels", "between slices", "frame of reference", "cut short", "no frames", "too large"],
)
def test_what_is_no_segmentation_of_this_scan_is_refused_in_one_line(folder, images, scan, change, error, code):
    made = segmentation(images, segments_on(scan.shape))
    change(made)
    made.save_as(folder / "Mueller.dcm")
    with pytest.raises(error) as refused:
        read_label_map(folder / "Mueller.dcm", scan=scan)
    assert refused.value.code == code
    assert "Mueller" in refused.value.line
    assert "Mueller" not in refused.value.message
    assert "\n" not in refused.value.line


def test_fractions_are_refused(folder, images, scan):
    made = segmentation(images, segments_on(scan.shape) * 0.5, Kind.FRACTIONAL)
    made.save_as(folder / "seg.dcm")
    with pytest.raises(InputError, match="fractional") as refused:
        read_label_map(folder / "seg.dcm", scan=scan)
    assert refused.value.code == "LABEL-VALUES"


@pytest.mark.parametrize(
    ("sop_class", "said"),
    [("1.2.840.10008.5.1.4.1.1.481.3", "RT structure set"), ("1.2.840.10008.5.1.4.1.1.2", "a CT image")],
)
def test_other_objects_are_named(folder, images, scan, sop_class, said):
    images[0].SOPClassUID = sop_class
    images[0].save_as(folder / "other.dcm")
    with pytest.raises(InputError, match=said) as refused:
        read_label_map(folder / "other.dcm", scan=scan)
    assert refused.value.code == "FILE-FORMAT"


def test_without_highdicom_one_line_says_how_to_get_it(folder, images, scan, monkeypatch):
    segmentation(images, segments_on(scan.shape)).save_as(folder / "seg.dcm")
    monkeypatch.setitem(sys.modules, "highdicom.seg", None)
    with pytest.raises(InputError, match=r"pip install 'thinslice\[seg\]'") as refused:
        read_label_map(folder / "seg.dcm", scan=scan)
    assert refused.value.code == "LABEL-SEG"


def test_a_segmentation_goes_with_its_series(folder, images, scan, capfd):
    masks = segments_on(scan.shape)
    segmentation(images, masks).save_as(folder / "seg.dcm")
    arguments = ["enhance", "-i", folder / "in", "--labels", folder / "seg.dcm", "--factor", "5", "--thickness", "1"]
    assert run([str(a) for a in [*arguments, "--fit", "none", "--views", "axial", "-o", folder / "out"]]) == 0
    assert "warning[LABEL-OVERLAP]" in capfd.readouterr().err
    written = read_label_map(folder / "out_labels.nii.gz", scan=read_series(folder / "out", allow_derived=True))
    assert np.array_equal(written.values[::5], labels_of(masks))
