"""Scorecard of DICOM readers over the table of awkward inputs: right, silently wrong, wrong with a message, refused.

    python benchmarks/dicom_scorecard.py [--each]

Each case is made in code (tests/dicom/dicom_cases.py) of a phantom whose HU are a linear function of the
patient position. A reader is right where every voxel that it gives has its value at the place that the
reader's own affine claims, within 1 HU, and no slice is lost; it is wrong otherwise, with a message where it
prints a line that it does not print of the plain series. Cases in which reading or refusing is a matter of
taste (other modalities, lossy codecs, too few slices) are left out, and so are those that only options of
thinslice decide. Where nobody can know the true volume (two frames of reference, slope 0, orientation of
zeros), any volume counts as wrong. Padding counts as wrong unless it is marked as such.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from collections import Counter
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "io" / "dicom"))

from dicom_cases import CASES, Case
from dicom_phantom import COLUMNS, ROWS, hu_at, save, series
from dicom_readers import READERS, Reading, errors_of, unusual

VERDICTS = ("right", "silently wrong", "wrong with a message", "refused")


def verdict(case: Case, reading: Reading, usual: str) -> tuple[str, str]:
    """One of VERDICTS, and the largest error or the first unusual line."""
    volumes = [volume for volume in reading.volumes if volume[0].ndim > 2 and min(volume[0].shape[:3]) > 1]
    if not volumes:  # one slice by itself is no volume, and many slices by themselves are a volume lost
        return ("wrong with a message" if len(reading.volumes) > 1 else "refused"), ""
    worst = max(errors_of(volume, hu_at, above=case.above) for volume in volumes)
    lost = case.refused is None and max(volume[0].size for volume in volumes) < case.slices * ROWS * COLUMNS
    shown = f"{worst:.3g}"
    if worst <= case.within and not lost and not case.unreadable:
        return "right", shown
    message = unusual(reading.said, usual)
    return ("wrong with a message" if message or len(volumes) > 1 else "silently wrong"), shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", action="store_true", help="print every case")
    each = parser.parse_args().each
    warnings.simplefilter("ignore")  # the cases are odd on purpose
    os.fsync = lambda handle: None  # type: ignore[assignment]
    cases = [case for case in CASES if not case.policy and not case.options and case.name != "plain"]
    totals: dict[str, Counter[str]] = {name: Counter() for name in READERS}
    unexpected = []
    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch, "plain", "in")
        save(series(), plain)
        usual = {name: reader(plain, {}).said for name, reader in READERS.items()}
        if each:
            print(f"| case | {' | '.join(READERS)} |\n|---|{'---|' * len(READERS)}")
        for number, case in enumerate(cases):
            place = Path(scratch, str(number), "in")  # alone: dcm2niix reads all that lies beside a file
            case.write(place)
            row = []
            for name, reader in READERS.items():
                reading = reader(place, {})
                found, figure = verdict(case, reading, usual[name])
                totals[name][found] += 1
                row.append(f"{found} {figure}".strip())
                if name == "thinslice":
                    expected = "refused" if case.refused else "right"
                    if found != expected or (case.refused and f"[{case.refused}]" not in reading.said):
                        unexpected.append(case.name)
            if each:
                print(f"| {case.name} | {' | '.join(row)} |", flush=True)
    print(f"\n{len(cases)} cases\n\n| reader | {' | '.join(VERDICTS)} |\n|---|{'---|' * len(VERDICTS)}")
    for name, counts in totals.items():
        print(f"| {name} {version(name)} | {' | '.join(str(counts[found]) for found in VERDICTS)} |")
    print(f"\nthinslice not as its table says: {', '.join(unexpected) or 'none'}")
    sys.exit(bool(unexpected))


if __name__ == "__main__":
    main()
