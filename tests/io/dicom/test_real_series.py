"""Every folder of real DICOM series is read, or refused, as it should be."""

import warnings

import numpy as np
import pytest

from thinslice.errors import ThinsliceError
from thinslice.io.dicom import list_series, read_parts, read_series

READ = {
    # name: shape, spacing mm, thickness mm, warnings
    "c3l00189_negative_spacing": ((8, 512, 512), 5.0, 5.0, {"DCM-PAD"}),
    "cmbcrc01068_padding_63536": ((8, 512, 512), 2.5, 2.5, {"DCM-PAD"}),
    "covidctmd_p002_jpeglossless": ((12, 512, 512), 2.0, 2.0, {"DCM-UID"}),
    "lungdx_a0002_unsigned_8mm": ((16, 512, 512), 8.0, 8.0, set()),
    "petct_acrin042_jpegls": ((60, 512, 512), 3.27, 3.75, {"DCM-PAD", "DCM-THICK"}),
    "petct_acrin042_scout_plus_ct": ((10, 512, 512), 3.27, 3.75, {"DCM-PAD", "DCM-THICK", "DCM-LOCALIZER"}),
    "philips_phantom_tilt_plus16": ((8, 512, 512), 2.5 * np.cos(np.radians(16.5)), 2.5, {"DCM-TILT"}),
    "totalseg_example_j2k_no_uids": ((20, 512, 512), 2.0, 3.0, {"DCM-UID", "DCM-THICK"}),
}

REFUSED = {
    "acrinflt001_two_series_one_folder": "DCM-MULTISERIES",
    "ctimage_transfer_syntaxes": "DCM-CODEC",  # one image 16 times, twice in a syntax that nobody decodes
    "enhanced_multiframe_2frames": "DCM-NOTHU",
    "ge_head_tilt_variable_spacing": "DCM-UNEVEN",
    "geometry_missing_slice_ge": "DCM-GAP",
    "geometry_same_position_repeated": "DCM-DUP-DIFF",
    "geometry_tilt_missing_slice_siemens": "DCM-GAP",
    "wg04_ct1_codecs": "DCM-MULTISERIES",
    "wg04_ct2_codecs": "DCM-MULTISERIES",
}


REPAIRED = {
    # name, on_gap: slices and spacing in mm of each part, or the code that still refuses it
    ("ge_head_tilt_variable_spacing", "split"): [
        (14, 4.22 * np.cos(np.radians(18.5))),
        (14, 7.38 * np.cos(np.radians(18.5))),
    ],
    ("ge_head_tilt_variable_spacing", "fill"): "DCM-UNEVEN",  # slices of 4 and of 7 mm
    ("geometry_missing_slice_ge", "split"): "DCM-GAP",  # three slices and one: no part is long enough
    ("geometry_missing_slice_ge", "fill"): [(4, 5.0)],
    ("geometry_tilt_missing_slice_siemens", "split"): "DCM-GAP",
    ("geometry_tilt_missing_slice_siemens", "fill"): [(4, 0.7497)],
    ("geometry_same_position_repeated", "fill"): "DCM-DUP-DIFF",
}


@pytest.mark.parametrize("name", READ)
def test_read(name, shared_ct):
    shape, spacing, thickness, warned = READ[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        volume = read_series(shared_ct / "dicom" / name)
    assert volume.shape == shape
    assert volume.slice_spacing_mm == pytest.approx(spacing, abs=1e-4)
    assert volume.thickness == thickness
    assert volume.origin.facts["spacing_fit_residual_mm"] < 1e-4  # a real scanner's positions: far within tolerance
    assert {notice.code for notice in volume.origin.warnings} == warned
    measured = volume.hu if volume.padding is None else volume.hu[~volume.padding]
    assert -1100 < measured.min() < -900
    assert measured.max() < 4096


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, shared_ct):
    with pytest.raises(ThinsliceError) as caught:
        read_series(shared_ct / "dicom" / name)
    assert caught.value.code == REFUSED[name]


@pytest.mark.parametrize(("name", "on_gap"), REPAIRED)
def test_repaired(name, on_gap, shared_ct):
    expected = REPAIRED[name, on_gap]
    if isinstance(expected, str):
        with pytest.raises(ThinsliceError) as caught:
            read_parts(shared_ct / "dicom" / name, on_gap=on_gap)
        assert caught.value.code == expected
        return
    volumes = read_parts(shared_ct / "dicom" / name, on_gap=on_gap)
    assert [volume.shape[0] for volume in volumes] == [slices for slices, _ in expected]
    for volume, (_, spacing) in zip(volumes, expected, strict=True):
        assert volume.slice_spacing_mm == pytest.approx(spacing, abs=1e-3)
        assert (volume.slice_positions_mm is not None) == (on_gap == "fill")


def test_parts_of_a_head_keep_their_thickness_and_their_tilt(shared_ct):
    """4 mm slices through the base of the skull, 7 mm above, 1.08 mm apart where they meet, tilted by 18.5 degrees."""
    parts = read_parts(shared_ct / "dicom" / "ge_head_tilt_variable_spacing", on_gap="split")
    assert [part.thickness for part in parts] == [4.0, 7.0]
    assert all(part.origin.facts["tilt_deg"] == pytest.approx(18.5, abs=0.01) for part in parts)
    (gap,) = parts[0].origin.facts["gaps"]
    assert gap["width_mm"] == pytest.approx(1.14 * np.cos(np.radians(18.5)), abs=1e-3)


def test_every_folder_has_its_expectation(shared_ct):
    assert {folder.name for folder in (shared_ct / "dicom").iterdir()} == {*READ, *REFUSED}


def test_chosen_series_of_two(shared_ct):
    folder = shared_ct / "dicom" / "acrinflt001_two_series_one_folder"
    for summary in list_series(folder):
        volume = read_series(folder, series=summary.uid)
        assert volume.shape[0] == summary.images == 6
        assert volume.slice_spacing_mm == pytest.approx(4.25, abs=1e-4)


def test_padding_below_the_declared_value_is_found(shared_ct):
    """This scanner declares -2000 and fills the surroundings of its round field of view with -3024."""
    volume = read_series(shared_ct / "dicom" / "petct_acrin042_scout_plus_ct")
    corners = volume.padding[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.all()
    assert (volume.hu[volume.padding] == -3024).all()
    assert 0.1 < volume.padding.mean() < 1 - np.pi / 4 + 0.01


def test_same_image_in_several_codecs(shared_ct):
    """The lossless files of one image agree in every pixel, whatever decoder they went through."""
    from thinslice.io.dicom.headers.checks import is_lossy
    from thinslice.io.dicom.headers.find import find
    from thinslice.io.dicom.headers.limits import Limits
    from thinslice.io.dicom.headers.slices import read_slices
    from thinslice.io.dicom.pixels.decode import PixelReader

    for name, count in (("ctimage_transfer_syntaxes", 10), ("wg04_ct1_codecs", 4), ("wg04_ct2_codecs", 4)):
        images = [read_slices(entry, Limits())[0] for entry in find(shared_ct / "dicom" / name, Limits())]
        lossless = [
            image for image in images if not is_lossy(image) and not image.file.syntax.endswith(("91", "53", "55"))
        ]
        values = [PixelReader().stored_values(image) for image in lossless]
        assert len(values) == count
        assert all(np.array_equal(values[0], other) for other in values[1:])
