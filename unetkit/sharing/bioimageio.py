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

from unetkit.foundation.atomic import check_target, partial_file
from unetkit.foundation.errors import ConfigError, ModelError
from unetkit.models.spec import ModelSpec
from unetkit.sharing.bioimageio_options import NOTHING_SAID, BioimageioOptions

if TYPE_CHECKING:
    from bioimageio.spec.model import v0_5

    from unetkit.models.segmenter import Segmenter
    from unetkit.models.statistics import Statistics
    from unetkit.sharing.bioimageio_example import Example

OWN_MODEL = "model.safetensors"
"""unetkit's own file in a package. It is an attachment, from which unetkit reads the model back as it was."""


def write_bioimageio(
    segmenter: Segmenter,
    path: Path,
    options: BioimageioOptions = NOTHING_SAID,
    *,
    fixed: Statistics | None = None,
    overwrite: bool = False,
) -> list[str]:
    """Write a model as a package of bioimage.io, format 0.5.

    Args:
        segmenter: The model, on the CPU.
        path: The .zip, which appears whole or not at all.
        options: What only the user knows of it.
        fixed: (in_channels,) values that normalise all images, in place of those of each image.
        overwrite: Whether an existing file may be replaced.

    Returns:
        Sentences on what the package cannot do.

    Raises:
        ConfigError: The licence, the authors or other texts are missing or wrong; or the format cannot state the model.
        ModelError: It is no model for masks, or the package is not valid.
        ImageError: The image cannot be read.
        OutputError: The package cannot be written.
    """
    check_target(path, overwrite)
    _need_the_library()
    _check_kind(segmenter.spec)
    from unetkit.sharing.bioimageio_example import make_example
    from unetkit.sharing.bioimageio_tensors import normalisation_steps, smallest_sizes
    from unetkit.sharing.bioimageio_texts import check_license, limitations, read_authors, training_details
    from unetkit.sharing.known_values import with_values

    check_license(options.license)
    read_authors(options.authors)
    stated = segmenter if fixed is None else with_values(segmenter, fixed)
    if not _is_inside(stated.spec):
        normalisation_steps(stated.spec)
    example = make_example(stated, options.image, smallest_sizes(stated.spec))
    with TemporaryDirectory() as name:
        folder = Path(name)
        package = folder / "package.zip"
        with _errors_of_the_format():
            details = training_details(segmenter.spec)
            limits = limitations(stated.spec, given=fixed is not None)
            _write_package(_describe(stated, folder, options, example, details, limits), package)
        with partial_file(path) as partial:
            shutil.copyfile(package, partial)
    return limits


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
            "Use --format onnx.",
        )
    if spec.task == "reconstruction":
        raise ModelError(
            "This network was pretrained to restore images; it is a start for training and finds nothing in them.",
            "Train it with `unetkit fit --model.weights`, and export that model.",
        )


def _is_inside(spec: ModelSpec) -> bool:
    """Return whether the values that normalise images are known, and so part of the network."""
    return spec.normalization.scope == "dataset" or spec.normalization.window is not None


def _describe(
    segmenter: Segmenter,
    folder: Path,
    options: BioimageioOptions,
    example: Example,
    details: v0_5.TrainingDetails,
    limits: list[str],
) -> v0_5.ModelDescr:
    """Write all files of a package to a folder and return its description."""
    import cv2
    import numpy as np
    import tifffile
    from bioimageio.spec.model import v0_5

    from unetkit.models.segmenter import save_model
    from unetkit.sharing import bioimageio_texts as texts
    from unetkit.sharing.bioimageio_tensors import describe_input, describe_output
    from unetkit.sharing.bioimageio_weights import write_weights

    spec = segmenter.spec = replace(segmenter.spec, unetkit_version=version("unetkit"))
    inside = _is_inside(spec)
    model = Path(segmenter.name)
    title = texts.model_title(model, options.title)
    about = texts.about(spec, options)
    tests = folder / "test_input.npy", folder / "test_output.npy"
    samples = folder / "sample_input.tif", folder / "sample_output.tif"
    for test, sample, values in zip(tests, samples, (example.pixels, example.probabilities), strict=True):
        np.save(test, values)
        tifffile.imwrite(sample, values[0], photometric="minisblack", compression="zlib")
    cover, readme, own = folder / "cover.png", folder / "README.md", folder / OWN_MODEL
    cv2.imwrite(str(cover), cv2.cvtColor(example.picture, cv2.COLOR_RGB2BGR))
    readme.write_text(texts.documentation(spec, title, about, example.origin, limits), "utf-8")
    save_model(segmenter, own)
    with _checks(files=False):  # no name or address is looked up in a network
        authors = texts.read_authors(options.authors)
        cite = texts.citations(spec, model, options.cite)
        data = texts.training_data(options.training_data)
    with _checks(files=True):
        return v0_5.ModelDescr(
            name=title,
            description=about,
            authors=authors,
            cite=cite,
            license=texts.check_license(options.license),
            tags=texts.tags(spec, model, options.tags),
            covers=[v0_5.FileDescr(source=cover)],
            documentation=v0_5.FileDescr(source=readme),
            attachments=[v0_5.FileDescr(source=own)],
            inputs=[describe_input(spec, tests[0], samples[0], inside=inside)],
            outputs=[describe_output(spec, tests[1], samples[1])],
            weights=write_weights(segmenter, folder, inside=inside),
            training_data=data,
            config=_config(segmenter, limits, details),
        )


def _config(segmenter: Segmenter, limits: list[str], training: v0_5.TrainingDetails) -> v0_5.Config:
    """Return what the format has no fields for: notes for people, and unetkit's own description of the model."""
    from bioimageio.spec.model import v0_5

    spec = segmenter.spec
    own: dict[str, Any] = {"version": spec.unetkit_version, "spec": spec.to_json(), "model": OWN_MODEL}
    return v0_5.Config(
        bioimageio=v0_5.BioimageioConfig(
            architecture_type=f"{spec.dims}D U-Net",
            task="instance segmentation" if spec.instances else "semantic segmentation",
            model_parameter_count=sum(weight.numel() for weight in segmenter.network.parameters()),
            training=training,
            bias_risks_limitations=v0_5.BiasRisksLimitations(limitations=" ".join(limits) or None),
        ),
        **{"unetkit": own},
    )


def _write_package(description: v0_5.ModelDescr, path: Path) -> None:
    """Write a package and read its description back."""
    from bioimageio.spec import InvalidDescr, load_description, save_bioimageio_package

    with _checks(files=False):
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
def _checks(*, files: bool) -> Iterator[None]:
    """Let bioimageio.spec check as it is told, and log nothing.

    Args:
        files: Whether files are opened and hashed. Addresses and names would be looked up in a network then, so those
            are made before.
    """
    from bioimageio.spec import ValidationContext
    from loguru import logger

    logger.disable("bioimageio")
    try:
        with ValidationContext(perform_io_checks=files, log_warnings=False):
            yield
    finally:
        logger.enable("bioimageio")


def _need_the_library() -> None:
    """Raise a ConfigError unless bioimageio.spec is installed."""
    if find_spec("bioimageio") is None:
        raise ConfigError(
            "Packages of bioimage.io need the package bioimageio.spec.", "Run `pip install 'unetkit[bioimageio]'`."
        )
