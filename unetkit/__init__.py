"""unetkit: train a U-Net with a ResNet encoder on microscopy images, and run it over images of any size.

The public names are resolved when they are first used, so that importing unetkit imports no torch.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unetkit.data.rasterize import rasterize
    from unetkit.foundation.errors import UnetkitError
    from unetkit.inference.array import predict_tiled
    from unetkit.inference.segment import segment
    from unetkit.measuring.array import measure_array
    from unetkit.measuring.measure import measure
    from unetkit.models.segmenter import Segmenter
    from unetkit.planning.plan import plan
    from unetkit.report.run.write_report import write_report
    from unetkit.scoring.evaluation import evaluate
    from unetkit.sharing.export import export
    from unetkit.training.fit import fit
    from unetkit.viewing.view import view
    from unetkit.zoo.opening import load_model

__version__ = version("unetkit")

warnings.filterwarnings("ignore", "IProgress not found")  # of tqdm, in notebooks: its bars are not those of unetkit

_HOMES = {
    "Segmenter": "unetkit.models.segmenter",
    "UnetkitError": "unetkit.foundation.errors",
    "evaluate": "unetkit.scoring.evaluation",
    "export": "unetkit.sharing.export",
    "fit": "unetkit.training.fit",
    "load_model": "unetkit.zoo.opening",
    "measure": "unetkit.measuring.measure",
    "measure_array": "unetkit.measuring.array",
    "plan": "unetkit.planning.plan",
    "predict_tiled": "unetkit.inference.array",
    "rasterize": "unetkit.data.rasterize",
    "segment": "unetkit.inference.segment",
    "view": "unetkit.viewing.view",
    "write_report": "unetkit.report.run.write_report",
}

_MODULES = ("errors", "synthetic")
"""Public modules, which hold public names of their own."""

__all__ = [
    "Segmenter",
    "UnetkitError",
    "evaluate",
    "export",
    "fit",
    "load_model",
    "measure",
    "measure_array",
    "plan",
    "predict_tiled",
    "rasterize",
    "segment",
    "view",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _MODULES:
        return import_module(f"unetkit.{name}")
    raise AttributeError(f"module 'unetkit' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES, "__version__"])
