"""Whoever is to know of a series that failed is told, by webhook and by e-mail, in the background."""

from __future__ import annotations

import json
import logging
import queue
import smtplib
import threading
from dataclasses import asdict
from email.message import EmailMessage
from typing import Any

from thinslice.archive.extras import import_extra
from thinslice.service.board import Ended
from thinslice.service.config import NotifyConfig
from thinslice.service.journal import note
from thinslice.service.orthanc import Series

_TIMEOUT_S = 20.0
_MOST = 1000  # messages that wait; more of them tell nothing new


class Notifier:
    """Messages go out one after another; where one cannot, the log says so, and nothing else happens.

    Args:
        config: who is told, and whether messages name the series.
    """

    def __init__(self, config: NotifyConfig) -> None:
        self._config = config
        self._waiting: queue.Queue[dict[str, Any]] = queue.Queue(_MOST)
        if config.webhook or config.smtp:
            threading.Thread(target=self._send_all, name="notify", daemon=True).start()

    def tell(self, ended: Ended, series: Series | None) -> None:
        """Tell of a series that failed.

        Args:
            ended: how.
            series: in Orthanc; named where the configuration allows it.
        """
        if not (self._config.webhook or self._config.smtp):
            return
        message = asdict(ended)
        if self._config.identity and series is not None:
            message |= {"orthanc_id": series.id, "series_instance_uid": series.uid}
        try:
            self._waiting.put_nowait(message)
        except queue.Full:
            note("a message was dropped: too many wait", level=logging.WARNING)

    def _send_all(self) -> None:
        while True:
            message = self._waiting.get()
            for way, send in (("webhook", self._by_webhook), ("smtp", self._by_mail)):
                if getattr(self._config, way):
                    try:
                        send(message)
                    except Exception as error:
                        note("a message was not sent", level=logging.WARNING, way=way, error=type(error).__name__)

    def _by_webhook(self, message: dict[str, Any]) -> None:
        requests = import_extra("requests", "serve")
        answer = requests.post(self._config.webhook, json=message, timeout=_TIMEOUT_S, allow_redirects=False)
        answer.raise_for_status()

    def _by_mail(self, message: dict[str, Any]) -> None:
        mail = EmailMessage()
        mail["From"], mail["To"] = self._config.sender, ", ".join(self._config.to)
        mail["Subject"] = f"thinslice: series {message['series']} {message['state']} ({message['code']})"
        mail.set_content(json.dumps(message, indent=2) + "\n")
        host, _, port = self._config.smtp.partition(":")
        with smtplib.SMTP(host, int(port or 25), timeout=_TIMEOUT_S) as server:
            server.send_message(mail)
