"""Packages of bioimage.io, opened and run by bioimageio.core."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
import tifffile
import torch
import yaml
from backend_cases import make_layers

import unetkit
from unetkit.cli import main
from unetkit.errors import ConfigError, ModelError, OutputError, UnetkitError
from unetkit.models.normalization import Normalization
from unetkit.models.segmenter import Segmenter, load_network
from unetkit.models.spec import ModelSpec
from unetkit.models.statistics import Statistics
from unetkit.sharing import bioimageio_form
from unetkit.sharing.bioimageio_form import OWN_MODEL
from unetkit.sharing.known_values import with_values
from unetkit.sharing.options import SharingOptions
from unetkit.sharing.said import SaidOptions

core = pytest.importorskip("bioimageio.core")

SAID = SaidOptions(license="CC-BY-4.0", authors=["Ada Lovelace (University of London)"])
TINY = ModelSpec("resnet18", depth=3, decoder_channels=(16, 8, 8), halo=16, halo_error=1e-5)
DATASET = Normalization("mean_std", "dataset", center=(900.0,), scale=(400.0,))
ENTRIES = ("onnx", "pytorch_state_dict", "torchscript")
FIXED = Statistics(np.array([300], np.float32), np.array([2000], np.float32))


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything fail that looks something up."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("something was looked up in a network")

    for name in ("request", "get", "stream"):
        monkeypatch.setattr(httpx, name, refuse)


def write_bioimageio(
    segmenter: Segmenter, path: Path, said: SaidOptions, *, fixed: Statistics | None = None
) -> list[str]:
    """Write a package, with fixed values where some are given."""
    sharing = SharingOptions(fixed=None if fixed is None else Path("image.tif"))
    model = segmenter if fixed is None else with_values(segmenter, fixed)
    return bioimageio_form.write(model, path, sharing, said)


def make(spec: ModelSpec) -> Segmenter:
    """Return a model with random weights whose probabilities are not all the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Segmenter(spec).eval()


def entries(summary: Any) -> dict[str, str]:
    """Return, for each entry of weights, whether the test outputs came out again and all sizes could be run."""
    found: dict[str, str] = {}
    for detail in summary.details:
        if detail.loc[:1] == ("weights",):
            found[detail.loc[1]] = "passed" if found.get(detail.loc[1], detail.status) == detail.status else "failed"
            found[detail.loc[1]] = "failed" if detail.status == "failed" else found[detail.loc[1]]
    return found


def predict(package: Path, image: np.ndarray, entry: str) -> np.ndarray:
    """Return what bioimageio.core predicts of a whole image (C, ...)."""
    model = core.load_model(package, perform_io_checks=False)
    axes = [axis.id for axis in model.inputs[0].axes]
    tensor = core.Tensor(image[None], dims=axes)
    sample = core.Sample(members={"image": tensor}, stat={}, id="image")
    with core.create_prediction_pipeline(model, weight_format=entry) as pipeline:
        result = pipeline.predict_sample_without_blocking(sample, skip_input_padding=True, skip_output_cropping=True)
    found: np.ndarray = result.members["probabilities"].data.to_numpy()[0]
    return found


def drawn(size: tuple[int, ...], channels: int = 1) -> np.ndarray:
    rng = np.random.default_rng(3)
    return (rng.gamma(2.0, 300.0, (channels, *size)) + 100 * np.arange(channels).reshape(-1, *[1] * len(size))).astype(
        np.float32
    )


