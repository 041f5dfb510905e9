"""Volumes within a page: unpacked again they are what they were, to the steps of their table."""

import base64
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from thinslice.planes import turned
from thinslice.report.embedded import MOST_VOXELS, Reduction, coded, packed, reduction, table_of_hu
from thinslice.report.viewer import planes, viewer
from thinslice.volume import Volume

NO_REDUCTION = Reduction()


def unpacked(text, shape):
    """By the words of `embedded`, one voxel after the other."""
    data = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).astype(int).reshape(2, *shape)
    folded = data[0] + 256 * data[1]
    errors = np.where(folded % 2, -(folded + 1) // 2, folded // 2)
    codes = np.zeros((shape[0], shape[1] + 1, shape[2] + 1), int)
    for k, v, u in np.ndindex(*shape):
        left, above, corner = codes[k, v + 1, u], codes[k, v, u + 1], codes[k, v, u]
        codes[k, v + 1, u + 1] = sorted((left, above, left + above - corner))[1] + errors[k, v, u]
    return codes[:, 1:, 1:]


@given(arrays(np.int16, (3, 4, 5), elements=st.integers(0, 2000)))
def test_codes_come_back(codes):
    np.testing.assert_array_equal(unpacked(packed(codes), codes.shape), codes)


@pytest.mark.parametrize("coarser", [1, 2, 4])
def test_hu_come_back_within_half_a_step(coarser):
    hu = np.linspace(-1024, 3071, 4096, dtype=np.float32)
    table = table_of_hu(coarser)
    error = np.abs(table[coded(iter([hu[None]]), table)[0, 0]] - hu)
    soft = (hu >= -160) & (hu <= 240)
    assert error[soft].max() <= coarser / 2 + 0.5
    assert error.max() <= 4 * coarser / 2 + 0.5
    outside = np.array([[-3000, 9000]], np.float32)
    assert table[coded(iter([outside]), table)].ravel().tolist() == [table[0], table[-1]]


def test_reducing_takes_means_of_blocks():
    hu = np.random.default_rng(0).normal(0, 100, (7, 9, 8)).astype(np.float32)
    found = np.stack(list(Reduction(slices=2, pixels=3).applied(hu)))
    wanted = hu[:6, :9, :6].reshape(3, 2, 3, 3, 2, 3).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-3)
    weights = np.random.default_rng(1).random((7, 3))
    np.testing.assert_allclose(Reduction(2, 3).along_slices(weights), weights[:6].reshape(3, 2, 3).mean(axis=1))


@given(
    st.tuples(st.integers(3, 2000), st.integers(16, 2048), st.integers(16, 2048)),
    st.tuples(*[st.floats(0.3, 8.0)] * 3),
)
def test_any_volume_is_made_small_enough_and_small_ones_stay(shape, voxel_mm):
    found = reduction(shape, voxel_mm)
    assert np.prod(found.shape(shape), dtype=float) <= MOST_VOXELS
    assert (found == NO_REDUCTION) == (np.prod(shape, dtype=float) <= MOST_VOXELS)


def test_a_scan_of_today_is_shown_at_half_its_pixels_and_all_its_slices():
    assert reduction((280, 512, 512), (0.7, 0.7, 1.0)) == Reduction(1, 2)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (0, 2, 1)])
@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
def test_planes_of_the_viewer_are_turned_as_those_of_pictures(order, flip):
    hu = np.random.default_rng(0).normal(0, 1, (4, 5, 6))
    affine = np.diag([*flip, 1.0])[:, [*order, 3]] @ np.diag([0.7, 0.8, 3.0, 1])
    names = set()
    for plane in planes(affine):
        normal, down, across = plane["axes"]
        names.add(plane["name"])
        shown = np.moveaxis(hu, (normal, down, across), (0, 1, 2))[1]
        shown = shown[:: -1 if plane["flip"][0] else 1, :: -1 if plane["flip"][1] else 1]
        steps = [affine[:3, 2 - axis] for axis in (down, across, normal)]
        wanted = turned(np.moveaxis(hu, (normal, down, across), (0, 1, 2))[1], (1, 1), *steps)
        assert plane["name"] == wanted.name
        np.testing.assert_array_equal(shown, wanted.hu)
        assert "".join(plane["edges"]) in ("RLAP", "RLHF", "APHF")
    assert names == {"axial", "coronal", "sagittal"}


def test_a_noisy_volume_is_stored_coarser_rather_than_larger(monkeypatch):
    rng = np.random.default_rng(0)
    thick = Volume(rng.normal(0, 400, (8, 32, 32)), np.diag([-1, -1, 4, 1.0]))
    thin = Volume(rng.normal(0, 400, (29, 32, 32)), np.diag([-1, -1, 1, 1.0]))
    fine = viewer(thick, thin, None, window=(-160, 240))
    size = sum(map(len, fine.volumes.values()))
    monkeypatch.setattr("thinslice.report.viewer.MOST_CHARACTERS", int(0.85 * size))
    coarse = viewer(thick, thin, None, window=(-160, 240))
    assert (fine.step_hu, coarse.step_hu) == (1, 4) or coarse.step_hu == 2
    assert sum(map(len, coarse.volumes.values())) <= 0.85 * size
    assert f"steps of {coarse.step_hu}" in coarse.words
