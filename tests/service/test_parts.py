"""The line of waiting series, the spool, the board and the messages."""

import json
import smtplib
import stat
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from thinslice.errors import OutputError, ResourceError, UsageError
from thinslice.service.board import Board, Ended
from thinslice.service.config import NotifyConfig, StatusConfig
from thinslice.service.notify import Notifier
from thinslice.service.orthanc import Series
from thinslice.service.spool import Spool
from thinslice.service.status import status_pages
from thinslice.service.waiting import Waiting

ENDED = Ended("0c9b51548a46", "failed", "SRV-QUOTA", "too <large>", 1.5, 1e9)
SERIES = Series("f568c566", "1.2.3", ("a",), True, "CT", "Works", "Secret^Person")


@pytest.fixture
def stop():
    return threading.Event()


def test_a_series_is_carried_by_one_at_a_time_and_waits_once(stop):
    waiting = Waiting()
    waiting.add("a", 5)
    waiting.add("a", 7)
    waiting.add("b", 6)
    assert waiting.take(stop) == ("a", 5)
    waiting.add("a", 9)  # something arrived for it meanwhile
    assert waiting.take(stop) == ("b", 6)
    assert waiting.first_seq() == 5
    waiting.put_down("a")
    assert waiting.take(stop) == ("a", 9)
    assert len(waiting) == 0


def test_what_was_begun_before_comes_last(stop):
    waiting = Waiting()
    waiting.add("suspect", 1, attempts=1)
    waiting.add("new", 2)
    assert waiting.take(stop) == ("new", 2)
    assert waiting.take(stop) == ("suspect", 1)


def test_nothing_is_taken_once_it_is_to_end(stop):
    waiting = Waiting()
    waiting.add("a", 1)
    stop.set()
    assert waiting.take(stop) is None


def test_the_spool_is_private_and_alone_and_forgets_series(tmp_path, stop):
    spool = Spool(tmp_path / "spool", 1000)
    with pytest.raises(OutputError) as caught:
        Spool(tmp_path / "spool", 1000)
    assert (caught.value.code, caught.value.exit_code) == ("SRV-BUSY", 6)
    with spool.room(400, stop) as folder:
        (folder / "slice").write_bytes(b"x" * 300)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert spool.used() >= 300
    assert not folder.exists()
    spool.keep_hint({"seq": 3})
    spool.close()
    left = tmp_path / "spool" / "work" / "left-by-a-kill"
    left.mkdir()
    again = Spool(tmp_path / "spool", 1000)
    assert not left.exists()
    assert again.hint() == {"seq": 3}


def test_the_quota_makes_wait_or_refuses(tmp_path, stop):
    spool = Spool(tmp_path / "spool", 1000)
    with pytest.raises(ResourceError, match="quota") as caught, spool.room(1001, stop):
        pass
    assert caught.value.code == "SRV-QUOTA"
    got = threading.Event()

    def second():
        with spool.room(600, stop):
            got.set()

    with spool.room(600, stop):
        thread = threading.Thread(target=second)
        thread.start()
        assert not got.wait(0.1)
    assert got.wait(10)
    thread.join()


def test_a_broken_hint_is_none(tmp_path):
    spool = Spool(tmp_path / "spool", 1000)
    for text in ("", "[1]", "{", "null"):
        (tmp_path / "spool" / "followed.json").write_text(text)
        assert spool.hint() == {}


def test_page_and_metrics():
    board = Board(waiting=lambda: 3, contact=time.time, spool_bytes=lambda: 5_000_000)
    board.stage("aaaabbbbcccc", "fetching")
    board.ended(ENDED)
    with status_pages(board, StatusConfig(port=0)) as port:
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/").read().decode()
        metrics = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/../etc/passwd")
        with pytest.raises(UsageError) as caught, status_pages(board, StatusConfig(port=port)):
            pass
        assert caught.value.code == "SRV-PORT"
    assert "3 waiting, 1 worked on" in page
    assert "too &lt;large&gt;" in page
    assert 'thinslice_series_total{code="SRV-QUOTA",state="failed"} 1.0' in metrics
    assert "thinslice_series_waiting 3.0" in metrics
    assert "thinslice_spool_bytes 5e+06" in metrics


@pytest.fixture
def heard():
    """What a webhook was told, and where it is."""
    told, got = [], threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            got.set()

        def log_message(self, format, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", told, got
    server.shutdown()
    server.server_close()


def test_a_message_names_the_series_only_where_it_may(heard):
    url, told, got = heard
    Notifier(NotifyConfig(webhook=url)).tell(ENDED, SERIES)
    assert got.wait(20)
    assert told[0]["code"] == "SRV-QUOTA"
    assert not {"1.2.3", "f568c566", "Secret"} & set(json.dumps(told).replace('"', " ").split())
    got.clear()
    Notifier(NotifyConfig(webhook=url, identity=True)).tell(ENDED, SERIES)
    assert got.wait(20)
    assert told[1]["series_instance_uid"] == "1.2.3"


def test_mail_goes_out_and_a_dead_webhook_stops_nothing(monkeypatch):
    sent, got = [], threading.Event()

    class Server:
        def __init__(self, host, port, timeout):
            self.at = host, port

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def send_message(self, mail):
            sent.append((self.at, mail))
            got.set()

    monkeypatch.setattr(smtplib, "SMTP", Server)
    config = NotifyConfig(webhook="http://127.0.0.1:1/", smtp="mail:2525", sender="a@b", to=("c@d", "e@f"))
    Notifier(config).tell(ENDED, replace(SERIES, id="x"))
    assert got.wait(30)
    ((at, mail),) = sent
    assert at == ("mail", 2525)
    assert mail["To"] == "c@d, e@f"
    assert "1.2.3" not in mail.as_string()
