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


def listed_options(readme: str) -> list[tuple[str, str]]:
    """What the table of `enhance` lists in its first column: an option, and what is said to stand behind it."""
    _, _, table = readme.partition("| option of `enhance` | meaning |\n|---|---|\n")
    rows = re.match(r"(?:\|.*\n)*", table)[0].splitlines()  # type: ignore[index]
    firsts = [re.split(r"(?<!\\)\|", row)[1].strip() for row in rows]
    said = [words for first in firsts for words in first.split(", ")]
    assert len(rows) >= 10
    found = [re.fullmatch(r"`(--?[a-z][\w-]*) ?([^`]*)`", words.replace(r"\|", "|")) for words in said]
    assert None not in found, said[found.index(None)]
    return [match.groups() for match in found if match]  # type: ignore[misc]


def test_every_option_that_the_readme_lists_takes_what_it_says(repository: Path) -> None:
    """By its name, and with the choices that there are: all of them, or one as an example."""
    from typer.main import get_command

    from thinslice.cli.app import app

    enhance = get_command(app).commands["enhance"]  # type: ignore[attr-defined]
    takes = {name: parameter.metavar or "" for parameter in enhance.params for name in parameter.opts}
    compared = 0
    for option, behind in listed_options((repository / "README.md").read_text(encoding="utf-8")):
        assert option in takes, option
        choices = takes[option].split("|")
        if len(choices) > 1 and choices[0].islower():
            wanted = set(choices) if "|" in behind else set(choices) & {behind}
            assert set(behind.split("|")) == wanted, f"{option} {behind}: it takes {takes[option]}"
            compared += 1
        elif behind:
            assert takes[option].split("|")[0].split(".")[0] == behind.split(".")[0], f"{option} {behind}"
    assert compared >= 3


def test_every_file_of_the_repository_that_the_readme_names_is_there(repository: Path) -> None:
    text = (repository / "README.md").read_text(encoding="utf-8")
    names = set(
        re.findall(r"(?<![\w/.-])((?:benchmarks|docs|examples|src|tests)/[\w./-]*\w|[\w-]+\.(?:txt|toml|cff))", text)
    )
    assert len(names) >= 10
    assert {name for name in names if not (repository / name).exists()} == set()


def anchors(document: Path) -> set[str]:
    """What can be linked to in a text, as GitHub makes names of its headings; those of code are none."""
    found: list[str] = []
    for heading in re.findall(r"^#+ +(.+?) *$", re.sub(r"(?ms)^```.*?^```", "", document.read_text("utf-8")), re.M):
        name = re.sub(r"[^\w\- ]", "", re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading).lower()).replace(" ", "-")
        times = sum(re.fullmatch(rf"{re.escape(name)}(-\d+)?", other) is not None for other in found)
        found.append(f"{name}-{times}" if times else name)
    return set(found)


def test_every_link_in_the_documents_leads_somewhere(repository: Path) -> None:
    """To a file that is there, and to a heading that it has."""
    files = of_headings = 0
    for document in documents(repository):
        links = re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", document.read_text(encoding="utf-8"))
        for path, _, anchor in (link.partition("#") for link in links):
            target = document.parent / path if path else document
            assert target.exists(), f"{document.name}: {path}"
            files += 1
            if anchor:
                assert target.suffix == ".md", f"{document.name}: {path}#{anchor}"
                assert anchor in anchors(target), f"{document.name}: {path}#{anchor}"
                of_headings += 1
    assert files >= 100
    assert of_headings >= 50


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
    assert train["iterations"].default == defaults.iterations
    assert train["batch"].show_default == str(defaults.fit.batch)
    assert train["channels"].show_default == str(defaults.fit.inplane.channels)
    assert train["blocks"].show_default == str(defaults.fit.inplane.blocks)
