"""Small ND2 files for tests: chunks with names, metadata as XML, and a map of the chunks at the end."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC = 0x0ABECEDA
FRAME_NAME = 4072
"""Bytes of the name of a chunk with pixels; readers count on it."""

LOOPS = {"T": 1, "P": 2, "Z": 4}
"""Numbers of the kinds of loops."""

TYPES = {bool: "bool", int: "lx_uint32", float: "double", str: "CLxStringW"}


def write_nd2(
    path: Path,
    frames: NDArray[Any],
    loops: Sequence[tuple[str, float]] = (),
    *,
    channels: Sequence[str] = ("DAPI",),
    pixel_size: float | None = 0.25,
    positions: Sequence[str] = (),
    is_compressed: bool = False,
    row_padding: int = 0,
    leave_out: Sequence[int] = (),
) -> Path:
    """Write an ND2.

    Args:
        path: The file.
        frames: Pixels (one size for each loop, then h, w, components); components are channels, or the colours of one.
        loops: Letter and step (seconds for T, µm for Z) of each loop.
        channels: Names of the channels; one name and three components make a colour picture.
        pixel_size: In µm; None for a file that is not calibrated.
        positions: Names of the positions of the stage.
        is_compressed: Whether frames are compressed.
        row_padding: Bytes at the end of each row.
        leave_out: Numbers of frames that the file does not hold.
    """
    *counts, height, width, components = frames.shape
    attributes = {
        "uiWidth": width,
        "uiHeight": height,
        "uiComp": components,
        "uiBpcInMemory": 8 * frames.dtype.itemsize,
        "uiBpcSignificant": 8 * frames.dtype.itemsize,
        "uiSequenceCount": int(np.prod(counts)),
        "uiWidthBytes": width * components * frames.dtype.itemsize + row_padding,
        "eCompression": 0 if is_compressed else 2,
    }
    spectrum = {"pPoint": {"Point0": {"dTValue": 1.0, "dWavelength": 488.0, "eType": 1}}}
    planes = {
        f"a{i}": {
            "sDescription": name,
            "uiCompCount": components // len(channels),
            "uiColor": 255,
            "pFluorescentProbe": {"m_ExcitationSpectrum": spectrum, "m_EmissionSpectrum": spectrum},
        }
        for i, name in enumerate(channels)
    }
    picture = {
        "dCalibration": pixel_size or 0.0,
        "bCalibrated": pixel_size is not None,
        "sPicturePlanes": {"uiCount": len(channels), "sPlaneNew": planes},
    }
    chunks: list[tuple[str, bytes, int]] = [
        ("ImageAttributesLV!", _xml("SLxImageAttributes", attributes), 0),
        ("ImageMetadataSeqLV|0!", _xml("SLxPictureMetadata", picture), 0),
    ]
    if loops:
        chunks.append(("ImageMetadataLV!", _xml("SLxExperiment", _experiment(loops, counts, positions)), 0))
    times = np.arange(np.prod(counts), dtype=np.float64)
    chunks.append(("CustomData|AcqTimesCache!", times.tobytes(), 0))
    for number, frame in enumerate(frames.reshape(-1, height, width * components)):
        rows = b"".join(row.tobytes() + bytes(row_padding) for row in frame)
        if number not in leave_out:
            data = struct.pack("<d", 0.0) + (zlib.compress(rows) if is_compressed else rows)
            chunks.append((f"ImageDataSeq|{number}!", data, FRAME_NAME))
    _write_chunks(path, chunks)
    return path


def _experiment(loops: Sequence[tuple[str, float]], counts: Sequence[int], positions: Sequence[str]) -> dict[str, Any]:
    """Return the outermost loop, which holds the next."""
    (kind, step), count = loops[0], counts[0]
    parameters: dict[str, Any] = {"uiCount": count}
    if kind == "T":
        parameters |= {"dStart": 0.0, "dPeriod": step * 1000, "dDuration": 0.0}
    elif kind == "Z":
        parameters |= {"dZStep": step}
    else:
        names = [positions[i] if positions else "" for i in range(count)]
        parameters["Points"] = {f"p{i}": {"dPosX": float(i), "dPosName": name} for i, name in enumerate(names)}
    described: dict[str, Any] = {"eType": LOOPS[kind], "uLoopPars": parameters}
    if len(loops) > 1:
        described["ppNextLevelEx"] = {"next0": _experiment(loops[1:], counts[1:], positions)}
    return described


def _xml(name: str, values: Mapping[str, Any]) -> bytes:
    return f"<variant>{_node(name, values)}</variant>".encode()


def _node(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return f"<{name}>{''.join(_node(key, one) for key, one in value.items())}</{name}>"
    return f'<{name} runtype="{TYPES[type(value)]}" value="{value}"/>'


def _write_chunks(path: Path, chunks: Sequence[tuple[str, bytes, int]]) -> None:
    places = b""
    with path.open("wb") as file:
        _write_chunk(file, "ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver3.0".ljust(64, b"\0"), 32)
        for name, data, reserved in chunks:
            at = file.tell()
            _write_chunk(file, name, data, reserved or len(name) + 20)
            places += name.encode() + struct.pack("<QQ", at, len(data))
        end = b"ND2 CHUNK MAP SIGNATURE 0000001!" + struct.pack("<Q", file.tell())
        _write_chunk(file, "ND2 FILEMAP SIGNATURE NAME 0001!", places + end, 52)


def _write_chunk(file: Any, name: str, data: bytes, reserved: int) -> None:
    file.write(struct.pack("<IIQ", MAGIC, reserved, len(data)) + name.encode().ljust(reserved, b"\0") + data)
