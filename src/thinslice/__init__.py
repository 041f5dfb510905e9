"""Thick CT slices in, thin CT slices out.

    import thinslice
    result = thinslice.enhance("thick.nii.gz", spacing=1.0)
    result.save("thin.nii.gz")

Everything is loaded on first use, so that importing thinslice costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from thinslice.system import forks as _forks  # noqa: F401 - from here on, a fork is noticed
from thinslice.system import processors as _processors

_processors.let_idle_threads_rest()

__version__ = "0.1.0"

if TYPE_CHECKING:
    from thinslice import transforms as transforms
    from thinslice.archive.run import batch
    from thinslice.errors import (
        GeometryError,
        InputError,
        ModelError,
        Notice,
        OutputError,
        ResourceError,
        ThinsliceError,
        UsageError,
    )
    from thinslice.evaluation.run import evaluate
    from thinslice.io.scan import read, read_parts
    from thinslice.io.writing import write
    from thinslice.networks.model import Model
    from thinslice.pipeline import enhance, fit
    from thinslice.result import Result
    from thinslice.volume import Volume

__all__ = [
    "GeometryError",
    "InputError",
    "Model",
    "ModelError",
    "Notice",
    "OutputError",
    "ResourceError",
    "Result",
    "ThinsliceError",
    "UsageError",
    "Volume",
    "__version__",
    "batch",
    "enhance",
    "evaluate",
    "fit",
    "read",
    "read_parts",
    "write",
]

_HOMES = {
    "Model": "networks.model",
    "Result": "result",
    "Volume": "volume",
    "batch": "archive.run",
    "enhance": "pipeline",
    "evaluate": "evaluation.run",
    "fit": "pipeline",
    "read": "io.scan",
    "read_parts": "io.scan",
    "write": "io.writing",
} | dict.fromkeys([name for name in __all__ if name.endswith("Error") or name == "Notice"], "errors")


def __getattr__(name: str) -> Any:
    if name == "transforms":
        return import_module("thinslice.transforms")
    if name in _HOMES:
        return getattr(import_module(f"thinslice.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'thinslice' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
