"""`thinslice measure`: figures of labels, each with its interval."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from thinslice.cli import options
from thinslice.cli.options import with_common_options
from thinslice.cli.summary import written_lines
from thinslice.cli.terminal import Terminal
from thinslice.errors import UsageError, recorded
from thinslice.system.output import none_left


@with_common_options
def measure(
    terminal: Terminal,
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="Thin slices: file or DICOM folder.")],
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Label map on the grid of RESULT.", show_default=False)
    ] = None,
    uncertainty: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Uncertainty of RESULT in HU, as enhance writes it.")
    ] = None,
    threshold: Annotated[float, typer.Option(metavar="HU", help="Of the share of voxels that is counted.")] = -950.0,
    side: Annotated[
        Literal["below", "above"], typer.Option(metavar="below|above", help="On which side of it they count.")
    ] = "below",
    axis: options.Axis = None,
    series: options.Series = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table, a line a label.")] = None,
) -> None:
    """Measure labels: volume, mean HU, share beyond a threshold, extents.

    With --uncertainty, each has an interval that holds what a thin scan would give with a probability of 90 %.

    For example:

      thinslice measure thin.nii.gz --labels thin_labels.nii.gz --uncertainty sigma.nii.gz
    """
    if labels is None:
        raise UsageError("USE-LABELS", "no label map is given; name one with --labels")
    terminal.refuse_clashes([result, labels, uncertainty], csv)
    terminal.refuse_existing(csv)

    from thinslice import __version__
    from thinslice.io import scan
    from thinslice.io.label_map import read_label_map
    from thinslice.io.uncertainty_map import read_uncertainty
    from thinslice.measures.figures import Threshold
    from thinslice.measures.measure import measure_volume
    from thinslice.record import grid_entry
    from thinslice.uncertainty.correlation import Correlation

    wanted = Threshold(threshold, side)
    volume = scan.read(result, axis=axis, series=series, allow_derived=True)
    volume.refuse_uneven()
    drawn = read_label_map(labels, scan=volume)
    known = None if uncertainty is None else read_uncertainty(uncertainty, result=volume)
    correlation = None if known is None else Correlation.found_in(known.mark)
    figures = measure_volume(
        volume, drawn.values, threshold=wanted, sigma=None if known is None else known.sigma, correlation=correlation,
        names=drawn.names,
    )  # fmt: skip
    read = [notice for notice in volume.origin.warnings if notice.code not in scan.SYNTHETIC]
    warnings = [*read, *drawn.warnings, *figures.warnings]
    kept = figures if terminal.show_identity else figures.without_names()  # people name segments after patients
    with none_left([path for path in (csv, terminal.record_path) if path]):
        if csv is not None:
            kept.to_csv(csv, overwrite=terminal.overwrite)
        record: dict[str, Any] = {
            "version": __version__,
            "command": "measure",
            "grid": grid_entry(volume),
            "correlation": None if correlation is None else correlation.entry,
            "labels": kept.as_records(),
            "warnings": recorded(warnings),
        }
        terminal.write_record(record)
    terminal.warn(warnings)
    terminal.say(figures.rich())
    if csv is not None:
        terminal.say(*written_lines([csv]))
