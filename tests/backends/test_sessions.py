from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest
import torch

from unetkit.backends import sessions
from unetkit.backends.registry import backend_info, backend_names, is_installed
from unetkit.backends.sessions import open_session
from unetkit.inference.array import predict_tiled
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec

CPU = torch.device("cpu")
BACKENDS = [name for name in backend_names() if not backend_info(name).single_thread]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Any:
    if not is_installed(request.param):
        pytest.skip(f"{request.param} is not installed")
    return request.param


def test_the_second_call_uses_the_session_of_the_first(tiny_segmenter: Segmenter, backend: Any) -> None:
    first = open_session(backend, tiny_segmenter, CPU, "fp32")
    assert open_session(backend, tiny_segmenter, CPU, "fp32") is first


def change_in_place(segmenter: Segmenter) -> None:
    with torch.no_grad():
        next(segmenter.parameters()).mul_(2)


def change_unseen(segmenter: Segmenter) -> None:
    next(segmenter.parameters()).data.mul_(2)  # which PyTorch does not count


def change_network(segmenter: Segmenter) -> None:
    segmenter.network = Segmenter(segmenter.spec).eval().network


@pytest.mark.parametrize("change", [change_in_place, change_unseen, change_network])
def test_a_model_that_was_changed_predicts_what_it_is_now(tiny_segmenter: Segmenter, change: Any) -> None:
    image = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    before = predict_tiled(image, tiny_segmenter, output="probabilities", backend="torch")
    change(tiny_segmenter)
    after = predict_tiled(image, tiny_segmenter, output="probabilities", backend="torch")
    assert not np.array_equal(after, before)
    fresh = Segmenter(tiny_segmenter.spec, tiny_segmenter.network).eval()
    np.testing.assert_array_equal(after, predict_tiled(image, fresh, output="probabilities", backend="torch"))


def test_a_few_sessions_are_kept_and_none_for_a_model_that_nobody_uses_again(
    tiny_segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    monkeypatch.setattr(sessions, "create_backend", lambda *case, **options: made.append(case) or object())
    for precision in ("fp32", "bf16", "fp16", "int8", "fp32"):
        open_session("torch", tiny_segmenter, CPU, precision)  # type: ignore[arg-type]
    assert [case[3] for case in made] == ["fp32", "bf16", "fp16", "int8", "fp32"]
    open_session("torch", tiny_segmenter, CPU, "int8")
    assert len(made) == 5
    for name in ("torch", "compile"):
        open_session(name, tiny_segmenter, CPU, "int8", owned=name == "torch")  # type: ignore[arg-type]
    assert len(made) == 7


def test_a_session_goes_when_its_model_goes(backend: Any) -> None:
    model = Segmenter(ModelSpec(encoder="resnet18", depth=3, decoder_channels=(32, 16, 8), halo=16)).eval()
    predict_tiled(np.zeros((64, 64), np.uint8), model, backend=backend)
    gone = weakref.ref(model)
    session = weakref.ref(open_session(backend, model, CPU, "fp32"))
    del model
    gc.collect()
    assert gone() is None
    assert session() is None


def test_several_threads_predict_with_one_model(tiny_segmenter: Segmenter, backend: Any) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (64 + 16 * i, 80), np.uint8) for i in range(4)]
    found: dict[int, Any] = {}

    def work(i: int) -> None:
        for _ in range(3):
            found[i] = predict_tiled(images[i], tiny_segmenter, output="probabilities", backend=backend, tile=64)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, image in enumerate(images):
        alone = predict_tiled(image, tiny_segmenter, output="probabilities", backend=backend, tile=64)
        np.testing.assert_array_equal(found[i], alone)
