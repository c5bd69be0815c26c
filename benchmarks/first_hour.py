"""What a new user waits for: the first sign of life, the help, the first training step, a time that was promised.

Run it as

    python benchmarks/first_hour.py --only start
    python benchmarks/first_hour.py --unetkit now=unetkit --unetkit before="env PYTHONPATH=../old python -m unetkit"

Each command runs in a terminal of its own, so that spinners show, one after the other. A first run counts as the first
on a machine: its cache folder is empty. Times are medians of `--rounds` runs, of `fit` with a budget of one run.
"""

from __future__ import annotations

import argparse
import os
import pty
import re
import shlex
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import monotonic

import numpy as np
import tifffile
from measuring import describe_machine, print_machine, print_table

from unetkit.foundation.synthetic import make_cells, write_dataset

IMAGES, SIDE = 20, 256
STEP = re.compile(r"A batch takes|epoch 1/")
"""What `fit` prints after its first step, or after its first epoch."""


@dataclass
class Case:
    """A command, and what is timed of it.

    Attributes:
        group: What `--only` names.
        name: Heading of its row.
        words: What follows `unetkit`.
        until: Returns the seconds that count, from the output with its times and the whole time.
        once: Whether one run is enough.
        warm: Whether the cache folder of the run before is kept.
    """

    group: str
    name: str
    words: list[str]
    until: Callable[[list[tuple[float, str]], float], float]
    once: bool = False
    warm: bool = False
    seconds: dict[str, float] = field(default_factory=dict)


def first_sign(output: list[tuple[float, str]], whole: float) -> float:
    """Return when the first visible character was printed."""
    return next((when for when, text in output if text.strip()), whole)


def first_step(output: list[tuple[float, str]], whole: float) -> float:
    """Return when the first training step was reported."""
    return next((when for when, text in output if STEP.search(text)), whole)


def the_end(_: list[tuple[float, str]], whole: float) -> float:
    """Return how long the command took."""
    return whole


def cases(folder: Path, budgets: list[float]) -> list[Case]:
    """Write what the commands need, and return them."""
    write_dataset(folder / "cells", IMAGES, SIDE, 0)
    image, _ = make_cells(1024, 1024, np.random.default_rng(1))
    large, _ = make_cells(4096, 4096, np.random.default_rng(2))
    tifffile.imwrite(folder / "small.tif", image)
    tifffile.imwrite(folder / "large.tif", large, tile=(512, 512), compression="zlib")
    small = ["segment", "small.tif", "small-mask.tif", "--overwrite"]
    large_job = ["segment", "large.tif", "large-mask.tif", "--overwrite"]
    fit = ["fit", "--data.train", "cells"]
    short = [*fit, "--trainer.max_epochs", "1", "--data.crops_per_epoch", "32"]
    return [
        *(
            Case("start", f"first sign of life: {words[0]}", words, first_sign)
            for words in (["info", "small.tif"], small, ["plan", "cells", "--out", "p.yaml", "--overwrite"], short)
        ),
        Case("help", "help: fit", ["fit", "--help"], the_end),
        Case("help", "help: segment", ["segment", "--help"], the_end),
        Case("typo", "a typo is answered: fit --model.encodr", [*fit, "--model.encodr", "resnet18"], the_end),
        Case("step", "first training step: fit, nothing given", short, first_step),
        Case("step", "first training step: fit --plan false", [*short, "--plan", "false"], first_step),
        Case("trials", "4096 x 4096, first run on a machine", large_job, the_end),
        Case("trials", "4096 x 4096, second run", large_job, the_end, warm=True),
        *(
            Case("budget", f"fit --minutes {minutes:g}", [*fit, "--minutes", f"{minutes:g}"], the_end, once=True)
            for minutes in budgets
        ),
    ]


def run(command: str, words: list[str], folder: Path, cache: Path) -> tuple[list[tuple[float, str]], float]:
    """Run a command in a terminal; return its output with the seconds at which it came, and the whole time."""
    outer, inner = pty.openpty()
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "COLUMNS": "200", "TERM": "xterm"}
    start = monotonic()
    process = subprocess.Popen(
        [*shlex.split(command), *words], cwd=folder, stdin=inner, stdout=inner, stderr=inner, env=environment
    )
    os.close(inner)
    output: list[tuple[float, str]] = []
    while True:
        try:
            data = os.read(outer, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not data:
            break
        output.append((monotonic() - start, re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", data.decode("utf-8", "replace"))))
    process.wait()
    os.close(outer)
    return output, monotonic() - start


def parse(args: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unetkit", action="append", metavar="NAME=COMMAND", help="by default now=unetkit")
    parser.add_argument("--only", action="append", default=[], help="start, help, typo, step, trials or budget")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each command")
    parser.add_argument("--minutes", type=float, action="append", help="budgets to try; by default 1 and 3")
    parser.add_argument("--markdown", action="store_true", help="a table for the docs")
    return parser.parse_args(args)


def main(args: list[str] | None = None) -> None:
    """Time everything, and print a table."""
    options = parse(args)
    contestants = dict(text.split("=", 1) for text in options.unetkit or ["now=unetkit"])
    print_machine(describe_machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chosen = [
            case for case in cases(folder, options.minutes or [1, 3]) if not options.only or case.group in options.only
        ]
        for case in chosen:
            for who, command in contestants.items():
                seconds = []
                for i in range(1 if case.once else options.rounds):
                    cache = folder / f"cache-{who}-{case.group}-{i}"
                    if not case.warm and cache.exists():
                        cache = Path(tempfile.mkdtemp(dir=folder))
                    seconds.append(case.until(*run(command, case.words, folder, cache)))
                case.seconds[who] = median(seconds)
        rows = [[case.name, *(f"{case.seconds[who]:.1f}" for who in contestants)] for case in chosen]
    print_table("Seconds", ["what", *contestants], rows, markdown=options.markdown)


if __name__ == "__main__":
    main()
