"""Damage for whatever we read: every attribute in every way, and bytes of files of every kind.

A damaged input is made from a number: the same number, the same input.
"""

from __future__ import annotations

import functools
import gzip
import random
import struct
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import gdcm
import numpy as np
import pydicom
from dicom_phantom import enhanced, file_bytes, series
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)
from test_transfer_syntaxes import exact_series, pydicom_compressed, transcoded

from thinslice.io import files
from thinslice.io.dicom.headers.kept import COPIED, EQUIPMENT, TRANSFORMED, WANTED
from thinslice.volume import Volume

Files = dict[str, bytes]
TEXTS = [
    *(b"", b" ", b"\0", b"abc", b"nan", b"inf", b"-inf", b"0", b"-0", b"-1", b"1", b"1e400", b"1e-320", b"1e300"),
    *(b"1e9", b"1,5", b"1\\2", b"\\", b"1\\2\\3\\4\\5\\6\\7", b"0x10", b"1_000", b" 5 ", b"5\n", b"\xff\xfe\x80"),
    *(b"\x1b$B", b"../../x", b"9" * 70, b"0." + b"0" * 40 + b"1", b"A" * 100_000, b"1\\" * 20_000),
    *(b"DERIVED\\SECONDARY\\LOCALIZER", b"YES", b"HU", b"US"),
]
BINARIES = [b"", *(struct.pack("<H", value) for value in (0, 1, 2, 8, 12, 16, 20, 24, 32, 4095, 32768, 65535)), b"\1"]
BINARIES += [struct.pack("<HH", 24, 20), bytes(50_000), struct.pack("<d", float("nan")), struct.pack("<d", 1e308)]
VRS = ["UN", "US", "SS", "DS", "IS", "FD", "OB", "LT", "AT", "SQ", "ZZ", "UL"]
_CHANGES: list[Callable[[float], float]] = [
    *(lambda v: -v, lambda v: 2 * v, lambda v: v + 1, lambda v: v + 0.001, lambda v: v + 0.2),
    *(
        lambda v: v * 1.00001,
        lambda v: v * 1.01,
        lambda v: 0.0,
        lambda v: 1.0,
        lambda v: float("nan"),
        lambda v: v * 1e6,
    ),
]


@functools.cache
def plain_series() -> tuple[bytes, ...]:
    """The files of a sound series, explicit little endian."""
    return tuple(file_bytes(ds) for ds in series())


@functools.cache
def bases() -> dict[str, Files]:
    """Sound inputs by kind: the files of each."""
    found = {
        "explicit": dict(enumerate_names(plain_series())),
        "implicit": dict(enumerate_names(file_bytes(ds, syntax=ImplicitVRLittleEndian) for ds in series())),
        "deflated": dict(enumerate_names(file_bytes(ds, syntax=DeflatedExplicitVRLittleEndian) for ds in series())),
        "big endian": dict(enumerate_names(map(_big_endian, series()))),
        "multi-frame": {"f.dcm": file_bytes(enhanced(series()))},
        "headerless": dict(enumerate_names(map(_bare, series()))),
    }
    rle = exact_series()
    for ds in rle:
        pydicom_compressed(ds, RLELossless)
    found["RLE"] = dict(enumerate_names(file_bytes(ds, syntax=RLELossless) for ds in rle))
    for kind in ("JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless"):
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            transcoded(exact_series(), Path(folder), getattr(gdcm.TransferSyntax, kind))
            found[kind] = dict(enumerate_names(path.read_bytes() for path in sorted(Path(folder).iterdir())))
    return found | {"zip": {"in.zip": _zipped(plain_series())}, **_volume_files()}


def _big_endian(ds: Dataset) -> bytes:
    ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
    return file_bytes(ds, syntax=ExplicitVRBigEndian)


def enumerate_names(contents) -> list[tuple[str, bytes]]:
    return [(f"{number:02d}.dcm", data) for number, data in enumerate(contents)]


def _bare(ds: Dataset) -> bytes:
    stream = BytesIO()
    pydicom.dcmwrite(stream, ds, implicit_vr=True, little_endian=True, force_encoding=True)
    return stream.getvalue()


def _zipped(contents) -> bytes:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in enumerate_names(contents):
            archive.writestr(name, data)
    return stream.getvalue()


