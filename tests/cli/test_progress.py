"""Progress off a terminal: lines, few of them, none under --quiet."""

import pytest

from thinslice.cli.progress import progress


def test_plain_lines_are_few_and_end_with_done(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as show:
        for stage in ("fit", "synthesis"):
            for done in range(1001):
                show(stage, done, 1000)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[0] == "fit: begins"
    assert lines[1].startswith("fit: 25 %")
    assert lines[4].startswith("fit: done")
    assert lines[-1].startswith("synthesis: done")


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(quiet=True) as show:
        show("fit", 1, 2)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_stages_shares_and_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    import io
    import sys

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    with progress() as show:
        for done in range(5):
            show("fit", done, 4)
    assert "fit" in screen.getvalue()
    assert "100%" in screen.getvalue()
