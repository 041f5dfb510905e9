"""Broken input and impossible output: one line, the right exit code, nothing left behind."""

import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from thinslice.errors import ThinsliceError
from thinslice.io import scan

HU = np.random.default_rng(0).integers(-1000, 1500, (16, 16, 8)).astype(np.int16)  # (i, j, k)
AFFINE = np.diag([0.8, 0.8, 5.0, 1.0])


def nifti(values=HU, affine=AFFINE, *, name="in.nii.gz", **fields):
    """A maker of a NIfTI file; `fields` are then set in the stored header, without anybody's checks."""

    def make(folder):
        path = folder / name
        nib.save(nib.Nifti1Image(values, affine), folder / "plain.nii")
        raw = (folder / "plain.nii").read_bytes()
        header = nib.Nifti1Header(raw[:348], check=False)
        header["scl_slope"], header["scl_inter"] = 1, 0
        for field, value in fields.items():
            header[field] = value
        (folder / "plain.nii").write_bytes(header.binaryblock + raw[348:])
        (folder / "plain.nii").rename(path)
        return path

    return make


def image(name, *, cut=0, replace=(b"", b""), without=None, flip=False, packed=False):
    """A maker of an NRRD or MetaImage file, then damaged."""

    def make(folder):
        scan_image = sitk.GetImageFromArray(np.ascontiguousarray(HU.T))
        scan_image.SetSpacing((0.75, 0.75, 5.0))
        sitk.WriteImage(scan_image, str(folder / name), useCompression=packed)
        damaged = folder / (name.replace(".mhd", ".raw") if cut or flip else name)
        data = bytearray(damaged.read_bytes().replace(*replace))
        if flip:
            data[-len(data) // 3] ^= 0xFF
        assert replace == (b"", b"") or replace[1] in data
        damaged.write_bytes(data[: len(data) - cut])
        if without:
            (folder / without).unlink()
        return folder / name

    return make


def content(name, data=b"This is no scan, it is a note about one.\n"):
    def make(folder):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
        return folder / name

    return make


def cut(make_whole, keep):
    """A maker of what is left of a file when only a part of it was copied."""

    def make(folder):
        path = make_whole(folder)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * keep)])
        return path

    return make


def folder_with(*names):
    def make(folder):
        (folder / "in").mkdir()
        for name in names:
            (folder / "in" / name).write_text("not DICOM")
        return folder / "in"

    return make


def link(name, target):
    def make(folder):
        (folder / name).symlink_to(target)
        return folder / name

    return make


def loop_in_folder(folder):
    (folder / "in").mkdir()
    (folder / "in" / "again").symlink_to("../in")
    return folder / "in"


def unreadable(folder):
    """The system's own memory file: it is there, and it cannot be read, not even by root."""
    if Path("/proc/self/mem").exists():
        return link("in.nii", "/proc/self/mem")(folder)
    path = nifti(name="in.nii")(folder)
    path.chmod(0)
    return path


RGB = np.zeros((16, 16, 8), [("R", "u1"), ("G", "u1"), ("B", "u1")])
WITH_NAN = np.where(HU[3, 3, 3] == HU, np.nan, HU).astype(np.float32)
WITH_INF = np.where(HU[3, 3, 3] == HU, -np.inf, HU).astype(np.float32)