KINDS = {
    "percentiles": (TINY, None, ENTRIES),
    "colours": (replace(TINY, in_channels=3), None, ENTRIES),
    "channels": (replace(TINY, in_channels=2), None, ENTRIES),
    "mean": (replace(TINY, normalization=Normalization("mean_std")), None, ENTRIES),
    "dataset": (replace(TINY, normalization=DATASET), None, ("onnx", "torchscript")),
    "window": (replace(TINY, normalization=Normalization(window=(100.0, 900.0))), None, ("onnx", "torchscript")),
    "fixed": (TINY, FIXED, ("onnx", "torchscript")),
    "instances": (replace(TINY, instances=True, pixel_size_um=(0.325, 0.325)), None, ENTRIES),
    "classes": (replace(TINY, classes=4, class_names=("none", "a", "b", "c")), None, ENTRIES),
    "plain": (
        ModelSpec(arch="plain_unet", base_channels=4, depth=3, padding="valid", halo=44),
        None,
        ("onnx", "torchscript"),
    ),
    "planes": (replace(TINY, planes=3), FIXED, ("onnx", "torchscript")),
    "volumes": (
        replace(TINY, dims=3, pooling=((1, 2, 2), (2, 2, 2), (2, 2, 2)), halo=(4, 8, 8), pixel_size_um=(2.0, 0.4, 0.4)),
        None,
        ("onnx", "torchscript"),
    ),
}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Segmenter, Path]]:
    """Packages by their kind, made when they are asked for."""
    folder = tmp_path_factory.mktemp("packages")

    class Made(dict[str, tuple[Segmenter, Path]]):
        def __missing__(self, kind: str) -> tuple[Segmenter, Path]:
            spec, fixed, _ = KINDS[kind]
            self[kind] = (make(spec), folder / f"{kind}.zip")
            write_bioimageio(self[kind][0], self[kind][1], SAID, fixed=fixed)
            return self[kind]

    return Made()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("colours", "channels", "mean", "window")])
def test_the_library_s_own_test_passes_for_every_entry(kind: str, packages: Any) -> None:
    summary = core.test_model(packages[kind][1])
    assert summary.status == "passed", summary.display()
    assert entries(summary) == dict.fromkeys(KINDS[kind][2], "passed")


@pytest.mark.parametrize(
    "kind", ["percentiles", "colours", "channels", "mean", "dataset", "window", "fixed", "classes"]
)
def test_what_the_library_predicts_is_what_unetkit_predicts(kind: str, packages: Any) -> None:
    segmenter, package = packages[kind]
    spec, fixed, written = KINDS[kind]
    image = drawn((64, 80), spec.in_channels)
    values = fixed or segmenter.normalizer.statistics(image.reshape(spec.in_channels, -1))
    batch = [torch.from_numpy(array)[None] for array in (image, values.center, values.scale)]
    with torch.inference_mode():
        expected = segmenter(*batch)[0].numpy()
    for entry in written:
        assert np.abs(predict(package, image, entry) - expected).max() < 1e-4, entry


def test_unetkit_s_own_file_travels_along_and_is_the_same_model(packages: Any, tmp_path: Path) -> None:
    segmenter, package = packages["percentiles"]
    with zipfile.ZipFile(package) as file:
        file.extractall(tmp_path)
    back = load_network(tmp_path / OWN_MODEL)
    own = yaml.safe_load((tmp_path / "rdf.yaml").read_text())["config"]["unetkit"]
    assert ModelSpec.from_json(own["spec"], "package") == back.spec
    assert replace(back.spec, unetkit_version="") == replace(segmenter.spec, unetkit_version="")
    assert own["version"] == unetkit.__version__
    state = segmenter.network.state_dict()
    assert all(torch.equal(weight, state[name]) for name, weight in back.network.state_dict().items())


def test_fixed_values_are_part_of_the_file_that_travels_along(packages: Any, tmp_path: Path) -> None:
    with zipfile.ZipFile(packages["fixed"][1]) as file:
        file.extract(OWN_MODEL, tmp_path)
    assert load_network(tmp_path / OWN_MODEL).spec.normalization.scope == "dataset"
    assert packages["fixed"][0].spec.normalization.scope == "image"


def test_a_description_states_sizes_halo_units_and_names(packages: Any) -> None:
    model = core.load_model(packages["instances"][1], perform_io_checks=False)
    y = model.inputs[0].axes[2]
    assert (y.size.min, y.size.step) == (40, 8)
    assert y.unit == "micrometer"
    assert y.scale == pytest.approx(0.325)
    assert model.outputs[0].axes[2].halo == 16
    assert model.outputs[0].axes[1].channel_names == ["foreground", "distance"]
    planes = core.load_model(packages["planes"][1], perform_io_checks=False)
    assert planes.inputs[0].axes[1].channel_names == [f"intensity, plane {number}" for number in ("-1", "+0", "+1")]
    volumes = core.load_model(packages["volumes"][1], perform_io_checks=False)
    assert [axis.size.min for axis in volumes.inputs[0].axes[2:]] == [12, 24, 24]


