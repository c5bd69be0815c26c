from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from unetkit.inference.run.outcome import SegmentOutcome
from unetkit.io.base.contracts import BadTile
from unetkit.io.base.read_options import ReadOptions
from unetkit.report.segmented import summarize

ONE = SegmentOutcome(Path("a.tif"), Path("out/a.tif"), 4_000_000, seconds=2.0, plan="torch in fp32", tiles=9)


def said(*done: SegmentOutcome) -> list[str]:
    return list(summarize(done, Path("out")))


def test_one_image_takes_three_lines_and_the_last_one_shows_it() -> None:
    assert said(ONE) == [
        "out: 4.0 Mpx in 2.0 s (2.00 Mpx/s).",
        "How: torch in fp32.",
        "Look at it: unetkit view a.tif out/a.tif",
    ]


def test_the_command_that_shows_it_reads_the_image_as_it_was_read() -> None:
    reading = ReadOptions(region="0,0,90,90", channels="0,2", stain="dab")
    *_, last = summarize([replace(ONE, image=Path("my slide.tif"))], Path("out"), reading)
    assert last == ("Look at it: unetkit view 'my slide.tif' out/a.tif --channels 0,2 --stain dab --region 0,0,90,90")


def test_images_that_were_done_at_a_time_share_their_time() -> None:
    first, *_ = summarize([ONE, replace(ONE, image=Path("b.tif"))], Path("out"), seconds=2.0)
    assert f"{2 * ONE.pixels / 1e6 / 2:.2f} Mpx/s" in first


def test_a_resumed_run_does_not_count_what_was_there_as_its_own_speed() -> None:
    assert said(replace(ONE, kept=3_000_000))[0] == (
        "out: 4.0 Mpx in 2.0 s (0.50 Mpx/s), 3.0 Mpx of them from the run before."
    )


def test_several_images_share_a_plan_and_name_what_is_their_own() -> None:
    there = SegmentOutcome(Path("b.tif"), Path("out/b.tif"), 0)
    bad = tuple(BadTile(0, (64 * i, 0), (64, 64)) for i in range(12))
    lines = said(replace(ONE, objects=1), there, replace(ONE, image=Path("c.tif"), bad_tiles=bad))
    assert lines[:2] == [
        "out: 3 images, 1 of them segmented already, 8.0 Mpx in 4.0 s (2.00 Mpx/s).",
        "How: torch in fp32.",
    ]
    assert lines[2] == "a.tif: 1 object."
    assert lines[3].startswith("c.tif: 12 parts of the image could not be decoded, background in the result: y 0, x 0 ")
    assert lines[3].endswith("; and 2 more.")


def test_the_objects_of_a_stack_are_counted_in_all_planes() -> None:
    assert said(replace(ONE, objects=1200, planes=3))[2] == (
        "1,200 objects in 3 planes, numbered on from plane to plane."
    )


def test_what_was_there_already_is_not_timed() -> None:
    there = SegmentOutcome(Path("b.tif"), Path("out/b.tif"), 0)
    assert said(there) == ["out: it was segmented already, nothing is left to do."]
    assert said(there, there) == ["out: all images were segmented already, nothing is left to do."]