# name: (maker of the input, exit code, error code)
UNREADABLE_INPUT = {
    "no such file": (lambda folder: folder / "in.nii.gz", 3, "FILE-MISSING"),
    "no such folder": (lambda folder: folder / "in", 3, "FILE-MISSING"),
    "empty folder": (folder_with(), 3, "DCM-NONE"),
    "folder of texts": (folder_with("a.txt", "b"), 3, "DCM-NONE"),
    "text file": (content("in.txt"), 3, "FILE-FORMAT"),
    "text as .nii": (content("in.nii"), 3, "FILE-FORMAT"),
    "text as .nii.gz": (content("in.nii.gz"), 3, "FILE-FORMAT"),
    "text as .nrrd": (content("in.nrrd"), 3, "FILE-FORMAT"),
    "text as .mha": (content("in.mha"), 3, "FILE-FORMAT"),
    "text as .mhd": (content("in.mhd", b"a = b\n" * 20000), 3, "FILE-FORMAT"),
    "half a MetaImage header": (content("in.mhd", b"NDims = 3\nElementDataFile = LOCAL\n"), 3, "FILE-FORMAT"),
    "MetaImage of -3 dimensions": (image("in.mha", replace=(b"NDims = 3", b"NDims = -3")), 3, "FILE-FORMAT"),
    "text as .zip": (content("in.zip"), 3, "FILE-FORMAT"),
    "empty file": (content("in.nii.gz", b""), 3, "FILE-BROKEN"),
    "gzip of nothing": (content("in.nii.gz", b"\x1f\x8b\x08\x00"), 3, "FILE-BROKEN"),
    "truncated .nii": (cut(nifti(name="in.nii"), 0.6), 3, "FILE-BROKEN"),
    "truncated .nii, header only": (cut(nifti(name="in.nii"), 0.1), 3, "FILE-BROKEN"),
    "truncated .nii.gz": (cut(image("in.nii.gz"), 0.6), 3, "FILE-BROKEN"),
    "truncated .nii.gz, checksum gone": (cut(image("in.nii.gz"), 0.9999), 3, "FILE-BROKEN"),
    "damaged .nii.gz": (image("in.nii.gz", flip=True), 3, "FILE-BROKEN"),
    "truncated .nrrd": (image("in.nrrd", cut=100), 3, "FILE-BROKEN"),
    "damaged .nrrd": (image("in.nrrd", flip=True, packed=True), 3, "FILE-BROKEN"),
    "truncated .mha": (image("in.mha", cut=100), 3, "FILE-BROKEN"),
    "truncated packed .mha": (image("in.mha", cut=100, packed=True), 3, "FILE-BROKEN"),
    "damaged packed .mha": (image("in.mha", flip=True, packed=True), 3, "FILE-BROKEN"),
    "truncated .mhd": (image("in.mhd", cut=100), 3, "FILE-BROKEN"),
    ".mhd without .raw": (image("in.mhd", without="in.raw"), 3, "FILE-BROKEN"),
    "MR instead of CT": (nifti(np.abs(HU)), 3, "FILE-NOTHU"),
    "label map": (nifti((HU > 0).astype(np.uint8)), 3, "FILE-NOTHU"),
    "2-D": (nifti(HU[..., 0]), 3, "FILE-DIMS"),
    "4-D": (nifti(np.stack([HU, HU], -1)), 3, "FILE-DIMS"),
    "RGB": (nifti(RGB), 3, "FILE-DTYPE"),
    "complex": (nifti(HU.astype(np.complex64)), 3, "FILE-DTYPE"),
    "unknown type of values": (nifti(datatype=4100), 3, "FILE-DTYPE"),
    "more voxels than bytes": (nifti(dim=[3, 32767, 32767, 32767, 1, 1, 1, 1]), 3, "FILE-BROKEN"),
    "NaN voxels": (nifti(WITH_NAN), 3, "FILE-NAN"),
    "infinite voxels": (nifti(WITH_INF), 3, "FILE-NAN"),
    "NaN spacing": (nifti(pixdim=[1, 0.8, 0.8, np.nan, 0, 0, 0, 0]), 4, "GEO-SPACING"),
    "zero spacing": (nifti(pixdim=[1, 0.8, 0.8, 0, 0, 0, 0, 0]), 4, "GEO-SPACING"),
    "negative spacing": (nifti(pixdim=[1, 0.8, 0.8, -5, 0, 0, 0, 0]), 4, "GEO-SPACING"),
    "zero spacing in .mha": (image("in.mha", replace=(b"0.75 0.75 5", b"0.75 0.75 0")), 4, "GEO-SPACING"),
    "NaN spacing in .mha": (image("in.mha", replace=(b"0.75 0.75 5", b"0.75 0.75 nan")), 4, "GEO-SPACING"),
    "zero spacing in .nrrd": (image("in.nrrd", replace=(b"(0,0,5)", b"(0,0,0)")), 4, "GEO-SPACING"),
    "affine with a zero column": (nifti(srow_y=[0, 0, 0, 0]), 4, "GEO-AFFINE"),
    "affine with determinant 0": (nifti(srow_x=[0.8, 0.8, 0, 0], srow_y=[0, 0, 0, 0]), 4, "GEO-AFFINE"),
    "NaN in the affine": (nifti(srow_z=[0, np.nan, 5, 0]), 4, "GEO-AFFINE"),
    "impossible quaternion": (nifti(sform_code=0, qform_code=1, quatern_b=0.9, quatern_c=0.9), 4, "GEO-AFFINE"),
    "determinant 0 in .nrrd": (image("in.nrrd", replace=(b"(0,0,5)", b"(0,5,0)")), 4, "GEO-AFFINE"),
    "sform of 2.5 mm against a qform of 5 mm": (nifti(qform_code=1, srow_z=[0, 0, 2.5, 0]), 4, "GEO-SPACING"),
    "scl_slope 0 on unsigned values": (nifti(np.abs(HU), scl_slope=0, scl_inter=-1024), 3, "FILE-NOTHU"),
    "infinite scl_slope": (nifti(scl_slope=np.inf), 3, "FILE-SCALE"),
    "NaN scl_inter": (nifti(scl_inter=np.nan), 3, "FILE-SCALE"),
    "loop of links": (link("in.nii.gz", "in.nii.gz"), 3, "FILE-UNREADABLE"),
    "folder with a loop of links": (loop_in_folder, 3, "DCM-NONE"),
    "link to nowhere": (link("in.nii.gz", "gone.nii.gz"), 3, "FILE-MISSING"),
    "unreadable file": (unreadable, 3, "FILE-UNREADABLE"),
}

