"""The overview of an archive, in a browser as people open it: from a folder, with scripts and without."""

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from matplotlib.image import imread, imsave

from thinslice.archive.outcome import Outcome
from thinslice.archive.overview import PAGE, write_overview

HOSTILE = '=cmd|"/c calc"!A1, <img src=x onerror=alert(1)> #1? 100% \N{SNOWMAN}'
GAIN, SECONDS, MARK = 7, 10, 11  # columns


def scan(name: str, **values: Any) -> Outcome:
    known = {
        "output": f"{name}.nii.gz", "record": f"{name}.record.json", "report": f"{name}.report.html",
        "thumbnail": f"{name}.thumbnail.jpg", "slices": 40, "spacing_mm": 5.0, "thickness_mm": 5.0, "new_slices": 160,
        "new_spacing_mm": 1.25, "gain_db": 1.5, "noise_ratio": 0.8, "seconds": 20.0,
        "finished": "2026-11-30T12:00:00+00:00",
    }  # fmt: skip
    return Outcome(name, "done", **known | values)


ROWS = [
    scan("site a/one", gain_db=10.25, seconds=9.5),
    scan("site a/two", gain_db=-0.5, seconds=100.0, warnings=("GEO-UPRIGHT",), report=""),
    Outcome("site b/three", "refused", "GEO-SPACING", "slices are not evenly spaced <here>"),
    scan("site b/ten", gain_db=None, seconds=1200.0, finished="2026-11-30T15:20:00+00:00"),
    scan("site b/nine", gain_db=9.0, slices=5, thumbnail=""),
    scan(f"site c/{HOSTILE}".replace("/c calc", "calc"), gain_db=2.0),
    Outcome("=formula", "lost", "BATCH-LOST", "its worker ended 2 times"),
]


