"""Makers of inputs whose oddness lies in files, folders, archives and transfer syntaxes."""

from __future__ import annotations

import struct
import warnings
import zipfile
from io import BytesIO
from pathlib import Path

import gdcm
import numpy as np
import pydicom
from dicom_phantom import ROOT, Series, each, enhanced, file_bytes, save, series
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
)

JPEG = "1.2.840.10008.1.2.4."


def transcoded(datasets: Series, folder: Path, kind: int, *, lossy: bool = False) -> None:
    """Write a series in a syntax for which GDCM has an encoder."""
    save(datasets, folder)
    for file in folder.iterdir():
        reader = gdcm.ImageReader()
        reader.SetFileName(str(file))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(kind))
        if lossy:
            codec = gdcm.JPEGCodec()
            codec.SetQuality(100)
            codec.SetLossless(False)
            change.SetUserCodec(codec)
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(file))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        written = pydicom.dcmread(file)
        del written.RescaleType  # GDCM adds one of its own
        written.save_as(file)


def pydicom_compressed(ds: Dataset, syntax: str, **options: object) -> None:
    """Compress the pixels of a data set with one of pydicom's encoders."""
    ds.file_meta = pydicom.dcmread(BytesIO(file_bytes(series(slices=1)[0]))).file_meta
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds.compress(syntax, generate_instance_uid=False, **options)


def compressed(folder: Path, syntax: str, **options: object) -> None:
    datasets = series()
    for ds in datasets:
        pydicom_compressed(ds, syntax, **options)
    save(datasets, folder, syntax=syntax)


def two_syntaxes(folder: Path) -> None:
    """Half of the slices compressed, half not, as after a transfer that was broken off and taken up elsewhere."""
    datasets = series()
    for ds in datasets[6:]:
        pydicom_compressed(ds, JPEGLSLossless)
    save(datasets[:6], folder / "plain")
    save(datasets[6:], folder / "compressed", syntax=JPEGLSLossless)


def big_endian(folder: Path) -> None:
    datasets = series()
    for ds in datasets:
        ds.PixelData = np.frombuffer(ds.PixelData, "<i2").astype(">i2").tobytes()
    save(datasets, folder, syntax=ExplicitVRBigEndian)


def twelve_bit_jpeg(folder: Path) -> None:
    """Lossy 12-bit JPEG of unsigned 12-bit pixels."""

    def change(_: int, ds: Dataset) -> None:
        ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 12, 11, 0

    transcoded(each(change), folder, gdcm.TransferSyntax.JPEGExtendedProcess2_4, lossy=True)


def unknown_syntax(folder: Path) -> None:
    datasets = series()
    for ds in datasets:
        ds.add_new("PixelData", "OB", encapsulate([b"\0" * 100]))
        ds["PixelData"].is_undefined_length = True
    save(datasets, folder, syntax=f"{JPEG}55")


def other_codestream(folder: Path) -> None:
    """Headers that state a smaller matrix than the compressed images have."""
    datasets = series()
    for ds in datasets:
        pydicom_compressed(ds, JPEGLSLossless)
        ds.Rows, ds.Columns = 12, 10
    save(datasets, folder, syntax=JPEGLSLossless)


def among_foreign_files(folder: Path) -> None:
    """Without endings, beside files of other kinds and objects without image."""
    save(series(), folder, ending="")
    for name in ("notes.txt", "meta.json", ".DS_Store", "LICENSE"):
        (folder / name).write_text("no image, but words enough to look like something else" * 5)
    report = Dataset()
    report.SOPClassUID, report.SOPInstanceUID, report.Modality = "1.2.840.10008.5.1.4.1.1.88.67", f"{ROOT}.99", "SR"
    (folder / "dose.dcm").write_bytes(file_bytes(report))


def two_series(folder: Path) -> None:
    save(series(), folder)
    other = series(slices=5)
    for ds in other:
        ds.SeriesInstanceUID, ds.SeriesNumber = f"{ROOT}.22", 4
        ds.SOPInstanceUID += ".9"
    save(other, folder, ending="b.dcm")


