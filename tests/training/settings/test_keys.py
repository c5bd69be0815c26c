"""What is read from source files agrees with what the classes take, and a typing error is found without PyTorch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from unetkit.cli import main
from unetkit.foundation.errors import ConfigError, UnetkitError
from unetkit.training.classification_run import ClassificationCLI
from unetkit.training.command import RunCLI
from unetkit.training.fit import FitCLI
from unetkit.training.pretrain_run import PretrainCLI
from unetkit.training.segmentation.run import TRAINER_DEFAULTS
from unetkit.training.settings.keys import FIT, PLAIN_TEXTS, PRETRAIN, Settings, check, help_of

LINES: dict[type[RunCLI], list[str]] = {
    FitCLI: ["--data.train", "x", "--plan", "false"],
    PretrainCLI: ["--data.images", "x"],
    ClassificationCLI: ["--data.image_labels", "x", "--model.image_classes", "[a]"],
}


class StopError(Exception):
    """The settings are known; nothing is to be built."""


def real_settings(command: type[RunCLI], args: list[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return all settings with their values, by key, as Lightning's command line takes them."""
    found: dict[str, Any] = {}

    def instantiate(self: RunCLI) -> None:
        found.update(vars(self.config.clone().as_flat()))
        raise StopError

    monkeypatch.setattr(command, "instantiate_classes", instantiate)
    with pytest.raises(StopError):
        command(args)
    return found


@pytest.mark.parametrize("command", LINES, ids=lambda command: command.__name__)
def test_keys_and_defaults_are_those_of_the_classes(command: type[RunCLI], monkeypatch: pytest.MonkeyPatch) -> None:
    args = LINES[command]
    real = real_settings(command, args, monkeypatch)
    ours = vars(command.settings.parser().parse_args(args).as_flat())
    assert ours.keys() == real.keys()
    assert {key: value for key, value in ours.items() if value != real[key]} == {}


@pytest.mark.parametrize("settings", [FIT, PRETRAIN], ids=lambda settings: settings.verb)
def test_the_first_help_names_settings_that_exist_with_their_defaults(settings: Settings) -> None:
    known = settings.by_key()
    first = [key for keys in settings.first.values() for key in keys]
    assert len(first) == len(set(first)) <= 20
    assert set(first) <= known.keys()
    assert all(PLAIN_TEXTS[key].default == known[key].default for key in PLAIN_TEXTS)
    assert PLAIN_TEXTS["trainer.max_epochs"].default == TRAINER_DEFAULTS["max_epochs"]
    assert all(option.help for option in known.values())


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("settings", [FIT, PRETRAIN], ids=lambda settings: settings.verb)
def test_help_has_no_python_types(settings: Settings, everything: bool) -> None:
    text = help_of(settings, everything=everything)
    for word in ("type:", "Optional[", "Union[", "Literal[", "list[", "<class", "NotImplemented", "None", ":class:"):
        assert word not in text
    for key in settings.by_key() if everything else ("data.crop", "model.encoder", "trainer.max_epochs"):
        assert f"--{key} " in text


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
    check(FIT, ["--data.train", str(Path(__file__).parent), *args])


@pytest.mark.parametrize("config", sorted((Path(__file__).parents[3] / "configs").glob("*.yaml")), ids=lambda p: p.name)
def test_every_configuration_passes(config: Path) -> None:
    settings = PRETRAIN if config.stem in ("pretrain", "restore") else FIT
    try:
        check(settings, ["--config", str(config)])
    except UnetkitError as error:
        assert "There is no file or folder" in error.problem or "--data" in error.problem  # noqa: PT017


@pytest.mark.parametrize("name", ["#a.tif", "~", "&a", "- a", "[a]", "{a}", "a: b", "1e5", "yes", "'q'", "\udce4"])
@pytest.mark.parametrize("key", ["data.masks", "data.train", "name", "model.weights"])
def test_names_are_taken_as_they_are(key: str, name: str) -> None:
    config = FIT.parser().parse_args(["--data.train", "x", f"--{key}={name}"])
    assert config[key] == name


def test_classes_of_images_alone_have_settings_of_their_own(tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("image,label\n")
    check(FIT, ["--data.image_labels", str(labels), "--model.image_classes", "[a]", "--data.images_per_epoch", "9"])
    with pytest.raises(ConfigError, match="images_per_epoch"):
        check(FIT, ["--data.train", str(tmp_path), "--data.images_per_epoch", "9"])


def test_the_help_of_fit_names_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--data.train", "x", "--help"]) == 0
    first = capsys.readouterr().out
    assert "--help-all" in first
    assert "--data.cache_gb" not in first
    assert main(["fit", "--help-all"]) == 0
    assert "--data.cache_gb NUMBER" in capsys.readouterr().out
