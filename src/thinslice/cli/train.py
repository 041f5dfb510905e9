"""`thinslice train`: weights from many scans."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from thinslice.cli import options
from thinslice.cli.options import with_common_options, with_reading_options
from thinslice.cli.summary import written_lines
from thinslice.cli.terminal import Terminal
from thinslice.errors import Notice, UsageError, counted, recorded

if TYPE_CHECKING:
    from thinslice.training import ScanPool
    from thinslice.training.scans import TrainingScan
    from thinslice.volume import Volume


@with_common_options
@with_reading_options
def train(
    terminal: Terminal,
    reading: dict[str, Any],
    more: Annotated[list[Path] | None, typer.Argument(metavar="PATH", help="More scans.")] = None,
    source: Annotated[
        list[Path] | None,
        typer.Option("-i", "--input", metavar="PATH...", help="Scans, thick or thin: files or DICOM folders."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Weights, as safetensors.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Trained weights to go on from; their sizes count.")
    ] = None,
    validate: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="A scan to measure on and not to learn from; may be repeated."),
    ] = None,
    iterations: Annotated[int, typer.Option(min=1, metavar="N", help="Steps in all.")] = 20_000,
    rate: Annotated[
        float | None,
        typer.Option(metavar="SHARE", show_default="1; 0.5 with --weights", help="Of the usual learning rates."),
    ] = None,
    channels: Annotated[
        int | None,
        typer.Option(min=8, metavar="N", show_default="64", help="Features of the coronal and sagittal network."),
    ] = None,
    blocks: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", show_default="5", help="Its residual blocks; what --weights lack is added."),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", show_default="16", help="Patches of a draw; a step takes two draws."),
    ] = None,
    memory: Annotated[float, typer.Option(metavar="GB", help="What scans may take together.")] = 4,
    workers: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", show_default="0; 4 with --device cuda", help="Processes that draw pairs."),
    ] = None,
    seed: Annotated[Any, typer.Option(parser=options.seed, metavar="N", help="Of weights and draws, from 0.")] = 0,
    recipe: Annotated[
        Literal["thinslice", "paper-1", "paper"],
        typer.Option(
            metavar="NAME",
            help="thinslice, or, for evaluate alone, the paper's: paper-1, and paper with distillation.",
        ),
    ] = "thinslice",
) -> None:
    """Train weights on many scans, thick or thin.

    A run that is cut off goes on from its last checkpoint (FILE.checkpoint): give the same command
    again. Under torchrun, the draws of a step are shared among the processes, each with a graphics
    card of its own where --device cuda is given.

    For example:

      thinslice train -i a.nii.gz b.nii.gz dicom_folder -o weights.safetensors
    """
    paths = [*(source or []), *(more or [])]
    if not paths:
        raise UsageError("USE-INPUT", "no scan is given; name scans with -i")
    if output is None:
        raise UsageError("USE-OUTPUT", "no output is given; name a file with -o")
    if weights is not None and channels:
        raise UsageError("USE-SIZE", "--channels does not go with --weights, whose sizes count")
    if terminal.device == "mps":
        raise UsageError("USE-DEVICE", "train runs on cpu or cuda, not on mps")
    if not (math.isfinite(memory) and memory > 0):
        raise UsageError("USE-MEMORY", f"memory must be over 0 GB, found {memory:g}")
    if rate is not None and not 0 < rate <= 1:
        raise UsageError("USE-RATE", f"rate must be over 0 and at most 1, found {rate:g}")
    terminal.refuse_existing(output)
    checkpoint = output.with_name(output.name + ".checkpoint")
    terminal.refuse_clashes([*paths, *(validate or []), weights], output, checkpoint)

    import thinslice
    from thinslice.io import scan
    from thinslice.training import ScanPool

    warnings: list[Notice] = []

    def read(path: Path) -> Volume:
        volume = scan.read(path, **reading)
        warnings.extend(notice for notice in volume.origin.warnings if notice not in warnings)
        return volume

    def pool(files: list[Path]) -> ScanPool:
        return ScanPool(files, read=read, memory_bytes=int(memory * 1e9))

    common: dict[str, Any] = {"seed": seed, "checkpoint": checkpoint}
    sizes: dict[str, Any] = {"channels": channels, "blocks": blocks, "batch": batch, "rate": rate}
    if recipe == "thinslice":
        about = _train_ours(
            terminal, pool(paths), output, weights=weights, validation=[pool([path])[0] for path in validate or []],
            iterations=iterations, workers=workers, **sizes, **common,
        )  # fmt: skip
    else:
        own = sizes | {"weights": weights, "validate": validate, "workers": workers}
        _refuse_for_paper(terminal.device, [name for name, value in own.items() if value is not None], recipe)
        about = _train_paper(terminal, pool(paths), output, recipe=recipe, iterations=iterations, **common)
    if about is not None:
        checkpoint.unlink(missing_ok=True)
        terminal.write_record({"version": thinslice.__version__, "command": "train"} | about
                              | {"warnings": recorded(warnings)})  # fmt: skip
        terminal.warn(warnings)
        trained = f"trained:    {counted(iterations, 'step')} on {counted(len(paths), 'scan')}"
        terminal.say(trained, *written_lines([output]))


def _train_ours(
    terminal: Terminal,
    pool: ScanPool,
    output: Path,
    *,
    weights: Path | None,
    validation: list[TrainingScan],
    iterations: int,
    workers: int | None,
    channels: int | None,
    blocks: int | None,
    batch: int | None,
    rate: float | None,
    seed: int,
    checkpoint: Path,
) -> dict[str, Any] | None:
    """Weights of our own; returns what the record says of them, in the first of several processes."""
    from thinslice.networks.device import choose_device, cuda_is_there
    from thinslice.networks.model import Model
    from thinslice.training import TrainConfig, train_processes, usual_workers

    device = choose_device("cpu" if terminal.device == "auto" else terminal.device)
    if terminal.device == "auto" and cuda_is_there():
        terminal.say("device:     cpu; --device cuda is there too, and was never tried on a graphics card")
    defaults = TrainConfig()
    sizes = {name: size for name, size in (("channels", channels), ("blocks", blocks)) if size is not None}
    inplane = replace(defaults.fit.inplane, **sizes)
    fit = replace(defaults.fit, inplane=inplane, batch=batch or defaults.fit.batch)
    start = None if weights is None else Model.load(weights)
    if start is not None and blocks is not None:
        start = start.deepened(blocks, seed=seed)
    with terminal.progress() as on_progress:
        model = train_processes(
            pool,
            config=replace(defaults, fit=fit, iterations=iterations, rate=rate),
            seed=seed,
            start=start,
            validation=validation,
            checkpoint=checkpoint,
            threads=terminal.threads,
            device=device,
            workers=usual_workers(device) if workers is None else workers,
            on_progress=on_progress,
        )
    if model is None:
        return None
    model.save(output, overwrite=terminal.overwrite)
    return {"sha256": model.digest, "facts": model.facts}


def _refuse_for_paper(device: str, given: list[str], recipe: str) -> None:
    """Refuse what only our own training has."""
    if device == "cuda":
        given = [*given, "device cuda"]
    if given:
        raise UsageError("USE-RECIPE", f"--{given[0]} does not go with --recipe {recipe}")


def _train_paper(
    terminal: Terminal, pool: ScanPool, output: Path, *, recipe: str, iterations: int, seed: int, checkpoint: Path
) -> dict[str, Any]:
    """Weights of the paper's recipe; returns what the record says of them."""
    from thinslice.baselines.paper import PaperConfig
    from thinslice.baselines.paper_training import save_paper, train_paper
    from thinslice.networks.threads import use_threads

    if terminal.threads is not None:
        use_threads(terminal.threads)
    config = PaperConfig() if recipe == "paper" else PaperConfig(distillation=0.0)
    with terminal.progress() as on_progress:
        networks, facts = train_paper(
            pool, config=config, iterations=iterations, seed=seed, checkpoint=checkpoint, on_progress=on_progress
        )
    save_paper(networks, output, config=config, facts=facts, overwrite=terminal.overwrite)
    return {"facts": facts}
