"""Where results go, which scans are meant, and what is refused before any work."""

from pathlib import Path

import dicom_phantom
import pytest
from archive_makers import volume

import thinslice
from thinslice.archive.cluster import shares
from thinslice.archive.plan import tasks_of
from thinslice.archive.run import plan_batch
from thinslice.archive.settings import Settings
from thinslice.archive.where import condition
from thinslice.errors import InputError, OutputError, UsageError
from thinslice.io.survey import Scan, survey


def scan(path: str, *, number: int | None = None, dicom: bool = False) -> Scan:
    names = ("1.dcm",) if dicom else ()
    return Scan(Path("/in") / path, names, 10, (8, 24, 24), (2.0, 2.0), 5.0, None, uid=f"1.{number}", number=number)


def places(*scans: Scan, form: str = "same") -> list[str]:
    tasks = tasks_of(scans, top=Path("/in"), output=Path("/out"), settings=Settings(format=form))
    assert len({task.scan for task in tasks}) == len({task.key for task in tasks}) == len(tasks)
    return [task.shown for task in tasks]


def test_results_lie_as_their_scans_do():
    assert places(scan("a/x.nii.gz"), scan("b/c", dicom=True, number=2)) == ["a/x.nii.gz", "b/c"]
    assert places(scan("a/x.nrrd"), scan("b/c", dicom=True), form="nii.gz") == ["a/x.nii.gz", "b/c.nii.gz"]


def test_no_two_results_have_one_place_and_none_lies_in_another():
    assert places(scan("a", dicom=True, number=2), scan("a", dicom=True, number=3)) == ["a/series_2", "a/series_3"]
    assert places(scan("a", dicom=True, number=2), scan("a", dicom=True, number=2)) == ["a/series_2.1", "a/series_2.2"]
    assert places(scan("a", dicom=True, number=2), scan("a/b", dicom=True, number=3)) == ["a/series_2", "a/b"]
    assert places(scan("x.nii"), scan("x.nrrd"), form="nii.gz") == ["x.nii.gz", "x_2.nii.gz"]
    assert places(scan("", dicom=True)) == ["series_-"]


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("slices >= 8 and spacing > 4", True),
        ("thickness >= 2.5", False),  # not stated
        ("format == 'nii.gz' and 'one' in path", True),
        ("lower(kernel) == 'soft'", False),
    ],
)
def test_a_condition_speaks_of_what_headers_say(text, holds):
    assert condition(text)(scan("a/one.nii.gz"), "a/one.nii.gz") is holds


@pytest.mark.parametrize("text", ["slices >", "thickn > 2", "__import__('os')", "open('x')", "slices / 0", "9**9**9"])
def test_what_is_no_condition_is_refused_in_one_line(text):
    with pytest.raises(UsageError, match="--where") as refused:
        condition(text)(scan("a"), "a")
    assert "\n" not in refused.value.line


def test_a_condition_leaves_scans_out(kept_archive, tmp_path):
    plan = plan_batch(kept_archive, tmp_path / "out", Settings(), where="format == 'nrrd'")
    assert [task.scan for task in plan.tasks] == ["b/two.nrrd"]
    assert plan.unwanted == 3


def test_what_was_synthesised_is_left_out(tmp_path):
    (tmp_path / "in").mkdir()
    thinslice.write(volume(), tmp_path / "in" / "scan.nii.gz")
    thinslice.enhance(volume(), spacing=2.5, fit="none", check=False).save(tmp_path / "in" / "thin.nii.gz")
    plan = plan_batch(tmp_path / "in", tmp_path / "out", Settings())
    assert ([task.scan for task in plan.tasks], plan.synthetic) == (["scan.nii.gz"], 1)


def test_nothing_is_planned_into_the_input_or_from_nothing(kept_archive, tmp_path):
    with pytest.raises(OutputError, match="is the input"):
        plan_batch(kept_archive, kept_archive, Settings())
    with pytest.raises(OutputError, match="holds it"):
        plan_batch(kept_archive / "a", kept_archive, Settings())
    with pytest.raises(InputError, match="no CT series"):
        plan_batch(tmp_path, tmp_path / "out", Settings())
    with pytest.raises(UsageError, match="unknown format"):
        Settings(format="png")


def test_an_output_folder_in_the_input_is_not_looked_into(archive):
    thinslice.write(volume(), archive / "a" / "more.nii.gz")
    dicom_phantom.save(dicom_phantom.series(slices=8), archive / "out" / "earlier")
    plan = plan_batch(archive, archive / "out", Settings())
    assert not any("earlier" in task.scan for task in plan.tasks)
    assert len(survey(archive)) == len(plan.tasks) + 2


@pytest.mark.parametrize(
    ("total", "needs", "count", "found"),
    [
        (16, [2, 2, 2], 4, [4, 4, 4, 4]),
        (16, [2, 2, 12], 4, [12, 4 // 2, 4 // 2]),
        (16, [9, 9, 9], 4, [16]),
        (16, [], 2, [8, 8]),
        (4, [9], 2, [4]),
    ],
)
def test_memory_is_shared_out_so_that_the_largest_scan_has_a_worker(total, needs, count, found):
    got = shares(total, needs, count)
    assert got == found
    assert sum(got) <= total
