"""A package of bioimage.io as a model: its description, its weights, its pre- and postprocessing."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unetkit.foundation.errors import ConfigError, ModelError
from unetkit.models.architectures import ARCHITECTURES, FOREIGN
from unetkit.models.foreign import ForeignSpec
from unetkit.models.model_file import hash_file
from unetkit.models.spec import ModelSpec
from unetkit.zoo.package_description import need_library, read_description
from unetkit.zoo.package_files import PackageFiles, open_package

if TYPE_CHECKING:
    from bioimageio.spec.model import v0_5

    from unetkit.models.segmenter import Segmenter

OWN_KEY = "unetkit"
"""Key in the configuration of a package that unetkit wrote."""

HEADS = ("image_classes", "image_size", "image_head_hidden", "image_head_dropout", "image_threshold")
"""Parts of a model that a package has not."""


INVERTED = "The package does not invert images with a bright background, as the model that it was made of does."
"""Remark on a package of a model that inverts images with a bright background."""


@dataclass(frozen=True)
class Package:
    """A package that unetkit can run.

    Attributes:
        files: Its files.
        description: What it says, in the newest format.
        spec: What the model is.
    """

    files: PackageFiles
    description: v0_5.ModelDescr
    spec: ModelSpec


def describe(path: Path) -> ModelSpec:
    """Return what the model in a package is, without its weights.

    Raises:
        ModelError: The package is damaged, or needs what unetkit has not; it is named.
    """
    return _read(path).spec


def load(path: Path) -> Segmenter:
    """Load the model in a package; see `describe`.

    Raises:
        ModelError: See `describe`; or the weights are missing, are not those of the description, or may do more than
            compute.
    """
    from unetkit.models.foreign_network import ForeignNetwork
    from unetkit.models.segmenter import Segmenter
    from unetkit.zoo.package_weights import load_weights, weights_sha256

    package = _read(path)
    foreign, weights = package.spec.foreign, package.description.weights
    assert foreign is not None
    core = load_weights(weights, foreign.kind, package.files, _input_type(package.description.inputs[0]))
    segmenter = Segmenter(package.spec, ForeignNetwork(core, foreign))
    hashes = hash_file(package.files.description) + weights_sha256(weights, foreign.kind, package.files)
    segmenter.name, segmenter.sha256 = str(path), hashlib.sha256(hashes.encode()).hexdigest()
    return segmenter.eval()


def _read(path: Path) -> Package:
    """Read the description of a package and check that unetkit can run it."""
    need_library()
    from unetkit.zoo.package_weights import choose_weights

    files = open_package(path)
    description = read_description(files.description, str(path))
    given = _only_input(description, path)
    kind = choose_weights(description.weights, path)
    try:
        spec = _describe(description, given, kind, files)
    except ConfigError as error:
        raise ModelError(f"{path} describes a model that is not possible. {error.problem}", error.remedy) from error
    except ModelError as error:
        raise ModelError(f"{path} cannot be used. {error.problem}", error.remedy) from error
    return Package(files, description, _with_own(spec, description))


def _only_input(description: v0_5.ModelDescr, path: Path) -> v0_5.InputTensorDescr:
    """Return the input of a model; other ones must be optional."""
    needed = [one for one in description.inputs if not one.optional]
    if len(needed) != 1 or description.inputs[0].optional:
        names = ", ".join(f"'{one.id}'" for one in needed)
        raise ModelError(f"{path} needs the inputs {names}.", "Use a model that needs one image.")
    return needed[0]


def _describe(description: v0_5.ModelDescr, given: v0_5.InputTensorDescr, kind: Any, files: PackageFiles) -> ModelSpec:
    """Return what the model is, from its description alone."""
    from unetkit.zoo import package_axes as axes
    from unetkit.zoo.package_outputs import choose_channels, choose_output, class_names
    from unetkit.zoo.package_steps import cast_remark, to_steps

    letters, sizes = axes.axis_letters(given), axes.window_sizes(given)
    number = choose_output(description.outputs, given, files)
    output = description.outputs[number]
    after = to_steps(output.postprocessing, output)
    channels = choose_channels(output, after)
    stated = axes.halo_of(output)
    halo, stride = axes.whole_strides(stated or tuple(2 * step for step in sizes.stride), sizes)
    named = [name for name in axes.channel_names(given) if name and not name.lower().startswith("channel")]
    inputs = len(axes.channel_names(given))
    return ModelSpec(
        arch=FOREIGN,
        foreign=ForeignSpec(
            kind=kind,
            stride=stride,
            smallest=sizes.smallest,
            fixed=sizes.fixed,
            input_axes=letters,
            output_axes=axes.axis_letters(output),
            output=number,
            channels=channels,
            before=to_steps(given.preprocessing, given),
            after=after,
            halo_known=stated is not None,
            remarks=cast_remark(given.preprocessing, given),
        ),
        in_channels=inputs,
        classes=max(len(channels), 2),
        dims=len(sizes.stride),  # type: ignore[arg-type]  # it is 2 or 3
        halo=halo,
        pixel_size_um=axes.pixel_size(given),
        channel_names=tuple(named) if len(named) == inputs else (),
        class_names=class_names(output, channels),
    )


def _with_own(spec: ModelSpec, description: v0_5.ModelDescr) -> ModelSpec:
    """Return the description with what unetkit wrote in a package of its own, where that fits."""
    own_part: Any = (description.config.model_extra or {}).get(OWN_KEY)
    if not isinstance(own_part, dict) or not isinstance(own_part.get("spec"), str):
        return spec
    from unetkit.zoo.package_axes import channel_names

    assert spec.foreign is not None
    with suppress(ModelError, ConfigError):
        own = ModelSpec.from_json(own_part["spec"], "the package")
        given = (own.network_inputs, own.network_channels, own.dims, own.task)
        output = description.outputs[spec.foreign.output or 0]  # type: ignore[index]  # it is a number here
        if given == (spec.in_channels, len(channel_names(output)), spec.dims, "segmentation"):
            channels = tuple(range(own.out_channels))
            foreign = replace(
                spec.foreign,
                channels=channels,
                distance=own.out_channels if own.instances else None,
                remarks=spec.foreign.remarks + (INVERTED,) * (own.normalization.bright_background == "invert"),
            )
            heads: dict[str, Any] = {name: ModelSpec.__dataclass_fields__[name].default for name in HEADS}
            return replace(
                own, arch=FOREIGN, foreign=foreign, pooling=(), halo=spec.halo, **heads, **ARCHITECTURES[FOREIGN].unused
            )
    return spec


def _input_type(given: v0_5.InputTensorDescr) -> Any:
    """Return the type of the numbers that a network takes: that of the last cast, else real numbers."""
    import torch
    from bioimageio.spec.model import v0_5

    last = given.preprocessing[-1] if given.preprocessing else None
    name = last.kwargs.dtype if isinstance(last, v0_5.EnsureDtypeDescr) else "float32"
    return getattr(torch, name)
