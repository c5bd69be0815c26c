"""Write folders of synthetic volumes to train on: light-sheet stacks of nuclei, or CT volumes of spines.

    python examples/synthetic_volumes.py nuclei stacks/ --count 8
    python examples/synthetic_volumes.py spines ct/ --count 40 --suffix .nii.gz

Each folder has images/ and masks/ with the number of each nucleus or vertebra. That of spines has labels.csv too, which
says whether a vertebra is fractured.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from unetkit.synthetic import write_nuclei, write_spines

VOXELS = {"nuclei": "2,0.5,0.5", "spines": "2,0.8,0.8"}


def main(args: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write folders of synthetic volumes to train on.")
    parser.add_argument("what", choices=["nuclei", "spines"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=8, help="number of volumes")
    parser.add_argument("--size", default="64,128,128", help="voxels along z, y, x")
    parser.add_argument("--voxel", help="sides of a voxel along z, y, x: in µm for nuclei, in mm for spines")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--suffix", default=".tif", help=".tif, .nii or .nii.gz")
    options = parser.parse_args(args)
    z, y, x = (int(number) for number in options.size.split(","))
    sides = [float(number) for number in (options.voxel or VOXELS[options.what]).split(",")]
    write = write_nuclei if options.what == "nuclei" else write_spines
    write(options.folder, options.count, (z, y, x), options.seed, (sides[0], sides[1], sides[2]), options.suffix)
    print(f"Wrote {options.count} volumes to {options.folder}.")


if __name__ == "__main__":
    main()
