"""Uncompressed arrays in files, read box by box."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from io import FileIO
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_box(
    file: FileIO, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], box: Sequence[slice]
) -> NDArray[Any]:
    """Return one box of an uncompressed array in a file. Little more than its bytes is read.

    It is no memory map: a failing disk or a file that is cut off meanwhile would kill the process there.

    Args:
        file: The file, unbuffered; its position is moved.
        offset: Bytes before the array.
        shape: Shape of the array, in C order.
        dtype: Stored type, with its byte order.
        box: One slice for each dimension.

    Raises:
        OSError: The file cannot be read.
        EOFError: The file ends within the box.
    """
    result = np.empty([part.stop - part.start for part in box], dtype)
    if not result.size:
        return result
    strides = [prod(shape[i + 1 :]) * dtype.itemsize for i in range(len(shape))]
    split = len(shape) - 1  # whole dimensions at the end are read with the last one before them that is not whole
    while split > 0 and result.shape[split] == shape[split]:
        split -= 1
    pixels = result.reshape(-1).view(np.uint8).data
    run = prod(result.shape[split:]) * dtype.itemsize
    for i, position in enumerate(itertools.product(*(range(part.start, part.stop) for part in box[:split]))):
        start = (*position, box[split].start)
        file.seek(offset + sum(index * stride for index, stride in zip(start, strides, strict=False)))
        done = i * run
        while done < (i + 1) * run:
            read = file.readinto(pixels[done : (i + 1) * run])
            if not read:
                raise EOFError("the file ends before its pixels do")
            done += read
    return result.astype(dtype.newbyteorder("="), copy=False)
