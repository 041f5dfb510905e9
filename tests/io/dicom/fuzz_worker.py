"""Reads damaged inputs by number, one a line on stdin; answers a line of JSON each. Run by test_fuzz.py."""

from __future__ import annotations

import json
import os
import shutil
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import fuzz_oracle
import numpy as np
from mutations import bases, damaged
from thin import PROVENANCE

from thinslice.errors import ThinsliceError
from thinslice.io import scan
from thinslice.io.dicom import list_series, write_series
from thinslice.volume import Volume


def outcome(number: int, folder: Path) -> dict[str, str | None]:
    """What came of input `number`: "code" of a refusal or None, and what is "wrong" or None."""
    kind, done, contents = damaged(number)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    single = len(contents) == 1 or kind == "mhd"
    path = folder / min(contents) if single else folder
    answer: dict[str, str | None] = {"kind": kind, "done": done, "code": None, "wrong": None}
    try:
        if number % 5 == 0 and scan.is_dicom(path):
            list_series(path)
        volume = scan.read(path)
        json.dumps(dict(volume.origin.facts), allow_nan=False)
        if number % 4 == 0 and volume.origin.kind == "dicom":  # what was read can also be carried on
            write_series(volume, folder / "out", source=volume, provenance=PROVENANCE)
            again = scan.read(folder / "out", allow_derived=True)
            stored = volume.hu.round().clip(-32768, 32767)  # 16 bits; what is beyond is clipped, and said
            assert np.allclose(np.sort(again.hu, axis=0), np.sort(stored, axis=0))
    except ThinsliceError as error:
        answer["code"] = error.code
        if "\n" in error.line or len(error.message) > 400:
            answer["wrong"] = f"no line for a terminal: {error.line}"
    except BaseException:
        answer["wrong"] = traceback.format_exc()
    else:
        answer["wrong"] = wrong(volume, kind, contents, path)
    return answer


def wrong(volume: Volume, kind: str, contents: dict[str, bytes], path: Path) -> str | None:
    """What is wrong with a volume that came of a damaged input."""
    if kind == "zip":  # a checksum guards the content: it can only be the undamaged one
        return fuzz_oracle.wrong(volume, fuzz_oracle.images_of(bases()["explicit"]))
    if kind in ("nii", "nii.gz"):
        return fuzz_oracle.wrong_nifti(volume, path)
    if kind in ("nrrd", "mha", "mhd"):
        return None
    sound = bases()["multi-frame" if len(contents) == 1 else "explicit" if kind == "attribute" else kind]
    stated = fuzz_oracle.images_of(contents)
    if len(stated) == len(
        images := fuzz_oracle.images_of(sound)
    ):  # what makes no sense any more must be read as it was
        stated = [image or before for image, before in zip(stated, images, strict=True)]
    return fuzz_oracle.wrong(volume, stated)


def main() -> None:
    replies = os.fdopen(os.dup(1), "w")
    with open(os.devnull, "w") as nowhere:  # what libraries print is not a reply
        os.dup2(nowhere.fileno(), 1)
    folder = Path(sys.argv[1])
    bases()
    print("ready", file=replies, flush=True)
    for line in sys.stdin:
        print(json.dumps(outcome(int(line), folder)), file=replies, flush=True)


if __name__ == "__main__":
    main()
