from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tifffile import imread, imwrite

from unetkit import __version__, cli, demo
from unetkit.cli import TRAINING_SUMMARIES, VERBS, main
from unetkit.commandline.calling import call
from unetkit.foundation.errors import UnetkitError
from unetkit.foundation.synthetic import make_cells


def test_without_arguments_every_verb_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    out = capsys.readouterr().out
    assert all(f"  {verb} " in out for verb in [*TRAINING_SUMMARIES, *VERBS])


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"unetkit {__version__}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_help_names_values_and_no_python_types(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    out = capsys.readouterr().out
    for word in ("type:", "None", "Optional", "Union[", "Literal", "list[", "<class", "tuple", "null"):
        assert word not in out


def test_examples_in_help_are_indented(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segment", "--help"]) == 0
    assert "\n  unetkit segment image.tif mask.tif\n" in capsys.readouterr().out


def test_what_the_system_refuses_with_a_file_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(arguments: list[str]) -> int:
        raise PermissionError(13, "Permission denied", "a.tif")

    monkeypatch.setattr(cli, "_run", fail)
    assert main(["info"]) == 2
    assert capsys.readouterr().err.startswith("Error: a.tif cannot be used: Permission denied. Check")


def test_output_that_nobody_reads_on_ends_quietly() -> None:
    command = f"set -o pipefail; {sys.executable} -m unetkit fit --help-all | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


def test_fit_help_shows_its_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(key in out for key in ("--model.encoder", "--data.crop", "--trainer.max_epochs", "--resume"))


def test_pretrain_help_shows_its_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pretrain", "--help"]) == 0
    out = capsys.readouterr().out
    assert "usage: unetkit pretrain" in out
    assert all(key in out for key in ("--model.corruption.hidden", "--data.images", "--trainer.max_epochs", "--resume"))
    assert "--data.masks" not in out


def test_a_verb_takes_its_options_from_a_file_too(tiny_model: Path, tmp_path: Path) -> None:
    imwrite(tmp_path / "in.tif", np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8))
    (tmp_path / "options.yaml").write_text(f"model: {tiny_model}\noutput: probabilities\ndevice: cpu\n")
    arguments = ["segment", str(tmp_path / "in.tif"), str(tmp_path / "out.tif")]
    assert main([*arguments, "--config", str(tmp_path / "options.yaml")]) == 0
    assert imread(tmp_path / "out.tif").dtype == np.float32
    assert main([*arguments, "--config", str(tmp_path / "options.yaml"), "--output", "mask", "--overwrite"]) == 0
    assert imread(tmp_path / "out.tif").dtype == np.uint8


@pytest.mark.parametrize(
    ("raised", "code"),
    [(UnetkitError("It is broken.", "Mend it."), 2), (KeyboardInterrupt(), 130), (SystemExit(0), 0)],
)
def test_exit_codes(
    raised: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(arguments: list[str]) -> int:
        raise raised

    monkeypatch.setattr(cli, "_run", fail)
    assert main(["info"]) == code
    assert capsys.readouterr().err == ("Error: It is broken. Mend it.\n" if code == 2 else "")


def test_a_fault_of_unetkit_passes_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(arguments: list[str]) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "_run", fail)
    with pytest.raises(ZeroDivisionError):
        main(["info"])


def test_a_signature_is_a_command_line() -> None:
    def verb(file: Path | None = None, /, number: float = 1.5, loud: bool = False) -> dict[str, Any]:
        """Do it.

        Args:
            file: A file.
            number: A number.
            loud: A flag.
        """
        return {"file": file, "number": number, "loud": loud}

    assert call(verb, "verb", []) == {"file": None, "number": 1.5, "loud": False}
    assert call(verb, "verb", ["a b", "--loud", "--number", "2"]) == {"file": Path("a b"), "number": 2.0, "loud": True}


@pytest.fixture
def small_demo(small_halo_canvas: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo that learns nothing, in seconds."""
    monkeypatch.setattr(demo, "TRAINING_IMAGES", 3)
    monkeypatch.setattr(demo, "TRAINING_SIZE", 96)
    monkeypatch.setattr(demo, "MOSAIC_SIZES", (300,))
    monkeypatch.setattr(demo, "SPEED_TEST_SIDE", 96)
    section = demo.immunohistochemistry()[:192, :192]
    monkeypatch.setattr(demo, "immunohistochemistry", lambda: section)
    settings = """
        --model.encoder resnet18 --model.depth 3 --model.decoder_channels [8,8,8] --data.crop 64 --data.workers 0
        --data.crops_per_epoch 8 --data.val 0.3 --trainer.max_epochs 1 --trainer.accelerator cpu --plan false
    """
    monkeypatch.setattr(demo, "FIT_ARGUMENTS", settings)


def test_objects_are_scored_and_masks_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = make_cells(96, 96, seed=0)[1].astype(np.uint16)
    files = [str(tmp_path / name) for name in ("labels.tif", "mask.tif")]
    imwrite(files[0], labels)
    imwrite(files[1], (labels > 0).astype(np.uint8) * 255)
    assert main(["evaluate", files[0], files[0], "--instances"]) == 0
    out = capsys.readouterr().out
    assert "Dice" in out
    assert "Objects" in out  # the heading is whole on a terminal of 80 columns
    assert main(["evaluate", files[1], files[0], "--instances"]) == 2
    assert "looks like a mask" in " ".join(capsys.readouterr().err.split())
    assert main(["evaluate", files[1], files[0]]) == 0
    assert "Objects" not in capsys.readouterr().out


@pytest.mark.usefixtures("small_demo")
def test_the_demo_prints_its_commands_and_leaves_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "demo"
    assert main(["demo", "--folder", str(folder)]) == 0
    out = capsys.readouterr().out
    assert [line.split()[2] for line in out.splitlines() if line.startswith("$ unetkit")] == [
        "fit",
        "segment",
        "evaluate",
        "segment",
    ]
    assert (folder / "overview.png").stat().st_size > 10_000
    assert (folder / "nuclei.png").stat().st_size > 10_000
    assert 0 <= json.loads((folder / "scores.json").read_text())["pooled"]["dice"] <= 1
    assert main(["demo", "--folder", str(folder)]) == 2
    assert "Pass --overwrite" in capsys.readouterr().err


def test_the_demo_does_not_touch_a_folder_of_the_user(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").write_text("years")
    assert main(["demo", "--folder", str(tmp_path), "--overwrite"]) == 2
    assert (tmp_path / "thesis.txt").read_text() == "years"
    assert "no earlier demo" in capsys.readouterr().err


def test_the_demo_makes_its_mosaic_as_large_as_there_is_time_for() -> None:
    sizes = [demo.choose_size(speed, 60) for speed in (1e-7, 2e-6, 5e-6, 1e-3)]
    assert sizes == [4096, 3072, 2048, 1024]
    assert demo.choose_size(1e-7, -5) == 1024


@pytest.mark.usefixtures("small_demo")
@pytest.mark.parametrize(("code", "raised"), [(130, KeyboardInterrupt), (2, UnetkitError)])
def test_the_demo_stops_with_its_command(code: int, raised: type[BaseException], tmp_path: Path) -> None:
    run: Callable[[list[str]], int] = lambda arguments: code  # noqa: E731
    with pytest.raises(raised):
        demo.run_demo(tmp_path / "demo", 0, False, run)
