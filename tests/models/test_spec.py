from __future__ import annotations

import json
from typing import Any

import pytest
from choices import random_choice

from unetkit.foundation.errors import ConfigError, ModelError
from unetkit.models.normalization import Normalization
from unetkit.models.spec import FORMAT_VERSION, ModelSpec, TrainingImages


def changed(**values: Any) -> str:
    return json.dumps({**json.loads(ModelSpec().to_json()), **values})


def test_a_halo_is_one_number_or_one_for_each_axis() -> None:
    for halo, written in ((96, 96), ((4, 32, 32), [4, 32, 32])):
        text = ModelSpec(halo=halo).to_json()
        assert json.loads(text)["halo"] == written
        assert ModelSpec.from_json(text, "file").halo == halo


def test_everything_survives_json() -> None:
    spec = ModelSpec(
        encoder="resnet50",
        in_channels=2,
        classes=3,
        depth=4,
        decoder_channels=(64, 32, 16, 8),
        normalization=Normalization("mean_std", "dataset", channelwise=True, center=(1.5, 2), scale=(3, 4.25)),
        threshold=0.4,
        min_confidence=0.65,
        halo=96,
        halo_error=1e-5,
        channel_names=("DAPI", "Größe µ"),
        class_names=("background", "cell", "border"),
        pixel_size_um=(0.5, 0.25),
        training_images=TrainingImages(
            ("uint16", "uint8"), low=(0, 1.5), high=(255, 4095), contrast=(20, 0.0), digests=("ab",)
        ),
        training={"epochs": 7, "data": {"images": 12}},
        unetkit_version="0.1.0",
        choice=random_choice(),
    )
    assert ModelSpec.from_json(spec.to_json(), "file") == spec
    assert json.loads(spec.to_json())["format_version"] == FORMAT_VERSION


def test_a_file_from_before_the_training_images_were_described_can_be_read() -> None:
    values = json.loads(ModelSpec().to_json())
    del values["training_images"]
    assert ModelSpec.from_json(json.dumps(values), "file").training_images is None


def test_a_file_from_before_objects_were_chosen_can_be_read() -> None:
    values = json.loads(ModelSpec().to_json())
    del values["choice"]
    assert ModelSpec.from_json(json.dumps(values), "file").choice is None


def test_a_choice_that_does_not_fit_is_a_model_error() -> None:
    values = json.loads(ModelSpec(choice=random_choice()).to_json())
    values["choice"]["center"] = [0.0]
    with pytest.raises(ModelError, match="not possible"):
        ModelSpec.from_json(json.dumps(values), "file")


def test_a_file_from_before_there_were_other_architectures_can_be_read() -> None:
    values = json.loads(ModelSpec().to_json())
    for name in ("arch", "base_channels", "padding", "batch_norm"):
        del values[name]
    assert ModelSpec.from_json(json.dumps(values), "file") == ModelSpec()


def test_a_file_from_before_whole_images_had_a_threshold_can_be_read() -> None:
    spec = ModelSpec(image_classes=("a", "b"), image_size=64)
    values = json.loads(spec.to_json())
    for name in ("image_head_hidden", "image_head_dropout", "image_threshold"):
        del values[name]
    read = ModelSpec.from_json(json.dumps(values), "file")
    assert read == spec
    assert (read.image_head_hidden, read.image_threshold) == (0, 0.5)


def test_a_plain_unet_survives_json() -> None:
    spec = ModelSpec(arch="plain_unet", depth=4, base_channels=8, padding="valid", batch_norm=True)
    assert ModelSpec.from_json(spec.to_json(), "file") == spec


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"padding": "valid"}, "padding"),
        ({"batch_norm": True}, "batch_norm"),
        ({"base_channels": 32}, "base_channels"),
        ({"arch": "plain_unet", "encoder": "resnet18"}, "encoder"),
        ({"arch": "plain_unet", "depth": 3, "decoder_channels": (8, 8, 8)}, "decoder_channels"),
    ],
)
def test_what_only_another_architecture_has_is_an_error(values: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} has no meaning for arch"):
        ModelSpec(**values)


