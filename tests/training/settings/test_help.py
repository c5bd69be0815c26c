"""The help of the verbs that train."""

from __future__ import annotations

import pytest

from unetkit.cli import main
from unetkit.training.settings.help import PLAIN_OPTIONS, help_of
from unetkit.training.settings.options import TRAINER_DEFAULTS, Settings
from unetkit.training.settings.tasks import FIT, PRETRAIN


@pytest.mark.parametrize("settings", [FIT, PRETRAIN], ids=lambda settings: settings.verb)
def test_the_first_help_names_settings_that_exist_with_their_defaults(settings: Settings) -> None:
    known = settings.by_key()
    first = [key for keys in settings.first.values() for key in keys]
    assert len(first) == len(set(first)) <= 20
    assert set(first) <= known.keys()
    assert all(PLAIN_OPTIONS[key].default == known[key].default for key in PLAIN_OPTIONS)
    assert PLAIN_OPTIONS["trainer.max_epochs"].default == TRAINER_DEFAULTS["max_epochs"]
    assert all(option.help for option in known.values())


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("settings", [FIT, PRETRAIN], ids=lambda settings: settings.verb)
def test_help_has_no_python_types(settings: Settings, everything: bool) -> None:
    text = help_of(settings, everything=everything)
    for word in ("type:", "Optional[", "Union[", "Literal[", "list[", "<class", "NotImplemented", "None", ":class:"):
        assert word not in text
    for key in settings.by_key() if everything else ("data.crop", "model.encoder", "trainer.max_epochs"):
        assert f"--{key} " in text


def test_the_help_of_fit_names_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--data.train", "x", "--help"]) == 0
    first = capsys.readouterr().out
    assert "--help-all" in first
    assert "--data.cache_gb" not in first
    assert main(["fit", "--help-all"]) == 0
    assert "--data.cache_gb NUMBER" in capsys.readouterr().out
