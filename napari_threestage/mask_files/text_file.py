"""Text files that grow image by image, and are complete or absent all the same."""

from __future__ import annotations

import contextlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_threestage.files import beside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class GrowingFile:
    """A text file that appears under its name when it is finished.

    It grows beside its place, so that a folder of any number of images needs no memory for what
    is known of them.

    Parameters
    ----------
    path
        Where it goes in the end; a file of that name is replaced.
    head
        What it begins with; `is_ours` knows it by that.
    """

    def __init__(self, path: Path, head: str) -> None:
        self.path = path
        self._temporary = beside(path)
        # Lines end as they are given: a CSV file has its own rules, the same everywhere.
        # Names of files that are no UTF-8 stay what they are.
        self._file = self._temporary.open(
            "w", encoding="utf-8", errors="surrogateescape", newline=""
        )
        self._file.write(head)

    def append(self, *texts: str) -> None:
        """Write texts."""
        self._file.writelines(texts)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """While entered, what is appended stays only if nothing fails."""
        begun = self._file.tell()
        try:
            yield
            self._file.flush()
        except BaseException:
            with contextlib.suppress(OSError):  # a full disk; what failed is told already
                self._file.seek(begun)
                self._file.truncate()
            raise

    def finish(self, tail: str = "") -> Path:
        """Write the end and give the file its name."""
        try:
            self._file.write(tail)
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._temporary.replace(self.path)
        finally:
            self.discard()
        return self.path

    def discard(self) -> None:
        """Remove what was written."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)


def is_ours(path: Path, head: str) -> bool:
    """Whether a file begins as one that we wrote."""
    try:
        with path.open("rb") as file:
            return file.read(len(head.encode())) == head.encode()
    except OSError:
        return False
