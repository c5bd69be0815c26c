"""The verbs that train and what they train on: masks, labels of whole images, or images alone."""

from __future__ import annotations

from collections.abc import Mapping

from unetkit.foundation.options import Option
from unetkit.training.settings.options import CLUSTER, RUN_OPTIONS, Settings

PLAN = Option("plan", bool, True, "Whether settings are chosen for the data where there is no configuration file.")

FIT_ABOUT = """Train a U-Net on a folder of images and masks.

  unetkit fit --data.train my_images --minutes 10
  unetkit fit --config configs/nuclei.yaml --data.train my_images --trainer.max_epochs 20

Without a configuration file the settings that are not given are chosen for the data and this machine, as by `unetkit
plan`. Otherwise the defaults below hold. With --minutes the whole command takes that long, on a busy machine too.

The run folder runs/NAME gets all settings, model.safetensors (the best by validation Dice), last.ckpt to resume from,
metrics.csv and a picture of validation images with the contours of truth and prediction. With --data.folds 5 it gets a
run folder for each fold, and cross_validation.json with the mean and spread of their validation scores; with --cluster
local:5 too, or another Dask cluster, they are trained side by side.

Labels of whole images can be trained beside masks, or without any (then data.train is left out):

  unetkit fit --data.image_labels films.csv --model.image_classes [pneumonia]

Then the best model is that by the area under the ROC curve, scores.json has the scores of each class and the confusion
table, and the picture shows the images that are classified worst."""

PRETRAIN_ABOUT = """Train a U-Net to restore damaged images, without masks: to clean images, or as a start for `fit`.

  unetkit pretrain --config configs/pretrain.yaml --data.images my_images
  unetkit segment noisy.tif clean.tif --output restored --model runs/pretrain-1/model.safetensors
  unetkit fit --config configs/nuclei.yaml --data.train my_data --model.weights runs/pretrain-1/model.safetensors

The run folder runs/NAME gets all settings, model.safetensors (the best by the share of the variance of hidden pixels
that it restores), last.ckpt to resume from, metrics.csv and a picture of damaged, restored and clean crops."""

FIT_FIRST: Mapping[str, tuple[str, ...]] = {
    "Data": ("data.train", "data.masks", "data.val", "data.folds", "data.crop", "data.augment"),
    "Network": ("model.encoder", "model.weights", "model.in_channels", "model.classes", "model.instances"),
    "Training": (
        *("minutes", "trainer.max_epochs", "data.batch_size", "model.lr", "model.loss", "trainer.accelerator"),
    ),
    "Run": ("config", "name", "resume"),
}
"""Settings that people change first, by heading of the help."""

PRETRAIN_FIRST: Mapping[str, tuple[str, ...]] = {
    "Data": ("data.images", "data.val", "data.crop", "data.augment"),
    "Network": ("model.encoder", "model.weights", "model.in_channels"),
    "Training": (
        *("model.corruption.noise", "model.corruption.hidden", "trainer.max_epochs", "data.batch_size", "model.lr"),
        "trainer.accelerator",
    ),
    "Run": ("config", "name", "resume"),
}

FIT_LABELS = Settings(
    "fit",
    FIT_ABOUT,
    {},
    RUN_OPTIONS,
    ("unetkit.training.classification.module", "ClassificationModule"),
    ("unetkit.data.labelled", "LabelledData"),
)
FIT = Settings(
    "fit",
    FIT_ABOUT,
    FIT_FIRST,
    (*RUN_OPTIONS, PLAN),
    ("unetkit.training.segmentation.module", "SegmentationModule"),
    ("unetkit.data.datamodule", "SegmentationData"),
    also=(FIT_LABELS,),
    command=(CLUSTER,),
)
PRETRAIN = Settings(
    "pretrain",
    PRETRAIN_ABOUT,
    PRETRAIN_FIRST,
    RUN_OPTIONS,
    ("unetkit.training.pretraining.module", "PretrainModule"),
    ("unetkit.data.unmasked", "ImageData"),
)
