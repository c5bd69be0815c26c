"""Outputs opened in ImageJ itself, without Bio-Formats, where it is installed (Debian: `apt-get install imagej`)."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unetkit.io.base.contracts import OutputSpec
from unetkit.io.files import create_sink

JAR = Path("/usr/share/java/ij.jar")
OPEN = Path(__file__).parent / "OpenImages.java"

READABLE = ["none", "deflate", "lzw"]
"""Compressions that ImageJ 1.53 reads; of Zstandard it says that the format is not supported."""


def pixels_of(planes: int, dtype: str) -> Any:
    """Return (planes, 1, 90, 130): numbers up to 250, above the dtype's bytes where it has more, or fractions."""
    pixels = np.zeros((planes, 1, 90, 130), dtype)
    pixels[..., 20:60, 30:90] = 0.25 if dtype == "float32" else 250
    if dtype in ("uint16", "uint32"):
        pixels[..., 70:80, 5:15] = 60_000
    return pixels


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, Any], Any]]:
    """What ImageJ says of each output, and the pixels that were written; by name."""
    if shutil.which("java") is None or not JAR.exists():
        pytest.skip("ImageJ is not installed (apt-get install imagej)")
    folder = tmp_path_factory.mktemp("imagej")
    written = {}
    for compression in ("auto", *READABLE, "zstd"):
        for dtype in ("uint8", "uint16", "uint32", "float32"):
            for planes in (1, 3):
                name = f"{compression}-{dtype}-{planes}.tif"
                pixels = pixels_of(planes, dtype)
                axes, shape = ("Z", (3,)) if planes == 3 else ("", ())
                spec = OutputSpec(
                    (90, 130), np.dtype(dtype), 1, axes, shape, (0.25, 0.5), compression=compression, layout="auto"
                )
                create_sink(folder / name, spec).write(list(pixels))
                written[name] = pixels
    for dtype in ("uint8", "uint16"):
        name = f"png-{dtype}-1.png"
        written[name] = pixels_of(1, dtype)
        create_sink(folder / name, OutputSpec((90, 130), np.dtype(dtype))).write(list(written[name]))
    java = ["java", "-Djava.awt.headless=true", "-cp", str(JAR), str(OPEN)]
    done = subprocess.run(
        [*java, *(str(folder / name) for name in written)], capture_output=True, text=True, check=True, timeout=120
    )
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {one["name"]: (one, written[one["name"]]) for one in said}


@pytest.mark.parametrize("planes", [1, 3])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32"])
@pytest.mark.parametrize("compression", ["auto", *READABLE])
def test_imagej_opens_small_outputs_with_all_their_pixels(
    opened: dict[str, Any], compression: str, dtype: str, planes: int
) -> None:
    image, pixels = opened[f"{compression}-{dtype}-{planes}.tif"]
    assert (image["width"], image["height"], image["planes"]) == (130, 90, planes)
    assert image["bits"] == {"uint8": 8, "uint16": 16, "uint32": 32, "float32": 32}[dtype]
    assert image["sum"] == pytest.approx(float(pixels.sum(dtype=np.float64)))
    assert image["largest"] == pixels.max()
    assert (image["size"], image["unit"]) == ([0.25, 0.5], "µm")


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_imagej_opens_png(opened: dict[str, Any], dtype: str) -> None:
    image, pixels = opened[f"png-{dtype}-1.png"]
    assert image["sum"] == pixels.sum(dtype=np.float64)


def test_imagej_opens_no_zstandard_as_the_help_of_compression_says(opened: dict[str, Any]) -> None:
    assert "width" not in opened["zstd-uint8-1.tif"][0]