TOO_FEW_SLICES = {
    "one slice": (nifti(HU[..., :1]), 4, "GEO-FEW"),
    "two slices": (nifti(HU[..., :2]), 4, "GEO-FEW"),
}


def existing(folder):
    (folder / "out.nii.gz").write_text("somebody's work")
    return folder / "out.nii.gz"


def below_a_file(folder):
    (folder / "file").touch()
    return folder / "file" / "out.nii.gz"


SHEARED = np.array([[0.8, 0, 0, 0], [0, 0.8, 1.5, 0], [0, 0, 5, 0], [0, 0, 0, 1]])

# name: (maker of the input, maker of the output's name, exit code, error code)
IMPOSSIBLE_OUTPUT = {
    "existing output": (nifti(), existing, 6, "OUT-EXISTS"),
    "unwritable output": (nifti(), below_a_file, 6, "OUT-WRITE"),
    "output is a link to nowhere": (nifti(), link("out.nii.gz", "nowhere/at/all.nii.gz"), 6, "OUT-WRITE"),
    "output of no known format": (nifti(), lambda folder: folder / "out.png", 6, "OUT-FORMAT"),
    "DICOM from NIfTI": (nifti(), lambda folder: folder / "out", 6, "OUT-FORMAT"),
    "sheared grid as .nrrd": (nifti(HU, SHEARED), lambda folder: folder / "out.nrrd", 4, "GEO-SHEAR"),
}


def rows(table):
    return [pytest.param(*row, id=name) for name, row in table.items()]


@pytest.mark.parametrize(("make", "exit_code", "code"), rows(UNREADABLE_INPUT))
def test_reading_refuses(tmp_path, capfd, make, exit_code, code):
    """In Python: one error with its codes, one line of text, and no word from any library."""
    path = make(tmp_path)
    with pytest.raises(ThinsliceError) as refused:
        scan.read(path)
    assert (refused.value.code, refused.value.exit_code) == (code, exit_code)
    assert str(tmp_path) in refused.value.line
    assert refused.value.line.endswith(str(refused.value))
    assert str(tmp_path) not in refused.value.message  # what a record would hold
    assert "\n" not in refused.value.line
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("make", "exit_code", "code"), rows(UNREADABLE_INPUT | TOO_FEW_SLICES))
def test_enhance_refuses_input(tmp_path, capfd, make, exit_code, code):
    refused_in_one_line(tmp_path, capfd, make(tmp_path), tmp_path / "out.nii.gz", exit_code, code)


