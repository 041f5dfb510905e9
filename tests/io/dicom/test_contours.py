"""A contour drawn on the source (RTSTRUCT) lies in the same place of the result: same frame, same tissue."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_cases import OBLIQUE, tilted
from dicom_phantom import hu_at, series
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage
from thin import written

from thinslice.io.dicom import read_series
from thinslice.volume import Volume

SOURCES = {
    "axial": series,
    "oblique": lambda: series(orientation=OBLIQUE),
    "coronal": lambda: series(orientation=(1.0, 0.0, 0.0, 0.0, 0.0, -1.0)),
    "tilted": lambda: tilted(12),
}
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def draw(image: Dataset, file: Path) -> None:
    """A structure set with a square contour in the plane of an image, as a planning system writes one."""
    first = np.array([float(value) for value in image.ImagePositionPatient])
    cosines = np.array([float(value) for value in image.ImageOrientationPatient])
    rows, columns = (float(value) for value in image.PixelSpacing)
    corners = [(4, 5), (14, 5), (14, 18), (4, 18)]  # column, row
    points = [first + x * columns * cosines[:3] + y * rows * cosines[3:] for x, y in corners]
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = RTStructureSetStorage, "1.2.3.4.5", "RTSTRUCT"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = image.StudyInstanceUID, "1.2.3.4.6"
    frame, region, roi, contour, source = (Dataset() for _ in range(5))
    frame.FrameOfReferenceUID = region.ReferencedFrameOfReferenceUID = image.FrameOfReferenceUID
    ds.ReferencedFrameOfReferenceSequence = Sequence([frame])
    region.ROINumber, region.ROIName = 1, "square"
    ds.StructureSetROISequence = Sequence([region])
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
    contour.ContourData = [f"{value:.6f}" for point in points for value in point]
    contour.ContourImageSequence = Sequence([source])
    roi.ReferencedROINumber, roi.ContourSequence = 1, Sequence([contour])
    ds.ROIContourSequence = Sequence([roi])
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta = meta
    ds.save_as(file, enforce_file_format=True)


def points_of(file: Path, frame_of_reference: str) -> np.ndarray:
    """(n, 3) LPS mm, the contour's points, which count in one frame of reference only."""
    ds = pydicom.dcmread(file)
    assert ds.StructureSetROISequence[0].ReferencedFrameOfReferenceUID == frame_of_reference
    return np.array(ds.ROIContourSequence[0].ContourSequence[0].ContourData, float).reshape(-1, 3)


def voxels_at(volume: Volume, points: np.ndarray) -> np.ndarray:
    """(n, 3) indices (x, y, z), not rounded."""
    to_voxel = np.linalg.inv(LPS @ volume.affine)
    return points @ to_voxel[:3, :3].T + to_voxel[:3, 3]


@pytest.mark.parametrize("name", SOURCES)
def test_a_contour_lies_on_the_same_tissue(name, tmp_path):
    datasets = SOURCES[name]()
    draw(datasets[5], tmp_path / "structures.dcm")
    source, _, files = written(datasets, tmp_path)
    result = read_series(tmp_path / "out", allow_derived=True)
    assert {ds.StudyInstanceUID for ds in files} == {datasets[0].StudyInstanceUID}
    assert len({ds.FrameOfReferenceUID for ds in files}) == 1
    points = points_of(tmp_path / "structures.dcm", files[0].FrameOfReferenceUID)
    here, there = voxels_at(source, points), voxels_at(result, points)
    np.testing.assert_allclose(here[:, 2], 5, atol=1e-4)  # the slice that it was drawn on
    np.testing.assert_allclose(there[:, 2], 20, atol=1e-4)  # which is every fourth of the result
    np.testing.assert_allclose(there[:, :2], here[:, :2], atol=1e-4)
    truth = hu_at(points)
    for volume, places in ((source, here), (result, there)):
        x, y, z = np.rint(places).astype(int).T
        np.testing.assert_allclose(volume.hu[z, y, x], truth, atol=0.6)  # rounded to whole HU
