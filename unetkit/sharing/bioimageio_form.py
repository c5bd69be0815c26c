"""A model as a package of bioimage.io: weights for three runtimes, an example to test them with, and what it is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from unetkit.foundation.errors import ConfigError, ModelError
from unetkit.models.spec import ModelSpec
from unetkit.sharing.options import SharingOptions
from unetkit.sharing.said import SaidOptions

if TYPE_CHECKING:
    from bioimageio.spec.model import v0_5

    from unetkit.models.segmenter import Segmenter
    from unetkit.sharing.bioimageio_example import Example
    from unetkit.sharing.bioimageio_texts import Texts

OWN_MODEL = "model.safetensors"
"""unetkit's own file in a package. It is an attachment, from which unetkit reads the model back as it was."""


def write(segmenter: Segmenter, path: Path, sharing: SharingOptions, said: SaidOptions) -> list[str]:
    """Write a model as a package of bioimage.io, format 0.5; see `Write`.

    Raises:
        ConfigError: The licence, the authors or other texts are missing or wrong; or the format cannot state how the
            model normalises images.
        ModelError: It is no model for masks, or bioimageio.spec refuses the package.
        ImageError: The cover cannot be read.
    """
    _need_the_library()
    _check_kind(segmenter.spec)
    from unetkit.models.segmenter import Segmenter as Copied
    from unetkit.sharing.bioimageio_example import make_example
    from unetkit.sharing.bioimageio_tensors import normalisation_steps, smallest_sizes
    from unetkit.sharing.bioimageio_texts import limitations, read_said
    from unetkit.sharing.graphs import takes_raw

    stated = Copied(replace(segmenter.spec, unetkit_version=version("unetkit")), segmenter.network).eval()
    stated.name = segmenter.name
    with _checks():
        texts = read_said(stated.spec, Path(segmenter.name), said)
        if not takes_raw(stated.spec):
            normalisation_steps(stated.spec)
    example = make_example(stated, said.cover, smallest_sizes(stated.spec))
    limits = limitations(stated.spec, given=sharing.fixed is not None)
    with TemporaryDirectory() as name, _errors_of_the_format():
        package = Path(name) / "package.zip"
        description, weights = _describe(stated, Path(name), texts, example, limits)
        _write_package(description, package)
        shutil.copyfile(package, path)
    return [f"Weights: {', '.join(weights)}. Format {description.format_version}. Example: {example.origin}.", *limits]


def _check_kind(spec: ModelSpec) -> None:
    """Raise a ModelError unless it is a model of unetkit for masks."""
    if spec.foreign is not None:
        raise ModelError(
            "This network comes from another program, whose package is the better one.",
            "Export models that unetkit trained.",
        )
    if spec.task == "classification":
        raise ModelError(
            "This model classifies whole images, which it is shown at one size: a package of bioimage.io cannot say "
            "that they are resized.",
            "Use unetkit itself: unetkit segment IMAGES classes.csv --output classes.",
        )
    if spec.task == "reconstruction":
        raise ModelError(
            "This network was pretrained to restore images; it is a start for training and finds nothing in them.",
            "Train a model for masks from it, and export that one.",
        )


def _describe(
    segmenter: Segmenter, folder: Path, texts: Texts, example: Example, limits: list[str]
) -> tuple[v0_5.ModelDescr, list[str]]:
    """Write all files of a package to a folder; return its description and the entries of its weights."""
    import cv2
    import numpy as np
    import tifffile
    from bioimageio.spec.model import v0_5

    from unetkit.models.segmenter import save_model
    from unetkit.sharing.bioimageio_readme import documentation
    from unetkit.sharing.bioimageio_tensors import describe_file, describe_input, describe_output
    from unetkit.sharing.bioimageio_weights import write_weights

    spec = segmenter.spec
    tests = folder / "test_input.npy", folder / "test_output.npy"
    samples = folder / "sample_input.tif", folder / "sample_output.tif"
    for test, sample, values in zip(tests, samples, (example.pixels, example.probabilities), strict=True):
        np.save(test, values)
        tifffile.imwrite(sample, values[0], photometric="minisblack", compression="zlib")
    cover, readme, own = folder / "cover.png", folder / "README.md", folder / OWN_MODEL
    cv2.imwrite(str(cover), cv2.cvtColor(example.picture, cv2.COLOR_RGB2BGR))
    readme.write_text(documentation(spec, texts.title, texts.about, example.origin, limits), "utf-8")
    save_model(segmenter, own)
    with _checks():
        weights = write_weights(segmenter, folder)
        description = v0_5.ModelDescr(
            name=texts.title,
            description=texts.about,
            authors=texts.authors,
            cite=texts.cite,
            license=texts.license,
            tags=texts.tags,
            covers=[describe_file(cover)],
            documentation=describe_file(readme),
            attachments=[describe_file(own)],
            inputs=[describe_input(spec, tests[0], samples[0])],
            outputs=[describe_output(spec, tests[1], samples[1])],
            weights=weights,
            training_data=texts.training_data,
            config=_config(segmenter, limits),
        )
    return description, sorted(weights.available_formats)


def _config(segmenter: Segmenter, limits: list[str]) -> v0_5.Config:
    """Return what the format has no fields for: notes for people, and unetkit's own description of the model."""
    from bioimageio.spec.model import v0_5

    from unetkit.sharing.bioimageio_texts import training_details

    spec = segmenter.spec
    own: dict[str, Any] = {"version": spec.unetkit_version, "spec": spec.to_json(), "model": OWN_MODEL}
    return v0_5.Config(
        bioimageio=v0_5.BioimageioConfig(
            architecture_type=f"{spec.dims}D U-Net",
            task="instance segmentation" if spec.instances else "semantic segmentation",
            model_parameter_count=sum(weight.numel() for weight in segmenter.network.parameters()),
            training=training_details(spec),
            bias_risks_limitations=v0_5.BiasRisksLimitations(limitations=" ".join(limits) or None),
        ),
        **{"unetkit": own},  # type: ignore[arg-type]  # what YAML can hold
    )


def _write_package(description: v0_5.ModelDescr, path: Path) -> None:
    """Write a package and read its description back."""
    from bioimageio.spec import InvalidDescr, load_description, save_bioimageio_package

    with _checks():
        save_bioimageio_package(description, output_path=path)
        read = load_description(path, perform_io_checks=False)
    if isinstance(read, InvalidDescr):
        raise ValueError(read.get_reason())


@contextmanager
def _errors_of_the_format() -> Iterator[None]:
    """Raise a ModelError for what bioimageio.spec refuses."""
    try:
        yield
    except ValueError as error:  # pydantic's are such
        raise ModelError(
            f"The package is not valid: {error}",
            "Install the versions that unetkit was tried with: `pip install 'unetkit[bioimageio]' -c constraints.txt`.",
        ) from error


@contextmanager
def _checks() -> Iterator[None]:
    """Let bioimageio.spec check what is said, but look up no names and addresses in a network, and log nothing."""
    from bioimageio.spec import ValidationContext
    from loguru import logger

    logger.disable("bioimageio")
    try:
        with ValidationContext(perform_io_checks=False, log_warnings=False):
            yield
    finally:
        logger.enable("bioimageio")


def _need_the_library() -> None:
    """Raise a ConfigError unless bioimageio.spec is installed."""
    if find_spec("bioimageio") is None:
        raise ConfigError(
            "Packages of bioimage.io need the package bioimageio.spec.", "Run `pip install 'unetkit[bioimageio]'`."
        )
