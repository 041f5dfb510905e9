"""Pictures and pages: what is shown is what was measured, turned as a reader expects."""

from dataclasses import fields, replace
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

import thinslice
from thinslice.errors import OutputError
from thinslice.evaluation.methods import CLASSICAL
from thinslice.evaluation.page import Pages, _summary, render
from thinslice.evaluation.protocols import make_case
from thinslice.evaluation.table import Row, Table
from thinslice.report import preview
from thinslice.report.figures import draw, save_picture
from thinslice.report.planes import case_planes, columns_shown
from thinslice.volume import Volume

AFFINE = np.diag([-0.5, -0.5, 2.0, 1])  # columns to the left, rows backwards, slices upwards


def thin(affine=AFFINE):
    """HU tell places: 20 z + 5 y + x, in voxels."""
    z, y, x = np.indices((13, 12, 14))
    return Volume(20.0 * z + 5 * y + x, affine)


@pytest.fixture(scope="module")
def case():
    return make_case(thin(), "a<b>", protocol="gap", factor=4)


@pytest.fixture(scope="module")
def results(case):
    return {name: CLASSICAL[name](case.thick, case.grid) for name in ("linear", "cubic")}


def test_planes_show_left_right_front_up_as_readers_expect(case):
    axial, coronal, sagittal = case_planes(case, case.truth)
    assert [plane.name for plane in (axial, coronal, sagittal)] == ["axial", "coronal", "sagittal"]
    np.testing.assert_array_equal(axial.hu, case.truth[6])
    np.testing.assert_array_equal(coronal.hu, case.truth[::-1, 6])  # the head at the top
    np.testing.assert_array_equal(sagittal.hu, case.truth[::-1, :, 5])
    assert axial.size_mm == (12 * 0.5, 14 * 0.5)
    assert coronal.size_mm == (13 * 2.0, 14 * 0.5)
    assert sagittal.size_mm == (13 * 2.0, 12 * 0.5)


@pytest.mark.parametrize("flip", [(-1, 1, 1), (1, -1, 1), (1, 1, -1), (-1, -1, -1)])
def test_planes_look_the_same_however_the_voxels_are_stored(flip):
    volume = thin()
    hu = volume.hu[:: flip[2], :: flip[1], :: flip[0]]
    stored = Volume(hu, AFFINE @ np.diag([*flip, 1.0]))
    case = make_case(stored, "a", protocol="gap", factor=4)
    for plane in case_planes(case, case.truth):
        assert plane.hu[0, 0] == (plane.hu.min() if plane.name == "axial" else plane.hu[0].min())
        assert (np.diff(plane.hu, axis=1) > 0).all()  # x and y grow to the right
        if plane.name != "axial":
            assert (np.diff(plane.hu, axis=0) < 0).all()  # and z upwards


def test_planes_stand_upright_whichever_axis_comes_first(case):
    stored = Volume(thin().hu.transpose(0, 2, 1), AFFINE[:, [1, 0, 2, 3]])
    turned = case_planes(make_case(stored, "a", protocol="gap", factor=4), stored.hu[:13])
    straight = case_planes(case, case.truth)
    assert {plane.name for plane in turned} == {plane.name for plane in straight}
    np.testing.assert_array_equal(turned[0].hu, straight[0].hu)
    assert turned[0].size_mm == straight[0].size_mm


def test_the_plane_of_slices_is_a_new_one(case):
    axial, *_ = case_planes(case, case.truth)
    shown = int(np.flatnonzero([np.array_equal(axial.hu, plane) for plane in case.truth])[0])
    assert case.new[shown]


def test_thick_slices_are_shown_in_their_places(case):
    _, coronal, _ = case_planes(case, case.thick.hu)
    assert coronal.hu.shape == (13, 14)
    np.testing.assert_array_equal(coronal.hu[::-1][::4], case.thick.hu[:, 6])


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["linear", "cubic", "mean3", "thinslice-scan", "paper"], ["cubic", "thinslice-scan"]),
        (["linear", "cubic"], ["cubic", "linear"]),
        (["linear", "theirs"], ["linear", "theirs"]),
        (["axial"], ["axial"]),
        ([], []),
    ],
)
def test_a_picture_shows_the_plain_method_and_ours(names, shown):
    assert columns_shown(dict.fromkeys(["thick", *names, "truth"])) == shown


def test_pixels_have_the_shape_of_voxels(case, results):
    planes = {
        name: case_planes(case, hu) for name, hu in {"thick": case.thick.hu, **results, "truth": case.truth}.items()
    }
    figure = draw(planes, title="a")
    figure.canvas.draw()
    for axes in figure.axes[:18]:
        width, height = axes.get_window_extent().size
        bounds = np.abs(np.ptp(axes.get_xlim())), np.abs(np.ptp(axes.get_ylim()))
        assert height / width == pytest.approx(bounds[1] / bounds[0], rel=0.02)


def test_a_picture_is_a_png_and_never_replaces_one_unasked(case, results, tmp_path):
    path = tmp_path / "a.png"
    save_picture(case, results, path)
    picture = imread(path)
    assert picture.std() > 0.1
    with pytest.raises(OutputError, match="exists"):
        save_picture(case, results, path)
    before = path.read_bytes()
    save_picture(case, results, path, overwrite=True)
    assert path.read_bytes() == before


