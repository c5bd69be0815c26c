"""Models that stay on their backends from one call to the next.

Putting a model on a backend takes longer than predicting a small image: a graph is exported and compiled. So the
session of a model is kept as long as the model. The next call uses it again, from any thread.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import chain
from threading import Lock
from weakref import WeakKeyDictionary

import torch

from unetkit.backends.base import Backend
from unetkit.backends.info import Precision
from unetkit.backends.registry import backend_info, create_backend
from unetkit.models.segmenter import Segmenter

KEPT_SESSIONS = 3
"""Largest number of sessions of a model: those used last are kept. Each holds a copy of the weights."""

Key = tuple[str, torch.device, Precision]
State = tuple[object, ...]


@dataclass(frozen=True)
class Session:
    """A model on a backend.

    Attributes:
        state: State of the model when it was put on the backend.
        backend: The backend with the model.
    """

    state: State
    backend: Backend


_sessions: WeakKeyDictionary[Segmenter, OrderedDict[Key, Session]] = WeakKeyDictionary()
_lock = Lock()


def open_session(
    name: str, segmenter: Segmenter, device: torch.device, precision: Precision, *, owned: bool = False
) -> Backend:
    """Return a model on a backend: as it was kept, or made now; see `create_backend`.

    A model whose weights or description have changed since is put there anew.

    Args:
        name: Name of the backend.
        segmenter: The model.
        device: Where to run.
        precision: Arithmetic of the network.
        owned: Whether nothing else uses the model. A backend that takes its weights then saves memory, and is not kept.

    Raises:
        ConfigError: The backend is not installed, or does not support the device or the precision.
    """
    info = backend_info(name)
    if (owned and info.takes_weights) or info.single_thread:
        return create_backend(name, segmenter, device, precision, owned=owned)
    key = (name, device, precision)
    with _lock:  # also while it is made, so that threads that begin together share one
        state = _state_of(segmenter)
        kept = _sessions.setdefault(segmenter, OrderedDict())
        session = kept.pop(key, None)
        if session is None or session.state != state:
            session = Session(state, create_backend(name, segmenter, device, precision))
        kept[key] = session
        while len(kept) > KEPT_SESSIONS:
            kept.popitem(last=False)
        return session.backend


def close_session(name: str, segmenter: Segmenter, device: torch.device, precision: Precision) -> None:
    """Drop the session of a model on a backend, if there is one."""
    with _lock:
        _sessions.get(segmenter, OrderedDict()).pop((name, device, precision), None)


def _state_of(segmenter: Segmenter) -> State:
    """Return the state of a model, which differs after any change.

    PyTorch counts the changes of a tensor, but not those of its `.data`; the sums notice these.
    """
    tensors = [tensor.detach() for tensor in chain(segmenter.network.parameters(), segmenter.network.buffers())]
    changes = tuple(-1 if tensor.is_inference() else tensor._version for tensor in tensors)
    with torch.inference_mode():
        sums = torch.stack([tensor.sum(dtype=torch.float32) for tensor in tensors]).tolist() if tensors else []
    return (segmenter.spec.to_json(), id(segmenter.network), changes, tuple(sums))
