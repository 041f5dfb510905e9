"""The help page of a command: options under headings, as wide as the terminal, plain text."""

from __future__ import annotations

import re
from typing import Any

import typer.core

COMMON = "Common to all commands"
_UNBROKEN = "\N{NO-BREAK SPACE}"
_BRACKETS = re.compile(r"\[[^\[\]]{1,40}\]$")  # what a page says of defaults and ranges, where a line can hold it


_IN_PAIRS = frozenset({"pairs"})  # parameters of two values, which may be repeated: typer has no type for these


class Command(typer.core.TyperCommand):
    """A command whose options stand under the headings that they name (`rich_help_panel`)."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        for parameter in self.params:
            if parameter.name in _IN_PAIRS:
                parameter.nargs = 2

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, those without a heading first."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if row := parameter.get_help_record(ctx):
                sections.setdefault(_heading(parameter), []).append((_without_type(row[0]), _kept_whole(row[1])))
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl(rows)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What stands behind the name of the command, hidden arguments left out."""
        return [piece for piece in super().collect_usage_pieces(ctx) if piece.strip("[].")]

    def get_help(self, ctx: Any) -> str:
        """The page."""
        return super().get_help(ctx).replace(_UNBROKEN, " ")


def _heading(parameter: Any) -> str:
    if "--help" in parameter.opts:
        return COMMON
    usual = "Arguments" if isinstance(parameter, typer.core.TyperArgument) else "Options"
    return getattr(parameter, "rich_help_panel", None) or usual


def _without_type(name: str) -> str:
    """The name of an argument without Python's type, which some versions of the parser put behind it."""
    return re.sub(r" <.*>$", "", name)


def _kept_whole(text: str) -> str:
    return _BRACKETS.sub(lambda found: found[0].replace(" ", _UNBROKEN), text)
