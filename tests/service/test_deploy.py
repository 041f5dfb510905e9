"""What stands in deploy/ is in order, as far as no engine is needed to tell."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from thick import saved, thick

from thinslice.io.dicom import read_series


@pytest.fixture(scope="module")
def deploy() -> Path:
    return Path(__file__).parents[2] / "deploy"


def test_every_file_that_an_image_copies_is_there(deploy):
    copied = []
    for line in (deploy / "Containerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            copied += shlex.split(line)[1:-1]
    files = re.search(r"%files\n((?: +.*\n)+)", (deploy / "thinslice.def").read_text())
    assert files
    copied += [line.split()[0] for line in files[1].splitlines()]
    assert len(copied) >= 10
    assert [name for name in copied if not (deploy.parent / name).exists()] == []


def test_the_image_runs_as_nobody_in_particular_and_installs_what_serve_needs(deploy):
    text = (deploy / "Containerfile").read_text()
    assert re.search(r"^USER 10001$", text, re.M)
    extras = (deploy.parent / "pyproject.toml").read_text()
    for name in re.findall(r'"\.\[(.*?)\]"', text)[0].split(","):
        assert re.search(rf"^{name} = \[", extras, re.M)


def test_what_compose_mounts_is_there(deploy):
    text = (deploy / "compose.yaml").read_text()
    mounted = re.findall(r"- \./([\w.]+):", text)
    assert {"orthanc.json", "route.lua", "node.toml"} <= set(mounted)
    assert [name for name in mounted if not (deploy / name).exists()] == []


def test_documents_can_be_read(deploy):
    orthanc = json.loads((deploy / "orthanc.json").read_text())
    assert orthanc["AuthenticationEnabled"]
    assert "pacs" in orthanc["DicomModalities"]
    module = json.loads((deploy / "mercure.json").read_text())["modules"]["thinslice"]
    assert json.loads(module["environment"])
    assert json.loads(module["docker_arguments"])["network_mode"] == "none"


def test_the_unit_is_in_order(deploy, tmp_path):
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not here")
    unit = tmp_path / "thinslice.service"
    unit.write_text((deploy / "thinslice.service").read_text().replace("/opt/thinslice/bin/thinslice", "/bin/true"))
    done = subprocess.run([tool, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert str(unit) not in done.stderr


@pytest.fixture
def program(tmp_path) -> dict[str, str]:
    """An environment in which `thinslice` is a program."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "thinslice").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m thinslice "$@"\n')
    (folder / "thinslice").chmod(0o755)
    return os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}


def test_the_entry_point_does_what_mercure_asks_for(deploy, program, tmp_path):
    saved(thick(1), tmp_path / "in")
    (tmp_path / "in" / "task.json").write_text("{}")  # mercure puts one beside the images
    (tmp_path / "out").mkdir()
    environment = program | {
        "MERCURE_IN_DIR": str(tmp_path / "in"), "MERCURE_OUT_DIR": str(tmp_path / "out"),
        "THINSLICE_OPTIONS": "--fit none --no-check",
    }  # fmt: skip
    done = subprocess.run([str(deploy / "entrypoint.sh")], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(read_series(tmp_path / "out", allow_derived=True).hu) == 60
    assert all(path.suffix == ".dcm" for path in (tmp_path / "out").iterdir())


def test_a_refused_series_fails_the_module_and_leaves_nothing(deploy, program, tmp_path):
    saved(thick(1)[:1], tmp_path / "in")
    (tmp_path / "out").mkdir()
    environment = program | {"MERCURE_IN_DIR": str(tmp_path / "in"), "MERCURE_OUT_DIR": str(tmp_path / "out")}
    done = subprocess.run([str(deploy / "entrypoint.sh")], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "error[" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_without_mercure_the_entry_point_runs_its_arguments(deploy, program):
    done = subprocess.run(
        [str(deploy / "entrypoint.sh"), "echo", "as it is"], env=program, capture_output=True, text=True, check=True
    )
    assert done.stdout == "as it is\n"
