"""Archives from elsewhere: fetched once, kept in the user's cache, and opened with suspicion."""

from __future__ import annotations

import logging
import re
import shutil
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from napari_threestage.errors import ImageFileError, ThreeStageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

MOST_MEMBERS = 200_000
MOST_BYTES = 8 * 2**30  # unpacked
MOST_BYTES_OF_ONE = 2**28
CHUNK = 2**16
TIMEOUT = 30  # seconds in which a server has to send something


class FetchError(ThreeStageError):
    """A file could not be fetched from its home."""


@dataclass(frozen=True)
class Remote:
    """A file at its public home.

    Attributes
    ----------
    url, file_name
        Where it is, and its name in the cache.
    known_hash
        As pooch takes it; None where the home publishes none. The content is checked either way.
    """

    url: str
    file_name: str
    known_hash: str | None = None


def cache_folder() -> Path:
    """Return the folder where fetched files are kept."""
    import pooch

    return Path(pooch.os_cache("napari-threestage"))


def fetch(
    remote: Remote, on_progress: Callable[[int, int | None], None] = lambda done, total: None
) -> Path:
    """Return the file from the cache, fetched first if it is not there.

    Parameters
    ----------
    on_progress
        Called with the bytes that are there and the bytes of all, None where nobody knows.

    Raises
    ------
    FetchError
        There is no connection, the server refuses or the file is not the one expected.
    """
    import pooch

    pooch.get_logger().setLevel(logging.ERROR)  # it tells of each download on stderr
    loader = pooch.HTTPDownloader(
        progressbar=_Progress(on_progress), chunk_size=CHUNK, timeout=TIMEOUT
    )
    try:
        found = pooch.retrieve(
            remote.url,
            known_hash=remote.known_hash,
            fname=remote.file_name,
            path=cache_folder(),
            downloader=loader,
        )
    except (OSError, ValueError) as error:
        raise FetchError(
            f"{remote.file_name} could not be fetched ({_reason(error, remote.url)}).",
            f"Check the connection, or download {remote.url} yourself and give --archive FILE.",
        ) from error
    return Path(found)


class _Progress:
    """What pooch takes for a progress bar."""

    def __init__(self, on_progress: Callable[[int, int | None], None]) -> None:
        self.total = 0
        self._done = self._told = 0
        self._tell = on_progress

    def update(self, count: int) -> None:
        self._done += count
        step = max(self.total // 100, CHUNK)
        if self._done - self._told >= step or self._done >= self.total > 0:
            self._told = min(self._done, self.total) if self.total else self._done
            self._tell(self._told, self.total or None)

    def reset(self) -> None:
        self._done = self._told = 0

    def close(self) -> None:
        pass


def _reason(error: Exception, url: str) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        response.close()  # pooch leaves it open
        return f"the server answered {response.status_code}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, ValueError) and "hash" in str(error):
        return "it is not the file that was expected"
    if "timed out" in str(error).lower():
        return f"no answer from {urlsplit(url).hostname}"
    return f"no connection to {urlsplit(url).hostname}"


class Archive:
    """A zip file, of which nothing is used that could do harm.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    ImageFileError
        It is no zip file, is damaged, or has members that a data set has no use for: links, paths
        that lead elsewhere, or far too much of anything.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._file = _open(self.path)
        try:
            self._members = self._checked_members()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def names(self) -> list[str]:
        """The names of all files in it."""
        return list(self._members)

    def unpack(self, name: str, folder: Path) -> Path:
        """Write one of its files into a folder, under its last name, and return where.

        Raises
        ------
        ImageFileError
            It is damaged.
        """
        target = folder / PurePosixPath(name).name
        try:
            with self._file.open(self._members[name]) as source, target.open("wb") as file:
                shutil.copyfileobj(source, file)
        except OSError:
            raise  # the disk is full, for example
        except Exception as error:  # each kind of compression has its own
            raise ImageFileError(
                f"{name} in {self.path.name} is damaged ({error}).", "Download the archive again."
            ) from error
        return target

    def _checked_members(self) -> dict[str, zipfile.ZipInfo]:
        members = [one for one in self._file.infolist() if not one.is_dir()]
        if len(self._file.infolist()) > MOST_MEMBERS:
            raise self._refused(f"it lists {len(self._file.infolist())} files")
        size = sum(one.file_size for one in members)
        if size > MOST_BYTES:
            raise self._refused(f"it claims {size / 2**30:.0f} GiB")
        for one in self._file.infolist():
            reason = _harm(one)
            if reason:
                raise self._refused(f"{one.orig_filename!r} {reason}")
        return {one.filename: one for one in members}

    def _refused(self, reason: str) -> ImageFileError:
        return ImageFileError(
            f"{self.path} is not opened: {reason}.", "It is not the archive of this data set."
        )


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError:
        raise ImageFileError(f"{path} does not exist.", "Check the name.") from None
    except IsADirectoryError:
        raise ImageFileError(f"{path} is a folder.", "Name the zip file.") from None
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        raise ImageFileError(
            f"{path} is no zip file, or is cut off ({error}).", "Remove it and download it again."
        ) from error


def _harm(member: Any) -> str:
    """Say why a member of an archive is refused; empty if it is not."""
    name = member.orig_filename
    if name.startswith(("/", "\\")) or re.match("[A-Za-z]:", name):
        return "is an absolute path"
    if ".." in re.split(r"[/\\]", name) or "\0" in name:
        return "leads out of the folder"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "is a link"
    if member.flag_bits & 1:
        return "is encrypted"
    if member.file_size > MOST_BYTES_OF_ONE:
        return f"claims {member.file_size / 2**20:.0f} MiB"
    return ""
