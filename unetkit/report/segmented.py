"""What `segment` says when it is done, and what it would do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.table import Table

from unetkit.inference.preview import Preview
from unetkit.inference.segment import Segmented
from unetkit.report.info import describe_image, facts_table

LISTED_TILES = 10
"""Bad tiles that are named one by one."""


def summarize(done: Sequence[Segmented], result: Path) -> Iterator[str]:
    """Yield the lines that are printed when all is done."""
    new = [item for item in done if item.pixels]
    pixels, seconds = sum(item.pixels for item in new), sum(item.seconds for item in new)
    files = "" if len(done) == 1 else f"{len(done)} images, "
    there = f"{len(done) - len(new)} were there already, " if len(new) < len(done) else ""
    rate = f" ({pixels / 1e6 / seconds:.2f} Mpx/s)" if seconds else ""
    yield f"{result}: {files}{there}{pixels / 1e6:.1f} Mpx in {seconds:.1f} s{rate}."
    yield from dict.fromkeys(f"How: {item.plan}." for item in new)
    for item in new:
        name = "" if len(done) == 1 else f"{item.image.name}: "
        if item.objects is not None:
            yield f"{name}{item.objects:,} objects."
        if item.skipped:
            yield f"{name}{item.skipped:,} of {item.tiles:,} tiles were skipped as empty: see {item.picture}."
        if item.bad_tiles:
            places = [f"y {bad.y}, x {bad.x} ({bad.height} x {bad.width})" for bad in item.bad_tiles[:LISTED_TILES]]
            more = ", ..." if len(item.bad_tiles) > LISTED_TILES else ""
            yield (
                f"{name}{len(item.bad_tiles)} parts of the image could not be decoded and are background: "
                f"{'; '.join(places)}{more}."
            )
        if item.seams is not None:
            yield f"{name}{item.seams.summary()}"


def describe_preview(plan: Preview) -> Table:
    """Return a table of what `segment` would do."""
    facts = describe_image(plan.info)
    rows, columns = len(plan.grid.rows), len(plan.grid.columns)
    height, width = plan.grid.window
    scratch = f", and {plan.scratch / 1e9:.2f} GB of temporary files" if plan.scratch else ""
    facts |= {
        "images": str(plan.images),
        "plan": str(plan.plan),
        "tiles": f"{rows * columns * plan.info.planes:,}: {plan.info.planes} planes of {rows} x {columns}, "
        f"windows of {height} x {width}",
        "time": f"about {duration(plan.seconds)}",
        "memory": f"about {plan.memory / 1e9:.1f} GB",
        "disk": f"at most {plan.disk / 1e9:.2f} GB, much less when compressed{scratch}; "
        f"{plan.free_disk / 1e9:.1f} GB are free",
        "warnings": "\n".join(plan.warnings) or "none",
    }
    return facts_table(f"What segment would do with {plan.info.name}", facts)


def duration(seconds: float) -> str:
    """Write a time for people.

    >>> duration(5.4), duration(200), duration(9000)
    ('5 s', '3 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
