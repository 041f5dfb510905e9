"""Pictures of the documents: each is drawn by a function, small, and its bytes do not change from run to run."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def pictures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pictures", FOLDER / "pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_picture_of_the_documents_is_drawn_by_a_command_and_used(pictures: ModuleType) -> None:
    there = {path.name for path in FOLDER.iterdir() if path.suffix in (".png", ".svg", ".jpg", ".gif")}
    assert there == set(pictures.PICTURES)
    texts = "".join(p.read_text(encoding="utf-8") for p in [FOLDER.parent / "README.md", *FOLDER.rglob("*.md")])
    for name in there:
        assert re.search(rf"!\[[^\]]{{20,}}\]\([\w./]*{re.escape(name)}\)", texts), (
            f"{name}: shown nowhere, or without words"
        )


def test_every_picture_is_small_and_asks_for_nothing_from_elsewhere(pictures: ModuleType) -> None:
    for name in pictures.PICTURES:
        content = (FOLDER / name).read_bytes()
        assert len(content) <= pictures.LARGEST_BYTES
        assert b"url(" not in content.replace(b"url(#", b"") or not name.endswith(".svg")


@pytest.mark.slow
def test_the_first_picture_of_the_readme_is_what_the_shipped_weights_make(pictures: ModuleType, tmp_path: Path) -> None:
    """To the eye: processors differ in the last bits."""
    import numpy as np
    from matplotlib.image import imread

    pictures.coronal(tmp_path / "coronal.png")
    pictures.coronal(tmp_path / "again.png")
    assert (tmp_path / "coronal.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    drawn, kept = imread(tmp_path / "coronal.png"), imread(FOLDER / "coronal.png")
    assert drawn.shape == kept.shape
    assert np.abs(drawn - kept).mean() < 0.01
