"""Segmentations of 3D Slicer: layers, values and crops, written as Slicer writes them."""

import gzip

import numpy as np
import pytest
import SimpleITK as sitk

from thinslice.errors import InputError
from thinslice.io import files
from thinslice.io.label_map import read_label_map
from thinslice.volume import Volume

SHAPE = (5, 8, 9)  # (k, j, i)
AFFINE = np.array([[-0.7, 0, 0, 12.0], [0, -0.9, 0, 20.0], [0, 0, 5.0, -30.0], [0, 0, 0, 1.0]])


@pytest.fixture(scope="module")
def scan():
    return Volume(np.random.default_rng(0).normal(0, 100, SHAPE), AFFINE)


def boxes():
    """A liver, a lesion within it, and a spleen beside it."""
    liver, lesion, spleen = (np.zeros(SHAPE, bool) for _ in range(3))
    liver[1:4, 2:6, 1:5] = True
    lesion[2, 3:5, 2:4] = True
    spleen[1:3, 2:4, 6:8] = True
    return liver, lesion, spleen


def write(path, layers, segments, *, start=(0, 0, 0), packed=True):
    """A .seg.nrrd: (layers, k, j, i), or (k, j, i), cropped to begin at voxel `start` (i, j, k) of the scan."""
    origin = (AFFINE @ [*start, 1])[:3] * [-1, -1, 1]
    steps = ["(0.7,0,0)", "(0,0.9,0)", "(0,0,5)"]
    layered = layers.ndim == 4
    header = [
        "NRRD0004",
        "type: uint8",
        f"dimension: {layers.ndim}",
        "space: left-posterior-superior",
        "sizes: " + " ".join(map(str, ([layers.shape[0]] if layered else []) + list(layers.shape[::-1][:3]))),
        "space directions: " + " ".join((["none"] if layered else []) + steps),
        "kinds: " + " ".join((["list"] if layered else []) + ["domain"] * 3),
        "encoding: " + ("gzip" if packed else "raw"),
        "space origin: (" + ",".join(f"{mm:.10g}" for mm in origin) + ")",
    ]
    for number, (layer, value) in enumerate(segments):
        fields = {"ID": f"Segment_{number + 1}", "Name": f"Mueller {number}", "LabelValue": value, "Layer": layer}
        header += [f"Segment{number}_{field}:={text}" for field, text in fields.items() if text is not None]
        header += [f"Segment{number}_Extent:=0 8 0 7 0 4"]
    header += ["Segmentation_ReferenceImageExtentOffset:=" + " ".join(map(str, start)), "", ""]
    voxels = (np.moveaxis(layers, 0, -1) if layered else layers).astype(np.uint8).tobytes()
    path.write_bytes("\n".join(header).encode() + (gzip.compress(voxels) if packed else voxels))
    return path


@pytest.mark.parametrize("packed", [True, False])
def test_layers_are_joined_and_the_later_segment_counts_where_they_overlap(scan, tmp_path, packed):
    liver, lesion, spleen = boxes()
    layers = np.stack([liver * 4 + spleen * 9, lesion * 7])
    path = write(tmp_path / "a.seg.nrrd", layers, [(0, 4), (1, 7), (0, 9)], packed=packed)
    found = read_label_map(path, scan=scan)
    assert np.array_equal(found.values, np.where(lesion, 7, liver * 4 + spleen * 9))
    assert [notice.code for notice in found.warnings] == ["LABEL-OVERLAP"]
    assert found.warnings[0].message.startswith(f"{lesion.sum()} voxels")
    again = write(tmp_path / "b.seg.nrrd", layers, [(1, 7), (0, 4), (0, 9)])
    assert np.array_equal(read_label_map(again, scan=scan).values, layers[0])


def test_segments_that_share_a_value_are_numbered_as_the_header_lists_them(scan, tmp_path):
    """Slicer counts from 1 in every layer."""
    liver, lesion, spleen = boxes()
    path = write(tmp_path / "a.seg.nrrd", np.stack([lesion, spleen]), [(0, 1), (1, 1)])
    found = read_label_map(path, scan=scan)
    assert np.array_equal(found.values, lesion + 2 * spleen)
    assert [notice.code for notice in found.warnings] == ["LABEL-NUMBERED"]
    older = write(tmp_path / "b.seg.nrrd", np.stack([liver, spleen]), [(None, None), (None, None)])
    assert np.array_equal(read_label_map(older, scan=scan).values, liver + 2 * spleen)


def test_a_single_layer_that_slicer_cropped_lies_where_it_was_drawn(scan, tmp_path):
    liver, _, spleen = boxes()
    drawn = liver * 4 + spleen * 9
    path = write(tmp_path / "a.seg.nrrd", drawn[1:4, 2:6, 1:8], [(0, 4), (0, 9)], start=(1, 2, 1))
    found = read_label_map(path, scan=scan)
    assert np.array_equal(found.values, drawn)
    assert found.warnings == ()
    layered = np.stack([liver * 4, spleen * 9])[:, 1:4, 2:6, 1:8]
    path = write(tmp_path / "b.seg.nrrd", layered, [(0, 4), (1, 9)], start=(1, 2, 1))
    assert np.array_equal(read_label_map(path, scan=scan).values, drawn)


def test_an_image_of_simpleitk_is_read_as_its_file(scan, tmp_path):
    liver, _, spleen = boxes()
    path = write(tmp_path / "a.seg.nrrd", np.stack([liver * 4, spleen * 9]), [(0, 4), (1, 9)])
    found = read_label_map(sitk.ReadImage(str(path)), scan=scan)
    assert np.array_equal(found.values, liver * 4 + spleen * 9)


def test_voxels_of_no_segment_are_left_out_with_a_word(scan, tmp_path):
    liver, _, spleen = boxes()
    path = write(tmp_path / "a.seg.nrrd", np.stack([liver * 4, spleen * 9]), [(0, 4), (1, 8)])
    found = read_label_map(path, scan=scan)
    assert np.array_equal(found.values, liver * 4)
    assert [(n.code, n.message.split()[0]) for n in found.warnings] == [("LABEL-UNNAMED", str(spleen.sum()))]


@pytest.mark.parametrize(
    ("segments", "code"), [([(0, 4), (5, 9)], "FILE-BROKEN"), ([(0, "x"), (1, 9)], "FILE-BROKEN"), ([], "FILE-DTYPE")]
)
def test_layers_that_no_header_explains_are_refused(scan, tmp_path, segments, code):
    liver, _, spleen = boxes()
    path = write(tmp_path / "Mueller.seg.nrrd", np.stack([liver, spleen]), segments)
    with pytest.raises(InputError) as refused:
        read_label_map(path, scan=scan)
    assert refused.value.code == code
    assert "Mueller" in refused.value.line
    assert "Mueller" not in refused.value.message


def test_layers_are_no_scan(tmp_path):
    liver, _, spleen = boxes()
    path = write(tmp_path / "a.seg.nrrd", np.stack([liver, spleen]), [(0, 1), (1, 2)])
    with pytest.raises(InputError, match="values per voxel"):
        files.read(path)
