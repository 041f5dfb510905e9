"""Errors of the command-line parser as errors of thinslice: one line, with what was probably meant."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from typing import Any

import typer

from thinslice.errors import UsageError

# The command line library raises its own usage error, from a package whose name has changed with
# its versions; what it exports under a stable name is this descendant.
ParserError: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "UsageError")


def usage_error(error: Exception, arguments: Sequence[str], *, commands: Sequence[str]) -> UsageError:
    """An error of the parser in the form of thinslice.

    Args:
        error: the parser's.
        arguments: the command line.
        commands: those that there are.
    """
    text, close = _words(error), []
    command = next((word for word in arguments[:1] if word in commands), "")
    if text.startswith("No such command"):  # what stands there may be the name of a scan
        _, _, meant = text.rpartition("Did you mean")
        text, close = "No such command", [name for name in re.findall(r"\w+", meant) if name in commands]
    elif text.startswith("No such option"):
        typed = str(getattr(error, "option_name", ""))
        text, close = text.partition(" (")[0], _nearest(typed, getattr(error, "possibilities", None) or ())
    page = " ".join(filter(None, ("thinslice", command, "-h")))
    if close:
        return UsageError("USE-OPTION", f"{text}; did you mean {' or '.join(close)}? See {page}")
    if not command:
        text += f"; begin with a command: {', '.join(commands[:-1])} or {commands[-1]}"
    return UsageError("USE-OPTION", f"{text}; see {page}")


def _words(error: Exception) -> str:
    """The parser's words, with the value found, without what it repeats of paths."""
    text = error.format_message() if hasattr(error, "format_message") else str(error)
    text = text.replace("Value error, ", "").rstrip(".?")
    details: Any = getattr(error.__cause__, "errors", list)()
    if "Input should" in text and details:  # the library that reads numbers leaves the number out
        text = text.replace("Input", repr(details[0]["input"])).partition(", unable to parse")[0]
    too_many = "an argument too many; quote paths that hold spaces"
    return re.sub(r"(?s)(?:Got )?unexpected extra argument\S* \(.*\)", too_many, text)


def _nearest(typed: str, options: Collection[str]) -> list[str]:
    """Options that begin as what was typed, or are it but for a slip or two."""
    begun = {option for option in options if option.startswith(typed)}
    return sorted(begun or get_close_matches(typed, options, 2, 0.8))
