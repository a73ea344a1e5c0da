"""Files that are whole or not there: written beside their place, flushed to the disk, then renamed."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from device.files import replacing


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file, then put it in the place of `path`; a kill leaves the old file whole.

    Raises `OSError` that names a file: which of several disks is full.
    """
    partial = _partial_of(path)
    try:
        with replacing(path, partial):
            write(partial)
    except OSError as fault:
        fault.filename = fault.filename or str(path)
        raise


def require_place(path: Path) -> None:
    """Raises `OSError` where `write_atomically` could never put a file: told before minutes of work, not after."""
    partial = _partial_of(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    partial.touch()
    partial.unlink()


def _partial_of(path: Path) -> Path:
    """The file that is filled for `path`, in a folder that is made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f"{path.name}.part")


def write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_picture(path: Path, picture: Image.Image) -> None:
    """Save as JPEG: where a disk fills, Pillow itself leaves half a picture and says nothing."""
    _write_by_way_of_memory(path, lambda file: picture.save(file, "JPEG"))


def write_checkpoint(path: Path, values: dict[str, Any], first: Callable[[], object] = lambda: None) -> None:
    """Save with PyTorch, whose own writer says of a full disk only that it failed.

    `first` is called once there was room for the file, and before it takes its place.
    """
    import torch  # only now: `prepare` writes files too, and need not wait for it

    _write_by_way_of_memory(path, lambda file: torch.save(values, file), first)


def _write_by_way_of_memory(
    path: Path, save: Callable[[io.BytesIO], object], first: Callable[[], object] = lambda: None
) -> None:
    """What a library saves, written by Python itself, which tells the faults of a disk."""
    written = io.BytesIO()
    save(written)

    def write(partial: Path) -> None:
        partial.write_bytes(written.getvalue())  # the same memory; a view in a fault crashes Python 3.12
        first()

    write_atomically(path, write)


def sha256_of(path: Path) -> str:
    """In hexadecimal digits, of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
