"""Read by each Python process that has this folder on its path: the halo is measured soon, as in `SMALL_HALO`."""

from unetkit.inference.tiling import halo

halo.CANVAS_SIZE, halo.WINDOW_SIZE, halo.WINDOWS_PER_AXIS, halo.LARGEST_HALO = 256, 128, 2, 48