def test_the_margin_is_what_valid_convolutions_take_away() -> None:
    """The paper's 572 x 572 pixels give 388 x 388."""
    assert ModelSpec(arch="plain_unet", depth=4, padding="valid").margin == (572 - 388) // 2
    assert ModelSpec(arch="plain_unet", depth=4).margin == ModelSpec().margin == 0


def test_stride_and_outputs_follow_from_depth_and_classes() -> None:
    assert ModelSpec().stride == 32
    assert ModelSpec(depth=3, decoder_channels=(32, 16, 8)).stride == 8
    assert (ModelSpec(classes=2).out_channels, ModelSpec(classes=5).out_channels) == (1, 5)


def test_a_network_that_reconstructs_gives_the_channels_of_the_image() -> None:
    assert ModelSpec(in_channels=3, task="reconstruction").network_channels == 3
    assert ModelSpec(in_channels=3).network_channels == 1


def test_an_unknown_encoder_names_the_closest() -> None:
    with pytest.raises(ConfigError, match=r"There is no encoder 'resnet43'. Did you mean 'resnet34'"):
        ModelSpec(encoder="resnet43")


@pytest.mark.parametrize(
    "values",
    [
        {"depth": 6},
        {"arch": "unett"},
        {"arch": "plain_unet", "padding": "reflect"},
        {"arch": "plain_unet", "base_channels": 0},
        {"depth": 4},
        {"in_channels": 0},
        {"classes": 1},
        {"classes": 257},
        {"classes": 3, "instances": True},
        {"arch": "plain_unet", "image_classes": ("ill",), "image_size": 64},
        {"threshold": 0.0},
        {"threshold": 1.0},
        {"in_channels": 3, "training_images": TrainingImages(("uint8",), low=(0,), high=(9,), contrast=(1,))},
        {"in_channels": 3, "normalization": Normalization(scope="dataset", center=(1.0,), scale=(1.0,))},
    ],
)
def test_impossible_values_are_errors(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ModelSpec(**values)


def test_the_wrong_number_of_decoder_channels_gets_an_example_that_works() -> None:
    with pytest.raises(ConfigError, match="depth of 3") as caught:
        ModelSpec(depth=3)
    assert "[64, 32, 16]" in caught.value.remedy
    ModelSpec(depth=3, decoder_channels=(64, 32, 16))


@pytest.mark.parametrize(("low", "high"), [(50, 50), (99, 1), (-1, 99), (1, 101)])
def test_percentiles_out_of_order_are_an_error(low: float, high: float) -> None:
    with pytest.raises(ConfigError, match="out of order"):
        Normalization(low=low, high=high)


def test_one_zero_for_all_images_turns_none_around() -> None:
    with pytest.raises(ConfigError, match="scope: image"):
        Normalization(scope="dataset", bright_background="invert")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[]",
        "3",
        "{}",
        '{"format_version": 1}',
        changed(format_version="one"),
        changed(encoder="vit"),
        changed(encoder=[]),
        changed(depth="5"),
        changed(depth=9),
        changed(normalization=None),
        changed(normalization=[]),
        changed(normalization={"method": "percentile", "colour": 1}),
        changed(normalization={"low": 9, "high": 1}),
        changed(training_images=[]),
        changed(training_images={"low": [0]}),
        changed(training_images={"dtypes": ["uint8"], "low": [0], "high": [9], "contrast": 1}),
        changed(surprise=1),
        changed(decoder_channels=None),
    ],
)
def test_a_description_that_makes_no_sense_is_a_model_error_that_names_the_file(text: str) -> None:
    with pytest.raises(ModelError, match="FILE"):
        ModelSpec.from_json(text, "FILE")


def test_a_newer_format_says_to_upgrade() -> None:
    with pytest.raises(ModelError, match=r"newer unetkit \(9\.1\)") as caught:
        ModelSpec.from_json(changed(format_version=FORMAT_VERSION + 1, unetkit_version="9.1"), "FILE")
    assert "pip install --upgrade" in caught.value.remedy
