"""Pages as people get them: whole runs of `segment`, and the page in a browser."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
import skimage.measure
import tifffile
from browser import visit

from unetkit import segment
from unetkit.cli import main
from unetkit.foundation.errors import ConfigError, ImageError, OutputError, UnetkitError
from unetkit.inference.overview import page as page_module
from unetkit.inference.run.image import ImageRun
from unetkit.inference.segment import SegmentRun
from unetkit.io.files import read_notes
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.spec import ModelSpec

FAST = {"backend": "torch", "tile": 64}
SIZE = (60, 80)


def write_labels(folder: Path, results: Path, counts: list[int], **tiff: Any) -> None:
    """Write images and results, as an earlier run would have left them: rows of squares of 16 pixels."""
    folder.mkdir(), results.mkdir()
    for i, count in enumerate(counts):
        labels = np.zeros(SIZE, np.uint16)
        for k in range(count):
            row, column = divmod(k, 13)
            labels[row * 6 + 1 : row * 6 + 5, column * 6 + 1 : column * 6 + 5] = k + 1
        noise = np.random.default_rng(i).integers(0, 40, SIZE)
        tifffile.imwrite(folder / f"cells{i}.tif", (noise + 150 * (labels > 0)).astype(np.uint8), **tiff)
        tifffile.imwrite(results / f"cells{i}.tif", labels)


MICRON = {"resolution": (20000, 20000), "resolutionunit": "CENTIMETER"}  # pixels of 0.5 µm

STACK = {"metadata": {"axes": "ZYX"}, "photometric": "minisblack"}

COUNTS = [10, 11, 12, 10, 11, 12, 10, 11, 100, 10]


@pytest.fixture
def report(tmp_path: Path, tiny_model: Path) -> Path:
    """The page of ten images that were segmented before; one has many more objects than the others."""
    write_labels(tmp_path / "images", tmp_path / "out", COUNTS, **MICRON)
    page = tmp_path / "out" / "page.html"
    segment(tmp_path / "images", tmp_path / "out", tiny_model, output="labels", resume=True, report=str(page), **FAST)
    return page


def test_the_page_in_a_browser(report: Path) -> None:
    with visit(report) as seen:
        page = seen.page
        cards = page.locator("figure.card")
        assert cards.count() == len(COUNTS)
        assert page.locator("tbody tr").count() == len(COUNTS)
        facts = page.locator(".facts").inner_text()
        assert str(sum(COUNTS)) in facts
        assert "4 µm²" in facts  # 16 pixels of 0.25 µm²
        assert "100" in cards.nth(8).inner_text()
        assert f"{100 / (60 * 80 * 0.25e-6):,.0f} /mm²" in cards.nth(8).inner_text()
        assert page.locator(".card .mark").count() == 1
        page.get_by_role("button", name="count").click()
        assert "cells8.tif" in cards.first.inner_text()
        assert page.locator("tbody tr").first.get_attribute("id") == "r8"
        page.get_by_role("button", name="count").click()
        assert [cards.nth(i).get_attribute("data-count") for i in (0, 9)] == ["10", "100"]
        page.get_by_role("button", name="name").click()
        assert "cells0.tif" in cards.first.inner_text()
        above = page.locator(".shot img").nth(1)
        assert above.is_visible()
        page.get_by_label("show what was found").uncheck()
        assert not above.is_visible()
        assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
        link = page.get_by_role("link", name="cells3.tif").first.get_attribute("href")
        assert (report.parent / link).is_file()
        dark = []
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            dark.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert dark[0] != dark[1]
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert seen.messages == []
    assert seen.blocked == []
    assert [url for url in seen.requests if not url.startswith(("file:", "data:"))] == []


def test_outlines_lie_on_the_objects(report: Path) -> None:
    with visit(report) as seen:
        found = seen.page.evaluate(
            """() => { const image = document.querySelectorAll(".shot img")[1];
            const canvas = document.createElement("canvas");
            canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
            const context = canvas.getContext("2d"); context.drawImage(image, 0, 0);
            return [...context.getImageData(0, 0, canvas.width, canvas.height).data]; }"""
        )
    cover = np.array(found, np.uint8).reshape(*SIZE, 4)[..., 3]
    labels = tifffile.imread(report.parent / "cells0.tif")
    near = skimage.morphology.dilation(labels > 0, np.ones((3, 3)))
    assert (cover > 0).any()
    assert not (cover > 0)[~near].any()


def test_a_run_that_is_stopped_leaves_a_page_that_says_how_to_go_on(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_labels(tmp_path / "images", tmp_path / "none", [3, 4, 5])
    page, out = tmp_path / "page.html", tmp_path / "out"
    original = ImageRun.segment

    def stop_at_the_third(self: ImageRun, job: Any, *rest: Any) -> Any:
        if job.image.name == "cells2.tif":
            raise KeyboardInterrupt
        return original(self, job, *rest)

    monkeypatch.setattr(ImageRun, "segment", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        segment(tmp_path / "images", out, tiny_model, report=page, **FAST)
    text = page.read_text(encoding="utf-8")
    assert "This run ended when 2 of 3 images were done" in text
    assert re.search(r"unetkit segment \S+images \S+out .*--report \S+page\.html --resume", text)
    monkeypatch.undo()
    command = unescape(re.findall(r"<pre>(unetkit segment .*--resume)</pre>", text)[0])
    assert main(shlex.split(command)[1:]) == 0  # as the page says
    assert page.read_text(encoding="utf-8").count("<figure class") == 3
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("page.html.")]


def test_what_failed_is_listed_and_a_page_without_images_is_not_written(tmp_path: Path, tiny_model: Path) -> None:
    write_labels(tmp_path / "images", tmp_path / "none", [3, 4])
    (tmp_path / "images" / "bad<b>.tif").write_bytes(b"II*\0 and no more")
    with pytest.raises(ImageError, match="1 of 3"):
        segment(tmp_path / "images", tmp_path / "out", tiny_model, report=tmp_path / "page.html", **FAST)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "1 image failed" in text
    assert "bad&lt;b&gt;.tif" in text
    assert "2 of 3" in text
    with pytest.raises(UnetkitError):
        segment(tmp_path / "images/bad<b>.tif", tmp_path / "o.tif", tiny_model, report=tmp_path / "none.html", **FAST)
    assert not (tmp_path / "none.html").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("page.txt", "is no page"),
        ("page", "is no page"),
        ("there.html", "exists"),
        ("folder.html", "is a folder"),
        ("no/such/page.html", "does not exist"),
    ],
)
def test_a_page_that_cannot_be_written_is_refused_before_any_work(
    name: str, words: str, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_labels(tmp_path / "images", tmp_path / "none", [3])
    (tmp_path / "there.html").write_text("mine")
    (tmp_path / "folder.html").mkdir()
    monkeypatch.setattr(SegmentRun, "run", lambda *_: pytest.fail("it began"))
    with pytest.raises(OutputError, match=words):
        segment(tmp_path / "images", tmp_path / "out", tiny_model, report=tmp_path / name)
    assert (tmp_path / "there.html").read_text() == "mine"


def test_a_page_is_replaced_with_overwrite_and_lies_in_a_folder_that_is_made(tmp_path: Path, tiny_model: Path) -> None:
    write_labels(tmp_path / "images", tmp_path / "none", [3])
    place = tmp_path / "deep" / "out" / "page.html"
    for overwrite in (False, True):
        segment(tmp_path / "images", place.parent, tiny_model, report=place, overwrite=overwrite, **FAST)
    assert "cells0.tif" in place.read_text(encoding="utf-8")


def test_the_page_changes_no_byte_of_the_results(tmp_path: Path, tiny_model: Path) -> None:
    write_labels(tmp_path / "images", tmp_path / "none", [9])
    image, given = tmp_path / "images/cells0.tif", {"output": "labels", **FAST}
    (done,) = segment(image, tmp_path / "a.tif", tiny_model, **given)
    (shown,) = segment(image, tmp_path / "b.tif", tiny_model, report=tmp_path / "page.html", **given)
    assert read_notes(done.result) == read_notes(shown.result)
    np.testing.assert_array_equal(tifffile.imread(done.result), tifffile.imread(shown.result))


def test_what_is_logged_of_an_image_is_shown_and_also_by_a_run_that_finds_it_done(tmp_path: Path) -> None:
    write_labels(tmp_path / "images", tmp_path / "none", [9], **MICRON)
    model = tiny(tmp_path / "m.safetensors", pixel_size_um=(2.0, 2.0))
    pages = []
    for resume in (False, True):
        page = tmp_path / f"{resume}.html"
        (done,) = segment(
            tmp_path / "images", tmp_path / "out", model, output="mask", report=page, resume=resume, **FAST
        )
        pages.append(page.read_text(encoding="utf-8"))
        assert bool(done.remarks) == (not resume)
    for text in pages:
        (remark,) = re.findall(r'<p class="note">(.*?)</p>', text)
        assert unescape(remark).startswith("It does not look like the training images. ")
        assert "0.5 x 0.5" in remark


def test_a_result_of_another_command_is_said_to_be_none_and_the_others_are_shown(
    tmp_path: Path, tiny_model: Path
) -> None:
    write_labels(tmp_path / "images", tmp_path / "out", [3, 4])
    tifffile.imwrite(tmp_path / "out/cells1.tif", np.zeros(SIZE, np.float32))
    page = tmp_path / "page.html"
    segment(tmp_path / "images", tmp_path / "out", tiny_model, output="labels", resume=True, report=page, **FAST)
    text = page.read_text(encoding="utf-8")
    assert "cells1.tif does not hold the labels of its image" in text
    assert text.count("<figure class") == 1
    assert text.count("<tr id") == 2
    assert "<b>3</b>objects" in text


def test_a_full_disk_keeps_the_results_and_no_part_of_the_page(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_labels(tmp_path / "images", tmp_path / "none", [3])

    def no_space(self: Path, *_: Any, **__: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", no_space)
    with pytest.raises(OutputError, match="No space left"):
        segment(tmp_path / "images", tmp_path / "out", tiny_model, report=tmp_path / "page.html", **FAST)
    assert (tmp_path / "out" / "cells0.tif").is_file()
    assert not list(tmp_path.glob("page.html*"))


def test_an_output_without_anything_found_has_no_page(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="report has no meaning for the output 'restored'"):
        segment(tmp_path, tmp_path, output="restored", report="page.html")


def test_names_are_shown_and_linked_as_they_are(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["- a.tif", "b\udce4r.tif", "[red]<i>.tif", "#x?y&.tif", "javascript:alert(1).tif", "%20.tif"]
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name in names:
        tifffile.imwrite("image.tmp", np.random.default_rng(0).integers(0, 255, (48, 64), np.uint8))
        Path("image.tmp").rename(f"./in/{name}")
    words = ["--model", str(tiny_model), "--backend", "torch", "--tile", "48", "--report=-out/page.html"]
    assert main(["segment", *words, "--", "in", "-out"]) == 0
    with visit(tmp_path / "-out/page.html") as seen:
        shown = seen.page.locator("h3").all_inner_texts()
        assert shown == sorted(name.encode("utf-8", "backslashreplace").decode() for name in names)
        assert seen.page.locator("h3 i").count() == 0
        links = seen.page.locator(".card a").evaluate_all("all => all.map(one => one.getAttribute('href'))")
        assert sorted(os.fsdecode(unquote_to_bytes(link)) for link in links) == sorted(names)
        targets = seen.page.locator(".card a").evaluate_all("all => all.map(one => one.href)")
        assert all(target.startswith(f"{(tmp_path / '-out').as_uri()}/") for target in targets)
        assert "--report=-out/page.html -- in -out" in seen.page.locator("pre").last.inner_text()


def tiny(path: Path, **values: Any) -> Path:
    spec = ModelSpec("resnet18", depth=3, decoder_channels=(8, 8, 8), halo=8, **values)
    save_model(Segmenter(spec).eval(), path)
    return path


@pytest.mark.parametrize(
    ("output", "spec", "words"),
    [
        ("mask", {}, ["regions"]),
        ("probabilities", {}, ["mean"]),
        ("uncertainty", {}, ["mean"]),
        ("mask", {"classes": 3, "class_names": ("none", "big", "small")}, ["big", "small", "not counted in a mask"]),
        ("labels", {"classes": 3, "class_names": ("none", "big", "small")}, ["objects", "big"]),
        ("probabilities", {"classes": 3}, ["class 1", "class 2"]),
        ("attention", {"image_classes": ("cat", "dog"), "image_size": 64}, ["mean"]),
        ("classes", {"image_classes": ("cat", "dog"), "image_size": 64}, ["predicted", "dog"]),
    ],
)
def test_every_output_has_a_page(output: str, spec: dict[str, Any], words: list[str], tmp_path: Path) -> None:
    write_labels(tmp_path / "images", tmp_path / "none", [3, 40])
    model = tiny(tmp_path / "m.safetensors", **spec)
    result = tmp_path / ("out.csv" if output == "classes" else "out")
    segment(tmp_path / "images", result, model, output=output, report=tmp_path / "page.html", device="cpu", **FAST)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count("<figure class") == text.count("<tr id") == 2
    for word in words:
        assert word in text


def test_planes_are_counted_together_and_the_middle_one_is_shown(tmp_path: Path, tiny_model: Path) -> None:
    labels = np.zeros((3, *SIZE), np.uint16)
    for plane in range(3):
        labels[plane, 4 : 10 + plane, 4:10] = plane + 1
    tifffile.imwrite(tmp_path / "in.tif", labels.astype(np.uint8) * 50, **STACK)
    tifffile.imwrite(tmp_path / "out.tif", labels, **STACK)
    segment(
        tmp_path / "in.tif",
        tmp_path / "out.tif",
        tiny_model,
        output="labels",
        resume=True,
        report=tmp_path / "page.html",
    )
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "3 planes: plane 1 (from 0) is shown, numbers are of all" in text
    assert "<b>3</b>objects" in text
    assert "<b>42 pixels</b>median area" in text


def test_a_large_image_is_shown_in_fields_too(tmp_path: Path, tiny_model: Path) -> None:
    labels = np.zeros((2600, 2700), np.uint16)
    labels[2000:2030, 2100:2130] = 1
    tifffile.imwrite(tmp_path / "in.tif", (labels * 200).astype(np.uint8), compression="deflate", rowsperstrip=256)
    tifffile.imwrite(tmp_path / "out.tif", labels, compression="deflate", rowsperstrip=256)
    given = {"output": "labels", "resume": True, "report": tmp_path / "page.html"}
    segment(tmp_path / "in.tif", tmp_path / "out.tif", tiny_model, **given)  # type: ignore[arg-type]
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    place = re.search(r"Densest \(y ([\d,]+), x ([\d,]+)\)", text)
    assert place is not None
    top, left = (int(part.replace(",", "")) for part in place.groups())
    assert top <= 2000 <= top + 482
    assert left <= 2100 <= left + 482


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> list[page_module.Collected]:
    """What runs have collected."""
    every: list[page_module.Collected] = []
    original = page_module.Collected.write

    def note(self: page_module.Collected, *given: Any, **more: Any) -> bool:
        every.append(self)
        return original(self, *given, **more)

    monkeypatch.setattr(page_module.Collected, "write", note)
    return every


def test_of_very_many_images_some_are_pictures_and_all_are_in_the_table(
    report: Path, tmp_path: Path, tiny_model: Path, collected: list[page_module.Collected]
) -> None:
    segment(tmp_path / "images", report.parent, tiny_model, output="labels", resume=True, report=report, **FAST)
    (one,) = collected
    shown = one._shown
    one._shown = [replace(shown[8 if i == 777 else i % 8]) for i in range(3000)]
    assert one.write(report)
    text = report.read_text(encoding="utf-8")
    assert text.count("<figure class") == page_module.MOST_PICTURES
    assert text.count("<tr id") == 3000
    assert 'id="i777"' in text  # the one that differs
    assert "400 of 3,000 images are shown as pictures" in text
    assert len(text) < 8e6
