"""Several passes in one series are never read as one, and one scan is never taken for several."""

from collections.abc import Callable

import numpy as np
import pytest
from dicom_makers import second_pass
from dicom_phantom import ROOT, Series, each, save, series
from test_gaps import error_at_true_positions

from thinslice.errors import GeometryError, InputError
from thinslice.io.dicom import read_parts, read_series

PLACES = np.arange(8) + 9.5


def times(number: int) -> str:
    return f"0306{number:02d}.5"


def both(places: np.ndarray, **values: tuple[object, object]) -> Series:
    """Two passes that both state a value."""
    datasets = second_pass(places, **{keyword: later for keyword, (_, later) in values.items()})
    for number, ds in enumerate(datasets[:12]):
        for keyword, (first, _) in values.items():
            setattr(ds, keyword, first(number) if callable(first) else first)
    return datasets


def unnumbered(places: np.ndarray, **values: object) -> Series:
    datasets = second_pass(places, **values)
    for ds in datasets:
        del ds.InstanceNumber
    return datasets


def in_order(**values: object) -> Series:
    """A second pass half a spacing off, whose slices are distinguished by an order alone."""
    return second_pass(PLACES, **values)


def three_passes() -> Series:
    third = second_pass(np.arange(8) + 18.2, AcquisitionNumber=3)[12:]
    for number, ds in enumerate(third):
        ds.SOPInstanceUID = f"{ROOT}.6.{number}"
    return [*second_pass(PLACES, AcquisitionNumber=2), *third]


