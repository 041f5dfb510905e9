"""Run methods on cases: scans x protocols x factors x methods x seeds."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, count, product
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from thinslice.baselines.paper_training import load_paper
from thinslice.conventions import MOST_SEED, OnProgress
from thinslice.errors import UsageError
from thinslice.evaluation.exchange import find_result, input_paths, read_result, result_paths, write_input
from thinslice.evaluation.learned import OnUncertainty
from thinslice.evaluation.learning import PAPER_TRAINED, Learning
from thinslice.evaluation.measured_profile import measure_profile
from thinslice.evaluation.methods import CLASSICAL, METHODS, check_methods, run_methods
from thinslice.evaluation.metrics import Scorer
from thinslice.evaluation.pairs import match_pair, pair_case
from thinslice.evaluation.protocols import (
    Case,
    Protocol,
    case_slugs,
    check_protocol,
    cut,
    make_case,
    thick_slices,
)
from thinslice.evaluation.reliability import Reliability, measure_reliability
from thinslice.evaluation.table import Row, Table
from thinslice.fitting.effort import Effort
from thinslice.io import files, scan
from thinslice.io.files.objects import is_scan
from thinslice.networks.model import Model
from thinslice.physics.grid import Placement
from thinslice.plan import ProfileChoice
from thinslice.system.keywords import checks_keywords
from thinslice.system.output import none_left, refuse_clashes, refuse_existing
from thinslice.system.paths import as_path
from thinslice.volume import Volume

_log = logging.getLogger("thinslice.evaluation")

DEFAULT_METHODS = ("linear", "cubic", "bspline", "smooth", "thinslice", "thinslice-fit")

OnResult = Callable[[Case, str, np.ndarray], None]


@dataclass(frozen=True)
class Exchange:
    """Files that other tools share a table by.

    Attributes:
        write_inputs: folder for the thick volumes of all cases, or None.
        overwrite: whether thick volumes that are there are replaced.
        score: folders with the results of other tools, by the name of their row.
    """

    write_inputs: Path | None
    overwrite: bool
    score: Mapping[str, Path]


@dataclass(frozen=True)
class _Plan:
    """What is measured on every case.

    Attributes:
        methods: names of methods.
        seeds: of methods with chance, each of which runs once for each.
        learning: what methods that learn may spend.
        exchange: files shared with other tools.
        on_progress, on_result: callbacks of `evaluate`.
    """

    methods: Sequence[str]
    seeds: Sequence[int]
    learning: Learning
    exchange: Exchange
    on_progress: OnProgress | None
    on_result: OnResult | None


@dataclass(frozen=True)
class _Cases:
    """How cases are made of scans and of pairs.

    Attributes:
        table: warnings, and what is measured on pairs, go there.
        protocols: and factors, of thin scans.
        slices, region: what is kept of scans.
        assume_thickness, assume_profile, placement: as for `make_case`.
        reading: options of `thinslice.read`.
    """

    table: Table
    protocols: Sequence[tuple[Protocol, int]]
    slices: int | None
    region: int | None
    assume_thickness: float
    assume_profile: ProfileChoice | None
    placement: Placement
    reading: Mapping[str, Any]

    def of_scan(self, path: Any, name: str) -> Iterator[Case]:
        """Of a thin scan, by every protocol and factor."""
        volume = cut(self._read(path), slices=self.slices, region=self.region)
        volume.refuse_nan()
        for protocol, factor in self.protocols:
            thick_slices(volume.shape[0], name, protocol, factor)
        for protocol, factor in self.protocols:
            yield make_case(
                volume, name, protocol=protocol, factor=factor, assume_thickness=self.assume_thickness,
                assume_profile=self.assume_profile, placement=self.placement,
            )  # fmt: skip

    def of_pair(self, thick: Any, thin: Any, name: str) -> Iterator[Case]:
        """Of two reconstructions of one acquisition."""
        pair = match_pair(*(cut(self._read(path), region=self.region) for path in (thick, thin)), name=name)
        self.table.add_pair(measure_profile(pair))
        yield pair_case(pair, assume_thickness=self.assume_thickness, assume_profile=self.assume_profile)

    def _read(self, path: Any) -> Volume:
        if isinstance(path, Volume):
            volume = scan.accepted(path, allow_derived=self.reading.get("allow_derived", False), name="the volume")
        else:
            volume = scan.read(path, **self.reading)
        self.table.warn(volume.origin.warnings)
        return volume


@checks_keywords(*scan.READING)
def evaluate(
    paths: Any = (),
    *,
    pairs: Sequence[tuple[Any, Any]] = (),
    protocols: Sequence[Protocol] = ("gap", "box"),
    factors: Sequence[int] = (2, 4),
    methods: Sequence[str] = DEFAULT_METHODS,
    slices: int | None = None,
    region: int | None = None,
    budget: float = 180.0,
    iterations: int | None = None,
    seeds: Sequence[int] = (0,),
    model: Model | str | PathLike[str] | None = None,
    assume_thickness: float = 1.0,
    assume_profile: ProfileChoice | None = None,
    grid: Placement = "slabs",
    write_inputs: str | Path | None = None,
    overwrite: bool = False,
    device: str = "auto",
    score: Mapping[str, str | Path] | None = None,
    names: Sequence[str] | None = None,
    on_progress: OnProgress | None = None,
    on_result: OnResult | None = None,
    **reading: Any,
) -> Table:
    """Measure methods against known truth.

    Every scan is cut, thickened by every protocol and factor, given to every method, and its results are scored against
    the thin slices that the scan had; thick slices of a real pair are scored against the thin ones. See docs for
    protocols and scores. Several scans, and results of other tools, are read once before anything is fitted: what is
    wrong with the last must not cost the fits of the others.

        >>> import thinslice
        >>> from thinslice.phantom import make_phantom
        >>> thin = make_phantom(shape=(80, 48, 48), spacing_mm=(1.0, 2.5, 2.5)).volume
        >>> table = thinslice.evaluate(thin, protocols=("box",), factors=(5,), methods=("linear", "cubic", "thinslice"))
        >>> [(row.method, round(row.psnr_new)) for row in table]
        [('linear', 38), ('cubic', 38), ('thinslice', 39)]

    Args:
        paths: thin scans, or one: paths, volumes, or images that `thinslice.read` knows.
        pairs: (thick, thin) reconstructions of one acquisition. Nothing is resampled: results are made where the thin
            slices lie, and the profile of the thick ones is measured over them (`Table.pairs`). Methods assume the
            profile that is found in the thick slices, or `assume_profile`. `slices` does not apply.
        protocols: "gap", "box", "gauss"; of thin scans.
        factors: whole numbers from 2 to 8.
        methods: their names; may be empty where only files are written or scored.
        slices: keep the central slices only.
        region: keep the central region x region pixels only.
        budget: seconds for each fit.
        iterations: steps for each fit instead of seconds.
        seeds: learned methods run once for each.
        model: weights for "thinslice" and "thinslice-fit" in place of the shipped ones, or the file that holds them;
            where "paper-trained" is among the methods, the file of its weights.
        assume_thickness: methods assume this many times the true thickness.
        assume_profile: methods assume this profile in place of the true one; "auto" finds it in the thick scan.
        grid: where output slices of thick ones lie: "slabs" over all slices that were averaged, "centres" from the
            centre of the first block, for odd factors.
        write_inputs: folder for the thick volumes, as ``SCAN_PROTOCOL_xFACTOR.nii.gz``.
        overwrite: replace thick volumes that are there. A run that fails or is interrupted removes those it wrote, but
            does not bring back what it replaced.
        device: where learned methods run: "auto", "cpu", "cuda" or "mps".
        score: folders of results under the same file names, by row name.
        names: what the scans, and the pairs after them, are called in the table and in names of files; by default as
            their files are.
        on_progress: called with (stage, done, total); stage "cases" counts cases, others are of a fit.
        on_result: called with (case, method, result) for every result of the first seed, and once
            for each case with method "truth".
        **reading: options of `thinslice.read` for all paths: axis, series, phase, rescale, allow_derived, limits.

    Returns:
        The table, one row for each case, method and seed, and what reading warned of.

    Raises:
        UsageError: a protocol, factor, method or region that does not exist, a budget or seed that means nothing,
            a row to be scored that is called as a method is.
        OutputError: a thick volume exists.
        InputError: a scan, or a result to be scored, that cannot be read or holds NaN.
        GeometryError: too few slices, or a result that is not on the truth's grid.
    """
    learning = Learning(Effort(budget, iterations), device=device, **_weights(model, methods))
    check_methods(methods, learning)
    _check_names(seeds, score or {}, assume_thickness)
    exchange = Exchange(
        write_inputs=None if write_inputs is None else as_path(write_inputs),
        overwrite=overwrite,
        score={name: as_path(folder) for name, folder in (score or {}).items()},
    )
    plan = _Plan(methods, seeds, learning, exchange, on_progress, on_result)
    table = Table()
    scans = [paths] if is_scan(paths) else list(paths)
    names = list(names or scan_names([*scans, *(thick for thick, _ in pairs)]))
    if len(names) != len(scans) + len(pairs):
        raise UsageError("USE-INPUT", f"{len(names)} names are given for {len(scans)} scans and {len(pairs)} pairs")
    for protocol, factor in product(protocols, factors):
        check_protocol(protocol, factor, placement=grid)
    factors = [int(factor) for factor in factors]
    cases = list(product(protocols, factors))
    slugs = case_slugs(names[: len(scans)], protocols, factors, names[len(scans) :])
    read_from = [path for path in chain(scans, *pairs) if isinstance(path, str | PathLike)]
    targets = _check_files([as_path(path) for path in read_from], slugs, exchange)

    made = _Cases(table, cases, slices, region, assume_thickness, assume_profile, grid, reading)
    sources = [partial(made.of_scan, path, name) for path, name in zip(scans, names, strict=False)]
    sources += [partial(made.of_pair, *pair, name) for pair, name in zip(pairs, names[len(scans) :], strict=True)]
    for number, source in enumerate(sources):
        if exchange.score or number:
            _look_ahead(source(), exchange)
    with none_left(targets):
        every = chain.from_iterable(source() for source in sources)
        for done, case in enumerate(every):
            if on_progress:
                on_progress("cases", done, len(slugs))
            table += _run_case(case, plan)
        if on_progress:
            on_progress("cases", len(slugs), len(slugs))
    return table


def _weights(model: Model | str | PathLike[str] | None, methods: Sequence[str]) -> dict[str, Any]:
    """Fields of `Learning` for weights that are given."""
    if not isinstance(model, str | PathLike):
        return {"model": model}
    return {"paper": load_paper(model)} if PAPER_TRAINED in methods else {"model": Model.load(model)}


def _check_files(scans: Sequence[Path], slugs: Sequence[str], exchange: Exchange) -> list[Path]:
    """Where thick volumes go; refuses those that are in the way of other files, and results that are not there."""
    targets: list[Path] = []
    if exchange.write_inputs is not None:
        targets = input_paths(exchange.write_inputs, slugs)
        scored = [file for slug in slugs for folder in exchange.score.values() for file in result_paths(folder, slug)]
        refuse_clashes([*scored, *scans], targets)
        for target in targets:
            refuse_existing(target, overwrite=exchange.overwrite)
    for (name, folder), slug in product(exchange.score.items(), slugs):
        find_result(folder, slug, name)
    return targets


def _look_ahead(cases: Iterator[Case], exchange: Exchange) -> None:
    """Raise what a scan, or other tools' results of its cases, would raise at their turn."""
    for case in cases:
        for name, folder in exchange.score.items():
            read_result(case, folder, name)
        if not exchange.score:  # the scan was read, and is long enough for all
            return


