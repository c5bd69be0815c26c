from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from decoding import count_decoding
from lightning.pytorch import LightningModule, Trainer
from PIL import Image

from unetkit.data.datamodule import SegmentationData
from unetkit.foundation.errors import ConfigError, DataError, ImageError
from unetkit.models.normalization import Normalization

SHARED = Path(__file__).parents[2] / "../shared/data"
NUCLEI, EM = SHARED / "nuclei/train", SHARED / "em"


def _data(train: Path, **changes: Any) -> SegmentationData:
    settings: dict[str, Any] = {"crop": 64, "batch_size": 4, "workers": 0, "crops_per_epoch": 10}
    data = SegmentationData(str(train), **(settings | changes))
    data.setup("fit")
    return data


def _add(folder: Path, name: str, image: np.ndarray, mask: np.ndarray | None = None) -> None:
    tifffile.imwrite(folder / "images" / f"{name}.tif", image)
    if mask is None:
        mask = np.zeros(image.shape[:2], np.uint8)
        mask[5:20, 5:20] = 1
    tifffile.imwrite(folder / "masks" / f"{name}.tif", mask)


def test_batches(cells: Path) -> None:
    data = _data(cells)
    data.prepare_for(3, 2, 32)
    batches = list(data.train_dataloader())
    assert [len(batch["image"]) for batch in batches] == [4, 4, 2]
    assert batches[0]["image"].shape == (4, 3, 64, 64)
    assert batches[0]["center"].shape == (4, 3)
    (item,) = data.val_dataloader()
    assert item["image"].shape[0] == 3
    assert item["name"] in {f"cell{number}" for number in range(6)}


def test_images_of_a_rare_look_are_shown_more_often_and_that_is_noted(cells: Path) -> None:
    rng = np.random.default_rng(0)
    _add(cells, "bright", rng.integers(900, 1000, (96, 96)).astype(np.uint16))
    data = _data(cells, val=0, balance_looks=1.0, crops_per_epoch=80)
    data.prepare_for(1, 2, 32)
    assert any("have 2 looks" in note and "1 such as bright" in note for note in data.notes)
    assert data.describe()["balance_looks"] == 1
    crops = data.train_dataloader().dataset
    bright = [float(crops[0, index]["image"].max()) < 1000 for index in range(80)]
    assert 0.3 < np.mean(bright) < 0.5


def test_workers_do_not_change_the_crops(cells: Path) -> None:
    results = []
    for workers in (0, 1, 2):
        loader = _data(cells, workers=workers).train_dataloader()
        loader.sampler.set_epoch(2)
        results.append([torch.cat([batch[name] for batch in loader]) for name in ("image", "mask")])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("workers", [0, 1])
def test_epoch_can_be_set_after_the_iterator_is_made(cells: Path, workers: int) -> None:
    loader = _data(cells, workers=workers).train_dataloader()
    iterator = iter(loader)
    loader.sampler.set_epoch(3)
    batch = next(iterator)
    assert torch.equal(batch["image"][1], loader.dataset[3, 1]["image"])


def test_validation_images_are_set_aside_by_the_seed(cells: Path) -> None:
    names = [tuple(_data(cells, val=0.34, seed=seed).describe()["val_images"]) for seed in (0, 0, 1, 2)]
    assert all(len(chosen) == 2 for chosen in names)
    assert names[0] == names[1]
    assert len(set(names)) > 1


def test_no_validation(cells: Path) -> None:
    data = _data(cells, val=0)
    assert data.val_dataloader() == []
    assert data.describe()["train_images"] == 6