def two_series_of_one_number(folder: Path) -> None:
    """Phases of a breath, each a series, all with one number: only descriptions tell them apart."""
    for number in range(2):
        datasets = series()
        for ds in datasets:
            ds.SeriesInstanceUID, ds.SeriesDescription = f"{ROOT}.2.{number}", f"Thorax T={50 * number}%"
            ds.SOPInstanceUID += f".{number}"
        save(datasets, folder, ending=f"_{number}.dcm")


def series_uid_per_slice(folder: Path) -> None:
    datasets = series()
    for number, ds in enumerate(datasets):
        ds.SeriesInstanceUID = f"{ROOT}.2.{number}"
    save(datasets, folder)


def damaged_series_beside(folder: Path) -> None:
    """Two series in one folder; a file of the second ends in its header."""
    two_series(folder)
    file = sorted(folder.glob("*b.dcm"))[2]
    data = file.read_bytes()
    file.write_bytes(data[: data.index(f"{ROOT}.22".encode()) + 80])


def ct_beside_others(folder: Path) -> None:
    """One CT series among a localizer series and a PET series: the only candidate."""
    save(series(), folder / "ct")
    scout = series(slices=2, orientation=(0.0, 1.0, 0.0, 0.0, 0.0, -1.0))
    for ds in scout:
        ds.SeriesInstanceUID, ds.SeriesNumber, ds.ImageType = f"{ROOT}.23", 1, ["ORIGINAL", "PRIMARY", "LOCALIZER"]
        ds.SOPInstanceUID += ".8"
    save(scout, folder / "scout")
    pet = series(slices=6)
    for ds in pet:
        ds.SeriesInstanceUID, ds.SeriesNumber, ds.Modality = f"{ROOT}.24", 5, "PT"
        ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.128"
        ds.SOPInstanceUID += ".7"
    save(pet, folder / "pet")


def empty_file(folder: Path) -> None:
    datasets = series()
    save(datasets[:5] + datasets[6:], folder)
    (folder / "f900_5.dcm").touch()


def truncated_file(folder: Path) -> None:
    save(series(), folder)
    file = sorted(folder.iterdir())[5]
    file.write_bytes(file.read_bytes()[:-300])


def without_pixels(folder: Path) -> None:
    datasets = series()
    del datasets[4].PixelData
    save(datasets, folder)


def no_image(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("nothing here")


def with_directory(folder: Path) -> None:
    """A DICOMDIR file on top, images below."""
    save(series(), folder / "DICOM", ending="")
    directory = Dataset()
    directory.SOPClassUID, directory.SOPInstanceUID = "1.2.840.10008.1.3.10", f"{ROOT}.98"
    (folder / "DICOMDIR").write_bytes(file_bytes(directory))


def archive(path: Path, *, name: str = "deep/er/{}.dcm") -> None:
    """A zip archive, in place of the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for number, ds in enumerate(series()):
            info = zipfile.ZipInfo("placeholder")  # the constructor would tidy an unsafe name up
            info.filename = name.format(number)
            target.writestr(info, file_bytes(ds))


def linked_folder(folder: Path) -> None:
    """A link that leads to a folder elsewhere."""
    save(series(), folder)
    save(series(slices=3), folder.parent / "elsewhere")
    (folder / "more").symlink_to(folder.parent / "elsewhere")


def without_preamble(folder: Path, *, meta: bool) -> None:
    """Files that begin with group 2, or without it with group 8."""
    folder.mkdir(parents=True)
    for number, ds in enumerate(series()):
        data = file_bytes(ds, syntax=ImplicitVRLittleEndian)
        start = 132 if meta else data.index(struct.pack("<HH", 8, 8), 132)
        (folder / f"{number}").write_bytes(data[start:])


def deflated_multi_frame(folder: Path) -> None:
    save([enhanced(series())], folder, syntax=DeflatedExplicitVRLittleEndian)
