from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from unetkit.data.datamodule import SegmentationData
from unetkit.data.transforms import resolve_augmentation
from unetkit.foundation.errors import ConfigError
from unetkit.models.architectures import ARCHITECTURES, ArchitectureInfo
from unetkit.models.normalization import Normalization
from unetkit.models.spec import ModelSpec
from unetkit.planning.choice import Network
from unetkit.planning.choose import BATCH_SIZES, CROP_SIDES, choose
from unetkit.planning.choose_length import (
    EPOCHS_RANGE,
    MINUTES,
    RESERVED_SHARE,
    TOTAL_CROPS,
    VALIDATION_COST,
    VALIDATION_SHARE,
)
from unetkit.planning.choose_network import START_DICE
from unetkit.planning.machine import Machine
from unetkit.planning.measure import Facts, Kind
from unetkit.planning.start import NETWORK_SETTINGS, WINDOW, take_over
from unetkit.planning.trial import Trial

LAPTOP = Machine("cpu", "a processor", 4, False, 8 * 2**30, 8 * 2**30)
WORKSTATION = Machine("cuda", "a GPU", 16, True, 64 * 2**30, 24 * 2**30)
NUCLEI = Facts(
    images=466,
    files=466,
    channels=3,
    channel_kinds=(1, 3),
    dtypes=("uint8",),
    sides=(256, 256, 1040),
    pixels=60_000_000,
    area=60_000_000,
    annotated=1.0,
    partly=0,
    nbytes=10**8,
    foreground=0.14,
    foreground_range=(0.03, 0.3),
    brighter=0.8,
    brighter_inverted=1.0,
    kind="instances",
    classes=2,
    diameters=(10.0, 20.0, 40.0),
    objects=20_000,
    touching=0.2,
    width=20.0,
)


def chosen(
    facts: Facts = NUCLEI,
    machine: Machine = LAPTOP,
    given: dict[str, Any] | None = None,
    seconds: float = 0.1,
    trial: Trial | None = None,
) -> dict[str, Any]:
    choices = choose(facts, machine, given or {}, lambda: trial, lambda network, crop, batch: seconds)
    assert all(choice.why for choice in choices)
    return {choice.key: choice.value for choice in choices}


def test_numbers_that_could_be_classes_are_objects_where_the_user_says_so() -> None:
    facts = replace(NUCLEI, kind="classes", classes=13)
    assert chosen(facts)["model.classes"] == 13
    assert "model.classes" not in chosen(facts, given={"model.instances": True})


def test_classes_that_were_drawn_are_named_as_the_reason() -> None:
    facts = replace(NUCLEI, kind="classes", classes=3, class_names=("stroma", "tumour"))
    choices = choose(facts, LAPTOP, {}, lambda: None, lambda *_: 0.1)
    (choice,) = (choice for choice in choices if choice.key == "model.classes")
    assert (choice.value, choice.why) == (3, "the annotations have the classes stroma, tumour")


def test_what_is_given_is_kept_and_the_rest_fits_it() -> None:
    given = {"data.crop": 512, "data.augment": "none", "trainer.max_epochs": 3}
    settings = chosen(given=given)
    assert given.items() <= settings.items()
    assert settings["data.batch_size"] == BATCH_SIZES[0]
    assert "data.augment_options" not in settings


def test_nothing_is_timed_where_the_length_is_given() -> None:
    def never(network: Network, crop: int, batch: int) -> float:
        raise AssertionError

    choose(NUCLEI, LAPTOP, {"data.crops_per_epoch": 8, "trainer.max_epochs": 1}, lambda: None, never)


@pytest.mark.parametrize(
    ("given", "network"),
    [
        ({}, {"encoder": "resnet18", "depth": 4, "decoder_channels": [64, 32, 16, 16]}),
        ({"model.depth": 3}, {"encoder": "resnet18", "depth": 3, "decoder_channels": (64, 32, 16)}),
        (
            {"model.encoder": "vgg11", "model.arch": "unet", "model.depth": 4, "model.decoder_channels": [8, 8, 8, 8]},
            {"arch": "unet", "encoder": "vgg11", "depth": 4, "decoder_channels": [8, 8, 8, 8]},
        ),
        (
            {"model.arch": "plain_unet", "model.depth": 3, "model.padding": "valid"},
            {"arch": "plain_unet", "base_channels": 24, "batch_norm": True, "depth": 3, "padding": "valid"},
        ),
    ],
)
def test_what_is_timed_is_the_network_that_is_trained(given: dict[str, Any], network: dict[str, Any]) -> None:
    timed: list[Network] = []
    choose(NUCLEI, LAPTOP, given, lambda: None, lambda network, *_: timed.append(network) or 0.1)
    assert timed == [network]


