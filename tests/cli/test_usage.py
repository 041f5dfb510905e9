"""What was typed and cannot be meant: one line, which says what could be."""

from pathlib import Path

import pytest

from thinslice.cli.app import run


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("enhanse", "did you mean enhance? See thinslice -h"),
        ("evaluat -i a", "did you mean evaluate? See thinslice -h"),
        ("enhance --spacng 1", "--spacng; did you mean --spacing? See thinslice enhance -h"),
        ("enhance --thick 1", "--thick; did you mean --thickness?"),
        ("train --iteration 3", "--iteration; did you mean --iterations? See thinslice train -h"),
        ("enhance --nonsense", "No such option: --nonsense; see thinslice enhance -h"),
        (
            "-i a.nii -o b.nii",
            "begin with a command: demo, inspect, enhance, evaluate, train, profile, measure, batch or serve",
        ),
        ("scan.nii.gz", "begin with a command"),
        ("enhance --views", "Option '--views' requires an argument; see thinslice enhance -h"),
        ("enhance --spacing thin", "'--spacing': 'thin' should be a valid number; see"),
        ("enhance --iterations 0", "'--iterations': '0' should be greater than or equal to 1; see"),
        ("enhance --seed -1", "'--seed': '-1' is no whole number from 0 to 2^63 - 1; see"),
        ("enhance --views axial,", "'axial,' has a comma too many"),
        ("evaluate --factors 2,two", "'2,two' is no comma-separated list of whole numbers"),
        ("demo extra", "an argument too many; quote paths that hold spaces; see thinslice demo -h"),
        ("enhance -i a.nii b.nii -o c.nii", "one scan at a time is taken, and 2 paths are given; run each by itself"),
        (
            "enhance -i a.nii -i b.nii -o c.nii",
            "one scan at a time is taken, and 2 paths are given; run each by itself",
        ),
        ("inspect a.nii b.nii c.nii", "and 3 paths are given; run each by itself"),
        ("enhance -i a.nii b.nii", "Missing option '-o'"),
        ("enhance -i a.nii.gz -o b.nii --spacing 0", "spacing must be a number over 0, found 0"),
    ],
    ids=str,
)
def test_a_line_says_what_could_be_meant(
    line: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    thick_phantom: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    if said.endswith("found 0"):  # said once the scan is read
        (tmp_path / "a.nii.gz").symlink_to(thick_phantom)
    before = set(tmp_path.iterdir())
    assert run(line.split()) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n"), err[:10]) == ("", 1, "error[USE-")
    assert said in err
    assert set(tmp_path.iterdir()) == before


def test_what_may_be_the_name_of_a_scan_is_not_repeated(capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("/scans/SMITH^JOHN", "enhance'. Did you mean 'SMITH", "SMITH'"):
        assert run([name]) == 2
        assert "SMITH" not in capfd.readouterr().err
