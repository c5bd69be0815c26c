"""The verb `report`: the page of a run, or of a cross-validation."""

from __future__ import annotations

from pathlib import Path

from unetkit.foundation.atomic import check_target
from unetkit.report.run.contents import find_run, is_cross_validation
from unetkit.report.run.fold_page import write_fold_page
from unetkit.report.run.folder import PAGE_FILE
from unetkit.report.run.page import write_run_page


def write_report(run: str | Path, out: str | Path | None = None, *, overwrite: bool = False) -> Path:
    """Write the page of a run from what is in its folder; the training images are not needed.

    What is missing or damaged is said on the page, and the rest is shown: a run that is going has curves.

    Args:
        run: The run folder, or that of a cross-validation, which also has a page for each fold.
        out: The page; by default report.html in the run folder, in the place of an earlier one.
        overwrite: Replace `out` if it exists.

    Returns:
        The page.

    Raises:
        ConfigError: There is no such run.
        OutputError: The page cannot be written, or `out` exists and may not be replaced.

    Example:
        >>> import unetkit
        >>> unetkit.write_report("runs/cells-1")  # doctest: +SKIP
        PosixPath('runs/cells-1/report.html')
    """
    folder = find_run(Path(run))
    target = folder / PAGE_FILE if out is None else Path(out)
    if out is not None:
        check_target(target, overwrite)
    if is_cross_validation(folder):
        write_fold_page(folder, target)
    else:
        write_run_page(folder, target)
    return target
