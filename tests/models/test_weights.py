from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import segmentation_models_pytorch as smp
import torch
from safetensors.torch import save_file
from segmentation_models_pytorch.encoders._utils import patch_first_conv
from torch import Tensor, nn

from unetkit.data.loading import hash_pixels, load_pair
from unetkit.data.pairs import find_pairs
from unetkit.foundation.errors import ModelError
from unetkit.models import builtin_models
from unetkit.models.adapting import adapt_first_convolution
from unetkit.models.model_file import read_spec
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.spec import ModelSpec, TrainingImages
from unetkit.models.unet import build_network
from unetkit.models.weight_files import read_weights
from unetkit.models.weight_sources import trained_on
from unetkit.models.weights import fit_weights, load_weights
from unetkit.zoo.references import find_model

NUCLEI = Path(__file__).parents[2] / "../shared/data/nuclei/train"

State = dict[str, Tensor]

FIRST_CONVOLUTION = "encoder.conv1.weight"


def spec(channels: int = 3, encoder: str = "resnet18") -> ModelSpec:
    return ModelSpec(encoder, channels, 2, 3, (32, 16, 8))


@pytest.fixture(scope="module")
def trained() -> State:
    """A network for RGB that somebody trained."""
    torch.manual_seed(7)
    return dict(build_network(spec()).state_dict())


def encoder_of(state: State) -> State:
    return {key.removeprefix("encoder."): value for key, value in state.items() if key.startswith("encoder.")}


def write(path: Path, state: Any) -> str:
    if path.suffix == ".safetensors":
        save_file({key: value.clone() for key, value in state.items()}, path)
    else:
        torch.save(state, path)
    return str(path)


KINDS: dict[str, Callable[[State], Any]] = {
    "bare encoder": encoder_of,
    "torchvision with fc": lambda state: {
        **encoder_of(state),
        "fc.weight": torch.zeros(9, 9),
        "fc.bias": torch.ones(9),
    },
    "smp encoder": lambda state: {key: value for key, value in state.items() if key.startswith("encoder.")},
    "smp whole": dict,
    "DataParallel": lambda state: {f"module.{key}": value for key, value in state.items()},
    "Lightning": lambda state: {f"model.module.{key}": value for key, value in state.items()},
    "unetkit": lambda state: {f"network.{key}": value for key, value in state.items()},
    "unetkit in training": lambda state: {f"segmenter.network.{key}": value for key, value in state.items()},
}


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_common_names_are_understood(trained: State, tmp_path: Path, kind: str, suffix: str) -> None:
    network = build_network(spec())
    report = load_weights(network, write(tmp_path / f"weights{suffix}", KINDS[kind](trained)), spec())
    whole = kind not in ("bare encoder", "torchvision with fc", "smp encoder")
    for key, value in network.state_dict().items():
        if whole or key.startswith("encoder."):
            assert torch.equal(value, trained[key]), key
            assert key in report.loaded or key.endswith("num_batches_tracked")
        else:
            assert key in report.missing or key.endswith("num_batches_tracked")
    assert set(report.unused) == ({"fc.weight", "fc.bias"} if "fc" in kind else set())
    assert not report.reshaped
    assert ("decoder left out: not among the weights" in str(report)) != whole
    assert ("2 in the file not used" in str(report)) == ("fc" in kind)


@pytest.mark.parametrize("nest", [["state_dict"], ["model"], ["state_dict", "model_state_dict"]])
def test_checkpoints_keep_their_weights_under_a_key(trained: State, tmp_path: Path, nest: list[str]) -> None:
    state: Any = encoder_of(trained)
    for key in nest:
        state = {key: state, "epoch": 3}
    network = build_network(spec())
    load_weights(network, write(tmp_path / "checkpoint.pth", state), spec())
    assert torch.equal(network.state_dict()[FIRST_CONVOLUTION], trained[FIRST_CONVOLUTION])


