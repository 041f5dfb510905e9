"""A label map of a DICOM scan, made from its NIfTI conversion, comes out beside the derived series."""

import nibabel as nib
import numpy as np
import pydicom
from dicom_phantom import save, series

from thinslice import Model, enhance
from thinslice.cli.app import run
from thinslice.io.dicom import read_series
from thinslice.networks.axial import AxialConfig
from thinslice.networks.inplane import InplaneConfig


def test_a_map_of_the_converted_scan_goes_with_the_series(tmp_path):
    """Converters to NIfTI turn rows and slices round: the map still lies on the scan's voxels."""
    save(series(), tmp_path / "in")
    source = read_series(tmp_path / "in")
    drawn = (source.hu > np.median(source.hu)).astype(np.uint8) * 9
    turned = np.diag([1.0, -1.0, -1.0, 1.0])
    turned[1:3, 3] = np.array(source.shape[::-1])[1:] - 1
    nib.save(nib.Nifti1Image(drawn.T[:, ::-1, ::-1], source.affine @ turned), tmp_path / "map.nii.gz")
    arguments = ["enhance", "-q", "-i", str(tmp_path / "in"), "--labels", str(tmp_path / "map.nii.gz"), "--factor", "5"]
    assert run([*arguments, "--thickness", "1", "--iterations", "1", "-o", str(tmp_path / "out")]) == 0
    assert all(path.suffix == ".dcm" for path in (tmp_path / "out").iterdir())
    labels = nib.load(tmp_path / "out_labels.nii.gz")
    written = read_series(tmp_path / "out", allow_derived=True)
    np.testing.assert_allclose(labels.affine, written.affine, atol=1e-4)
    assert np.array_equal(np.asarray(labels.dataobj).T[::5], drawn)


def test_a_series_says_what_its_networks_learned_from(tmp_path):
    save(series(), tmp_path / "in")
    model = Model.new(InplaneConfig(16, 1), AxialConfig(16, 1))
    for facts, said in (
        ({"trained_on": "9 scans"}, "trained on other scans"),
        ({"fitted_to": "one scan"}, "to one scan before"),
    ):
        model.facts = facts
        enhance(tmp_path / "in", factor=5, model=model).save(tmp_path / "out", overwrite=True)
        first = pydicom.dcmread(sorted((tmp_path / "out").iterdir())[0])
        assert said in first.DerivationDescription


def test_a_viewing_copy_is_called_one_in_every_slice(tmp_path):
    noisy, random = series(), np.random.default_rng(0)
    for ds in noisy:
        pixels = np.frombuffer(ds.PixelData, np.int16)
        ds.PixelData = (pixels + random.normal(0, 20, pixels.shape).round()).astype(np.int16).tobytes()
    save(noisy, tmp_path / "in")
    described = {}
    for texture in ("keep", "match"):
        arguments = ["enhance", "-q", "-i", str(tmp_path / "in"), "--texture", texture, "--factor", "5"]
        assert run([*arguments, "--thickness", "1", "--iterations", "1", "-o", str(tmp_path / texture)]) == 0
        slices = [pydicom.dcmread(path) for path in sorted((tmp_path / texture).iterdir())]
        described[texture] = {
            ("viewing copy" in str(ds.DerivationDescription), str(ds.SeriesInstanceUID)) for ds in slices
        }
    assert all(
        "views fused: coronal, sagittal; networks adapted to this scan" in ds.DerivationDescription for ds in slices
    )
    ((keep, kept), (match, matched)) = (next(iter(found)) for found in described.values())
    assert all(len(found) == 1 for found in described.values())
    assert (keep, match) == (False, True)
    assert kept != matched
