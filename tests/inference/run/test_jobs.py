from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from unetkit.foundation.atomic import make_folder
from unetkit.foundation.errors import ImageError, OutputError
from unetkit.inference.run.jobs import Job, plan_jobs

FILES = ("one.tif", "slides/a.tif", "slides/b.ome.tif", "slides/notes.txt", "slides/deep/c.png", "slides/.hidden.tif")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with images, and with an image that is a folder."""
    for name in (*FILES, "slides/z.zarr/0/0.tif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pairs(images: Any, result: str = "out", **options: Any) -> list[tuple[str, str]]:
    return [(job.image.as_posix(), job.result.as_posix()) for job in plan_jobs(images, Path(result), **options)]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("image", ["one.tif", Path("one.tif"), ["one.tif"], "slides/z.zarr"])
def test_a_single_image_goes_to_the_named_file(image: Any) -> None:
    name = image[0] if isinstance(image, list) else str(image)
    assert pairs(image, "mask.png") == [(name, "mask.png")]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("images", "found"),
    [
        ("slides/*.tif", ["slides/a.tif", "slides/b.ome.tif"]),
        (["slides/*.tif", "one.tif"], ["slides/a.tif", "slides/b.ome.tif", "one.tif"]),
        (["one.tif", "./one.tif", "o*.tif"], ["one.tif"]),
        ("**/*.png", ["slides/deep/c.png"]),
        (Path("slides/**/[bc].*"), ["slides/b.ome.tif", "slides/deep/c.png"]),
        ("slides/*", ["slides/a.tif", "slides/b.ome.tif", "slides/z.zarr"]),
        (["slides/deep", "slides/a.tif"], ["slides/deep/c.png", "slides/a.tif"]),
        ("slides/**/*.tif", ["slides/a.tif", "slides/b.ome.tif"]),
    ],
)
def test_folders_patterns_and_several_files_go_to_a_folder(images: Any, found: list[str]) -> None:
    planned = pairs(images)
    assert [image for image, _ in planned] == found
    assert all(target == f"out/{Path(image).name.split('.')[0]}.tif" for image, target in planned)


@pytest.mark.usefixtures("here")
def test_a_folder_gives_its_images_without_those_below() -> None:
    assert [pair for pair in pairs("slides", suffix=".png") if "zarr" not in pair[0]] == [
        ("slides/a.tif", "out/a.png"),
        ("slides/b.ome.tif", "out/b.png"),
    ]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(here: Path) -> None:
    (here / "scan[1].tif").write_text("scan")
    (here / "scan1.tif").write_text("another")
    assert pairs("scan[1].tif", "mask.tif") == [("scan[1].tif", "mask.tif")]
    assert pairs(["scan[1].tif", "one.tif"]) == [("scan[1].tif", "out/scan[1].tif"), ("one.tif", "out/one.tif")]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("slides/*.svs", r"No images match slides/\*\.svs\."),
        ("slides/*.txt", r"No images match slides/\*\.txt.*images are files with \.tif"),
        (["one.tif", "no.tif"], r"The image no\.tif does not exist"),
        ("no.tif", r"The image no\.tif does not exist"),
        ([], "No images are named"),
    ],
)
def test_nothing_to_segment(images: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        plan_jobs(images, Path("out"))


def test_an_input_is_never_an_output(here: Path) -> None:
    for images, result, message in (
        ("slides", "slides/../slides", "folder of the inputs"),
        (["one.tif", "slides/a.tif"], "slides", "folder of the inputs"),
        ("slides/*.tif", str(here / "slides"), "folder of the inputs"),
        ("slides/a.tif", "slides/../slides/a.tif", "the input itself"),
        (["one.tif", "slides/a.tif"], "slides/deep/c.png", "is a file, but it is for 2 images"),
        ("slides", "one.tif", "is a file, but slides is a folder"),
        ("slides", "out.zarr", "is a file, but slides is a folder"),
        (["one.tif", "slides/a.tif"], "more.tif", "is a file, but it is for 2 images"),
    ):
        for options in ({}, {"overwrite": True}, {"resume": True}):
            with pytest.raises(OutputError, match=message):
                plan_jobs(images, Path(result), **options)


def test_inputs_that_would_share_an_output_are_an_error(here: Path) -> None:
    (here / "slides/deep/a.tiff").write_text("another a")
    with pytest.raises(OutputError, match=r"Several inputs would be written to out/a\.tif"):
        plan_jobs("slides/**/a.*", Path("out"), overwrite=True)


def test_existing_outputs_are_an_error_or_replaced_or_done(here: Path) -> None:
    (here / "out").mkdir()
    (here / "out/b.tif").write_text("precious")
    with pytest.raises(OutputError, match=r"1 of 2 outputs exist already, for example out/b\.tif"):
        plan_jobs("slides/*.tif", Path("out"))

    def done(**options: bool) -> list[bool]:
        return [job.done for job in plan_jobs("slides/*.tif", Path("out"), **options)]

    assert done(resume=True) == [False, True]
    assert done(overwrite=True) == done(overwrite=True, resume=True) == [False, False]


def test_an_existing_output_of_a_single_image_is_done_when_resuming(here: Path) -> None:
    (here / "mask.tif").write_text("mask")
    image, mask = Path("one.tif"), Path("mask.tif")
    assert plan_jobs(image, mask, resume=True) == [Job(image, mask, done=True)]
    assert plan_jobs(image, mask, resume=True, overwrite=True) == [Job(image, mask)]
    assert plan_jobs(image, Path("other.tif"), resume=True) == [Job(image, Path("other.tif"))]


def test_nothing_is_made_before_it_is_asked_for(here: Path) -> None:
    plan_jobs("slides", Path("deep/out"))
    assert not (here / "deep").exists()
    make_folder(Path("deep/out"))
    make_folder(Path("deep/out"))
    with pytest.raises(OutputError, match="cannot be made"):
        make_folder(Path("one.tif/out"))