@pytest.mark.parametrize("has_encoder", [True, False])
def test_an_architecture_that_is_added_is_planned_with_the_settings_that_it_has(
    has_encoder: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"encoder", "depth"} if has_encoder else {"base_channels", "depth"}
    usual = {field.name: field.default for field in fields(ModelSpec)}
    unused = {name: usual[name] for name in set(NETWORK_SETTINGS) - own - {"arch"}}
    monkeypatch.setitem(ARCHITECTURES, "added", ArchitectureInfo("nowhere:build", has_encoder, unused))
    timed: list[Network] = []
    choose(NUCLEI, LAPTOP, {"model.arch": "added"}, lambda: None, lambda network, *_: timed.append(network) or 0.1)
    (network,) = timed
    assert set(network) == {"arch"} | own
    assert ModelSpec(**network).stride == 2 ** network["depth"]


def test_a_gpu_gets_a_larger_network_and_more_to_do() -> None:
    laptop, workstation = chosen(), chosen(machine=WORKSTATION, seconds=0.002)
    assert (laptop["model.encoder"], workstation["model.encoder"]) == ("resnet18", "resnet34")
    assert chosen(replace(NUCLEI, pixels=10**9, area=10**9), WORKSTATION)["model.encoder"] == "resnet50"
    assert workstation["data.batch_size"] > laptop["data.batch_size"]
    total = [settings["data.crops_per_epoch"] * settings["trainer.max_epochs"] for settings in (laptop, workstation)]
    assert total[1] > 3 * total[0]
    assert workstation["trainer.devices"] == 1
    assert "trainer.devices" not in laptop


@pytest.mark.parametrize("machine", [LAPTOP, WORKSTATION])
def test_thin_structures_are_seen_at_full_resolution_unless_the_network_is_given(machine: Machine) -> None:
    membranes = replace(NUCLEI, width=7.0, kind="binary", touching=0.0)
    timed: list[Network] = []

    def time(network: Network, crop: int, batch: int) -> float:
        timed.append(network)
        return 0.1

    settings = {choice.key: choice.value for choice in choose(membranes, machine, {}, lambda: None, time)}
    assert settings["model.arch"] == "plain_unet"
    assert "model.encoder" not in settings
    assert timed == [{name: settings[f"model.{name}"] for name in ("arch", "base_channels", "batch_norm", "depth")}]
    ModelSpec(**timed[0])
    wide = chosen(machine=machine)
    assert "model.arch" not in wide
    assert settings["data.batch_size"] < wide["data.batch_size"]
    assert chosen(membranes, machine, {"model.encoder": "resnet34"}).keys() == wide.keys()
    assert "model.encoder" in chosen(membranes, machine, {"model.arch": "unet"})
    assert "model.encoder" in chosen(membranes, machine, {"model.weights": "micronet"}), "the weights are an encoder's"
    given = chosen(NUCLEI, machine, {"model.arch": "plain_unet", "model.base_channels": 8})
    assert given["model.base_channels"] == 8
    assert "model.encoder" not in given


@pytest.mark.parametrize(
    ("machine", "widest", "given", "shallow"),
    [
        (LAPTOP, 64.0, {}, True),
        (LAPTOP, 65.0, {}, False),
        (LAPTOP, 0.0, {}, False),
        (WORKSTATION, 40.0, {}, False),
        (LAPTOP, 40.0, {"model.weights": "imagenet"}, False),
        (LAPTOP, 40.0, {"model.depth": 5}, False),
        (LAPTOP, 40.0, {"model.decoder_channels": [64, 32, 16, 16, 16]}, False),
        (LAPTOP, 40.0, {"model.encoder": "resnet34"}, True),
    ],
)
def test_small_objects_take_a_shallow_network_on_a_processor(
    machine: Machine, widest: float, given: dict[str, Any], shallow: bool
) -> None:
    settings = given | chosen(replace(NUCLEI, diameters=(0.0, 0.0, widest)), machine, given)
    names = ("encoder", "depth", "decoder_channels")
    network = {name: value for name in names if (value := settings.get(f"model.{name}"))}
    assert ModelSpec(**network).depth == (4 if shallow else 5)


