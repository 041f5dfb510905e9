"""The table: one row a case, method and seed; other tools beside our own methods."""

import csv
import itertools
import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from rich.console import Console

import thinslice
from thinslice.errors import GeometryError, InputError, OutputError, ThinsliceError, UsageError
from thinslice.evaluation.methods import CLASSICAL, METHODS
from thinslice.evaluation.metrics import psnr
from thinslice.evaluation.protocols import make_case
from thinslice.evaluation.reliability import COLUMNS
from thinslice.evaluation.run import scan_names
from thinslice.evaluation.table import SHOWN, Table, best_psnr, format_score
from thinslice.io import files
from thinslice.io.output_format import OutputFormat
from thinslice.volume import Volume


def thin(*, axis_affine=None):
    generator = np.random.default_rng(0)
    hu = np.cumsum(generator.normal(0, 60, (26, 20, 18)), axis=0)
    return Volume(hu, np.diag([-0.7, -0.7, 1.5, 1]) if axis_affine is None else axis_affine)


@pytest.fixture(scope="module")
def table():
    return thinslice.evaluate([thin()], methods=("linear", "cubic"), factors=(2, 3))


def test_there_is_a_row_for_every_protocol_factor_and_method(table):
    assert [(row.protocol, row.factor, row.method) for row in table] == [
        (protocol, factor, method) for protocol in ("gap", "box") for factor in (2, 3) for method in ("linear", "cubic")
    ]
    assert all(np.isfinite(row.psnr_new) and row.seconds > 0 for row in table)


@pytest.mark.parametrize(
    "methods",
    [
        [name for name in METHODS if not name.startswith("paper")],
        pytest.param([name for name in METHODS if name.startswith("paper")], marks=pytest.mark.slow),
    ],
    ids=["ours", "paper"],
)
def test_every_method_is_asked_all_that_a_reader_needs(methods):
    """Lung with a vessel, soft tissue and bone that change places half-way along z: no score is left out."""
    hu = np.repeat(np.array([[-850.0, 40, 700]] * 17 + [[700.0, -850, 40]] * 16), 20, axis=1)[:, None, :].repeat(24, 1)
    hu[:17, 10:14, 8:12] = hu[17:, 10:14, 28:32] = 30
    hu += np.random.default_rng(0).normal(0, 20, hu.shape)
    rows = thinslice.evaluate(
        [Volume(hu, np.eye(4))], methods=methods, protocols=("gap",), factors=(2,), iterations=1, axis="z"
    )
    assert {row.method for row in rows} == set(methods)
    for row in rows:
        known = row.as_dict() if row.uncertainty else {n: v for n, v in row.as_dict().items() if n not in COLUMNS}
        known.pop("unc_rank_distance", None)  # of factor 2 every new slice is as far from acquired ones
        assert (row.uncertainty is not None) == row.method.startswith("thinslice")
        missing = [name for name, value in known.items() if value is None or value != value]
        assert missing == [], row.method
        assert 0 < row.dice_bone <= 1
        assert 0 < row.dice_vessel <= 1
        assert row.noise_acquired == rows[0].noise_acquired > 0


def test_a_method_sees_the_cut_scan_only():
    seen = []
    thinslice.evaluate(
        [thin()], methods=("linear",), protocols=("gap",), factors=(2,), slices=11, region=7,
        on_result=lambda case, name, result: seen.append((name, case.thick.shape, result.shape)),
    )  # fmt: skip
    assert seen == [("truth", (6, 7, 7), (11, 7, 7)), ("linear", (6, 7, 7), (11, 7, 7))]


def test_methods_without_chance_run_once_whatever_the_seeds():
    rows = thinslice.evaluate([thin()], methods=("linear",), protocols=("gap",), factors=(2,), seeds=(5, 6))
    assert [row.seed for row in rows] == [5]


