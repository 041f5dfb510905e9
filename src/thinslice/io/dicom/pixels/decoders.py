"""Have images decoded by worker processes, so that no damaged image takes the program with it.

Workers are started when the first compressed image is met, and wait for the next series when one is
done. They end with the program, or when it is killed: their stdin ends then.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from typing import IO

import numpy as np

from thinslice.io.dicom.pixels.codec import FrameHeader
from thinslice.io.dicom.pixels.worker import DECODED, NO_DECODER, READY, REPLY, REQUEST

_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from thinslice.io.dicom.pixels.worker import main; main()"
)


class DecoderError(Exception):
    """An image that cannot be decoded."""


class NoDecoderError(DecoderError):
    """The decoder of this name is not installed."""


class _Worker:
    """A process that decodes one image at a time."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", _START, json.dumps(sys.path)],  # -I: import nothing from the folder we are in
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for the program, which ends its workers
        )
        assert self.process.stdout is not None
        if self.process.stdout.read(1) != READY:
            self.close()
            raise NoDecoderError("thinslice.io.dicom.pixels.worker, a process of its own, which did not start")

    @property
    def alive(self) -> bool:
        """Whether it can take an image; one that was started before a fork belongs to the parent."""
        return self.owner == os.getpid() and self.process.poll() is None

    def decode(self, codestream: bytes, header: FrameHeader) -> np.ndarray:
        """(rows, columns) unsigned container values.

        Raises:
            DecoderError: where the image is damaged, or the process died of it.
        """
        try:
            outcome, content = self._exchange(codestream, header)
        except OSError as error:
            self.close()
            raise DecoderError("the decoder died of it") from error
        if outcome == NO_DECODER:
            raise NoDecoderError(content.decode())
        size = header.rows * header.columns
        if outcome != DECODED or not content or len(content) % size:
            raise DecoderError("the decoder refuses it")
        return np.frombuffer(content, f"<u{len(content) // size}").reshape(header.rows, header.columns)

    def _exchange(self, codestream: bytes, header: FrameHeader) -> tuple[bytes, bytes]:
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        head = REQUEST.pack(
            header.syntax.encode("ascii"), header.rows, header.columns, header.allocated, header.stored, header.signed,
            len(codestream),
        )  # fmt: skip
        stdin.write(head)
        stdin.write(codestream)
        stdin.flush()
        outcome, length = REPLY.unpack(_exactly(stdout, REPLY.size))
        return outcome, _exactly(stdout, length)

    def close(self) -> None:
        """End the process."""
        if self.owner == os.getpid():
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    _close(pipe)


def decode(codestream: bytes, header: FrameHeader) -> np.ndarray:
    """(rows, columns) unsigned container values of a compressed image; may be called from several threads.

    Raises:
        DecoderError: where the image is damaged.
        NoDecoderError: where no decoder for it is installed.
    """
    with _lock:
        worker = None
        while _idle and worker is None:
            worker = _idle.pop()
            if not worker.alive:
                worker.close()
                worker = None
    worker = worker or _Worker()
    try:
        image = worker.decode(codestream, header)
    except DecoderError:
        _put_back(worker)
        raise
    except BaseException:  # Ctrl-C between question and answer: the next question would get this one's answer
        worker.close()
        raise
    _put_back(worker)
    return image


_lock = threading.Lock()
_idle: list[_Worker] = []


def _put_back(worker: _Worker) -> None:
    if worker.alive:
        with _lock:
            _idle.append(worker)


@atexit.register
def _end_all() -> None:
    while _idle:
        _idle.pop().close()


def _after_fork() -> None:
    """In the child: the workers are the parent's, and one of its other threads may have held the lock."""
    global _lock
    _lock = threading.Lock()
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _exactly(pipe: IO[bytes], count: int) -> bytes:
    data = pipe.read(count)
    if len(data) < count:
        raise OSError("the worker is gone")
    return data


def _close(pipe: IO[bytes]) -> None:
    with contextlib.suppress(OSError):  # of what could not be written any more
        pipe.close()
