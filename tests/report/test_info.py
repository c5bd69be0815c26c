from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import tifffile
from nifti_files import affine_of, write_nifti
from rich.console import Console

from unetkit.fetching import hugging_face
from unetkit.foundation.errors import ImageError, ModelError
from unetkit.io.base.contracts import ImageInfo
from unetkit.io.files import open_image
from unetkit.models.model_file import hash_file
from unetkit.report import info as report_info
from unetkit.report.info import describe, describe_image, describe_machine, describe_model
from unetkit.zoo.references import find_model


def rendered(file: Path | None) -> str:
    screen = Console(width=200)
    with screen.capture() as capture:
        screen.print(describe(file))
    return capture.get()


def test_an_image_is_described_as_it_is_interpreted(tmp_path: Path) -> None:
    path = tmp_path / "cells[bold].ome.tif"
    tifffile.imwrite(
        path,
        np.zeros((2, 3, 64, 96), np.uint16),
        tile=(32, 48),
        compression="zlib",
        metadata={"axes": "TCYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "Channel": {"Name": ["a", "b", "c"]}},
    )
    text = rendered(path)
    for fact in ("cells[bold]", "OME-TIFF", "TCYX (2, 3, 64, 96)", "2 over T", "a, b, c", "64 x 96", "uint16"):
        assert fact in text
    for fact in ("0.5 x 0.25 µm", "32 x 48 blocks"):
        assert fact in text


def test_a_volume_is_described_with_its_voxels_and_its_place(tmp_path: Path) -> None:
    affine = affine_of((0, 1, 2), (-1, 1, 1))
    with closing(open_image(write_nifti(tmp_path / "a.nii", np.zeros((4, 5, 6), np.uint8), affine))) as source:
        facts = describe_image(source.info)
    assert facts["voxel size"] == "3 x 1.25 x 0.7 mm (z, y, x)"
    assert facts["orientation"] == "LAS: x to the left, y to the front, z to the head"
    assert facts["space"] == "of the scanner; first voxel at -90.5, 12.25, 7 mm (right, front, up)"


def test_the_images_and_levels_of_a_file_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "two.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        metadata = {"axes": "YX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5}
        writer.write(np.zeros((64, 96), np.uint16), subifds=1, tile=(16, 16), metadata=metadata)
        writer.write(np.zeros((32, 48), np.uint16), subfiletype=1, tile=(16, 16))
        writer.write(np.zeros((3, 30, 20), np.uint8), metadata={"axes": "ZYX"}, photometric="minisblack")
    text = rendered(path)
    for fact in ("series 0", "level 0: 64 x 96, 0.5 x 0.25 µm", "level 1: 32 x 48, 1 x 0.5 µm"):
        assert fact in text
    for fact in ("series 1", "ZYX (3, 30, 20) uint8", "level 0: 30 x 20"):
        assert fact in text
    tifffile.imwrite(path, np.zeros((64, 96), np.uint16))
    assert "series" not in rendered(path)


def test_a_temporary_file_is_announced() -> None:
    info = ImageInfo("x.tif", "TIFF", "YX", (5, 7), np.dtype("u1"), "", (), 1, (5, 7), scratch_bytes=300 * 2**20)
    assert "300 MiB" in describe_image(info)["temporary file"]


def test_what_is_not_known_is_said_to_be_so() -> None:
    facts = describe_image(
        ImageInfo("x.png", "PNG", "YXS", (5, 7, 4), np.dtype("u1"), "", (), 3, (5, 7), alpha=True, block=(5, 7))
    )
    assert facts["pixel size"] == facts["channel names"] == "not given"
    assert facts["decoded in"] == "one piece"
    assert facts["planes"] == "1"
    assert "alpha" in facts["channels"]


def test_a_model_is_described_whole(tiny_model: Path) -> None:
    facts = describe_model(tiny_model)
    assert facts["encoder"] == "resnet18"
    assert facts["decoder channels"] == "32, 16, 8"
    assert facts["halo"] == "16"
    assert facts["normalization method"] == "percentile"
    assert facts["sha256"] == hash_file(tiny_model)
    assert "resnet18" in rendered(tiny_model)


def test_this_machine_has_versions_and_a_device() -> None:
    facts = describe_machine()
    assert {"unetkit", "python", "torch", "devices"} <= facts.keys()
    assert facts["devices"].startswith("cpu")
    assert "torch" in rendered(None)


def test_all_backends_are_listed_with_their_versions_and_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_info, "is_installed", lambda name: True)
    monkeypatch.setattr(report_info, "version_of", lambda package: "1.2" if package == "openvino" else "")
    facts = describe_machine()
    assert [name for name in facts if name.startswith("backend ")] == [
        *("backend torch", "backend compile", "backend onnxruntime", "backend openvino"),
    ]
    assert facts["backend openvino"] == "openvino 1.2\ncpu: fp32, bf16, int8"
    assert facts["backend onnxruntime"] == "onnxruntime, onnx\ncpu: fp32\ncuda: fp32"  # under other names


def test_a_backend_that_is_not_installed_is_listed_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(report_info, "is_installed", lambda name: name != "openvino")
    facts = describe_machine()
    assert facts["backend openvino"].startswith("not installed: pip install unetkit[openvino]\n")
    assert facts["backend torch"].startswith(f"torch {facts['torch']}\n")


def test_of_the_training_images_of_a_model_only_the_number_is_told() -> None:
    assert describe_model(find_model("nuclei"))["training images digests"] == "419 of images with masks"


def test_what_is_neither_image_nor_model_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "text.tif").write_text("hello")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(ImageError):
        describe(tmp_path / "text.tif")
    with pytest.raises(ModelError):
        describe(tmp_path / "text.safetensors")
    with pytest.raises(ImageError):
        describe(tmp_path)


@pytest.mark.parametrize("kind", ["Unet", "Linknet"])
def test_a_model_of_another_program_is_described_too(kind: str, tmp_path: Path) -> None:
    getattr(smp, kind)("resnet18", encoder_weights=None, classes=4).save_pretrained(tmp_path / "model")
    facts = describe_model(tmp_path / "model")
    assert facts["kind"] == "a folder of segmentation-models-pytorch"
    assert (facts["classes"], facts["in channels"]) == ("4", "3")
    assert facts["halo"] == "not stated: it is measured on the first image"
    assert facts["sha256"] == hash_file(tmp_path / "model" / "model.safetensors")
    text = rendered(tmp_path / "model")
    assert ("foreign stride" in text) == (kind == "Linknet")


def test_a_model_with_an_address_is_found_by_it(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(hugging_face, "fetch_model", lambda reference: asked.append(reference) or tiny_model)
    assert hash_file(tiny_model) in rendered(Path("hf:lab/cells@v1"))
    assert set(asked) == {"lab/cells@v1"}
