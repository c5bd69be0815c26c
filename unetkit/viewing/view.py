"""Look at an image, and what lies over it, in the browser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any

from unetkit.foundation.console import log_nothing
from unetkit.foundation.errors import ConfigError
from unetkit.io.base.read_options import ReadOptions
from unetkit.viewing.chunks import ChunkedPicture
from unetkit.viewing.fitting import check_fit
from unetkit.viewing.layers import Layer, image_layers, name_apart, overlay_layers
from unetkit.viewing.opening import open_picture
from unetkit.viewing.options import VIEWED
from unetkit.viewing.scene import make_scene

Log = Callable[[str], None]


class View:
    """An image that is served to a browser until it is closed; also a context manager.

    Args:
        image: Name of a file, or an array.
        labels: Names of files, or arrays.
        reading: What is read of the image.
        port: Port of the server; 0 for any that is free.
        log: Called with a sentence where something is odd or cannot be read, from any thread.

    Attributes:
        url: Its address, with the token without which nothing is served.
        port: Port of the server.
        viewer: neuroglancer's viewer, whose `state` is what the browser shows.

    Raises:
        UnetkitError: A file cannot be read, does not fit, or the server cannot start.
    """

    def __init__(self, image: Any, labels: Sequence[Any], reading: ReadOptions, port: int, log: Log) -> None:
        _check_package()
        from unetkit.viewing.handlers import Shown
        from unetkit.viewing.server import ViewServer
        from unetkit.viewing.state import configure, first_state, zoom_to_fit

        with ExitStack() as stack:
            base = stack.enter_context(closing(open_picture(image, reading, is_image=True)))
            for remark in base.info.remarks:
                log(f"{base.info.name}: {remark}")
            scene = make_scene(base.info)
            found = [(image_layers(base), ChunkedPicture(base, scene, log))]
            for one in labels:
                over = stack.enter_context(closing(open_picture(one, _for_labels(reading), is_image=False)))
                check_fit(base.info, over.info)
                found.append((overlay_layers(over), ChunkedPicture(over, scene, log)))
            used: set[str] = set()
            shown = [Shown(layer, chunks) for layers, chunks in found for layer in name_apart(layers, used)]
            by_key = {str(i): one for i, one in enumerate(shown)}
            server = ViewServer(by_key, port, lambda width, height: self._fit(zoom_to_fit(scene, width, height)))
            stack.callback(server.close)
            self.url: str = server.url
            self.port: int = server.port
            self.viewer: Any = server.viewer
            with self.viewer.config_state.txn() as config:
                configure(config, scene)
            described = [_describe(one.layer, server.source(key)) for key, one in by_key.items()]
            self.viewer.set_state(first_state(scene, described, base.name))
            self._stack = stack.pop_all()

    def close(self) -> None:
        """End the server, close the files, and remove the temporary ones."""
        self._stack.close()

    def __enter__(self) -> View:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return self.url

    def _repr_html_(self) -> str:
        return f'<a href="{self.url}" target="_blank">{self.url}</a>'

    def _fit(self, zoom: float) -> None:
        with self.viewer.txn() as state:
            state.cross_section_scale = zoom


def view(image: Any, *labels: Any, port: int = 0, log: Log | None = None, **reading: Any) -> View:
    """Look at an image of any size in the browser, with masks, labels or probabilities over it.

        with unetkit.view("image.tif", "labels.tif") as shown:
            print(shown.url)
            input("Enter ends it.")

    Nothing is converted: parts are read as they are looked at. Levels of resolution that a file does not have are made
    meanwhile, in a temporary file.

    Args:
        image: TIFF, OME-Zarr, PNG, JPEG or another format that unetkit reads; or an array, or what can be sliced like
            one.
        labels: Files or arrays with the planes and the size of the image, or of the same size in micrometres at another
            resolution.
        port: Port of the server on 127.0.0.1; 0 for any that is free.
        log: Called with a sentence where something is odd or cannot be read, from any thread.
        **reading: What of the image is read: any field of `unetkit.io.base.read_options.ReadOptions` (axes, series,
            level, pixel_size, channels, stain, region, on_bad_tile). Bad tiles are background by default.

    Returns:
        What is served until it is closed. Its `url` is for a browser on this machine.

    Raises:
        UnetkitError: A file cannot be read or does not fit the image; or the port is in use.
        TypeError: There is no such option.
    """
    return View(image, labels, replace(VIEWED, **reading), port, log or log_nothing)


def _for_labels(reading: ReadOptions) -> ReadOptions:
    """Return how labels are read: whole, whatever is read of the image."""
    return ReadOptions(on_bad_tile=reading.on_bad_tile)


def _describe(layer: Layer, source: str) -> dict[str, Any]:
    """Return a layer as the viewer's JSON."""
    return {"type": layer.type, "name": layer.name, "source": source, "visible": layer.visible, **layer.settings}


def _check_package() -> None:
    """Raise a ConfigError if neuroglancer is not installed."""
    try:
        import neuroglancer  # noqa: F401
    except ImportError as error:
        raise ConfigError("The viewer needs the package neuroglancer.", "Run `pip install unetkit[view]`.") from error
