"""`unetkit view`."""

from __future__ import annotations

from pathlib import Path

from unetkit.io.base.read_options import ReadOptions
from unetkit.viewing.options import VIEWED


def view_command(
    image: Path,
    labels: list[Path] = [],  # noqa: B006  # only read
    /,
    read: ReadOptions = VIEWED,
    port: int = 0,
    no_browser: bool = False,
) -> None:
    """Look at an image of any size in the browser, with masks, labels or probabilities over it.

      unetkit view image.tif labels.tif
      unetkit view slide.svs mask.tif probabilities.tif --no-browser --port 8800

    Args:
        image: TIFF, OME-Zarr, PNG, JPEG or another image that unetkit reads.
        labels: Masks, labels, probabilities or other images with the size and the planes of the image; or of the same
            size in micrometres, at another resolution.
        read: How the image is read.
        port: Port of the server on 127.0.0.1; 0 for any that is free.
        no_browser: Print the address and open no browser.
    """
    from unetkit.foundation.console import log
    from unetkit.foundation.signals import is_hurried
    from unetkit.viewing.browser import show_address, wait
    from unetkit.viewing.view import View

    with View(image, labels, read, port, log) as shown:
        show_address(shown.url, shown.port, log, browser=not no_browser)
        try:
            wait()
        except KeyboardInterrupt as stop:  # Ctrl-C is the end that is expected
            if is_hurried(stop):
                raise
