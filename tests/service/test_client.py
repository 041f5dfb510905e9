"""The client of Orthanc's REST API against a server that has faults: what it gives is whole, or an error."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from thinslice.service import orthanc as client
from thinslice.service.config import OrthancConfig
from thinslice.service.orthanc import Away, Gone, Locked, Orthanc, Refused

BODY = b"D" * 5000
SYSTEM = json.dumps({"Version": "1.10.1"}).encode()


@pytest.fixture
def server(monkeypatch):
    """A server that gives what `answers` holds, one after another, the last again and again."""
    monkeypatch.setattr(client, "_PAUSE_S", 0.001)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def any(self):
            server.asked.append(
                (self.command, self.path, self.rfile.read(int(self.headers.get("Content-Length") or 0)))
            )
            server.headers.append(dict(self.headers))
            answer = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
            status, body, stated, pause = answer
            time.sleep(pause)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if stated is None else stated))
            self.end_headers()
            self.wfile.write(body)
            if stated is not None:
                self.close_connection = True

        do_GET = do_POST = do_PUT = do_DELETE = any

        def log_message(self, format, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.asked, server.headers, server.answers = [], [], []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def answer(status=200, body=SYSTEM, stated=None, pause=0.0):
    return status, body, stated, pause


def at(server, **options) -> Orthanc:
    return Orthanc(OrthancConfig(url=f"http://127.0.0.1:{server.server_port}", **options))


FAULTS = {
    "a fault of its own": answer(500, b""),
    "too busy": answer(503, b""),
    "cut off": answer(body=SYSTEM[:5], stated=len(SYSTEM)),
    "cut short": answer(body=SYSTEM[:5]),
    "too slow": answer(pause=0.6),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_question_is_asked_again_until_the_answer_is_whole(fault, server):
    server.answers = [fault, fault, answer()]
    assert at(server, timeout_s=0.3).system() == {"Version": "1.10.1"}
    assert len(server.asked) == 3


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_and_not_for_ever(fault, server):
    server.answers = [fault]
    orthanc = at(server, timeout_s=0.3)
    with pytest.raises(Away):
        orthanc.system()
    assert len(server.asked) == 5


def test_what_changes_something_is_asked_once(server):
    server.answers = [answer(500)]
    for change in (lambda o: o.put_entry("s", "{}"), lambda o: o.delete_series("s")):
        server.asked.clear()
        with pytest.raises(Away):
            change(at(server))
        assert len(server.asked) == 1


def test_an_instance_comes_whole_or_not_at_all(server, tmp_path):
    server.answers = [answer(body=BODY[:700]), answer(body=BODY[:700], stated=5000), answer(body=BODY)]
    at(server).fetch("i", tmp_path / "i.dcm", size=5000)
    assert (tmp_path / "i.dcm").read_bytes() == BODY
    assert (tmp_path / "i.dcm").stat().st_mode & 0o777 == 0o600
    server.answers = [answer(body=BODY[:700])]
    with pytest.raises(Away, match="5000 bytes came as 700"):
        at(server).fetch("i", tmp_path / "j.dcm", size=5000)
    assert [path.name for path in tmp_path.iterdir()] == ["i.dcm"]


def test_a_store_counts_only_when_the_answer_says_so(server, tmp_path):
    file = tmp_path / "i.dcm"
    file.write_bytes(BODY)
    for status in ("Success", "AlreadyStored"):
        server.answers = [answer(body=json.dumps({"ID": "x", "Status": status}).encode())]
        assert at(server).store(file) == "x"
    assert server.asked[-1] == ("POST", "/instances", BODY)
    for body in (b'{"ID": "x", "Status": "Failure"}', b'{"ID": "x", "Status": "FilteredOut"}', b"{}", b"[]"):
        server.answers = [answer(body=body)]
        with pytest.raises(Refused):
            at(server).store(file)
    server.answers = [answer(body=b'{"ID": "x", "Sta')]
    with pytest.raises(Away):
        at(server).store(file)
    server.answers = [answer(400)]
    with pytest.raises(Refused):
        at(server).store(file)


def test_what_no_waiting_helps_is_said(server):
    server.answers = [answer(401)]
    with pytest.raises(Locked) as caught:
        at(server).system()
    assert (caught.value.code, caught.value.exit_code) == ("SRV-LOGIN", 2)
    server.answers = [answer(404)]
    with pytest.raises(Gone):
        at(server).series("s")
    assert at(server).entry("s") == ""
    at(server).delete_series("s")


def test_the_password_goes_out_and_into_no_error(server, monkeypatch):
    monkeypatch.setenv("NODE_SECRET", "pa55")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # and no proxy of the environment is asked
    server.answers = [answer(500)]
    with pytest.raises(Away) as caught:
        at(server, user="me", password_env="NODE_SECRET").system()
    assert server.headers[0]["Authorization"].startswith("Basic ")
    assert "pa55" not in str(caught.value)


def test_nobody_there_is_away():
    with pytest.raises(Away):
        Orthanc(OrthancConfig(url="http://127.0.0.1:1")).system()


def test_a_redirection_is_not_followed(server):
    server.answers = [answer(302)]
    with pytest.raises(Refused):
        at(server).system()
