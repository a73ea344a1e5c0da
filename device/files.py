"""Files that are whole or not there at all, and belong to whom they should."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_whole(path: Path, content: bytes, owner: os.stat_result, mode: int) -> None:
    """Write a file whole or not at all, also when the power fails. Raises `OSError`.

    A file or link of that name is replaced, never written through: root may write here, into the service's folder.
    `owner`: of the file, where root writes it.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with replacing(path, Path(name)), os.fdopen(handle, "wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)
        if os.geteuid() == 0:
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)


@contextmanager
def replacing(path: Path, temporary: Path) -> Iterator[None]:
    """Put the `temporary` file that the block writes in the place of `path`, once it is on the disk.

    Whatever goes wrong, a kill included, leaves the old file whole. Raises `OSError`.
    """
    try:
        yield
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)  # the new name
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _sync(place: Path) -> None:
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
