"""How long it takes to draw outlines, and how much memory: 100,000 polygons of 60 points into 20,480 x 20,480 pixels.

    python benchmarks/annotations.py --folder scratch

Writes outlines as QuPath's GeoJSON, and draws them with `unetkit rasterize` in a process of its own: once beside each
other, as cells lie, and once at random places, where most of them overlap.
"""

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from measuring import describe_machine, measure_unetkit, print_machine, print_table, write_repeated
from numpy.typing import NDArray


def outlines(count: int, points: int, size: int, *, apart: bool) -> NDArray[np.float64]:
    """Return (count, points + 1, 2) x and y of closed outlines, about 50 pixels wide at most."""
    rng = np.random.default_rng(0)
    side = int(np.ceil(np.sqrt(count)))
    step = size / side
    places = np.stack(np.divmod(np.arange(count), side), axis=1) * step + step / 2
    centres = places if apart else rng.uniform(step / 2, size - step / 2, (count, 2))
    angles = np.arange(points) * 2 * np.pi / points + rng.uniform(0, 1, (count, 1))
    radii = rng.uniform(0.85, 1, (count, points)) * step / 2.4
    found = centres[:, None] + radii[..., None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return np.concatenate([found, found[:, :1]], axis=1)


def write_geojson(path: Path, rings: NDArray[np.float64]) -> None:
    """Write outlines as QuPath does, with two digits behind the point."""
    with path.open("w") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for number, ring in enumerate(rings):
            polygon = {"type": "Polygon", "coordinates": [np.round(ring, 2).tolist()]}
            properties = {"objectType": "annotation", "classification": {"name": ("tumour", "stroma")[number % 2]}}
            feature = {"type": "Feature", "geometry": polygon, "properties": properties}
            file.write((",\n" if number else "") + json.dumps(feature))
        file.write("]}")


def main(args: list[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="folder for the files; by default a temporary one")
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--points", type=int, default=60)
    parser.add_argument("--size", type=int, default=20_480, help="side of the image in pixels, a multiple of 512")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args(args)
    rows = []
    with TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        patch = np.zeros((512, 512), np.uint8)
        write_repeated(folder / "image.tif", patch, options.size, compression="zlib")
        for apart in (True, False):
            rings = outlines(options.objects, options.points, options.size, apart=apart)
            write_geojson(folder / "a.geojson", rings)
            for output in ("labels", "classes"):
                words = ["rasterize", *(str(folder / one) for one in ("a.geojson", "image.tif", "mask.tif"))]
                command = [*words, "--output", output]
                done = measure_unetkit(*command, "--overwrite")
                figures = [f"{done[key]:.1f} s" for key in ("seconds", "cpu") if key in done]
                figures = [*figures, f"{done['peak_rss'] / 1e9:.2f} GB"] if figures else [str(done), "", ""]
                rows.append(["side by side" if apart else "at random", output, *figures])
    print_machine(describe_machine())
    title = f"{options.objects:,} outlines of {options.points} points in {options.size} x {options.size} pixels"
    print_table(title, ["they lie", "output", "time", "processor time", "peak memory"], rows, markdown=options.markdown)


if __name__ == "__main__":
    main()