def test_training_starts_from_the_builtin_model_where_it_knows_the_objects() -> None:
    settings = {
        "model.encoder": "resnet18",
        "model.depth": 5,
        "model.decoder_channels": [128, 64, 32, 16, 16],
        "data.normalization.method": "percentile",
        "data.normalization.bright_background": "keep",
    }
    full = replace(NUCLEI, foreground_range=(0.6, 0.9))
    known = chosen(full, WORKSTATION, trial=Trial("nuclei", settings, START_DICE))
    assert known["model.weights"] == "nuclei"
    assert settings.items() <= known.items()
    assert known["model.lr"] == 0.001
    unknown = chosen(full, WORKSTATION, trial=Trial("nuclei", settings, START_DICE - 0.01))
    assert "model.weights" not in unknown
    assert not settings.items() & unknown.items()
    assert unknown["model.lr"] == 0.002
    assert chosen(full, WORKSTATION, {"model.weights": "imagenet"})["model.lr"] == 0.001


def test_random_weights_that_are_asked_for_are_planned_for_though_the_builtin_model_knows_the_objects() -> None:
    knows = Trial("nuclei", {"model.encoder": "resnet18", "model.depth": 4}, 0.95)
    assert chosen(trial=knows)["model.weights"] == "nuclei"
    random = chosen(given={"model.weights": None}, trial=knows)
    assert random["model.lr"] == 0.002
    assert {key: random[key] for key in ("model.depth", "model.lr")} == {
        key: chosen(trial=None)[key] for key in ("model.depth", "model.lr")
    }
    assert random.get("model.weights") is None


NARROW = ModelSpec(encoder="resnet18", depth=4, decoder_channels=(64, 32, 16, 16), instances=True)
PLAIN = ModelSpec(arch="plain_unet", base_channels=16, depth=3, normalization=Normalization("mean_std", "dataset"))


def chosen_from(start: ModelSpec, facts: Facts = NUCLEI, **given: Any) -> dict[str, Any]:
    given = {
        "model.weights": "runs/mine/model.safetensors",
        **{name.replace("__", "."): one for name, one in given.items()},
    }
    choices = choose(facts, LAPTOP, given, lambda: None, lambda *_: 0.1, start=start)
    return {choice.key: choice.value for choice in choices}


def test_a_run_that_starts_from_a_model_takes_over_its_network_whatever_the_data() -> None:
    thin = replace(NUCLEI, width=5.0, foreground_range=(0.6, 0.9))
    settings = chosen_from(NARROW, thin)
    assert "model.arch" not in settings
    assert (settings["model.encoder"], settings["model.depth"]) == ("resnet18", 4)
    assert settings["model.decoder_channels"] == [64, 32, 16, 16]
    assert settings["data.normalization.method"] == "percentile"
    assert settings["model.lr"] == 0.001
    settings = chosen_from(PLAIN)
    assert (settings["model.arch"], settings["model.base_channels"], settings["model.depth"]) == ("plain_unet", 16, 3)
    assert (settings["data.normalization.method"], settings["data.normalization.scope"]) == ("mean_std", "dataset")
    assert "model.encoder" not in settings
    assert chosen_from(NARROW, model__depth=5)["model.depth"] == 5


@pytest.mark.parametrize(("kind", "kept"), [("instances", True), ("binary", False)])
def test_a_start_that_separates_objects_goes_on_to_where_the_masks_number_them(kind: Kind, kept: bool) -> None:
    facts = replace(NUCLEI, kind=kind, touching=0.0)
    assert chosen_from(NARROW, facts)["model.instances"] is kept
    assert chosen_from(NARROW, facts, model__instances=not kept)["model.instances"] is not kept


