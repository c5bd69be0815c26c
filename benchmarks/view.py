"""`unetkit view` on a slide with a million objects, in headless Chromium: times to pictures, frames, and memory.

    python benchmarks/view.py --folder scratch
    python benchmarks/view.py --folder scratch --size 20000 --objects 1000000 --screenshots pictures

The slide is made by a seed and kept in the folder: RGB in JPEG tiles, and labels in deflated tiles, each with and
without a pyramid. Without a graphics card the browser draws on the processor, beside the server.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any
from urllib.request import urlopen

import numpy as np
import tifffile
from measuring import describe_machine, print_machine, print_table
from numpy.typing import NDArray
from objects import Field

from unetkit.io.base.contracts import OutputSpec
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import create_sink, list_series, open_image
from unetkit.viewing.chunks import CHUNK

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from browser import visit

SMALLEST = 8000
TILE = 256
SIDES = (1280, 900)
PIXEL_UM = 0.25
TISSUE, NUCLEI = (236, 196, 220), (120, 80, 150)
JUMPS = 7
"""Fields that are jumped to at each zoom."""

PAN_SECONDS = 4.0
PAN_PIXELS = 12
"""Pixels of the screen by which each frame of a pan moves on."""

CONNECTIONS = 6
"""Requests that a browser sends at a time."""

ZOOMS = {"full": 1.0, "middle": 5.0}
"""Pixels of the slide for each pixel of the screen."""

READY = """async () => {
  while (!viewer.isReady()) await new Promise(requestAnimationFrame);
}"""

JUMP = """async ([x, y, scale]) => {
  const frame = () => new Promise(requestAnimationFrame);
  const start = performance.now();
  viewer.crossSectionScale.value = scale;
  viewer.position.value = Float32Array.of(x, y);
  await frame(); await frame();
  while (!viewer.isReady()) await frame();
  return performance.now() - start;
}"""

STILL = """async () => {
  const frame = () => new Promise(requestAnimationFrame);
  const times = [], scale = viewer.crossSectionScale.value;
  for (let i = 0; i < 8; i++) { viewer.crossSectionScale.value = scale * (1 + i % 2 / 1e4); times.push(await frame()); }
  return (times.at(-1) - times[0]) / (times.length - 1);
}"""

PAN = """async ([seconds, step]) => {
  const frame = () => new Promise(requestAnimationFrame);
  const times = [], started = performance.now();
  let whole = 0;
  const [x, y] = viewer.position.value, scale = viewer.crossSectionScale.value;
  while (performance.now() - started < 1000 * seconds) {
    const moved = step * scale * (times.length + 1);
    viewer.position.value = Float32Array.of(x + moved, y + moved / 3);
    times.push(await frame());
    whole += viewer.isReady();
  }
  const gaps = times.slice(1).map((time, i) => time - times[i]);
  return {fps: 1000 * gaps.length / (times.at(-1) - times[0]), longest: Math.max(...gaps), whole: whole / times.length};
}"""


@dataclass(frozen=True)
class Slide:
    """Files of a slide.

    Attributes:
        field: The objects.
        folder: Where the files are.
        pyramid: Whether they have smaller levels.
    """

    field: Field
    folder: Path
    pyramid: bool

    def files(self) -> tuple[Path, Path]:
        """Return image and labels, which are made if they are not there."""
        kind = "pyramid" if self.pyramid else "flat"
        names = [self.folder / f"view-{one}-{self.field.size}-{kind}.tif" for one in ("image", "labels")]
        image, labels = names
        if not labels.exists():
            spec = OutputSpec(
                (self.field.size, self.field.size),
                np.dtype(np.uint32),
                pixel_size_um=(PIXEL_UM, PIXEL_UM),
                pyramid=self.pyramid,
            )
            create_sink(labels, spec).write(self.field.strips())
        if not image.exists():
            self._write_image(image, labels)
        return image, labels

    def _write_image(self, path: Path, labels: Path) -> None:
        """Write the slide that the labels are of."""
        levels = len(list_series(labels)[0].levels)
        resolution = 1e4 / PIXEL_UM
        with tifffile.TiffWriter(path, bigtiff=True) as writer:
            for level in range(levels):
                with closing(open_image(labels, ReadOptions(level=level))) as source:
                    height, width = source.info.size
                    writer.write(
                        tiles_of(source),
                        shape=(height, width, 3),
                        dtype=np.uint8,
                        tile=(TILE, TILE),
                        photometric="rgb",
                        compression="jpeg",
                        compressionargs={"level": 85},
                        resolution=(resolution / 2**level, resolution / 2**level),
                        resolutionunit="CENTIMETER",
                        subifds=levels - 1 if level == 0 else None,
                        subfiletype=0 if level == 0 else 1,
                    )


def tiles_of(labels: Any) -> Iterator[NDArray[np.uint8]]:
    """Yield the tiles (TILE, TILE, 3) of a stained slide, row by row."""
    rng = np.random.default_rng(0)
    height, width = labels.info.size
    colours = np.array([TISSUE, NUCLEI], np.int16)
    for top in range(0, height, TILE):
        rows = labels.read(0, (slice(top, min(top + TILE, height)), slice(0, width)))[0] > 0
        for left in range(0, width, TILE):
            inside = rows[:, left : left + TILE]
            tile = np.zeros((TILE, TILE, 3), np.uint8)
            noise = rng.integers(-12, 13, (*inside.shape, 1), np.int16)
            tile[: inside.shape[0], : inside.shape[1]] = (colours[inside.astype(int)] + noise).clip(0, 255)
            yield tile


@contextmanager
def serving(files: tuple[Path, ...]) -> Iterator[tuple[str, float, int]]:
    """Run `unetkit view`; give its address, the seconds until it was printed, and the number of the process."""
    started = monotonic()
    words = [sys.executable, "-m", "unetkit", "view", *map(str, files), "--no-browser"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            yield line.split()[-1], monotonic() - started, process.pid
        finally:
            process.terminate()


def run(slide: Slide, screenshots: Path | None) -> dict[str, Any]:
    """Look at a slide and return what was measured."""
    size = slide.field.size
    rng = np.random.default_rng(1)
    kind = "pyramid" if slide.pyramid else "flat"
    with serving(slide.files()) as (url, seconds, pid):
        row: dict[str, Any] = {"files": kind, "address s": seconds}
        started = monotonic()
        with visit(url, width=SIDES[0], height=SIDES[1]) as seen:
            page = seen.page
            while np.std(look(page, None)) < 2:
                page.wait_for_timeout(20)
            row["first picture s"] = monotonic() - started
            page.evaluate(READY)
            row["whole picture s"] = monotonic() - started
            look(page, screenshots and screenshots / f"{kind}-overview.png")
            for name, scale in ZOOMS.items():
                margin = scale * max(SIDES) / 2
                places = rng.uniform(margin, size - margin, (JUMPS, 2)).tolist()
                times = [page.evaluate(JUMP, [x, y, scale]) / 1000 for x, y in places]
                row[f"{name}: field s"], row[f"{name}: slowest s"] = median(times), max(times)
                look(page, screenshots and screenshots / f"{kind}-{name}.png")
                page.evaluate(JUMP, [margin, margin, scale])
                row[f"{name}: frame of old data ms"] = page.evaluate(STILL)
                panned = page.evaluate(PAN, [PAN_SECONDS, PAN_PIXELS])
                row |= {f"{name}: frames/s": panned["fps"], f"{name}: longest ms": panned["longest"]}
                row[f"{name}: whole %"] = 100 * panned["whole"]
                row[f"{name}: server alone s"] = time_chunks(url, size, scale)
        row["server MB"] = peak_of(pid)
    return row


def time_chunks(url: str, size: int, scale: float) -> float:
    """Return the seconds in which the server alone sends all chunks of a field at one level, of image and labels."""
    base = url.replace("/v/", "/pixels/")
    level = round(np.log2(scale))
    rng = np.random.default_rng(2)
    last = size / 2**level / CHUNK - 1
    top, left = (int(rng.uniform(0, last - side / CHUNK)) for side in reversed(SIDES))
    high, wide = (side // CHUNK + 2 for side in reversed(SIDES))
    places = [f"{top + y}/{left + x}" for y in range(high) for x in range(wide)]
    addresses = [f"{base}0/{level}/0/{place}" for place in places] + [f"{base}1/{level}/{place}" for place in places]
    started = monotonic()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for data in pool.map(lambda address: urlopen(address).read(), addresses):
            assert len(data) >= CHUNK**2
    return monotonic() - started


def look(page: Any, path: Path | None) -> NDArray[np.uint8]:
    """Return the middle of the screen (H, W, 3), and save all of it where a path is given."""
    import cv2

    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=path)
    clip = {"x": SIDES[0] / 2 - 150, "y": SIDES[1] / 2 - 150, "width": 300, "height": 300}
    return np.asarray(cv2.imdecode(np.frombuffer(page.screenshot(clip=clip), np.uint8), cv2.IMREAD_COLOR), np.uint8)


def peak_of(pid: int) -> float:
    """Return the peak memory of a process in MB, on Linux."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e3


