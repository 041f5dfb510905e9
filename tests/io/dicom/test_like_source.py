"""--like-source: a result in the source's own bits, sign and intercept, for programs that expect these."""

import numpy as np
import pytest
from dicom_cases import layout, own_rescale, own_sign, padded, rescaled
from dicom_phantom import Series, enhanced, save, series
from thin import PROVENANCE, linear_thin, written

import thinslice
from thinslice.cli.app import run
from thinslice.errors import UsageError
from thinslice.io.dicom import read_series, write_series
from thinslice.io.files import write as write_file
from thinslice.io.output_format import OutputFormat
from thinslice.io.writing import write

LIKE_SOURCE = OutputFormat(like_source=True)
LAYOUTS = {
    "unsigned, 12 bits": lambda: layout(16, 12, 0),
    "signed, 12 bits": lambda: layout(16, 12, 1, intercept="0"),
    "signed, 16 bits": series,
    "padded, unsigned": lambda: padded(63536, 63536, signed=0, vr="US"),
    "padded, signed": lambda: padded(-2000, -2000),
    "multi-frame": lambda: [enhanced(layout(16, 12, 0))],
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("compress", ["none", "jpegls"])
def test_layout_and_values_are_kept(name, compress, tmp_path):
    datasets: Series = LAYOUTS[name]()
    _, thin, files = written(datasets, tmp_path, like_source=True, compress=compress)
    stated = files[0]
    for keyword in ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"):
        assert stated[keyword].value == datasets[0][keyword].value, keyword
    assert (stated.RescaleSlope, stated.RescaleIntercept) == (1, 0 if name == "signed, 12 bits" else -1024)
    back = read_series(tmp_path / "out", allow_derived=True)
    np.testing.assert_array_equal(back.hu, np.rint(thin.hu))
    assert (back.padding is None) == (thin.padding is None)
    if thin.padding is not None:
        np.testing.assert_array_equal(back.padding, thin.padding)


def test_what_the_bits_cannot_hold_is_clipped_and_said(tmp_path):
    save(layout(16, 12, 0), tmp_path / "in")
    source = read_series(tmp_path / "in")
    hu = np.array(source.hu)
    hu[3, :2] = 3500
    bright = source.with_slices(hu, first=0, step=1)
    (notice,) = write(bright, tmp_path / "out", source=source, provenance=PROVENANCE, like_source=True)
    assert notice.line == "warning[OUT-CLIP]: 40 voxels beyond 12 bits were clipped to the nearest value"
    assert read_series(tmp_path / "out", allow_derived=True).hu.max() == 3071


def test_the_intercept_is_the_one_in_use(tmp_path):
    """Where the header lost it and --rescale gives it, air must not be clipped to water."""
    datasets = layout(16, 12, 0)
    for ds in datasets:
        ds.RescaleIntercept = "0"
    save(datasets, tmp_path / "in")
    source = read_series(tmp_path / "in", rescale=(1.0, -1024.0))
    thin = linear_thin(source, factor=2)
    notices = write(thin, tmp_path / "out", source=source, provenance=PROVENANCE, like_source=True)
    assert notices == ()
    np.testing.assert_array_equal(read_series(tmp_path / "out", allow_derived=True).hu, np.rint(thin.hu))
    halves = read_series(tmp_path / "in", rescale=(1.0, -1024.5))
    with pytest.raises(UsageError, match=r"like-source|layout"):
        write_series(thin, tmp_path / "more", LIKE_SOURCE, source=halves, provenance=PROVENANCE)


def test_other_pixels_have_other_uids(tmp_path):
    save(layout(16, 12, 1, intercept="0"), tmp_path / "in")
    source = read_series(tmp_path / "in")
    thin = linear_thin(source, factor=2)  # signed from 0: the bytes are the same, what the header says is not
    uids = {
        write_series(thin, tmp_path / str(like), form, source=source, provenance=PROVENANCE).series_uid
        for like, form in ((False, OutputFormat()), (True, LIKE_SOURCE))
    }
    assert len(uids) == 2


@pytest.mark.parametrize("make", [own_rescale, own_sign, lambda: rescaled("0.37", "-1000"), lambda: layout(32, 32, 1)])
def test_sources_without_one_layout_are_refused(make, tmp_path):
    save(make(), tmp_path / "in")
    source = read_series(tmp_path / "in")
    with pytest.raises(UsageError) as caught:
        write_series(source, tmp_path / "out", LIKE_SOURCE, source=source, provenance=PROVENANCE)
    assert caught.value.code == "DCM-LIKE-SOURCE"


def test_refused_before_any_work(tmp_path, capfd):
    save(own_sign(), tmp_path / "in")
    write_file(thinslice.read(tmp_path / "in"), tmp_path / "in.nii.gz")
    for given, output in (("in", "out"), ("in", "out.nii.gz"), ("in.nii.gz", "out.nii.gz")):
        arguments = ["-i", str(tmp_path / given), "-o", str(tmp_path / output), "--budget", "1e6", "--like-source"]
        assert run(["enhance", "-q", *arguments]) == 2
        assert "error[DCM-LIKE-SOURCE]" in capfd.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "in.nii.gz"]
