"""Every awkward series of the table is read rightly, or refused with its code; never read wrongly."""

import warnings

import numpy as np
import pytest
from dicom_cases import CASES, Case
from dicom_phantom import hu_at

from thinslice.dicom import read_series
from thinslice.errors import GeometryError, ThinsliceError
from thinslice.volume import Volume

# the generator writes odd values on purpose
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom.*")

NAMES = [case.name for case in CASES]


def largest_error(volume: Volume) -> float:
    """Largest distance from the truth at the positions that the volume claims, in HU, padding left out."""
    z, y, x = np.meshgrid(*map(np.arange, volume.shape), indexing="ij")
    ras = np.stack([x, y, z, np.ones_like(x)], axis=-1) @ volume.affine.T
    error = np.abs(volume.hu - hu_at(ras[..., :3] * [-1, -1, 1]))
    return float(error[~volume.padding].max() if volume.padding is not None else error.max())


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_read_rightly_or_refused_with_its_code(case: Case, tmp_path):
    case.write(tmp_path / "in")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if case.refused:
            with pytest.raises(ThinsliceError) as caught:
                read_series(tmp_path / "in", **case.options)
            assert caught.value.code == case.refused
            assert "\n" not in caught.value.line
            return
        volume = read_series(tmp_path / "in", **case.options)
    assert {notice.code for notice in volume.source.warnings} == case.warned
    assert volume.shape[0] == case.slices
    assert largest_error(volume) <= 1


@pytest.mark.parametrize("case", [case for case in CASES if case.warned], ids=lambda case: case.name)
def test_strict_turns_warnings_into_errors(case: Case, tmp_path):
    case.write(tmp_path / "in")
    with pytest.raises(ThinsliceError) as caught:
        read_series(tmp_path / "in", strict=True, **case.options)
    assert caught.value.code in case.warned


def test_exit_code_is_the_smallest_of_all_reasons(tmp_path):
    from dicom_phantom import each, save

    def change(number, ds):
        ds.RescaleType = "US"
        if number == 3:
            del ds.ImagePositionPatient

    save(each(change), tmp_path)
    with pytest.raises(ThinsliceError) as caught:
        read_series(tmp_path)
    assert not isinstance(caught.value, GeometryError)
    assert caught.value.exit_code == 3
    assert "also DCM-IPP" in caught.value.message
