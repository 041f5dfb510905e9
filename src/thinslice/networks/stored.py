"""Weights in a file, as safetensors, with what is to be known of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save
from torch import Tensor

from thinslice.errors import ModelError, named
from thinslice.system.output import whole_file

_KEY = "thinslice"


def write_weights(path: Path, state: Mapping[str, Tensor], about: Mapping[str, Any], *, overwrite: bool) -> None:
    """Write weights by name, and what is said of them, which must be JSON-ready.

    Raises:
        OutputError: the file exists or cannot be written.
    """
    with whole_file(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(save(dict(state), metadata={_KEY: json.dumps(about, sort_keys=True)}))


@contextmanager
def read_weights(path: Path, kind: str) -> Iterator[tuple[dict[str, Any], dict[str, Tensor]]]:
    """What is said of weights, and the weights by name, for a block that makes networks of them.

    Args:
        path: of the file.
        kind: of networks, for the error.

    Raises:
        ModelError: MODEL-READ, the file cannot be read, or the block found it to hold something else.
    """
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        yield json.loads(header["__metadata__"][_KEY]), load_file(path)
    except OSError as error:
        what = error.strerror or type(error).__name__
        raise ModelError("MODEL-READ", f"weights {named(path, '')} cannot be read: {what}") from error
    except (ValueError, KeyError, TypeError, RuntimeError, OverflowError, MemoryError) as error:
        what = named(": " + " ".join(str(error).split())[:120], "") if str(error) else ""  # it may quote the path
        raise ModelError("MODEL-READ", f"{named(path)} is no {kind}{what}") from error
