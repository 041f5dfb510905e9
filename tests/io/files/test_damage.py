"""Whatever befalls a header: a volume comes out or one of our errors, never a crash of a library."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thinslice.errors import ThinsliceError
from thinslice.io import files
from thinslice.volume import Volume

HU = np.random.default_rng(0).integers(-1000, 1500, (8, 16, 16)).astype(np.float32)
AFFINE = np.diag([-0.75, -0.75, 5.0, 1.0])


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """One sound file of each kind: ending to (path, bytes)."""
    folder = tmp_path_factory.mktemp("sound")
    found = {}
    for ending in ("nii", "nii.gz", "mha", "nrrd"):
        files.write(Volume(HU, AFFINE), folder / f"in.{ending}")
        found[ending] = folder / f"in.{ending}", (folder / f"in.{ending}").read_bytes()
    return found


def outcome(path):
    """(volume, None) or (None, error); what is no error of is_own is raised."""
    try:
        return files.read(path), None
    except ThinsliceError as error:
        return None, error


@settings(max_examples=150)
@given(
    ending=st.sampled_from(("nii", "nii.gz", "mha", "nrrd")),
    changes=st.lists(st.tuples(st.integers(0, 360), st.integers(0, 255)), min_size=1, max_size=3),
)
def test_a_damaged_header_is_read_or_refused(sound, ending, changes):
    path, data = sound[ending]
    damaged = bytearray(data)
    for place, byte in changes:
        damaged[place] = byte
    path.write_bytes(damaged)
    volume, error = outcome(path)
    if error:
        assert error.exit_code in (3, 4)
        assert "\n" not in error.line
    else:
        assert np.isfinite(volume.hu).all()
        assert 0 < volume.hu.size <= 2 * HU.size  # no more voxels than there are bytes of them


@settings(max_examples=60)
@given(ending=st.sampled_from(("nii.gz", "nrrd")), place=st.floats(0, 1), flip=st.integers(1, 255))
def test_damaged_packed_voxels_never_pass_for_sound(sound, ending, place, flip):
    """One byte of the packed stream is another: the file is refused, or the voxels are right all the same."""
    path, data = sound[ending]
    start = 10 if ending == "nii.gz" else data.index(b"\n\n") + 2 + 10
    damaged = bytearray(data)
    damaged[start + int(place * (len(data) - start - 1))] ^= flip
    path.write_bytes(damaged)
    volume, error = outcome(path)
    if error:
        assert error.exit_code in (3, 4)
    else:
        np.testing.assert_array_equal(volume.hu, HU)


def test_a_header_that_names_more_voxels_than_the_file_has_asks_for_no_memory(tmp_path):
    """32,767 cubed voxels would be 70 TB."""
    files.write(Volume(HU, AFFINE), tmp_path / "in.nii")
    header = nib.Nifti1Header((tmp_path / "in.nii").read_bytes()[:348])
    header["dim"][1:4] = 32767
    (tmp_path / "in.nii").write_bytes(header.binaryblock + bytes(1000))
    with pytest.raises(ThinsliceError, match="cut short"):
        files.read(tmp_path / "in.nii")


@pytest.mark.parametrize("qfac", [0, np.nan])
def test_a_qform_without_its_sign_is_read_as_the_standard_says(tmp_path, qfac):
    image = nib.Nifti1Image(HU.T.astype(np.int16), AFFINE)
    image.set_sform(None, 0)
    image.set_qform(np.diag([0.75, 0.75, 5.0, 1]), 1)
    nib.save(image, tmp_path / "in.nii")
    raw = bytearray((tmp_path / "in.nii").read_bytes())
    raw[76:80] = np.float32(qfac).tobytes()
    (tmp_path / "in.nii").write_bytes(raw)
    np.testing.assert_allclose(files.read(tmp_path / "in.nii").affine, np.diag([0.75, 0.75, 5, 1]), atol=1e-6)


@pytest.mark.parametrize("offset", [139, 348, -352, np.nan, 352.5, 1e12])
def test_voxels_that_begin_within_the_header_or_nowhere_are_refused(tmp_path, offset):
    files.write(Volume(HU, AFFINE), tmp_path / "in.nii")
    raw = bytearray((tmp_path / "in.nii").read_bytes())
    raw[108:112] = np.float32(offset).tobytes()
    (tmp_path / "in.nii").write_bytes(raw)
    assert outcome(tmp_path / "in.nii")[1].code == "FILE-BROKEN"


def test_voxels_that_begin_where_nothing_is_said_follow_the_header(tmp_path):
    files.write(Volume(HU, AFFINE), tmp_path / "in.nii")
    raw = bytearray((tmp_path / "in.nii").read_bytes())
    raw[108:112] = bytes(4)
    (tmp_path / "in.nii").write_bytes(raw)
    np.testing.assert_array_equal(files.read(tmp_path / "in.nii").hu, HU)
