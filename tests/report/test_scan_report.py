"""The report of a result, in a browser as people open it: from a file, without network, with scripts and without."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from matplotlib.image import imread

import thinslice
from thinslice.errors import OutputError
from thinslice.evaluation.page import Pages
from thinslice.physics import interpolation
from thinslice.plan import grid_of

WIDTHS = (1440, 820, 390)


@pytest.fixture(scope="module")
def evaluation(result, tmp_path_factory):
    """The page of an evaluation, which stands on the same base."""
    folder = tmp_path_factory.mktemp("evaluation") / "out"
    pages = Pages(folder)
    scan = replace(result.volume, origin=result.scan.origin)
    pages.write(thinslice.evaluate([scan], methods=("linear", "cubic"), factors=(2,), on_result=pages.add))
    return folder / "index.html"


@pytest.fixture
def page(opened, report):
    with opened(report, viewport={"width": 1200, "height": 900}) as page:
        yield page
        assert page.problems == []
        assert page.requests == []


def seen(page, plane="coronal"):
    """What a canvas shows, once what was asked for is drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.evaluate(f"() => document.querySelector('[data-part=\"{plane}\"] canvas').toDataURL()")


def at_crosshair(page):
    seen(page)
    text = page.locator('[data-part="values"]').text_content().replace("\N{MINUS SIGN}", "-")
    return {name: int(hu) for name, hu in re.findall(r"(\w+) (-?\d+) HU", text)}