def _check_names(seeds: Sequence[int], score: Mapping[str, str | Path], assume_thickness: float) -> None:
    """Raise UsageError (USE-SEEDS, USE-SCORE, USE-THICKNESS) where seeds or names mean nothing or are taken."""
    if not (math.isfinite(assume_thickness) and assume_thickness > 0):
        raise UsageError("USE-THICKNESS", f"assume_thickness must be a number over 0, found {assume_thickness:g}")
    if not seeds or min(seeds) < 0 or max(seeds) > MOST_SEED:
        raise UsageError("USE-SEEDS", f"seeds are one or more whole numbers from 0, found {list(seeds)}")
    if taken := sorted(set(score) & {*METHODS, "thick", "truth"}):
        raise UsageError("USE-SCORE", f"{taken[0]} is a name of this table's own; name the other tool's row otherwise")


def scan_names(paths: Sequence[Any]) -> list[str]:
    """A name for every scan, from its path; repeated names are numbered."""
    names: list[str] = []
    for number, path in enumerate(paths, 1):
        name = _stem(as_path(path).resolve()) if isinstance(path, str | PathLike) else f"scan{number}"
        free = (f"{name}_{more}" for more in count(2))
        names.append(name if name not in names else next(other for other in free if other not in names))
    return names


def _stem(path: Path) -> str:
    """A file's or folder's name without the ending of a scan, whatever bytes it is made of."""
    ending = files.ending_of(path) or (".zip" if path.suffix.lower() == ".zip" else "")
    return os.fsencode(path.name[: len(path.name) - len(ending)]).decode("utf-8", "replace")


