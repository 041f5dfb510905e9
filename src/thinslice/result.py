"""What `enhance` gives: the thin slices, how they came about, and their way out."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass, replace
from os import PathLike
from typing import Any

import numpy as np

from thinslice import files, scan
from thinslice import record as records
from thinslice.errors import Notice, UsageError
from thinslice.label_map import labels_path
from thinslice.networks.model import Model
from thinslice.output import none_left
from thinslice.plan import grid_of
from thinslice.synthesis.noise import noise_entry, noise_hu
from thinslice.synthesis.upright import upright
from thinslice.volume import Volume


@dataclass(frozen=True, eq=False)
class Result:
    """What `enhance` gives.

    Attributes:
        volume: the thin slices.
        record: JSON-ready account of the run (docs/record.schema.json).
        model: the weights used.
        source: the scan that went in.
        uncertainty: (n, y, x) HU on the same grid, or None.
        labels: (n, y, x) int16, or int32 where a label exceeds it, the label map on the same grid; or None.
        sheared: the thin slices as they were before they were made upright, or None.
    """

    volume: Volume
    record: dict[str, Any]
    model: Model
    source: Volume
    uncertainty: np.ndarray | None = None
    labels: np.ndarray | None = None
    sheared: Volume | None = None

    def save(
        self, path: str | PathLike[str], *, overwrite: bool = False, dtype: str = "int16", compress: str = "none",
        series_number: int | None = None, like_source: bool = False,
    ) -> None:  # fmt: skip
        """Write the thin slices: to a file by its ending, or to a folder as a derived DICOM series.

        Labels go beside it, as NAME_labels in the same format (NAME_labels.nii.gz for DICOM). What the
        user should know about the output is added to the record's warnings, and the time to its times.

        Args:
            path: .nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd, or a folder.
            overwrite: replace what is there.
            dtype: "int16" or "float32" (files only).
            compress: "none", "jpegls", "j2k" or "rle" (DICOM only).
            series_number: SeriesNumber; by default the source's plus 9000 (DICOM only).
            like_source: store pixels in the source's own bits, sign and intercept (DICOM only).

        Raises:
            OutputError: the output exists or cannot be written, or its format does not suit.
        """
        began = time.perf_counter()
        settings = json.dumps({"method": self.record["method"], "seed": self.record["seed"]}, sort_keys=True)
        beside = () if self.labels is None else files.parts(labels_path(path))
        with none_left(beside):
            if self.labels is not None:
                files.write_labels(self.labels, labels_path(path), like=self.volume, overwrite=overwrite)
            notices = scan.write(
                self.volume, path, source=self.source, dtype=dtype, compress=compress, series_number=series_number,
                like_source=like_source, overwrite=overwrite,
                provenance=_provenance(self, hashlib.sha256(settings.encode()).hexdigest()),
            )  # fmt: skip
        told = self.record["warnings"]
        told.extend(entry for entry in map(asdict, notices) if entry not in told)
        records.add_time(self.record, "write", time.perf_counter() - began)

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
        map_ = self.uncertainty
        return replace(
            self,
            volume=volume,
            sheared=self.volume,
            record=record,
            uncertainty=None if map_ is None else upright(replace(self.volume, hu=map_)).hu,
        )

    def _synthesised(self) -> np.ndarray:
        """Indices of the slices that are no copies of acquired ones."""
        every = np.arange(len(self.volume.hu))
        if not self.record["output"]["copied_slices"]:
            return every
        return np.setdiff1d(every, grid_of(self.source, self.volume).on_grid()[1])

    def to_nibabel(self) -> Any:
        """A `nibabel.Nifti1Image` (x, y, z)."""
        from thinslice.files.objects import to_nibabel

        return to_nibabel(self.volume)

    def to_sitk(self) -> Any:
        """A `SimpleITK.Image`, in LPS as SimpleITK has it."""
        from thinslice.files.objects import to_sitk

        return to_sitk(self.volume)

    def to_torchio(self) -> Any:
        """A `torchio.ScalarImage`."""
        from thinslice.files.objects import to_torchio

        return to_torchio(self.volume)


def _provenance(result: Result, settings: str) -> Any:
    from thinslice.dicom import Provenance

    record = result.record
    views = ", ".join(record["method"]["views"]) or "none, interpolation alone"
    if record["model"]["source"] == "scan":
        origin = "fitted to this scan alone" if record["method"]["fit"] == "scan" else "adapted to this scan"
    else:
        origin = "fitted to one scan before" if "fitted_to" in result.model.facts else "trained on other scans"
    method = f"views fused: {views}; networks {origin}"
    part, parts = (int(result.source.source.facts.get(word, 1)) for word in ("part", "parts"))
    if parts > 1:
        method += f", part {part} of {parts} of a series with gaps"
    if result.source.slice_positions_mm is not None:
        method += ", gaps filled"
    if any(warning["code"] == "GEO-UPRIGHT" for warning in record["warnings"]):
        method += ", made upright"
    if record["method"]["texture"] == "match":
        method += "; viewing copy: noise of the scan's own spectrum was added to synthesised slices"
    return Provenance(
        version=record["version"],
        method=method,
        settings=settings,
        model=record["model"]["sha256"],
        thickness_mm=record["output"]["thickness_mm"],
        part=part,
    )
