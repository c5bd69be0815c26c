"""Compare the speed of `unetkit fit` with a bare loop: the same network, batch and precision over tensors in memory.

    python benchmarks/training.py --encoder resnet34 --crop 256 --batch 8
    python benchmarks/training.py --precision bf16-mixed --compile --batch 32 --steps 100          (on a GPU)
    python benchmarks/training.py --train FOLDER -- --data.workers 2        (after -- more options of `unetkit fit`)

Both first run in a process of their own, for their peak memory. Then they take turns in this process, round after
round, the order reversed each time, and the medians are compared; each round begins with steps that warm up and are not
counted. Beside the images a second stands the processor time of an image, workers included: on a busy machine it is the
steadier of the two. `fit` is the real command: its parser, data module with workers, augmentation, averaged weights,
logging and callbacks. What is timed are its training steps from one to a later one, the loading of the batches
included; reading the data, starting the workers, validation, writing the model and measuring the halo are not. The bare
loop does forward pass, loss, backward pass and optimizer, with PyTorch's defaults, on batches that are normalised and
on the device.
Without --train both see synthetic cells.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from io import StringIO
from itertools import cycle, islice
from multiprocessing import active_children
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from measuring import describe_machine, measure_process, print_machine, print_table, report
from ours import synchronise
from torch import Tensor

from unetkit.foundation.synthetic import write_dataset
from unetkit.training.run.trainer import quiet_lightning
from unetkit.training.segmentation.run import SegmentationRun
from unetkit.training.settings.config import from_arguments
from unetkit.training.settings.tasks import FIT

KINDS = ("fit", "bare loop")
BATCHES_IN_MEMORY = 8
TARGETS = ("distance_map", "mask", "weight")
"""What of a batch the loss takes, as far as it is there."""

DTYPES = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


@dataclass
class Rates:
    """What was measured of one of the two."""

    name: str
    images_per_second: list[float] = field(default_factory=list)
    processor_seconds: list[float] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


class Clock(Callback):
    """Takes the time of the steps after a warm-up, and the memory of the workers at the end.

    Attributes:
        seconds: How long they took.
        processor: Seconds of processor time that they took, in this process and in the workers.
        workers: Bytes of memory of the workers.
    """

    def __init__(self, warm_up: int, steps: int) -> None:
        self.first, self.last = warm_up, warm_up + steps
        self.seconds = self.processor = 0.0
        self.workers = 0

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Start and stop."""
        if trainer.global_step in (self.first, self.last):
            synchronise(pl_module.device)
            self.seconds = perf_counter() - self.seconds
            self.processor = processor_time() - self.processor
        if trainer.global_step == self.last:
            self.workers = sum(map(proportional_memory, [child.pid for child in active_children()]))


def proportional_memory(pid: int | None) -> int:
    """Return the memory of a process in bytes, what it shares with others divided among them; 0 outside Linux."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024


def processor_time() -> float:
    """Return the seconds of processor time of this process and its workers; outside Linux of this one."""
    seconds = process_time()
    for child in active_children():
        with suppress(OSError):
            fields = Path(f"/proc/{child.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def prepare(options: argparse.Namespace, folder: Path) -> SegmentationRun:
    """Return what `unetkit fit` would run."""
    arguments = {
        "data.train": options.train or folder / "cells",
        "data.crop": options.crop,
        "data.batch_size": options.batch,
        "data.crops_per_epoch": options.batch * (options.warm_up + options.steps),
        "model.encoder": options.encoder,
        "model.compile": options.compile,
        "trainer.accelerator": {"cuda": "gpu"}.get(options.device, options.device),
        "trainer.devices": 1,
        "trainer.max_epochs": 1,
        "trainer.limit_val_batches": 0,
        "trainer.num_sanity_val_steps": 0,
        "runs": folder / "runs",
        "plan": False,
    } | ({"trainer.precision": options.precision} if options.precision else {})
    own = [f"--{name}={value}" for name, value in arguments.items()]
    return SegmentationRun(from_arguments(FIT, [*options.more, *own]))  # a configuration file does not go over these


def run_fit(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return images a second, processor seconds an image, and the bytes of the workers."""
    cli, clock = prepare(options, folder), Clock(options.warm_up, options.steps)
    cli.trainer.callbacks.append(clock)  # type: ignore[attr-defined]
    cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    return measured(options, clock.seconds, clock.processor) | {"workers": clock.workers}


