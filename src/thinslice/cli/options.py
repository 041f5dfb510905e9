"""Options that several commands share, and how their text is read."""

from __future__ import annotations

import functools
import inspect
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer

from thinslice.cli.help import COMMON as _COMMON
from thinslice.cli.terminal import Terminal
from thinslice.conventions import MOST_SEED
from thinslice.system.paths import as_path
from thinslice.system.processors import THREAD_COUNTS

T = TypeVar("T")
Device = Literal["auto", "cpu", "cuda", "mps"]


def _print_version(wanted: bool) -> None:
    if wanted:
        from thinslice import __version__

        typer.echo(f"thinslice {__version__}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option(
        "--version",
        callback=_print_version,
        is_eager=True,
        help="Say the version.",
        rich_help_panel=_COMMON,
    ),
]


def _common(
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Errors only.", rich_help_panel=_COMMON)] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "-v", "--verbose", help="Say what is chosen and how long it takes; trace errors.", rich_help_panel=_COMMON
        ),
    ] = False,
    threads: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Threads to compute with.", show_default="all", rich_help_panel=_COMMON),
    ] = None,
    device: Annotated[
        Device, typer.Option(metavar="auto|cpu|cuda|mps", help="Where networks run.", rich_help_panel=_COMMON)
    ] = "auto",
    json: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|-", help="Write the record; with - to stdout, and nothing else.", rich_help_panel=_COMMON
        ),
    ] = None,
    show_identity: Annotated[
        bool,
        typer.Option(
            "--show-identity",
            help="Put names of files, paths and UIDs in records; inspect shows UIDs.",
            rich_help_panel=_COMMON,
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that exist.", rich_help_panel=_COMMON)
    ] = False,
    version: Version = False,
) -> Terminal:
    if threads is not None:  # numerical libraries read these when they are first imported
        os.environ.update(dict.fromkeys(THREAD_COUNTS, str(threads)))
    return Terminal(
        quiet=quiet, threads=threads, device=device, json=json and str(as_path(json)), overwrite=overwrite,
        show_identity=show_identity,
    ).checked()  # fmt: skip


def with_common_options(command: Callable[..., None]) -> Callable[..., None]:
    """Offer the options that all commands share; the command gets them as a `Terminal`, first."""
    shared = inspect.signature(_common, eval_str=True).parameters
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

    @functools.wraps(command)
    def run(**arguments: Any) -> None:
        arguments = {name: _with_home(value) for name, value in arguments.items()}
        terminal = _common(**{name: arguments.pop(name) for name in shared})
        command(terminal, **arguments)

    return with_parameters(run, [*own, *shared.values()])


def _with_home(value: Any) -> Any:
    """An argument, paths in it beginning at the home folder where they say ~: shells leave that alone after a "="."""
    if isinstance(value, list | tuple):
        return type(value)(map(_with_home, value))
    return as_path(value) if isinstance(value, Path) else value


def with_parameters(run: Callable[..., None], parameters: list[inspect.Parameter]) -> Callable[..., None]:
    """The function, with these parameters instead of those of what it wraps."""
    named = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    run.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in named}
    del run.__wrapped__  # type: ignore[attr-defined]
    return run