def _run_case(case: Case, plan: _Plan) -> list[Row]:
    """All rows of one case."""
    exchange = plan.exchange
    if exchange.write_inputs is not None:
        write_input(case, exchange.write_inputs, overwrite=exchange.overwrite)
    if not plan.methods and not exchange.score:
        return []
    scorer = Scorer(case)
    if plan.on_result:
        plan.on_result(case, "truth", case.truth)
    rows = []
    found: list[Reliability] = []

    def keep(result: np.ndarray, uncertainty: np.ndarray, disagreement: np.ndarray) -> None:
        found.append(measure_reliability(case, result, uncertainty, disagreement))

    for method, seed, result, seconds in _results(case, plan, on_uncertainty=keep):
        unsure = found.pop() if found else None
        row = Row.of(case, scorer.score(result), method=method, seed=seed, seconds=seconds, uncertainty=unsure)
        rows.append(row)
        _log.info("%s %s x%d, %s: %.1f s, %.2f dB", row.scan, row.protocol, row.factor, method, seconds, row.psnr_new)
        if plan.on_result and seed == plan.seeds[0]:
            plan.on_result(case, method, result)
    return rows


def _results(case: Case, plan: _Plan, *, on_uncertainty: OnUncertainty) -> Iterable[tuple[str, int, np.ndarray, float]]:
    """(method, seed, result, seconds), one at a time: results of a large scan do not fit side by side."""
    for name, folder in plan.exchange.score.items():  # first: one that is missing must not cost the fits
        yield name, plan.seeds[0], read_result(case, folder, name), float("nan")
    chance = [name for name in plan.methods if name not in CLASSICAL]
    for number, seed in enumerate(plan.seeds):
        names = plan.methods if number == 0 else chance
        for name, result, seconds in run_methods(
            case.thick, case.grid, names, plan.learning.with_seed(seed), on_progress=plan.on_progress,
            on_uncertainty=on_uncertainty,
        ):  # fmt: skip
            yield name, seed, result, seconds
