"""The process that decodes: images in at stdin, pixels out at stdout, nothing else.

A damaged or hostile image can crash a native decoder, hang it or make it ask for all memory. Here it
takes this process with it and no other: memory is bounded by the system, and so is the processor time
of an image, after which the system's alarm ends the process whatever it is doing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
from typing import BinaryIO

from thinslice.io.dicom.pixels.codec import FrameHeader, decode_image

REQUEST = struct.Struct("<64sIIBB?Q")
"""Transfer syntax, rows, columns, bits allocated, bits stored, signed, bytes of the codestream that follows."""
REPLY = struct.Struct("<cQ")
"""Outcome, and bytes of what follows."""
READY, DECODED, DAMAGED, NO_DECODER = b"!", b"+", b"-", b"?"
MEMORY_BYTES = 4 << 30
SECONDS, SECONDS_PER_MEGAPIXEL = 5.0, 8.0


def seconds_for(header: FrameHeader) -> float:
    """Most processor time for an image: a hundred times what the slowest codec needs."""
    return SECONDS + SECONDS_PER_MEGAPIXEL * header.rows * header.columns / 1e6


def main() -> None:
    """Serve until stdin ends."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # what decoders print is neither a reply nor for the user's terminal
        os.dup2(nowhere, stream)
    with contextlib.suppress(ImportError, OSError, ValueError):  # where the system knows no such limit
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    replies.write(READY)
    replies.flush()
    while serve_one(requests, replies):
        pass


def serve_one(requests: BinaryIO, replies: BinaryIO) -> bool:
    """Answer one request; False where there are no more."""
    head = requests.read(REQUEST.size)
    if len(head) < REQUEST.size:
        return False
    syntax, rows, columns, allocated, stored, signed, length = REQUEST.unpack(head)
    header = FrameHeader(syntax.rstrip(b"\0").decode("ascii"), rows, columns, allocated, stored, signed)
    outcome, content = decoded(requests.read(length), header)
    replies.write(REPLY.pack(outcome, len(content)))
    replies.write(content)
    replies.flush()
    return True


def decoded(codestream: bytes, header: FrameHeader) -> tuple[bytes, bytes]:
    """The outcome of an image, and its bytes or the decoder's name."""
    _alarm_after(seconds_for(header))
    try:
        image = decode_image(codestream, header)
        return DECODED, image.astype(f"<u{image.dtype.itemsize}", copy=False).tobytes()
    except ModuleNotFoundError as error:
        return NO_DECODER, (error.name or "").encode()
    except BaseException:  # a decoder written in Rust panics with one that is no Exception
        return DAMAGED, b""
    finally:
        _alarm_after(0)


def _alarm_after(seconds: float) -> None:
    """Have the system end this process after so much processor time; 0 calls it off."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, seconds)
