"""Memory: what is free, what is needed, and where a large output lives."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from thinslice.errors import ResourceError
from thinslice.system import memory

ACQUIRED, OUTPUT = (5, 20, 20), (25, 20, 20)


def test_the_smallest_limit_of_all_control_groups_counts(monkeypatch, tmp_path):
    """A scheduler's job is limited by a group above or below the one that this process is in."""
    outer, inner = tmp_path / "job", tmp_path / "job" / "step"
    inner.mkdir(parents=True)
    for group, limit in ((outer, "3000"), (inner, "max")):
        for name, text in (
            ("memory.max", limit),
            ("memory.current", "1500"),
            ("memory.stat", "anon 7\ninactive_file 200"),
        ):
            (group / name).write_text(text + "\n")
    monkeypatch.setattr(memory, "_control_groups", lambda: [inner, outer, tmp_path])
    assert memory.free_bytes() == 3000 - 1500 + 200


def test_the_control_group_of_this_process_is_found(monkeypatch):
    text = "4:memory:/other\n0::/system.slice/job_7/step_0\n"
    monkeypatch.setattr(Path, "read_text", lambda _: text)
    root = Path("/sys/fs/cgroup")
    assert memory._control_groups() == [
        root / "system.slice/job_7/step_0", root / "system.slice/job_7", root / "system.slice", root
    ]  # fmt: skip


def test_what_is_held_already_is_not_asked_for_again(monkeypatch):
    need = memory.estimate_bytes(ACQUIRED, OUTPUT)
    monkeypatch.setattr(memory, "free_bytes", lambda: need - 8000)
    with pytest.raises(ResourceError):
        memory.output_array(ACQUIRED, OUTPUT)
    assert memory.output_array(ACQUIRED, OUTPUT, held=8000).shape == OUTPUT


def test_files_that_take_memory_save_none(monkeypatch):
    parts = [SimpleNamespace(mountpoint="/", fstype="ext4"), SimpleNamespace(mountpoint="/tmp", fstype="tmpfs")]
    monkeypatch.setattr(memory.psutil, "disk_partitions", lambda **_: parts)
    assert memory._in_memory("/tmp/some/folder")
    assert not memory._in_memory("/var/tmp")
    monkeypatch.setattr(memory.tempfile, "gettempdir", lambda: "/tmp")
    monkeypatch.setattr(memory, "free_bytes", lambda: 70_000)
    monkeypatch.setattr(memory, "estimate_bytes", lambda acquired, output, **more: 100_000)
    with pytest.raises(ResourceError, match="memory"):
        memory.output_array(ACQUIRED, OUTPUT)


def test_a_large_output_lives_in_a_file(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: memory.WORKING_BYTES + 10**7)
    monkeypatch.setattr(memory, "estimate_bytes", lambda acquired, output, **more: memory.WORKING_BYTES)
    in_memory = memory.output_array(ACQUIRED, OUTPUT)
    monkeypatch.setattr(memory, "free_bytes", lambda: 70_000)
    monkeypatch.setattr(memory, "estimate_bytes", lambda acquired, output, **more: 50_000)
    in_file = memory.output_array(ACQUIRED, OUTPUT)
    assert not isinstance(in_memory, np.memmap)
    assert isinstance(in_file, np.memmap)
