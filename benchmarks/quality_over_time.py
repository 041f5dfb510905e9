"""The dB that a user has after so many seconds of adapting, beside cubic and the weights as they are.

    python benchmarks/quality_over_time.py SCAN.nii.gz ... --seconds 10 30 60 180 600

Each time is a run of its own, for learning rates fall towards the end of a budget.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

import thinslice


def main() -> None:
    """Print a table, one line a scan, protocol and factor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, nargs="+", default=[10, 30, 60, 180, 600])
    parser.add_argument("--protocols", nargs="+", default=["gap", "box"])
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("--region", type=int, default=256)
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()

    case = {
        "protocols": options.protocols, "factors": (options.factor,), "region": options.region,
        "model": options.weights,
    }  # fmt: skip
    table = Table("scan", "protocol", "cubic", "as it is", *(f"{seconds:g} s" for seconds in options.seconds))
    for scan in options.scans:
        plain = thinslice.evaluate([scan], methods=("cubic", "thinslice"), **case)
        adapted = [thinslice.evaluate([scan], methods=("thinslice-fit",), budget=s, **case) for s in options.seconds]
        for protocol in options.protocols:
            values = [row.psnr_new for rows in (plain, *adapted) for row in rows if row.protocol == protocol]
            table.add_row(scan.name.split(".")[0], protocol, *(f"{value:.2f}" for value in values))
    Console(width=None if sys.stdout.isatty() else 160).print(table)  # names whole in a file


if __name__ == "__main__":
    main()
