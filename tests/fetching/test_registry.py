from __future__ import annotations

import re
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import timm

from unetkit.fetching.registry import HUB, KNOWN_WEIGHTS, KnownWeights
from unetkit.models.encoders import ENCODERS

FAMILIES = {"resnet50", "resnext50_32x4d", "vgg16_bn", "inceptionv4", "inceptionresnetv2"}


@pytest.mark.parametrize("weights", KNOWN_WEIGHTS.values(), ids=list(KNOWN_WEIGHTS))
def test_every_entry_is_whole(weights: KnownWeights) -> None:
    assert weights.files.keys() <= ENCODERS.keys()
    assert weights.files.keys() >= FAMILIES
    assert weights.trained_on
    assert "https://doi.org/" in weights.citation
    assert weights.home.startswith("https://")
    for file in weights.files.values():
        assert file.address.startswith((HUB, "https://"))
        assert file.licence in ("MIT", "BSD-3-Clause", "Apache-2.0")
        assert re.fullmatch("([0-9a-f]{64})?", file.sha256)


def test_the_addresses_of_imagenet_are_those_of_the_libraries_that_fetch_them() -> None:
    files = KNOWN_WEIGHTS["imagenet"].files
    for encoder, name in ENCODERS.items():
        if name in smp.encoders.encoders:
            theirs = smp.encoders.encoders[name]["pretrained_settings"]["imagenet"]["repo_id"]
        else:
            settings = timm.get_pretrained_cfg(name.removeprefix("tu-"))
            theirs = settings.hf_hub_id if settings is not None else None
        assert (files[encoder].address if encoder in files else None) == (f"{HUB}{theirs}" if theirs else None)


def test_the_addresses_of_micronet_are_those_that_nasa_gives() -> None:
    folder = "https://nasa-public-data.s3.amazonaws.com/microscopy_segmentation_models/"
    names = {
        ("micronet", "resnet18"): "resnet18_pretrained_microscopynet_v1.0.pth.tar",
        ("micronet", "resnet50"): "resnet50_pretrained_microscopynet_v1.1.pth.tar",
        ("micronet", "resnext101_32x8d"): "resnext101_pretrained_microscopynet_v1.0.pth.tar",
        ("micronet", "vgg16_bn"): "vgg16_bn_pretrained_microscopynet_v1.0.pth.tar",
        ("image-micronet", "resnet50"): "resnet50_pretrained_imagenet-microscopynet_v1.0.pth.tar",
        ("image-micronet", "inceptionv4"): "inceptionv4_pretrained_imagenet-microscopynet_v1.0.pth.tar",
    }
    for (weights, encoder), name in names.items():
        assert KNOWN_WEIGHTS[weights].files[encoder].address == folder + name


def test_the_docs_name_all_weights_with_what_they_were_trained_on_and_their_licences() -> None:
    page = (Path(__file__).parents[2] / "docs" / "networks.md").read_text(encoding="utf-8")
    rows = {row.split("`")[1]: row for row in page.splitlines() if row.startswith("| `")}
    for name, weights in KNOWN_WEIGHTS.items():
        assert weights.trained_on.partition(":")[0] in rows[name]
        assert all(file.licence in rows[name] for file in weights.files.values())
        assert weights.citation.rpartition(" ")[2] in page or name == "imagenet"
    assert ENCODERS.keys() - KNOWN_WEIGHTS["imagenet"].files.keys() == {"resnetv2_152"}
