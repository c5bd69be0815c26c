"""Measure what passes from the start of `unetkit fit` to its first training batch, part by part.

    python benchmarks/first_batch.py FOLDER                                   (settings are planned)
    python benchmarks/first_batch.py FOLDER -- --config configs/nuclei.yaml   (after --: options of `unetkit fit`)

Each round runs the command in a process of its own, and ends it when the first batch is handed to the network. Parts
that lie in others are taken off these. Medians are shown, of the time that passes and of the time of the processor in
this process; on a busy machine the latter is the steadier. Run it twice: the first time reads the disk.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic, process_time
from typing import Any

from measuring import describe_machine, measure_process, print_machine, print_table, report

REST = "other"
PARTS = (
    ("planning: looking at the images", "unetkit.planning.plan", "look_at_all"),
    ("planning: facts, choices, warnings", "unetkit.training.segmentation.planned", "make_plan"),
    ("planning: the built-in model is tried", "unetkit.planning.plan", "try_builtin"),
    ("planning: steps are timed", "unetkit.planning.plan", "time_crop"),
    ("settings, classes and trainer", "unetkit.training.segmentation.run", "SegmentationRun.__init__"),
    ("reading and measuring the images", "unetkit.data.datamodule", "SegmentationData.setup"),
    ("fitting the data to the network", "unetkit.data.datamodule", "SegmentationData.prepare_for"),
    ("building the network", "unetkit.training.segmentation.module", "SegmentationModule.setup"),
    ("run folder, settings and notes", "unetkit.training.run.callbacks", "RunFolder.on_fit_start"),
    ("validation before training", "lightning.pytorch.trainer.trainer", "Trainer._run_sanity_check"),
    (
        "loading what is validated, and the first batch",
        "lightning.pytorch.loops.fetchers",
        "_PrefetchDataFetcher.__next__",
    ),
)
"""Name of each part, and the function that it is: its module and its name there."""

Clock = tuple[float, float]


class FirstBatch(Exception):  # noqa: N818  # ends the command, and is no error
    """The first batch is there."""


class Parts:
    """Time and time of the processor of each part, without the parts that lie in it."""

    def __init__(self, began: float) -> None:
        self.spent: dict[str, list[float]] = {}
        self._open = [REST]
        self._last = (began, 0.0)

    def turn(self) -> None:
        """Add what has passed to the part that is going on."""
        now = monotonic(), process_time()
        spent = self.spent.setdefault(self._open[-1], [0.0, 0.0])
        for place, (before, after) in enumerate(zip(self._last, now, strict=True)):
            spent[place] += after - before
        self._last = now

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What is inside belongs to a part."""
        self.turn()
        self._open.append(name)
        try:
            yield
        finally:
            self.turn()
            self._open.pop()

    def watch(self, name: str, module: str, place: str) -> None:
        """Have a function count as a part."""
        *path, last = place.split(".")
        owner: Any = import_module(module)
        owner = attrgetter(".".join(path))(owner) if path else owner
        function: Callable[..., Any] = getattr(owner, last)

        @wraps(function)
        def watched(*args: Any, **more: Any) -> Any:
            with self.part(name):
                return function(*args, **more)

        setattr(owner, last, watched)


def run_worker(began: float, arguments: list[str]) -> None:
    """In a process of its own: run the command up to its first batch, and report its parts."""
    parts = Parts(began)
    with parts.part("Python, and settings without PyTorch"):
        from unetkit.training.settings.config import from_arguments
        from unetkit.training.settings.tasks import FIT

        config = from_arguments(FIT, arguments)
        config.check()
    with parts.part("importing PyTorch and all else"):
        from unetkit.training.fit import run_fit
        from unetkit.training.segmentation.module import SegmentationModule

    def stop(*_: Any, **__: Any) -> None:
        raise FirstBatch

    for name, module, place in PARTS:
        parts.watch(name, module, place)
    SegmentationModule.training_step = stop  # type: ignore[assignment]
    try:
        run_fit(config)
    except FirstBatch:
        parts.turn()
    report({"parts": parts.spent})


def parse(args: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n", maxsplit=1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("train", type=Path, help="folder of images and masks")
    parser.add_argument("--rounds", type=int, default=3, help="times that the command is run")
    parser.add_argument("--markdown", action="store_true", help="print tables for a README")
    parser.add_argument("--began", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--runs", help=argparse.SUPPRESS)
    parser.epilog = "after --: options of `unetkit fit`"
    own = args.index("--") if "--" in args else len(args)
    options = parser.parse_args(args[:own])
    options.more = args[own + 1 :]
    return options


def main(args: list[str] | None = None) -> None:
    """Run the command line."""
    given = sys.argv[1:] if args is None else args
    options = parse(given)
    command = [*options.more, f"--data.train={options.train}"]
    if options.began is not None:
        run_worker(options.began, [*command, f"--runs={options.runs}"])
        return
    print_machine(describe_machine())
    rounds = []
    for number in range(options.rounds):
        with TemporaryDirectory() as runs:
            own = [__file__, "--began", str(monotonic()), "--runs", runs, *given]
            facts = measure_process([sys.executable, *own])
        if "error" in facts:
            sys.exit(f"round {number + 1}: {facts['error']}")
        rounds.append(facts["parts"])
        print(f"round {number + 1}: {sum(spent[0] for spent in facts['parts'].values()):.1f} s", file=sys.stderr)
    names = list(dict.fromkeys(name for parts in rounds for name in parts))
    values = {name: [median(parts.get(name, (0, 0))[place] for parts in rounds) for place in (0, 1)] for name in names}
    values = dict(sorted(values.items(), key=lambda item: -item[1][1]))
    values["in all"] = [sum(value[place] for value in values.values()) for place in (0, 1)]
    rows = [[name, *(f"{value:.2f}" for value in both)] for name, both in values.items()]
    title = f"Seconds to the first batch: unetkit fit {' '.join(command)}"
    print_table(title, ["part", "time", "of the processor"], rows, markdown=options.markdown)


if __name__ == "__main__":
    main()
