"""Thick CT slices in, thin CT slices out.

    import thinslice
    result = thinslice.enhance("thick.nii.gz", spacing=1.0)
    result.save("thin.nii.gz")

Everything is loaded on first use, so that importing thinslice costs next to nothing.

`enhance`, `fit` and `evaluate` are functions and also the modules they live in. Python binds a
submodule as an attribute of its package as soon as anybody imports it, and would so put the module
in the function's place. Here both are one: the modules bound under these three names can be called.
So `thinslice.enhance(...)` works, and `import thinslice.fit.loop` too, whichever comes first.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from thinslice import forks as _forks  # noqa: F401 - from here on, a fork is noticed

__version__ = "0.1.0"

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
    "enhance",
    "evaluate",
    "fit",
    "read",
    "read_parts",
    "write",
]

if TYPE_CHECKING:
    from thinslice import transforms as transforms
    from thinslice.enhance import enhance, fit
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
    from thinslice.evaluate import evaluate
    from thinslice.networks.model import Model
    from thinslice.result import Result
    from thinslice.scan import read, read_parts, write
    from thinslice.volume import Volume

_HOMES = {
    "Model": "networks.model",
    "Result": "result",
    "Volume": "volume",
    "read": "scan",
    "read_parts": "scan",
    "write": "scan",
} | dict.fromkeys([name for name in __all__ if name.endswith("Error") or name == "Notice"], "errors")

# Submodules that can be called, and the module in which the function of that name is.
_CALLABLE = {"enhance": "enhance", "fit": "enhance", "evaluate": "evaluate"}


def __getattr__(name: str) -> Any:
    if name in _CALLABLE:
        return import_module(f"thinslice.{name}")
    if name == "transforms":
        return import_module("thinslice.transforms")
    if name in _HOMES:
        return getattr(import_module(f"thinslice.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'thinslice' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


class _CallableModule(ModuleType):
    """A submodule that is called as the public function of its name."""

    @property
    def __wrapped__(self) -> Any:
        """The function, for `inspect.signature` and documentation tools."""
        name = self.__name__.rpartition(".")[2]
        return vars(import_module(f"thinslice.{_CALLABLE[name]}"))[name]

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return import_module, (self.__name__,)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__wrapped__(*args, **kwargs)


class _Package(ModuleType):
    """The package: makes the submodules of `_CALLABLE` callable when the import system binds them."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _CALLABLE and isinstance(value, ModuleType):
            value.__class__ = _CallableModule
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
