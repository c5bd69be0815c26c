"""`unetkit plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from unetkit.foundation import shell


def plan_command(
    data: str,
    masks: str | None = None,
    pages: str | None = None,
    val: float | str | None = None,
    val_masks: str | None = None,
    val_pages: str | None = None,
    unpaired: Literal["stop", "skip"] | None = None,
    ignore: int | None = None,
    colors: str | None = None,
    minutes: float | None = None,
    out: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Look at images and masks, and write a configuration for `fit` that suits them and this machine.

      unetkit plan my_images --minutes 30

    Args:
        data: A folder with `images` and `masks` in it, or with both side by side; a stack or a folder of images (with
            --masks); or a CSV with the columns image and mask.
        masks: Folder, stack or file of the masks, where `data` does not have them; or annotations of QuPath, Fiji,
            labelme or COCO.
        pages: Pages of the stack to train on, for example "0-20,24"; all by default.
        val: Images to validate on: a fraction, or any of the forms of `data`; by default a fraction that is chosen.
        val_masks: Masks of `val`.
        val_pages: Pages of the stack to validate on.
        unpaired: What to do with images without a mask and masks without an image: "stop" (the default) or "skip".
        ignore: Value in the masks of pixels that nobody has annotated, for example 255; by default there are none.
        colors: File with the colours of the classes in masks in colours: .csv (columns name and color), .json or .yaml.
        minutes: Minutes that the whole run may take: `fit` then ends within them. By default about 25 on a processor
            and 40 on a GPU.
        out: File to write; by default the name of the data and .yaml, in this folder.
        overwrite: Replace this file if it exists.
    """
    from unetkit.data.pairs import check_exists
    from unetkit.data.places import name_of
    from unetkit.foundation.atomic import check_target
    from unetkit.foundation.console import loading, log

    for named in (data, masks, val if isinstance(val, str) else None, val_masks):
        if named is not None:
            check_exists(Path(named))
    target = out or Path(f"{name_of(data)}.yaml")
    check_target(target, overwrite)
    with loading():
        from unetkit.planning.plan import make_plan
        from unetkit.planning.write import describe, write_plan

    place = {"train": data, "masks": masks, "pages": pages, "val": val, "val_masks": val_masks, "val_pages": val_pages}
    place |= {"unpaired": unpaired, "ignore": ignore, "colors": colors}
    log(f"Looking at {data}, and trying out a few steps.")
    plan = make_plan({f"data.{name}": value for name, value in place.items() if value is not None}, minutes)
    for line in describe(plan):
        log(line)
    write_plan(plan, target, overwrite=overwrite)
    log(f"\nWritten to {target}. Train with: unetkit fit --config {shell.quote(str(target))}")
