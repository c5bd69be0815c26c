from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from unetkit.foundation.errors import ConfigError
from unetkit.models.pooling import strides_of
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.spec import ModelSpec
from unetkit.training.run.axes import choose_pooling, first_pooling


def test_a_network_of_planes_has_no_pooling_of_its_own() -> None:
    assert first_pooling(2, "auto", 4) == ()
    with pytest.raises(ConfigError, match="no meaning"):
        first_pooling(2, [[2, 2, 2]], 1)


def test_a_network_of_volumes_pools_as_it_is_told_or_everywhere_until_the_voxels_are_known() -> None:
    assert first_pooling(3, "auto", 3) == ((2, 2, 2),) * 3
    assert first_pooling(3, [[1, 2, 2], [2, 2, 2]], 2) == ((1, 2, 2), (2, 2, 2))


def test_the_pooling_follows_the_voxel_and_what_a_crop_has_room_for() -> None:
    spec = ModelSpec(depth=4, decoder_channels=(64, 32, 16, 16), dims=3, pooling=((2, 2, 2),) * 4)
    cubes = choose_pooling(spec, None, None, 64, [(100, 100, 100)])
    assert cubes == ((2, 2, 2),) * 4
    thick = choose_pooling(spec, None, (0.05, 0.004, 0.004), 128, [(27, 512, 512)])
    assert thick == ((1, 2, 2), (1, 2, 2), (1, 2, 2), (2, 2, 2))
    flat = choose_pooling(spec, None, (1, 1, 1), 64, [(13, 200, 200), (9, 300, 100)])
    assert strides_of(flat) == (4, 16, 16)  # 16 planes leave four
    assert choose_pooling(spec, None, (1, 1, 1), [16, 64, 64], [(13, 200, 200)]) == flat


def test_a_model_of_volumes_to_start_from_decides_the_pooling(tmp_path: Path) -> None:
    spec = ModelSpec(
        "resnet18", depth=3, decoder_channels=(16, 8, 8), dims=3, pooling=((1, 2, 2), (2, 2, 2), (1, 2, 2))
    )
    start = tmp_path / "start.safetensors"
    save_model(Segmenter(spec), start)
    other = replace(spec, pooling=((2, 2, 2),) * 3)
    assert choose_pooling(other, str(start), (1, 1, 1), 64, [(64, 64, 64)]) == spec.pooling
