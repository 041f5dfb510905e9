"""The examples run, on a small phantom, and show what they say."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

import thinslice

WIDGET = "application/vnd.jupyter.widget-view+json"


def example(repository: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", repository / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(notebook: Path, folder: Path) -> nbformat.NotebookNode:
    """The notebook as Jupyter leaves it after all cells were run, in a kernel of this interpreter."""
    read = nbformat.read(notebook, as_version=4)
    nbformat.validate(read)
    client = NotebookClient(read, timeout=300, resources={"metadata": {"path": str(folder)}})
    manager = client.create_kernel_manager()
    manager.kernel_spec.argv[0] = sys.executable
    return client.execute()


def test_the_notebook_runs_and_shows_its_result_in_niivue_and_in_pictures(repository: Path, tmp_path: Path) -> None:
    """Both: a reader of an exported notebook has no kernel."""
    cells = {cell.id: cell for cell in run(repository / "examples" / "thin_slices.ipynb", tmp_path).cells}
    (shown,) = cells["show"].outputs
    assert set(shown.data) >= {WIDGET, "text/html", "text/plain"}
    assert len(json.dumps(shown)) < 2_000_000
    assert (tmp_path / "thin.nii.gz").exists()
    thick, thin = (float(line.split()[-2]) for line in cells["error"].outputs[0].text.splitlines())
    assert thin < 0.8 * thick


def test_the_notebook_is_kept_without_outputs(repository: Path) -> None:
    for cell in json.loads((repository / "examples" / "thin_slices.ipynb").read_text(encoding="utf-8"))["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


def test_features_gain_and_lose_as_the_example_says(repository: Path) -> None:
    rows = example(repository, "radiomics").main(shape=(56, 72, 72), smallest_mm=6)
    for feature in ("volume, mm3", "mean, HU", "10th percentile, HU", "entropy, bits"):
        mine = [row for row in rows if row["feature"] == feature]
        assert len(mine) >= 2
        thick, thin = (np.mean([abs(row[name] - row["truth"]) for row in mine]) for name in ("thick", "thinslice"))
        assert (thin < thick) == (feature != "entropy, bits"), feature


def test_a_ball_has_the_features_of_a_ball(repository: Path) -> None:
    """Against what geometry says, on voxels that are no cubes."""
    radiomics = example(repository, "radiomics")
    z, y, x = np.indices((40, 50, 50))
    ball = ((z - 20) * 1.25) ** 2 + (y - 25) ** 2 + (x - 25) ** 2 <= 15**2
    hu = np.where(ball, 40, -800)
    hu[20, 25, 10:41] = 100  # a bright line through its middle
    volume = thinslice.Volume(hu, np.diag([-1, -1, 1.25, 1]))
    mask = radiomics.cut_out(volume, np.array([-25.0, -25.0, 25.0]), reach_mm=30)
    np.testing.assert_array_equal(mask, ball)
    found = radiomics.features(volume, mask)
    assert found["volume, mm3"] == pytest.approx(4 / 3 * np.pi * 15**3, rel=0.01)
    assert found["longest diameter, mm"] == pytest.approx(30, rel=0.05)
    assert 0.9 < found["sphericity"] <= 1
    share = 31 / ball.sum()
    entropy = -(share * np.log2(share) + (1 - share) * np.log2(1 - share))
    assert found["entropy, bits"] == pytest.approx(entropy, rel=1e-6)


def test_lung_on_the_result_is_nearer_the_truth_than_lung_on_thick_slices(repository: Path, tmp_path: Path) -> None:
    overlaps = example(repository, "segmentation").main(tmp_path, shape=(60, 48, 48), spacing_mm=(1.0, 4.0, 4.0))
    repeated, carried, anew = overlaps.values()
    assert carried >= repeated - 0.005
    assert anew > carried
    assert {path.name for path in tmp_path.iterdir()} >= {"thin.nii.gz", "thin_labels.nii.gz"}
