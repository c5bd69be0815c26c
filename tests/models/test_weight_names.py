from __future__ import annotations

import pytest
import timm
import torch
import torchvision

from unetkit.fetching.registry import KNOWN_WEIGHTS
from unetkit.models.spec import ModelSpec
from unetkit.models.unet import build_network
from unetkit.models.weight_names import own_name

TIMM_NAMES = {"inceptionv4": "inception_v4", "inceptionresnetv2": "inception_resnet_v2"}


def encoder_names(encoder: str) -> set[str]:
    with torch.device("meta"):
        names = build_network(ModelSpec(encoder, in_channels=3)).state_dict()
    return {name for name in names if name.startswith("encoder.")}


@pytest.mark.parametrize("encoder", ["resnet18", "resnext50_32x4d", "vgg11", "vgg13_bn"])
def test_all_weights_of_an_encoder_are_found_under_the_names_of_torchvision(encoder: str) -> None:
    with torch.device("meta"):
        theirs = getattr(torchvision.models, encoder)().state_dict()
    own = encoder_names(encoder)
    assert {own_name(name, own) for name in theirs} >= own


@pytest.mark.parametrize("encoder", ["resnet34", "resnetv2_18", "resnetv2_50", "vgg16_bn", *TIMM_NAMES])
def test_all_weights_of_an_encoder_are_found_under_the_names_of_timm(encoder: str) -> None:
    with torch.device("meta"):
        theirs = timm.create_model(TIMM_NAMES.get(encoder, encoder)).state_dict()
    own = encoder_names(encoder)
    assert {own_name(name, own) for name in theirs} >= own


@pytest.mark.parametrize("encoder", ["resnet18", "resnetv2_18", "vgg11_bn", "inceptionv4"])
@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "encoder.", "backbone.", "model.encoder.", "module.encoder_q.", "_orig_mod.", "teacher.backbone."],
)
def test_an_encoder_is_found_behind_the_prefixes_of_programs(encoder: str, prefix: str) -> None:
    own = encoder_names(encoder)
    for name in own:
        assert own_name(prefix + name.removeprefix("encoder."), own) == name


def test_names_of_vgg_in_its_older_forms_are_understood() -> None:
    own = encoder_names("vgg11_bn")
    for name in ("0.weight", "features.0.weight", "_features.0.weight", "features.module.0.weight"):
        assert own_name(name, own) == "encoder.features.0.weight"


def test_what_a_network_has_not_is_no_weight_of_it() -> None:
    own = encoder_names("resnet18")
    for name in ("fc.weight", "classifier.0.weight", "last_linear.bias", "optimizer"):
        assert own_name(name, own) not in own


def test_steps_of_a_decoder_of_another_depth_keep_their_names() -> None:
    name = "decoder.blocks.4.conv1.0.weight"
    assert own_name(f"model.{name}", encoder_names("resnet18")) == name


def test_known_weights_are_of_encoders_whose_names_were_tried() -> None:
    tried = {"resnet", "resnext", "resnetv2", "vgg", "inception"}
    for weights in KNOWN_WEIGHTS.values():
        assert all(encoder.startswith(tuple(tried)) for encoder in weights.files)