@pytest.mark.parametrize(
    ("kind", "several", "kept"), [("instances", 0.9, True), ("binary", 0.05, True), ("binary", 0.3, False)]
)
def test_what_tells_objects_apart_is_kept_where_the_masks_show_single_objects(
    kind: Kind, several: float, kept: bool
) -> None:
    trial = Trial("nuclei", {"model.encoder": "resnet18"}, 0.9, instances=True, several=several)
    facts = replace(NUCLEI, kind=kind, touching=0.0)
    assert chosen(facts, trial=trial)["model.instances"] is kept
    assert chosen(facts, given={"model.instances": not kept}, trial=trial)["model.instances"] is not kept
    assert chosen(facts, trial=replace(trial, dice=START_DICE - 0.01))["model.instances"] is False


@pytest.mark.parametrize(
    ("facts", "given"),
    [
        (NUCLEI, {"model.encoder": "resnet50"}),
        (NUCLEI, {"model.weights": "imagenet"}),
        (NUCLEI, {"model.arch": "plain_unet"}),
        (NUCLEI, {"model.in_channels": 1}),
        (NUCLEI, {"data.normalization.scope": "dataset"}),
        (NUCLEI, {"data.normalization.window": [0, 255]}),
        (replace(NUCLEI, kind="classes", classes=3), {}),
        (replace(NUCLEI, width=5.0), {}),
    ],
)
def test_the_builtin_model_is_not_tried_where_network_or_normalisation_are_others(
    facts: Facts, given: dict[str, Any]
) -> None:
    def never() -> None:
        raise AssertionError

    choose(facts, LAPTOP, given, never, lambda *_: 0.1)


def test_beside_a_window_of_values_no_normalisation_is_chosen() -> None:
    settings = chosen(given={WINDOW: [-1000, 1000]})
    assert not [key for key in settings if key.startswith("data.normalization.")]


@pytest.mark.parametrize(
    ("normalization", "taken"),
    [
        (Normalization(window=(-1000.0, 1000.0)), {"window": [-1000.0, 1000.0]}),
        (
            Normalization("mean_std", "dataset", 0.5, 99.5, of="foreground"),
            {
                **{"method": "mean_std", "scope": "dataset", "bright_background": "keep"},
                **{"of": "foreground", "low": 0.5, "high": 99.5},
            },
        ),
    ],
)
def test_a_start_hands_on_what_its_normalisation_needs(normalization: Normalization, taken: dict[str, Any]) -> None:
    settings = take_over(ModelSpec(normalization=normalization))
    prefix = "data.normalization."
    assert {key.removeprefix(prefix): value for key, value in settings.items() if key.startswith(prefix)} == taken


@pytest.mark.parametrize(("large", "side", "crop"), [(40, 1000, 256), (100, 1000, 320), (900, 1000, 320), (40, 90, 96)])
def test_a_crop_holds_several_objects_as_far_as_the_images_go(large: float, side: int, crop: int) -> None:
    facts = replace(NUCLEI, diameters=(10.0, 20.0, large), sides=(side, side, side))
    assert chosen(facts)["data.crop"] == crop
    assert chosen(facts)["data.crop"] <= CROP_SIDES["cpu"][1]


def test_little_memory_gives_small_batches() -> None:
    small = replace(LAPTOP, device_memory=2**30)
    assert BATCH_SIZES[0] <= chosen(machine=small)["data.batch_size"] < chosen()["data.batch_size"]


def test_touching_instances_are_learnt_and_others_not() -> None:
    assert chosen()["model.instances"] is True
    assert chosen(replace(NUCLEI, touching=0.0))["model.instances"] is False
    assert chosen(replace(NUCLEI, kind="binary", touching=0.0))["model.instances"] is False
    classes = chosen(replace(NUCLEI, kind="classes", classes=4))
    assert classes["model.classes"] == 4
    assert "model.instances" not in classes


def test_few_images_are_varied_strongly_and_inverted_only_if_both_occur() -> None:
    small = replace(NUCLEI, images=20, files=20, pixels=20 * 256**2, area=20 * 256**2)
    few = chosen(replace(small, brighter=1.0))
    assert few["data.augment"] == "strong"
    assert few["data.augment_options"]["invert_probability"] == 0
    mixed = chosen(replace(small, brighter=0.6, brighter_inverted=0.6))
    assert "invert_probability" not in mixed["data.augment_options"]
    turned = chosen(replace(small, brighter=0.6, brighter_inverted=1.0))
    assert turned["data.augment_options"]["invert_probability"] == 0
    kept = chosen(replace(small, brighter=0.6), given={"data.normalization.bright_background": "keep"})
    assert "invert_probability" not in kept["data.augment_options"]
    assert chosen()["data.augment"] == "standard"
    for settings in (few, mixed, chosen()):
        resolve_augmentation(settings["data.augment"], settings["data.augment_options"])


