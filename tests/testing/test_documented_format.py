"""The format that the documentation makes keeps the contracts, and is read and written like unetkit's own."""

from pathlib import Path

import numpy as np
from documented import ROOT, blocks

from unetkit.io import formats
from unetkit.io.base.contracts import OutputSpec
from unetkit.io.files import create_sink, find_images, open_image

NAMES = {}
for language, text in blocks(Path(ROOT / "docs/formats.md")):
    if language == "python":
        exec(compile(text, "formats.md", "exec"), NAMES)


class TestSource(NAMES["TestNpySource"]):
    """The source of the page."""


class TestSink(NAMES["TestNpySink"]):
    """The sink of the page."""


def test_files_of_the_format_are_found_read_and_written(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "others", lambda: (NAMES["NPY"],))
    pixels = (np.arange(600) % 251).astype(np.uint8).reshape(1, 20, 30)
    create_sink(tmp_path / "a.npy", OutputSpec((20, 30), np.dtype("uint8"))).write([pixels])
    (path,) = find_images(tmp_path)
    np.testing.assert_array_equal(open_image(path).read(0, (slice(0, 20), slice(0, 30))), pixels)
