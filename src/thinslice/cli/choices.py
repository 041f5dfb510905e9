"""What `enhance` and `batch` offer alike: the grid, the method, and the form of what is written."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from thinslice.cli import options
from thinslice.cli.terminal import Terminal
from thinslice.errors import UsageError
from thinslice.io.output_format import OutputFormat

if TYPE_CHECKING:
    from thinslice.method import Method
    from thinslice.plan import Job
    from thinslice.volume import Volume

_GRID, _METHOD, _WRITING = "Grid", "Method", "Writing"


@dataclass(frozen=True)
class Choices:
    """What was asked for of the grid, the method and the form. Names are those of `thinslice.enhance`.

    Attributes:
        arguments: of `thinslice.enhance`; of the model, the path.
        form: in what form results are written.
    """

    arguments: dict[str, Any]
    form: OutputFormat

    def job(self, volume: Volume) -> Job:
        """What is to be done to a volume (`thinslice.plan.plan_job`)."""
        from thinslice.plan import plan_job

        names = ("spacing", "factor", "thickness", "profile", "views")
        return plan_job(volume, placement=self.arguments["grid"], **{name: self.arguments[name] for name in names})

    def method(self, terminal: Terminal, *, parts: int, uncertainty: bool) -> Method:
        """How it is to be done; the budget is shared out among the parts of a series."""
        from thinslice.method import Method, effort_of, loaded

        asked = self.arguments
        effort = effort_of(
            budget=asked["budget"] / parts, iterations=asked["iterations"], seed=asked["seed"], check=asked["check"]
        )
        return Method(
            asked["fit"], effort, loaded(asked["model"]), asked["views"], consistency=asked["consistency"],
            texture=asked["texture"], detilt=asked["detilt"], uncertainty=uncertainty, threads=terminal.threads,
            device_name=terminal.device,
        )  # fmt: skip


def _choices(
    spacing: Annotated[
        float | None,
        typer.Option(
            metavar="MM", help="Target slice spacing.", show_default="near the pixels'", rich_help_panel=_GRID
        ),
    ] = None,
    factor: Annotated[
        float | None,
        typer.Option(metavar="F", help="Or: how many times finer, 1.2 to 8.", rich_help_panel=_GRID),
    ] = None,
    thickness: Annotated[
        float | None,
        typer.Option(
            metavar="MM", help="Slice thickness.", show_default="the file's, else the spacing", rich_help_panel=_GRID
        ),
    ] = None,
    grid: options.Grid = None,
    detilt: Annotated[
        bool,
        typer.Option("--detilt", help="Make a tilted scan upright in the end.", rich_help_panel=_GRID),
    ] = False,
    profile: Annotated[
        Literal["auto", "box", "gauss"],
        typer.Option(
            metavar="auto|box|gauss",
            help="Slice profile: found in the scan, or given, with --thickness.",
            rich_help_panel=_METHOD,
        ),
    ] = "auto",
    fit: Annotated[
        Literal["auto", "scan", "none"] | None,
        typer.Option(
            metavar="auto|scan|none",
            help="Adapt weights to this scan, fit from nothing, or neither.",
            show_default="auto; with --weights none",
            rich_help_panel=_METHOD,
        ),
    ] = None,
    budget: Annotated[
        float, typer.Option(metavar="SECONDS", help="Wall time for fitting.", rich_help_panel=_METHOD)
    ] = 180,
    iterations: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Steps instead of wall time: repeatable.", rich_help_panel=_METHOD),
    ] = None,
    views: Annotated[
        Any,
        typer.Option(
            parser=options.names("axial", "coronal", "sagittal"),
            metavar="V,V",
            help="Views that run and are fused.",
            rich_help_panel=_METHOD,
        ),
    ] = "axial,coronal,sagittal",
    consistency: Annotated[
        Any,
        typer.Option(
            parser=options.damping,
            metavar="L|off",
            help="Damping of the projection onto the acquired slices (contiguous ones are met anyway).",
            show_default="from T/s",
            rich_help_panel=_METHOD,
        ),
    ] = None,
    texture: Annotated[
        Literal["keep", "match"],
        typer.Option(
            metavar="keep|match",
            help="match: a viewing copy, synthesised slices as noisy as acquired ones.",
            rich_help_panel=_METHOD,
        ),
    ] = "keep",
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Weights in place of the shipped ones.", rich_help_panel=_METHOD),
    ] = None,
    no_check: Annotated[
        bool,
        typer.Option(
            "--no-check",
            help="Leave the self-check out: sooner done, without the comparison with cubic.",
            rich_help_panel=_METHOD,
        ),
    ] = False,
    seed: Annotated[
        Any,
        typer.Option(parser=options.seed, metavar="N", help="Of weights and draws, from 0.", rich_help_panel=_METHOD),
    ] = 0,
    dtype: Annotated[
        Literal["int16", "float32"],
        typer.Option(metavar="int16|float32", help="Values of an output file.", rich_help_panel=_WRITING),
    ] = "int16",
    compress: Annotated[
        Literal["none", "jpegls", "j2k", "rle"],
        typer.Option(metavar="none|jpegls|j2k|rle", help="Compression of DICOM output.", rich_help_panel=_WRITING),
    ] = "none",
    series_number: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            max=(1 << 31) - 1,
            help="SeriesNumber of DICOM output.",
            show_default="the source's plus 9000",
            rich_help_panel=_WRITING,
        ),
    ] = None,
    like_source: Annotated[
        bool,
        typer.Option(
            "--like-source",
            help="Store DICOM output in the source's bits, sign and intercept.",
            rich_help_panel=_WRITING,
        ),
    ] = False,
    no_sidecar: Annotated[
        bool,
        typer.Option(
            "--no-sidecar", metavar="", help="Write no NAME.json beside a NIfTI result.", rich_help_panel=_WRITING
        ),
    ] = False,
) -> Choices:
    if spacing is not None and factor is not None:
        raise UsageError("USE-TARGET", f"both --spacing {spacing:g} and --factor {factor:g} are given; give one")
    arguments = {
        "spacing": spacing, "factor": factor, "thickness": thickness, "grid": grid, "detilt": detilt,
        "profile": profile, "fit": fit, "budget": budget, "iterations": iterations, "views": views,
        "consistency": consistency, "texture": texture, "model": weights, "check": not no_check, "seed": seed,
    }  # fmt: skip
    form = OutputFormat(
        dtype=dtype, compress=compress, series_number=series_number, like_source=like_source, sidecar=not no_sidecar
    )
    return Choices(arguments, form)


def with_choices(command: Callable[..., None]) -> Callable[..., None]:
    """Offer what is chosen for a result; the command gets it as `choices`. It goes below `with_common_options`."""
    shared = inspect.signature(_choices, eval_str=True).parameters
    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "choices"]

    @functools.wraps(command)
    def run(terminal: Terminal, **arguments: Any) -> None:
        choices = _choices(**{name: arguments.pop(name) for name in shared})
        command(terminal, choices=choices, **arguments)

    asked = [p for p in own if p.default is p.empty]
    offered = [p for p in own if p.default is not p.empty]
    return options.with_parameters(run, [*asked, *shared.values(), *offered])
