"""The program `thinslice`: its commands, and the one place where errors become lines and exit codes."""

from __future__ import annotations

import io
import logging
import platform
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import typer

from thinslice import __version__
from thinslice.cli import options
from thinslice.cli.batch import batch
from thinslice.cli.demo import demo
from thinslice.cli.enhance import enhance
from thinslice.cli.evaluate import evaluate
from thinslice.cli.help import Command
from thinslice.cli.inspect import inspect
from thinslice.cli.log import log
from thinslice.cli.measure import measure
from thinslice.cli.profile import profile
from thinslice.cli.serve import serve
from thinslice.cli.train import train
from thinslice.cli.usage import ParserError, usage_error
from thinslice.errors import UsageError, as_thinslice_error

_log = logging.getLogger("thinslice")

INTERRUPTED = 130
_VERBOSE = re.compile(r"--verbose|-q*v[qv]*")  # known before the parser runs, whose own errors it is to trace
_BLANK = re.compile(r"(--[\w-]+=)?")

app = typer.Typer(
    name="thinslice",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # tables squeeze options into half a terminal of 80 columns
)


@app.callback(invoke_without_command=True)
def thinslice(context: typer.Context, version: options.Version = False) -> None:
    """Thick CT slices in, synthesised thin CT slices out. For research; not a medical device."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


for command in (demo, inspect, enhance, evaluate, train, profile, measure, batch, serve):
    app.command(cls=Command)(command)
COMMANDS = ("demo", "inspect", "enhance", "evaluate", "train", "profile", "measure", "batch", "serve")


def main() -> NoReturn:
    """Run the command line and exit with the code of its error (`thinslice.errors`)."""
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # leave through the same clean-up as Ctrl-C does
            signal.signal(getattr(signal, name), lambda number, _frame: sys.exit(128 + number))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot show must not end a run
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command; whatever goes wrong ends as one line on stderr. Returns the exit code."""
    verbose = any(_VERBOSE.fullmatch(argument) for argument in arguments)
    names = "--show-identity" in arguments
    try:
        with log(verbose=verbose):
            _log.info("%s, Python %s, %s", __version__, platform.python_version(), platform.platform())
            return _run(arguments)
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted: nothing is left half-written", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    except Exception as error:
        if verbose:
            print(_trace(error, names=names), file=sys.stderr, end="")  # noqa: T201
        known = as_thinslice_error(error)
        print(known.line, file=sys.stderr)  # noqa: T201
        return known.exit_code


def _run(arguments: Sequence[str]) -> int:
    if any(_BLANK.fullmatch(argument) for argument in arguments):
        raise UsageError("USE-OPTION", "an argument is empty: is a variable of the shell not set?")
    try:
        code = app(args=list(arguments), prog_name="thinslice", standalone_mode=False)
    except ParserError as error:
        raise usage_error(error, arguments, commands=COMMANDS) from error
    if code == INTERRUPTED:  # the parser made an exit of a KeyboardInterrupt
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0


def _trace(error: BaseException, *, names: bool) -> str:
    """A traceback, as Python prints it; without the words of errors, which quote paths and values, unless `names`."""
    if names:
        return "".join(traceback.format_exception(error))
    chain: list[BaseException] = []
    led: BaseException | None = error
    while led is not None and led not in chain:  # an error that is raised again may be its own cause
        chain.append(led)
        led = led.__cause__ or (None if led.__suppress_context__ else led.__context__)
    return "\nwhich led to\n\n".join(
        f"Traceback (most recent call last):\n{''.join(traceback.format_tb(one.__traceback__))}{type(one).__name__}\n"
        for one in reversed(chain)
    )
