"""Weights that come with the program; `card.md` beside them says what they learned from."""

from __future__ import annotations

from importlib import resources

from thinslice.networks.model import Model


def shipped() -> Model:
    """The shipped model, read anew: who adapts it does not change another's."""
    with resources.as_file(resources.files(__name__) / "thinslice.safetensors") as path:
        return Model.load(path)
