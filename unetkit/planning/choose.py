"""From the facts of a data set and a machine to settings, each with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil, floor, log2, prod, sqrt
from typing import Any

from unetkit.models.architectures import architecture_info
from unetkit.models.pooling import strides_of
from unetkit.models.spec import ModelSpec
from unetkit.planning.choice import Choice, Network
from unetkit.planning.choose_depth import Depth
from unetkit.planning.choose_length import Work, choose_length, count_covering, fit_length
from unetkit.planning.choose_network import BASE_CHANNELS, THIN_WIDTH, Try, choose_network, describe_network
from unetkit.planning.choose_patch import patch_choices
from unetkit.planning.choose_volume import choose_volumes
from unetkit.planning.machine import Machine
from unetkit.planning.measure import Facts
from unetkit.planning.memory import HALF_PRECISION_FACTOR, MEMORY_SHARE
from unetkit.planning.start import WINDOW

LEARNING_RATES = {"random weights": 0.002, "trained weights": 0.001}
"""Highest learning rate of AdamW. From random weights 0.002 measured a little better than 0.001 on membranes. From a
trained model 0.001 measured better on nuclei (`benchmarks/ablations.md`)."""

CROP_SIDES = {"cpu": (256, 320), "gpu": (256, 512)}
"""Sides of the smallest and the largest crop that is wanted, in pixels."""

CROP_OBJECTS = 3.0
"""Large objects (the 90th percentile) that fit side by side into a crop."""

SMALLEST_CROP_SIDE = 64
"""Side of the smallest crop, for images that are smaller than the wanted one, in pixels."""

BATCH_PIXELS = {"cpu": 8 * 256**2, "gpu": 16 * 256**2}
"""Pixels of the crops in a batch."""

BATCH_SIZES = (2, 32)
"""Fewest and most crops in a batch."""

PLAIN_BATCH_FACTOR = 0.5
"""Factor on the batch of the plain U-Net. It takes several times the arithmetic; smaller batches give it more steps."""

ENCODER_TRAINING_BYTES = {"resnet18": 2600, "resnet34": 3000, "resnet50": 5400}
"""Bytes of memory for each pixel of a batch in float32: twice the measured size of what the backward pass needs."""

PLAIN_TRAINING_BYTES = 165
"""Bytes of memory for each pixel of a batch, and each of the first channels of the plain U-Net."""

VALIDATION_SHARES = ((10, 0.2), (100, 0.15), (500, 0.1))
"""Pairs of a number of images and the share to validate on up to that number."""

VALIDATION_IMAGES = 50
"""Images to validate on where there are more images than in `VALIDATION_SHARES`."""

FOREGROUND_SHARES = ((0.02, 0.75), (0.3, 0.5), (0.5, 0.25))
"""Pairs of a share of foreground pixels and the share of the crops around an object up to it; 0 above all of them."""

FEW_IMAGES = 50
"""Up to this many images, the number of passes through them decides on augmentation."""

MANY_PASSES = 300
"""From this many passes on, few images are augmented strongly, as a precaution: of five images in 360 passes, "light",
"standard" and "strong" differed by less than seeds do (`docs/results.md`). Below it neither "light" nor "strong" was
worth it: on 419 images of nuclei they lost 0.06 and 0.07 of Dice in 1.5 passes (`benchmarks/ablations.md`), and on 21
sections of electron microscopy "light" gained 0.001 in 100 passes."""

SCALE_RANGE = (1.15, 1.6)
"""Smallest and largest upper end of the scale of augmentation; the lower end is its inverse."""

MIXED_SHARE = 0.1
"""Objects are both bright and dark if at least this share of the images differs from the others."""

FULL_FOREGROUND_SHARE = 0.5
"""Images are normalised by their mean if nearly all of them have at least this share of foreground."""

TOUCHING_SHARE = 0.01
"""Objects are learnt as single ones if at least this share of them touch another."""

OWN_VALIDATION = {"data.val_pages", "data.folds"}
"""Settings that name what to validate on, in place of a share of the images."""

CACHE_FACTOR = 1.2
"""Room for decoded images, as a multiple of their size; at most half of the free memory."""

USUAL_CACHE_GB = 2.0
"""Default of `data.cache_gb`."""

USUAL_DEPTH = 5
"""Default of `model.depth`."""

Timing = Callable[[Network, Sequence[int], int], float]
"""Function of (network, pixels of a crop along each axis, batch size): the seconds for training on a crop."""


def choose(
    facts: Facts,
    machine: Machine,
    given: Mapping[str, Any],
    try_builtin: Try,
    time: Timing,
    minutes: float | None = None,
    elapsed: Callable[[], float] = lambda: 0.0,
    start: ModelSpec | None = None,
    depth: Depth = Depth(),  # noqa: B008  # frozen
) -> list[Choice]:
    """Choose the settings of a training run.

    Args:
        facts: The data.
        machine: The machine.
        given: Settings that are fixed, by key; the others are chosen to fit them.
        try_builtin: Called at most once, if the network may be that of the built-in model.
        time: Called at most once, if the length of the training is to be chosen.
        minutes: How long the whole run may take; by default what suits the machine.
        elapsed: Returns the seconds of `minutes` that are over.
        start: The model that "model.weights" names, if that is one of unetkit.
        depth: What the network sees.

    Returns:
        The settings in the order of a configuration, with those of the given ones on which others depend.
    """
    chosen: dict[str, Choice] = {}

    def take(choice: Choice) -> Any:
        if choice.key in given:
            choice = Choice(choice.key, given[choice.key], "as given")
        chosen[choice.key] = choice
        return choice.value

    def settings() -> dict[str, Any]:
        return {**given, **{key: choice.value for key, choice in chosen.items()}}

    def take_all(choices: Iterable[Choice]) -> None:
        for choice in choices:
            take(choice)

    take_all(depth.choices)
    if depth.dims == 3:
        volumes = choose_volumes(facts, machine, given, start)
        take_all((*volumes.choices, *patch_choices(volumes.patch, facts.voxel, facts.size)))
        network, crop = volumes.network, volumes.patch.size
    else:
        side = take(choose_crop(facts, machine))
        take_all(choose_network(facts, machine, side, given, try_builtin, start))
        network, crop = describe_network(settings()), (side, side)
    take_all(choose_outputs(facts, given, chosen))
    weights = "trained weights" if settings().get("model.weights") else "random weights"
    take(Choice("model.lr", LEARNING_RATES[weights], f"what AdamW does well with from {weights}"))
    val = 0.0 if OWN_VALIDATION & given.keys() else take(choose_validation(facts))
    batch = chosen["data.batch_size"].value if depth.dims == 3 else take(choose_batch(machine, network, crop[0]))
    take(choose_foreground_share(facts))
    if WINDOW not in given and not {"data.normalization.method", WINDOW} & chosen.keys():
        method = take(choose_normalization(facts))
        if (background := choose_background(facts, method, given)) is not None:
            take(background)
    inverted = chosen.get("data.normalization.bright_background")
    share = 0.0 if isinstance(val, str) else float(val)
    if (cache := choose_cache(facts, machine)) is not None:
        take(cache)
    if {"data.crops_per_epoch", "trainer.max_epochs"} <= given.keys():
        total = given["data.crops_per_epoch"] * given["trainer.max_epochs"]
    else:
        seconds, trained = time(network, crop, batch), weights == "trained weights"
        epochs = given.get("trainer.max_epochs")
        strides = strides_of(network.get("pooling", ((2, 2),) * network.get("depth", USUAL_DEPTH)))
        work = Work(facts, machine, prod(crop), batch, share, seconds, trained, epochs, strides)
        length = choose_length(work) if minutes is None else fit_length(work, minutes, elapsed())
        take_all(length.choices)
        total = length.crops
    augment = take(choose_augmentation(facts, total / count_covering(facts, prod(crop), share)))
    if "data.augment" not in given:
        brighter = facts.brighter_inverted if inverted and inverted.value == "invert" else facts.brighter
        take(choose_augment_options(facts, augment, brighter))
    if machine.device == "cuda":
        take(Choice("trainer.devices", 1, "one GPU; more of them share a batch of this size each"))
    order = ("model", "data", "trainer")
    return sorted(chosen.values(), key=lambda choice: order.index(choice.key.partition(".")[0]))


def choose_outputs(facts: Facts, given: Mapping[str, Any], chosen: Mapping[str, Choice]) -> list[Choice]:
    """Choose the classes, and whether single objects are learnt, as far as neither is given nor chosen already."""
    choices = []
    if facts.classes > 2 and not given.get("model.instances"):
        named = f"the annotations have the classes {', '.join(facts.class_names)}"
        why = named if facts.class_names else f"the masks have the values 0 to {facts.classes - 1}"
        choices.append(Choice("model.classes", facts.classes, why))
    if given.get("model.classes", 2) == 2 and facts.classes == 2 and "model.instances" not in chosen:
        choices.append(choose_instances(facts))
    return choices


def choose_instances(facts: Facts) -> Choice:
    """Choose whether to learn single objects: where the masks number them and they touch."""
    if facts.kind != "instances":
        return Choice("model.instances", False, "the masks do not number the objects")
    if not facts.objects:
        return Choice(
            "model.instances", False, "no numbered object is drawn whole, so what separates them is not known"
        )
    if facts.touching < TOUCHING_SHARE:
        return Choice("model.instances", False, "the numbered objects hardly ever touch, so the mask separates them")
    return Choice(
        "model.instances", True, f"the masks number the objects, and {facts.touching:.0%} of them touch another"
    )


def choose_crop(facts: Facts, machine: Machine) -> Choice:
    """Choose a crop that holds several large objects, within what the images and the machine have room for."""
    least, most = CROP_SIDES["gpu" if machine.gpu else "cpu"]
    wanted = min(max(_whole(CROP_OBJECTS * facts.diameters[2]), least), most)
    fits = max(_whole(facts.sides[1]), SMALLEST_CROP_SIDE)
    if fits < wanted:
        return Choice("data.crop", fits, f"half of the images are no larger than {facts.sides[1]} pixels")
    large = facts.diameters[2]
    if not large:
        return Choice("data.crop", wanted, "what does well where no objects can be measured")
    if large * CROP_OBJECTS > most:
        limit = "what the GPU does well with" if machine.gpu else "what a processor can do in time"
        return Choice("data.crop", wanted, f"objects are up to {large:.0f} pixels wide; more is beyond {limit}")
    return Choice(
        "data.crop", wanted, f"room for several of the large objects ({large:.0f} pixels) and what surrounds them"
    )


def choose_batch(machine: Machine, network: Network, crop: int) -> Choice:
    """Choose a power of two, within the memory."""
    plain = not architecture_info(network.get("arch", "unet")).has_encoder
    wanted = BATCH_PIXELS["gpu" if machine.gpu else "cpu"] / crop**2 * (PLAIN_BATCH_FACTOR if plain else 1)
    if plain:
        kept = PLAIN_TRAINING_BYTES * network.get("base_channels", BASE_CHANNELS["gpu"])
    else:
        kept = ENCODER_TRAINING_BYTES.get(network["encoder"], ENCODER_TRAINING_BYTES["resnet50"])
    each = kept * crop**2 * (HALF_PRECISION_FACTOR if machine.bfloat16 else 1)
    room = MEMORY_SHARE * machine.device_memory / each
    batch = _clip(2 ** floor(log2(min(wanted, room))), *BATCH_SIZES)
    memory = f"it takes about {batch * each / 2**30:.1f} GiB of memory"
    return Choice("data.batch_size", batch, memory if wanted <= room else f"{memory}, and more is not free")


def choose_validation(facts: Facts) -> Choice:
    """Choose the share of the images to validate on."""
    count = facts.files if facts.files > 1 else facts.size[0] if facts.of_volumes else facts.images
    if count == 1:
        return Choice("data.val", 0.0, "a single image cannot be trained on and validated on at once")
    share = next((share for most, share in VALIDATION_SHARES if count <= most), VALIDATION_IMAGES / count)
    kept = max(1, round(share * count))
    of_one = "neighbouring planes" if facts.of_volumes else "neighbouring pages"
    what = of_one if facts.files == 1 else "volumes" if facts.of_volumes else "images"
    return Choice("data.val", round(share, 4), f"{kept} of the {count} {what} score the model and are not trained on")


def choose_foreground_share(facts: Facts) -> Choice:
    """Place more crops around objects where there are few."""
    share = next((share for most, share in FOREGROUND_SHARES if facts.foreground <= most), 0.0)
    why = f"{facts.foreground:.1%} of the {'annotated ' if facts.partly else ''}pixels are foreground"
    return Choice("data.foreground_share", share, f"{why}{': crops need not look for it' if share == 0 else ''}")


def choose_augmentation(facts: Facts, passes: float) -> Choice:
    """Choose stronger augmentation for few images, so that they are not learnt by heart.

    Args:
        facts: The data.
        passes: Number of times that each part of the images is trained on.
    """
    if facts.images > FEW_IMAGES:
        return Choice("data.augment", "standard", f"{facts.images} images show much of the variety by themselves")
    often = passes > MANY_PASSES
    return Choice(
        "data.augment",
        "strong" if often else "standard",
        f"{facts.images} images are few, and each part of them comes {passes:.3g} times: "
        f"{'they must not be learnt by heart' if often else 'varying them as usual is enough'}",
    )


def choose_augment_options(facts: Facts, augment: str, brighter: float) -> Choice:
    """Choose the range of sizes from that of the objects, and inversion only if both bright and dark objects occur.

    Thin structures hardly vary in size.

    Args:
        facts: The data.
        augment: Level of augmentation.
        brighter: Share of the images whose objects are brighter than the background, as the network sees them.
    """
    small, _, large = facts.diameters
    thin = facts.width <= THIN_WIDTH
    spread = sqrt(large / small) if small and not thin else SCALE_RANGE[0]
    most = round(min(max(spread, SCALE_RANGE[0]), SCALE_RANGE[1]), 2)
    options: dict[str, Any] = {"scale": [round(1 / most, 2), most]}
    why = f"objects are {small:.0f} to {large:.0f} pixels wide" if small else "there are no objects to measure"
    if thin:
        why = f"the structures are {facts.width:.0f} pixels wide everywhere"
    if augment == "strong" and not is_mixed(brighter):
        options["invert_probability"] = 0
        why += f"; they are {'brighter' if brighter > 0.5 else 'darker'} than the background in all images"
    return Choice("data.augment_options", options, why)


def choose_normalization(facts: Facts) -> Choice:
    """Choose a normalisation that does not depend on how many objects an image shows."""
    if not facts.partly and facts.foreground_range[0] >= FULL_FOREGROUND_SHARE:
        return Choice("data.normalization.method", "mean_std", "objects fill every image, so its mean is a fair zero")
    return Choice("data.normalization.method", "percentile", "the mean would depend on how many objects an image shows")


def choose_background(facts: Facts, method: str, given: Mapping[str, Any]) -> Choice | None:
    """Choose to invert images with dark objects, where only some images have them and these can be recognised."""
    by_image = given.get("data.normalization.scope", "image") == "image"
    if method != "percentile" or not by_image or facts.channels not in {1, 3}:
        return None
    if not is_mixed(facts.brighter) or facts.brighter_inverted <= 1 - MIXED_SHARE:
        return None
    return Choice(
        "data.normalization.bright_background",
        "invert",
        f"objects are bright in {facts.brighter:.0%} of the images, and dark in the others on a bright background",
    )


def is_mixed(brighter: float) -> bool:
    """Return whether objects are bright in some images and dark in others, from the share in which they are bright."""
    return MIXED_SHARE <= brighter <= 1 - MIXED_SHARE


def most_cache(machine: Machine) -> float:
    """Return the most room that decoded images get, in GiB."""
    return max(USUAL_CACHE_GB, machine.memory / 2 / 2**30)


def choose_cache(facts: Facts, machine: Machine) -> Choice | None:
    """Keep all images in memory where there is room for more than usual."""
    needed = facts.nbytes * CACHE_FACTOR / 2**30
    if needed <= USUAL_CACHE_GB:
        return None
    room = machine.memory / 2 / 2**30
    size = float(max(floor(min(needed + 1, room)), 1))
    kept = "all decoded images" if size >= needed else "as many of the decoded images as there is room for"
    return Choice("data.cache_gb", size, f"GiB for {kept}")


def _whole(size: float, multiple: int = 32) -> int:
    """Round up to a multiple."""
    return ceil(size / multiple) * multiple


def _clip(value: int, least: int, most: int) -> int:
    return min(max(value, least), most)