def test_a_unetkit_model_file_is_a_start(tiny_model: Path, tiny_segmenter: Segmenter) -> None:
    network = build_network(tiny_segmenter.spec)
    report = load_weights(network, str(tiny_model), tiny_segmenter.spec)
    assert not report.missing
    assert not report.unused
    expected = tiny_segmenter.network.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("channels", [1, 2, 4, 6])
def test_the_first_convolution_is_adapted_as_smp_adapts_it(trained: State, tmp_path: Path, channels: int) -> None:
    network = build_network(spec(channels))
    report = load_weights(network, write(tmp_path / "w.pth", encoder_of(trained)), spec(channels))
    assert report.reshaped == (FIRST_CONVOLUTION,)
    assert f"first convolution adapted from 3 to {channels} channels" in str(report)
    convolution = nn.Conv2d(3, 64, 7, bias=False)
    convolution.weight.data = trained[FIRST_CONVOLUTION].clone()
    reference = nn.Sequential(convolution)
    patch_first_conv(reference, channels, pretrained=True)
    torch.testing.assert_close(network.state_dict()[FIRST_CONVOLUTION], convolution.weight.data)


@pytest.mark.parametrize("encoder", ["vgg11", "resnetv2_18", "inceptionv4", "inceptionresnetv2"])
def test_the_first_convolution_of_every_family_is_adapted(encoder: str) -> None:
    with torch.device("meta"):
        colour, grey = build_network(spec(3, encoder)), build_network(spec(1, encoder))
    state = {name: torch.zeros(tensor.shape) for name, tensor in colour.state_dict().items()}
    report = fit_weights(grey.to_empty(device="cpu"), state, "here")
    assert len(report.reshaped) == 1
    assert not report.missing
    assert not report.unused


def test_grey_gets_the_response_of_the_same_grey_as_rgb(trained: State) -> None:
    weight = trained[FIRST_CONVOLUTION]
    grey = torch.rand(1, 1, 32, 32)
    colour = nn.functional.conv2d(grey.repeat(1, 3, 1, 1), weight)
    torch.testing.assert_close(nn.functional.conv2d(grey, adapt_first_convolution(weight, 1)), colour)
    six = nn.functional.conv2d(grey.repeat(1, 6, 1, 1), adapt_first_convolution(weight, 6))
    torch.testing.assert_close(six, colour)
    single = adapt_first_convolution(weight, 1)
    back = nn.functional.conv2d(grey.repeat(1, 3, 1, 1), adapt_first_convolution(single, 3))
    torch.testing.assert_close(back, colour)


HEADS: list[tuple[ModelSpec, str]] = [
    (ModelSpec("resnet18", 1, 2, 3, (32, 16, 8), task="reconstruction"), "it reconstructs images"),
]


@pytest.mark.parametrize(("donor", "reason"), HEADS, ids=[reason for _, reason in HEADS])
def test_a_head_for_something_else_is_left_out_and_it_says_why(donor: ModelSpec, reason: str, tmp_path: Path) -> None:
    source = Segmenter(donor)
    save_model(source, tmp_path / "donor.safetensors")
    network = build_network(spec(1))
    before = network.get_submodule("segmentation_head").state_dict()
    before = {name: value.clone() for name, value in before.items()}
    report = load_weights(network, str(tmp_path / "donor.safetensors"), spec(1))
    total = sum(not name.endswith("num_batches_tracked") for name in network.state_dict())
    assert str(report) == f"{total - 2} of {total} tensors loaded; segmentation head left out: {reason}"
    after, given = network.state_dict(), source.network.state_dict()
    for name in after:
        if name.startswith("segmentation_head."):
            assert torch.equal(after[name], before[name.removeprefix("segmentation_head.")])
        else:
            assert torch.equal(after[name], given[name])


def test_the_decoder_can_be_left_out(tiny_model: Path, tiny_segmenter: Segmenter) -> None:
    network = build_network(tiny_segmenter.spec)
    report = load_weights(network, str(tiny_model), tiny_segmenter.spec, decoder=False)
    assert "decoder left out: as asked" in str(report)
    assert "segmentation head left out: as asked" in str(report)
    assert {name.partition(".")[0] for name in report.missing} == {"decoder", "segmentation_head"}
    assert not report.predicts


