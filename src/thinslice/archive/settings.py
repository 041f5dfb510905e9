"""What is done to every scan of an archive, and a digest by which results that are current are known again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

from thinslice import __version__
from thinslice.errors import UsageError
from thinslice.io import files
from thinslice.io.output_format import OutputFormat

SAME, DICOM = "same", "dicom"
FORMATS = (SAME, DICOM, *(ending[1:] for ending in files.ENDINGS))


@dataclass(frozen=True)
class Settings:
    """What is done to every scan. It travels to workers as it is.

    Attributes:
        options: arguments of `thinslice.enhance` by name, those of reading among them; of the model, the path.
        form: in what form results are written.
        format: "same" as the scan, "dicom", or an ending such as "nii.gz".
        report: whether a report goes beside every result.
        uncertainty: whether the uncertainty does.
        show_identity: whether records name paths.
        on_gap: what is done with missing slices of a DICOM series ("error", "split", "fill").

    Raises:
        UsageError: USE-FORMAT.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    form: OutputFormat = OutputFormat()
    format: str = SAME
    report: bool = False
    uncertainty: bool = False
    on_gap: str = "error"
    show_identity: bool = False

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise UsageError("USE-FORMAT", f"unknown format {self.format!r}; choose from {', '.join(FORMATS)}")

    def digest(self) -> str:
        """SHA-256 of all that a result follows from beside the scan: settings, weights, version of the program.

        Number of threads and device are left out: a result of either is as good.

        Raises:
            ModelError, UsageError: where weights are named that cannot be read.
        """
        options = {name: value for name, value in self.options.items() if name not in ("threads", "device", "model")}
        stated = {
            "version": __version__, "options": options, "form": asdict(replace(self.form, overwrite=False)),
            "format": self.format, "report": self.report, "uncertainty": self.uncertainty, "on_gap": self.on_gap,
            "weights": _weights_digest(self.options.get("model")),
        }  # fmt: skip
        return hashlib.sha256(json.dumps(stated, sort_keys=True, default=str).encode()).hexdigest()


def _weights_digest(model: str | None) -> str:
    """SHA-256 of the file of the weights, shipped or named."""
    if model is None:
        data = resources.files("thinslice").joinpath("weights", "thinslice.safetensors").read_bytes()
    else:
        files.check_there(Path(model), what="file of weights")
        data = Path(model).read_bytes()
    return hashlib.sha256(data).hexdigest()