def list_of(kind: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    """A reader of comma-separated values: ``"2,4"`` -> ``(2, 4)``."""

    def read(text: str | tuple[T, ...]) -> tuple[T, ...]:
        if isinstance(text, tuple):  # a default
            return text
        try:
            values = tuple(kind(part.strip()) for part in text.split(","))
        except ValueError:
            of = "whole numbers" if kind is int else "names"
            raise typer.BadParameter(f"{text!r} is no comma-separated list of {of}") from None
        if "" in values:
            raise typer.BadParameter(f"{text!r} has a comma too many")
        if len(set(values)) < len(values):
            raise typer.BadParameter(f"{text!r} names something twice")
        return values

    return read


def seed(text: str | int) -> int:
    """A whole number that seeds draws."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not 0 <= number <= MOST_SEED:
        raise typer.BadParameter(f"{text!r} is no whole number from 0 to 2^63 - 1")
    return number


def names(*choices: str) -> Callable[[str], tuple[str, ...]]:
    """A reader of comma-separated names, each one of `choices`."""

    def read(text: str | tuple[str, ...]) -> tuple[str, ...]:
        values = list_of(str)(text)  # type: ignore[arg-type]
        for value in values:
            if value not in choices:
                raise typer.BadParameter(f"{value!r} is none of {', '.join(choices)}")
        return values

    return read


def slope_and_intercept(text: str) -> tuple[float, float]:
    """``"1,-1024"`` -> ``(1.0, -1024.0)``, the slope not 0."""
    try:
        slope, intercept = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not S,I: two numbers such as 1,-1024") from None
    if not (math.isfinite(slope) and math.isfinite(intercept)) or slope == 0:
        raise typer.BadParameter(f"{text!r}: the slope must not be 0, and both must be finite")
    return slope, intercept


def name_and_value(text: str) -> tuple[str, int]:
    """``"slices=30000"`` -> ``("slices", 30000)``."""
    name, equals, value = text.partition("=")
    if not equals or not value.strip().isdecimal():
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE with a whole number")
    return name.strip(), int(value)


def name_and_folder(text: str) -> tuple[str, Path]:
    """``"other=results"`` -> ``("other", Path("results"))``."""
    name, equals, folder = text.partition("=")
    if not (name.strip() and equals and folder):
        raise typer.BadParameter(f"{text!r} is not NAME=DIR")
    return name.strip(), Path(folder)


def paths_of_pair(value: str | tuple[str, ...]) -> Any:
    """One path, or two: versions of typer give an option of two values its texts one by one, or together."""
    return tuple(map(Path, value)) if isinstance(value, tuple) else Path(value)


def damping(text: str) -> float | Literal["off"]:
    """``"off"`` or a number from 0 up."""
    if text == "off":
        return "off"
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not (math.isfinite(value) and value >= 0):
        raise typer.BadParameter(f"{text!r} is neither off nor a number from 0 up")
    return value


_READING = "Reading"

Input = Annotated[list[Path], typer.Option("-i", "--input", metavar="PATH", help="File, DICOM folder or zip.")]
MoreSlices = Annotated[list[Path] | None, typer.Argument(metavar="", hidden=True)]  # of -i folder/*.dcm
Axis = Annotated[
    Literal["x", "y", "z"] | None,
    typer.Option(metavar="x|y|z", help="Slice axis of a file.", show_default="the coarsest", rich_help_panel=_READING),
]
Grid = Annotated[
    Literal["slabs", "centres"] | None,
    typer.Option(
        metavar="slabs|centres",
        help="Output slices of thick ones: over the field of view, or from the first acquired centre.",
        show_default="slabs",
        rich_help_panel="Grid",
    ),
]
Series = Annotated[
    str | None, typer.Option(metavar="UID", help="Which DICOM series: as inspect says.", rich_help_panel=_READING)
]
Phase = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Which of several volumes of a series.", rich_help_panel=_READING),
]
Rescale = Annotated[
    Any,
    typer.Option(
        parser=slope_and_intercept,
        metavar="S,I",
        help="Slope and intercept to HU, in place of the input's.",
        rich_help_panel=_READING,
    ),
]
OnGap = Annotated[
    Literal["error", "split", "fill"],
    typer.Option(
        metavar="error|split|fill",
        help="Missing or uneven slices: refuse, make a result of each part, or fill.",
        rich_help_panel=_READING,
    ),
]
AllowDerived = Annotated[
    bool,
    typer.Option("--allow-derived", help="Go on with synthesised input.", rich_help_panel=_READING),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Turn the reader's warnings into errors.", rich_help_panel=_READING)
]
Limit = Annotated[
    list[Any] | None,
    typer.Option(
        parser=name_and_value,
        metavar="NAME=VALUE",
        help="A limit against hostile DICOM (docs/dicom.md); may be repeated.",
        rich_help_panel=_READING,
    ),
]


def _reading(
    axis: Axis = None,
    series: Series = None,
    phase: Phase = None,
    rescale: Rescale = None,
    allow_derived: AllowDerived = False,
    limit: Limit = None,
) -> dict[str, Any]:
    return {
        "axis": axis,
        "series": series,
        "phase": phase,
        "rescale": rescale,
        "allow_derived": allow_derived,
        "limits": dict(limit) if limit else None,
    }


def with_reading_options(command: Callable[..., None]) -> Callable[..., None]:
    """Offer what commands that read several scans share; the command gets arguments of `thinslice.read` as `reading`.

    It goes below `with_common_options`.
    """
    shared = inspect.signature(_reading, eval_str=True).parameters
    own = inspect.signature(command, eval_str=True).parameters.values()

    @functools.wraps(command)
    def run(terminal: Terminal, **arguments: Any) -> None:
        reading = _reading(**{name: arguments.pop(name) for name in shared})
        command(terminal, reading=reading, **arguments)

    return with_parameters(run, [*(p for p in own if p.name != "reading"), *shared.values()])