@pytest.mark.parametrize(("make", "make_output", "exit_code", "code"), rows(IMPOSSIBLE_OUTPUT))
def test_enhance_refuses_output(tmp_path, capfd, make, make_output, exit_code, code):
    refused_in_one_line(tmp_path, capfd, make(tmp_path), make_output(tmp_path), exit_code, code)


UNNAMED = ("GEO-FEW", "GEO-PLANE", "GEO-SHEAR")  # of the one scan there is, after it was read


def refused_in_one_line(folder, capfd, source, output, exit_code, code):
    from thinslice.cli.app import run

    before = state(folder)
    returned = run(["enhance", "-i", str(source), "-o", str(output), "--iterations", "1"])
    printed = capfd.readouterr()
    lines = printed.err.splitlines()
    assert len(lines) == 1, printed.err
    assert lines[0].startswith(f"error[{code}]: "), lines[0]
    assert returned == exit_code
    assert printed.out == ""
    if code not in UNNAMED:
        assert str(folder) in printed.err
    assert state(folder) == before


def state(folder):
    """Every name below a folder, and what it holds."""
    found = {}
    for path in sorted(folder.rglob("*")):
        plain = path.is_file() and not path.is_symlink()
        found[str(path.relative_to(folder))] = (
            path.read_bytes() if plain else os.readlink(path) if path.is_symlink() else None
        )
    return found


def test_the_program_itself_refuses_alike(tmp_path):
    """Once through a real process: exit status and stderr are what a shell sees."""
    path = cut(nifti(name="in.nii"), 0.6)(tmp_path)
    program = "from thinslice.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "enhance", "-i", str(path), "-o", str(tmp_path / "out.nii.gz")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.startswith(f"error[FILE-BROKEN]: {path} is cut short: ")
    assert done.stderr.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["in.nii"]


@pytest.mark.parametrize(
    "make",
    [
        nifti(HU[..., None]),
        nifti(scl_slope=0, scl_inter=0),
        nifti(scl_slope=np.nan, scl_inter=np.nan),
        image("in.mha", packed=True),
        image("in.nrrd", packed=True),
        image("in.mhd"),
    ],
    ids=["4-D with one volume", "scl_slope 0 on HU", "scl_slope NaN on HU", ".mha", ".nrrd", ".mhd"],
)
def test_odd_but_sound_input_is_read(tmp_path, make):
    """What the standard allows is no error: a slope of 0 or NaN means that values are stored as they are."""
    np.testing.assert_array_equal(scan.read(make(tmp_path)).hu, HU.T)


def test_a_constant_volume_is_read(tmp_path):
    """A phantom of water has no value below 0, and is no MR either."""
    assert (scan.read(nifti(np.full_like(HU, 40))(tmp_path)).hu == 40).all()


def test_values_without_negatives_are_read_when_the_user_says_how(tmp_path):
    path = nifti(np.abs(HU))(tmp_path)
    np.testing.assert_array_equal(scan.read(path, rescale=(1, -1024)).hu, np.abs(HU.T) - 1024)
    np.testing.assert_array_equal(scan.read(path, rescale=(1, 0)).hu, np.abs(HU.T))


def test_a_read_only_file_in_a_read_only_folder_is_read(tmp_path):
    (tmp_path / "locked").mkdir()
    path = nifti()(tmp_path / "locked")
    path.chmod(0o444)
    (tmp_path / "locked").chmod(0o555)
    before = state(tmp_path)
    try:
        np.testing.assert_array_equal(scan.read(path).hu, HU.T)
        assert state(tmp_path) == before
    finally:
        (tmp_path / "locked").chmod(0o755)