def draw(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    imsave(path, np.indices((60, 324)).sum(axis=0) % 37, cmap="gray", format="jpeg")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with pictures and its overview."""
    output = tmp_path_factory.mktemp("archive")
    for row in ROWS:
        if row.thumbnail:
            draw(output / row.thumbnail)
    write_overview(output, ROWS)
    return output


@contextmanager
def shown(browser: Any, folder: Path, *, ready: bool = True, **options: Any) -> Iterator[Any]:
    """The overview in a page that has `problems` and `requests`."""
    context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}} | options)
    page = context.new_page()
    page.problems, page.requests = [], []
    page.on("console", lambda message: page.problems.append(message.text))
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("dialog", lambda dialog: page.problems.append(dialog.message))
    page.on("request", lambda request: page.requests.append(request.url))
    page.goto((folder / PAGE).as_uri())
    if ready:
        page.wait_for_selector('table[data-state="ready"]')
    yield page
    context.close()


@pytest.fixture
def page(browser: Any, folder: Path) -> Iterator[Any]:
    with shown(browser, folder) as page:
        yield page
        assert page.problems == []


def names(page: Any) -> list[str]:
    return page.locator(".name-of").all_text_contents()


def sort(page: Any, column: int) -> list[str]:
    page.locator("thead button").nth(column).click()
    return [row.split("/")[-1] for row in names(page)]


def press(page: Any, name: str, mark: str) -> None:
    page.get_by_role("row").filter(has_text=name).get_by_role("button", name=mark).click()


def exported(page: Any) -> list[list[str]]:
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    assert download.value.suggested_filename == "marks.csv"
    return list(csv.reader(io.StringIO(Path(download.value.path()).read_bytes().decode("utf-8"), newline="")))


def test_nothing_is_asked_for_but_the_page_and_its_pictures(page: Any, folder: Path) -> None:
    page.wait_for_load_state("networkidle")
    assert page.locator("img").count() == 4
    assert page.evaluate("() => Array.from(document.images, (each) => each.complete && each.naturalWidth)") == [324] * 4
    pictures = {(folder / row.thumbnail).as_uri() for row in ROWS if row.thumbnail}
    assert page.requests[0] == (folder / PAGE).as_uri()
    assert {re.sub("'", "%27", url) for url in page.requests[1:]} <= {re.sub("'", "%27", url) for url in pictures}


def test_links_lead_to_files_whatever_their_names(page: Any, folder: Path) -> None:
    from urllib.parse import unquote, urlsplit

    found = page.evaluate("() => Array.from(document.querySelectorAll('tbody a'), (link) => link.href)")
    paths = {Path(unquote(urlsplit(url).path)) for url in found}
    expected = {folder / path for row in ROWS for path in (row.output, row.record, row.report) if path}
    assert paths == expected
    assert not [url for url in found if urlsplit(url).query or urlsplit(url).fragment]


def test_every_column_is_sorted_numbers_as_numbers_and_what_is_empty_last(page: Any) -> None:
    last = {"three", "=formula", "ten"}
    up, down = sort(page, GAIN), sort(page, GAIN)
    assert up[:4] == ["two", up[1], "nine", "one"]
    assert down[:4] == up[:4][::-1]
    assert set(up[4:]) == set(down[4:]) == last
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("Gain")
    assert sort(page, SECONDS)[0] == "one"
    assert sort(page, SECONDS)[:2] == ["ten", "two"]
    for column in range(MARK + 1):
        assert len(sort(page, column)) == len(ROWS)
        assert page.locator("th[aria-sort]").count() == 1


def test_scans_are_filtered_by_outcome_text_and_mark(page: Any) -> None:
    outcome, text, mark = page.get_by_label("Outcome"), page.get_by_label("Text"), page.locator("[data-part=marked]")
    outcome.select_option("refused")
    assert names(page) == ["site b/three"]
    assert page.get_by_text("1 of 7 scans shown").is_visible()
    outcome.select_option("all")
    text.fill("geo-")
    assert names(page) == ["site a/two", "site b/three"]
    text.fill("SITE B")
    assert names(page) == ["site b/three", "site b/ten", "site b/nine"]
    press(page, "site b/ten", "look again")
    mark.select_option("look again")
    assert names(page) == ["site b/ten"]
    mark.select_option("none")
    text.fill("")
    assert len(names(page)) == len(ROWS) - 1
    text.fill("nothing like it")
    assert names(page) == []
    text.fill("")
    mark.select_option("all")
    assert len(names(page)) == len(ROWS)


def test_marks_are_counted_exported_and_there_after_a_reload(page: Any) -> None:
    press(page, "site a/one", "use")
    press(page, HOSTILE.split("<")[1][:8], "reject")
    press(page, "=formula", "look again")
    press(page, "site b/nine", "use")
    press(page, "site b/nine", "use")  # once more takes it away
    assert page.get_by_text("Marked: 1 use, 1 look again, 1 reject; 4 without a mark.").is_visible()
    page.reload()
    page.wait_for_selector('table[data-state="ready"]')
    assert page.get_by_text("Marked: 1 use, 1 look again, 1 reject; 4 without a mark.").is_visible()
    pressed = page.locator("button[aria-pressed=true]")
    assert pressed.all_text_contents() == ["use", "reject", "look again"]
    assert exported(page) == [
        ["scan", "output", "mark"],
        ["site a/one", "site a/one.nii.gz", "use"],
        [ROWS[5].scan, ROWS[5].output, "reject"],
        ["'=formula", "", "look again"],  # as text, not as a formula
    ]
    stored = page.evaluate("() => JSON.stringify(localStorage)")
    assert "site" not in stored
    assert "formula" not in stored


def test_marks_of_two_archives_do_not_mix_and_more_scans_keep_them(browser: Any, tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        write_overview(tmp_path / name, ROWS[:2])
    with shown(browser, tmp_path / "first") as page:
        press(page, "site a/one", "use")
        page.goto((tmp_path / "second" / PAGE).as_uri())
        page.wait_for_selector('table[data-state="ready"]')
        assert page.locator("button[aria-pressed=true]").count() == 0
        write_overview(tmp_path / "first", ROWS)
        page.goto((tmp_path / "first" / PAGE).as_uri())
        page.wait_for_selector('table[data-state="ready"]')
        assert page.locator("button[aria-pressed=true]").all_text_contents() == ["use"]


def test_where_a_browser_keeps_nothing_marks_can_still_be_exported(browser: Any, folder: Path) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new Error('none'); } })")
    page.goto((folder / PAGE).as_uri())
    assert page.get_by_text("This browser keeps no marks").is_visible()
    press(page, "site a/one", "use")
    press(page, "site a/two", "reject")
    assert len(exported(page)) == 3
    context.close()


def test_keys_go_through_rows_and_mark_them(browser: Any, tmp_path: Path) -> None:
    """Also from one group of rows into the next, whose buttons are not made before they are needed."""
    write_overview(tmp_path, [scan(f"scan {number}", thumbnail="") for number in range(250)])
    with shown(browser, tmp_path) as page:
        current = "() => document.activeElement.querySelector('.name-of').textContent"
        page.locator("tbody tr[tabindex]").focus()
        for key in ("u", "j", "l", "ArrowDown", "r", "k", "ArrowUp", "j"):
            page.keyboard.press(key)
        assert page.evaluate(current) == "scan 1"
        assert page.get_by_text("Marked: 1 use, 1 look again, 1 reject; 247 without").is_visible()
        for _ in range(100):
            page.keyboard.press("j")
        page.keyboard.press("u")
        assert page.evaluate(current) == "scan 101"
        assert [row[0] for row in exported(page)[1:]] == ["scan 0", "scan 1", "scan 2", "scan 101"]
        page.get_by_label("Text").fill("url")  # keys in a field are letters
        assert page.get_by_text("0 of 250 scans shown").is_visible()
        assert page.get_by_text("Marked: 2 use, 1 look again, 1 reject").is_visible()
        assert page.problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 820, 390])
def test_nothing_keeps_people_out_at_any_width(browser: Any, folder: Path, width: int, scheme: str) -> None:
    with shown(browser, folder, viewport={"width": width, "height": 900}, color_scheme=scheme) as page:
        press(page, "site a/one", "use")
        page.get_by_text("How to read it").click()
        sort(page, GAIN)
        found = Axe().run(page).response["violations"]
        assert [rule["id"] for rule in found if rule["impact"] in ("serious", "critical")] == [], found
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
        assert page.get_by_role("columnheader").count() == MARK + 1
        assert page.get_by_role("rowheader").count() == len(ROWS)


def test_without_scripts_the_table_shows_everything(browser: Any, folder: Path) -> None:
    with shown(browser, folder, ready=False, java_script_enabled=False) as page:
        assert not page.locator("#tools").is_visible()
        rows = page.locator("tbody tr")
        assert rows.count() == len(ROWS)
        said = " ".join(rows.nth(1).inner_text().split())
        assert said == "site a/two result record done 40 160 5 1.25 5 −0.50 0.80 GEO-UPRIGHT 100"
        for picture in page.locator("tbody img").all():
            assert imread(io.BytesIO(picture.screenshot()), format="png").std() > 0.02


def test_on_paper_rows_and_marks_stand_without_tools(page: Any) -> None:
    press(page, "site a/one", "use")
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator("#tools").is_visible()
    assert page.locator("td.mark button:visible").all_text_contents() == ["use"]
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_hostile_names_are_words(page: Any, folder: Path) -> None:
    assert ROWS[5].scan in names(page)
    assert page.locator("img[src=x]").count() == 0
    assert page.get_by_text("not evenly spaced <here>").is_visible()
    html = (folder / PAGE).read_text(encoding="utf-8")
    assert "<img src=x" not in html
    assert "<here>" not in html


def test_names_that_are_no_utf8_and_empty_archives_make_pages(browser: Any, tmp_path: Path) -> None:
    write_overview(tmp_path, [scan("\udcff\udcfe name")])  # as os.listdir gives them
    with shown(browser, tmp_path) as page:
        press(page, "name", "use")
        assert exported(page)[1][1:] == ["%FF%FE%20name.nii.gz", "use"]
        assert page.problems == [text for text in page.problems if "ERR_FILE_NOT_FOUND" in text]
    write_overview(tmp_path, [])
    with shown(browser, tmp_path) as page:
        assert page.get_by_role("heading", name="0 scans").is_visible()
        assert page.problems == []


def test_the_summary_counts_outcomes_and_seconds(page: Any) -> None:
    assert page.locator(".counts li").all_text_contents() == ["5 done", "0 current", "1 refused", "0 failed", "1 lost"]
    assert page.get_by_text(
        "Computed for 22 min 30 s in all, from 2026-11-30 12:00 UTC to 2026-11-30 15:20"
    ).is_visible()


def test_the_script_is_small_and_loads_nothing(repository: Path) -> None:
    text = (repository / "src/thinslice/archive/overview.js").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 200
    assert max(map(len, text.splitlines())) <= 120
    assert not re.search(r"import |require\(|https?://|fetch\(|XMLHttpRequest|eval\(|innerHTML", text)