def _volume_files() -> dict[str, Files]:
    """NIfTI, NRRD and MetaImage of one volume, packed and not."""
    hu = np.random.default_rng(0).integers(-1000, 1500, (8, 16, 12)).astype(np.float32)
    affine = np.array([[-0.7, 0, 0, 30], [0, 0, 2.5, -40], [0, 0.8, 0, 5], [0, 0, 0, 1.0]])
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for ending in ("nii", "nii.gz", "nrrd", "mha", "mhd"):
            files.write(Volume(hu, affine), Path(folder, f"in.{ending}"))
            found[ending] = {f"in.{ending}": Path(folder, f"in.{ending}").read_bytes()}
        found["mhd"]["in.raw"] = Path(folder, "in.raw").read_bytes()
    return found


def damaged(number: int) -> tuple[str, str, Files]:
    """Input `number`: its kind, what was done to it, and its files."""
    rng = random.Random(number)
    if number % 2 == 0:
        return ("attribute", *damaged_attribute(number // 2, rng))
    kinds = list(bases())
    kind = kinds[number // 2 % len(kinds)]
    content = dict(bases()[kind])
    names = sorted(content)
    name = names[rng.choice([0, len(names) // 2, len(names) - 1])]
    if kind == "nii.gz" and rng.random() < 0.5:  # damage below the compression
        done, inner = damaged_bytes(gzip.decompress(content[name]), rng, header=352)
        content[name] = gzip.compress(inner, 1, mtime=0)
    else:
        done, content[name] = damaged_bytes(content[name], rng, header=_header_length(content[name], name))
    return kind, f"{done} in {name}", content


def _header_length(data: bytes, name: str) -> int:
    if name.endswith(".dcm"):
        return max(data.rfind(b"\xe0\x7f\x10\x00"), data.rfind(b"\x7f\xe0\x00\x10")) + 24
    return {".nii": 352, ".zip": len(data)}.get(name[name.rindex(".") :], min(400, len(data)))


def damaged_bytes(data: bytes, rng: random.Random, *, header: int) -> tuple[str, bytes]:
    """Bytes changed, taken out, put in, or cut off; mostly in the header."""
    spoilt = bytearray(data)
    until = min(len(data), header) if rng.random() < 0.7 else len(data)
    place = rng.randrange(until)
    way = rng.choice(
        ["flip", "flip", "change", "change", "several", "delete", "insert", "zero", "ones", "cut", "repeat", "digit"]
    )
    if way == "flip":
        spoilt[place] ^= 1 << rng.randrange(8)
    elif way == "change":
        spoilt[place] = rng.randrange(256)
    elif way == "several":
        for _ in range(rng.choice([3, 10, 50])):
            spoilt[rng.randrange(until)] = rng.randrange(256)
    elif way == "delete":
        del spoilt[place : place + rng.choice([1, 2, 8, 100])]
    elif way == "insert":
        spoilt[place:place] = rng.randbytes(rng.choice([1, 2, 8, 100]))
    elif way in ("zero", "ones"):
        length = rng.choice([1, 4, 16])
        spoilt[place : place + length] = bytes([0 if way == "zero" else 255]) * len(spoilt[place : place + length])
    elif way == "cut":
        del spoilt[place:]
    elif way == "repeat":
        spoilt[place:place] = spoilt[max(0, place - rng.choice([4, 30, 300])) : place]
    else:
        digits = [index for index in range(until) if spoilt[index : index + 1].isdigit()]
        if digits:
            spoilt[rng.choice(digits)] = ord(rng.choice("0123456789.-+eE "))
    return f"{way} at {place}", bytes(spoilt)


def damaged_attribute(number: int, rng: random.Random) -> tuple[str, Files]:
    """One attribute of all that are read, in one slice or in all, single- or multi-frame."""
    keywords = WANTED if number % 3 == 0 else WANTED[len((*COPIED, *EQUIPMENT, *TRANSFORMED)) :]  # geometry most of all
    keyword = keywords[number // 3 % len(keywords)]
    where = rng.choice(["first", "middle", "last", "all", "all"])
    multi_frame = rng.random() < 0.2
    change, done = _change(keyword, rng)
    if multi_frame:
        ds = pydicom.dcmread(BytesIO(bases()["multi-frame"]["f.dcm"]))
        _in_groups(ds, keyword, change, where)
        return f"{done} of {keyword}, {where}, multi-frame", {"f.dcm": _written(ds)}
    content = dict(bases()["explicit"])
    names = sorted(content)
    for name in names if where == "all" else [names[{"first": 0, "middle": 5, "last": -1}[where]]]:
        ds = pydicom.dcmread(BytesIO(content[name]))
        change(ds)
        content[name] = _twice(_written(ds), keyword, rng) if done == "repeat" else _written(ds)
    return f"{done} of {keyword}, {where}", content


def _written(ds: Dataset) -> bytes:
    """The file; a character set that pydicom looks up and fails on is put in behind its back."""
    stream, charset = BytesIO(), ds.get_item("SpecificCharacterSet")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not (isinstance(charset, RawDataElement) and charset.value and b"\0" in charset.value):
            ds.save_as(stream, enforce_file_format=False)
            return stream.getvalue()
        del ds.SpecificCharacterSet
        ds.save_as(stream, enforce_file_format=False)
    data = stream.getvalue()
    place = data.index(b"\x08\x00\x08\x00CS")  # ImageType, which comes next
    assert charset.VR
    head = b"\x08\x00\x05\x00" + charset.VR.encode() + struct.pack("<H", len(charset.value))
    return data[:place] + head + charset.value + data[place:]


def _change(keyword: str, rng: random.Random) -> tuple[Callable[[Dataset], None], str]:
    """A way to damage an attribute of a data set, and its name."""
    tag = Tag(tag_for_keyword(keyword))
    vr = dictionary_VR(tag).split(" ")[0]
    way = rng.choice(
        ["delete", "repeat", "text", "text", "binary", "binary", "vr", "number", "number", "number", "number"]
    )

    def put(ds: Dataset, as_vr: str, value: bytes) -> None:
        value += b" " * (len(value) % 2) if rng.random() < 0.9 else b""
        if as_vr in (
            "US",
            "SS",
            "DS",
            "IS",
            "AT",
            "UI",
            "CS",
            "SH",
            "LO",
            "PN",
            "DA",
            "TM",
            "FD",
            "UL",
            "AS",
            "ST",
            "LT",
            "SL",
        ):
            value = value[:65534]
        ds[tag] = RawDataElement(tag, as_vr, len(value), value, 0, False, True)

    if way == "delete":
        return lambda ds: ds.pop(tag, None), "delete"
    if way == "repeat":
        return lambda ds: None, "repeat"
    if way in ("text", "binary"):
        value = rng.choice(TEXTS if way == "text" else BINARIES)
        return (lambda ds: put(ds, "UN" if vr == "SQ" else vr, value)), f"{way} {value[:20]!r}"
    if way == "vr":
        as_vr, value = rng.choice(VRS), rng.choice([None, *TEXTS, *BINARIES])
        return (
            lambda ds: put(ds, as_vr, _bytes_of(ds, tag) if value is None else value)
        ), f"vr {as_vr} {str(value)[:20]}"
    index, amount = rng.randrange(6), rng.choice(_CHANGES)

    def alter(ds: Dataset) -> None:
        if vr in ("DS", "IS"):
            texts = _bytes_of(ds, tag).decode("latin-1").split("\\")
            texts[index % len(texts)] = f"{amount(_number(texts[index % len(texts)])):.10g}"[:16]
            put(ds, vr, "\\".join(texts).encode())
        elif vr == "US":
            put(ds, "US", struct.pack("<H", rng.choice([0, 1, 2, 8, 11, 12, 15, 16, 24, 25, 32, 65535])))
        else:
            put(ds, "UN" if vr == "SQ" else vr, _bytes_of(ds, tag) + b"1")

    return alter, f"number {_CHANGES.index(amount)}"


def _bytes_of(ds: Dataset, tag: int) -> bytes:
    element = ds.get_item(tag)
    return (element.value or b"") if isinstance(element, RawDataElement) else b""


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 5.0


def _twice(data: bytes, keyword: str, rng: random.Random) -> bytes:
    """The file with an element written a second time, with another value, right behind the first."""
    tag = Tag(tag_for_keyword(keyword))
    place = data.find(struct.pack("<HH", tag.group, tag.element), 132)
    if place < 0 or data[place + 4 : place + 6] in (b"SQ", b"OW", b"UN"):
        return data
    value = rng.choice([b"7 ", b"-1", b"", b"9\\8\\7 "])
    return data[:place] + data[place : place + 6] + struct.pack("<H", len(value)) + value + data[place:]


def _in_groups(ds: Dataset, keyword: str, change: Callable[[Dataset], None], where: str) -> None:
    """Change an attribute wherever it stands in a multi-frame object, else at its top."""
    frames = ds.PerFrameFunctionalGroupsSequence
    chosen = {"first": frames[:1], "middle": frames[5:6], "last": frames[-1:], "all": frames}[where]
    holders = [
        item
        for group in [*chosen, *ds.SharedFunctionalGroupsSequence]
        for macro in group
        for item in macro.value
        if keyword in item
    ]
    for holder in holders or [ds]:
        change(holder)
