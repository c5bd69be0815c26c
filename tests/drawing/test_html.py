from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from browser import visit
from jinja2 import UndefinedError
from PIL import Image

from unetkit.drawing.html import layered, picture, write_page
from unetkit.drawing.layers import COVER_STEP, Layer
from unetkit.foundation.errors import OutputError

STARS = '<img src="https://example.org/a.png" onerror=alert(1)>'


@pytest.fixture
def template(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A template of the test's own: a name, a picture, and things of another server."""
    from jinja2 import ChoiceLoader, DictLoader, PackageLoader

    page = (
        '{% extends "base.html" %}{% block title %}{{ name }}{% endblock %}'
        '{% block body %}<h1>{{ name }}</h1>{{ shown|picture(name) }}<img src="http://127.0.0.1:9/b.png">{% endblock %}'
    )
    monkeypatch.setattr(
        "unetkit.drawing.html.PackageLoader",
        lambda *place: ChoiceLoader([DictLoader({"test.html": page}), PackageLoader(*place)]),
    )
    return "test.html"


def test_names_are_text_and_nothing_is_loaded_from_elsewhere(tmp_path: Path, template: str) -> None:
    write_page(tmp_path / "new" / "page.html", template, name=STARS, shown=np.zeros((20, 30, 3), np.uint8))
    with visit(tmp_path / "new" / "page.html") as seen:
        assert seen.page.title() == STARS
        assert seen.page.inner_text("h1") == STARS
        assert seen.page.evaluate("document.images[0].naturalWidth") == 30
        assert seen.page.evaluate("document.images[1].naturalWidth") == 0
    assert seen.blocked == ["http://127.0.0.1:9/b.png"]
    assert [url for url in seen.requests if not url.startswith(("file:", "data:"))] == []


def test_a_name_that_is_no_text_is_written_out(tmp_path: Path, template: str) -> None:
    path = tmp_path / "page.html"
    write_page(path, template, name=Path("b\udce4r.tif"), shown=np.zeros((2, 2, 3), np.uint8))
    assert r"<h1>b\udce4r.tif</h1>" in path.read_text(encoding="utf-8")


def test_what_a_template_lacks_is_an_error_and_leaves_no_file(tmp_path: Path, template: str) -> None:
    with pytest.raises(UndefinedError):
        write_page(tmp_path / "page.html", template)
    assert not list(tmp_path.iterdir())


def test_a_page_that_cannot_be_written_says_so(tmp_path: Path, template: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_page(tmp_path / "file" / "page.html", template, name="", shown=np.zeros((2, 2, 3), np.uint8))


@pytest.mark.parametrize(("side", "kind", "tolerance"), [(40, "png", 0), (600, "jpeg", 6)])
def test_a_picture_holds_its_pixels(side: int, kind: str, tolerance: int) -> None:
    y, x = np.mgrid[:side, :side] * 255 // side
    display = np.stack([y, x, 255 - y], axis=-1).astype(np.uint8)
    tag = picture(display, 'a "b"')
    assert 'alt="a &#34;b&#34;"' in tag
    data = tag.partition(f"data:image/{kind};base64,")[2].partition('"')[0]
    with Image.open(io.BytesIO(base64.b64decode(data))) as stored:
        assert np.abs(np.asarray(stored).astype(int) - display).max() <= tolerance


@pytest.mark.parametrize("coloured", [False, True])
def test_a_layer_keeps_its_colours_and_its_cover(coloured: bool) -> None:
    cover = (np.arange(12, dtype=np.uint8).reshape(3, 4) * COVER_STEP).astype(np.uint8)
    colours = np.random.default_rng(0).integers(0, 255, (3, 4, 3)).astype(np.uint8)
    tag = layered(np.zeros((3, 4, 3), np.uint8), Layer(colours if coloured else (255, 140, 0), cover), "a")
    below, above = re.findall(r"data:image/(\w+);base64,([^\"]+)", tag)
    assert (below[0], above[0]) == ("jpeg", "png")
    with Image.open(io.BytesIO(base64.b64decode(above[1]))) as stored:
        pixels = np.asarray(stored.convert("RGBA"))
    np.testing.assert_array_equal(pixels[..., 3], cover)
    expected = colours if coloured else np.full((3, 4, 3), (255, 140, 0))
    np.testing.assert_array_equal(pixels[..., :3], expected)
