"""Every mistake gives exit code 2 and two sentences, and leaves nothing behind and nothing overwritten."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file
from tifffile import imread, imwrite

from unetkit.cli import main
from unetkit.foundation.synthetic import write_dataset
from unetkit.models.model_file import METADATA_KEY, read_spec

TINY = """
    --model.encoder resnet18 --model.depth 3 --model.decoder_channels [8,8,8] --data.crop 64 --data.crops_per_epoch 4
    --data.workers 0 --trainer.max_epochs 1 --trainer.accelerator cpu --plan false
"""

Spoil = Callable[[Path], object]


@pytest.fixture(scope="session")
def clean_cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clean") / "cells"
    write_dataset(folder, 3, 96, 0)
    return folder


@pytest.fixture
def cells(clean_cells: Path, tmp_path: Path) -> Path:
    """A data set to spoil, in an otherwise empty folder."""
    return Path(shutil.copytree(clean_cells, tmp_path / "cells"))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def files_in(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must be refused; return what it says."""

    def run(arguments: list[str], *expected: str) -> str:
        before = files_in(tmp_path)
        capsys.readouterr()
        assert main(arguments) == 2
        said = capsys.readouterr().err.strip()
        assert files_in(tmp_path) == before
        assert said.startswith("Error: ")
        assert said.endswith((".", "?"))
        assert "Traceback" not in said
        assert "\n" not in said
        assert len(said) < 500
        for word in expected:
            assert word in said
        return said

    return run


def fit_on(cells: Path, *more: str) -> list[str]:
    return ["fit", "--data.train", str(cells), *TINY.split(), *more]


def image(index: int = 1) -> Callable[[Path], Path]:
    return lambda cells: cells / "images" / f"cells_{index:03}.tif"


def mask_of(cells: Path, index: int = 1) -> Path:
    return cells / "masks" / f"cells_{index:03}.tif"


def png(pixels: NDArray[np.uint8], path: Path) -> Path:
    Image.fromarray(pixels).save(path)
    return path


NOISE = np.random.default_rng(0).integers(0, 255, (96, 96), np.uint8)


def good_image(folder: Path, kind: str) -> Path:
    path = folder / f"image.{kind}"
    if kind == "tif":
        imwrite(path, NOISE)
        return path
    return png(NOISE, path)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garbled(path: Path) -> None:
    path.write_text("this is not an image")


FILE_FAULTS: dict[str, Spoil] = {"missing": Path.unlink, "empty": emptied, "truncated": truncated, "text": garbled}


@pytest.mark.parametrize("kind", ["tif", "png", "jpg"])
@pytest.mark.parametrize("fault", FILE_FAULTS)
def test_segment_refuses_files_that_cannot_be_read(
    fault: str, kind: str, tiny_model: Path, tmp_path: Path, refuses: Callable[..., str]
) -> None:
    path = good_image(tmp_path, kind)
    FILE_FAULTS[fault](path)
    refuses(["segment", str(path), "out.tif", "--model", str(tiny_model)], path.name)


@pytest.mark.parametrize("part", ["images", "masks"])
@pytest.mark.parametrize("kind", ["tif", "png", "jpg"])
@pytest.mark.parametrize("fault", ["empty", "truncated", "text"])
def test_fit_refuses_files_that_cannot_be_read(
    fault: str, kind: str, part: str, cells: Path, refuses: Callable[..., str]
) -> None:
    (cells / part / "cells_001.tif").unlink()
    path = good_image(cells / part, kind).rename(cells / part / f"cells_001.{kind}")
    FILE_FAULTS[fault](path)
    refuses(fit_on(cells), path.name)


@pytest.mark.parametrize("fault", FILE_FAULTS)
def test_evaluate_refuses_files_that_cannot_be_read(fault: str, tmp_path: Path, refuses: Callable[..., str]) -> None:
    path = good_image(tmp_path, "tif")
    shutil.copy(path, "truth.tif")
    FILE_FAULTS[fault](path)
    refuses(["evaluate", str(path), "truth.tif", "--json", "scores.json"], path.name)


@pytest.mark.parametrize("fault", ["missing", "empty", "text"])
def test_info_refuses_files_that_cannot_be_read(fault: str, tmp_path: Path, refuses: Callable[..., str]) -> None:
    path = good_image(tmp_path, "png")
    FILE_FAULTS[fault](path)
    refuses(["info", str(path)], path.name)


def nan_image(cells: Path) -> None:
    pixels = imread(image()(cells)).astype(np.float32)
    pixels[3, 4] = np.nan
    imwrite(image()(cells), pixels)


def infinite_image(cells: Path) -> None:
    imwrite(image()(cells), np.full((96, 96), np.inf, np.float32))


def masks_of_one_value(value: int) -> Spoil:
    def spoil(cells: Path) -> None:
        for path in (cells / "masks").iterdir():
            imwrite(path, np.full((96, 96), value, np.uint8))

    return spoil


def other_size(cells: Path) -> None:
    imwrite(mask_of(cells), np.ones((96, 90), np.uint8))


def more_channels(cells: Path) -> None:
    imwrite(image(0)(cells), np.ones((2, 96, 96), np.uint8), metadata={"axes": "CYX"}, ome=True)
    imwrite(image(1)(cells), np.ones((4, 96, 96), np.uint8), metadata={"axes": "CYX"}, ome=True)


def no_folder(name: str) -> Spoil:
    return lambda cells: shutil.rmtree(cells / name)


def no_files(name: str) -> Spoil:
    return lambda cells: [path.unlink() for path in (cells / name).iterdir()]


DATA_FAULTS: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    "image without mask": (lambda cells: mask_of(cells).unlink(), ("1 image has no mask", "cells_001.tif")),
    "mask without image": (lambda cells: image()(cells).unlink(), ("1 mask has no image", "cells_001.tif")),
    "no masks at all": (no_folder("masks"), ("masks",)),
    "no images at all": (no_folder("images"), ("images",)),
    "empty folder of images": (no_files("images"), ("has no images",)),
    "no folder": (shutil.rmtree, ("There is no", "cells")),
    "sizes that differ": (other_size, ("96 x 90", "96 x 96")),
    "masks all background": (masks_of_one_value(0), ("background", "0 is background")),
    "masks all foreground": (masks_of_one_value(7), ("foreground", "0 is background")),
    "channels that differ": (more_channels, ("2 channels", "4 channels")),
    "NaN": (nan_image, ("cells_001.tif", "NaN")),
    "infinite": (infinite_image, ("cells_001.tif", "infinite")),
}


@pytest.mark.parametrize("fault", DATA_FAULTS)
def test_fit_refuses_data_that_cannot_be_trained_on(fault: str, cells: Path, refuses: Callable[..., str]) -> None:
    spoil, expected = DATA_FAULTS[fault]
    spoil(cells)
    refuses(fit_on(cells), *expected)


SETTING_FAULTS: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "crop": (["--data.crop", "60"], ("60", "Use 56 or 64", "8")),
    "encoder": (["--model.encoder", "resnet43"], ("no encoder 'resnet43'", "'resnet34'")),
    "key": (["--model.encodr", "resnet18"], ("'model.encodr'", "'model.encoder'")),
    "key that is the beginning of another": (["--trainer.max_epoch", "3"], ("'trainer.max_epochs'",)),
    "group": (["--modle.lr", "3"], ("'modle.lr'", "'model.lr'")),
    "nested key": (["--data.normalization.lo", "3"], ("'data.normalization.low'",)),
    "loss": (["--model.loss", "dise"], ("'dice'",)),
    "augmentation": (["--data.augment", "standart"], ("'standard'",)),
    "augmentation option": (["--data.augment_options", "{rotat90: 1}"], ("rotate90",)),
    "schedule": (["--model.schedule", "one_cycel"], ("'one_cycle'",)),
    "normalization": (["--data.normalization.method", "percentil"], ("'percentile'",)),
    "percentiles": (["--data.normalization.low", "100"], ("out of order", "low < high")),
    "kind of value": (["--model.lr", "fast"], ("model.lr: 'fast'", "Give a number")),
    "whole number": (["--model.classes", "2.5"], ("Give a whole number",)),
    "list": (["--model.decoder_channels", "5"], ("Give a list",)),
    "missing value": (["--model.lr"], ("--model.lr was given without a value",)),
    "stray word": (["stray"], ("'stray'",)),
    "accelerator": (["--trainer.accelerator", "gpuu"], ("invalid accelerator",)),
    "logger": (["--trainer.logger", "TensorBord"], ("trainer.logger", "TensorBoardLogger")),
    "channels": (["--model.in_channels", "x"], ("whole number or 'auto'",)),
    "no epochs": (["--trainer.max_epochs", "0"], ("Use 1 or more",)),
    "classes": (["--model.classes", "3"], ("classes",)),
    "validation": (["--data.val", "nowhere"], ("There is no file or folder nowhere",)),
    "weights": (["--model.weights", "none.pth"], ("There is no weights file none.pth",)),
    "resume": (["--resume", "nowhere"], ("nowhere is not a run that can be resumed",)),
    "missing config": (["--config", "none.yaml"], ("There is no configuration file", "none.yaml")),
}


@pytest.mark.parametrize("fault", SETTING_FAULTS)
def test_fit_refuses_settings_that_have_no_meaning(fault: str, cells: Path, refuses: Callable[..., str]) -> None:
    arguments, expected = SETTING_FAULTS[fault]
    refuses(fit_on(cells, *arguments), *expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model:\n  encodr: resnet18\n", "'model.encoder'"),
        ("modle:\n  encoder: resnet18\n", "'model.encoder'"),
        ("model:\n  encoder: [\n", "not YAML that can be read"),
        ("- model\n", "not YAML that can be read"),
        ("model: 3\n", "settings of model below it"),
        ("model:\n  lr: fast\n", "Give a number"),
        ("model:\n  schedule: one_cycel\n", "'one_cycle'"),
        ("\x00\x01", "not YAML that can be read"),
    ],
)
def test_fit_refuses_a_configuration_with_a_mistake(
    text: str, expected: str, cells: Path, refuses: Callable[..., str]
) -> None:
    Path("config.yaml").write_text(text)
    refuses(["fit", "--config", "config.yaml", "--data.train", str(cells)], expected)


def test_fit_needs_data(refuses: Callable[..., str]) -> None:
    refuses(["fit"], "--data.train must be given")


def test_fit_refuses_runs_where_a_file_is(cells: Path, refuses: Callable[..., str]) -> None:
    Path("runs").write_text("a file")
    refuses(fit_on(cells), "runs", "cannot be made")


def test_a_pickle_that_would_run_code_is_not_opened(cells: Path, tmp_path: Path, refuses: Callable[..., str]) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "the trap was sprung",)

    torch.save({"conv1.weight": Trap()}, "torch.pth")
    Path("plain.pth").write_bytes(pickle.dumps(Trap()))
    for name in ("torch.pth", "plain.pth"):
        refuses(fit_on(cells, "--model.weights", name), name)
    refuses(["segment", str(image()(cells)), "out.tif", "--model", "torch.pth"], "torch.pth")


@pytest.mark.parametrize("name", ["text.pth", "text.safetensors", "other.safetensors"])
def test_fit_refuses_weights_that_are_none(name: str, cells: Path, refuses: Callable[..., str]) -> None:
    Path(name).write_text("no weights")
    if name == "other.safetensors":
        save_file({"fc.weight": torch.ones(2, 2)}, name)
    refuses(fit_on(cells, "--model.weights", name), name)


def newer(model: Path, path: Path) -> None:
    spec = {**json.loads(read_spec(model).to_json()), "format_version": 99, "unetkit_version": "9.9"}
    save_file(load_file(model), path, {METADATA_KEY: json.dumps(spec)})


MODEL_FAULTS: dict[str, Callable[[Path, Path], object]] = {
    "missing": lambda _, path: None,
    "folder": lambda _, path: path.mkdir(),
    "text": lambda _, path: garbled(path),
    "empty": lambda _, path: emptied(path),
    "png": lambda _, path: png(NOISE, path.with_suffix(".png")).rename(path),
    "plain safetensors": lambda _, path: save_file({"weight": torch.ones(2)}, path),
    "truncated": lambda model, path: (shutil.copy(model, path), truncated(path)),
    "newer": newer,
    "other weights": lambda model, path: save_file(
        {"weight": torch.ones(2)}, path, {METADATA_KEY: read_spec(model).to_json()}
    ),
}


@pytest.mark.parametrize("fault", MODEL_FAULTS)
def test_segment_refuses_a_model_file_that_is_none(
    fault: str, tiny_model: Path, tmp_path: Path, refuses: Callable[..., str]
) -> None:
    good_image(tmp_path, "tif")
    MODEL_FAULTS[fault](tiny_model, Path("bad.safetensors"))
    expected = ("newer unetkit (9.9)", "pip install --upgrade unetkit") if fault == "newer" else ()
    refuses(["segment", "image.tif", "out.tif", "--model", "bad.safetensors"], "bad.safetensors", *expected)


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.ones((96, 96, 3), np.uint8), "3 channels"),
        (np.full((96, 96), np.nan, np.float32), "NaN"),
        (np.full((96, 96), -np.inf, np.float32), "infinite"),
    ],
)
@pytest.mark.parametrize("exists", [False, True])
def test_segment_refuses_pixels_that_do_not_fit(
    pixels: NDArray[np.uint8], expected: str, exists: bool, tiny_model: Path, refuses: Callable[..., str]
) -> None:
    imwrite("image.tif", pixels)
    if exists:
        Path("out.tif").write_text("an earlier result")
    refuses(["segment", "image.tif", "out.tif", "--model", str(tiny_model), "--overwrite"], "image.tif", expected)


def test_one_nan_far_down_a_large_image_leaves_no_output(tiny_model: Path, refuses: Callable[..., str]) -> None:
    pixels = np.ones((600, 96), np.float32)
    pixels[-1, -1] = np.nan
    imwrite("image.tif", pixels)
    refuses(["segment", "image.tif", "out.tif", "--model", str(tiny_model), "--tile", "64"], "NaN")


SEGMENT_FAULTS: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "tile": (["out.tif", "--tile", "100"], ("100", "96", "104")),
    "halo": (["out.tif", "--halo", "-8"], ("halo",)),
    "batch": (["out.tif", "--batch", "0"], ("batch: 0", "1 or more")),
    "threshold": (["out.tif", "--threshold", "2"], ("between 0 and 1",)),
    "kind of output": (["out.tif", "--output", "msk"], ("'mask'",)),
    "device": (["out.tif", "--device", "cuda:77"], ("cuda:77",)),
    "option": (["out.tif", "--tyle", "64"], ("'tile'",)),
    "suffix": (["out.bmp"], ("out.bmp", ".tif")),
    "no suffix": (["out"], ("out", ".tif")),
    "folder missing": (["nowhere/out.tif"], ("nowhere", "does not exist")),
    "exists": (["there.tif"], ("there.tif", "--overwrite")),
    "probabilities as PNG": (["out.png", "--output", "probabilities"], ("out.tif",)),
    "too many files": (["there.tif", "more.tif"], ("more.tif", "2 images", "folder")),
    "too few files": ([], ("result",)),
}


@pytest.mark.parametrize("fault", SEGMENT_FAULTS)
def test_segment_refuses_settings_that_have_no_meaning(
    fault: str, tiny_model: Path, tmp_path: Path, refuses: Callable[..., str]
) -> None:
    good_image(tmp_path, "tif")
    Path("there.tif").write_text("an earlier result")
    arguments, expected = SEGMENT_FAULTS[fault]
    refuses(["segment", "image.tif", *arguments, "--model", str(tiny_model)], *expected)


def test_segment_refuses_a_folder_with_outputs_that_exist(
    cells: Path, tiny_model: Path, refuses: Callable[..., str]
) -> None:
    Path("out").mkdir()
    Path("out/cells_001.tif").write_text("an earlier result")
    refuses(["segment", str(cells / "images"), "out", "--model", str(tiny_model)], "cells_001.tif", "--overwrite")


def test_segment_refuses_an_empty_folder(tiny_model: Path, refuses: Callable[..., str]) -> None:
    Path("empty").mkdir()
    refuses(["segment", "empty", "out", "--model", str(tiny_model)], "no images")


EVALUATE_FAULTS: dict[str, tuple[Spoil, list[str], tuple[str, ...]]] = {
    "unpaired": (lambda cells: mask_of(cells).unlink(), [], ("cells_001",)),
    "sizes that differ": (other_size, [], ("96 x 90", "96 x 96")),
    "file and folder": (lambda cells: None, ["truth/cells_000.tif"], ("folder",)),
    "missing": (lambda cells: None, ["nowhere"], ("nowhere does not exist",)),
    "scores exist": (lambda cells: Path("scores.json").write_text("{}"), ["--json", "scores.json"], ("--overwrite",)),
    "scores nowhere": (lambda cells: None, ["--csv", "nowhere/scores.csv"], ("nowhere",)),
    "option": (lambda cells: None, ["--tolerence", "2"], ("'tolerance'",)),
    "classes": (lambda cells: None, ["--classes", "1"], ("classes",)),
    "tolerance": (lambda cells: None, ["--tolerance", "-1"], ("tolerance",)),
    "pages": (lambda cells: None, ["--pages", "3-"], ("pages",)),
}


@pytest.mark.parametrize("fault", EVALUATE_FAULTS)
def test_evaluate_refuses_what_cannot_be_compared(fault: str, cells: Path, refuses: Callable[..., str]) -> None:
    shutil.copytree(cells / "masks", "truth")
    spoil, arguments, expected = EVALUATE_FAULTS[fault]
    spoil(cells)
    truth = [] if arguments and not arguments[0].startswith("-") else ["truth"]
    refuses(["evaluate", str(cells / "masks"), *truth, *arguments], *expected)


@pytest.mark.parametrize(("verb", "closest"), [("segmnt", "segment"), ("evalute", "evaluate"), ("fti", "fit")])
def test_an_unknown_verb_names_the_closest(verb: str, closest: str, refuses: Callable[..., str]) -> None:
    refuses([verb, "a", "b"], f"no command '{verb}'", f"'{closest}'")