def of_rotations() -> Series:
    """Two passes, each of several rotations that have numbers of their own."""
    datasets = second_pass(PLACES, AcquisitionNumber=lambda number: 4 + number // 4)
    for number, ds in enumerate(datasets[:12]):
        ds.AcquisitionNumber = 1 + number // 4
    return datasets


def backwards() -> Series:
    return second_pass(PLACES[::-1])


def contained() -> Series:
    return second_pass(np.arange(3) + 4.5, AcquisitionNumber=2)


def uneven_shift() -> Series:
    return second_pass(np.arange(12) + 0.3, AcquisitionNumber=2)


OVERLAPPING: dict[str, tuple[Callable[[], Series], list[int]]] = {
    "by number": (lambda: in_order(AcquisitionNumber=2), [12, 8]),
    "by the order of numbers": (in_order, [12, 8]),
    "numbers begin anew": (lambda: in_order(InstanceNumber=lambda number: number + 1), [12, 8]),
    "by times of each slice": (
        lambda: both(PLACES, AcquisitionTime=(lambda number: f"0304{number:02d}.5", times)),
        [12, 8],
    ),
    "by positions alone": (lambda: unnumbered(PLACES), [12, 8]),
    "one slice between": (lambda: second_pass(np.arange(8) + 10.5, AcquisitionNumber=2), [12, 8]),
    "one position shared": (lambda: second_pass(np.arange(8) + 11, AcquisitionNumber=2), [12, 8]),
    "two positions shared": (lambda: second_pass(np.arange(8) + 10), [12, 8]),
    "within the first": (contained, [12, 3]),
    "two slices within": (lambda: second_pass(np.array([4.5, 5.5]), AcquisitionNumber=2), [12, None]),
    "all over, uneven": (uneven_shift, [12, 12]),
    "all over, by turns": (lambda: second_pass(np.arange(12) + 0.5), [12, 12]),
    "three": (three_passes, [12, 8, 8]),
    "of rotations": (of_rotations, [12, 8]),
    "the second backwards": (backwards, [12, 8]),
    "a thin and a thick stack": (lambda: second_pass(np.arange(33) / 3, SliceThickness="1.67"), [33, 12]),
}


@pytest.mark.parametrize("name", OVERLAPPING)
def test_passes_that_overlap_are_read_one_by_one(name, tmp_path):
    make, sizes = OVERLAPPING[name]
    save(make(), tmp_path)
    for on_gap in ("error", "split", "fill"):
        with pytest.raises(InputError, match=f"{len(sizes)} volumes .*; choose with --phase") as caught:
            read_parts(tmp_path, on_gap=on_gap)
        assert caught.value.code == "DCM-PHASES"
    for phase, size in enumerate(sizes, 1):
        if size is None:  # too few
            continue
        volume = read_series(tmp_path, phase=phase, rescale=(1, -1024))  # a ramp may lie above all tissue
        assert volume.shape[0] == size
        plain = min(abs(error_at_true_positions(volume) - above) for above in (0, 100))
        assert plain <= 1  # all slices are of one pass


@pytest.mark.parametrize(
    "values", [{"AcquisitionNumber": (1, 2)}, {"AcquisitionTime": ("030000", "040000")}, {"KVP": ("80", "120")}]
)
@pytest.mark.parametrize("distance", [2.0, 3.0, 1.4])
def test_what_lies_between_passes_is_not_filled(values, distance, tmp_path):
    save(both(np.arange(6) + 11 + distance, **values), tmp_path)
    for on_gap in ("error", "fill"):
        with pytest.raises(GeometryError, match="2 passes one after the other"):
            read_parts(tmp_path, on_gap=on_gap)
    assert [part.shape[0] for part in read_parts(tmp_path, on_gap="split")] == [12, 6]
    assert read_series(tmp_path, phase=2, rescale=(1, -1024)).shape[0] == 6


def test_a_pause_between_times_of_each_slice_parts_passes(tmp_path):
    save(both(np.arange(6) + 13, AcquisitionTime=(lambda number: f"0304{number:02d}.5", times)), tmp_path)
    with pytest.raises(GeometryError, match="a pause in AcquisitionTime"):
        read_series(tmp_path, on_gap="fill")


def one_scan(change: Callable[[int], dict[str, object]], *missing: int) -> Series:
    def set_all(number, ds):
        for keyword, value in change(number).items():
            setattr(ds, keyword, value)

    return [ds for number, ds in enumerate(each(set_all)) if number not in missing]


ONE_SCAN = {
    "two numbers": lambda number: {"AcquisitionNumber": 1 + number // 6},
    "rotations of three": lambda number: {
        "AcquisitionNumber": 1 + number // 3,
        "AcquisitionTime": f"0304{number // 3}0",
    },
    "rotations of two": lambda number: {"AcquisitionNumber": 1 + number // 2},
    "a time for each slice": lambda number: {
        "AcquisitionTime": f"0304{number:02d}",
        "ContentTime": f"0305{number:02d}",
    },
    "times over the hour": lambda number: {
        "AcquisitionTime": f"0359{54 + number}" if number < 6 else f"04000{number - 6}"
    },
    "tube current that follows the body": lambda number: {"XRayTubeCurrent": 200 + 40 * (number % 3)},
    "exposures by and by": lambda number: {"ExposureTime": 500 + number // 5},
}


@pytest.mark.parametrize("name", ONE_SCAN)
def test_one_scan_of_many_numbers_is_one(name, tmp_path):
    save(one_scan(ONE_SCAN[name]), tmp_path / "whole")
    assert read_series(tmp_path / "whole").shape[0] == 12
    for missing in (3, 4, 7):
        folder = tmp_path / str(missing)
        save(one_scan(ONE_SCAN[name], missing), folder)
        with pytest.raises(GeometryError, match="1 slice missing"):
            read_series(folder)
        assert read_series(folder, on_gap="fill").shape[0] == 11


def test_stored_twice_is_no_second_pass(tmp_path):
    """The same images again under other numbers and times."""
    again = each(
        lambda number, ds: (
            setattr(ds, "SOPInstanceUID", f"{ROOT}.8.{number}"),
            setattr(ds, "InstanceNumber", 13 + number),
            setattr(ds, "ContentTime", "050000"),
        )
    )
    save([*series(), *again], tmp_path)
    volume = read_series(tmp_path)
    assert volume.shape[0] == 12
    assert {notice.code for notice in volume.origin.warnings} == {"DCM-DUP"}


def test_filling_a_scan_that_is_finer_in_its_midst_says_that_it_may_be_two(tmp_path):
    save(unnumbered(np.arange(3) + 4.5, above=0), tmp_path)
    (repaired,) = [n for n in read_series(tmp_path, on_gap="fill").origin.warnings if n.code == "DCM-REPAIRED"]
    assert "2 regular grids" in repaired.message


def test_a_list_of_gaps_says_where_it_ends(tmp_path):
    save([ds for number, ds in enumerate(series(slices=30)) if number % 3 or not number], tmp_path)
    with pytest.raises(GeometryError, match=r", \.\.\. \(9 in all\) mm"):
        read_series(tmp_path)