def run_bare(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return the same of a loop that does nothing but train."""
    cli = prepare(options, folder)
    data, module, device = cli.datamodule, cli.model, cli.trainer.strategy.root_device
    data.workers = 0
    cli.trainer.limit_train_batches = 1
    cli.trainer.fit(module, datamodule=data)  # builds the network
    network = deepcopy(module.segmenter.network).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=module.lr, weight_decay=module.weight_decay)
    scaler = torch.amp.GradScaler(device.type, enabled=cli.trainer.precision == "16-mixed")
    dtype = DTYPES[cli.trainer.precision]
    if options.compile:
        network.compile()

    def step(image: Tensor, *targets: Tensor) -> None:
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            logits = network(image)
            loss = module.loss(logits.float(), *targets)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    normalizer = module.segmenter.normalizer.cpu()
    held = [
        (
            normalizer(one["image"], one["center"], one["scale"]).contiguous(memory_format=torch.channels_last),
            *(one[name] for name in TARGETS if name in one),
        )
        for one in islice(data.train_dataloader(), BATCHES_IN_MEMORY)
    ]
    batches = cycle([[each.to(device) for each in one] for one in held])
    with usual_algorithms():
        for batch in islice(batches, options.warm_up):
            step(*batch)
        synchronise(device)
        start, processor = perf_counter(), processor_time()
        for batch in islice(batches, options.steps):
            step(*batch)
        synchronise(device)
    return measured(options, perf_counter() - start, processor_time() - processor)


def measured(options: argparse.Namespace, seconds: float, processor: float) -> dict[str, Any]:
    """Return images a second and processor seconds an image."""
    images = options.steps * options.batch
    return {"rate": images / seconds, "processor": processor / images}


@contextmanager
def usual_algorithms() -> Iterator[None]:
    """Without the deterministic algorithms that the trainer asks for."""
    was = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(was, warn_only=True)


RUNS: dict[str, Callable[[argparse.Namespace, Path], dict[str, Any]]] = dict(
    zip(KINDS, (run_fit, run_bare), strict=True)
)


def run_worker(options: argparse.Namespace, folder: Path) -> None:
    """In a process of its own: run one of the two and report its peak memory."""
    with quiet_lightning(), redirect_stdout(StringIO()):
        facts = RUNS[options.worker](options, folder)
    cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    report({"cuda": torch.cuda.max_memory_reserved() if cuda else None, **facts})


def show(entries: list[Rates], title: str, markdown: bool) -> None:
    """Print the table."""
    bare = median(entries[1].images_per_second)
    columns = "which, images/s, min-max, / bare loop, processor ms/image, peak GB, workers GB, GPU GB"
    rows = []
    for one in entries:
        rates, facts = one.images_per_second, one.facts
        rows.append(
            [
                one.name,
                f"{median(rates):.2f}",
                f"{min(rates):.2f}-{max(rates):.2f}",
                f"{median(rates) / bare:.3f}",
                f"{median(one.processor_seconds) * 1e3:.0f}",
                *(f"{facts[name] / 1e9:.2f}" if facts.get(name) else "" for name in ("peak_rss", "workers", "cuda")),
            ]
        )
    print_table(title, columns.split(", "), rows, markdown=markdown)
    for one in entries:
        if "error" in one.facts:
            print(f"{one.name} failed alone: {one.facts['error']}")


def parse(args: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n", maxsplit=1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--train", type=Path, help="folder of images and masks; synthetic cells if not given")
    parser.add_argument("--encoder", default="resnet34", help="encoder of the network")
    parser.add_argument("--crop", type=int, default=256, help="side of a crop in pixels")
    parser.add_argument("--batch", type=int, default=8, help="crops in a batch")
    parser.add_argument("--steps", type=int, default=20, help="steps that are timed in each round")
    parser.add_argument("--warm-up", type=int, default=4, help="steps before them")
    parser.add_argument("--rounds", type=int, default=5, help="times that each of the two runs")
    parser.add_argument("--precision", choices=DTYPES, help="by default what `unetkit fit` takes")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true", help="compile both networks")
    parser.add_argument("--markdown", action="store_true", help="print tables for a README")
    parser.add_argument("--json", type=Path, help="file for everything measured")
    parser.add_argument("--worker", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("more", nargs="*", help="after --: options of `unetkit fit`")
    return parser.parse_args(args)


def main(args: list[str] | None = None) -> None:
    """Run the command line."""
    given = sys.argv[1:] if args is None else args
    options = parse(given)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if not options.train:
            write_dataset(folder / "cells", 16, 512, 0)
        if options.worker:
            run_worker(options, folder)
            return
        machine = describe_machine()
        print_machine(machine)
        entries = [Rates(name) for name in KINDS]
        for one in entries:
            one.facts |= measure_process([sys.executable, __file__, "--worker", one.name, *given])
        for number in range(options.rounds):
            for one in entries[:: 1 if number % 2 else -1]:
                with quiet_lightning(), redirect_stdout(StringIO()):
                    facts = RUNS[one.name](options, folder)
                one.images_per_second.append(facts["rate"])
                one.processor_seconds.append(facts["processor"])
                said = f"{facts['rate']:.2f} images/s, {facts['processor'] * 1e3:.0f} ms of processor time each"
                print(f"round {number + 1}: {one.name}, {said}", file=sys.stderr, flush=True)
    precision = options.precision or "the precision of `fit`"
    title = f"{options.encoder}, crops {options.crop}, batch {options.batch}, {precision}, {options.device}"
    show(entries, title + ", compiled" * options.compile, options.markdown)
    if options.json:
        settings = {name: str(value) for name, value in vars(options).items()}
        everything = {"machine": machine, "options": settings, "measured": [asdict(one) for one in entries]}
        options.json.write_text(json.dumps(everything, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
