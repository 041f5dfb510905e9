"""Write gzip fast and always alike: blocks are deflated in threads and joined in order.

The stream is one gzip member, as every reader expects, made of deflate blocks that end on a byte
(sync flush). Blocks are cut by what is written, not by timing, and the header holds no time: the
same data give the same bytes, with any number of threads.
"""

from __future__ import annotations

import struct
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from thinslice.system.processors import processors

_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"  # deflate, no name, time 0, fastest, unknown system
_BLOCK_BYTES = 4 << 20
_MOST_THREADS = 16  # twice as many blocks wait: 128 MiB
_LEVEL = 1  # CT noise hardly compresses further: level 6 takes 4 times as long for 5 % less


class GzipBlocks:
    """A gzip stream in the making; see `gzip_blocks`."""

    def __init__(self, file: BinaryIO, pool: ThreadPoolExecutor, *, ahead: int) -> None:
        self._file = file
        self._pool = pool
        self._ahead = ahead
        self._pending: deque[Future[bytes]] = deque()
        self._crc = 0
        self._size = 0
        file.write(_HEADER)

    def write(self, data: bytes | memoryview) -> None:
        """Queue bytes for compression; at most `ahead` blocks wait."""
        view = memoryview(data).cast("B")
        self._size += len(view)
        for start in range(0, len(view), _BLOCK_BYTES):
            block = view[start : start + _BLOCK_BYTES]
            self._crc = zlib.crc32(block, self._crc)
            self._pending.append(self._pool.submit(_deflate, block))
            self._write_done(self._ahead)

    def close(self) -> None:
        """Write what is left and the trailer."""
        self._write_done(0)
        self._file.write(b"\x03\x00" + struct.pack("<II", self._crc, self._size & 0xFFFFFFFF))

    def _write_done(self, allowed: int) -> None:
        while len(self._pending) > allowed:
            self._file.write(self._pending.popleft().result())


@contextmanager
def gzip_blocks(path: Path, *, threads: int | None = None) -> Iterator[GzipBlocks]:
    """Open `path` for writing a gzip stream.

    Args:
        path: the file to be made.
        threads: how many compress at once; by default one for each processor, `_MOST_THREADS` at most.
    """
    count = threads or min(processors(), _MOST_THREADS)
    with path.open("wb") as file, ThreadPoolExecutor(count) as pool:
        stream = GzipBlocks(file, pool, ahead=2 * count)
        yield stream
        stream.close()


def _deflate(block: memoryview) -> bytes:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)
    return packer.compress(block) + packer.flush(zlib.Z_SYNC_FLUSH)