def test_every_size_of_an_output_axis_is_that_of_the_input(packages: Any) -> None:
    model = core.load_model(packages["instances"][1], perform_io_checks=False)
    given, result = model.inputs[0].axes[2], model.outputs[0].axes[2]
    sizes = range(40, 20_000, 8)
    assert all(result.size.get_size(result, given, ref_size=size) == size for size in sizes)


def test_what_qupath_asks_for_holds_with_fixed_values(packages: Any) -> None:
    model = core.load_model(packages["fixed"][1], perform_io_checks=False)
    assert model.weights.torchscript is not None
    assert {step.id for step in model.inputs[0].preprocessing} == {"ensure_dtype"}
    assert {step.id for step in model.outputs[0].postprocessing} == {"ensure_dtype"}
    assert len(model.inputs) == len(model.outputs) == 1


def test_the_example_is_the_part_of_the_image_with_contrast_and_the_cover_shows_it(tmp_path: Path) -> None:
    image = np.full((600, 600), 1000, np.uint16)
    image[340:600, 340:600] = np.random.default_rng(0).integers(0, 2000, (260, 260))  # its mean is that of the rest
    tifffile.imwrite(tmp_path / "wide.tif", image)
    package = tmp_path / "out.zip"
    write_bioimageio(make(TINY), package, replace(SAID, cover=tmp_path / "wide.tif"))
    with zipfile.ZipFile(package) as file:
        file.extractall(tmp_path)
    assert np.array_equal(np.load(tmp_path / "test_input.npy")[0, 0], image[-256:, -256:])
    cover = cv2.imread(str(tmp_path / "cover.png"))
    assert cover.shape == (512, 1024, 3)
    assert cover[:, :512].std() > 20  # the image
    assert set(np.unique(cover[:, 512:])) <= {0, 255}  # the mask
    assert "# Validation" in (tmp_path / "README.md").read_text()
    assert "wide.tif" in (tmp_path / "README.md").read_text()


def test_an_image_that_is_smaller_than_the_smallest_size_is_mirrored(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "small.tif", drawn((30, 50))[0].astype(np.uint16))
    write_bioimageio(make(TINY), tmp_path / "out.zip", replace(SAID, cover=tmp_path / "small.tif"))
    assert core.test_model(tmp_path / "out.zip", weight_format="onnx").status == "passed"


def test_a_grey_cover_is_shown_to_a_model_of_colours_as_segment_does(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "grey.tif", drawn((60, 60))[0].astype(np.uint16))
    write_bioimageio(
        make(replace(TINY, in_channels=3)), tmp_path / "out.zip", replace(SAID, cover=tmp_path / "grey.tif")
    )
    with zipfile.ZipFile(tmp_path / "out.zip") as file:
        file.extract("test_input.npy", tmp_path)
    red, green, blue = np.load(tmp_path / "test_input.npy")[0]
    assert np.array_equal(red, green)
    assert np.array_equal(red, blue)


def test_a_cover_with_other_channels_is_an_error_that_says_so(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "two.tif", drawn((60, 60), 2).astype(np.uint16), metadata={"axes": "CYX"}, imagej=True)
    with pytest.raises(UnetkitError, match="channels"):
        write_bioimageio(make(TINY), tmp_path / "out.zip", replace(SAID, cover=tmp_path / "two.tif"))


