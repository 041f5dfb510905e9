"""UIDs of derived objects: the same input, settings and voxels give the same UIDs."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable

IMPLEMENTATION_CLASS_UID = "2.25.196318640573301271935474306713806540113"
"""Of the files that this package writes; a UUID drawn once."""


def digest(parts: Iterable[str | bytes]) -> str:
    """SHA-256 over parts, each preceded by its length, so that no two lists run into one."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big"))
        total.update(data)
    return total.hexdigest()


def uid_from(*parts: str | bytes) -> str:
    """A UID under 2.25 from a UUID of version 8 (RFC 9562: free content) made of the parts' digest."""
    value = bytearray(bytes.fromhex(digest(parts))[:16])
    value[6] = value[6] & 0x0F | 0x80
    value[8] = value[8] & 0x3F | 0x80
    return f"2.25.{uuid.UUID(bytes=bytes(value)).int}"