def main(args: list[str] | None = None) -> None:
    """Measure both kinds of files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="folder for the files")
    parser.add_argument("--size", type=int, default=20_000, help=f"height and width in pixels, at least {SMALLEST}")
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--diameter", type=int, default=14, help="of an object, in pixels")
    parser.add_argument("--screenshots", type=Path, help="folder for pictures of the screen")
    parser.add_argument("--markdown", action="store_true", help="print the table for a page")
    options = parser.parse_args(args)
    if options.size < SMALLEST:
        parser.error(f"a slide of less than {SMALLEST} pixels has no room for jumps")
    options.folder.mkdir(parents=True, exist_ok=True)
    field = Field(options.size, options.objects, options.diameter)
    rows = [run(Slide(field, options.folder, pyramid), options.screenshots) for pyramid in (True, False)]
    print_machine(describe_machine())
    show(rows, markdown=options.markdown)


def show(rows: Sequence[dict[str, Any]], *, markdown: bool) -> None:
    """Print a column for each kind of files."""
    names = [name for name in rows[0] if name != "files"]
    lines = [[name, *(f"{row[name]:.3g}" for row in rows)] for name in names]
    print_table("unetkit view", ["", *(row["files"] for row in rows)], lines, markdown=markdown)


if __name__ == "__main__":
    main()
