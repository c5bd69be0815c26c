"""What lies in the caches: weights, models and results that were fetched or measured once; with sizes and folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from unetkit.fetching.hugging_face import cached_repositories, hub_cache
from unetkit.fetching.kept_weights import kept_weights, weights_folder
from unetkit.foundation.user_cache import user_cache


@dataclass(frozen=True)
class Cached:
    """One kind of things in a cache.

    Attributes:
        kind: What they are, for people.
        folder: Where they lie. It may be deleted: all of it can be fetched or measured again.
        sizes: Bytes of each by name.
    """

    kind: str
    folder: Path
    sizes: dict[str, int]

    def __str__(self) -> str:
        """Return the folder, and a line for each thing."""
        return "\n".join([f"{self.folder}", *(f"{name}: {_size(size)}" for name, size in self.sizes.items())])


def list_cached() -> list[Cached]:
    """Return what there is, by kind; kinds of which there is nothing are left out."""
    own = user_cache()
    weights = {path.relative_to(weights_folder()).as_posix(): path.stat().st_size for path in kept_weights()}
    models = {name: _bytes(folder.rglob("*")) for name, folder in cached_repositories()}
    packages = Path(os.environ.get("BIOIMAGEIO_CACHE_PATH") or user_cache_path("bioimageio", appauthor=None))
    graphs, halos = list(_files(own / "openvino")), list(_files(own / "halos"))
    timings = [path for path in (own / "tuning.json", own / "napari_models.json") if path.is_file()]
    found = [
        Cached("weights", weights_folder(), weights),
        Cached("Hugging Face", hub_cache(), models),
        Cached("bioimage.io", packages, _together(list(_files(packages)), "files")),
        Cached("packages of bioimage.io", own / "bioimageio", _together(list(_files(own / "bioimageio")), "files")),
        Cached("OpenVINO", own / "openvino", _together(graphs, "files of graphs")),
        Cached("halos", own / "halos", _together(halos, "measured halos of models of other programs")),
        Cached("timings", own, {path.name: path.stat().st_size for path in timings}),
    ]
    return [one for one in found if one.sizes]


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _together(files: list[Path], name: str) -> dict[str, int]:
    """Return files as one thing; nothing if there are none."""
    return {f"{len(files)} {name}": _bytes(files)} if files else {}


def _bytes(paths: Iterable[Path]) -> int:
    """Return the bytes of files, those that are links to others among them not counted."""
    return sum(path.stat().st_size for path in paths if path.is_file() and not path.is_symlink())


def _size(size: int) -> str:
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size / 2**10:.1f} KiB"
