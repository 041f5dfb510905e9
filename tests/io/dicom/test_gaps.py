"""Series with slices missing or unevenly spaced: refused, split into regular parts, or filled from true positions."""

import numpy as np
import pytest
from dicom_cases import NOISE, tilted, two_spacings, without
from dicom_phantom import Series, hu_at, moved, save, series

from thinslice.errors import GeometryError, UsageError
from thinslice.io import scan
from thinslice.io.dicom import read_parts, read_series, write_series
from thinslice.io.dicom.stack.gaps import regular_runs
from thinslice.io.writing import write
from thinslice.volume import Volume


def error_at_true_positions(volume: Volume) -> float:
    """Largest distance in HU from the truth at the places that affine and slice positions claim."""
    z, y, x = np.meshgrid(*map(np.arange, volume.shape), indexing="ij")
    if volume.slice_positions_mm is not None:
        z = (volume.slice_positions_mm / volume.slice_spacing_mm)[z]
    ras = np.stack([x, y, z, np.ones_like(x)], axis=-1) @ volume.affine.T
    return float(np.abs(volume.hu - hu_at(ras[..., :3] * [-1, -1, 1])).max())


def head_scan() -> Series:
    """Thin slices below, thick ones above, as heads are scanned: 4 mm, then 7 mm."""
    datasets = moved(lambda number: (0, 0, -1.0 * min(number, 5) + 2.0 * max(0, number - 5)))
    for number, ds in enumerate(datasets):
        ds.SliceThickness = "4" if number <= 5 else "7"
    return datasets


UNEVEN = {
    "one missing": (lambda: without(5), 5.0, [(0.0, 10.0)]),
    "four missing": (lambda: without(3, 4, 7, 9), 5.0, [(-10.0, 15.0), (10.0, 10.0), (20.0, 10.0)]),
    "missing under tilt": (lambda: [ds for k, ds in enumerate(tilted(15)) if k != 5], None, None),
    "two spacings": (two_spacings, 5.0, []),
    "alternating": (lambda: moved(lambda k: (0, 0, 0.15 * (-1) ** k)), 4.7, []),
    "jitter": (lambda: moved(lambda k: (0, 0, 0.5 * NOISE[k, 0])), None, []),
}


@pytest.mark.parametrize("name", UNEVEN)
def test_fill_keeps_every_slice_at_its_true_position(name, tmp_path):
    make, spacing, gaps = UNEVEN[name]
    datasets = make()
    save(datasets, tmp_path)
    volume = read_series(tmp_path, on_gap="fill")
    assert volume.shape[0] == len(datasets)
    assert error_at_true_positions(volume) <= 0.6  # half a HU of rounding, and positions of six decimals
    assert "DCM-REPAIRED" in {notice.code for notice in volume.origin.warnings}
    facts = volume.origin.facts
    if spacing is not None:
        assert volume.slice_spacing_mm == pytest.approx(spacing, abs=1e-5)
    if gaps is not None:
        assert [(gap["after_mm"], gap["width_mm"]) for gap in facts["gaps"]] == gaps
    assert facts["on_gap"] == "fill"


def test_a_regular_series_is_the_same_whatever_is_said_of_gaps(tmp_path):
    save(moved(lambda k: (0, 0, 0.04 * (-1) ** k)), tmp_path)
    volumes = [read_series(tmp_path, on_gap=choice) for choice in ("error", "split", "fill")]
    assert all(np.array_equal(volume.affine, volumes[0].affine) for volume in volumes)
    assert all(volume.slice_positions_mm is None for volume in volumes)
    assert all({notice.code for notice in volume.origin.warnings} == {"DCM-JITTER"} for volume in volumes)


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda: without(5), [(5, 5.0), (6, 5.0)]),
        (lambda: without(2, 7), [(4, 5.0), (4, 5.0)]),  # the first two slices make no part
        (two_spacings, [(6, 2.0), (7, 5.0)]),  # the slice between belongs to both
        (head_scan, [(6, 4.0), (7, 7.0)]),
        (lambda: [ds for k, ds in enumerate(tilted(-15)) if k != 6], [(6, None), (5, None)]),
    ],
    ids=["one missing", "short part", "two spacings", "head", "tilted"],
)
def test_split_gives_regular_parts_at_their_places(make, parts, tmp_path):
    save(make(), tmp_path)
    volumes = read_parts(tmp_path, on_gap="split")
    assert [volume.shape[0] for volume in volumes] == [slices for slices, _ in parts]
    for number, (volume, (_, spacing)) in enumerate(zip(volumes, parts, strict=True), 1):
        assert volume.slice_positions_mm is None
        assert error_at_true_positions(volume) <= 0.6
        assert spacing is None or volume.slice_spacing_mm == pytest.approx(spacing, abs=1e-5)
        assert (volume.origin.facts["part"], volume.origin.facts["parts"]) == (number, len(parts))
    assert "DCM-REPAIRED" in {notice.code for notice in volumes[0].origin.warnings}


