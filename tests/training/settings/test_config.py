"""What is given is parsed once, and a typing error is found without PyTorch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from unetkit.foundation.errors import ConfigError, UnetkitError
from unetkit.training.settings.config import from_arguments, from_values, is_plain
from unetkit.training.settings.tasks import FIT, PRETRAIN


@pytest.mark.parametrize(
    "args",
    [
        ["fit", "--help"],
        ["fit", "--help-all"],
        ["pretrain", "--help"],
        ["fit", "--data.trian", "x"],
        ["fit", "--data.train", ".", "--model.lr", "fast"],
        ["fit", "--data.train", "nowhere"],
        ["fit", "--config", "nowhere.yaml"],
        ["fit", "--resume", "nowhere"],
        ["fit", "--data.train", ".", "--model.encoder", "resnet43"],
        ["pretrain", "--data.images", "nowhere"],
        ["segment", "nowhere.tif", "o.tif"],
        ["segment", __file__, "o.bmp"],
        ["segment", __file__, "nowhere/o.tif"],
        ["segment", __file__, "o.tif", "--model", "nowhere.safetensors"],
        ["evaluate", "nowhere", "nowhere"],
        ["plan", "nowhere"],
        ["info", "nowhere.tif"],
    ],
    ids=" ".join,
)
def test_help_and_mistakes_are_answered_without_pytorch(args: list[str]) -> None:
    code = (
        "import sys\nfrom unetkit.cli import main\n"
        f"code = main({args!r})\n"
        "print('LOADED', code, *{'torch', 'lightning'}.intersection(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("LOADED")[1].split() == ["0" if "--help" in args[-1] else "2"]
    assert "Loading" not in done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ["--trainer.logger", "TensorBoardLogger", "--trainer.logger.save_dir", "logs"],
        ["--trainer.callbacks+=RichProgressBar"],
        ["--trainer.devices", "[0, 1]", "--trainer.precision", "bf16-mixed", "--trainer.max_time", "00:01:00:00"],
        ["--data.augment_options.rotate90", "1", "--data.normalization.low", "2"],
        ["--data.val", "1e-1", "--model.decoder_channels", "[8, 8, 8]", "--model.in_channels", "3"],
        ["--data.normalization", "{low: 2, high: 98}", "--model.class_names", "[a, b]"],
        ["--seed_everything", "true", "--trainer.fast_dev_run", "2"],
    ],
    ids=" ".join,
)
def test_what_lightning_understands_passes(args: list[str]) -> None:
    from_arguments(FIT, ["--data.train", str(Path(__file__).parent), *args]).check()


@pytest.mark.parametrize("config", sorted((Path(__file__).parents[3] / "configs").glob("*.yaml")), ids=lambda p: p.name)
def test_every_configuration_passes(config: Path) -> None:
    settings = PRETRAIN if config.stem in ("pretrain", "restore") else FIT
    try:
        from_arguments(settings, ["--config", str(config)]).check()
    except UnetkitError as error:
        assert "There is no file or folder" in error.problem or "--data" in error.problem  # noqa: PT017


def test_classes_of_images_alone_have_settings_of_their_own(tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("image,label\n")
    words = ["--data.image_labels", str(labels), "--model.image_classes", "[a]", "--data.images_per_epoch", "9"]
    from_arguments(FIT, words).check()
    with pytest.raises(ConfigError, match="images_per_epoch"):
        from_arguments(FIT, ["--data.train", str(tmp_path), "--data.images_per_epoch", "9"]).check()


def test_what_is_given_is_kept_and_what_is_chosen_or_resumed_is_below_it(tmp_path: Path) -> None:
    config = from_arguments(FIT, ["--data.train", "x", "--data.normalization.low", "2", "--model.lr", "0.5"])
    assert config.values == {"data.train": "x", "data.normalization.low": 2.0, "model.lr": 0.5}
    assert config.wants_plan
    chosen = config.with_choices({"model.lr": 0.1, "data.normalization.high": 90, "data.augment_options": {"flip": 0}})
    assert chosen.planned
    assert chosen.values == {
        **config.values,
        "data.normalization.high": 90,
        "data.augment_options": {"flip": 0},
    }
    (tmp_path / "before.yaml").write_text("model: {lr: 1, depth: 3}\ntrainer: {logger: {class_path: CSVLogger}}\n")
    over = config.over(tmp_path / "before.yaml")
    assert (over.get("model.lr"), over.get("model.depth")) == (0.5, 3)
    assert not over.wants_plan
    assert config.with_values({"data.fold": 1}).get("data.fold") == 1


@pytest.mark.parametrize(
    "words", [["--plan", "false"], ["--print_config"], ["--resume", "run"], ["--config", "mine.yaml"]], ids=" ".join
)
def test_a_plan_is_made_only_where_nothing_else_says_the_settings(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("model: {lr: 1}")
    assert not from_arguments(FIT, ["--data.train", "x", *words]).wants_plan


def test_null_is_given_only_for_weights_where_it_means_random_ones() -> None:
    words = ["--data.train", "x", "--model.weights", "null", "--data.workers", "null"]
    assert from_arguments(FIT, words).values == {"data.train": "x", "model.weights": None}


def test_from_python_groups_may_be_dictionaries_or_have_dots() -> None:
    dotted = from_values(FIT, {"data.train": "x", "data.normalization.low": 2, "model.decoder_channels": (8, 8, 8)})
    nested = from_values(
        FIT, {"data.train": "x", "data.normalization": {"low": 2}, "model.decoder_channels": [8, 8, 8]}
    )
    assert dotted.values == nested.values
    assert from_values(FIT, {"data.train": "1e5", "model.weights": "~"}).values == {
        "data.train": "1e5",
        "model.weights": "~",
    }


def test_what_only_lightning_knows_is_asked_there() -> None:
    words = ["--data.train", "x", "--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", "logs"]
    logger = from_arguments(FIT, words).get("trainer.logger")
    assert logger.class_path == "lightning.pytorch.loggers.CSVLogger"
    assert logger.init_args.save_dir == "logs"
    with pytest.raises(ConfigError, match=r"no setting 'trainer\.callbakcs'"):
        from_arguments(FIT, ["--data.train", "x", "--trainer.callbakcs+=RichProgressBar"])


@pytest.mark.parametrize("words", [["x"], ["--model.lr", "1"]])
def test_without_data_it_is_said_what_to_give(words: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"--data\.train must be given.*labels of whole images"):
        from_arguments(FIT, words)
    with pytest.raises(ConfigError, match="'x' is one argument too many"):
        from_arguments(FIT, ["--data.train", ".", "x"])


def test_only_what_a_file_can_hold_is_plain() -> None:
    assert is_plain({"a": [1, 2.5, None, ("b", True)]})
    assert not is_plain([object()])
    assert not is_plain({"a": Path()})