@pytest.mark.parametrize(
    ("channels", "kept", "said"),
    [
        ((32, 16, 6), (0, 1), "of the decoder left random; segmentation head left out: its sizes differ"),
        ((24, 16, 8), (2,), "of the decoder left random"),
        ((24, 12, 6), (), "decoder left out: its sizes differ; segmentation head left out: its sizes differ"),
    ],
)
def test_the_steps_of_a_decoder_that_are_of_other_sizes_are_left_out(
    channels: tuple[int, ...], kept: tuple[int, ...], said: str, tiny_model: Path, tiny_segmenter: Segmenter
) -> None:
    other = ModelSpec("resnet18", 1, 2, 3, channels)
    network = build_network(other)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    report = load_weights(network, str(tiny_model), other)
    assert str(report).endswith(said)
    given = tiny_segmenter.network.state_dict()
    for name, value in network.state_dict().items():
        block = int(name.split(".")[2]) if name.startswith("decoder.") else None
        same = block in kept if block is not None else name.startswith("encoder.") or report.predicts
        assert torch.equal(value, (given if same else before)[name]), name
    assert report.predicts == (2 in kept)


@pytest.mark.parametrize("encoder", ["resnet34", "resnet50"])
def test_a_unetkit_model_of_another_encoder_says_which(encoder: str, tiny_model: Path) -> None:
    other = spec(1, encoder)
    with pytest.raises(ModelError, match=f"is resnet18, not {encoder}") as caught:
        load_weights(build_network(other), str(tiny_model), other)
    assert "Set model.encoder: resnet18" in caught.value.remedy


def test_a_built_in_model_is_a_start_and_its_float16_weights_are_rounded(
    tiny_segmenter: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builtin_models, "builtin_folder", lambda: tmp_path)
    save_model(tiny_segmenter, tmp_path / "cells.safetensors", torch.float16)
    network = build_network(tiny_segmenter.spec)
    report = load_weights(network, "cells", tiny_segmenter.spec)
    assert not report.missing
    expected = tiny_segmenter.network.state_dict()
    for name, value in network.state_dict().items():
        assert value.dtype == expected[name].dtype
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-6)
    with pytest.raises(ModelError, match="no weights 'cell', nor a file of that name") as caught:
        load_weights(network, "cell", tiny_segmenter.spec)
    assert "Did you mean 'cells'?" in caught.value.remedy


