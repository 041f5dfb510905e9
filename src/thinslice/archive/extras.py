"""Libraries that only some commands need: one line that names the extra where one is missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from thinslice.errors import UsageError


def import_extra(module: str, extra: str) -> Any:
    """A module of an extra.

    Raises:
        UsageError: USE-EXTRA where it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise UsageError("USE-EXTRA", f"{package} is not installed; pip install 'thinslice[{extra}]'") from error