@pytest.mark.parametrize(("passes", "augment"), [(20, "standard"), (200, "standard"), (400, "strong")])
@pytest.mark.parametrize("given", [True, False])
def test_few_images_are_varied_by_how_often_they_come(passes: int, augment: str, given: bool) -> None:
    sections = replace(NUCLEI, images=20, files=1, pixels=20 * 256**2, area=20 * 256**2)
    crop, val = 256, 0.25
    crops = passes * (1 - val) * sections.pixels / crop**2
    length = {"data.crops_per_epoch": round(crops / 8), "trainer.max_epochs": 8}
    fixed = {"data.crop": crop, "data.val": val} | (length if given else {"trainer.max_epochs": 8})
    seconds = 60 * MINUTES["cpu"] * (1 - RESERVED_SHARE) / (crops + 8 * val * 20 * VALIDATION_COST)
    settings = chosen(sections, given=fixed, seconds=seconds)
    assert settings["data.augment"] == augment


def test_the_scale_varies_as_the_objects_do() -> None:
    scales = [
        chosen(replace(NUCLEI, diameters=(low, 20.0, 40.0)))["data.augment_options"]["scale"] for low in (38, 25, 4)
    ]
    assert scales == [[0.87, 1.15], [0.79, 1.26], [0.62, 1.6]]
    thin = replace(NUCLEI, diameters=(4, 20.0, 40.0), width=7.0)
    assert chosen(thin)["data.augment_options"]["scale"] == [0.87, 1.15]


def test_rare_foreground_is_looked_for_and_frequent_is_not() -> None:
    shares = [chosen(replace(NUCLEI, foreground=share))["data.foreground_share"] for share in (0.001, 0.14, 0.4, 0.8)]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == 0


def test_the_mean_is_the_zero_only_where_objects_fill_the_images() -> None:
    assert chosen()["data.normalization.method"] == "percentile"
    assert chosen(replace(NUCLEI, foreground_range=(0.7, 0.8)))["data.normalization.method"] == "mean_std"


@pytest.mark.parametrize(
    ("change", "given"),
    [
        ({"brighter": 0.95}, {}),
        ({"brighter_inverted": 0.85}, {}),
        ({"channels": 2, "channel_kinds": (2,)}, {}),
        ({"foreground_range": (0.7, 0.8)}, {}),
        ({}, {"data.normalization.scope": "dataset"}),
    ],
    ids=["bright in all", "cannot be told", "each channel by itself", "zero is the mean", "one zero for all images"],
)
def test_bright_backgrounds_are_inverted_where_that_makes_all_objects_bright(
    change: dict[str, Any], given: dict[str, Any]
) -> None:
    key = "data.normalization.bright_background"
    assert chosen()[key] == "invert"
    assert key not in chosen(replace(NUCLEI, **change), given=given)


@pytest.mark.parametrize(("images", "kept"), [(2, 1), (10, 2), (40, 6), (466, 47), (5000, 50)])
def test_the_images_kept_for_validation(images: int, kept: int) -> None:
    share = chosen(replace(NUCLEI, images=images, files=images))["data.val"]
    assert max(1, round(share * images)) == kept


def test_a_single_image_is_not_validated_on_but_pages_are() -> None:
    assert chosen(replace(NUCLEI, images=1, files=1))["data.val"] == 0
    assert chosen(replace(NUCLEI, images=20, files=1))["data.val"] > 0


def test_validation_that_is_said_otherwise_is_no_share() -> None:
    assert "data.val" not in chosen(given={"data.val_pages": "3-4"})
    assert chosen(given={"data.val": "other"})["data.val"] == "other"


