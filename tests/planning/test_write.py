from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from tifffile import imread, imwrite

import unetkit
from unetkit.cli import main
from unetkit.data.datamodule import SegmentationData
from unetkit.data.pairs import find_pairs
from unetkit.foundation.errors import OutputError
from unetkit.planning import plan, write
from unetkit.planning.measure import look_at_all
from unetkit.planning.plan import make_plan
from unetkit.planning.trial import Trial
from unetkit.planning.write import describe, settings_of, to_yaml
from unetkit.training.segmentation.run import SegmentationRun
from unetkit.training.settings.config import from_arguments
from unetkit.training.settings.tasks import FIT


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine on which a crop takes a tenth of a second, and a folder to write to."""
    monkeypatch.setattr(plan, "time_crop", lambda *_: 0.1)
    monkeypatch.chdir(tmp_path)


def flat(config: dict[str, object], before: str = "") -> dict[str, object]:
    """Keys of a nested config, joined by dots."""
    found: dict[str, object] = {}
    for key, value in config.items():
        nested = isinstance(value, dict) and key != "augment_options"
        found |= flat(value, f"{before}{key}.") if nested else {before + key: value}  # type: ignore[arg-type]
    return found


def test_the_configuration_holds_every_choice_with_its_reason(cells: Path) -> None:
    planned = make_plan({"data.train": str(cells)})
    text = to_yaml(planned, Path("cells.yaml"))
    settings = {**settings_of(planned), "data.train": str(cells), "seed_everything": 0}
    assert flat(yaml.safe_load(text)) == settings
    for choice in planned.choices:
        assert choice.why in " ".join(line.strip(" #") for line in text.splitlines()), choice.key
    assert all(len(line) <= 120 for line in text.splitlines())


def test_what_was_written_is_what_fit_takes(cells: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(cells)]) == 0
    out = capsys.readouterr().out
    assert "Train with: unetkit fit --config cells.yaml" in out
    cli = SegmentationRun(from_arguments(FIT, ["--config", "cells.yaml", "--trainer.accelerator", "cpu"]))
    written = flat(yaml.safe_load(Path("cells.yaml").read_text()))
    assert cli.datamodule.crop == written["data.crop"]
    assert cli.trainer.max_epochs == written["trainer.max_epochs"]
    assert cli.datamodule.normalization.method == written["data.normalization.method"]
    assert Path(cli.trainer.default_root_dir) == Path("runs/cells-1")


def test_images_that_the_start_was_trained_on_are_no_test_of_it(cells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"data.train": str(cells), "model.weights": "start.safetensors"}
    digests = [look.digest for look in look_at_all(find_pairs(cells))]
    monkeypatch.setattr(plan, "trained_on", lambda _: digests)
    (known,) = (concern for concern in make_plan(given).concerns if concern.kind == "known")
    held = SegmentationData(str(cells), val=0.2).describe()["val_images"]
    assert known.names == tuple(f"{name}.tif" for name in held)
    monkeypatch.setattr(plan, "trained_on", lambda _: [])
    assert not any(concern.kind == "known" for concern in make_plan(given).concerns)


def test_nothing_is_overwritten_unless_it_is_said(cells: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("cells.yaml").write_text("mine")
    assert main(["plan", str(cells)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert Path("cells.yaml").read_text() == "mine"
    assert main(["plan", str(cells), "--overwrite"]) == 0
    assert Path("cells.yaml").read_text() != "mine"


def test_a_stack_is_planned_with_its_pages(cells: Path) -> None:
    for part in ("images", "masks"):
        pages = [imread(path) for path in sorted((cells / part).iterdir())]
        imwrite(f"{part}.tif", np.stack(pages), photometric="minisblack")
    assert main(["plan", "images.tif", "--masks", "masks.tif", "--pages", "0-5", "--val-pages", "6-7"]) == 0
    data = yaml.safe_load(Path("images.yaml").read_text())["data"]
    assert {"train": "images.tif", "masks": "masks.tif", "pages": "0-5", "val_pages": "6-7"}.items() <= data.items()
    assert "val" not in data


def test_warnings_are_said_and_written(cells: Path) -> None:
    imwrite(cells / "images" / "cells_002.tif", np.full((192, 192), 7, np.uint16))
    planned = make_plan({"data.train": str(cells)})
    warning = "Warning: 1 image is all one value (cells_002.tif). Remove them, or export them again."
    assert warning in describe(planned)
    assert f"# {warning}" in to_yaml(planned, Path("cells.yaml"))


def test_copies_in_the_validation_images_that_fit_will_draw_are_a_leak(cells: Path) -> None:
    planned = make_plan({"data.train": str(cells), "data.val": 0.2})
    _, held = plan.split_fraction(find_pairs(cells), 0.2, 0)
    assert not planned.concerns
    for part in ("images", "masks"):
        imwrite(cells / part / "z.tif", imread(cells / part / held[0].image.name))
    kinds = {concern.kind for concern in make_plan({"data.train": str(cells), "data.val": str(cells)}).concerns}
    assert "leak" in kinds


def test_data_that_cannot_be_trained_on_are_refused(cells: Path, capsys: pytest.CaptureFixture[str]) -> None:
    imwrite(cells / "masks" / "cells_002.tif", np.zeros((10, 10), np.uint8))
    assert main(["plan", str(cells)]) == 2
    assert "1 mask differs in size" in capsys.readouterr().err
    assert not Path("cells.yaml").exists()
    assert main(["plan", str(cells), "--minutes", "0"]) == 2
    assert "minutes: 0 is not possible" in capsys.readouterr().err
    assert main(["plan", "nowhere"]) == 2
    assert "There is no file or folder nowhere" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("resnet18", "resnet18"),
        ("a b: c", '"a b: c"'),
        ("0-20", '"0-20"'),
        ("no", '"no"'),
        ("../data/x", "../data/x"),
        ({"scale": [0.8, 1.25], "flip": 0}, "{scale: [0.8, 1.25], flip: 0}"),
        (None, "null"),
        (0.001, "0.001"),
        (True, "true"),
    ],
)
def test_values_are_plain_yaml(value: object, text: str) -> None:
    assert write._flow(value) == text
    assert yaml.safe_load(text) == value


def test_where_training_is_not_needed_the_command_is_said_first_and_runs(
    cells: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = Trial("nuclei", {"model.encoder": "resnet18"}, 0.97, instances=True, f1=0.95, images=8)
    monkeypatch.setattr(plan, "try_builtin", lambda *_: trial)
    assert main(["plan", str(cells), "--minutes", "5"]) == 0
    out = capsys.readouterr().out
    said = out.split("You need not train: ")[1].splitlines()[0]
    assert "with a Dice of 0.97 and an F1 score of its objects of 0.95 (8 images tried)" in said
    assert out.index("You need not train") < out.index("model.weights")
    assert "# You need not train" in Path("cells.yaml").read_text()
    words = shlex.split(said.split("Use it: ")[1])
    assert words == ["unetkit", "segment", str(cells / "images"), "cells_labels", "--output", "labels"]
    assert main(words[1:]) == 0
    assert len(list(Path("cells_labels").iterdir())) == 10
    monkeypatch.setattr(plan, "try_builtin", lambda *_: replace(trial, dice=0.9))
    assert "You need not train" not in str(unetkit.plan(cells))


def test_a_plan_of_a_given_time_carries_it(cells: Path) -> None:
    planned = unetkit.plan(str(cells), minutes=10, settings={"model.encoder": "resnet18"})
    assert planned.minutes == 10
    assert "trainer.max_epochs" not in planned.settings
    path = planned.write("mine.yaml")
    assert yaml.safe_load(path.read_text())["minutes"] == 10
    cli = SegmentationRun(from_arguments(FIT, ["--config", "mine.yaml", "--trainer.accelerator", "cpu"]))
    assert cli.trainer.max_epochs == -1
    assert cli.config.minutes == 10
    with pytest.raises(OutputError, match="exists"):
        planned.write("mine.yaml")
    planned.write("mine.yaml", overwrite=True)
    assert str(planned).splitlines()[0].startswith("10 images")


def test_a_time_too_short_to_be_of_use_is_a_warning(cells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "try_builtin", lambda *_: None)
    assert "Warning: 1 min are little" in str(unetkit.plan(cells, minutes=1))
    assert "are little" not in str(unetkit.plan(cells, minutes=10))