def test_validation_folder(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("val")
    for folder in ("images", "masks"):
        (other / folder).mkdir()
        (cells / folder / "cell3.tif").rename(other / folder / "cell3.tif")
    data = _data(cells, val=str(other))
    assert data.describe()["val_images"] == ["cell3"]
    with pytest.raises(DataError, match=r"5 of the images .* are also trained on: cell0, cell1, cell2 and 2"):
        _data(cells, val=str(cells))


@pytest.mark.skipif(not EM.exists(), reason="no ../shared/data/em")
def test_stack_with_pages_to_validate_on() -> None:
    stack, masks = EM / "train-volume.tif", str(EM / "train-labels.tif")
    data = _data(stack, masks=masks, pages="0-3", val_pages="25,26")
    assert data.describe()["val_images"] == ["train-volume[25]", "train-volume[26]"]
    assert data.describe()["train_images"] == 4
    batch = next(iter(data.train_dataloader()))
    assert 0.6 < batch["mask"].float().mean() < 0.9
    assert [tuple(item["image"].shape) for item in data.val_items()] == [(1, 512, 512)] * 2
    with pytest.raises(DataError, match=r"also trained on: train-volume\[3\]\. Remove them"):
        _data(stack, masks=masks, pages="0-3", val_pages="3-4")


@pytest.mark.skipif(not NUCLEI.exists(), reason="no ../shared/data/nuclei")
def test_real_images_of_mixed_kinds(tmp_path: Path) -> None:
    kinds: dict[str, Path] = {}
    for path in sorted((NUCLEI / "images").iterdir()):
        with Image.open(path) as image:
            if kinds.setdefault(f"{image.mode} {image.size}", path) == path and len(kinds) >= 6:
                break
    listing = tmp_path / "list.csv"
    rows = [f"{path.resolve()},{(NUCLEI / 'masks' / path.stem).resolve()}.tif" for path in kinds.values()]
    listing.write_text("\n".join(["image,mask", *rows]))
    data = _data(listing, crop=128, crops_per_epoch=12)
    assert data.channels == 3
    data.prepare_for(3, 2, 32)
    for batch in data.train_dataloader():
        normalized = (batch["image"] - batch["center"][..., None, None]) / batch["scale"][..., None, None]
        assert normalized.shape[1:] == (3, 128, 128)
        assert normalized.abs().mean() < 3
        assert batch["mask"].max() == 1


def test_one_image_cannot_be_split(cells: Path) -> None:
    image, mask = str(cells / "images/cell0.tif"), str(cells / "masks/cell0.tif")
    with pytest.raises(DataError, match=r"cell0.tif is the only image.* or set data.val: 0"):
        _data(Path(image), masks=mask)
    assert _data(Path(image), masks=mask, val=0.0).describe()["train_images"] == 1


def test_setup_reads_once_and_ignores_other_stages(cells: Path) -> None:
    data = SegmentationData(str(cells), crop=64, workers=0)
    data.setup("none of Lightning's")
    assert data.channels == 0
    data.setup("validate")
    pool = data.pool
    for stage in ("fit", "test", "predict"):
        data.setup(stage)
        data.teardown(stage)
    assert data.pool is pool


def test_description_is_plain_json(cells: Path) -> None:
    described = json.loads(json.dumps(_data(cells).describe()))
    assert described["train_images"] == 5
    assert described["dtypes"] == ["uint16"]
    assert (described["smallest_image"], described["largest_image"]) == ([96, 128], [150, 100])


def test_number_of_crops_covers_the_images_between_64_and_1000_batches(cells: Path) -> None:
    def crops(**settings: Any) -> int:
        return len(_data(cells, crops_per_epoch=None, val=0, **settings).train_dataloader().dataset)

    assert crops(crop=64, batch_size=4) == 256
    assert crops(crop=8, batch_size=4) == 3 * math.ceil(96 * 128 / 64) + 3 * math.ceil(150 * 100 / 64)
    assert crops(crop=2, batch_size=1) == 1000


@pytest.mark.parametrize("method", ["percentile", "mean_std"])
def test_normalization_of_the_data_set_is_measured_on_training_images(cells: Path, method: Any) -> None:
    _add(cells, "outlier", np.full((96, 96), 60000, np.uint16))
    data = _data(cells, val=1 / 7, seed=0, normalization=Normalization(method, "dataset"))
    seed = 0
    while data.describe()["val_images"] != ["outlier"]:
        seed += 1
        data = _data(cells, val=1 / 7, seed=seed, normalization=Normalization(method, "dataset"))
    assert data.normalization.center is not None
    assert data.normalization.scale is not None
    assert 800 < data.normalization.center[0] < 1200
    assert data.normalization.scale[0] < 5000
    data.prepare_for(3, 2, 32)
    assert len(data.normalization.center) == 3
    assert data.val_items()[0]["center"].tolist() == pytest.approx(list(data.normalization.center))
    again = _data(cells, val=1 / 7, seed=seed, normalization=Normalization(method, "dataset"))
    again.prepare_for(3, 2, 32)
    assert again.normalization == data.normalization


def test_what_the_files_agree_on_is_kept(cells: Path) -> None:
    for path in (cells / "images").iterdir():
        image = tifffile.imread(path)
        tifffile.imwrite(path, image, imagej=True, resolution=(4.0, 2.0), metadata={"unit": "um"})
    assert _data(cells).pixel_size_um == pytest.approx((0.5, 0.25))
    tifffile.imwrite(path, image, imagej=True, resolution=(5.0, 2.0), metadata={"unit": "um"})
    assert _data(cells).pixel_size_um is None


def test_the_pixels_of_the_training_images_are_described(cells: Path) -> None:
    seen = _data(cells, val=0).describe_images()
    assert seen.dtypes == ("uint16",)
    assert 700 < seen.low[0] < 900
    assert 4800 < seen.high[0] < 5300
    assert 4000 < seen.contrast[0] < seen.high[0] - seen.low[0]
    _add(cells, "blank", np.full((70, 70), 1000, np.uint16))
    _add(cells, "rgb", np.random.default_rng(0).integers(0, 60000, (70, 70, 3), np.uint16))
    _add(cells, "binary", np.random.default_rng(0).random((70, 70)) < 0.5)
    seen = _data(cells, val=0).describe_images()
    assert seen.dtypes == ("uint16", "uint8")
    assert seen.contrast == (0, 0, 0)
    assert all(high > 50000 for high in seen.high)


def test_without_numbers_the_parts_of_the_masks_are_the_objects_and_that_is_noted(
    cells: Path,
) -> None:
    two_cells = np.zeros((96, 96), np.uint8)
    two_cells[5:20, 5:20], two_cells[40:71, 40:71] = 255, 255
    _add(cells, "plain", np.ones((96, 96), np.uint16), two_cells)
    data = _data(cells, val=0, crop=96, foreground_share=0)
    data.prepare_for(1, 2, 32, distance_maps=True)
    data.prepare_for(1, 2, 32, distance_maps=True)
    (note,) = data.take_notes()
    assert note.startswith("The masks do not number their objects")
    assert data.take_notes() == []
    items = [data.train_dataloader().dataset[0, index] for index in range(7)]
    assert sum(int((item["distance_map"] == 1).sum() > 1) for item in items) >= 1
    two_cells[5:20, 5:20] = 1
    _add(cells, "numbered", np.ones((96, 96), np.uint16), two_cells)
    data = _data(cells, val=0)
    data.prepare_for(1, 2, 32, distance_maps=True)
    assert "1 of 8 masks, such as that of plain, do not number their objects" in data.take_notes()[0]
    assert {record.pair.name for record in data.targets.records if record.numbered is False} == {"plain"}


def test_what_masks_are_taken_for_and_what_is_left_out_is_noted(cells: Path) -> None:
    labels = tifffile.imread(cells / "masks/cell0.tif")
    (cells / "masks/cell0.tif").unlink()
    Image.fromarray((labels > 0).astype(np.uint8) * 255).save(cells / "masks/cell0.jpg")
    tifffile.imwrite(cells / "images/alone.tif", labels)
    data = _data(cells, unpaired="skip", val=0, cache_gb=0)
    left_out, taken = data.take_notes()
    assert "1 files, such as alone.tif" in left_out
    assert "JPEG changes the values around each edge" in taken
    assert "(1 of 6 masks, such as cell0)" in taken
    window = (slice(10, 50), slice(20, 60))  # read from the file again, and not decided anew
    assert np.array_equal(data.targets.read(0, window), data.targets.read(0)[window])
    with pytest.raises(DataError, match=r"cell0.jpg does not hold the numbers of 7 classes\. JPEG changes"):
        data.prepare_for(1, 7, 32)


def test_grey_mixes_with_one_other_kind_only(cells: Path) -> None:
    _add(cells, "rgb", np.zeros((70, 70, 3), np.uint8))
    assert _data(cells).channels == 3
    tifffile.imwrite(cells / "images/five.tif", np.zeros((5, 70, 70), np.uint16), photometric="minisblack")
    tifffile.imwrite(cells / "masks/five.tif", np.zeros((70, 70), np.uint8))
    with pytest.raises(DataError, match=r"differ .*: 3 channels \(rgb.tif\) and 5 channels \(five.tif\)"):
        _data(cells)


def test_data_that_do_not_fit_the_model(cells: Path) -> None:
    data = _data(cells)
    with pytest.raises(DataError, match=r"cell5.tif has the value 6, but the model has 3 classes \(0 to 2\)\. Set mod"):
        data.prepare_for(1, 3, 32)
    data.prepare_for(1, 7, 32)
    with pytest.raises(ConfigError, match=r"crop: 64 is not divisible by .*48\. Use 48 or 96\."):
        data.prepare_for(1, 2, 48)
    _add(cells, "rgb", np.zeros((70, 70, 3), np.uint8))
    with pytest.raises(DataError, match=r"The model takes 1 channel, but .*rgb.tif has 3\. Set model.in_channels: 3"):
        _data(cells).prepare_for(1, 2, 32)


@pytest.mark.parametrize(("value", "word"), [(0, "background"), (3, "foreground")])
def test_masks_of_one_value(cells: Path, value: int, word: str) -> None:
    for path in (cells / "masks").iterdir():
        tifffile.imwrite(path, np.full(tifffile.imread(path).shape, value, np.uint8))
    with pytest.raises(DataError, match=rf"Every pixel of all 5 masks is {word}.*Check that"):
        _data(cells)


def test_infinite_pixels_name_the_file(cells: Path) -> None:
    image = np.ones((70, 70), np.float32)
    image[3, 4] = np.inf
    _add(cells, "broken", image)
    with pytest.raises(ImageError, match=r"broken.tif has NaN or infinite pixels"):
        _data(cells)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop": 0}, r"data.crop: 0 is not possible\. Use 1 or more"),
        ({"batch_size": 0}, "data.batch_size"),
        ({"crops_per_epoch": 0}, "data.crops_per_epoch"),
        ({"workers": -1}, "data.workers"),
        ({"seed": -1}, "data.seed"),
        ({"foreground_share": 1.5}, "data.foreground_share: 1.5"),
        ({"balance_looks": 2}, "data.balance_looks: 2"),
        ({"val": 1.0}, r"data.val: 1 is not possible\. Use a fraction below 1"),
        ({"augment": "stron"}, "Did you mean 'strong'"),
    ],
)
def test_settings_that_have_no_meaning(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SegmentationData("anywhere", **settings)


def test_stains_and_gains_of_objects_are_for_single_planes(cells: Path) -> None:
    data = SegmentationData(str(cells), augment_options={"stain_probability": 0.5})
    data.see(2)
    for dims, planes in ((3, 1), (2, 5)):
        with pytest.raises(ConfigError, match="stain_probability has a meaning only for single planes"):
            data.see(dims, planes)  # type: ignore[arg-type]


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no .*nothing\. Check the path"):
        _data(tmp_path / "nothing")


def test_folds_validate_on_every_image_once_and_keep_copies_together(cells: Path) -> None:
    for kind in ("images", "masks"):
        shutil.copy(cells / kind / "cell1.tif", cells / kind / "copy.tif")
    folds = [_data(cells, folds=3, fold=fold).describe() for fold in range(3)]
    names = [set(fold["val_images"]) for fold in folds]
    assert set().union(*names) == {"copy", *(f"cell{number}" for number in range(6))}
    assert sum(map(len, names)) == 7
    assert any({"cell1", "copy"} <= held for held in names)
    assert [(fold["folds"], fold["fold"]) for fold in folds] == [(3, 0), (3, 1), (3, 2)]
    assert all(fold["train_images"] == 7 - len(held) for fold, held in zip(folds, names, strict=True))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fold": 1}, "data.fold: 1 has no meaning without folds"),
        ({"fold": "all"}, "data.fold: all has no meaning without folds"),
        ({"folds": 1}, "data.folds: 1 is not possible"),
        ({"folds": 3, "fold": 3}, "data.fold: 3 is not possible"),
        ({"folds": 3, "fold": -1}, "data.fold: -1 is not possible"),
        ({"folds": 3, "fold": 0, "val": "elsewhere"}, "data.val has no meaning with data.folds"),
        ({"folds": 3, "fold": 0, "val_pages": "0-2"}, "data.val_pages has no meaning with data.folds"),
        ({"folds": 3}, "data.fold: all stands for several runs"),
    ],
)
def test_folds_that_are_not_possible_are_an_error(cells: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _data(cells, **settings)


class OnePixel(LightningModule):
    """A module of a user's own: one weight for each channel, and a threshold."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(1, 1, 1)
        self.seen: list[tuple[str, str]] = []

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        assert batch["image"].shape == (4, 1, 64, 64)
        return torch.nn.functional.binary_cross_entropy_with_logits(
            self.predict_step(batch), batch["mask"][:, None].float()
        )

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        self.seen.append(("validate", batch["name"]))
        assert batch["image"].shape[1:] == batch["mask"].shape

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        self.seen.append(("test", batch["name"]))

    def predict_step(self, batch: dict[str, Any]) -> torch.Tensor:
        image = batch["image"] if batch["image"].ndim == 4 else batch["image"][None]
        return self.layer((image - 1000) / 4000)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def test_any_lightning_module_is_fitted_validated_tested_and_used_with_the_data(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = count_decoding(monkeypatch)
    usual: dict[str, Any] = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "default_root_dir": tmp_path}
    data = SegmentationData(str(cells), crop=64, batch_size=4, workers=0, crops_per_epoch=8, val=0.34)
    module = OnePixel()
    before = module.layer.weight.item()
    Trainer(**usual, **quiet, max_epochs=2, num_sanity_val_steps=0).fit(module, data)
    assert module.layer.weight.item() != before
    held = data.describe()["val_images"]
    assert module.seen == [("validate", name) for name in held] * 2
    module.seen.clear()
    other = Trainer(**usual, **quiet)  # another trainer takes the same data, without reading them again
    other.validate(module, data, verbose=False)
    other.test(module, data, verbose=False)
    assert module.seen == [(stage, name) for stage in ("validate", "test") for name in held]
    masks = other.predict(module, data)
    assert masks is not None
    sizes = {(1, 1, 96, 128), (1, 1, 150, 100)}
    assert {tuple(mask.shape) for mask in masks} <= sizes  # type: ignore[union-attr]
    assert len(masks) == len(held) == 2
    assert set(reads.values()) == {1}


def test_where_no_images_are_set_aside_there_is_nothing_to_test_or_predict(cells: Path) -> None:
    data = _data(cells, val=0)
    for loader in (data.test_dataloader, data.predict_dataloader):
        with pytest.raises(DataError, match=r"No images are set aside\. Give some \(val\)"):
            loader()
