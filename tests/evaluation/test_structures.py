"""Nodules and a lesion of known size are measured as what they are, and blurring shows."""

import numpy as np
import pytest
from rich.console import Console
from scipy import ndimage

from thinslice.evaluation.structures import StructureRow, measure_structures, structure_table
from thinslice.phantom import Structure, make_phantom

SIZES = {"nodule": 8.0, "lesion": 12.0}


@pytest.fixture(scope="module")
def scene():
    """A nodule in lung and a faint lesion in liver, drawn with partial volume, voxels of 1 x 0.8 x 0.8 mm."""
    structures = (
        Structure("nodule", (20.3, 25.0, 20.4), 8.0, 35.0),
        Structure("lesion", (20.0, 25.0, 65.0), 12.0, 50.0),
    )
    hu = np.full((40, 50, 90), -850.0)
    hu[:, :, 45:] = 110
    z, y, x = np.indices(hu.shape)
    for s in structures:
        cz, cy, cx = s.centre
        distance = np.sqrt((z - cz) ** 2 + ((y - cy) * 0.8) ** 2 + ((x - cx) * 0.8) ** 2) - s.diameter_mm / 2
        hu += np.clip(0.5 - distance / 0.87, 0, 1) * (s.hu - hu)
    return structures, hu


def by_name(rows, method):
    found = {row.structure: row for row in rows if row.method == method}
    assert set(found) == set(SIZES), method
    return found


def test_the_truth_has_its_own_size(scene):
    structures, hu = scene
    rows = by_name(measure_structures(structures, {}, hu, (1.0, 0.8, 0.8)), "truth")
    for name, row in rows.items():
        assert row.diameter_mm == SIZES[name]
        assert abs(row.volume_error) < 8
        assert abs(row.diameter_error_mm) < 0.4
        assert row.dice > 0.95


def test_what_is_lost_is_lost_and_what_is_smeared_along_z_is_long(scene):
    structures, hu = scene
    lost = np.where(np.arange(90) < 45, -850.0, 110.0) + np.zeros_like(hu)
    stretched = ndimage.zoom(hu, (1.5, 1, 1), order=1)[10:50]
    rows = measure_structures(structures, {"lost": lost, "stretched": stretched}, hu, (1.0, 0.8, 0.8))
    for row in by_name(rows, "lost").values():
        assert (row.volume_error, row.dice, row.diameter_error_mm) == (-100, 0, -row.diameter_mm)
    for row in by_name(rows, "stretched").values():
        assert row.diameter_error_mm > 0.2 * row.diameter_mm
        assert row.dice < by_name(rows, "truth")[row.structure].dice


def test_noise_hardly_moves_a_faint_lesion(scene):
    structures, hu = scene
    noisy = hu + np.random.default_rng(0).normal(0, 18, hu.shape)
    row = by_name(measure_structures(structures, {"noisy": noisy}, hu, (1.0, 0.8, 0.8)), "noisy")["lesion"]
    assert abs(row.volume_error) < 15
    assert row.dice > 0.85


def test_the_phantoms_structures_are_all_measured_and_fit_a_screen():
    phantom = make_phantom(shape=(48, 96, 96), spacing_mm=(2.0, 2.0, 2.0), noise_hu=0)
    truth = phantom.volume.hu
    rows = measure_structures(phantom.structures, {"thinslice-scan": truth}, truth, (2.0, 2.0, 2.0))
    assert len(rows) == 2 * len(phantom.structures)
    assert all(
        a.volume_error == b.volume_error for a, b in zip(rows[: len(rows) // 2], rows[len(rows) // 2 :], strict=True)
    )
    assert all(abs(row.diameter_error_mm) < 1.5 for row in rows if row.diameter_mm >= 6)
    console = Console(width=80, force_terminal=False)
    with console.capture() as capture:
        console.print(structure_table(rows))
    assert max(map(len, capture.get().splitlines())) <= 80
    assert "…" not in capture.get()


def test_errors_of_either_sign_do_not_cancel():
    rows = [StructureRow("a", "nodule", 5.0, error, error / 10, 0.5) for error in (20.0, -20.0)]
    console = Console(width=80, force_terminal=False)
    with console.capture() as capture:
        console.print(structure_table(rows))
    assert capture.get().split()[-4:] == ["a", "20", "2.00", "0.500"]
