from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from spoiling import Edit, edit

from unetkit.data.pairs import find_pairs
from unetkit.models.segmenter import load_model
from unetkit.planning.look import Look
from unetkit.planning.measure import look_at_all
from unetkit.planning.trial import try_builtin


def test_objects_like_nuclei_are_known(sound_looks: list[Look]) -> None:
    trial = try_builtin(sound_looks)
    assert trial is not None
    assert 0.8 < trial.dice <= 1
    spec = load_model(trial.model).spec
    assert trial.network == {name: getattr(spec, name) for name in trial.network}


@pytest.mark.parametrize("change", [lambda mask: mask == 0, np.ones_like], ids=["what lies between", "everything"])
def test_masks_of_something_else_are_not(change: Edit, cells: Path) -> None:
    edit(cells / "masks", lambda mask: change(mask).astype(np.uint8))
    trial = try_builtin(look_at_all(find_pairs(cells)))
    assert trial is not None
    assert trial.dice < 0.5


def test_images_of_other_channels_are_not_tried(sound_looks: list[Look]) -> None:
    assert try_builtin([replace(sound_looks[0], channels=4), *sound_looks[1:]]) is None
