"""Help pages on a terminal of 80 columns, and completion in a shell."""

import os
import re
import subprocess
import sys

import pytest
import typer

from thinslice.cli.app import COMMANDS, app, run


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_a_page_fits_80_columns_with_ranges_and_defaults_whole(
    command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run([*([command] if command else []), "--help"]) == 0
    page = capfd.readouterr().out
    assert max(map(len, page.splitlines())) <= 80
    assert {c for c in page if not c.isprintable()} == {"\n"}  # no colours
    assert not re.search(r"<.*>|…|\w\.\.\.$", page, re.MULTILINE)  # no types of Python, nothing cut off
    assert page.count("x>=") + page.count("<=x") == len(re.findall(r"[\[ ](?:\d+<=)?x[<>]=\d+(?:<=\d+)?[\];]", page))
    group = typer.main.get_command(app)
    for parameter in (group.commands[command] if command else group).params:
        if not getattr(parameter, "hidden", False):
            assert all(re.search(rf"(?m)^  .*{name}\b", page) for name in parameter.opts if name.startswith("-"))
        if getattr(parameter, "show_default", False) is True and parameter.default not in (None, False, (), []):
            assert f"default: {parameter.default}" in " ".join(page.split()), parameter.opts


def test_options_stand_under_their_headings(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["enhance", "-h"]) == 0
    page = capfd.readouterr().out
    headings = re.findall(r"(?m)^(\w[\w ]*):$", page)
    assert headings == ["Options", "Grid", "Method", "Writing", "Reading", "Common to all commands"]
    assert page.index("Grid:") < page.index("--spacing MM") < page.index("Method:") < page.index("--no-check")
    assert page.startswith("Usage: thinslice enhance [OPTIONS]\n")
    assert "\n    thinslice enhance -i thick.nii.gz -o thin.nii.gz --spacing 1\n" in page  # to be copied


def completions(line: str, *, shell: str) -> str:
    words = line.split(" ")
    asked = {
        "_THINSLICE_COMPLETE": f"complete_{shell}",
        "_TYPER_COMPLETE_ARGS": line,
        "COMP_WORDS": "\n".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    code = "from thinslice.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | asked, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_a_shell_completes_commands_options_values_and_files() -> None:
    assert completions("thinslice enh", shell="bash").split() == ["enhance"]
    assert completions("thinslice enhance --sp", shell="bash").split() == ["--spacing"]
    assert completions("thinslice enhance --fit ", shell="bash").split() == ["auto", "scan", "none"]
    for line in ("thinslice enhance -i ", "thinslice enhance -o ", "thinslice inspect "):
        assert completions(line, shell="bash").split() == []  # bash takes its own then, which are files
        assert completions(line, shell="zsh").split() == ["_files"]
