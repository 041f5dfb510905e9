"""What counts as a label: whole numbers, told from fractions by the step in which they are stored."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from thinslice.errors import InputError
from thinslice.io.label_image import whole_numbers


def labels_of(values, scale=(1.0, 0.0)):
    kji = np.asarray(values).reshape(1, 1, -1)
    return whole_numbers([kji], kji.shape, name="the map", scale=scale)


@given(
    st.lists(st.integers(0, 60_000), min_size=2, max_size=30, unique=True),
    st.sampled_from([np.uint8, np.int16, np.uint16]),
)
def test_labels_stored_in_steps_below_one_come_back_and_no_other(drawn, dtype):
    """As programs do that compute with floats and store integers: slope and intercept span the values."""
    low, high = float(min(drawn)), float(max(drawn))
    limits = np.iinfo(dtype)
    slope = np.float32((high - low) / (int(limits.max) - int(limits.min)))
    intercept = np.float32(low - limits.min * float(slope))
    stored = np.clip(np.rint((np.array(drawn) - float(intercept)) / float(slope)), limits.min, limits.max).astype(dtype)
    assume(slope < 0.98)
    assert np.array_equal(labels_of(stored, (float(slope), float(intercept))).ravel(), drawn)


@pytest.mark.parametrize("values", [[0, 3.0000457, 7014.9999], [0.0, 2.0, 255.0], np.float16([0, 1, 2048])])
def test_floats_may_be_rounded(values):
    assert np.array_equal(labels_of(values).ravel(), np.rint(np.float64(values)))


@pytest.mark.parametrize(
    ("values", "scale", "told"),
    [
        ([0.0, 0.25, 1.0], (1.0, 0.0), "0.25"),
        (np.uint8([0, 64, 255]), (1 / 255, 0.0), "0.25"),  # probabilities in 8 bits
        (np.int16([0, 1, 2]), (0.4, 0.0), "0.4"),
        (np.uint8([0, 1, 2]), (3.92, 0.0), "3.92"),  # 0 to 1000 in 8 bits
        ([0, np.nan], (1.0, 0.0), "nan"),
        ([0, np.inf], (1.0, 0.0), "inf"),
        ([0, -1], (1.0, 0.0), "-1"),
        (np.uint64([0, 2**32]), (1.0, 0.0), str(2**32)),
        ([0, 2.0**31], (1.0, 0.0), str(2**31)),
    ],
)
def test_what_is_no_label_is_refused_with_its_value(values, scale, told):
    with pytest.raises(InputError) as refused:
        labels_of(values, scale)
    assert refused.value.code == "LABEL-VALUES"
    assert told in refused.value.line


@pytest.mark.parametrize("dtype", [np.int64, np.uint32, ">i4", np.float64])
def test_large_labels_are_exact_and_small_ones_take_16_bits(dtype):
    large = [0, 32768, 2**24 + 1, 614454277, 2**31 - 1]
    assert np.array_equal(labels_of(np.array(large, dtype)).ravel(), large)
    assert labels_of(np.array(large, dtype)).dtype == np.int32
    assert labels_of(np.array([0, 32767], dtype)).dtype == np.int16


def test_as_many_labels_as_a_segmentation_has():
    assert len(np.unique(labels_of(np.arange(1001)))) == 1001
    with pytest.raises(InputError) as refused:
        labels_of(np.arange(1002))
    assert refused.value.code == "LABEL-MANY"


def test_what_is_masked_has_no_label():
    drawn = np.ma.masked_array([3, 4, -7, 5], [False, False, True, False])
    kji = drawn.reshape(1, 1, -1)
    assert whole_numbers([kji], kji.shape, name="the map").ravel().tolist() == [3, 4, 0, 5]
