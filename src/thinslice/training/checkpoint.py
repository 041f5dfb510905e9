"""What a run that is cut off goes on from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from thinslice.errors import InputError, named
from thinslice.system.output import whole_file


def write_checkpoint(path: Path, state: dict[str, Any], about: str) -> None:
    """Keep the state of a run, and a description of the run: it goes on as no other."""
    with whole_file(path, overwrite=True) as temporary:
        torch.save({"config": about, "state": state}, temporary)


def load_checkpoint(path: Path, about: str, load: Callable[[dict[str, Any]], None], *, device: torch.device) -> None:
    """Give `load` the state of the run that `about` describes, on a device.

    Raises:
        InputError: TRAIN-CHECKPOINT, the file cannot be read, is no checkpoint, or of another run.
    """
    try:
        saved = torch.load(path, weights_only=True, map_location=device)
        state, described = saved["state"], saved["config"]
        if described == about:
            load(state)
    except OSError as error:
        what = error.strerror or type(error).__name__
        raise InputError("TRAIN-CHECKPOINT", f"checkpoint {named(path, '')} cannot be read: {what}") from error
    except Exception as error:  # torch has no type of its own for a damaged file
        raise InputError("TRAIN-CHECKPOINT", f"{named(path)} is no checkpoint: {type(error).__name__}") from error
    if described != about:
        raise InputError("TRAIN-CHECKPOINT", f"{named(path)} is of other settings; remove it or name another output")
