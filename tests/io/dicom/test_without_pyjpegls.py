"""Without pyjpegls, as under Python 3.14: JPEG-LS is read all the same, and not written, which is said before work."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from dicom_makers import eight_bit
from dicom_phantom import each, save, series
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, JPEGLSNearLossless

from thinslice.io.dicom import read_series


def twelve_bit(_: int, ds: Dataset) -> None:
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 12, 11, 0


SOURCES = {
    "signed": (series, JPEGLSLossless, {}),
    "12 bit": (lambda: each(twelve_bit, repaint=True), JPEGLSLossless, {}),
    "8 bit": (lambda: each(lambda _, ds: eight_bit(ds)), JPEGLSLossless, {}),
    "near lossless": (lambda: each(twelve_bit, repaint=True), JPEGLSNearLossless, {"jls_error": 2}),
}


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> dict[str, str]:
    """An environment whose programs find a pyjpegls that cannot be imported."""
    folder = tmp_path_factory.mktemp("hidden")
    (folder / "jpeg_ls").mkdir()
    (folder / "jpeg_ls" / "__init__.py").write_text("raise ImportError('hidden')\n")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(repository / "src")])}


def compressed(name: str) -> list[Dataset]:
    make, syntax, options = SOURCES[name]
    datasets = make()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for ds in datasets:
            ds.file_meta = FileMetaDataset()
            ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            ds.compress(syntax, encoding_plugin="pyjpegls", generate_instance_uid=False, **options)
            ds.made_syntax = syntax
    return datasets


@pytest.mark.parametrize("name", SOURCES)
def test_another_decoder_gives_the_same_values(name, hidden, tmp_path):
    save(compressed(name), tmp_path / "in")
    script = (
        "import sys, numpy; from thinslice.io.dicom import read_series; from pydicom.pixels import get_decoder;"
        "from pydicom.uid import JPEGLSLossless;"
        "assert 'pyjpegls' not in get_decoder(JPEGLSLossless).available_plugins;"
        "numpy.save(sys.argv[2], read_series(sys.argv[1]).hu)"
    )
    command = [sys.executable, "-c", script, tmp_path / "in", tmp_path / "found.npy"]
    subprocess.run(command, env=hidden, check=True, timeout=120)
    np.testing.assert_array_equal(np.load(tmp_path / "found.npy"), read_series(tmp_path / "in").hu)


def test_compression_without_an_encoder_is_one_line_before_any_work(hidden, tmp_path):
    save(series(), tmp_path / "in")
    command = [sys.executable, "-m", "thinslice", "enhance", "-i", tmp_path / "in", "-o", tmp_path / "out"]
    done = subprocess.run(
        [*command, "--compress", "jpegls"], env=hidden, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if line)
    assert line.startswith("error[DCM-COMPRESS]: jpegls needs the package pyjpegls, which is not installed")
    assert not (tmp_path / "out").exists()