@pytest.mark.parametrize(
    ("seconds", "limit"), [(0.01, "most crops"), (0.1, "time"), (0.5, "time"), (1.0, "time"), (10.0, "fewest crops")]
)
def test_training_takes_the_time_that_suits_the_machine_unless_crops_are_too_many_or_too_few(
    seconds: float, limit: str
) -> None:
    crop, val = 256, 0.1
    settings = chosen(given={"data.crop": crop, "data.val": val}, seconds=seconds)
    epochs = settings["trainer.max_epochs"]
    total = epochs * settings["data.crops_per_epoch"]
    suitable = (1 - RESERVED_SHARE) * MINUTES["cpu"]
    every_epoch = VALIDATION_COST * epochs * val * NUCLEI.pixels / crop**2 * seconds / 60
    minutes = total * seconds / 60 + min(every_epoch, VALIDATION_SHARE * suitable)
    fewest, most = TOTAL_CROPS["cpu"]
    assert EPOCHS_RANGE["cpu"][0] <= epochs <= EPOCHS_RANGE["cpu"][1]
    assert settings["data.crops_per_epoch"] % settings["data.batch_size"] == 0
    if limit == "time":
        assert minutes == pytest.approx(suitable, rel=0.02)
        assert fewest < total < most
    elif limit == "most crops":
        assert total == most
        assert minutes < suitable
    else:
        assert total == fewest
        assert minutes > suitable


@pytest.mark.parametrize("minutes", [1.0, 3.0, 30.0])
@pytest.mark.parametrize("elapsed", [0.0, 20.0])
def test_a_given_time_has_no_number_of_epochs_and_these_are_no_longer_than_it(minutes: float, elapsed: float) -> None:
    seconds, few = 0.05, replace(NUCLEI, images=20, files=20, pixels=20 * 256**2, area=20 * 256**2)
    choices = choose(few, LAPTOP, {}, lambda: None, lambda *_: seconds, minutes, lambda: elapsed)
    settings = {choice.key: choice.value for choice in choices}
    assert "trainer.max_epochs" not in settings
    assert 0 < settings["data.crops_per_epoch"] * seconds <= (60 * minutes - elapsed) / 2
    (length,) = (choice for choice in choices if choice.key == "data.crops_per_epoch")
    total = float(length.why.split(" crops in all")[0].replace(",", ""))
    assert total * seconds <= 60 * minutes - elapsed
    assert (length.doubt is not None) == (total < 640)


def test_a_time_that_teaches_hardly_anything_is_said_with_what_it_gives() -> None:
    choices = choose(NUCLEI, LAPTOP, {}, lambda: None, lambda *_: 0.5, 2, lambda: 10.0)
    (doubt,) = (choice.doubt for choice in choices if choice.doubt is not None)
    assert "2 min are little: there is time for about" in doubt[0]
    assert "on training is worth while here" in doubt[1]
    with pytest.raises(ConfigError, match="too little to train on a single batch") as caught:
        choose(NUCLEI, LAPTOP, {}, lambda: None, lambda *_: 0.5, 0.5, lambda: 25.0)
    assert "Give at least 8 min" in caught.value.remedy


def test_a_busy_machine_is_said_to_be_one() -> None:
    for busy in (False, True):
        choices = choose(NUCLEI, replace(LAPTOP, busy=busy), {}, lambda: None, lambda *_: 0.1)
        assert ("other work" in choices[-1].why) == busy


def test_more_data_than_usual_are_kept_in_memory_where_there_is_room() -> None:
    assert "data.cache_gb" not in chosen()
    large = replace(NUCLEI, nbytes=3 * 2**30)
    assert chosen(large, replace(LAPTOP, memory=32 * 2**30))["data.cache_gb"] > 3
    assert chosen(large, replace(LAPTOP, memory=4 * 2**30))["data.cache_gb"] == 2


@pytest.mark.parametrize("machine", [LAPTOP, WORKSTATION])
@pytest.mark.parametrize("side", [20, 33, 250, 4000])
def test_all_data_settings_are_possible(machine: Machine, side: int) -> None:
    settings = chosen(replace(NUCLEI, sides=(side, side, side)), machine)
    keys = ("crop", "batch_size", "crops_per_epoch", "foreground_share", "augment", "augment_options", "val")
    SegmentationData("somewhere", **{key: settings[f"data.{key}"] for key in keys})
    assert settings["data.crop"] % 32 == 0
