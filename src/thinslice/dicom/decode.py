"""Pass 2: pixels of one slice, from bytes to stored values.

Stored values are what PixelRepresentation and BitsStored say: bits above BitsStored (overlays of old)
are masked away, then the sign is extended, whether the writer extended it or not. Declared padding that needs
these bits keeps them: without, it would be a value of tissue.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from pydicom.encaps import get_frame
from pydicom.uid import ExplicitVRBigEndian

from thinslice.dicom import decoders
from thinslice.dicom.codec import Layout
from thinslice.dicom.codes import refusal
from thinslice.dicom.codestream import check_codestream
from thinslice.dicom.padding import padding_value
from thinslice.dicom.slices import DicomFile, Slice
from thinslice.errors import ThinsliceError
from thinslice.processors import processors

_MOST_WORKERS = 8
_IMAGES_PER_WORKER = 16  # starting one takes as long as decoding some dozen images


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
    check_codestream(codestream, syntax, rows=rows, columns=columns, name=image.file.name)
    stored, signed = attributes.integer("BitsStored") or 0, attributes.integer("PixelRepresentation") == 1
    try:
        return decoders.decode(codestream, Layout(syntax, rows, columns, allocated, stored, signed))
    except decoders.NoDecoderError as error:
        message = f"transfer syntax {syntax} needs the decoder {error}, which is missing; install thinslice anew"
        raise refusal("DCM-CODEC", message) from error
