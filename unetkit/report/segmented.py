"""The summary of `segment`, and the preview of what it would do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.table import Table

from unetkit.foundation import shell
from unetkit.foundation.words import count, duration
from unetkit.inference.preview import Preview
from unetkit.inference.run.classify import describe_classes
from unetkit.inference.run.command import given_fields, option_words
from unetkit.inference.run.outcome import SegmentOutcome
from unetkit.io.base.read_options import WHOLE, ReadOptions
from unetkit.report.info import describe_image, facts_table

LISTED_IMAGES = 10
"""Most images whose classes are listed one by one."""

LISTED_TILES = 10
"""Most bad tiles that are listed one by one."""


def summarize(
    done: Sequence[SegmentOutcome], result: Path, reading: ReadOptions = WHOLE, seconds: float | None = None
) -> Iterator[str]:
    """Yield the lines that are printed when all is done.

    Args:
        done: What was done with each image.
        result: The output, or the folder of the outputs.
        reading: How the images were read.
        seconds: Time that all images took together; None where one was done after the other.
    """
    if any(item.predicted for item in done):
        yield from _summarize_classes(done, result)
        return
    new = [item for item in done if item.pixels]
    pixels, kept = (sum(getattr(item, name) for item in new) for name in ("pixels", "kept"))
    seconds = sum(item.seconds for item in new) if seconds is None else seconds
    there = len(done) - len(new)
    if not new:
        yield f"{result}: {'all images were' if there > 1 else 'it was'} segmented already, nothing is left to do."
        return
    parts = [] if len(done) == 1 else [count(len(done), "image")]
    parts += [f"{there} of them segmented already"] if there else []
    parts += [f"{_megapixels(pixels)} in {duration(seconds)} ({(pixels - kept) / 1e6 / max(seconds, 1e-9):.2f} Mpx/s)"]
    parts += [f"{_megapixels(kept)} of them from the run before"] if kept else []
    yield f"{result}: {', '.join(parts)}."
    yield from dict.fromkeys(f"How: {item.plan}." for item in new)
    written = dict.fromkeys(path if len(done) == 1 else path.parent for item in new for path in item.files)
    if written:
        yield f"Written of each object: {'' if len(done) == 1 else 'files in '}{', '.join(map(str, written))}."
    for item in new:
        name = "" if len(done) == 1 else f"{item.image.name}: "
        yield from (name + text for text in _details(item))
    if len(done) == 1:
        yield f"Look at it: {_look_command(new[0], reading)}"


def _look_command(item: SegmentOutcome, reading: ReadOptions) -> str:
    """Return the command that shows a result over its image, read as it was for the model.

    >>> _look_command(SegmentOutcome(Path("a.tif"), Path("my mask.tif"), 9), ReadOptions(region="0,0,3,3"))
    "unetkit view a.tif 'my mask.tif' --region 0,0,3,3"
    """
    return shell.join(["unetkit", "view", str(item.image), str(item.result), *option_words(given_fields(reading))])


def _summarize_classes(done: Sequence[SegmentOutcome], result: Path) -> Iterator[str]:
    """Yield the lines that are printed when a table of image classes is written: the first images, and how many."""
    for item in done[:LISTED_IMAGES]:
        yield f"{item.image.name}: {describe_classes(item.image_classes)}, predicted {item.predicted}"
    yield f"{result}: {count(len(done), 'image')}."


def _details(item: SegmentOutcome) -> Iterator[str]:
    """Yield the sentences on one image."""
    if item.objects is not None:
        left_out = describe_left_out(item.min_size, item.min_confidence)
        where = f" in {item.planes:,} planes, numbered on from plane to plane" if item.planes > 1 else ""
        yield f"{count(item.objects, 'object')}{where}{left_out and ', without those of '}{left_out}."
    if item.zoom != 1:
        yield f"Seen {item.zoom:g} x as large by the model (--zoom)."
    if item.image_classes:
        yield f"Image class: {describe_classes(item.image_classes)}."
    if item.skipped:
        yield f"{item.skipped:,} of {count(item.tiles, 'tile')} skipped as empty: see {item.picture}."
    if item.bad_tiles:
        places = [
            f"y {bad.start[0]}, x {bad.start[1]} ({bad.size[0]} x {bad.size[1]})"
            + (f" of plane {bad.item}" if len({bad.item for bad in item.bad_tiles} | {0}) > 1 else "")
            for bad in item.bad_tiles[:LISTED_TILES]
        ]
        more = f"; and {len(item.bad_tiles) - LISTED_TILES:,} more" if len(item.bad_tiles) > LISTED_TILES else ""
        parts = count(len(item.bad_tiles), "part")
        yield f"{parts} of the image could not be decoded, background in the result: {'; '.join(places)}{more}."
    if item.seams is not None:
        yield item.seams.summary()


def describe_preview(plan: Preview) -> Table:
    """Return a table of what `segment` would do."""
    facts = describe_image(plan.info)
    tiles, window = (
        " x ".join(map(str, numbers)) for numbers in ((len(spans) for spans in plan.grid.spans), plan.grid.window)
    )
    left_out = describe_left_out(plan.min_size or 0, plan.min_confidence)
    scratch = f", and {plan.scratch / 1e9:.2f} GB of temporary files" if plan.scratch else ""
    facts |= {
        **({} if plan.zoom == 1 else {"zoom": f"seen {plan.zoom:g} x as large as it is (--zoom)"}),
        "images": f"{plan.images:,}" + (", like this one as far as time and disk go" if plan.images > 1 else ""),
        "plan": str(plan.plan),
        "tiles": f"{len(plan.grid) * plan.info.planes:,}: {count(plan.info.planes, 'plane')} of {tiles}, "
        f"windows of {window}",
        "time": f"about {duration(plan.seconds)}",
        "memory": f"about {plan.memory / 1e9:.1f} GB",
        "disk": f"at most {plan.disk / 1e9:.2f} GB, much less when compressed{scratch}; "
        f"{plan.free_disk / 1e9:.1f} GB are free",
        **({} if plan.min_size is None else {"left out": left_out or "no object"}),
        "warnings": "\n".join(plan.warnings) or "none",
    }
    return facts_table(f"What segment would do with {plan.info.name}", facts)


def describe_left_out(pixels: int, confidence: float | None) -> str:
    """Return which objects are left out of labels; "" if none are.

    >>> describe_left_out(21, None), describe_left_out(0, 0.5), describe_left_out(0, 0)
    ('fewer than 21 pixels (--min-size)', 'confidence below 0.5 (--min-confidence)', '')
    >>> describe_left_out(21, 0.5)
    'fewer than 21 pixels (--min-size) or confidence below 0.5 (--min-confidence)'
    """
    small = f"fewer than {pixels} pixels (--min-size)" if pixels else ""
    unsure = f"confidence below {confidence:g} (--min-confidence)" if confidence else ""
    return " or ".join(filter(None, (small, unsure)))


def _megapixels(pixels: int) -> str:
    """Write a number of pixels; with two digits at least, so that a small image is not nothing."""
    return f"{pixels / 1e6:.1f} Mpx" if pixels >= 1e6 else f"{pixels / 1e6:.2g} Mpx"
