"""What the parser of the command line says, as errors of ours: one line, and what was meant, where that is plain."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from difflib import get_close_matches

import typer

from thinslice.errors import UsageError

# The command line library raises its own usage error, from a package whose name has changed with
# its versions; what it exports under a stable name is this descendant.
ParserError: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "UsageError")


def usage_error(error: Exception, *, commands: Sequence[str]) -> UsageError:
    """What the parser says of the command line, in our form; `commands` are those that there are."""
    text = error.format_message() if hasattr(error, "format_message") else str(error)
    text = text.replace("Value error, ", "").rstrip(".?")
    text = re.sub(
        r"(?s)unexpected extra argument\S* \(.*\)", "an argument too many; quote paths that hold spaces", text
    )
    context = getattr(error, "ctx", None)
    page = f"{context.command_path} -h" if context else "thinslice COMMAND -h"
    unknown, close = text.startswith(("No such command", "No such option")), []
    if text.startswith("No such command"):  # what stands there may be the name of a scan
        _, _, meant = text.rpartition("Did you mean")
        text, close = "No such command", [name for name in re.findall(r"\w+", meant) if name in commands]
    elif unknown:
        text, typed = text.partition(" (")[0], str(getattr(error, "option_name", ""))
        close = _nearest(typed, getattr(error, "possibilities", None) or ())
    if close:
        return UsageError("USE-OPTION", f"{text}; did you mean {' or '.join(close)}? See {page}")
    if unknown and page == "thinslice -h":
        text += f"; begin with a command: {', '.join(commands[:-1])} or {commands[-1]}"
    return UsageError("USE-OPTION", f"{text}; see {page}")


def _nearest(typed: str, options: Collection[str]) -> list[str]:
    """Options that begin as what was typed, or are it but for a slip or two."""
    return sorted(
        {option for option in options if option.startswith(typed)} or get_close_matches(typed, options, 2, 0.8)
    )
