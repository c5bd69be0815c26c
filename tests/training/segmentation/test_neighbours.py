"""A network that sees neighbouring planes is trained, validated and finished with them."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from unetkit.cli import main
from unetkit.inference.array import predict_tiled
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.spec import ModelSpec
from unetkit.zoo.opening import load_model

SETTINGS = """
    --model.arch plain_unet --model.base_channels 8 --model.batch_norm true --model.depth 3 --model.lr 0.01
    --data.crop 32 --data.crops_per_epoch 160 --data.batch_size 8 --data.workers 0 --data.augment none
    --data.pages 0-8 --data.val_pages 10-11 --data.foreground_share 0
    --trainer.accelerator cpu --trainer.max_epochs 1 --plan false
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Planes whose masks are what the plane below each shows: no network of single planes can learn that."""
    folder = tmp_path_factory.mktemp("stack")
    smooth = np.stack([gaussian_filter(np.random.default_rng(n).normal(size=(48, 48)), 3) for n in range(13)])
    tifffile.imwrite(folder / "stack.tif", (smooth * 500 + 128).clip(0, 255).astype(np.uint8))
    tifffile.imwrite(folder / "masks.tif", np.roll(smooth > 0, 1, axis=0).astype(np.uint8))
    return folder


def test_masks_that_neighbours_alone_show_are_learned_from_the_start_of_a_2d_model(stack: Path) -> None:
    start = Segmenter(ModelSpec(arch="plain_unet", base_channels=8, batch_norm=True, depth=3))
    save_model(start, stack / "single.safetensors")
    given = ["--data.train", str(stack / "stack.tif"), "--data.masks", str(stack / "masks.tif"), "--runs", str(stack)]
    given += ["--model.planes", "3", "--model.weights", str(stack / "single.safetensors"), "--name", "run"]
    with redirect_stdout(StringIO()) as out:
        assert main(["fit", *given, *SETTINGS.split()]) == 0
    assert "first convolution adapted" in out.getvalue()
    model = load_model(stack / "run" / "model.safetensors")
    assert (model.spec.planes, model.spec.in_channels, model.spec.network_inputs) == (3, 1, 3)
    assert model.spec.halo_error is not None
    assert model.spec.training["val_dice"] > 0.75
    pixels, truth = tifffile.imread(stack / "stack.tif"), tifffile.imread(stack / "masks.tif")
    found = predict_tiled(pixels, model, axes="ZYX") > 0
    assert np.mean(found[9] == truth[9]) > 0.75
    for name in ("validation.png", "report.html"):
        assert (stack / "run" / name).is_file()
