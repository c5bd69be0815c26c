"""A folder that `save_pretrained` of segmentation-models-pytorch wrote; no code in it is run.

A `Unet` on one of unetkit's encoders becomes a model like unetkit's own. Other networks are built by smp's classes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from unetkit.foundation.errors import ModelError
from unetkit.models.architectures import FOREIGN
from unetkit.models.foreign import ForeignSpec, Step
from unetkit.models.foreign_network import ForeignNetwork
from unetkit.models.model_file import METADATA_KEY, MODEL_FILE, hash_file
from unetkit.models.normalization import Normalization
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec
from unetkit.models.weight_files import read_weights
from unetkit.zoo import own_file
from unetkit.zoo.notes import ModelNotes, notes_path, read_notes
from unetkit.zoo.smp_config import SmpConfig, read_config

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Red, green and blue of ImageNet's photographs, of pixels from 0 to 1, as torchvision has them."""

HALVES = ("inceptionv4", "inceptionresnetv2", "tu-resnetv2_18", "tu-resnetv2_34", "tu-resnetv2_50", "tu-resnetv2_101")
"""Encoders whose weights of ImageNet were trained with a mean and a deviation of 0.5."""

WHITE = 255.0
"""Largest value of the pixels that smp's examples train on."""


def describe(path: Path) -> ModelSpec:
    """Return what the model in a folder is.

    Its config.json says nothing of pixels. Weights of ImageNet were trained on photographs of 0 to 255, of which each
    colour has a mean and a deviation (`smp.encoders.get_preprocessing_params`): so are pixels normalised if the encoder
    began with them and the images have 3 channels. Otherwise 0 to 255 become 0 to 1. A file `model.yaml` in the folder
    may say better, see `ModelNotes`.

    Args:
        path: The folder.

    Raises:
        ModelError: It is of no network that can be run.
    """
    if _is_own(path):
        return own_file.describe(path / MODEL_FILE)
    return _describe(path, read_config(path), read_notes(path / MODEL_FILE))


def load(path: Path) -> Segmenter:
    """Load the model in a folder; see `describe`.

    Raises:
        ModelError: It is of no network that can be run, or its weights are of another one, damaged, NaN or infinite.
    """
    if _is_own(path):
        return _load_own(path)
    config, notes = read_config(path), read_notes(path / MODEL_FILE)
    spec = _describe(path, config, notes)
    state = read_weights(path / MODEL_FILE)
    if spec.foreign is None:
        segmenter = Segmenter(spec)
        _set(segmenter.network, _to_own(state, config), path, exact=False)
        segmenter.remarks, segmenter.halo_known = _assumed(path, config, notes), False
    else:
        core = config.build()
        _set(core, state, path, exact=True)
        segmenter = Segmenter(spec, ForeignNetwork(core, spec.foreign))
    segmenter.name, segmenter.sha256 = str(path), hash_file(path / MODEL_FILE)
    return segmenter.eval()


def _load_own(path: Path) -> Segmenter:
    """Load a model with unetkit's description: its own file, or one exported in smp's layout, with smp's names.

    Raises:
        ModelError: The weights are damaged, or not those that the description is of.
    """
    segmenter = Segmenter(own_file.describe(path / MODEL_FILE))
    weights = {name.removeprefix("network."): value for name, value in read_weights(path / MODEL_FILE).items()}
    _set(segmenter.network, weights, path, exact=False)  # those in 16 bits are copied into 32
    segmenter.name, segmenter.sha256 = str(path), hash_file(path / MODEL_FILE)
    return segmenter.eval()


def _is_own(path: Path) -> bool:
    """Return whether a folder holds a model that unetkit wrote, which says more of itself."""
    try:
        with safe_open(path / MODEL_FILE, framework="numpy") as file:
            return METADATA_KEY in (file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path / MODEL_FILE} cannot be read ({error}).", "Copy or fetch it again.") from error


def _describe(path: Path, config: SmpConfig, notes: ModelNotes) -> ModelSpec:
    channels = notes.channels or tuple(range(config.classes))
    common = ModelSpec(
        in_channels=config.channels,
        classes=max(len(channels), 2),
        normalization=notes.normalization or _usual_normalization(config),
        threshold=notes.threshold,
        pixel_size_um=notes.pixel_size_um,
        class_names=notes.class_names,
        halo=_halo(notes, 2**config.depth),
        training={"program": "segmentation-models-pytorch", "network": config.kind, "encoder": config.encoder},
    )
    simple = notes.activation == "auto" and not (notes.channels or notes.stride or notes.halo)
    if simple and (encoder := config.own_encoder) is not None:
        decoder = tuple(config.arguments["decoder_channels"])[: config.depth]
        return replace(common, encoder=encoder, depth=config.depth, decoder_channels=decoder)
    stride, smallest, fixed = _sizes(config, notes)
    foreign = ForeignSpec(
        kind="smp",
        stride=stride,
        smallest=smallest,
        fixed=fixed,
        channels=channels,
        before=None,
        after=() if notes.activation == "none" else (Step(_activation(config, notes)),),
        halo_known=notes.halo is not None,
        remarks=_assumed(path, config, notes),
    )
    return replace(common, arch=FOREIGN, foreign=foreign)


