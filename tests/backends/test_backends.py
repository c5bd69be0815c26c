"""Every backend against the plain model."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unetkit.backends import compile as compiled
from unetkit.backends import onnxruntime, openvino
from unetkit.backends import torch as plain
from unetkit.models.segmenter import Segmenter
from unetkit.testing.backend_inputs import expect, make_segmenter, make_windows
from unetkit.testing.backends import BackendContract, BackendInfoContract

CPU = torch.device("cpu")


class TestTorch(BackendContract):
    info = plain.INFO


class TestOnnxRuntime(BackendContract):
    info = onnxruntime.INFO


class TestOpenVino(BackendContract):
    info = openvino.INFO


class TestCompile(BackendInfoContract):
    """Compiling takes a minute for each size of windows: one small network has to do."""

    info = compiled.INFO

    @pytest.mark.filterwarnings("ignore")  # of inductor
    def test_compiled_is_the_same(self) -> None:
        """Inside an image only the kept part is computed, at its border the whole window."""
        backend = self.info.create(two_layers(), CPU, "fp32", owned=False)
        windows = make_windows(batch=1, size=(16, 16))
        for kept in [(slice(4, 12), slice(4, 12)), (slice(0, 12), slice(4, 16))]:
            try:
                got = backend(*windows, kept)
            except torch._inductor.exc.InductorError as error:  # inductor needs a C++ compiler
                pytest.skip(f"inductor cannot compile here: {str(error).splitlines()[0]}")
            expected = expect(two_layers(), windows, kept)
            assert expected.std() > 0.01, "the case shows nothing"
            torch.testing.assert_close(got, expected, rtol=0, atol=2e-5)


def two_layers() -> Segmenter:
    """A network that is compiled in seconds."""
    spec = make_segmenter().spec
    torch.manual_seed(2)
    return Segmenter(spec, nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))).eval()