def test_split_needs_a_choice_where_one_volume_is_asked_for(tmp_path):
    save(without(5), tmp_path)
    for read in (read_series, scan.read):
        with pytest.raises(UsageError, match="2 parts") as caught:
            read(tmp_path, on_gap="split")
        assert caught.value.code == "DCM-ON-GAP"


def test_split_of_what_has_no_regular_part_is_refused(tmp_path):
    save(moved(lambda k: (0, 0, 1.5 * NOISE[k, 0])), tmp_path)
    with pytest.raises(GeometryError) as caught:
        read_parts(tmp_path, on_gap="split")
    assert caught.value.code == "DCM-UNEVEN"


def test_what_was_not_measured_over_many_slices_is_not_filled(tmp_path):
    save([ds for number, ds in enumerate(series()) if not 3 < number < 8], tmp_path)
    with pytest.raises(GeometryError, match=r"25\.00 mm without a slice after position -5\.00") as caught:
        read_series(tmp_path, on_gap="fill")
    assert caught.value.code == "DCM-GAP"
    assert [volume.shape[0] for volume in read_parts(tmp_path, on_gap="split")] == [4, 4]


def test_filling_takes_one_thickness(tmp_path):
    save(head_scan(), tmp_path)
    with pytest.raises(GeometryError, match="2 thicknesses") as caught:
        read_series(tmp_path, on_gap="fill")
    assert caught.value.code == "DCM-UNEVEN"


def test_refusal_names_the_positions(tmp_path):
    save(without(3, 4, 7, 9), tmp_path)
    with pytest.raises(GeometryError, match=r"4 slices missing after position -10\.00, 10\.00, 20\.00 mm"):
        read_series(tmp_path)


def test_strict_allows_no_repair(tmp_path):
    save(without(5), tmp_path)
    for choice in ("split", "fill"):
        with pytest.raises(GeometryError) as caught:
            read_parts(tmp_path, on_gap=choice, strict=True)
        assert caught.value.code == "DCM-REPAIRED"


def test_an_uneven_volume_is_never_written_or_converted_as_if_even(tmp_path):
    from thin import PROVENANCE

    from thinslice.io.files.to_objects import to_nibabel, to_sitk

    save(without(5), tmp_path / "in")
    volume = read_series(tmp_path / "in", on_gap="fill")
    for leave in (
        lambda: write_series(volume, tmp_path / "out", source=volume, provenance=PROVENANCE),
        lambda: write(volume, tmp_path / "out.nii.gz"),
        lambda: write(volume, tmp_path / "out.nrrd"),
        lambda: to_nibabel(volume),
        lambda: to_sitk(volume),
    ):
        with pytest.raises(GeometryError) as caught:
            leave()
        assert caught.value.code == "GEO-UNEVEN"
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_every_interval_of_one_width_is_in_a_part():
    """No slice is lost that has neighbours at one distance, and no part spans two distances."""
    random = np.random.default_rng(3)
    for _ in range(200):
        lengths = random.integers(1, 7, 4)
        gaps = np.concatenate([np.full(n, width) for n, width in zip(lengths, (5.0, 2.0, 10.0, 3.0), strict=True)])
        runs = regular_runs(np.concatenate([[0], np.cumsum(gaps)]), least=4)
        assert [len(run) for run in runs] == [n + 1 for n in lengths if n >= 3]
        assert all(np.ptp(gaps[run[0] : run[-1]]) == 0 for run in runs)
