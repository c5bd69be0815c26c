"""Synthetic images and volumes with exact truth, to try things on: their public names.

`make_cells` draws images of nuclei, `make_nuclei` light-sheet stacks of them, `make_spine` CT volumes of vertebrae with
and without fractures. `write_dataset`, `write_nuclei` and `write_spines` write folders to train on.
"""

from unetkit.foundation.synthetic import Conditions, make_cells, write_dataset
from unetkit.foundation.synthetic_files import write_nuclei, write_spines, write_volume
from unetkit.foundation.synthetic_nuclei import Sheet, make_nuclei
from unetkit.foundation.synthetic_spine import Spine, make_spine

__all__ = [
    "Conditions",
    "Sheet",
    "Spine",
    "make_cells",
    "make_nuclei",
    "make_spine",
    "write_dataset",
    "write_nuclei",
    "write_spines",
    "write_volume",
]
