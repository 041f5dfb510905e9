"""Run in a network namespace of its own: start Orthanc, store two series, fetch them again, stop it.

`python archive_client.py FOLDER`: FOLDER holds `by_dimse` and `by_web`, a series each. They are stored by
C-STORE and by STOW-RS; both are fetched by C-GET and by WADO-RS into FOLDER/fetched. What the archive answered
goes to FOLDER/answers.json. Orthanc binds to every address there is, so the namespace holds the loopback alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import CTImageStorage, StudyRootQueryRetrieveInformationModelGet, Verification

ORTHANC = "/usr/sbin/Orthanc"
DICOM_PORT, HTTP_PORT = 14242, 18042
WEB = f"http://127.0.0.1:{HTTP_PORT}/dicom-web"
SYNTAXES = [ExplicitVRLittleEndian, JPEGLSLossless]
PATIENCE_S = 240.0  # for an answer, on a machine that is busy with other things


def configuration(folder: Path) -> dict[str, Any]:
    return {
        "Name": "TEST",
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpPort": HTTP_PORT,
        "DicomPort": DICOM_PORT,
        "DicomAet": "ORTHANC",
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowGet": True,
        "DicomCheckCalledAet": False,
        "OverwriteInstances": False,
        "Plugins": ["/usr/share/orthanc/plugins/libOrthancDicomWeb.so"],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }


def association(*contexts: tuple[str, list[str]], **options: Any) -> Any:
    """An association with the archive, or None."""
    entity = AE("THINSLICE")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = PATIENCE_S
    for abstract, syntaxes in contexts:
        entity.add_requested_context(abstract, syntaxes)
    found = entity.associate("127.0.0.1", DICOM_PORT, ae_title="ORTHANC", **options)
    return found if found.is_established else None


def wait_until_it_answers(orthanc: subprocess.Popen[bytes]) -> None:
    """Both ports, asked at most 300 times."""
    for _ in range(300):
        if orthanc.poll() is not None:
            raise SystemExit(f"Orthanc ended with {orthanc.returncode} before it answered")
        try:
            with urllib.request.urlopen(f"{WEB}/studies", timeout=PATIENCE_S):
                pass
            echo = association((Verification, [ExplicitVRLittleEndian]))
            if echo is not None:
                echo.release()
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise SystemExit("Orthanc did not answer in time")


def store(files: list[Path]) -> list[int]:
    """C-STORE; the status of each."""
    sent = association(*((CTImageStorage, [syntax]) for syntax in SYNTAXES))
    if sent is None:
        raise SystemExit("no association for C-STORE")
    try:
        return [int(sent.send_c_store(file).get("Status", -1)) for file in files]
    finally:
        sent.release()


def stow(files: list[Path]) -> dict[str, Any]:
    """STOW-RS of all files in one request; the archive's answer."""
    boundary = "thinslice-boundary"
    parts = [
        f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + file.read_bytes() + b"\r\n"
        for file in files
    ]
    request = urllib.request.Request(
        f"{WEB}/studies",
        data=b"".join(parts) + f"--{boundary}--\r\n".encode(),
        headers={
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Accept": "application/dicom+json",
        },
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return json.load(answer)


def get_by_dimse(series: Dataset, folder: Path) -> int:
    """C-GET of a series into files; the final status."""
    folder.mkdir(parents=True)

    def keep(event: Any) -> int:
        found = event.dataset
        found.file_meta = event.file_meta
        found.save_as(folder / f"{found.InstanceNumber}.dcm", enforce_file_format=True)
        return 0

    wanted = Dataset()
    wanted.QueryRetrieveLevel = "SERIES"
    wanted.StudyInstanceUID, wanted.SeriesInstanceUID = series.StudyInstanceUID, series.SeriesInstanceUID
    syntax = [series.file_meta.TransferSyntaxUID]
    opened = association(
        (StudyRootQueryRetrieveInformationModelGet, [ExplicitVRLittleEndian]),
        (CTImageStorage, syntax),
        ext_neg=[build_role(CTImageStorage, scp_role=True)],
        evt_handlers=[(evt.EVT_C_STORE, keep)],
    )
    if opened is None:
        raise SystemExit("no association for C-GET")
    try:
        answers = [status for status, _ in opened.send_c_get(wanted, StudyRootQueryRetrieveInformationModelGet)]
        return int(answers[-1].get("Status", -1))
    finally:
        opened.release()


def fetch(url: str, accept: str) -> tuple[bytes, str]:
    """A body and its Content-Type."""
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept}), timeout=PATIENCE_S) as answer:
        return answer.read(), answer.headers["Content-Type"]


def get_by_web(series: Dataset, folder: Path) -> list[dict[str, Any]]:
    """WADO-RS of a series, as stored, into files; the metadata of its instances."""
    folder.mkdir(parents=True)
    url = f"{WEB}/studies/{series.StudyInstanceUID}/series/{series.SeriesInstanceUID}"
    body, kind = fetch(url, 'multipart/related; type="application/dicom"; transfer-syntax=*')
    boundary = kind.split("boundary=")[1].split(";")[0].strip('"').encode()
    for number, part in enumerate(body.split(b"--" + boundary)[1:-1]):
        content = part.split(b"\r\n\r\n", 1)[1]
        (folder / f"{number}.dcm").write_bytes(content[:-2])
    return json.loads(fetch(f"{url}/metadata", "application/dicom+json")[0])


def main() -> None:
    folder = Path(sys.argv[1])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    (folder / "orthanc.json").write_text(json.dumps(configuration(folder)))
    with (folder / "orthanc.log").open("wb") as log:
        orthanc = subprocess.Popen([ORTHANC, str(folder / "orthanc.json")], stdout=log, stderr=log, cwd=folder)
        try:
            wait_until_it_answers(orthanc)
            answers: dict[str, Any] = {}
            files = {name: sorted((folder / name).iterdir()) for name in ("by_dimse", "by_web")}
            answers["c_store"] = store(files["by_dimse"])
            answers["c_store_again"] = store(files["by_dimse"][:1])
            answers["stow"] = stow(files["by_web"])
            for name, stored in files.items():
                series = pydicom.dcmread(stored[0], stop_before_pixels=True)
                answers[f"{name}_c_get"] = get_by_dimse(series, folder / "fetched" / f"{name}_c_get")
                answers[f"{name}_metadata"] = get_by_web(series, folder / "fetched" / f"{name}_wado")
                found = f"{WEB}/studies/{series.StudyInstanceUID}/series/{series.SeriesInstanceUID}/instances"
                answers[f"{name}_qido"] = json.loads(fetch(found, "application/dicom+json")[0])
            (folder / "answers.json").write_text(json.dumps(answers))
        finally:
            orthanc.terminate()
            try:
                orthanc.wait(30)
            except subprocess.TimeoutExpired:
                orthanc.kill()
                orthanc.wait()


if __name__ == "__main__":
    main()
