"""docs/dicom.md names every code that reading or writing DICOM can end with, and its exit code."""

import re
from pathlib import Path

import pytest

from thinslice.io.dicom.headers.codes import refusal

CODE = r"\b(?:DCM|OUT)-[A-Z]+(?:-[A-Z]+)*\b"


@pytest.fixture(scope="module")
def rows(repository: Path) -> dict[str, str]:
    """The codes of the page's table, each with its exit code or "warning"."""
    page = (repository / "docs" / "dicom.md").read_text()
    table = page.split("### Codes")[1].split("\n### ")[0]
    found: dict[str, str] = {}
    for line in table.splitlines():
        if line.startswith("| ") and re.match(rf"\| {CODE}", line):
            _, codes, kind, *_ = line.split("|")
            found |= dict.fromkeys(re.findall(CODE, codes), kind.strip())
    return found


def test_every_code_of_the_program_is_there_and_no_other(rows: dict[str, str], repository: Path) -> None:
    source = "\n".join(file.read_text() for file in (repository / "src").rglob("*.py"))
    assert set(re.findall(rf'"({CODE})"', source)) == set(rows)


def test_exit_codes_are_as_said(rows: dict[str, str]) -> None:
    for code, kind in rows.items():
        if kind in ("3", "4", "7"):
            assert str(refusal(code, "").exit_code) == kind, code
