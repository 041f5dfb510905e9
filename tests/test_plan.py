"""What is planned for a volume: its slice profile, by what files say, what users say, and its noise."""

import numpy as np
import pytest
from scipy import ndimage

from thinslice.errors import UsageError
from thinslice.physics.grid import plan_grid
from thinslice.physics.operator import SliceOperator
from thinslice.plan import plan_job
from thinslice.volume import Origin, Volume


def _scan(thickness, flatness, *, origin=None, stated=None, noise=40.0):
    grid = plan_grid(24, 4.0, 1.0, thickness_mm=thickness, flatness=flatness, nominal_mm=4.0)
    random = np.random.default_rng(1)
    raw = ndimage.gaussian_filter(random.normal(0, noise, (len(grid.output_mm), 64, 64)), (0, 0.8, 0.8))
    return Volume(SliceOperator(grid).apply(raw + 30), np.diag([1, 1, 4, 1]), stated, origin=origin or Origin("nifti"))


def test_a_told_profile_rules_and_the_thickness_with_it():
    job = plan_job(_scan(4.0, 0.0), factor=4, profile="box", thickness=3.0)
    assert (job.grid.thickness_mm, job.grid.flatness, job.profile.determined_by) == (3.0, 1.0, "user")
    assert job.profile.error_mm is None
    assert plan_job(_scan(4.0, 1.0), factor=4, profile="gauss").grid.flatness == 0.0


def test_a_thickness_alone_is_a_hint():
    job = plan_job(_scan(4.0, 1.0), factor=4, thickness=5.0)
    assert (job.grid.thickness_mm, job.stated_mm, job.thickness_from) == (pytest.approx(4.0), 5.0, "option")
    assert [notice.code for notice in job.warnings] == ["GEO-PROFILE"]
    assert "5 mm thick; by their noise the profile is 4 mm wide" in job.warnings[0].message


def test_a_gap_that_a_user_tells_of_stays_one():
    job = plan_job(_scan(1.5, 1.0), factor=4, thickness=1.5)
    assert job.grid.thickness_mm == pytest.approx(1.5, rel=0.05)
    assert job.grid.output_mm[0] == 0


FACTS = {
    "workstation": (Origin("dicom", {"image_type": ["DERIVED", "SECONDARY", "MPR"]}), "box"),
    "average": (Origin("dicom", {"image_type": ["ORIGINAL", "PRIMARY", "AXIAL", "AVERAGE"]}), "box"),
    "helical": (Origin("dicom", {"image_type": ["ORIGINAL", "PRIMARY", "AXIAL"], "pitch": 0.9}), "rounded"),
    "spiral": (Origin("dicom", {"acquisition_type": "SPIRAL"}), "rounded"),
    "sequence": (Origin("dicom", {"image_type": ["ORIGINAL"], "acquisition_type": "SEQUENCED"}), "box"),
    "original": (Origin("dicom", {"image_type": ["ORIGINAL", "PRIMARY", "AXIAL"]}), "rounded"),
    "side-car, helical": (Origin("nifti", {"sidecar": {"SpiralPitchFactor": 1.2}}), "rounded"),
    "side-car, derived": (Origin("nifti", {"sidecar": {"ImageType": ["DERIVED", "SECONDARY"]}}), "box"),
    "nothing": (Origin("nifti"), "box"),
}


def test_a_narrow_bell_of_contiguous_slices_keeps_the_field_of_view():
    job = plan_job(_scan(3.8, 0.4, origin=FACTS["helical"][0]), factor=4)
    assert job.grid.thickness_mm < 0.98 * 4
    assert len(job.grid.output_mm) == 24 * 4
    assert job.grid.output_mm[0] == -1.5


@pytest.mark.parametrize("said", FACTS)
def test_where_noise_is_missing_what_a_file_says_decides(said):
    origin, shape = FACTS[said]
    job = plan_job(_scan(4.0, 1.0, origin=origin, noise=0.0), factor=4)
    assert (job.profile.determined_by, job.grid.shape) == ("prior", shape)
    assert job.profile.correlation is None


def test_an_unknown_profile_is_refused():
    with pytest.raises(UsageError, match="unknown profile 'triangle'; choose auto, box or gauss"):
        plan_job(_scan(4.0, 1.0), profile="triangle")