def test_the_table_becomes_a_data_frame_csv_and_json(table, tmp_path):
    frame = table.to_pandas()
    assert list(frame.columns)[:4] == ["scan", "protocol", "factor", "method"]
    assert frame.psnr_new.tolist() == [row.psnr_new for row in table]
    table.to_csv(tmp_path / "a.csv")
    table.to_json(tmp_path / "a.json")
    with (tmp_path / "a.csv").open() as handle:
        lines = list(csv.DictReader(handle))
    assert [float(line["psnr_new"]) for line in lines] == frame.psnr_new.tolist()
    records = json.loads((tmp_path / "a.json").read_text())
    assert [record["method"] for record in records] == frame.method.tolist()
    for row, record in zip(table, records, strict=True):
        wanted = {name: value if value == value else None for name, value in row.as_dict().items()}
        assert record == pytest.approx(wanted)
        assert None in wanted.values()  # of this scan not all can be measured


def test_what_cannot_be_measured_is_null_in_json(table, tmp_path):
    Table([replace(table[0], psnr_new=float("inf"), edge_mm=float("nan"))]).to_json(tmp_path / "b.json")
    record = json.loads((tmp_path / "b.json").read_text(), parse_constant=pytest.fail)
    assert (record[0]["psnr_new"], record[0]["edge_mm"]) == (None, None)


def test_it_fits_a_screen_of_80_columns(table):
    rows = [
        replace(row, scan="a_scan_with_a_long_name_[bold]", method="thinslice-scan", seconds=180.4)
        for row in table
        if row.method == "linear"
    ]
    rows += [replace(row, seed=1, psnr_new=row.psnr_new + 0.1, bias_bone=-123.4) for row in rows]
    console = Console(width=80, record=True, file=None, force_terminal=False, quiet=False)
    with console.capture() as capture:
        console.print(Table(rows).rich())
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    assert any("[bold]" in line for line in lines)
    assert any("±0.07" in line for line in lines)


def test_seeds_are_averaged_and_their_spread_is_said(table):
    rows = [replace(table[0], seed=seed, psnr_new=psnr) for seed, psnr in enumerate((40.0, 41.0, 42.0))]
    ((_, scores, spread),) = next(iter(Table(rows).cases().values()))
    assert (scores["psnr_new"], spread) == (41.0, 1.0)


def test_other_tools_get_the_thick_volumes_and_are_scored_beside_ours(tmp_path):
    inputs, results = tmp_path / "inputs", tmp_path / "results"
    common = {"protocols": ("gap", "box"), "factors": (2,)}
    assert thinslice.evaluate([thin()], methods=(), write_inputs=inputs, **common) == []
    assert sorted(path.name for path in inputs.iterdir()) == ["scan1_box_x2.nii.gz", "scan1_gap_x2.nii.gz"]
    with pytest.raises(OutputError) as caught:  # of another scan, it may be
        thinslice.evaluate([thin()], methods=("linear",), write_inputs=inputs, **common)
    assert caught.value.code == "OUT-EXISTS"
    thinslice.evaluate([thin()], methods=(), write_inputs=inputs, overwrite=True, **common)
    results.mkdir()
    for path in inputs.iterdir():
        thick = files.read(path)
        protocol = path.name.split("_")[1]
        case = make_case(thin(), "scan1", protocol=protocol, factor=2)
        np.testing.assert_array_equal(thick.hu, case.thick.hu)
        np.testing.assert_allclose(thick.affine, case.thick.affine, atol=1e-5)
        restored = replace(case.truth_volume, hu=CLASSICAL["linear"](thick, case.grid))
        files.write(restored, results / path.name, OutputFormat(dtype="float32"))
    rows = thinslice.evaluate([thin()], methods=("linear",), score={"other": results}, **common)
    other, ours = rows[0::2], rows[1::2]
    assert [row.method for row in other] == ["other", "other"]
    for a, b in zip(ours, other, strict=True):
        assert b.psnr_new == pytest.approx(a.psnr_new, abs=1e-6)
        assert np.isnan(b.seconds)


