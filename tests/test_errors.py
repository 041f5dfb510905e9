"""docs/errors.md names every code that is not DICOM's, and its exit code."""

import re
from pathlib import Path

import pytest

from thinslice import errors
from thinslice.service import orthanc

CODE = r"\b(?:BATCH|FILE|FIT|GEO|IN|LABEL|MODEL|RES|SRV|TEXTURE|TRAIN|USE)-[A-Z]+\b"


@pytest.fixture(scope="module")
def source(repository: Path) -> str:
    return "\n".join(file.read_text() for file in (repository / "src").rglob("*.py"))


@pytest.fixture(scope="module")
def rows(repository: Path) -> dict[str, str]:
    """The codes of the page's table, each with what the page says of its exit code."""
    found: dict[str, str] = {}
    for line in (repository / "docs" / "errors.md").read_text().split("## Codes")[1].splitlines():
        if line.startswith("| ") and re.match(rf"\| {CODE}", line):
            _, codes, kind, *_ = line.split("|")
            found |= dict.fromkeys(re.findall(CODE, codes), kind.strip())
    return found


def test_every_code_of_the_program_is_there_and_no_other(rows: dict[str, str], source: str) -> None:
    assert set(re.findall(rf'"({CODE})"', source)) == set(rows)


def test_exit_codes_are_as_said(rows: dict[str, str], source: str) -> None:
    raised: dict[str, set[str]] = {}
    for kind, code in re.findall(rf'(\w+)\(\s*"({CODE})"', source):
        if kind == "__init__":  # of an error with a code of its own
            continue
        exit_code = (
            "warning" if kind == "Notice" else str(getattr(errors, kind, getattr(orthanc, kind, None)).exit_code)
        )
        raised.setdefault(code, set()).add(exit_code)
    assert {code: kinds for code, kinds in raised.items() if kinds != set(rows[code].split(", "))} == {}
    assert len(raised) > 0.9 * len(rows)