def test_a_model_names_the_masks_it_was_trained_on(tiny_segmenter: Segmenter, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    images = TrainingImages(("uint8",), (0,), (9,), (1,), digests=("ab", "cd"))
    tiny_segmenter.spec = replace(tiny_segmenter.spec, training_images=images)
    save_model(tiny_segmenter, path)
    assert trained_on(str(path)) == ("ab", "cd")
    tiny_segmenter.spec = replace(tiny_segmenter.spec, training_images=None)
    save_model(tiny_segmenter, path)
    assert trained_on(str(path)) == ()


def test_what_restored_images_was_trained_on_no_masks(tiny_segmenter: Segmenter, tmp_path: Path) -> None:
    images = TrainingImages(("uint8",), (0,), (9,), (1,), digests=("ab",))
    spec = replace(tiny_segmenter.spec, task="reconstruction", training_images=images)
    save_model(Segmenter(spec, build_network(spec)), tmp_path / "model.safetensors")
    assert trained_on(str(tmp_path / "model.safetensors")) == ()


@pytest.mark.parametrize("weights", ["imagenet", "missing.safetensors", "damaged.safetensors"])
def test_other_weights_name_none(weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("damaged.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    assert trained_on(weights) == ()


@pytest.mark.skipif(not NUCLEI.exists(), reason="no ../shared/data/nuclei")
@pytest.mark.parametrize("model", builtin_models.builtin_names())
def test_a_builtin_model_was_trained_on_all_images_but_those_that_it_was_validated_on(model: str) -> None:
    known = set(trained_on(model))
    held = read_spec(find_model(model)).training["data"]["val_images"]
    for pair in find_pairs(NUCLEI)[:40]:
        assert (hash_pixels(load_pair(pair)[0]) in known) == (pair.name not in held)


def test_weights_that_do_not_match_are_an_error(trained: State, tmp_path: Path) -> None:
    path = write(tmp_path / "w.safetensors", {"a.weight": torch.zeros(3), "b.weight": torch.zeros(3)})
    with pytest.raises(ModelError, match=r"None of the \d+ weights of the encoder can be taken from") as caught:
        load_weights(build_network(spec()), path, spec())
    assert "model.encoder" in caught.value.remedy


def test_weights_of_another_encoder_are_an_error_and_change_nothing(trained: State, tmp_path: Path) -> None:
    network = build_network(spec(encoder="resnet50"))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(ModelError, match=r"\d+ of the \d+ weights of the encoder can be taken from .*w\.pth"):
        load_weights(network, write(tmp_path / "w.pth", encoder_of(trained)), spec(encoder="resnet50"))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


class Code:
    """What a pickle can hide."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("plain", [True, False])
def test_code_in_a_pickle_is_refused_and_does_not_run(tmp_path: Path, plain: bool) -> None:
    path, trace = tmp_path / "weights.pth", tmp_path / "it ran"
    data = {"encoder.conv1.weight": torch.zeros(3), "extra": Code(trace)}
    if plain:
        path.write_bytes(pickle.dumps(Code(trace)))
    else:
        torch.save(data, path)
    with pytest.raises(ModelError, match="could run code") as caught:
        read_weights(path)
    assert "state_dict" in caught.value.remedy
    assert not trace.exists()
    if plain:
        pickle.loads(path.read_bytes())
        assert trace.exists()  # so it would have


@pytest.mark.parametrize("zipped", [True, False])
def test_every_truncated_file_is_a_model_error(tmp_path: Path, zipped: bool) -> None:
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(10)}, buffer, _use_new_zipfile_serialization=zipped)
    data = buffer.getvalue()
    for size in range(0, len(data) - 30, 13):
        (tmp_path / "w.pth").write_bytes(data[:size])
        with pytest.raises(ModelError, match=r"w\.pth"):
            read_weights(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("name", "content"), [("w.pth", b"a text"), ("w.pth", b""), ("w.safetensors", b"a text"), ("w.safetensors", b"")]
)
def test_what_is_no_file_of_weights_is_a_model_error(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=name):
        read_weights(tmp_path / name)


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [torch.zeros(2)], 5])
def test_a_file_without_weights_is_a_model_error(tmp_path: Path, content: Any) -> None:
    with pytest.raises(ModelError, match="holds no weights"):
        read_weights(Path(write(tmp_path / "w.pth", content)))


def test_a_missing_file_is_a_model_error() -> None:
    with pytest.raises(ModelError, match=r"no weights file no\.pth") as caught:
        load_weights(build_network(spec()), "no.pth", spec())
    assert "imagenet" in caught.value.remedy


def test_imagenet_without_a_network_names_the_alternatives(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(smp.encoders, "get_encoder", offline)
    network = nn.Module()
    with pytest.raises(ModelError, match="could not be downloaded") as caught:
        load_weights(network, "imagenet", spec())
    for alternative in ("Connect", "local file", "random"):
        assert alternative in caught.value.remedy


def test_imagenet_weights_come_from_smp(trained: State, monkeypatch: pytest.MonkeyPatch) -> None:
    def downloaded(name: str, in_channels: int, depth: int, weights: str) -> nn.Module:
        assert (name, in_channels, weights) == ("resnet18", 3, "imagenet")
        network = build_network(spec())
        network.load_state_dict(trained)
        return network.get_submodule("encoder")

    monkeypatch.setattr(smp.encoders, "get_encoder", downloaded)
    network = build_network(spec(1))
    load_weights(network, "imagenet", spec(1))
    expected = trained[FIRST_CONVOLUTION].sum(1, keepdim=True)
    torch.testing.assert_close(network.state_dict()[FIRST_CONVOLUTION], expected)
