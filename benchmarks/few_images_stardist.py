"""Train StarDist on few images, in an environment of its own; `benchmarks/few_images.py` calls this.

    pip install stardist tensorflow-cpu
    python benchmarks/few_images_stardist.py FOLDER --pixels 14745600 --seed 0

FOLDER holds train.npz and scored.npz (images: n, h, w, 3, uint8; labels: n, h, w); predicted.npz (labels) is written to
it. The configuration has StarDist's defaults but for the grid of 2 x 2 pixels, which its examples take, and for the
number of steps. Normalisation (percentiles 1 to 99.8 of all channels), augmentation (flips, turns, light) and
thresholds, which are optimised on the training images, are those of its example notebook for 2D.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from csbdeep.utils import normalize
from numpy.typing import NDArray
from stardist.models import Config2D, StarDist2D

Image = NDArray[Any]


def augment(image: Image, labels: Image) -> tuple[Image, Image]:
    """Flip, turn and change the light of a crop, as StarDist's example does."""
    turns = np.random.randint(4)
    image, labels = np.rot90(image, turns), np.rot90(labels, turns)
    if np.random.rand() < 0.5:
        image, labels = image[::-1], labels[::-1]
    low, high = np.random.uniform(0.6, 2), np.random.uniform(-0.2, 0.2)
    varied = image * low + high
    noise = np.random.normal(0, 1, varied.shape) * 0.02 * np.random.uniform(0, 1)
    return varied + noise, labels


def main() -> None:
    """Train, choose the thresholds, and predict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pixels", type=int, required=True, help="pixels of all crops that are trained on")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    np.random.seed(options.seed)
    import tensorflow as tf

    tf.random.set_seed(options.seed)
    train = np.load(options.folder / "train.npz")
    images = [normalize(image, 1, 99.8, axis=(0, 1, 2)) for image in train["images"]]
    labels = list(train["labels"])
    config = Config2D(n_rays=32, grid=(2, 2), n_channel_in=3, train_sample_cache=True)
    height, width = config.train_patch_size
    config.train_steps_per_epoch = max(1, options.pixels // (config.train_batch_size * height * width))
    config.train_tensorboard = False
    model = StarDist2D(config, name="few", basedir=str(options.folder))
    model.train(images, labels, validation_data=(images[:1], labels[:1]), augmenter=augment, epochs=1)
    model.optimize_thresholds(images, labels)
    scored = [normalize(image, 1, 99.8, axis=(0, 1, 2)) for image in np.load(options.folder / "scored.npz")["images"]]
    np.savez(options.folder / "predicted.npz", labels=np.stack([model.predict_instances(one)[0] for one in scored]))


if __name__ == "__main__":
    main()
