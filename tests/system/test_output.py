"""What may be written where is known before work starts, and a failure leaves nothing."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from thinslice.errors import OutputError, ResourceError
from thinslice.io.output_format import OutputFormat
from thinslice.io.writing import check_room
from thinslice.system.output import none_left, numbered, refuse_clashes, refuse_existing, whole_file, whole_folder


def ours(entry: Path) -> bool:
    return entry.suffix == ".dcm"


def refusal(path: Path, **options) -> str:
    with pytest.raises(OutputError) as caught:
        refuse_existing(path, **options)
    return caught.value.message_with_names


@pytest.fixture
def folder(tmp_path) -> Path:
    """Of an earlier run."""
    (tmp_path / "thin").mkdir()
    (tmp_path / "thin" / "1.dcm").write_text("old")
    return tmp_path / "thin"


def test_a_folder_where_a_file_is_meant_and_a_file_where_a_folder_is(folder):
    assert "is a folder" in refusal(folder, overwrite=True)
    assert "is a file" in refusal(folder / "1.dcm", overwrite=True, is_own=ours)


def test_a_folder_with_foreign_files_is_refused_before_work(folder):
    refuse_existing(folder, overwrite=True, is_own=ours)
    (folder / "notes.txt").write_text("mine")
    assert "1 entry that no run writes" in refusal(folder, overwrite=True, is_own=ours)


@pytest.mark.parametrize("there", [".", ".."])
def test_the_folder_one_is_in_is_not_replaced(there, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    refusal(Path(there), overwrite=True, is_own=ours)


def test_a_place_that_may_not_be_looked_at_is_an_output_error(tmp_path, monkeypatch):
    def denied(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_symlink", denied)
    assert "Permission denied" in refusal(tmp_path / "a.nii")


def test_links_are_followed(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    with whole_folder(tmp_path / "link", is_own=ours, overwrite=True) as new:
        (new / "2.dcm").write_text("new")
    assert [path.name for path in folder.iterdir()] == ["2.dcm"]
    (tmp_path / "a.nii").symlink_to(folder / "2.dcm")
    with whole_file(tmp_path / "a.nii", overwrite=True) as new_file:
        new_file.write_text("newer")
    assert (tmp_path / "a.nii").is_symlink()
    assert (folder / "2.dcm").read_text() == "newer"
    assert sorted(os.listdir(tmp_path)) == ["a.nii", "link", "thin"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_what_a_failed_block_wrote_is_taken_back_and_what_was_there_stays(error, folder, tmp_path):
    paths = [folder, tmp_path / "a.nii", tmp_path / "series", tmp_path / "never"]

    def fail() -> None:
        with none_left(paths):
            (tmp_path / "a.nii").write_text("new")
            (tmp_path / "series").mkdir()
            (tmp_path / "series" / "1.dcm").write_text("new")
            raise error

    with pytest.raises(error):
        fail()
    assert sorted(os.listdir(tmp_path)) == ["thin"]
    with none_left(paths):
        (tmp_path / "a.nii").write_text("new")
    assert (tmp_path / "a.nii").exists()


@pytest.mark.parametrize("error", [None, OSError, KeyboardInterrupt])
def test_an_empty_folder_that_was_prepared_stays_what_it_is(error, tmp_path):
    (prepared := tmp_path / "out").mkdir(mode=0o700)
    before = prepared.stat()

    def write() -> None:
        with none_left([prepared]), whole_folder(prepared, is_own=ours) as new:
            (new / "1.dcm").write_text("new")
            if error:
                raise error

    if error:
        with pytest.raises((OutputError, KeyboardInterrupt)):
            write()
    else:
        write()
    assert os.listdir(prepared) == ([] if error else ["1.dcm"])
    assert (prepared.stat().st_ino, prepared.stat().st_mode) == (before.st_ino, before.st_mode)
    assert os.listdir(tmp_path) == ["out"]


def test_files_of_a_mount_are_replaced_within_it_or_come_back(folder, monkeypatch):
    monkeypatch.setattr(Path, "is_mount", lambda self: self == folder)
    inode, rename = folder.stat().st_ino, Path.rename
    with whole_folder(folder, is_own=ours, overwrite=True) as new:
        (new / "2.dcm").write_text("new")
    assert (os.listdir(folder), folder.stat().st_ino) == (["2.dcm"], inode)

    def fails(self, target):
        if self.name == "3.dcm":
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OutputError), whole_folder(folder, is_own=ours, overwrite=True) as new:
        (new / "3.dcm").write_text("newer")
    assert os.listdir(folder) == ["2.dcm"]


def test_a_replaced_folder_keeps_its_mode(folder):
    folder.chmod(0o700)
    with whole_folder(folder, is_own=ours, overwrite=True) as new:
        (new / "2.dcm").write_text("new")
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_old_folder_comes_back_where_the_new_one_cannot_take_its_place(folder, monkeypatch):
    monkeypatch.setattr("thinslice.system.output.exchange", lambda *_: False)
    rename = Path.rename

    def fails(self, target):
        if Path(target) == folder and (self / "2.dcm").exists():
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OutputError), whole_folder(folder, is_own=ours, overwrite=True) as new:
        (new / "2.dcm").write_text("new")
    assert (os.listdir(folder.parent), os.listdir(folder)) == (["thin"], ["1.dcm"])


def test_what_takes_a_place_was_flushed(tmp_path, monkeypatch):
    done, replace = [], os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: done.append(Path(f"/proc/self/fd/{handle}").readlink().name))
    monkeypatch.setattr(os, "replace", lambda old, new: (done.append("renamed"), replace(old, new)))
    with whole_file(tmp_path / "a.nii") as new:
        new.write_text("x")
    assert done == [new.name, "renamed", tmp_path.name]


def test_an_input_is_no_output(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    for output in (folder, tmp_path, tmp_path / "link", folder / "1.dcm"):
        with pytest.raises(OutputError, match="is an input, or holds one"):
            refuse_clashes([None, folder / "1.dcm"], [None, output])
    refuse_clashes([folder, None], [folder / "thin", tmp_path / "thin.nii.gz", None])
    with pytest.raises(OutputError, match="asked for twice"):
        refuse_clashes([], [tmp_path / "a.nii", None, tmp_path / "thin" / ".." / "a.nii"])


def test_an_output_that_its_disk_cannot_hold_is_refused(tmp_path, monkeypatch):
    looked_at = []
    disk = SimpleNamespace(total=1, free=10_000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: looked_at.append(path) or disk)
    with pytest.raises(ResourceError, match=r"needs 0\.012 MB .* are free") as caught:
        check_room(tmp_path / "new" / "thin.nii", OutputFormat(), shape=(10, 10, 60))
    assert caught.value.code == "RES-DISK"
    check_room(tmp_path / "thin.nii", OutputFormat(), shape=(10, 10, 40))
    check_room(tmp_path / "thin.nii.gz", OutputFormat(), shape=(10, 10, 60))
    with pytest.raises(ResourceError):
        check_room(tmp_path / "thin", OutputFormat(dtype="float32"), shape=(10, 10, 40))
    (tmp_path / "prepared").mkdir()
    (tmp_path / "link.nii").symlink_to(tmp_path / "prepared" / "thin.nii")
    check_room(tmp_path / "prepared", OutputFormat(), shape=(1, 1, 1))
    check_room(tmp_path / "link.nii", OutputFormat(), shape=(1, 1, 1))
    assert looked_at[-2:] == [tmp_path / "prepared"] * 2  # the disk that it goes to, which may be mounted there
    disk.total = 0
    check_room(tmp_path / "thin.nii", OutputFormat(), shape=(10, 10, 60))


def test_outputs_are_numbered_before_their_ending_alone():
    assert numbered(Path("a/thin.nii.gz"), 2, ending=".nii.gz") == Path("a/thin_2.nii.gz")
    assert numbered(Path("a/thin_1.25mm"), 2, ending="") == Path("a/thin_1.25mm_2")
