"""TorchScript that could do more than compute is refused before anything of it is run."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import segmentation_models_pytorch as smp
import torch
from foreign_models import Scales, WritesOnLoading
from torch import Tensor, nn

pytest.importorskip("bioimageio.spec")

from unetkit.errors import ModelError
from unetkit.zoo.torchscript_safety import check_torchscript, strange_words


class Writes(nn.Module):
    """Writes a file when it is used."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, pixels: Tensor) -> Tensor:
        torch.save(pixels, self.name)
        return pixels


class Reads(Writes):
    """Maps a file as numbers when it is used."""

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels + torch.from_file(self.name, False, 1, dtype=torch.float32)


class Branches(nn.Module):
    """Has what honest networks have: loops, lists, branches and errors."""

    def forward(self, pixels: Tensor) -> Tensor:
        parts: list[Tensor] = []
        for step in range(2):
            parts.append(pixels * float(step))
        if pixels.dim() != 4:
            raise ValueError(f"there are {pixels.dim()} axes")
        return torch.cat(parts, 1).clamp(0, 1)


@pytest.mark.parametrize("kind", [Writes, Reads, WritesOnLoading])
def test_operators_on_files_are_refused_and_not_run(tmp_path: Path, kind: Callable[[str], nn.Module]) -> None:
    mark, path = tmp_path / "mark", tmp_path / "net.pt"
    torch.jit.script(kind(str(mark))).save(str(path))
    with pytest.raises(ModelError, match="may do more than compute"):
        check_torchscript(path)
    assert not mark.exists()


def test_a_file_that_is_not_checked_would_write_as_it_is_loaded(tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / "net.pt"
    torch.jit.script(WritesOnLoading(str(mark))).save(str(path))
    torch.jit.load(str(path))
    assert mark.exists(), "loading alone runs code, hence the check before it"


@pytest.mark.parametrize("make", [Scales, Branches, lambda: smp.Unet("resnet18", encoder_weights=None)])
def test_honest_networks_pass(tmp_path: Path, make: Callable[[], nn.Module]) -> None:
    torch.jit.trace(make().eval(), torch.zeros(1, 3 if make is not Scales else 1, 64, 64)).save(str(tmp_path / "a.pt"))
    check_torchscript(tmp_path / "a.pt")


@pytest.mark.parametrize(
    "make", [Branches, nn.TransformerEncoderLayer, nn.LSTM, nn.MultiheadAttention, nn.Upsample, smp.Unet]
)
def test_compiled_layers_pass(tmp_path: Path, make: Callable[..., nn.Module]) -> None:
    size: Any = {
        nn.TransformerEncoderLayer: (8, 2),
        nn.LSTM: (4, 4),
        nn.MultiheadAttention: (8, 2),
        smp.Unet: ("resnet18", 5, None),
    }.get(make, ())
    torch.jit.script(make(*size).eval()).save(str(tmp_path / "a.pt"))
    check_torchscript(tmp_path / "a.pt")


HOSTILE = {
    "an operator on files": "torch.save(x, 'name')",
    "a method that is one": "x.save('name')",
    "its name between": "getattr(x, 'from_file')",
    "its name in other signs": r"getattr(x, '\163ave')('name')",
    "the name of an operator that checks little": "getattr(x, '_index_put_impl_')([x], x)",
    "another namespace": "ops.image.read_file('name')",
    "a call of Python": "ops.prim.PythonOp(x)",
    "a call of another machine": "rpc_sync('worker', x)",
    "an operator that is handed on": "y = torch",
    "a class of compiled code": "__torch__.torch.classes.dist_rpc.WorkerInfo(x)",
    "an operator that checks little": "torch._sparse_coo_tensor_unsafe(x, x, [1])",
    "such a method": "x._index_put_impl_([x], x)",
    "a function that is unknown": "open('name')",
    "a value of another machine": "x.to_here()",
    "a name in other letters": "t\u043erch.abs(x)",
    "no text at all": "x = = 1",
    "an import": "import os",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_text_is_seen(case: str) -> None:
    assert list(strange_words(f"def forward(self, x):\n  {HOSTILE[case]}\n  return x\n"))


@pytest.mark.parametrize("line", ["x = torch.add(x, x)", "x = (self.conv).forward(x, )", "x = ops.prim.NumToTensor(1)"])
def test_plain_text_passes(line: str) -> None:
    assert not list(strange_words(f"def forward(self, x):\n  {line}\n  return x\n", frozenset({"forward"})))


def test_a_method_does_not_hide_an_operator() -> None:
    code = "def _index_put_impl_(self, x):\n  return x\ndef forward(self, x):\n  return x._index_put_impl_([x], x)\n"
    assert list(strange_words(code, frozenset({"_index_put_impl_", "forward"})))


def change(path: Path, name: str, text: bytes) -> Path:
    """Copy a file of TorchScript with one record more."""
    other = path.with_suffix(".other.pt")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w") as new:
        for info in old.infolist():
            new.writestr(info, old.read(info))
        new.writestr(f"{old.namelist()[0].partition('/')[0]}/{name}", text)
    return other


@pytest.mark.parametrize("name", ["code/__torch__/hidden.py", "code/__torch__/hidden.PY"])
def test_code_in_any_record_is_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.pt"
    torch.jit.script(Branches()).save(str(path))
    check_torchscript(path)
    with pytest.raises(ModelError, match="may do more than compute"):
        check_torchscript(change(path, name, b"def f(x):\n  torch.save(x, 'name')\n"))


@pytest.mark.parametrize(
    ("name", "text"), [("DATA.PKL", b""), ("model.json", b"{}"), ("extra.pkl", b"c__torch__.torch.classes.a\nB\n.")]
)
def test_strange_records_are_refused(tmp_path: Path, name: str, text: bytes) -> None:
    path = tmp_path / "a.pt"
    torch.jit.script(Branches()).save(str(path))
    with pytest.raises(ModelError):
        check_torchscript(change(path, name, text))


@pytest.mark.parametrize("content", [b"", b"nothing", b"PK\x05\x06" + b"\0" * 18])
def test_what_is_no_torchscript_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(ModelError):
        check_torchscript(tmp_path / "a.pt")


def test_a_pickle_of_a_network_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Conv2d(1, 1, 1), tmp_path / "a.pt")
    with pytest.raises(ModelError):
        check_torchscript(tmp_path / "a.pt")


def test_a_text_that_would_fill_the_memory_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/code/__torch__/a.py", b" " * (65 * 2**20))
    with pytest.raises(ModelError, match="bytes large"):
        check_torchscript(tmp_path / "a.pt")
