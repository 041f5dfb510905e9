"""`thinslice profile`: the slice profile of one reconstruction, measured over a thin one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from thinslice.cli.options import with_common_options, with_reading_options
from thinslice.cli.summary import written_lines
from thinslice.cli.terminal import Terminal
from thinslice.errors import counted, recorded
from thinslice.system.output import none_left


@with_common_options
@with_reading_options
def profile(
    terminal: Terminal,
    reading: dict[str, Any],
    thick: Annotated[Path, typer.Argument(metavar="THICK", help="Thick slices: file or DICOM folder.")],
    thin: Annotated[Path, typer.Argument(metavar="THIN", help="Thin slices of the same acquisition.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE.png", help="Draw the profile there.")
    ] = None,
) -> None:
    """Measure the slice profile of thick slices over thin ones.

    Weights of thin slices, width at half maximum, the shape that fits best, and whether both have one kernel.

    For example:

      thinslice profile thick.nii.gz thin.nii.gz -o profile.png
    """
    terminal.refuse_clashes([thick, thin], output)
    if output is not None:
        terminal.refuse_existing(output)

    from thinslice import __version__
    from thinslice.evaluation.measured_profile import measure_profile
    from thinslice.evaluation.pairs import match_pair
    from thinslice.io import scan
    from thinslice.report.profile import save_profile

    volumes = [scan.read(path, **reading) for path in (thick, thin)]
    measured = measure_profile(match_pair(volumes[0], volumes[1], name="the pair"))
    warnings = [*volumes[0].origin.warnings, *volumes[1].origin.warnings, *measured.warnings()]
    with none_left([path for path in (output, terminal.record_path) if path]):
        if output is not None:
            save_profile(measured, output, overwrite=terminal.overwrite)
        about = {"version": __version__, "command": "profile"}
        terminal.write_record(about | {"profile": measured.entry, "warnings": recorded(warnings)})
    terminal.warn(warnings)
    terminal.say(f"slices:     {counted(measured.slices, 'thick slice')} used", *measured.lines)
    if output is not None:
        terminal.say(*written_lines([output]))
