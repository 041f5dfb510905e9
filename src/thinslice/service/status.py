"""The status page and the metrics over HTTP, on loopback unless the configuration says otherwise."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from thinslice.errors import UsageError
from thinslice.report.template import render_page
from thinslice.service.board import Board
from thinslice.service.config import StatusConfig

_HTML, _METRICS, _PLAIN = "text/html; charset=utf-8", "text/plain; version=0.0.4; charset=utf-8", "text/plain"


@contextmanager
def status_pages(board: Board, config: StatusConfig) -> Iterator[int]:
    """Serve `/` and `/metrics` within the block; gives the port.

    Raises:
        UsageError: SRV-PORT where nothing can listen there.
    """
    try:
        server = ThreadingHTTPServer((config.host, config.port), _handler(board))
    except OSError as error:
        where = f"{config.host}:{config.port}"
        raise UsageError(
            "SRV-PORT", f"the status page cannot listen at {where}: {error.strerror}; see [status]"
        ) from error
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="status", daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def _handler(board: Board) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Two pages, to be read and nothing else."""

        server_version, sys_version = "thinslice", ""
        timeout = 30

        def do_GET(self) -> None:
            if self.path == "/":
                self._answer(render_page("status.html.j2", of="thinslice.service", **board.shown()).encode(), _HTML)
            elif self.path == "/metrics":
                self._answer(board.metrics(), _METRICS)
            else:
                self._answer(b"not found\n", _PLAIN, HTTPStatus.NOT_FOUND)

        def _answer(self, body: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: who looks at the page is no event."""

    return Handler
