"""Real servers on the loopback of a namespace: Orthanc, a proxy that has faults, and `thinslice serve` beside them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ORTHANC = "/usr/sbin/Orthanc"
USER, PASSWORD = "node", "a-password-that-no-log-may-hold"
ENTRY = 4646
PATIENCE_S = 240.0
ROUTE = Path(__file__).parents[2] / "deploy" / "route.lua"


def wait_until(true: Callable[[], Any], what: str, *, patience_s: float = PATIENCE_S) -> Any:
    """What it gives, once that is true; an error of the connection is none."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        try:
            if found := true():
                return found
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.1)
    raise SystemExit(f"not in {patience_s:.0f} s: {what}")


def ask(url: str, *, method: str = "GET", data: bytes | None = None) -> bytes:
    """A body, as the user of the servers; errors of HTTP are raised."""
    import base64

    request = urllib.request.Request(url, data=data, method=method)
    request.add_header("Authorization", "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return answer.read()


class Orthanc:
    """An Orthanc of its own folder, which outlives its process."""

    def __init__(self, folder: Path, *, name: str, http_port: int, dicom_port: int, route_to: int = 0) -> None:
        self.folder, self.name, self.dicom_port = folder, name, dicom_port
        self.url = f"http://127.0.0.1:{http_port}"
        folder.mkdir()
        (folder / "orthanc.json").write_text(
            json.dumps(
                {
                    "Name": name,
                    "StorageDirectory": str(folder / "db"),
                    "IndexDirectory": str(folder / "db"),
                    "HttpPort": http_port,
                    "DicomPort": dicom_port,
                    "DicomAet": name,
                    "AuthenticationEnabled": True,
                    "RegisteredUsers": {USER: PASSWORD},
                    "RemoteAccessAllowed": True,  # in a namespace that holds the loopback alone
                    "DicomAlwaysAllowStore": True,
                    "DicomCheckCalledAet": False,
                    "StableAge": 1,
                    "Plugins": ["/usr/share/orthanc/plugins/libOrthancDicomWeb.so"],
                    "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
                    "DicomModalities": {"pacs": ["PACS", "127.0.0.1", route_to]} if route_to else {},
                    "LuaScripts": [str(ROUTE)] if route_to else [],
                }
            )
        )

    def start(self) -> None:
        self.log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [ORTHANC, str(self.folder / "orthanc.json")], stdout=self.log, stderr=self.log, cwd=self.folder
        )
        wait_until(lambda: self.get("/system"), f"Orthanc {self.name} answers")

    def stop(self, how: int = signal.SIGTERM) -> None:
        self.process.send_signal(how)
        self.process.wait(60)
        self.log.close()

    def get(self, path: str) -> Any:
        return json.loads(ask(self.url + path))

    def qido(self, level: str, **keys: str) -> list[dict[str, Any]]:
        """What QIDO-RS finds: attributes by their numbers."""
        query = "&".join(f"{key}={value}" for key, value in keys.items())
        return json.loads(ask(f"{self.url}/dicom-web/{level}?{query}") or b"[]")

    def send(self, folder: Path) -> None:
        """C-STORE of every file, by dcmtk's storescu."""
        sent = ["storescu", "-aec", self.name, "127.0.0.1", str(self.dicom_port), "+sd", "+r", str(folder)]
        subprocess.run(sent, check=True, capture_output=True, timeout=PATIENCE_S)

    def series(self) -> list[dict[str, Any]]:
        """All series, each with our entry as "entry" where it has one."""
        found = self.get("/series?expand")
        for one in found:
            names = self.get(f"/series/{one['ID']}/metadata")
            text = ask(f"{self.url}/series/{one['ID']}/metadata/{ENTRY}") if str(ENTRY) in names else b"null"
            one["entry"] = json.loads(text)
        return found

    def entry(self, uid: str) -> dict[str, Any] | None:
        return next((one["entry"] for one in self.series() if one["MainDicomTags"]["SeriesInstanceUID"] == uid), None)


class Serve:
    """`thinslice serve` as a process of its own."""

    def __init__(self, folder: Path, url: str, *, port: int = 18043, enhance: str = "check = false") -> None:
        self.folder, self.page = folder, f"http://127.0.0.1:{port}"
        folder.mkdir()
        (folder / "node.toml").write_text(f"""
[orthanc]
url = "{url}"
user = "{USER}"
password_env = "NODE_PASSWORD"
timeout_s = 5
poll_s = 0.3
[enhance]
{enhance}
[workers]
count = 1
[spool]
folder = "{folder}/spool"
[status]
port = {port}
""")

    def start(self) -> None:
        self.log = (self.folder / "log").open("ab")
        self.log_from = (self.folder / "log").stat().st_size
        command = [sys.executable, "-m", "thinslice", "serve", "--config", str(self.folder / "node.toml")]
        environment = os.environ | {"NODE_PASSWORD": PASSWORD, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(command, stderr=self.log, env=environment, cwd=self.folder)

    def log_since_start(self) -> str:
        return (self.folder / "log").read_text()[self.log_from :]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)
        self.log.close()

    def end(self) -> int:
        """The exit code after SIGTERM."""
        self.process.terminate()
        code = self.process.wait(120)
        self.log.close()
        return code

    def events(self) -> list[dict[str, Any]]:
        """The log: every line of it is JSON."""
        lines = (self.folder / "log").read_text().splitlines()
        return [json.loads(line) for line in lines]


class Proxy:
    """Passes requests on to Orthanc; `fault(method, path)` says what goes wrong with each: "" for nothing.

    Faults: "500"; "slow" (an answer after 8 s); "drip" (a byte a second); "cut" (half of the body that is announced);
    "short" (half of it, announced as such); "lost" (the request is done, and the answer never comes).
    """

    def __init__(self, port: int, target: str) -> None:
        self.fault: Callable[[str, str], str] = lambda method, path: ""
        self.url, self.counts = f"http://127.0.0.1:{port}", dict[str, int]()
        host, to = target.removeprefix("http://").split(":")
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fault = proxy.fault(self.command, self.path)
                if fault:
                    proxy.counts[fault] = proxy.counts.get(fault, 0) + 1
                if fault == "500":
                    return self.give(500, b"{}")
                try:
                    onward = http.client.HTTPConnection(host, int(to), timeout=PATIENCE_S)
                    kept = ("Authorization", "Content-Type", "Accept")
                    onward.request(
                        self.command, self.path, data, {k: v for k in kept if (v := self.headers.get(k)) is not None}
                    )
                    answer = onward.getresponse()
                    body = answer.read()
                except OSError:
                    self.close_connection = True
                    return None
                if fault == "slow":
                    time.sleep(8)
                if fault == "lost":
                    self.close_connection = True
                    return None
                if fault == "short":
                    return self.give(answer.status, body[: len(body) // 2])
                return self.give(answer.status, body, fault)

            def give(self, status: int, body: bytes, fault: str = "") -> None:
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    if fault == "cut":
                        self.wfile.write(body[: len(body) // 2])
                        self.close_connection = True
                    elif fault == "drip":
                        for n in range(min(len(body), 12)):
                            self.wfile.write(body[n : n + 1])
                            time.sleep(1)
                        self.close_connection = True
                    else:
                        self.wfile.write(body)
                except OSError:
                    self.close_connection = True

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
