"""A real archive (Orthanc) takes a derived series, by C-STORE and by STOW-RS, and gives every pixel back."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from archive_client import ORTHANC
from dicom_phantom import save, series
from thin import PROVENANCE, linear_thin

from thinslice.io.dicom import read_series, write_series
from thinslice.io.output_format import OutputFormat
from thinslice.volume import Volume

ISOLATED = [  # own network (loopback alone) and own process tree, which ends with its first process
    *("unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"),
]


@pytest.fixture(scope="module")
def orthanc() -> None:
    missing = [name for name in (ORTHANC, "unshare", "ip") if not shutil.which(name)]
    if not missing:
        return
    absent = f"not here: {', '.join(missing)} (apt-get install orthanc orthanc-dicomweb iproute2)"
    if os.environ.get("CI"):
        pytest.fail(f"in CI they must be there: {absent}", pytrace=False)
    pytest.skip(absent)


@pytest.fixture(scope="module")
def stored(orthanc, tmp_path_factory) -> tuple[Path, dict[str, Volume], dict]:
    """The folder, the volumes that were written, and what the archive answered."""
    folder = tmp_path_factory.mktemp("archive")
    save(series(), folder / "in")
    source = read_series(folder / "in")
    volumes = {"by_dimse": linear_thin(source, factor=2), "by_web": linear_thin(source, factor=3)}
    for name, compress in (("by_dimse", "none"), ("by_web", "jpegls")):
        write_series(
            volumes[name], folder / name, OutputFormat(compress=compress), source=source, provenance=PROVENANCE
        )
    done = subprocess.run(
        [*ISOLATED, sys.executable, str(Path(__file__).with_name("archive_client.py")), str(folder)],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    log = (folder / "orthanc.log").read_text(errors="replace") if (folder / "orthanc.log").exists() else ""
    assert done.returncode == 0, f"{done.stderr[-2000:]}\n{log[-2000:]}"
    return folder, volumes, json.loads((folder / "answers.json").read_text())


def test_every_instance_is_accepted(stored):
    _, volumes, answers = stored
    assert answers["c_store"] == [0] * volumes["by_dimse"].shape[0]
    assert answers["c_store_again"] == [0]
    assert len(answers["stow"]["00081199"]["Value"]) == volumes["by_web"].shape[0]
    assert not answers["stow"].get("00081198", {}).get("Value")  # the sequence of failures


@pytest.mark.parametrize("name", ["by_dimse", "by_web"])
def test_the_archive_tells_what_it_holds(name, stored):
    _, volumes, answers = stored
    assert len(answers[f"{name}_qido"]) == volumes[name].shape[0]
    for instance in answers[f"{name}_metadata"]:
        assert instance["0008001C"]["Value"] == ["YES"]  # SyntheticData
        assert "not acquired data" in instance["00082111"]["Value"][0]  # DerivationDescription


@pytest.mark.parametrize("way", ["c_get", "wado"])
@pytest.mark.parametrize("name", ["by_dimse", "by_web"])
def test_it_comes_back_pixel_for_pixel_in_its_place(name, way, stored):
    folder, volumes, answers = stored
    assert answers[f"{name}_c_get"] == 0
    fetched = folder / "fetched" / f"{name}_{way}"
    sent = {ds.SOPInstanceUID: ds for ds in map(pydicom.dcmread, (folder / name).iterdir())}
    received = {ds.SOPInstanceUID: ds for ds in map(pydicom.dcmread, fetched.iterdir())}
    assert received.keys() == sent.keys()
    for uid, ds in received.items():
        assert ds.file_meta.TransferSyntaxUID == sent[uid].file_meta.TransferSyntaxUID
        np.testing.assert_array_equal(ds.pixel_array, sent[uid].pixel_array)
    back = read_series(fetched, allow_derived=True)
    np.testing.assert_array_equal(back.hu, np.rint(volumes[name].hu))
    np.testing.assert_allclose(back.affine, volumes[name].affine, atol=2e-6)
