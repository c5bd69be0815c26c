from __future__ import annotations

from pathlib import Path

import torch

from unetkit.training.run.trainer import make_trainer


def test_training_is_deterministic_but_does_not_fill_memory_that_is_written_anyway(tmp_path: Path) -> None:
    torch.utils.deterministic.fill_uninitialized_memory = True
    make_trainer(tmp_path, accelerator="cpu", max_epochs=1)
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory
