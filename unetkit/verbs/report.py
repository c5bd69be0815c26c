"""`unetkit report`."""

from __future__ import annotations

from pathlib import Path


def report_command(run: Path, /, out: Path | None = None, overwrite: bool = False) -> None:
    """Write the page of a training run: curves, scores of each image with pictures, settings, and how to go on.

      unetkit report runs/cells-1

    It is made of the files in the run folder, without the training images; `fit` writes it at its end. A run that is
    still going, or was killed, has what there is so far.

    Args:
        run: The run folder, or that of a cross-validation.
        out: File to write; by default report.html in the run folder, in the place of an earlier one.
        overwrite: Replace this file if it exists.
    """
    from unetkit.foundation.console import log
    from unetkit.report.run.write_report import write_report

    log(f"Report: {write_report(run, out, overwrite=overwrite)}")