def _activation(config: SmpConfig, notes: ModelNotes) -> Literal["sigmoid", "softmax"]:
    """Return which function makes probabilities of the output: that of the config, else what suits the classes."""
    if notes.activation in ("sigmoid", "softmax"):
        return notes.activation
    if config.activation != "none":
        return config.activation
    return "sigmoid" if config.classes == 1 else "softmax"


def _sizes(config: SmpConfig, notes: ModelNotes) -> tuple[tuple[int, int], tuple[int, int], bool]:
    """Return stride and smallest size of windows, and whether that is the only one."""
    if config.kind == "DPT" and not config.arguments.get("dynamic_img_size"):
        encoder: Any = config.build().encoder
        height, width = encoder.model.patch_embed.img_size
        return (height, width), (height, width), True
    given = notes.stride or (2**config.depth,)
    stride = (given[0], given[-1])
    return stride, stride, False


def _halo(notes: ModelNotes, stride: int) -> int | tuple[int, ...]:
    """Return the halo that was stated, rounded up to strides; a stand-in where it will be measured."""
    each = tuple(-(-one // stride) * stride for one in notes.halo or (4 * stride,))
    return each[0] if len(set(each)) == 1 else each


def _usual_normalization(config: SmpConfig) -> Normalization:
    """Return how smp's examples normalise such images."""
    mean: tuple[float, ...] = (0.0,) * config.channels
    deviation: tuple[float, ...] = (1.0,) * config.channels
    if config.photographs and config.channels == 3:
        mean, deviation = ((0.5,) * 3, (0.5,) * 3) if config.encoder in HALVES else (MEAN, DEVIATION)
    center, scale = (tuple(round(WHITE * one, 6) for one in values) for values in (mean, deviation))
    return Normalization("mean_std", "dataset", center=center, scale=scale)


def _assumed(path: Path, config: SmpConfig, notes: ModelNotes) -> tuple[str, ...]:
    """Return sentences on what the folder does not say, and what is taken for it."""
    beside = notes_path(path / MODEL_FILE).name
    remarks = []
    if notes.normalization is None:
        usual = _usual_normalization(config)
        how = (
            f"by the mean {_listed(usual.center)} and deviation {_listed(usual.scale)} of ImageNet's photographs"
            if any(usual.center or ())
            else "such that 0 to 255 become 0 to 1"
        )
        remarks.append(
            f"{path.name} does not say how pixels are normalised: it is done {how}. Say it in {beside} if it was "
            "trained on others (normalization)."
        )
    if config.classes > 1 and notes.channels is None and _activation(config, notes) == "sigmoid":
        remarks.append(
            f"The {config.classes} classes of {path.name} do not exclude each other: the most probable one is taken, "
            f"and the first is the background. Say in {beside} if it is otherwise (channels)."
        )
    return tuple(remarks)


def _listed(values: tuple[float, ...] | None) -> str:
    return ", ".join(f"{value:.0f}" for value in values or ())


def _to_own(state: dict[str, Tensor], config: SmpConfig) -> dict[str, Tensor]:
    """Return the weights as unetkit has them: of two classes one channel, the difference of their logits."""
    if config.classes != 2:
        return state
    head = {name: value for name, value in state.items() if name.startswith("segmentation_head.0.")}
    return {**state, **{name: value[1:2] - value[0:1] for name, value in head.items()}}


def _set(network: nn.Module, state: dict[str, Tensor], path: Path, *, exact: bool) -> None:
    """Load weights.

    Args:
        network: Changed in place.
        state: The weights.
        path: The folder, for messages.
        exact: Whether there may be no others; unetkit leaves out stages of an encoder that nothing uses.

    Raises:
        ModelError: They are of another network.
    """
    wanted = network.state_dict()
    given = state if exact else {name: value for name, value in state.items() if name in wanted}
    try:
        network.load_state_dict(given)
    except (RuntimeError, KeyError) as error:
        raise ModelError(
            f"The weights in {path} are not of the network that its config.json describes.",
            "Write the folder again with save_pretrained.",
        ) from error
