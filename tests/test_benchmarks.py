"""The scripts of benchmarks/ measure what they say. No time is tested."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from unetkit import load_model
from unetkit.foundation.synthetic import make_cells, write_dataset
from unetkit.models.model_file import read_spec
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.spec import ModelSpec

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def beside_the_scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A script finds the modules beside it, and may set the number of threads."""
    before, threads = set(sys.modules), torch.get_num_threads()
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    torch.set_num_threads(threads)
    mine = {
        "ablations",
        "annotations",
        "choosing",
        "cluster",
        "encoders",
        "errors",
        "few_images",
        "few_sections",
        "first_batch",
        "first_hour",
        "instances",
        "measuring",
        "memory",
        "microscopes",
        "nuclei",
        "objects",
        "ours",
        "outline_peers",
        "peers",
        "pretraining",
        "scheduling",
        "scribbles",
        "simulated",
        "smallest_object",
        "tiled",
        "training",
        "volumes_em",
    }
    for name in mine & (sys.modules.keys() - before):
        del sys.modules[name]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A grey image of 544 x 600 pixels."""
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, make_cells(544, 600, seed=0)[0], tile=(256, 256), compression="zlib")
    return path


# Measuring


@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize("rows", [None, 16])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_large_file_repeats_its_patch(
    tmp_path: Path, channels: tuple[int, ...], rows: int | None, compression: Any
) -> None:
    from measuring import write_repeated

    patch = np.random.default_rng(0).integers(0, 999, (512, 1024, *channels)).astype(np.uint16)
    write_repeated(tmp_path / "large.tif", patch, 1536, compression=compression, rows_per_strip=rows)
    expected = np.tile(patch, (3, 2, *(1 for _ in channels)))[:, :1536]
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "large.tif"), expected)
    with tifffile.TiffFile(tmp_path / "large.tif") as file:
        page = file.pages.first
        assert (page.is_tiled, page.rowsperstrip) == ((True, 0) if rows is None else (False, 16))
        assert page.compression.name == ("NONE" if compression is None else "ADOBE_DEFLATE")


def child(code: str) -> list[str]:
    return [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(FOLDER)!r})\n{code}"]


def test_the_peak_of_a_process_is_its_own_and_not_that_of_the_one_that_started_it() -> None:
    from measuring import measure_process, peak_memory

    held = np.ones(400 * 2**20, np.uint8)
    small = measure_process(child("from measuring import report; report({'said': 'done'})"))
    assert small["said"] == "done"
    assert small["peak_rss"] < peak_memory() - held.nbytes / 2
    large = measure_process(
        child("import numpy, measuring; x = numpy.ones(300 * 2**20, 'u1'); del x; measuring.report({})")
    )
    assert 290 * 2**20 < large["peak_rss"] - small["peak_rss"] < 320 * 2**20


@pytest.mark.parametrize(
    ("code", "said"),
    [("raise MemoryError('too much')", "MemoryError: too much"), ("sys.exit(3)", "ended with 3 and no message")],
)
def test_a_process_that_fails_says_why(code: str, said: str) -> None:
    from measuring import measure_process

    assert measure_process(child(code)) == {"error": said}


# Settings and masks


def test_a_setting_is_read_named_and_passed_on() -> None:
    from ours import Setting

    setting = Setting.parse("backend=torch,tile=1024,halo=64")
    assert setting.name == "unetkit torch tile 1024 halo 64"
    assert setting.options() == {"backend": "torch", "tile": 1024, "halo": 64}
    assert (Setting.parse("").name, Setting().options()) == ("unetkit", {})
    with pytest.raises(SystemExit, match="there is no tiles"):
        Setting.parse("tiles=512")


def test_masks_are_compared_pixel_by_pixel(tmp_path: Path) -> None:
    from tiled import compare

    mask = np.zeros((2100, 700), np.uint8)
    mask[:1500, :100] = 255
    other = np.roll(mask, 50, 1)
    for name, pixels in (("a.tif", mask), ("b.tif", other)):
        tifffile.imwrite(tmp_path / name, pixels)
    differs, dice = compare(tmp_path / "a.tif", tmp_path / "b.tif")
    assert differs == pytest.approx(100 * 1500 / mask.size)
    assert dice == 0.5


@pytest.mark.parametrize("peer", ["monai", "pytorch_toolbelt"])
def test_the_peers_give_nearly_the_mask_of_a_pass_over_the_whole_image(
    tiny_model: Path, image: Path, tmp_path: Path, peer: str
) -> None:
    pytest.importorskip(peer)
    import peers

    torch.set_num_threads(1)

    job = peers.Job(image, load_model(tiny_model), torch.device("cpu"), "fp32")
    assert "whole" in peers.reference(job)(tmp_path / "whole.tif")
    run = peers.monai(job, 2) if peer == "monai" else peers.toolbelt(job, 2)
    run(tmp_path / "mask.tif")
    whole, mask = (tifffile.imread(tmp_path / name) for name in ("whole.tif", "mask.tif"))
    assert mask.shape == whole.shape == (544, 600)
    assert set(np.unique(mask)) == {0, 255}
    assert np.mean(mask[128:-128, 128:-128] != whole[128:-128, 128:-128]) < 0.01  # pytorch-toolbelt adds black borders


def test_the_reference_falls_back_to_a_large_halo(
    tiny_model: Path, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import peers

    torch.set_num_threads(1)
    job = peers.Job(image, load_model(tiny_model), torch.device("cpu"), "fp32")
    peers.reference(job)(tmp_path / "whole.tif")
    monkeypatch.setattr(peers, "available_memory", lambda: 10**8)
    monkeypatch.setattr(peers, "REFERENCE_TILE", 512)
    monkeypatch.setattr(peers, "REFERENCE_HALO", 128)
    assert peers.reference(job)(tmp_path / "tiled.tif") == "tiles of 512 with a halo of 128"
    assert np.mean(tifffile.imread(tmp_path / "whole.tif") != tifffile.imread(tmp_path / "tiled.tif")) < 1e-3


def test_a_network_that_costs_nothing_is_a_threshold(tmp_path: Path) -> None:
    from ours import CEILING_INPUTS, Setting, free_segmenter, segment_file

    patch = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    for kind in CEILING_INPUTS:
        kind.write(tmp_path / "in.tif", patch, 1024)
        segment_file(
            tmp_path / "in.tif",
            tmp_path / "out.tif",
            free_segmenter(ModelSpec(halo=32), kind.channels),
            Setting(),
            torch.device("cpu"),
        )
        pixels = tifffile.imread(tmp_path / "in.tif").reshape(1024, 1024, -1)
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), (pixels[..., 0] > 127) * np.uint8(255))


# From the command line


def test_tiled_inference_is_compared_from_the_command_line(
    tiny_model: Path, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import tiled

    def in_this_process(command: list[str]) -> dict[str, Any]:
        assert command[:2] == [sys.executable, str(FOLDER / "tiled.py")]
        tiled.main(command[2:])
        said = json.loads(capsys.readouterr().out.splitlines()[-1].split(" ", 1)[1])
        assert isinstance(said, dict)
        return said

    monkeypatch.setattr(tiled, "measure_process", in_this_process)
    options = ["--rounds", "1", "--ceiling", "512", "--only", "unetkit", "--only", "unetkit tile*", "--threads", "1"]
    files = ["--model", str(tiny_model), "--mosaic", str(image), "--json", str(tmp_path / "out.json")]
    tiled.main([*files, *options, "--device", "cpu", "--setting", "tile=96,batch=3", "--crop", "200", "--markdown"])
    assert "| unetkit tile 96 batch 3 |" in capsys.readouterr().out
    measured = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert (measured["height"], measured["width"]) == (200, 200)
    reference, *entries = measured["contestants"]
    assert reference["said"] == "one pass over the whole image"
    assert [one["name"] for one in entries] == ["unetkit", "unetkit tile 96 batch 3"]
    assert all(len(one["seconds"]) == len(one["bare_seconds"]) == 1 and one["peak_rss"] > 0 for one in entries)
    assert entries[0]["differs"] == 0
    assert 0 < entries[1]["differs"] < 0.1
    assert [one["halo"] for one in measured["ceiling"]] == [0, read_spec(tiny_model).halo] * 3


def test_memory_is_measured_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import memory

    monkeypatch.setattr(memory, "PATCH", 512)
    monkeypatch.setattr(memory, "measure_start", lambda folder, network: {"network": network, "peak_rss": 10**8})
    out = tmp_path / "out.json"
    options = ["--sizes", "512", "--kinds", "strips", "--no-resnet34", "--memory", "0"]
    memory.main([*options, "--folder", str(tmp_path / "scratch"), "--json", str(out)])
    measured = json.loads(out.read_text(encoding="utf-8"))
    assert 1e8 < measured["by_size"][0]["peak_rss"] < 4e9
    assert not list((tmp_path / "scratch").iterdir())


def test_constants_of_instances_are_compared_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import instances

    write_dataset(tmp_path, 2, 96, seed=0)
    grid = ["--data", str(tmp_path), "--smoothing", "3", "--saddle", "1", "--depth", "0.1,0.9", "--confidence", "0,0.3"]
    instances.main([*grid, "--degrade", "0.5", "--noise", "0.01"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("2 images, ")
    assert len(lines) == 1 + 2 + 2 * 2
    assert "depth 0.1" in lines[-1]
    spec = ModelSpec("resnet18", depth=3, decoder_channels=(32, 16, 8), halo=16, instances=True)
    save_model(
        Segmenter(replace(spec, training={"data": {"val_images": ["cells_001"]}})), tmp_path / "model.safetensors"
    )
    instances.main([*grid, "--model", str(tmp_path / "model.safetensors"), "--val-only", "--threshold", "0.4,0.5"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("1 images, ")
    assert len(lines) == 1 + 2 * (2 + 2 * 2) + 2
    assert sum(line.startswith("cut as the truth is") for line in lines) == 2


def test_errors_are_counted_and_a_choice_of_objects_is_learnt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import choosing
    import errors

    from unetkit.training.segmentation import learning_choice

    write_dataset(tmp_path, 2, 96, seed=0)
    spec = ModelSpec("resnet18", depth=3, decoder_channels=(32, 16, 8), halo=16, instances=True)
    training = {"data": {"val_images": ["cells_001"]}}
    save_model(Segmenter(replace(spec, training=training)), tmp_path / "model.safetensors")
    given = ["--data", str(tmp_path), "--model", str(tmp_path / "model.safetensors")]
    errors.main(given)
    assert "What a perfect answer is worth" in capsys.readouterr().out
    monkeypatch.setattr(learning_choice, "STEPS", 3)
    choosing.main([*given, "--out", str(tmp_path / "chosen.safetensors")])
    assert "chosen: AP@0.5" in capsys.readouterr().out
    assert load_model(tmp_path / "chosen.safetensors").spec.choice is not None


def test_errors_have_reasons() -> None:
    import errors

    truth = np.zeros((20, 40), np.int64)
    predicted = np.zeros_like(truth)
    truth[2:8, 2:8], truth[2:8, 8:14], predicted[2:8, 2:14] = 1, 2, 1  # joined
    truth[2:8, 20:30], predicted[2:8, 20:24], predicted[2:8, 24:28] = 3, 2, 3  # cut
    truth[12:18, 2:8] = 4  # missed
    predicted[12:18, 20:26] = 4  # nothing there
    overlap = errors.Overlap.of(predicted, truth)
    assert overlap.true_reasons(0.7) == ["joined", "joined", "cut", "missed"]
    assert overlap.false_reasons(0.7) == ["joined", "piece", "piece", "nothing there"]


def test_nuclei_are_scored_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import nuclei

    grey, coloured, bright = (make_cells(96, 96, seed=seed) for seed in range(3))
    dark = (grey[0] // 512).astype(np.uint8)
    images = {"grey": dark, "grey_rgb": np.stack([dark] * 3, -1), "bright": 255 - dark}
    images["coloured"] = np.stack([dark, dark, dark // 2], -1)
    truths = {"grey": grey[1], "grey_rgb": grey[1], "coloured": coloured[1], "bright": bright[1]}
    for name, pixels in images.items():
        for folder in ("images", "masks", "predicted"):
            (tmp_path / folder).mkdir(exist_ok=True)
        photometric = "rgb" if pixels.ndim == 3 else "minisblack"
        tifffile.imwrite(tmp_path / "images" / f"{name}.tif", pixels, photometric=photometric)
        tifffile.imwrite(tmp_path / "masks" / f"{name}.tif", truths[name].astype(np.uint16))
        right = truths[name] if name.startswith("grey") else np.roll(truths[name], 48, axis=0)
        tifffile.imwrite(tmp_path / "predicted" / f"{name}.tif", right.astype(np.uint16))
    out = tmp_path / "out.json"
    nuclei.main([str(tmp_path / "predicted"), str(tmp_path), "--json", str(out), "--markdown"])
    assert "| fluorescence, 2 images | 1.000 | 1.000 | 1.000 |" in capsys.readouterr().out
    figures = json.loads(out.read_text(encoding="utf-8"))
    assert figures["fluorescence"]["images"] == 2
    assert set(figures["fluorescence"].values()) - {1.0} == {2, figures["fluorescence"]["objects"]}
    assert (figures["all"]["images"], figures["others"]["images"]) == (4, 2)
    assert 0.4 < figures["all"]["mean_ap50"] < 0.9


def test_nuclei_of_validation_images_are_scored_alone(
    tmp_path: Path, tiny_segmenter: Segmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    import nuclei

    write_dataset(tmp_path / "cells", 4, 96, 0)
    held_out = sorted(path.stem for path in (tmp_path / "cells" / "images").iterdir())[:3]
    tiny_segmenter.spec = replace(tiny_segmenter.spec, training={"data": {"val_images": held_out}})
    save_model(tiny_segmenter, tmp_path / "model.safetensors")
    arguments = [str(tmp_path / "cells" / "masks"), str(tmp_path / "cells")]
    nuclei.main([*arguments, "--validated-by", str(tmp_path / "model.safetensors"), "--markdown"])
    out = capsys.readouterr().out
    assert "| all, 3 images | 1.000 |" in out
    assert "fluorescence" not in out


def test_the_speed_of_training_is_measured_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import training

    monkeypatch.setattr(training, "measure_process", lambda command: {"peak_rss": 10**9, "workers": 10**8})
    write_dataset(tmp_path / "cells", 4, 96, 0)
    small = "--encoder resnet18 --crop 64 --batch 2 --steps 2 --warm-up 1 --rounds 2 --device cpu --markdown"
    files = ["--train", str(tmp_path / "cells"), "--json", str(tmp_path / "out.json")]
    network = ["--model.depth=3", "--model.decoder_channels=[8,8,8]", "--data.workers=1"]
    training.main([*small.split(), *files, "--", *network])
    assert "| fit |" in capsys.readouterr().out
    measured = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["measured"]
    assert [one["name"] for one in measured] == ["fit", "bare loop"]
    assert all(len(one["images_per_second"]) == len(one["processor_seconds"]) == 2 for one in measured)
    assert all(0 < value < 1000 for one in measured for value in one["images_per_second"])
    assert not list(tmp_path.glob("*/runs"))


# Networks


def test_the_networks_are_counted_and_timed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import encoders

    monkeypatch.setattr(encoders, "TILE", 64)
    monkeypatch.setattr(encoders, "CROP", 64)
    monkeypatch.setattr(encoders, "make_spec", lambda name: ModelSpec(name, depth=3, decoder_channels=(8, 8, 8)))
    encoders.main(["--encoders", "resnet18", "--rounds", "1", "--markdown"])
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| resnet18"))
    assert all(float(cell) > 0 for cell in row.strip("| ").split(" | ")[1:])


def test_flops_are_two_for_each_product() -> None:
    import encoders

    down = 18 + 3 * 13.5  # products for each pixel of the input: 9 (1 + 1), 9 (2 + 4) / 4, 9 (8 + 16) / 16, ...
    up = 3 * 2 + 3 * 27 + 1
    flops = encoders.count_flops(ModelSpec(arch="plain_unet", depth=3, base_channels=1))
    assert flops == pytest.approx(2 * (down + up))


# The smallest object of a model


def test_a_model_file_gets_the_smallest_object_and_keeps_its_weights(tmp_path: Path) -> None:
    import smallest_object

    write_dataset(tmp_path / "cells", 4, 128, 0)
    training = {"data": {"val_images": ["cells_001"]}}
    spec = ModelSpec("resnet18", depth=3, decoder_channels=(8, 8, 8), training=training)
    old, new = tmp_path / "old.safetensors", tmp_path / "new.safetensors"
    save_model(Segmenter(spec), old, torch.float16)
    smallest_object.main(["--data", str(tmp_path / "cells"), "--model", str(old), "--out", str(new)])
    masks = [tifffile.imread(tmp_path / "cells" / "masks" / f"cells_00{number}.tif") for number in (0, 2, 3)]
    sizes = np.sort(np.concatenate([np.unique(mask[mask > 0], return_counts=True)[1] for mask in masks]))
    rank = (len(sizes) - 1) / 100
    model = load_model(new)
    assert model.spec.smallest_object == min(sizes[int(5 * rank)] // 2, sizes[int(rank)]) > 0
    assert replace(model.spec, smallest_object=0, unetkit_version="") == replace(spec, unetkit_version="")
    before, after = (path.read_bytes() for path in (old, new))
    weights = after[8 + int.from_bytes(after[:8], "little") :]
    assert before.endswith(weights)
    assert len(weights) > 10**6


# Pretraining


def test_every_start_is_measured_and_none_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import pretraining

    write_dataset(tmp_path / "cells", 5, 96, 0)
    few = ["--images", "2", "--seeds", "1", "--steps", "1", "--pretrain-steps", "1"]
    sizes = ["--depth", "3", "--crop", "64", "--batch", "2", "--markdown"]
    arguments = [str(tmp_path / "cells"), str(tmp_path / "out"), *few, *sizes]
    pretraining.main(arguments)
    table = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [row[0].strip() for row in table[2:]] == ["2"]
    assert all(0 <= float(cell) <= 1 for row in table[2:] for cell in row[1:])
    monkeypatch.setattr(pretraining, "measure", None)  # what is done is not done again
    pretraining.main(arguments)
    assert [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("|")] == table


# The first hour


def test_the_first_visible_character_of_a_command_in_a_terminal_is_timed(tmp_path: Path) -> None:
    import first_hour

    clears = "import sys, time; print(chr(27) + '[2K', end='', flush=True); time.sleep(0.2)"
    (tmp_path / "says.py").write_text(f"{clears}; print('a batch' if sys.stderr.isatty() else 'no terminal')")
    output, whole = first_hour.run(sys.executable, ["says.py"], tmp_path, tmp_path / "cache")
    assert 0.2 <= first_hour.first_sign(output, whole) <= whole
    assert "".join(text for _, text in output).split() == ["a", "batch"]


def test_a_part_of_the_start_is_timed_without_the_parts_within_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import first_batch

    now = 100.0

    def passes(seconds: float) -> None:
        nonlocal now
        now += seconds

    def outer() -> None:
        passes(1)
        module.inner()
        passes(3)

    monkeypatch.setattr(first_batch, "monotonic", lambda: now)
    monkeypatch.setattr(first_batch, "process_time", lambda: now / 2 - 50)
    module = ModuleType("timed")
    module.outer, module.inner = outer, lambda: passes(10)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "timed", module)
    parts = first_batch.Parts(began=99.0)
    for name in ("inner", "outer"):
        parts.watch(name, "timed", name)
    module.outer()
    parts.turn()
    assert parts.spent == {first_batch.REST: [1.0, 0.0], "outer": [4.0, 2.0], "inner": [10.0, 5.0]}


def test_options_of_fit_come_after_all_others_wherever_these_are() -> None:
    import first_batch

    for own in (["cells", "--rounds", "1"], ["--rounds", "1", "cells"]):
        options = first_batch.parse([*own, "--", "--config", "nuclei.yaml"])
        assert (str(options.train), options.rounds, options.more) == ("cells", 1, ["--config", "nuclei.yaml"])
    assert first_batch.parse(["cells"]).more == []


def test_the_parts_of_the_start_are_functions_that_there_are() -> None:
    import first_batch

    for _, module, place in first_batch.PARTS:
        assert callable(attrgetter(place)(import_module(module)))


def test_outlines_of_objects_are_timed_beside_other_programs(tmp_path: Path) -> None:
    import objects
    from outline_peers import PEERS

    out = tmp_path / "out.json"
    options = ["--size", "300", "--objects", "100", "--diameter", "16", "--tasks", "geojson", "outlines", "rois"]
    options += ["--crop", "0", "--peers", "200", "--folder", str(tmp_path), "--json", str(out)]
    objects.main(options)
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
    assert [row["task"].split(" (")[0] for row in rows] == ["geojson", "outlines", "rois", *PEERS]
    assert all(row["seconds"] > 0 for row in rows if "not installed" not in row.get("error", ""))
    assert all(row["seconds"] > 0 for row in rows if row["task"].startswith(("geojson", "outlines", "rois", "unetkit")))


def test_tables_of_objects_are_timed_beside_scikit_image(tmp_path: Path) -> None:
    import objects

    out = tmp_path / "out.json"
    options = ["--size", "300", "--objects", "9", "100", "--diameter", "16", "--tasks", "table", "rings"]
    objects.main([*options, "--folder", str(tmp_path / "scratch"), "--json", str(out)])
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
    tasks = [(row["task"].split(" (")[0], row["objects"]) for row in rows]
    assert tasks == [
        *(("table", 9), ("rings", 9), ("table", 100), ("rings", 100)),
        *(("scikit-image, table", 100), ("scikit-image, intensities", 100)),
    ]
    assert all(row["seconds"] > 0 for row in rows)
    assert all(1e7 < row["peak_rss"] < 2e9 for row in rows[:4])
    labels = tifffile.imread(objects.Field(300, 100, 16).labels(tmp_path / "scratch"))
    assert len(np.unique(labels)) == 101
    assert np.bincount(labels.ravel())[1:].min() > 20


# Strokes


def test_strokes_lie_where_they_say_and_take_a_few_percent() -> None:
    from scribbles import IGNORED, scribble

    labels = make_cells(256, 256, seed=0)[1].astype(np.uint16)
    mask = scribble(labels, np.random.default_rng(0))
    assert 0.01 < (mask != IGNORED).mean() < 0.06
    assert (labels[mask == 1] > 0).all()
    assert (labels[mask == 0] == 0).all()
    assert len(np.unique(labels[mask == 1])) > 3
    assert np.array_equal(mask, scribble(labels, np.random.default_rng(0)))


def test_images_to_train_and_to_score_on_are_of_a_kind_and_differ(tmp_path: Path) -> None:
    from scribbles import choose, write

    write_dataset(tmp_path / "cells", 8, 64, 0)
    for number, path in enumerate(sorted((tmp_path / "cells" / "images").iterdir())):
        pixels = (tifffile.imread(path) / 256).astype(np.uint8)
        tifffile.imwrite(path, pixels if number < 6 else 255 - pixels)
    trained, scored = choose(tmp_path / "cells", "fluorescence", 0)
    assert len(trained) == len(scored) == 3
    assert not {pair.name for pair in trained} & {pair.name for pair in scored}
    assert all(pair.name < "cells_006" for pair in (*trained, *scored))
    write(tmp_path / "few", trained, [np.zeros((64, 64), np.uint8)] * 3)
    assert len(list((tmp_path / "few" / "masks").iterdir())) == 3


def test_outlines_are_drawn_and_measured_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import annotations

    annotations.main(["--folder", str(tmp_path), "--objects", "30", "--size", "512"])
    out = capsys.readouterr().out
    assert "30 outlines of 60 points in 512 x 512 pixels" in out
    assert out.count(" GB") == 4
    assert not list(tmp_path.iterdir())


# Objects in the same run as labels


def test_labels_with_files_of_objects_are_timed_beside_masks(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import segment_objects

    tifffile.imwrite(tmp_path / "image.tif", make_cells(96, 96, np.random.default_rng(0))[0])
    both = ("mask", "labels, table, outlines")
    monkeypatch.setattr(segment_objects, "OUTPUTS", {name: segment_objects.OUTPUTS[name] for name in both})
    out = tmp_path / "out.json"
    words = [str(tmp_path / "image.tif"), "--rounds", "1", "--json", str(out), "--model", str(tiny_model)]
    segment_objects.main([*words, "--backend", "torch"])
    (found,) = json.loads(out.read_text(encoding="utf-8"))["rounds"]
    assert set(found) == set(both)
    assert all(one["seconds"] > 0 and one["peak_rss"] > 1e7 for one in found.values())


def test_czi_and_tiff_are_read_beside_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import microscopes

    monkeypatch.setattr(microscopes, "measure_unetkit", lambda *_: {"seconds": 1.0, "peak_rss": 10**9})
    monkeypatch.setattr(microscopes, "KINDS", {kind: microscopes.KINDS[kind] for kind in ("CZI", "TIFF, zstd")})
    microscopes.main(["--folder", str(tmp_path), "--size", "1100", "--markdown"])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("| CZI", "| TIFF"))]
    assert len(rows) == 2
    assert all(row.endswith("| 1.0 s | 1000 MB |") for row in rows)


# Clusters


def test_a_simulated_slide_goes_through_scheduler_and_worker_processes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import scheduling

    found = scheduling.measure(tmp_path, 9, 1)
    assert (found["blocks"], found["pixels"]) == (9, (3 * 2048) ** 2)
    assert found["tasks"] == 9 + 4  # levels of 3072, 1536, 768 and 384 pixels
    assert 0 < found["files"] < 12  # nothing but metadata: no chunk is stored
    assert len(found["workers_cpu"]) == 1
    assert all(cpu > 0 for cpu in (found["client_cpu"], *found["workers_cpu"]))
    scheduling.print_scheduling(found, markdown=True)
    assert "9 blocks of 2048 x 2048 pixels" in capsys.readouterr().out


def test_tasks_of_a_slide_are_its_blocks_the_chunks_that_they_share_and_its_smaller_levels() -> None:
    from scheduling import count_tasks

    assert count_tasks(4096, 1024, 0, 2048**2) == (4, 4 + 3)
    assert count_tasks(3072, 1536, 0, 1536**2) == (4, 4 + 5 + 3)  # the chunks in the middle belong to several blocks


def test_a_rate_is_that_between_the_first_and_the_last_of_the_work() -> None:
    from cluster import Curve

    curve = Curve(points=[(10.0, 100), (12.0, 300), (12.0, 300), (14.0, 500)])
    assert curve.rate == pytest.approx(100)
    shares: list[float] = []
    curve = Curve(watch=shares.append)
    advance = curve.begin("slide", 200)
    advance(50)
    advance(150)
    assert shares == [0.25, 1.0]


def test_a_process_is_killed_once_some_of_the_work_is_done() -> None:
    import cluster

    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    watch = cluster.killing(process.pid)
    watch(0.1)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2 * cluster.MID_BLOCK_SECONDS)
    for share in (0.4, 0.5):
        watch(share)
    assert process.wait(10) == -signal.SIGKILL


def test_outputs_are_compared_by_all_their_files(tmp_path: Path) -> None:
    from cluster import digest_of

    for name in ("a", "b"):
        (tmp_path / name / "0").mkdir(parents=True)
        (tmp_path / name / "0" / "c").write_bytes(b"1")
    assert digest_of(tmp_path / "a") == digest_of(tmp_path / "b")
    (tmp_path / "b" / "0" / "c").rename(tmp_path / "b" / "0" / "d")
    assert digest_of(tmp_path / "a") != digest_of(tmp_path / "b")


def test_commands_alternate_and_their_ratios_are_those_of_a_round(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import cluster

    ran: list[str] = []

    def run(case: Any, way: str, *_: Any) -> tuple[float, float, str]:
        ran.append(way)
        return {"plain": 100.0, "1 worker": 103.0, "2 workers": 51.5}[way] * len(ran), 90.0, case.name

    monkeypatch.setattr(cluster, "run_command", run)
    out = tmp_path / "out.json"
    options = ["--parts", "commands", "--size", "512", "--count", "2", "--rounds", "2", "--backends", "torch"]
    cluster.main([*options, "--model", str(tiny_model), "--folder", str(tmp_path), "--markdown", "--json", str(out)])
    assert ran == 6 * ["plain", "1 worker", "2 workers"]
    rows = [line for line in capsys.readouterr().out.splitlines() if line.endswith("| yes |")]
    assert len(rows) == 3
    measured = json.loads(out.read_text(encoding="utf-8"))["commands"]
    assert [one["pixels"] for one in measured[:2]] == [512**2, 512**2]
    assert not [path for path in tmp_path.iterdir() if path != out]


def test_objects_of_planes_are_joined_along_the_planes() -> None:
    from volume_accuracy import join_planes

    first = np.array([[1, 1, 0, 2], [1, 1, 0, 2]])
    second = np.array([[3, 3, 0, 0], [3, 3, 4, 0]])  # 3 goes on with 1, and 4 is new
    joined = join_planes(np.stack([first, second, np.zeros_like(first), first]))
    assert joined[0].tolist() == [[1, 1, 0, 2], [1, 1, 0, 2]]
    assert joined[1].tolist() == [[1, 1, 0, 0], [1, 1, 3, 0]]
    assert not joined[2].any()
    assert set(np.unique(joined[3])) & set(np.unique(joined[:2])) == {0}


def test_the_area_under_the_curve_is_that_of_torchmetrics() -> None:
    import torch
    from torchmetrics.functional.classification import binary_auroc
    from volume_accuracy import area

    rng = np.random.default_rng(0)
    values, truth = rng.integers(0, 10, 40) / 10, rng.random(40) < 0.4
    expected = binary_auroc(torch.tensor(values), torch.tensor(truth).long())
    assert area(values.tolist(), truth.tolist()) == pytest.approx(float(expected))


def test_thin_membranes_of_any_width_separate_the_same_segments() -> None:
    import volumes_em

    truth = np.full((1, 24, 24), 255, np.uint8)
    truth[:, 11:13] = 0
    wide, closed = np.ones((1, 24, 24), np.float32), np.ones((1, 24, 24), np.float32)
    wide[:, 9:15] = closed[:, 11:13] = 0.1
    assert volumes_em.score(wide, truth, 0.5)["V_Rand"] == volumes_em.score(closed, truth, 0.5)["V_Rand"] > 0.99
    assert volumes_em.score(closed, truth, 0.5)["membrane IoU"] == 1
    assert volumes_em.score(wide, truth, 0.5)["membrane IoU"] == pytest.approx(2 / 6)
    open_ = closed.copy()
    open_[:, :, 5] = 1
    assert volumes_em.score(open_, truth, 0.5)["V_Rand"] < 0.7


def test_images_that_are_scored_are_never_among_those_of_training_whatever_the_seed(tmp_path: Path) -> None:
    import few_images

    names = [f"image{number:02}" for number in range(30)]
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for name in names:
            tifffile.imwrite(tmp_path / folder / f"{name}.tif", np.zeros((4, 4), np.uint8))
    (tmp_path / "kinds.json").write_text(json.dumps({"stained": names, "fluorescence": []}))
    first, second = (few_images.divide(tmp_path, tmp_path, 5, seed) for seed in (0, 1))
    assert first.scored == second.scored
    assert first.train != second.train
    assert {pair.name for pair in (*first.train, *first.rest, *first.scored)} == set(names)
    assert len(first.train) + len(first.rest) + len(first.scored) == len(names)


def test_guessed_masks_leave_out_what_is_not_confident(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import few_images

    from unetkit.data.pairs import Pair

    answers = {"labels": np.array([[0, 2, 2, 0]]), "probabilities": np.array([[0.1, 0.5, 0.9, 0.9]])}
    monkeypatch.setattr(few_images, "load_pair", lambda pair: (np.zeros((1, 1, 4)), None))
    monkeypatch.setattr(few_images, "predict_tiled", lambda pixels, model, axes, output: answers[output])
    (guessed,) = few_images.guess(None, [Pair("a", tmp_path / "a.png", None)], tmp_path)
    assert tifffile.imread(guessed.mask).tolist() == [[0, few_images.IGNORED, 2, few_images.IGNORED]]


def test_few_sections_are_scored_at_the_best_threshold_and_guessed_where_that_is_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import few_sections

    from unetkit.data.pairs import Pair

    truth = np.full((1, 20, 20), 255, np.uint8)
    truth[:, :, 9:11] = 0
    inside = np.where(truth > 0, 0.95, 0.1)
    inside[:, 8:12, 9:11] = 0.6  # a gap in the membrane
    monkeypatch.setattr(few_sections, "predict_tiled", lambda section, *_, **__: inside[0])
    scores = few_sections.score_model(None, np.zeros((1, 20, 20), np.uint8), truth)
    assert scores["v_rand"] == scores["v_info"] == 1
    assert scores["iou"] == 32 / 40
    monkeypatch.setattr(few_sections, "load_pair", lambda pair: (np.zeros((1, 20, 20)), None))
    (guessed,) = few_sections.guess(None, [Pair("a", tmp_path / "a.png", None)], tmp_path)
    values = tifffile.imread(guessed.mask)
    assert (values[8:12, 9:11] == few_sections.IGNORED).all()
    assert values[0, [0, 9]].tolist() == [255, 0]
