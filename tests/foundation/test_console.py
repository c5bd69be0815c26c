from __future__ import annotations

import io
import sys

import pytest

from unetkit.foundation.console import LOADING_TEXT, complain, loading, log, pixel_progress


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


def test_one_bar_stands_for_images_whose_sizes_become_known_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with pixel_progress(asked=True, together=3) as begin:
        begin("a.tif", 4_000_000)(4_000_000)
        second = begin("b.tif", 2_000_000)
        second(1_000_000)
        second(1_000_000)
        begin("c.tif", 6_000_000)(6_000_000)
    shown = screen.getvalue()
    assert "3 images" in shown
    assert "a.tif" not in shown
    assert "12.0/12.0 Mpx" in shown