class _Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.text, self.links, self.open, self.tags = [], [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.links += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data.strip())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "out"
    pages = Pages(folder)
    scan = thin()
    scan = replace(scan, hu=scan.hu + np.random.default_rng(0).normal(0, 30, scan.shape))
    table = thinslice.evaluate([scan], methods=("linear", "cubic"), factors=(2,), on_result=pages.add)
    pages.write(table)
    return folder, table


def test_a_page_holds_the_figures_of_the_table_and_needs_no_network(written):
    folder, table = written
    page = _Page((folder / "index.html").read_text())
    assert page.open == []
    assert "script" not in page.tags
    assert page.links
    assert all((folder / link).is_file() for link in page.links)
    for row in table:
        assert row.title in page.text
        assert f"{row.psnr_new:.2f}" in page.text
        assert {*row.as_dict()} - {
            "scan",
            "protocol",
            "factor",
            "method",
            "seed",
            "assumed_thickness",
            "assumed_profile",
        } <= {
            word.strip() for text in page.text for word in text.split(",")
        }  # every column stands in the table's head and is explained


def test_a_folder_holds_the_table_and_one_picture_a_case(written):
    folder, _ = written
    assert sorted(path.name for path in folder.iterdir()) == [
        "index.html", "scan1_box_x2.png", "scan1_gap_x2.png", "table.csv", "table.json",
    ]  # fmt: skip


def test_an_earlier_run_is_replaced_only_where_asked_and_before_any_work(written):
    folder, table = written
    with pytest.raises(OutputError, match="exists"):
        Pages(folder)
    Pages(folder, overwrite=True).write(table)
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "table.csv", "table.json"]


def test_a_name_is_no_formula(case, results, tmp_path):
    pages = Pages(tmp_path / "page")
    named = replace(case, name="scan_$1_$2")
    for name, hu in {"truth": case.truth, "$x_$": results["cubic"]}.items():
        pages.add(named, name, hu)
    pages.write(Table([]))
    assert (tmp_path / "page" / "scan_$1_$2_gap_x4.png").exists()


def test_names_of_scans_are_escaped(case):
    from thinslice.evaluation.metrics import Scores

    scores = {field.name: 1.0 for field in fields(Scores)}
    row = Row(
        scan=case.name, protocol="gap", factor=4, method="<i>", seed=0, assumed_thickness=1.0, assumed_profile="box",
        seconds=1.0, **scores,
    )  # fmt: skip
    page = _Page(render(Table([row]), [(row.title, "a#b 50%.png")]))
    assert "a%23b%2050%25.png" in render(Table([row]), [(row.title, "a#b 50%.png")])
    assert {"i", "b"} & page.tags == set()
    assert row.title in page.text


def test_gains_are_over_cubic_and_the_best_row_is_marked(written):
    html, table = (written[0] / "index.html").read_text(), written[1]
    psnr = {method: [row.psnr_new for row in table if row.method == method] for method in ("linear", "cubic")}
    gain = np.mean(np.subtract(psnr["linear"], psnr["cubic"]))
    assert f"<tr><td>linear</td><td>{np.mean(psnr['linear']):.2f}</td><td>{gain:.2f}</td>" in html
    best = max((row for row in table if row.title == table[0].title), key=lambda row: row.psnr_new)
    assert html.split('class="best"><td>')[1].startswith(best.method)


def test_biases_of_either_sign_do_not_cancel_in_the_means(written):
    rows = [replace(row, bias_lung=bias) for row, bias in zip(written[1][::2], (3.0, -3.0), strict=True)]
    assert [line[3] for line in _summary(Table(rows))] == ["3.0"]


@pytest.mark.parametrize(("error", "colour"), [(50, "red"), (-50, "blue")])
def test_red_is_above_the_truth_and_blue_below(case, error, colour):
    """As it is seen, by the colour of each pixel."""
    shown = {"thick": case.thick.hu, "cubic": case.truth + error, "truth": case.truth}
    figure = draw({name: case_planes(case, hu) for name, hu in shown.items()}, title="a")
    (image,) = figure.axes[3].images
    drawn = image.get_array()
    seen = np.abs(drawn) > 5  # less where the window ends
    assert seen.sum() > 50
    assert (np.sign(drawn[seen]) == np.sign(error)).all()
    red, _, blue, _ = np.moveaxis(image.to_rgba(drawn), -1, 0)
    assert ((red > blue) if colour == "red" else (blue > red))[seen].all()


def test_a_preview_has_every_column_in_one_place(tmp_path, monkeypatch):
    def ramp(slices, step, first):
        """HU of a place are 50 per 5 mm along z, whatever the grid; `first` and `step` in slices of 5 mm."""
        z, y, x = np.indices((slices, 20, 24))
        grid = np.diag([1, 1, step, 1.0])
        grid[2, 3] = first
        return Volume(50 * (z * step + first) + 5 * y + x, np.diag([-0.5, -0.5, 5, 1]) @ grid)

    drawn = {}
    monkeypatch.setattr(preview, "_draw", lambda columns: drawn.update(columns) or Figure())
    preview.save_preview(ramp(8, 1, 0), ramp(40, 0.2, -0.4), tmp_path / "a.png")
    for acquired, cubic, ours in zip(drawn["acquired"], drawn["cubic"], drawn["thinslice"], strict=True):
        np.testing.assert_allclose(cubic.hu[3:-3], ours.hu[3:-3], atol=0.01)
        assert np.abs(acquired.hu - ours.hu).max() <= 25.1  # half a slice
