from __future__ import annotations

import io
import sys

import pytest

from unetkit.foundation.console import LOADING_TEXT, complain, loading, log


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_loading_is_said_once_and_only_while_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    for screen, shown in ((io.StringIO(), f"{LOADING_TEXT}\n"), (Terminal(), LOADING_TEXT)):
        monkeypatch.setattr(sys, "stderr", screen)
        monkeypatch.delitem(sys.modules, "torch", raising=False)
        with loading():
            assert screen.getvalue() == shown
    assert screen.getvalue().endswith("\x1b[2K")  # the terminal's line is free again


def test_nothing_is_said_where_pytorch_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)
    with loading():
        pass
    assert capsys.readouterr().err == ""


def test_names_that_are_no_text_are_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    log("[red]b\udce4r\x1b[31m.tif")
    complain("b\udce4r.tif is broken.", "Mend it.")
    captured = capsys.readouterr()
    assert captured.out == "[red]b\\udce4r\\x1b[31m.tif\n"
    assert captured.err == "Error: b\\udce4r.tif is broken. Mend it.\n"
