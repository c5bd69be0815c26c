"""The command line: from its words to a verb."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from unetkit.foundation.errors import ConfigError, UnetkitError, closest, explain
from unetkit.verbs.evaluate import evaluate_command
from unetkit.verbs.export import export_command
from unetkit.verbs.info import info_command
from unetkit.verbs.objects import measure_command, rasterize_command
from unetkit.verbs.plan import plan_command
from unetkit.verbs.report import report_command
from unetkit.verbs.segment import segment_command
from unetkit.verbs.view import view_command


def demo_command(folder: Path = Path("demo"), seed: int = 0, overwrite: bool = False) -> None:
    """Make synthetic cells, train on them, segment a mosaic, score it and draw the result, in a few minutes on a CPU.

    Args:
        folder: Folder for all files of the demo.
        seed: Seed of the synthetic cells.
        overwrite: Replace an earlier demo.
    """
    from unetkit.foundation.console import loading

    with loading():
        from unetkit.demo import run_demo

    run_demo(folder, seed, overwrite, main)


VERBS: dict[str, Callable[..., None]] = {
    "segment": segment_command,
    "view": view_command,
    "measure": measure_command,
    "export": export_command,
    "evaluate": evaluate_command,
    "report": report_command,
    "plan": plan_command,
    "rasterize": rasterize_command,
    "demo": demo_command,
    "info": info_command,
}
"""Verbs whose options are the arguments of a function."""

ABOUT = """Find and outline objects in microscopy images with a U-Net.

Segment an image with the built-in model for nuclei, and train a model on images and masks of your own:

  unetkit segment image.tif mask.tif
  unetkit fit --data.train my_images
"""

TRAINING_SUMMARIES = {
    "fit": "Train a U-Net on a folder of images and masks.",
    "pretrain": "Train a U-Net to restore damaged images, without masks: to clean images, or as a start for `fit`.",
}
"""Verbs that train, with their line in the help."""


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        args: What follows `unetkit`; `sys.argv[1:]` by default.

    Returns:
        Exit code: 0 when done, 2 for an error that the user can correct, 130 when stopped by Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a name that the terminal cannot show must not end the run
            stream.reconfigure(errors="backslashreplace")
    try:
        return _run(list(sys.argv[1:] if args is None else args))
    except UnetkitError as error:
        from unetkit.foundation.console import complain

        complain(error.problem, error.remedy)
        return 2
    except BrokenPipeError:  # what reads our output, such as `head`, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.filename is None:  # no file of the user, so a fault of unetkit
            raise
        from unetkit.foundation.console import complain

        complain(*explain(error))
        return 2
    except KeyboardInterrupt:
        return 130
    except SystemExit as end:  # the parser ends so after --print_config
        return end.code if isinstance(end.code, int) else 1


def _run(args: list[str]) -> int:
    """Find the verb and call it."""
    from unetkit.foundation.console import log

    verb, rest = (args[0], args[1:]) if args else ("--help", [])
    if verb in ("-h", "--help"):
        log(_usage())
    elif verb == "--version":
        from unetkit import __version__

        log(f"unetkit {__version__}")
    elif verb in TRAINING_SUMMARIES:
        return _train(verb, rest)
    elif verb in VERBS:
        from unetkit.commandline.calling import call

        call(VERBS[verb], verb, rest)
    else:
        raise ConfigError(f"There is no command '{verb}'.", closest(verb, [*TRAINING_SUMMARIES, *VERBS]))
    return 0


def _train(verb: str, args: list[str]) -> int:
    """Show the help of a verb that trains; or check its settings, without PyTorch, and train."""
    from unetkit.foundation.console import loading, log
    from unetkit.training.settings.config import from_arguments
    from unetkit.training.settings.help import help_of
    from unetkit.training.settings.tasks import FIT, PRETRAIN

    settings = {"fit": FIT, "pretrain": PRETRAIN}[verb]
    if asked := {"-h", "--help", "--help-all"}.intersection(args):
        log(help_of(settings, everything="--help-all" in asked))
        return 0
    config = from_arguments(settings, args)
    config.check()
    with loading():
        from unetkit.training.fit import run_fit, run_pretrain
    done = run_fit(config) if settings is FIT else run_pretrain(config)
    return 130 if done.interrupted else 0


def _usage() -> str:
    """Return the text of `unetkit --help`."""
    from unetkit.commandline.help_text import help_page

    summaries = {name: _summary(verb) for name, verb in VERBS.items()}
    commands = {"segment": summaries.pop("segment"), **TRAINING_SUMMARIES, **summaries}
    about = {
        "--help": "Show this text; after a command, its options.",
        "--version": "Show the version.",
    }
    return help_page("unetkit COMMAND ...", ABOUT, {"Commands": list(commands.items()), "Options": list(about.items())})


def _summary(verb: Any) -> str:
    return (verb.__doc__ or "").split("\n")[0]
