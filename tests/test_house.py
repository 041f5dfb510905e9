"""Properties of the product as a whole: what starts fast, what the documents promise, what is documented."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

COMMON_OPTIONS = (
    "--quiet",
    "--verbose",
    "--threads",
    "--device",
    "--json",
    "--overwrite",
    "--show-identity",
    "--version",
)
HEAVY = ("torch", "nibabel", "SimpleITK", "pydicom", "scipy", "matplotlib", "numpy")


def loaded_by(statement: str) -> set[str]:
    """The heavy packages that a fresh interpreter has loaded after a statement."""
    code = f"{statement}\nimport sys, json; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("command", ["demo", "inspect", "enhance", "evaluate", "train"])
def test_help_loads_nothing_heavy_and_names_each_common_option(command: str) -> None:
    code = (
        "import contextlib, io\nfrom thinslice.cli.app import run\ntext = io.StringIO()\n"
        f"with contextlib.redirect_stdout(text): code = run(['{command}', '-h'])\n"
        "assert code == 0\n"
        f"for option in {COMMON_OPTIONS!r}:\n"
        "    assert option in text.getvalue(), option"
    )
    assert loaded_by(code) == set()


def documents(repository: Path) -> list[Path]:
    """Every text; in its words, a line that goes on after a backslash is one line."""
    top = [repository / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return [*top, repository / "src/thinslice/weights/card.md", *sorted((repository / "docs").rglob("*.md"))]


def words(document: Path) -> str:
    return re.sub(r"\\\n\s*", "", document.read_text(encoding="utf-8"))


def test_every_command_line_in_the_documents_names_options_that_exist(repository: Path) -> None:
    from typer.main import get_command

    from thinslice.cli.app import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    checked = 0
    for document in documents(repository):
        for command, arguments in re.findall(r"thinslice (\w+)((?: [^\s`|]+)*)", words(document)):
            if command not in commands:
                continue
            known = {name for parameter in commands[command].params for name in parameter.opts} | {"-h"}
            for option in re.findall(r"(?<= )--?[a-z][\w-]*", arguments):
                assert option in known, f"{document.name}: thinslice {command} {option}"
                checked += 1
    assert checked >= 200


def test_every_option_and_file_that_the_readme_lists_exists(repository: Path) -> None:
    from typer.main import get_command

    from thinslice.cli.app import app

    text = (repository / "README.md").read_text(encoding="utf-8")
    enhance = get_command(app).commands["enhance"]  # type: ignore[attr-defined]
    known = {name for parameter in enhance.params for name in parameter.opts}
    listed = re.findall(r"^\| (`--.*?) \|", text, flags=re.MULTILINE)
    assert listed
    for option in re.findall(r"--[a-z][\w-]*", " ".join(listed)):
        assert option in known, option


def test_every_link_in_the_documents_leads_somewhere(repository: Path) -> None:
    checked = 0
    for document in documents(repository):
        for link in re.findall(r"\]\((?!http)([^)#\s]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / link).exists(), f"{document.name}: {link}"
            checked += 1
    assert checked >= 10


def examples(document: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


README = Path(__file__).resolve().parent.parent / "README.md"


@pytest.mark.parametrize("example", range(len(examples(README))))
def test_python_examples_of_the_readme_run(
    example: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, thick_phantom: Path
) -> None:
    """As printed, on a small phantom, with two steps in place of three minutes of fitting."""
    import functools

    import thinslice

    monkeypatch.chdir(tmp_path)
    (tmp_path / "thick.nii.gz").write_bytes(thick_phantom.read_bytes())
    monkeypatch.setattr(thinslice, "enhance", functools.partial(thinslice.enhance, iterations=2))
    exec(compile(examples(README)[example], f"README.md, example {example + 1}", "exec"), {})
    assert (tmp_path / "thin.nii.gz").exists()


def test_what_the_command_line_says_of_defaults_and_rows_is_so() -> None:
    """It repeats them, so that help loads nothing heavy."""
    from typer.main import get_command

    from thinslice.cli.app import app
    from thinslice.evaluation.methods import METHODS
    from thinslice.evaluation.run import DEFAULT_METHODS
    from thinslice.training import TrainConfig

    commands = get_command(app).commands  # type: ignore[attr-defined]
    options = {command: {p.name: p for p in commands[command].params} for command in ("evaluate", "train")}
    methods, train = options["evaluate"]["methods"], options["train"]
    assert methods.default in (DEFAULT_METHODS, ",".join(DEFAULT_METHODS))
    assert set(re.findall(r"[\w-]+", methods.help)) >= set(METHODS)
    defaults = TrainConfig()
    assert (train["iterations"].default, train["batch"].default) == (defaults.iterations, defaults.fit.batch)
    assert train["channels"].show_default == str(defaults.fit.inplane.channels)
    assert train["blocks"].show_default == str(defaults.fit.inplane.blocks)
