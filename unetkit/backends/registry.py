"""Backends by name: which exist, which are installed, and how they are made. It imports no PyTorch by itself."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from importlib.util import find_spec
from threading import RLock
from typing import TYPE_CHECKING, Literal, get_args

from unetkit.backends.info import BackendInfo, Precision
from unetkit.foundation.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from unetkit.backends.base import Backend
    from unetkit.models.segmenter import Segmenter

BackendName = Literal["torch", "compile", "onnxruntime", "openvino"]
"""Names of the backends of unetkit. Each is a module of this folder, whose `INFO` has all facts about the backend.

The backend that was the fastest on most machines comes last. Timing begins with it.
"""

ENTRY_POINTS = "unetkit.backends"
"""Group of entry points with which other packages add backends: `name = "module:INFO"`."""

GRAPHS = {"onnx", "torchscript"}
"""Kinds of networks that are run as they are, in float32."""

DEFAULT_BACKEND: BackendName = "torch"
"""Backend that is always installed, runs on every device, and starts at once."""

CREATION_LOCK = RLock()
"""Lock for putting a model on a backend: PyTorch exports, traces and compiles for one thread at a time."""


def backend_names() -> tuple[str, ...]:
    """Return the names of all backends, installed or not; those of other packages last."""
    return (*get_args(BackendName), *_added())


def is_known(name: str) -> bool:
    """Return whether there is a backend of this name. Other packages are asked only for names that unetkit lacks."""
    return name in get_args(BackendName) or name in _added()


@cache
def backend_info(name: str) -> BackendInfo:
    """Return the facts about a backend.

    Raises:
        ConfigError: There is no such backend, or the package that adds it is broken.
    """
    if name in get_args(BackendName):
        info: BackendInfo = import_module(f"unetkit.backends.{name}").INFO
        return info
    if name in _added():
        return _load(_added()[name])
    raise ConfigError(f"There is no backend {name}.", f"Use {', '.join(backend_names())}.")


def backends_in(
    precision: Precision, device: str | None = None, axes: int = 2, foreign: Collection[str] = ()
) -> list[str]:
    """Return the names of the backends that compute in a precision, installed or not.

    Args:
        precision: Arithmetic of the network.
        device: Kind of device on which they do, such as "cpu"; None for any.
        axes: Axes of the windows: 2 for planes, 3 for volumes.
        foreign: Kinds of the networks that unetkit did not build, see `ForeignSpec.kind`.
    """
    return [
        info.name
        for info in map(backend_info, backend_names())
        if axes in info.axes
        and set(foreign) <= set(info.foreign)
        and not (precision != "fp32" and set(foreign) & GRAPHS)
        and any(precision in possible for kind, possible in info.precisions.items() if device in (None, kind))
    ]


def is_installed(name: str) -> bool:
    """Return whether the packages of a backend are there."""
    return all(find_spec(package) is not None for package in backend_info(name).packages)


def version_of(package: str) -> str:
    """Return the version of a package; "" if it came under another name, as onnxruntime does with onnxruntime-gpu."""
    with suppress(PackageNotFoundError):
        return version(package)
    return ""


def check_backend(
    name: str, device: torch.device, precision: Precision, axes: int = 2, foreign: Collection[str] = ()
) -> None:
    """Check that a backend can be made.

    Args:
        name: Name of the backend.
        device: Where to run.
        precision: Arithmetic of the network.
        axes: Axes of the windows: 2 for planes, 3 for volumes.
        foreign: Kinds of the networks that unetkit did not build, see `ForeignSpec.kind`.

    Raises:
        ConfigError: It is not installed, or does not support the device, the precision, the axes or the networks.
    """
    info = backend_info(name)
    if not is_installed(name):
        raise ConfigError(f"The backend {name} is not installed.", f"Run `{info.install}`.")
    if axes not in info.axes:
        kind = "volumes" if axes == 3 else "planes"
        raise ConfigError(f"The backend {name} does not compute {kind}.", f"Use --backend {DEFAULT_BACKEND}.")
    if others := sorted(set(foreign) - set(info.foreign)):
        able = backends_in("fp32", device.type, axes, foreign) or [DEFAULT_BACKEND]
        raise ConfigError(
            f"The backend {name} does not run networks of the kind {others[0]}.", f"Use --backend {' or '.join(able)}."
        )
    possible = info.precisions.get(device.type)
    if possible is not None and set(foreign) & GRAPHS:
        possible = ("fp32",)
    if possible is None:
        raise ConfigError(
            f"The backend {name} does not run on {device.type}.",
            f"Use --device {' or '.join(info.precisions)}, or --backend {DEFAULT_BACKEND}.",
        )
    if precision not in possible:
        others = backends_in(precision, device.type, axes, foreign)
        elsewhere = f", or --backend {' or '.join(others)}" if others else ""
        raise ConfigError(
            f"The backend {name} does not compute in {precision} on {device.type}.",
            f"Use --precision {' or '.join(possible)}{elsewhere}.",
        )


def create_backend(
    name: str, segmenter: Segmenter, device: torch.device, precision: Precision, *, owned: bool = False
) -> Backend:
    """Put a model on a backend; int8 is made by `unetkit.backends.int8`.

    Args:
        name: Name of the backend.
        segmenter: The model.
        device: Where to run.
        precision: Arithmetic of the network.
        owned: Whether the segmenter's network may be changed, because nothing else uses it.

    Raises:
        ConfigError: The backend is not installed, or does not support the device, the precision or volumes.
    """
    kinds = () if segmenter.spec.foreign is None else (segmenter.spec.foreign.kind,)
    check_backend(name, device, precision, segmenter.spec.dims, kinds)
    with CREATION_LOCK:
        return backend_info(name).create(segmenter, device, precision, owned=owned)


@cache
def _added() -> dict[str, EntryPoint]:
    """Return the backends that other packages add. None of them takes the place of one of unetkit's own."""
    points = entry_points(group=ENTRY_POINTS)
    return {point.name: point for point in points if point.name not in get_args(BackendName)}


def _load(point: EntryPoint) -> BackendInfo:
    """Load the backend of an entry point.

    Raises:
        ConfigError: It cannot be imported, or is no `BackendInfo` of this name.
    """
    package = point.dist.name if point.dist else point.module
    try:
        info = point.load()
    except (ImportError, AttributeError) as error:
        raise _broken(point.name, package, str(error)) from error
    if not isinstance(info, BackendInfo) or info.name != point.name:
        raise _broken(point.name, package, f"{point.value} is no BackendInfo of this name")
    return info


def _broken(name: str, package: str, reason: str) -> ConfigError:
    return ConfigError(
        f"The backend {name} of the package {package} cannot be loaded ({reason}).",
        f"Update the package, or remove it: `pip uninstall {package}`.",
    )
