"""Files of a Zarr that appear whole, whoever writes them and however often."""

from __future__ import annotations

import asyncio
from pathlib import Path

from zarr.core.buffer import Buffer
from zarr.storage import LocalStore

from unetkit.foundation.atomic import shared_file


class WholeFiles(LocalStore):
    """A folder of a Zarr that several processes write: a chunk is written in a folder aside and renamed.

    What a killed process leaves is in the folder aside, and not between the chunks. (zarr renames as well from version
    3.1 on, but beside the chunk.) Where the folder aside is gone, the output is finished or of another run: then
    nothing is written any more.

    Args:
        root: The folder of the Zarr.
        aside: A folder on the same disk.
    """

    def __init__(self, root: Path, aside: Path) -> None:
        super().__init__(root)
        self._aside = aside

    async def set(self, key: str, value: Buffer) -> None:
        """Write a file."""
        await asyncio.to_thread(self._replace, self.root / key, value.to_bytes())

    def _replace(self, path: Path, content: bytes) -> None:
        with shared_file(path, self._aside) as file:
            file.write(content)
            path.parent.mkdir(parents=True, exist_ok=True)
