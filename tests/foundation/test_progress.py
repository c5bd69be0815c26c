from __future__ import annotations

import io
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from unetkit.foundation import notebook
from unetkit.foundation.notebook import NotebookBar, in_notebook
from unetkit.foundation.progress import pixel_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Handle:
    """What `IPython.display.display` returns, with the pictures that it got."""

    def __init__(self, shown: list[str]) -> None:
        self.shown = shown

    def update(self, picture: dict[str, str], *, raw: bool) -> None:
        assert raw
        assert set(picture) == {"text/html", "text/plain"}
        self.shown.append(picture["text/plain"])


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of the bars in a notebook, in which this process seems to run."""
    texts: list[str] = []

    def display(picture: dict[str, str], **how: Any) -> Handle:
        assert how == {"raw": True, "display_id": True}
        texts.append(picture["text/plain"])
        return Handle(texts)

    ipython = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    return texts


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


def test_a_notebook_has_a_bar_for_each_image_that_ends_full(
    shown: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notebook, "UPDATE_SECONDS", 0.0)
    with pixel_progress() as begin:
        move = begin("a.tif", 4_000_000)
        move(1_000_000)
        move(3_000_000)
    assert shown[0] == "a.tif  0%"
    assert shown[1].startswith("a.tif  25%  1.0/4.0 Mpx")
    assert shown[1].endswith("left")
    assert shown[2].startswith("a.tif  100%  4.0/4.0 Mpx")
    assert capsys.readouterr() == ("", "")


def test_a_notebook_has_one_bar_for_images_of_a_cluster(shown: list[str]) -> None:
    with pixel_progress(together=2) as begin:
        begin("a.tif", 4_000_000)(4_000_000)
        begin("b.tif", 2_000_000)(2_000_000)
    assert shown[0] == "2 images"
    assert shown[-1].startswith("2 images  100%  6.0/6.0 Mpx")


def test_pictures_of_a_bar_do_not_follow_each_other_faster_than_one_can_see(shown: list[str]) -> None:
    bar = NotebookBar("Training", 1000)
    for done in range(1000):
        bar.update(done)
    assert len(shown) < 20
    bar.update(1000, at_once=True)
    assert shown[-1] == "Training  100%"


def test_names_are_text_in_the_html_of_a_bar(shown: list[str]) -> None:
    bar = NotebookBar("<b>&\x1b.tif", 1)
    assert "&lt;b&gt;&amp;\\x1b.tif" in bar._picture()["text/html"]


@pytest.mark.parametrize("shell", [None, SimpleNamespace()], ids=["no shell", "IPython on a terminal"])
def test_other_processes_are_no_notebook(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert not in_notebook()
    monkeypatch.delitem(sys.modules, "IPython")
    assert not in_notebook()