def test_values_at_the_crosshair_are_those_of_the_volumes(page, result):
    """Thick and cubic are made by the browser, from the acquired slices."""
    grid = grid_of(result.scan, result.volume)
    nearest = np.abs(grid.output_mm[:, None] - grid.acquired_mm).argmin(axis=1)
    volumes = {
        "thick": result.scan.hu[nearest],
        "cubic": np.tensordot(interpolation.cubic(grid), result.scan.hu, 1),
        "thinslice": result.volume.hu,
    }
    for shift in (3, -11, 17):
        for name, axis in (("axial", 0), ("coronal", 1), ("sagittal", 2)):
            size = result.volume.shape[axis]
            page.locator(f'[data-part="{name}"] input').fill(str(size // 2 + shift * size // 48))
        k, j, i = (size // 2 + shift * size // 48 for size in result.volume.shape)
        found = at_crosshair(page)
        for name, hu in volumes.items():
            step = 1 if -160 <= hu[k, j, i] <= 240 else 4
            assert abs(found[name] - hu[k, j, i]) <= step / 2 + 1.5 * (name == "cubic") + 0.5, name
        assert found["uncertainty"] == pytest.approx(result.uncertainty[k, j, i], abs=1)


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_pictures_change_with_slice_window_swipe_zoom_and_layer(page, plane):
    canvas = page.locator(f'[data-part="{plane}"] canvas')
    canvas.focus()
    shown = [seen(page, plane)]

    def changes(act, *arguments, **options):
        act(*arguments, **options)
        now = seen(page, plane)
        assert now not in shown
        shown.append(now)

    changes(page.keyboard.press, "ArrowDown")
    changes(page.locator(f'[data-part="{plane}"] input').fill, "7")
    changes(page.get_by_role("button", name="bone").click)
    changes(page.get_by_role("button", name="brain").click)
    changes(page.locator('[data-part="swipe"]').fill, "20")
    changes(page.locator('[data-part="in"]').click)
    changes(page.locator('[data-part="left"]').select_option, "thick")
    changes(page.locator('[data-part="right"]').select_option, "uncertainty")
    changes(page.locator('[data-part="swap"]').click)
    page.locator('[data-part="reset"]').click()


def dragged(page, start, end, *, button="left"):
    """Drag on the axial picture between two places, in shares of its width and height."""
    canvas = page.locator('[data-part="axial"] canvas')
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    page.mouse.move(*places[0])
    page.mouse.down(button=button)
    page.mouse.move(*places[1], steps=3)
    page.mouse.up(button=button)


def test_a_mouse_drags_the_line_the_crosshair_and_the_window_and_a_wheel_turns_slices(page):
    def numbers():
        seen(page)
        return [page.locator(f'[data-part="{name}"]').input_value() for name in ("swipe",)] + [
            page.locator(f'[data-part="{name}"] output').text_content() for name in ("axial", "coronal", "sagittal")
        ] + [page.locator('[data-part="window"]').text_content()]  # fmt: skip

    before = numbers()
    dragged(page, (0.5, 0.2), (0.25, 0.2))
    swiped = numbers()
    assert swiped[0] == "25"
    assert swiped[1:] == before[1:]
    dragged(page, (0.6, 0.6), (0.7, 0.4))
    aimed = numbers()
    assert [a == b for a, b in zip(aimed, swiped, strict=True)] == [True, True, False, False, True]
    dragged(page, (0.6, 0.6), (0.8, 0.5), button="right")
    assert [a == b for a, b in zip(numbers(), aimed, strict=True)] == [True, True, True, True, False]
    page.mouse.wheel(0, 100)
    assert numbers()[1] != aimed[1]


def test_fingers_aim_and_keys_set_windows(opened, report):
    with opened(report, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True) as page:
        first = at_crosshair(page)
        canvas = page.locator('[data-part="axial"] canvas')
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        page.touchscreen.tap(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
        assert at_crosshair(page) != first
        canvas.focus()
        for key, name in (("1", "lung"), ("4", "brain")):
            page.keyboard.press(key)
            seen(page)
            assert page.get_by_role("button", name=name).get_attribute("aria-pressed") == "true"
        assert page.problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_people_out(opened, report, evaluation, scheme):
    """axe-core finds nothing serious, in this page and in that of an evaluation."""
    for path, wait in ((report, True), (evaluation, False)):
        with opened(path, wait=wait, color_scheme=scheme) as page:
            found = Axe().run(page).response["violations"]
            assert [rule["id"] for rule in found if rule["impact"] in ("serious", "critical")] == [], found
            colour = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
            assert (sum(map(int, re.findall(r"\d+", colour)[:3])) > 384) == (scheme == "light")


@pytest.mark.parametrize("width", WIDTHS)
def test_pages_are_as_wide_as_the_screen(opened, report, evaluation, width):
    for path, wait in ((report, True), (evaluation, False)):
        with opened(path, wait=wait, viewport={"width": width, "height": 800}) as page:
            assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_without_scripts_pictures_and_tables_are_there(opened, report):
    with opened(report, wait=False, java_script_enabled=False, viewport={"width": 1000, "height": 900}) as page:
        assert not page.locator("#viewer").is_visible()
        assert page.get_by_text("Where scripts run").is_visible()
        pictures = page.locator("figure img").all()
        assert len(pictures) == 6 * 5
        for picture in pictures:
            assert len(picture.get_attribute("alt")) > 20
            assert imread(io.BytesIO(picture.screenshot()), format="png").std() > 0.02
        assert page.get_by_role("rowheader", name="cubic interpolation").is_visible()
        assert page.locator("svg.curve").is_visible()


def test_an_older_browser_decodes_by_itself(browser, report):
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script("delete Uint8Array.fromBase64")
    page.goto(report.as_uri())
    page.wait_for_selector('#viewer[data-state="ready"]')
    context.close()


def test_a_browser_that_cannot_unpack_says_so(report, browser):
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script("delete window.DecompressionStream")
    page.goto(report.as_uri())
    page.wait_for_selector('#viewer[data-state="failed"]')
    assert "too old" in page.locator('[data-part="loading"]').text_content()
    context.close()


def test_on_paper_pictures_and_tables_stand_without_the_viewer(page):
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator("#viewer").is_visible()
    assert page.locator("figure img").first.is_visible()
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_without_an_uncertainty_one_line_says_how_to_get_it(opened, result, tmp_path):
    path = tmp_path / "thin.html"
    replace(result, uncertainty=None).report(path)
    with opened(path) as page:
        assert page.locator("figure img").count() == 6 * 4
        assert page.locator("option[value=uncertainty]").count() == 0
        assert page.locator("main").inner_text().count("--uncertainty") == 1
        assert page.problems == []


def test_the_page_says_what_the_record_says_and_whom_to_cite(report, result, repository):
    html = report.read_text(encoding="utf-8")
    record = result.record
    assert f"{record['self_check']['psnr_cubic_db']:.2f} dB" in html
    assert record["model"]["sha256"] in html
    assert record["note"] in html
    assert all(warning["code"] in html for warning in record["warnings"])
    words = " ".join(html.split())
    citation = (repository / "CITATION.cff").read_text(encoding="utf-8")
    for value in re.findall(r"(?:title|family-names|collection-title): (.+)", citation):
        assert value in words, value
    assert re.findall(r"url: https://(.+)", citation)[0] in words


def test_no_name_is_on_the_page_unless_it_is_asked_for(thick_phantom, tmp_path):
    result = thinslice.enhance(str(thick_phantom), spacing=2.5, fit="none", check=False, threads=1)
    path = tmp_path / "Mustermann.html"
    result.report(path)
    html = path.read_text(encoding="utf-8")
    assert not [name for name in (thick_phantom.name, str(thick_phantom.parent), "Mustermann", "/tmp") if name in html]
    told = {"identity": {"input": str(thick_phantom), "output": "<b>Mustermann"}}
    replace(result, record=result.record | told).report(path, overwrite=True)
    assert str(thick_phantom) in path.read_text(encoding="utf-8")
    assert "&lt;b&gt;Mustermann" in path.read_text(encoding="utf-8")
    assert "http" not in html.replace("https://arxiv.org/abs/2112.10325", "").replace("http-equiv", "")


def test_an_existing_report_is_kept(report, result):
    before = report.read_bytes()
    with pytest.raises(OutputError, match="exists"):
        result.report(report)
    assert report.read_bytes() == before


def test_a_report_shows_what_was_sheared_as_it_was(opened, result, tmp_path):
    """An uncertainty of the upright grid does not fit the sheared one: it is left out, with a line."""
    record = result.record | {"warnings": [{"code": "GEO-UPRIGHT", "message": "the result was made upright"}]}
    taller = np.pad(result.uncertainty, ((0, 0), (2, 2), (0, 0)))
    path = tmp_path / "thin.html"
    upright = replace(result.volume, hu=np.pad(result.volume.hu, ((0, 0), (2, 2), (0, 0))))
    replace(result, volume=upright, sheared=result.volume, record=record, uncertainty=taller).report(path)
    with opened(path) as page:
        assert json.loads(page.locator("#viewer-numbers").text_content())["shape"] == list(result.volume.shape)
        assert "before the result was made upright" in page.locator("main").inner_text()
        assert "of the upright result" in page.locator("main").inner_text()


def test_the_viewer_is_small_and_loads_nothing(repository):
    text = Path(repository / "src/thinslice/report/viewer.js").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    assert max(map(len, text.splitlines())) <= 120
    assert not re.search(r"import |require\(|https?://|fetch\(|XMLHttpRequest|eval\(|innerHTML", text)
