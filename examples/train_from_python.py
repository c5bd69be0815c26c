"""Train a model from Python, the same way as `unetkit fit` does.

FOLDER has `images` and `masks` in it; the run folder RUN is made:

    python examples/train_from_python.py FOLDER RUN
"""

import argparse
from pathlib import Path

import unetkit


def main(args: list[str] | None = None) -> Path:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--crops", type=int, default=160, help="crops in an epoch")
    options = parser.parse_args(args)

    run = unetkit.fit(
        data={"train": options.folder, "crop": 128, "crops_per_epoch": options.crops, "augment": "light"},
        model={"encoder": "resnet18", "lr": 0.002},
        trainer={"max_epochs": options.epochs},
        plan=False,
        runs=options.run.parent,
        name=options.run.name,
    )
    print(f"{run.model_file}: mean validation Dice {run.scores['val_dice']:.3f}, halo {run.model.spec.halo} pixels")
    return run.model_file


if __name__ == "__main__":
    main()
