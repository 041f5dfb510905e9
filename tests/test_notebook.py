"""What a notebook shows of a result: planes as readers expect them, with sliders, in NiiVue where that is at hand."""

import base64
import sys
from html.parser import HTMLParser
from io import BytesIO
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from matplotlib.image import imread

import thinslice
from thinslice import notebook
from thinslice.volume import Origin, Volume

SLICES, ROWS, COLUMNS = 7, 18, 20
RECORD = {"method": {"fit": "none"}, "output": {"copied_slices": 0, "labels": None}, "self_check": None, "warnings": []}


class Page(HTMLParser):
    """The images, sliders and outputs of a piece of HTML, and all names of elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.images: list[dict[str, str]] = []
        self.sliders: list[dict[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        kept = {"img": self.images, "input": self.sliders}.get(tag)
        if kept is not None:
            kept.append(dict(attrs))


@pytest.fixture(scope="module")
def scan():
    """A bright bar in the patient's left half, in the two slices towards the head, at the back."""
    hu = np.full((SLICES, ROWS, COLUMNS), -900, np.float32)
    hu += np.random.default_rng(0).normal(0, 5, hu.shape).astype(np.float32)
    hu[-2:, 4:, -6:] = 500
    origin = Origin("nifti", facts={"secret": "Mustermann"}, header="Mustermann")
    return Volume(hu, np.diag([-2.0, -2.0, 5.0, 1.0]), thickness=1.0, origin=origin)


@pytest.fixture(scope="module")
def result(scan):
    return thinslice.enhance(scan, factor=2, fit="none", check=False)


def pixels(jpeg: str) -> np.ndarray:
    """Grey values from 0 to 1."""
    return imread(BytesIO(base64.b64decode(jpeg)), format="jpeg")[..., 0] / 255


def test_three_planes_show_the_result_beside_the_scan_as_readers_expect_them(result):
    """Head or front upwards, the patient's left or back to the right; the same place before and after."""
    page = Page(result._repr_html_())
    assert [slider["aria-label"] for slider in page.sliders] == ["axial slice", "coronal slice", "sagittal slice"]
    low_half, right_half = {"axial": True, "coronal": False, "sagittal": False}, {"axial": True, "coronal": True}
    for slider in page.sliders:
        name = slider["aria-label"].split()[0]
        picture = pixels(slider["data-pictures"].split()[-1 if name != "coronal" else 12])
        middle = picture.shape[1] // 2
        for half in (picture[:, : middle - 6], picture[:, middle + 6 :]):
            rows, columns = np.argwhere(half > 0.75).mean(axis=0) / half.shape
            assert (rows > 0.5) == low_half[name], name
            assert columns > 0.5 or name not in right_half, name


def test_each_position_of_a_slider_shows_the_plane_that_it_names():
    """HU tell the place along each axis in turn; the picture in the page is that of the slider's position."""
    after_affine = np.diag([-2.0, -2.0, 2.5, 1.0])
    for axis in range(3):
        count = (13, 40, 30)[axis]
        ramp = np.linspace(-900, 500, count).reshape([-1 if axis == other else 1 for other in range(3)])
        after = Volume(np.broadcast_to(ramp, (13, 40, 30)), after_affine)
        before = Volume(after.hu[::2], np.diag([-2.0, -2.0, 5.0, 1.0]))
        page = Page(notebook.html(after, before, RECORD, pictured=after))
        slider, image = page.sliders[axis], page.images[axis]
        places, shown = slider["data-places"].split(), slider["data-pictures"].split()
        assert len(places) == len(shown) == int(slider["max"]) + 1
        assert (places[0], places[-1]) == ("0", str(count - 1))
        assert image["src"].endswith(shown[int(slider["value"])])
        for place, jpeg in zip(places, shown, strict=True):
            picture = pixels(jpeg)
            seen = np.median(picture[:, picture.shape[1] // 2 + 8 :]) * 1600 - 1000
            assert seen == pytest.approx(ramp.ravel()[int(place)], abs=14)


def test_it_needs_no_script_of_the_page_no_network_and_names_nobody(result):
    text = result._repr_html_()
    assert "script" not in Page(text).names
    assert "http" not in text
    assert "Mustermann" not in text
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in Page(text).images)


def test_it_stays_under_two_million_characters_where_pictures_do_not_compress():
    noise = np.random.default_rng(0).normal(-200, 400, (60, 256, 256))
    before, after = Volume(noise[::4], np.diag([1, 1, 4, 1])), Volume(noise[:57], np.eye(4))
    text = notebook.html(after, before, RECORD, pictured=after)
    assert 500_000 < len(text) < 2_000_000
    assert len(Page(text).sliders) == 3


@pytest.fixture
def kernel(monkeypatch):
    """As in a kernel of Jupyter, as far as IPython tells."""
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))


def test_without_a_kernel_there_is_no_widget(result, monkeypatch):
    """In Python and in the shell of IPython."""
    assert result._repr_mimebundle_() is None
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=SimpleNamespace))
    assert result._repr_mimebundle_(include=None, exclude=None) is None


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("broken", [None, SimpleNamespace(NiiVue=lambda **_: 1 / 0)])
def test_where_niivue_is_missing_or_fails_the_pictures_are_left(result, monkeypatch, broken):
    monkeypatch.setitem(sys.modules, "ipyniivue", broken)
    assert result._repr_mimebundle_() is None


@pytest.mark.usefixtures("kernel")
def test_niivue_is_given_no_more_than_a_browser_holds(result, monkeypatch):
    monkeypatch.setattr(notebook, "_MOST_VOXELS", result.volume.hu.size)
    assert result._repr_mimebundle_() is None


def test_niivue_is_given_the_voxels_their_place_and_nothing_else(scan):
    data = notebook._nifti(scan)
    image = nib.Nifti1Image.from_bytes(data)
    assert b"Mustermann" not in data
    np.testing.assert_array_equal(image.affine, scan.affine)
    np.testing.assert_array_equal(image.get_fdata().T, np.rint(scan.hu))
    assert image.get_data_dtype() == np.int16