def test_a_result_that_is_missing_is_found_before_anything_is_fitted(tmp_path, monkeypatch):
    monkeypatch.setattr("thinslice.evaluation.learned.learned_results", lambda *_, **__: pytest.fail("fitted first"))
    inputs = tmp_path / "inputs"
    with pytest.raises(InputError) as caught:
        thinslice.evaluate(
            [thin()], methods=("thinslice-scan",), factors=(2,), score={"other": tmp_path}, write_inputs=inputs
        )
    assert caught.value.code == "IN-RESULT"
    assert not inputs.exists()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"factors": (2, 9)}, "USE-FACTOR"),
        ({"factors": (2, 8), "protocols": ("box",)}, "GEO-FEW"),
        ({"protocols": ("gap", "square")}, "USE-PROTOCOL"),
        ({"more": "missing.nii.gz"}, "FILE-MISSING"),
        ({"more": "short.nii.gz"}, "GEO-FEW"),
    ],
)
def test_what_is_wrong_with_a_later_case_is_found_before_anything_is_fitted(options, code, tmp_path, monkeypatch):
    monkeypatch.setattr("thinslice.evaluation.learned.learned_results", lambda *_, **__: pytest.fail("fitted first"))
    scan = thin()
    files.write(replace(scan, hu=scan.hu[:6]), tmp_path / "short.nii.gz")
    options = {"factors": (2,), "protocols": ("gap",)} | options
    scans = [scan, *([tmp_path / options.pop("more")] if "more" in options else [])]
    with pytest.raises(ThinsliceError) as caught:
        thinslice.evaluate(scans, methods=("thinslice-scan",), axis="z", **options)
    assert caught.value.code == code


def test_results_of_isotropic_voxels_are_read_along_the_axis_of_the_scan(tmp_path):
    """Slices along the file's x, as far apart as the pixels: their spacing does not show the axis."""
    path = tmp_path / "thin.nii.gz"
    nib.save(nib.Nifti1Image(thin().hu, np.eye(4)), path)
    volume = files.read(path, axis="x")
    case = make_case(volume, "scan1", protocol="gap", factor=2)
    folder = tmp_path / "results"
    folder.mkdir()
    files.write(case.truth_volume, folder / "scan1_gap_x2.nii.gz", OutputFormat(dtype="float32"))
    (row,) = thinslice.evaluate([volume], methods=(), protocols=("gap",), factors=(2,), score={"other": folder})
    assert row.psnr_new == np.inf


@pytest.mark.parametrize(
    ("change", "error", "code"),
    [
        (None, InputError, "IN-RESULT"),
        (lambda v: replace(v, hu=v.hu[:-1]), GeometryError, "GEO-SHAPE"),
        (lambda v: v.with_slices(v.hu, first=1, step=1), GeometryError, "GEO-GRID"),
        (lambda v: v.with_slices(v.hu, first=0, step=1.1), GeometryError, "GEO-GRID"),
    ],
)
def test_results_that_are_not_there_or_lie_elsewhere_are_refused(tmp_path, change, error, code):
    if change:
        truth = make_case(thin(), "scan1", protocol="gap", factor=2).truth_volume
        files.write(change(truth), tmp_path / "scan1_gap_x2.nii.gz")
    with pytest.raises(error) as caught:
        thinslice.evaluate([thin()], methods=(), protocols=("gap",), factors=(2,), score={"other": tmp_path})
    assert caught.value.code == code
    assert "other" in caught.value.message


def test_a_wrong_thickness_is_assumed_and_named():
    rows = thinslice.evaluate(
        [thin()],
        methods=("linear", "bspline"),
        protocols=("box",),
        factors=(3,),
        assume_thickness=0.75,
        assume_profile="gauss",
    )
    right = thinslice.evaluate([thin()], methods=("linear", "bspline"), protocols=("box",), factors=(3,))
    assert {row.assumed_thickness for row in rows} == {0.75}
    assert rows[0].title == "scan1, box x3, assumed 0.75 of its thickness, assumed a gauss profile"
    assert rows[0].psnr_new == right[0].psnr_new  # linear does not ask for it
    assert rows[1].psnr_new != right[1].psnr_new


def test_paths_are_named_by_their_files_and_repeated_names_numbered(tmp_path):
    paths = [tmp_path / "a.nii.gz", tmp_path / "b" / "a.nii.gz", "c.mha", tmp_path / "series", thin()]
    assert scan_names(paths) == ["a", "a_2", "c", "series", "scan5"]
    assert scan_names(["a_2", "A.NII.GZ", "b/a.nrrd", "a", "c.zip"]) == ["a_2", "A", "a", "a_3", "c"]


@pytest.mark.parametrize(
    "options",
    [
        {"methods": ("nearest",)},
        {"seeds": ()},
        {"assume_thickness": 0.0},
        {"protocols": ("mean",)},
        {"factors": (1,)},
        {"factors": ("2",)},
        {"names": ("a", "b")},
    ],
)
def test_nonsense_is_refused(options):
    with pytest.raises(UsageError):
        thinslice.evaluate([thin()], **({"methods": ("linear",)} | options))


