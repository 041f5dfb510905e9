"""What `enhance` gives: the thin slices, how they came about, and their way out."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from os import PathLike
from typing import Any

import numpy as np

from thinslice import notebook
from thinslice import record as records
from thinslice.errors import Notice, UsageError
from thinslice.io import files, writing
from thinslice.io.label_map import labels_path, read_label_map
from thinslice.io.output_format import OutputFormat
from thinslice.measures.figures import LAA_HU, Side, Threshold
from thinslice.measures.measure import measure_volume
from thinslice.measures.table import Measures
from thinslice.networks.model import Model
from thinslice.physics.noise import noise_entry, noise_hu
from thinslice.plan import grid_of
from thinslice.provenance import copied, marked, method_text, settings_digest
from thinslice.synthesis.labels import carry_labels
from thinslice.synthesis.upright import upright
from thinslice.system.output import none_left
from thinslice.system.paths import as_path
from thinslice.uncertainty.correlation import Correlation
from thinslice.uncertainty.meaning import MEANING
from thinslice.volume import Volume


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """What `enhance` gives.

        >>> import thinslice
        >>> result = thinslice.enhance("thick.nii.gz", spacing=1.0, fit="none", check=False)
        >>> result
        <Result: 80 slices 1 mm apart, of 48 x 48 pixels of 2.5 x 2.5 mm,
         from 16 slices 5 mm apart by fit none; all synthesised; warnings FIT-UNCHECKED>
        >>> result.record["output"]["factor"]
        5.0
        >>> result.save("thin.nii.gz")

    Attributes:
        volume: the thin slices.
        record: JSON-ready account of the run (docs/record.schema.json).
        model: the weights used.
        scan: the scan that went in.
        labels: (n, y, x) int16, or int32 where a label exceeds it, the label map on the same grid; or None.
        sheared: the thin slices as they were before they were made upright, or None.
        uncertainty: (n, y, x) float32, the root-mean-square error in HU to be expected at each voxel against what the
            scanner would have measured there, noise included; 0 at copied slices. None where it was not asked for.
    """

    volume: Volume
    record: dict[str, Any]
    model: Model
    scan: Volume
    labels: np.ndarray | None = None
    sheared: Volume | None = None
    uncertainty: np.ndarray | None = None

    def __repr__(self) -> str:
        return f"<Result: {self.volume.extent},\n {notebook.how(self.volume, self.scan, self.record)}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: three planes before and after, with sliders that need no kernel."""
        return notebook.html(self.volume, self.scan, self.record, pictured=self.sheared or self.volume)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any] | None:
        """NiiVue, which a notebook prefers to the pictures where it has a kernel and ipyniivue (extra `[notebook]`)."""
        return notebook.viewer(self.volume, self.scan)

    def save(
        self, path: str | PathLike[str], *, overwrite: bool = False, dtype: str = "int16", compress: str = "none",
        series_number: int | None = None, like_source: bool = False, sidecar: bool = True,
    ) -> None:  # fmt: skip
        """Write the thin slices: to a file by its ending, or to a folder as a derived DICOM series.

        The file says of itself that it is synthetic; beside NIfTI goes a side-car, NAME.json, that says so as well.
        Labels go beside it, as NAME_labels in the same format (NAME_labels.nii.gz for DICOM). What the
        user should know about the output is added to the record's warnings, and the time to its times.

        Args:
            path: .nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd, or a folder.
            overwrite: replace what is there.
            dtype: "int16" or "float32" (files only).
            compress: "none", "jpegls", "j2k" or "rle" (DICOM only).
            series_number: SeriesNumber; by default the source's plus 9000 (DICOM only).
            like_source: store pixels in the source's own bits, sign and intercept (DICOM only).
            sidecar: whether a side-car is written (NIfTI only).

        Raises:
            OutputError: the output exists or cannot be written, or its format does not suit.
            UsageError: what is asked for does not go with the format (`thinslice.write`).
        """
        form = OutputFormat(
            dtype=dtype, compress=compress, series_number=series_number, like_source=like_source, sidecar=sidecar,
            overwrite=overwrite,
        )  # fmt: skip
        began = time.perf_counter()
        beside = () if self.labels is None else files.parts(labels_path(path))
        with none_left(beside):
            if self.labels is not None:
                files.write_labels(self.labels, labels_path(path), like=self._labels_grid(), overwrite=form.overwrite)
            provenance = _dicom_provenance(self)
            notices = writing.write_as(self.volume, path, form, source=self.scan, provenance=provenance)
        warnings = self.record["warnings"]
        warnings.extend(entry for entry in map(asdict, notices) if entry not in warnings)
        records.add_time(self.record, "write", time.perf_counter() - began)

    def report(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write a report: one HTML file with a viewer, pictures and the record in words, which needs no network.

        >>> import thinslice
        >>> thinslice.enhance("thick.nii.gz", spacing=1.0, fit="none", check=False).report("thin.html")

        It shows the uncertainty where there is one. The time goes to the record's times.

        Args:
            path: of the HTML file.
            overwrite: replace what is there.

        Raises:
            OutputError: OUT-EXISTS, OUT-WRITE, OUT-FULL.
        """
        from thinslice.report.scan_report import save_report

        began = time.perf_counter()
        save_report(
            self.scan, self.sheared or self.volume, self.record, as_path(path), uncertainty=self.uncertainty,
            overwrite=overwrite,
        )  # fmt: skip
        records.add_time(self.record, "report", time.perf_counter() - began)

    def upright(self) -> Result:
        """The same without the shear of a gantry tilt, each slice resampled once; itself where there is none.

        Raises:
            UsageError: USE-LABELS where a label map was carried along.
        """
        began, volume = time.perf_counter(), upright(self.volume)
        if volume is self.volume:
            return self
        if self.labels is not None:
            raise UsageError("USE-LABELS", "labels do not go with detilt: make the label map upright elsewhere")
        output = {
            "grid": records.grid_entry(volume),
            "copied_slices": 0,
            "padding_voxels": records.count(volume.padding),
        }
        message = "the result was made upright: slices were resampled, so that acquired ones come back only nearly"
        noise = noise_entry(self.record["noise"]["acquired_hu"], noise_hu(volume.hu, self._synthesised()))
        record = self.record | {
            "output": self.record["output"] | output,
            "consistency": None,
            "times_s": dict(self.record["times_s"]),
            "noise": noise,
            "warnings": [*self.record["warnings"], asdict(Notice("GEO-UPRIGHT", message))],
        }
        records.add_time(record, "upright", time.perf_counter() - began)
        return replace(
            self,
            volume=marked(volume, record=record, source=self.scan),
            sheared=self.volume,
            record=record,
            uncertainty=self._upright_uncertainty(volume.padding),
        )

    def _upright_uncertainty(self, padding: np.ndarray | None) -> np.ndarray | None:
        """The uncertainty on the upright grid, whose padding is given."""
        if self.uncertainty is None:
            return None
        unsure = upright(replace(self.volume, hu=self.uncertainty)).hu.clip(0)
        return unsure if padding is None else np.where(padding, np.float32(0), unsure)

    def carry(self, labels: Any) -> np.ndarray:
        """A label map drawn on the scan that went in, on the grid of this result, as `enhance(labels=...)` carries it.

        >>> import thinslice
        >>> scan = thinslice.read("thick.nii.gz")
        >>> result = thinslice.enhance(scan, spacing=1.0, fit="none", check=False)
        >>> lung, bone = (result.carry(drawn.astype("uint8")) for drawn in (scan.hu < -500, scan.hu > 300))
        >>> lung.shape, bone.shape
        ((80, 48, 48), (80, 48, 48))

        Args:
            labels: path, image, or an array (z, y, x) of `scan`.

        Returns:
            (n, y, x) whole numbers; slices that were acquired keep their labels.

        Raises:
            UsageError: USE-LABELS where the result was made upright.
            GeometryError, InputError: as `thinslice.io.label_map.read_label_map`.
        """
        if self.sheared is not None:
            raise UsageError("USE-LABELS", "labels do not go with detilt: make the label map upright elsewhere")
        read = read_label_map(labels, scan=self.scan).values
        return carry_labels(read, grid=grid_of(self.scan, self.volume), pixel_mm=self.scan.voxel_mm[:2])

    def save_uncertainty(
        self, path: str | PathLike[str], *, overwrite: bool = False, series: str | PathLike[str] | None = None
    ) -> None:
        """Write the uncertainty in HU: as float32 to a file, or as a DICOM Parametric Map beside a derived series.

        The file says what it is, and how the errors of neighbouring voxels go together (`thinslice measure`).

        Args:
            path: .nii, .nii.gz, .nrrd, .nhdr, .mha or .mhd; or .dcm, for a Parametric Map that joins the study.
            overwrite: replace what is there.
            series: folder of the result as a DICOM series, for a Parametric Map.

        Raises:
            UsageError: USE-UNCERTAINTY where there is none, or a Parametric Map has no series; USE-MAPS without
                highdicom.
            OutputError: the output exists or cannot be written.
        """
        if self.uncertainty is None:
            raise UsageError("USE-UNCERTAINTY", "this result has no uncertainty: ask enhance for it, uncertainty=True")
        path, origin = as_path(path), self.volume.origin
        mark = {
            **(origin.mark or {}),
            "content": "uncertainty",
            "correlation": self.record["uncertainty"]["correlation"],
        }
        unsure = replace(self.volume, hu=self.uncertainty, padding=None, origin=replace(origin, mark=mark))
        if not writing.is_map(path):
            form = OutputFormat(dtype="float32", overwrite=overwrite)
            writing.write_as(unsure, path, form)
            return
        if series is None:
            raise UsageError("USE-UNCERTAINTY", "a Parametric Map goes beside a DICOM result; name a .nii.gz instead")
        writing.write_map(unsure, path, series=as_path(series), meaning=MEANING, overwrite=overwrite)

    def measure(
        self, labels: Any, *, threshold_hu: float = LAA_HU, side: Side = "below", correlation: Correlation | None = None
    ) -> Measures:
        """Volume, mean HU, share beyond a threshold and extents of every label, as `thinslice measure` gives them.

        Each comes with the interval that holds, with a probability of 90 %, what a thin scan would give, where
        `uncertainty` is known.

        >>> import thinslice
        >>> result = thinslice.enhance("thick.nii.gz", spacing=1.0, fit="none", check=False)
        >>> lung = result.volume.hu < -500
        >>> [row] = result.measure(lung.astype("uint8"))
        >>> bool(row.voxels == lung.sum()), row.volume_ml.low
        (True, None)

        Args:
            labels: path, image, or an array (z, y, x), on the grid of this result; `carry` brings labels drawn on the
                scan that went in to it.
            threshold_hu: of the share.
            side: whether voxels "below" or "above" it count.
            correlation: of the errors; by default as the run found it.

        Raises:
            UsageError: USE-THRESHOLD.
            GeometryError, InputError: as `thinslice.io.label_map.read_label_map`; LABEL-NONE.
        """
        threshold = Threshold(threshold_hu, side)
        if correlation is None and (known := self.record.get("uncertainty")):
            correlation = Correlation.from_entry(known["correlation"])
        read = read_label_map(labels, scan=self.volume)
        found = measure_volume(
            self.volume, read.values, threshold=threshold, sigma=self.uncertainty, correlation=correlation,
            names=read.names,
        )  # fmt: skip
        found.warnings[:0] = read.warnings
        return found

    def _labels_grid(self) -> Volume:
        """The grid of the labels, marked as what they are."""
        origin = self.volume.origin
        return replace(self.volume, origin=replace(origin, mark={**(origin.mark or {}), "content": "labels"}))

    def _synthesised(self) -> np.ndarray:
        """Indices of the slices that are no copies of acquired ones."""
        return np.setdiff1d(np.arange(len(self.volume.hu)), copied(self.volume, self.record, self.scan))

    def to_nibabel(self) -> Any:
        """A `nibabel.Nifti1Image` (x, y, z), marked as synthetic."""
        from thinslice.io.files.to_objects import to_nibabel

        return to_nibabel(self.volume)

    def to_sitk(self) -> Any:
        """A `SimpleITK.Image`, in LPS as SimpleITK has it, marked as synthetic."""
        from thinslice.io.files.to_objects import to_sitk

        return to_sitk(self.volume)

    def to_torchio(self) -> Any:
        """A `torchio.ScalarImage`, marked as synthetic; the mark does not go into files that torchio writes."""
        from thinslice.io.files.to_objects import to_torchio

        return to_torchio(self.volume)

    def to_monai(self) -> Any:
        """A `monai.data.MetaTensor` (1, x, y, z), its affine to RAS.

        >>> import thinslice
        >>> tensor = thinslice.enhance("thick.nii.gz", spacing=1.0, fit="none", check=False).to_monai()
        >>> tensor.shape, tensor.affine.diag().tolist()
        (torch.Size([1, 48, 48, 80]), [-2.5, -2.5, 1.0, 1.0])
        """
        from thinslice.io.files.to_objects import to_monai

        return to_monai(self.volume)


def _dicom_provenance(result: Result) -> Any:
    from thinslice.io.dicom import Provenance

    record, scan = result.record, result.scan
    return Provenance(
        version=record["version"],
        method=method_text(
            record,
            origin=scan.origin,
            gaps_filled=scan.slice_positions_mm is not None,
            fitted_before="fitted_to" in result.model.facts,
        ),
        settings=settings_digest(record),
        model=record["model"]["sha256"],
        thickness_mm=record["output"]["thickness_mm"],
        part=int(scan.origin.facts.get("part", 1)),
    )
