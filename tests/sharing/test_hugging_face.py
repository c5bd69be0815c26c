"""Folders for the Hugging Face Hub: unetkit and smp open them, and the Hub's own client understands the card."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file

import unetkit
from unetkit.errors import ConfigError, ModelError
from unetkit.models.model_file import MODEL_FILE
from unetkit.models.normalization import Normalization
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec
from unetkit.sharing.model_card import model_name
from unetkit.sharing.said import SaidOptions
from unetkit.zoo.kinds import kind_of
from unetkit.zoo.references import model_files

SMALL = ModelSpec(
    encoder="resnet18",
    depth=3,
    decoder_channels=(32, 16, 8),
    halo=16,
    training={"epoch": 3, "epochs": 4, "val_dice": 0.91234, "val_f1": 0.5, "val_pq": float("nan")}
    | {"data": {"train": "cells", "train_images": 8, "val_images": ["a", "b"]}},
)


def model(**changes: object) -> Segmenter:
    """A small model with random weights, and batch norms as if it had been trained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        segmenter = Segmenter(replace(SMALL, **changes)).eval()
        for module in segmenter.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
    segmenter.name = "runs/cells-1/model.safetensors"
    return segmenter


def exported(segmenter: Segmenter, folder: Path, **options: object) -> tuple[ModelCard, list[str]]:
    said: list[str] = []
    unetkit.export(segmenter, folder, format="huggingface", log=said.append, **options)
    return ModelCard.load(folder / "README.md"), said


def test_unetkit_opens_the_folder_and_its_file(tmp_path: Path) -> None:
    own = model(instances=True)
    exported(own, tmp_path / "cells")
    assert sorted(path.name for path in (tmp_path / "cells").iterdir()) == ["README.md", "config.json", MODEL_FILE]
    assert model_files(tmp_path / "cells") == [tmp_path / "cells" / MODEL_FILE]
    loaded = unetkit.load_model(tmp_path / "cells" / MODEL_FILE)
    weights = own.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in loaded.state_dict().items())


def test_half_of_the_weights_bytes_are_left_with_half(tmp_path: Path) -> None:
    exported(model(), tmp_path / "full")
    exported(model(), tmp_path / "half", half=True)
    full, half = ((tmp_path / name / MODEL_FILE).stat().st_size for name in ("full", "half"))
    assert half < 0.55 * full