def test_names_and_addresses_are_written_and_not_looked_up(tmp_path: Path) -> None:
    said = replace(
        SAID,
        authors=["Ada Lovelace (@ada-1815, 0000-0001-2345-6789)"],
        cite=["Our paper 2026, 10.1234/abcd", "Our page https://lab.invalid/page"],
        training_data="https://lab.invalid/data",
        title="Cells of ours",
        tags=["ours"],
    )
    write_bioimageio(make_layers(), tmp_path / "out.zip", said)
    with zipfile.ZipFile(tmp_path / "out.zip") as file:
        content = yaml.safe_load(file.read("rdf.yaml"))
    assert content["authors"] == [{"github_user": "ada-1815", "orcid": "0000-0001-2345-6789", "name": "Ada Lovelace"}]
    assert {"text": "Our paper 2026", "doi": "10.1234/abcd"} in content["cite"]
    assert {"text": "Our page", "url": "https://lab.invalid/page"} in content["cite"]
    assert content["training_data"]["source"] == "https://lab.invalid/data"
    assert content["name"] == "Cells of ours"
    assert "ours" in content["tags"]
    assert content["license"] == "CC-BY-4.0"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"license": None}, "--license"),
        ({"license": "CC-BY-4"}, "CC-BY-4.0"),
        ({"authors": None}, "--authors"),
        ({"authors": ["Ada (London"]}, "Ada (London"),
        ({"cite": ["Our paper"]}, "DOI"),
        ({"title": "Größe"}, "Größe"),
        ({"training_data": "OUR DATA"}, "OUR DATA"),
    ],
)
def test_what_is_missing_or_wrong_is_named_and_nothing_is_written(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        write_bioimageio(make_layers(), tmp_path / "out.zip", replace(SAID, **change))
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        (replace(TINY, planes=3), ConfigError),
        (replace(TINY, normalization=Normalization(low=0.0, high=0.5)), ConfigError),
        (replace(TINY, task="classification", image_classes=("a",), image_size=64), ModelError),
        (replace(TINY, task="reconstruction"), ModelError),
    ],
)
def test_a_model_that_the_format_cannot_state_is_refused(tmp_path: Path, spec: ModelSpec, error: type) -> None:
    with pytest.raises(error):
        write_bioimageio(make(spec), tmp_path / "out.zip", SAID)
    assert list(tmp_path.iterdir()) == []


def test_a_bright_image_is_no_example_of_a_model_that_inverts_it_but_with_fixed_values(tmp_path: Path) -> None:
    bright = (4000 - drawn((64, 64))[0].clip(0, 3900)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "bright.tif", bright)
    segmenter = make(replace(TINY, normalization=Normalization(bright_background="invert")))
    said = replace(SAID, cover=tmp_path / "bright.tif")
    with pytest.raises(ConfigError, match="bright background"):
        write_bioimageio(segmenter, tmp_path / "out.zip", said)
    values = segmenter.normalizer.statistics(bright.reshape(1, -1))
    assert values.scale[0] < 0
    write_bioimageio(segmenter, tmp_path / "out.zip", said, fixed=values)
    assert core.test_model(tmp_path / "out.zip", weight_format="torchscript").status == "passed"


def test_the_verb_writes_a_package_and_checks_it_on_images(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tifffile.imwrite(tmp_path / "image.tif", drawn((90, 130))[0].astype(np.uint16))
    words = ["export", str(tiny_model), str(tmp_path / "out.zip"), "--license", "MIT", "--authors", "Ada Lovelace"]
    words += ["--cover", str(tmp_path / "image.tif"), "--check", str(tmp_path / "image.tif"), "--format", "bioimageio"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "Checked on 1 image" in said.out + said.err
    assert core.test_model(tmp_path / "out.zip", weight_format="pytorch_state_dict").status == "passed"
    assert main(words) == 2


def test_a_failure_leaves_the_old_package_and_nothing_else(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    package = tmp_path / "out.zip"
    package.write_bytes(b"before")
    monkeypatch.setattr("shutil.copyfile", fail)
    with pytest.raises(OutputError, match="No space left"):
        unetkit.export(tiny_model, package, format="bioimageio", license="MIT", authors=["Ada"], overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out.zip"]
    assert package.read_bytes() == b"before"


def test_the_model_that_is_exported_is_not_changed(tmp_path: Path) -> None:
    segmenter = make_layers()
    before = segmenter.spec
    write_bioimageio(segmenter, tmp_path / "out.zip", SAID)
    assert segmenter.spec == before


def test_a_description_that_the_library_refuses_is_an_error_of_two_sentences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unetkit.sharing.bioimageio_texts.tags", lambda *_: 5)
    with pytest.raises(UnetkitError, match="not valid"):
        write_bioimageio(make_layers(), tmp_path / "out.zip", SAID)
    assert list(tmp_path.iterdir()) == []


def test_the_spec_in_a_package_is_plain_json(packages: Any) -> None:
    with zipfile.ZipFile(packages["percentiles"][1]) as file:
        own = yaml.safe_load(file.read("rdf.yaml"))["config"]["unetkit"]
    assert json.loads(own["spec"])["encoder"] == "resnet18"