def test_progress_counts_cases():
    said = []
    thinslice.evaluate([thin()], methods=("linear",), factors=(2,), on_progress=lambda *line: said.append(line))
    assert said == [("cases", 0, 2), ("cases", 1, 2), ("cases", 2, 2)]


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(float("nan"), 2, "-"), (float("inf"), 2, "inf"), (-0.04, 1, "0.0"), (1.256, 2, "1.26")],
)
def test_figures_are_written_as_a_reader_expects(value, decimals, text):
    assert format_score(value, decimals) == text


def test_each_seed_is_used(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "thinslice.evaluation.run.run_methods", lambda *given, **_: seen.append(given[3].effort.seed) or []
    )
    thinslice.evaluate([thin()], methods=("thinslice-scan",), protocols=("gap",), factors=(2,), seeds=(5, 6))
    assert seen == [5, 6]


def test_each_heading_has_its_score(table):
    names = [name for part in SHOWN for name, *_ in part]
    row = replace(table[0], **{name: float(number) for number, name in enumerate(names, 1)})
    console = Console(width=80)
    with console.capture() as capture:
        console.print(Table([row]).rich())
    lines = [line.split() for line in capture.get().splitlines()]
    shown = {
        heading: float(value)
        for line, values in itertools.pairwise(lines)
        if line[:1] == ["method"]
        for heading, value in zip(line[1:], values[1:], strict=True)
    }
    assert (shown["lung"], shown["soft"], shown["bone"]) == (row.bias_lung, row.bias_soft, row.bias_bone)


def test_what_is_no_number_is_no_result():
    hu = thin().hu.copy()
    hu[3, 4, 5] = np.nan
    with pytest.raises(InputError) as caught:
        thinslice.evaluate([replace(thin(), hu=hu)], methods=("linear",))
    assert caught.value.code == "FILE-NAN"
    assert np.isnan(psnr(float("nan"), peak=4095))
    assert psnr(0.0, peak=4095) == np.inf
    scores = [("lost", {"psnr_new": float("nan")}, 0.0), ("cubic", {"psnr_new": 30.0}, 0.0)]
    assert best_psnr(scores) == 30
    assert np.isnan(best_psnr(scores[:1]))


@pytest.mark.parametrize("name", ["thick", "truth", "cubic"])
def test_a_row_of_another_tool_has_a_name_of_its_own(name, tmp_path):
    with pytest.raises(UsageError) as caught:
        thinslice.evaluate([thin()], methods=("linear",), score={name: tmp_path})
    assert caught.value.code == "USE-SCORE"


def test_factors_that_are_whole_name_files_as_such(tmp_path):
    thinslice.evaluate([thin()], methods=(), protocols=("gap",), factors=(2.0,), write_inputs=tmp_path / "in")
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["scan1_gap_x2.nii.gz"]


def test_one_scan_needs_no_list_and_may_be_an_image(tmp_path):
    options = {"protocols": ("gap",), "factors": (2,), "methods": ("linear",)}
    files.write(thin(), tmp_path / "a.nii", OutputFormat(dtype="float32"))
    (expected,) = thinslice.evaluate([tmp_path / "a.nii"], **options)
    image = nib.load(tmp_path / "a.nii")
    for scans in (tmp_path / "a.nii", str(tmp_path / "a.nii"), image, [image], iter([image])):
        (row,) = thinslice.evaluate(scans, **options)
        assert row.psnr_new == expected.psnr_new
        assert row.scan == ("a" if isinstance(scans, str | Path) else "scan1")


def test_a_result_is_scored_whatever_its_values_are(tmp_path):
    """A tool may have clipped what little lay below 0 HU."""
    case = make_case(thin(), "scan1", protocol="gap", factor=2)
    files.write(
        replace(case.truth_volume, hu=np.abs(case.truth)), tmp_path / "scan1_gap_x2.nii", OutputFormat(dtype="float32")
    )
    (row,) = thinslice.evaluate(thin(), protocols=("gap",), factors=(2,), methods=(), score={"other": tmp_path})
    assert np.isfinite(row.psnr_new)
