"""Pass 2: pixels of one slice, from bytes to stored values.

Stored values are what PixelRepresentation and BitsStored say: bits above BitsStored (overlays of old)
are masked away, then the sign is extended, whether the writer extended it or not. Declared padding that needs
these bits keeps them: without, it would be a value of tissue.
"""

from __future__ import annotations

import struct
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from pydicom.encaps import get_frame
from pydicom.uid import ExplicitVRBigEndian

from thinslice.errors import ThinsliceError
from thinslice.io.dicom.headers.codes import refusal
from thinslice.io.dicom.headers.slices import DicomFile, Slice
from thinslice.io.dicom.pixels import decoders
from thinslice.io.dicom.pixels.codec import FrameHeader
from thinslice.io.dicom.pixels.padding import padding_value
from thinslice.system.processors import processors

_MOST_WORKERS = 8
_IMAGES_PER_WORKER = 16  # starting one takes as long as decoding some dozen images
_JPEG_FAMILY = "1.2.840.10008.1.2.4."
_JPEG_LS = (f"{_JPEG_FAMILY}80", f"{_JPEG_FAMILY}81")
_JPEG2000 = (f"{_JPEG_FAMILY}9", f"{_JPEG_FAMILY}20")
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})


class PixelReader:
    """Decodes slices; a multi-frame file is read once for all its frames."""

    def __init__(self) -> None:
        self._file: DicomFile | None = None
        self._data = b""
        self._lock = threading.Lock()

    def all_stored_values(self, images: Sequence[Slice]) -> Iterator[np.ndarray]:
        """`stored_values` of each image in turn; compressed images are decoded some ahead, several at once."""
        if all(image.file.pixel_length is not None for image in images):
            yield from map(self.stored_values, images)
            return
        workers = max(1, min(processors(), _MOST_WORKERS, len(images) // _IMAGES_PER_WORKER))
        pending: deque[Future[np.ndarray]] = deque()
        with ThreadPoolExecutor(workers) as threads:
            try:
                for image in images:
                    pending.append(threads.submit(self.stored_values, image))
                    if len(pending) > 2 * workers:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:  # after an error, what was not begun
                for future in pending:
                    future.cancel()

    def stored_values(self, image: Slice) -> np.ndarray:
        """(rows, columns) int32, or int64 above 16 bits stored: the stored values of a checked slice.

        Raises:
            InputError: DCM-UNREADABLE, DCM-CODEC, DCM-CODESTREAM.
        """
        attributes = image.attributes
        stored, allocated = attributes.integer("BitsStored") or 0, attributes.integer("BitsAllocated") or 0
        try:
            data = self._pixel_data(image)
            if image.file.pixel_length is not None:
                raw = _native(image, data, allocated)
            else:
                raw = _encapsulated(image, data, allocated)
        except ThinsliceError:
            raise
        except Exception as error:  # decoders raise many types on damaged data
            message = f"the pixels of {image.file.name} cannot be decoded; copy the series anew"
            raise refusal("DCM-UNREADABLE", message) from error
        signed = attributes.integer("PixelRepresentation") == 1
        values = extend_sign(raw, bits=stored, signed=signed)
        padding = padding_value(image)
        if padding is not None and padding != extend_sign(np.array(padding), bits=stored, signed=signed):
            values[extend_sign(raw, bits=allocated, signed=True) == padding] = padding
        return values

    def _pixel_data(self, image: Slice) -> bytes:
        """The value of PixelData."""
        if frames_of(image) == 1:
            return _read_pixels(image.file)
        with self._lock:
            if self._file is not image.file:
                self._file, self._data = image.file, _read_pixels(image.file)
            return self._data


def frames_of(image: Slice) -> int:
    """NumberOfFrames of the image's file; 1 where it is not stated."""
    return image.attributes.integer("NumberOfFrames") or 1


def extend_sign(raw: np.ndarray, *, bits: int, signed: bool) -> np.ndarray:
    """Values of the lowest `bits` bits, as two's complement where `signed`; int32, or int64 above 16 bits."""
    values = np.bitwise_and(raw.astype(np.int64 if bits > 16 else np.int32), (1 << bits) - 1)
    if signed:
        sign = 1 << (bits - 1)
        values = (values ^ sign) - sign
    return values


def _read_pixels(file: DicomFile) -> bytes:
    with file.open() as stream:
        stream.seek(file.pixel_offset or 0)
        return stream.read() if file.pixel_length is None else stream.read(file.pixel_length)


def _native(image: Slice, data: bytes, allocated: int) -> np.ndarray:
    rows, columns = image.shape
    count = rows * columns * allocated // 8
    order = ">" if image.file.syntax == ExplicitVRBigEndian else "<"
    if allocated == 8 and order == ">" and image.file.pixel_vr == "OW":  # in 16-bit words, PS3.5 annex A
        data = np.frombuffer(data[: len(data) // 2 * 2], ">u2").astype("<u2").tobytes()
    frame = data[image.frame * count : (image.frame + 1) * count]
    if len(frame) < count:
        raise refusal("DCM-UNREADABLE", f"the pixels of {image.file.name} are cut short; copy the series anew")
    return np.frombuffer(frame, f"{order}u{allocated // 8}").reshape(rows, columns)


def _encapsulated(image: Slice, data: bytes, allocated: int) -> np.ndarray:
    attributes, syntax = image.attributes, image.file.syntax
    rows, columns = image.shape
    codestream = get_frame(data, image.frame, number_of_frames=frames_of(image))
    _check_codestream(codestream, syntax, rows=rows, columns=columns, name=image.file.name)
    stored, signed = attributes.integer("BitsStored") or 0, attributes.integer("PixelRepresentation") == 1
    try:
        return decoders.decode(codestream, FrameHeader(syntax, rows, columns, allocated, stored, signed))
    except decoders.NoDecoderError as error:
        lacking = f"transfer syntax {syntax} needs the decoder {error}, which is missing"
        message = f"{image.file.name}: {lacking}; install thinslice anew"
        raise refusal("DCM-CODEC", message) from error


def _check_codestream(data: bytes, syntax: str, *, rows: int, columns: int, name: str) -> None:
    """Compare a compressed image with the header of its file.

    Some decoders fill whatever size they are given from a larger image without a word.

    Raises:
        InputError: DCM-CODESTREAM where matrix or number of components differ, or no image is found;
            DCM-UNREADABLE where the end of a JPEG-LS image is missing.
    """
    if not syntax.startswith(_JPEG_FAMILY):
        return
    found = jpeg2000_size(data) if syntax.startswith(_JPEG2000) else jpeg_size(data)
    if found != (rows, columns, 1):
        shown = "no image" if found is None else f"{found[0]}x{found[1]}, {found[2]} components"
        raise refusal(
            "DCM-CODESTREAM",
            f"{name} holds a compressed image ({shown}) other than its header's {rows}x{columns}; copy it anew",
        )
    if syntax in _JPEG_LS and b"\xff\xd9" not in data:  # its coded values never look like this end of image
        # The decoder takes ten seconds to find this out. Not asked of the older JPEG, whose writers leave the end
        # of image away at times. What follows the end is padding.
        raise refusal("DCM-UNREADABLE", f"the compressed image of {name} is cut short; copy it anew")


def jpeg_size(data: bytes) -> tuple[int, int, int] | None:
    """(rows, columns, components) of a JPEG or JPEG-LS stream, from its frame header; None where there is none."""
    if data[:2] != b"\xff\xd8":
        return None
    position = 2
    while position + 10 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill bytes may precede a marker
            position += 1
        elif marker in _FRAME_HEADERS:
            rows, columns, components = struct.unpack(">HHB", data[position + 5 : position + 10])
            return rows, columns, components
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return None


def jpeg2000_size(data: bytes) -> tuple[int, int, int] | None:
    """(rows, columns, components) of a JPEG 2000 codestream, from its SIZ marker; None where there is none."""
    start = data.find(b"\xff\x4f\xff\x51", 0, 4096)
    if start < 0 or len(data) < start + 42:
        return None
    right, bottom, left, top = struct.unpack(">4I", data[start + 8 : start + 24])
    (components,) = struct.unpack(">H", data[start + 40 : start + 42])
    return bottom - top, right - left, components
