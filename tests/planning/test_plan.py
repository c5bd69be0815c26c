from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from decoding import count_decoding

from unetkit.data.datamodule import SegmentationData
from unetkit.data.pairs import find_pairs
from unetkit.data.store import ImageStore
from unetkit.planning import measure
from unetkit.planning.plan import make_plan
from unetkit.planning.write import settings_of

LENGTH = {"data.crops_per_epoch": 8, "trainer.max_epochs": 1}
"""A given length: nothing is timed."""


def data_of(settings: dict[str, Any]) -> SegmentationData:
    own = {key.removeprefix("data."): value for key, value in settings.items() if key.startswith("data.")}
    normalization = {key for key in own if key.startswith("normalization.")}
    return SegmentationData(**{key: value for key, value in own.items() if key not in normalization}, workers=0)


@pytest.mark.parametrize(("cache_gb", "planned", "in_all"), [(None, 1, 1), (1.0, 1, 1), (0.0, 1, 2)])
def test_what_planning_has_decoded_training_takes_within_the_memory(
    cells: Path, cache_gb: float | None, planned: int, in_all: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, store = count_decoding(monkeypatch), ImageStore()
    given = {"data.train": str(cells), "model.encoder": "resnet50", **LENGTH}
    given |= {} if cache_gb is None else {"data.cache_gb": cache_gb}
    plan = make_plan(given, store=store)
    assert len(reads) == 20
    assert set(reads.values()) == {planned}
    data = data_of({**given, **settings_of(plan)})
    data.use_store(store)
    data.setup("fit")
    assert set(reads.values()) == {in_all}
    if in_all == 1:
        assert next(iter(data.train_dataloader()))["image"].shape[0] > 1
        assert set(reads.values()) == {1}


def test_the_trial_of_the_builtin_model_decodes_nothing_again(cells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = count_decoding(monkeypatch)
    plan = make_plan({"data.train": str(cells), **LENGTH}, store=ImageStore())
    assert "model.weights" in plan.settings  # it was tried
    assert set(reads.values()) == {1}


def test_a_plan_alone_keeps_no_images(cells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[ImageStore] = []

    class Noted(ImageStore):
        def __init__(self, *room: int) -> None:
            super().__init__(*room)
            used.append(self)

    monkeypatch.setattr(measure, "ImageStore", Noted)
    make_plan({"data.train": str(cells), "model.encoder": "resnet50", **LENGTH})
    (store,) = used
    assert not any(store.keeps(pair) for pair in find_pairs(cells))