def test_the_description_is_readable_and_without_names_of_files(tmp_path: Path) -> None:
    exported(model(), tmp_path / "cells")
    config = json.loads((tmp_path / "cells" / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == "unetkit"
    assert (config["encoder"], config["halo"], config["unetkit_version"]) == ("resnet18", 16, unetkit.__version__)
    assert "_model_class" not in config
    assert "val_images" not in config["training"]["data"]


def test_the_hub_reads_licence_task_tags_data_and_scores_of_the_card(tmp_path: Path) -> None:
    card, _ = exported(model(), tmp_path / "cells", license="CC-BY-4.0", tags=["liver"], training_data="ada/cells")
    data = card.data.to_dict()
    assert (data["license"], data["library_name"], data["pipeline_tag"]) == (
        "cc-by-4.0",
        "unetkit",
        "image-segmentation",
    )
    assert "liver" in data["tags"]
    assert data["datasets"] == ["ada/cells"]
    assert data["metrics"] == ["dice", "f1"]  # a score that is NaN is none
    assert {result.metric_type: result.metric_value for result in card.data.eval_results} == {"dice": 0.9123, "f1": 0.5}
    assert {result.dataset_split for result in card.data.eval_results} == {"validation"}


def test_a_licence_that_the_hub_does_not_know_keeps_its_name(tmp_path: Path) -> None:
    card, _ = exported(model(), tmp_path / "cells", license="Our Lab Licence 1.0")
    assert (card.data.license, card.data.license_name) == ("other", "our-lab-licence-1.0")


def test_a_model_without_scores_and_licence_has_a_card_that_says_so(tmp_path: Path) -> None:
    card, said = exported(model(training={}), tmp_path / "cells")
    assert not {"license", "model-index", "metrics", "datasets"} & card.data.to_dict().keys()
    assert "states no scores" in card.text
    assert "not stated" in card.text
    assert any("--license" in sentence for sentence in said)


def test_the_line_that_uploads_the_folder_is_printed(tmp_path: Path) -> None:
    _, said = exported(model(), tmp_path / "out", license="MIT")
    assert any(f"hf upload OWNER/cells-1 {str(tmp_path / 'out')!r}" in sentence for sentence in said)
    assert not any("--license" in sentence for sentence in said)


@pytest.mark.parametrize(
    ("title", "name"), [("Cells (2026)", "Cells-2026"), ("a--b..", "a-b"), ("Zähler", "Z-hler"), (None, "cells-1")]
)
def test_names_are_such_as_the_hub_allows(title: str | None, name: str) -> None:
    assert model_name(model(), SaidOptions(title=title)) == name


DATASET = Normalization(scope="dataset", center=(100.0,), scale=(2000.0,))
KINDS = {
    "one class": {},
    "instances": {"instances": True},
    "several classes": {"classes": 4},
    "several planes": {"planes": 3},
    "stored values": {"normalization": DATASET},
    "full depth": {"depth": 5, "decoder_channels": (32, 16, 16, 8, 8)},
    "pre-activation ResNet": {"encoder": "resnetv2_18"},
    "VGG": {"encoder": "vgg11_bn"},
    "Inception": {"encoder": "inceptionv4"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_smp_opens_its_layout_and_computes_the_same_logits(kind: str, tmp_path: Path) -> None:
    own = model(**KINDS[kind])
    exported(own, tmp_path / "cells", smp_layout=True)
    network = smp.from_pretrained(tmp_path / "cells").eval()
    normalised = torch.rand(2, own.spec.network_inputs, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(network(normalised), own.network(normalised), rtol=0, atol=1e-5)


@pytest.mark.parametrize("half", [False, True])
def test_unetkit_opens_what_it_wrote_for_smp_with_all_it_knows(half: bool, tmp_path: Path) -> None:
    own = model(instances=True, normalization=DATASET, threshold=0.4)
    exported(own, tmp_path / "cells", smp_layout=True, half=half)
    assert kind_of(tmp_path / "cells") is not None
    loaded = unetkit.load_model(tmp_path / "cells")
    assert loaded.spec == replace(own.spec, unetkit_version=unetkit.__version__, training=loaded.spec.training)
    values = torch.rand(1, 1, 64, 64) * 3000, torch.tensor([[100.0]]), torch.tensor([[2000.0]])
    with torch.inference_mode():
        difference = (loaded(*values) - own(*values)).abs().max()
    assert difference < (1e-2 if half else 1e-6)


def test_a_changed_weight_in_smps_layout_is_noticed(tmp_path: Path) -> None:
    exported(model(), tmp_path / "cells", smp_layout=True)
    path = tmp_path / "cells" / MODEL_FILE
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        unetkit.load_model(tmp_path / "cells")


def test_weights_of_another_network_in_smps_layout_are_refused(tmp_path: Path) -> None:
    exported(model(), tmp_path / "cells", smp_layout=True)
    path = tmp_path / "cells" / MODEL_FILE
    description = {"unetkit": replace(SMALL, classes=5).to_json()}
    save_file(load_file(path), path, metadata=description)
    with pytest.raises(ModelError, match="not of the network"):
        unetkit.load_model(tmp_path / "cells")


def test_the_card_of_smps_layout_states_the_numbers_and_the_unused_stages(tmp_path: Path) -> None:
    card, _ = exported(model(normalization=DATASET), tmp_path / "shallow", smp_layout=True)
    assert "(pixels - 100) / 2000" in card.text
    assert "encoder.layer4" in card.text
    assert card.data.library_name == "segmentation-models-pytorch"
    deep, _ = exported(model(**KINDS["full depth"]), tmp_path / "deep", smp_layout=True)
    assert "never uses" not in deep.text


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"arch": "plain_unet", "encoder": "resnet34", "decoder_channels": ModelSpec().decoder_channels}, "plain_unet"),
        ({"dims": 3, "pooling": ((2, 2, 2),) * 3}, "volumes"),
        ({"image_classes": ("ill", "well"), "image_size": 64}, "whole images"),
        ({"task": "reconstruction", "residual": True}, "adds its input"),
    ],
)
def test_what_smp_has_not_is_said_in_a_sentence_and_leaves_nothing(
    changes: dict[str, object], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=reason):
        exported(model(**changes), tmp_path / "cells", smp_layout=True)
    assert not list(tmp_path.iterdir())
    exported(model(**changes), tmp_path / "cells")  # unetkit's own layout takes them all
    assert unetkit.load_model(tmp_path / "cells" / MODEL_FILE).spec.arch == changes.get("arch", "unet")


def test_a_cover_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cover"):
        exported(model(), tmp_path / "cells", cover=tmp_path / "image.png")


def test_the_card_of_the_built_in_model_says_how_good_it_is_and_where_it_fails(tmp_path: Path) -> None:
    card, _ = exported(unetkit.load_model("nuclei"), tmp_path / "nuclei", license="BSD-3-Clause")
    assert "Where it fails" in card.text
    assert "How it was made" not in card.text
    assert card.data.model_name == "nuclei"
