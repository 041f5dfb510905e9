"""The program `thinslice`: its commands, and the one place where errors become lines and exit codes."""

from __future__ import annotations

import errno
import logging
import re
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import NoReturn

import typer

from thinslice.cli import options
from thinslice.cli.demo import demo
from thinslice.cli.enhance import enhance
from thinslice.cli.evaluate import evaluate
from thinslice.cli.inspect import inspect
from thinslice.cli.train import train
from thinslice.errors import OutputError, ResourceError, ThinsliceError, UsageError, named

INTERRUPTED = 130
_VERBOSE = re.compile(r"--verbose|-q*v[qv]*")  # known before the parser runs, whose own errors it is to trace
_BLANK = re.compile(r"(--[\w-]+=)?")
_OUT_OF_MEMORY = re.compile("out of memory|can't allocate memory|not enough memory")  # torch, of its RuntimeErrors

# The command line library raises its own usage error, from a package whose name has changed with
# its versions; what it exports under a stable name is this descendant.
_ParserError: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "UsageError")

app = typer.Typer(
    name="thinslice",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback(invoke_without_command=True)
def thinslice(context: typer.Context, version: options.Version = False) -> None:
    """Thick CT slices in, synthesised thin CT slices out. For research; not a medical device."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


for command in (demo, inspect, enhance, evaluate, train):
    app.command()(command)


def main() -> NoReturn:
    """Run the command line and exit with the code of its error (`thinslice.errors`)."""
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # leave through the same clean-up as Ctrl-C does
            signal.signal(getattr(signal, name), lambda number, _frame: sys.exit(128 + number))
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command; whatever goes wrong ends as one line on stderr. Returns the exit code."""
    verbose = any(_VERBOSE.fullmatch(argument) for argument in arguments)
    names = "--show-identity" in arguments
    _hush_third_parties(verbose=verbose)
    try:
        if any(_BLANK.fullmatch(argument) for argument in arguments):
            raise UsageError("USE-OPTION", "an argument is empty: is a variable of the shell not set?")
        code = app(args=list(arguments), prog_name="thinslice", standalone_mode=False)
        if code == INTERRUPTED:  # the parser made an exit of a KeyboardInterrupt
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted: nothing is left half-written", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    except Exception as error:
        if verbose:
            print(_trace(error, names=names), file=sys.stderr, end="")  # noqa: T201
        known = as_thinslice_error(error)
        print(known.line_with_names if names else known.line, file=sys.stderr)  # noqa: T201
        return known.exit_code


def as_thinslice_error(error: Exception) -> ThinsliceError:
    """The error with a code of ours: usage (2), no memory (5), a bug (1)."""
    if isinstance(error, ThinsliceError):
        return error
    if isinstance(error, _ParserError):
        return _usage_error(error)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
        return OutputError("OUT-WRITE", f"what the program says cannot be written: {error.strerror}")
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error))):
        return ResourceError("RES-MEMORY", "memory ran out; free some, or use a machine with more of it")
    what = named(f"{type(error).__name__}: {error}", type(error).__name__)  # a library's words may hold a path
    return ThinsliceError("BUG", f"{what}: this is a fault of thinslice; run again with --verbose and report it")


def _trace(error: BaseException, *, names: bool) -> str:
    """A traceback, as Python prints it; without the words of errors, which quote paths and values, unless `names`."""
    if names:
        return "".join(traceback.format_exception(error))
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    before = f"{_trace(cause, names=False)}\nwhich led to\n\n" if cause else ""
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"{before}Traceback (most recent call last):\n{frames}{type(error).__name__}\n"


def _usage_error(error: Exception) -> UsageError:
    """What the parser of the command line says, in our form."""
    text = error.format_message() if hasattr(error, "format_message") else str(error)
    text = re.sub(r"(?s)(unexpected extra argument\S*) \(.*\)", r"\1; quote paths that hold spaces", text)
    text = re.sub(r"(?s)(No such command) '.*'", r"\1", text)
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "thinslice"
    return UsageError("USE-OPTION", f"{text.replace('Value error, ', '').rstrip('.')}; see {command} -h")


def _hush_third_parties(*, verbose: bool) -> None:
    """What libraries say to a terminal may hold file names and patients: only on demand."""
    if verbose:
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s", stream=sys.stderr)
        logging.getLogger("thinslice").setLevel(logging.DEBUG)
        return
    logging.getLogger().addHandler(logging.NullHandler())
    warnings.simplefilter("ignore")
