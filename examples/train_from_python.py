"""Train a model from Python, the same way as `unetkit fit` does.

FOLDER has `images` and `masks` in it; the run folder RUN is made:

    python examples/train_from_python.py FOLDER RUN
"""

import argparse
from pathlib import Path

from lightning.pytorch import seed_everything

from unetkit.data.datamodule import SegmentationData
from unetkit.training.segmentation.module import SegmentationModule
from unetkit.training.segmentation.run import RunResult, make_trainer, train


def main(args: list[str] | None = None) -> RunResult:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--crops", type=int, default=160, help="crops in an epoch")
    options = parser.parse_args(args)

    seed_everything(0)
    data = SegmentationData(str(options.folder), crop=128, crops_per_epoch=options.crops, augment="light")
    module = SegmentationModule(encoder="resnet18", lr=0.002)
    result = train(make_trainer(options.run, max_epochs=options.epochs), module, data)
    print(f"{result.model}: mean validation Dice {result.dice:.3f}, halo {result.halo.halo} pixels")
    return result


if __name__ == "__main__":
    main()
