"""A run that is killed, or runs out of disk, leaves a whole output, the old one, or none."""

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from thinslice.errors import OutputError
from thinslice.io.files import parts
from thinslice.system.output import whole_file, whole_folder
from thinslice.system.temporary import PREFIX, clear_away, temporary_name


class Zygote:
    """Starts runs that can be killed at any moment."""

    def __init__(self) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "SOURCE_DATE_EPOCH": "1700000000"}
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("crash_zygote.py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
        )  # fmt: skip
        assert self.process.stdout.readline() == "ready\n"

    def start(self, *arguments: object) -> int:
        """The pid of a new run."""
        self.process.stdin.write(json.dumps([str(argument) for argument in arguments]) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def status(self) -> int:
        """How the run ended: its exit code, or minus the signal."""
        return os.waitstatus_to_exitcode(int(self.process.stdout.readline()))

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def zygote():
    zygote = Zygote()
    yield zygote
    zygote.close()


@pytest.fixture(scope="module")
def thick_dicom(tmp_path_factory, thick_phantom):
    """The phantom as a DICOM series."""
    sys.path.insert(0, str(Path(__file__).parent / "io" / "dicom"))
    from dicom_phantom import paint, save, series

    from thinslice.io import files

    volume = files.read(thick_phantom)
    datasets = series(slices=volume.shape[0])
    for ds, hu in zip(datasets, volume.hu, strict=True):
        ds.Rows, ds.Columns = hu.shape
        paint(ds, hu)
    folder = tmp_path_factory.mktemp("thick")
    save(datasets, folder)
    return folder


def content(path: Path) -> dict[str, bytes] | bytes | None:
    """What is under a name: bytes of a file, of each file of a folder, or nothing."""
    if path.is_dir():
        return {file.name: file.read_bytes() for file in path.iterdir()}
    return path.read_bytes() if path.exists() else None


def kills(zygote: Zygote, source: Path, output: Path, *, number: int, overwrite: bool) -> int:
    """Kill so many runs at random moments and look at what each leaves; returns how many left a temporary name."""
    arguments = ["enhance", "-q", "-i", source, "-o", output, "--factor", "2", "--threads", "1"]
    arguments += ["--fit", "scan", "--iterations", "2"]  # the smallest networks: runs, not results, are tested
    begun = time.monotonic()
    zygote.start(*arguments)
    assert zygote.status() == 0
    seconds, whole, old, left = time.monotonic() - begun, content(output), None, 0
    if overwrite:  # another result, to be replaced by the same run as above
        zygote.start(*arguments, "--overwrite", "--seed", "7")
        assert zygote.status() == 0
        old = content(output)
        assert old != whole
        arguments.append("--overwrite")
    dice = random.Random(f"{output.name} {overwrite}")
    _, *sidecars = parts(output, sidecar=True)
    for moment in range(number):
        reset(output, old, sidecars)
        pid = zygote.start(*arguments)
        if moment % 2:  # in the midst of writing, which is short beside computing
            while not any(output.parent.glob(f"{PREFIX}*{output.name}")) and alive(pid):
                time.sleep(1e-3)
            time.sleep(dice.uniform(0, 0.1))
        else:
            time.sleep(dice.uniform(0, seconds))
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
        zygote.status()
        assert content(output) in (old, whole), f"kill {moment}"
        for sidecar in sidecars:  # whole as well, though it is renamed a moment after its volume
            assert not sidecar.exists() or json.loads(sidecar.read_text())["SyntheticData"]
        others = [path.name for path in output.parent.iterdir() if path not in (output, *sidecars)]
        assert all(name.startswith(PREFIX) for name in others), others
        left += bool(others)
    reset(output, old, sidecars)
    zygote.start(*arguments)
    assert zygote.status() == 0
    assert content(output) == whole
    assert set(output.parent.iterdir()) == {output, *sidecars}
    return left


def reset(output: Path, old: dict[str, bytes] | bytes | None, sidecars: list[Path]) -> None:
    """Put back what was there, and leave temporary names for the next run to find."""
    for sidecar in sidecars:
        sidecar.unlink(missing_ok=True)
    shutil.rmtree(output, ignore_errors=True)
    output.unlink(missing_ok=True) if output.is_file() else None
    if isinstance(old, bytes):
        output.write_bytes(old)
    elif old is not None:
        output.mkdir()
        for name, data in old.items():
            (output / name).write_bytes(data)


def alive(pid: int) -> bool:
    """Whether a run is still going; one that is done and not yet waited for is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


WAYS = list(itertools.product(("thin.nii.gz", "thin"), (False, True)))


@pytest.mark.parametrize(("name", "overwrite"), WAYS)
def test_a_few_kills(name, overwrite, zygote, thick_phantom, thick_dicom, tmp_path):
    source = thick_dicom if name == "thin" else thick_phantom
    (tmp_path / "out").mkdir()
    kills(zygote, source, tmp_path / "out" / name, number=2, overwrite=overwrite)


@pytest.mark.slow
def test_fifty_kills(zygote, thick_phantom, thick_dicom, tmp_path):
    left = 0
    for (name, overwrite), number in zip(WAYS, (12, 12, 13, 13), strict=True):
        folder = tmp_path / f"{name} {overwrite}"
        folder.mkdir()
        source = thick_dicom if name == "thin" else thick_phantom
        left += kills(zygote, source, folder / name, number=number, overwrite=overwrite)
    assert left  # or no kill met a run that was writing


HOLDS = """
import sys
from pathlib import Path
from thinslice.system.output import whole_file
with whole_file(Path(sys.argv[1])) as file:
    file.write_text("half")
    print(file.name, flush=True)
    sys.stdin.read()
"""


def test_only_what_dead_processes_left_is_removed(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, tmp_path / "a.txt"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    name = holder.stdout.readline().strip()
    foreign = tmp_path / f"{PREFIX}somebody else's"
    foreign.touch()
    elsewhere = tmp_path / f"{PREFIX}00000000-1-1-00000000-thin.nii"
    elsewhere.touch()
    with whole_file(tmp_path / "b.txt") as file:
        file.write_text("whole")
        clear_away(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {name, "b.txt", foreign.name, elsewhere.name}
    holder.kill()
    holder.communicate()
    os.utime(elsewhere, (0, 0))  # another machine's, untouched for a day
    with whole_folder(tmp_path / "c", is_own=lambda entry: False) as folder:
        (folder / "x.dcm").write_text("whole")
    assert {path.name for path in tmp_path.iterdir()} == {"b.txt", "c", foreign.name}


def test_a_process_of_the_same_id_that_began_later_does_not_keep_leftovers(tmp_path):
    mine = temporary_name(tmp_path / "thin.nii")
    parts = mine.name.removeprefix(PREFIX).split("-")
    earlier = tmp_path / f"{PREFIX}{'-'.join([*parts[:2], str(int(parts[2]) - 1), *parts[3:]])}"
    for path in (mine, earlier):
        path.touch()
    clear_away(tmp_path)
    assert list(tmp_path.iterdir()) == [mine]


def test_an_old_folder_gets_its_name_back_where_names_cannot_be_exchanged(tmp_path):
    """Killed between two renames, on a system that cannot swap names in one step."""
    result = tmp_path / "thin"
    old = temporary_name(result, old=True)
    dead = subprocess.Popen(["true"])
    dead.wait()
    old = old.with_name(old.name.replace(f"-{os.getpid()}-", f"-{dead.pid}-"))
    old.mkdir()
    (old / "x.dcm").write_text("old")
    clear_away(tmp_path)
    assert content(result) == {"x.dcm": b"old"}
    assert list(tmp_path.iterdir()) == [result]


@pytest.mark.parametrize("exchanged", [True, False])
def test_a_folder_is_replaced_without_a_moment_of_absence(exchanged, tmp_path, monkeypatch):
    from thinslice.system import output

    if not exchanged:
        monkeypatch.setattr(output, "exchange", lambda one, other: False)
    result = tmp_path / "thin"
    result.mkdir()
    (result / "x.dcm").write_text("old")
    seen, over = set(), threading.Event()

    def look() -> None:
        while not over.is_set():
            seen.add(result.exists())

    watcher = threading.Thread(target=look)
    watcher.start()
    for number in range(30):
        with whole_folder(result, is_own=lambda entry: True, overwrite=True) as folder:
            (folder / "x.dcm").write_text(str(number))
    over.set()
    watcher.join()
    assert content(result) == {"x.dcm": b"29"}
    assert list(tmp_path.iterdir()) == [result]
    if exchanged:
        assert seen == {True}


def test_a_long_name_can_be_written(tmp_path):
    path = tmp_path / ("ü" * 120 + ".nii.gz")
    with whole_file(path) as file:
        assert file.name.endswith(".nii.gz")
        file.write_text("x")
    assert path.exists()


FULL = """
import sys
from thinslice.io import writing
from thinslice.cli.app import run
writing.check_room = lambda *_, **__: None  # there was room before the work: somebody else has filled the disk since
source, dicom, folder = sys.argv[1:]
for given, name in ((source, "a.nii.gz"), (source, "b.nii"), (source, "c.nrrd"), (source, "d.mha"), (dicom, "e")):
    effort = ["--fit", "scan", "--iterations", "1", "--factor", "2", "--threads", "1"]
    code = run(["enhance", "-q", "-i", given, "-o", f"{folder}/{name}", *effort])
    print(name, code, flush=True)
    print("end of", name, file=sys.stderr, flush=True)
"""


@pytest.fixture
def full_disk(tmp_path):
    """A command line that runs a program where the folder `full` has 16 kB of room."""
    folder = tmp_path / "full"
    folder.mkdir()
    mount = f'mount -t tmpfs -o size=16k none \'{folder}\' && exec "$0" "$@"'
    for unshare in (["unshare", "-m"], ["unshare", "-rm"]):
        command = [*unshare, "sh", "-c", mount]
        if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
            return folder, command
    # Neither root nor user namespaces: every file ends at 16 kB instead, which looks alike to the program.
    return folder, ["sh", "-c", 'ulimit -f 32; exec "$0" "$@"']


def test_a_full_disk_is_one_line_and_leaves_nothing(full_disk, thick_phantom, thick_dicom):
    folder, command = full_disk
    listing = f"{FULL}\nimport os; print('left:', sorted(os.listdir(folder)))"
    done = subprocess.run(
        [*command, sys.executable, "-c", listing, thick_phantom, thick_dicom, folder],
        capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    names = ["a.nii.gz", "b.nii", "c.nrrd", "d.mha", "e"]
    assert done.stdout.splitlines() == [*(f"{name} 6" for name in names), "left: []"], done.stderr
    said = done.stderr.splitlines()
    assert said[1::2] == [f"end of {name}" for name in names], done.stderr
    assert all(line.startswith("error[OUT-FULL]: ") for line in said[::2]), done.stderr


def test_files_that_may_grow_no_further_are_one_line(tmp_path, thick_phantom, capfd):
    """A quota or a file system of small files: the system says so in other words than for a full disk."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OutputError) as refused, whole_file(tmp_path / "a") as file:
            file.write_bytes(bytes(20_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (refused.value.code, refused.value.exit_code) == ("OUT-FULL", 6)
    assert not list(tmp_path.iterdir())


def test_an_ordinary_error_leaves_no_temporary_name(tmp_path):
    def fail() -> None:
        with whole_file(tmp_path / "a") as file:
            file.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not list(tmp_path.iterdir())
