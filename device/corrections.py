"""`pilah export-corrections`: what the owner taught, as a folder that training takes as one more source."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import click

from device.config import read_config, tell_whose
from device.counting import counted
from device.errors import JournalError
from device.files import replacing
from device.journal import Journal
from device.options import config_option

_NAME_OF_FOLDER = re.compile(r"[\w-][\w .-]*")

Lesson = tuple[str, str, bytes]
"""A name that is unique, the right material, and a JPEG."""


@click.command("export-corrections")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@config_option
def export_corrections(folder: Path, config_file: Path | None) -> None:
    """Write corrected drops and photos into DIR, a folder for each material.

    Exporting into the same DIR again adds what is new, and moves what was corrected once more.
    """
    config = read_config(config_file)
    tell_whose(config)
    journal = Journal.of(config)
    written, lost = write_lessons(journal.lessons(), folder), journal.corrected_without_picture()
    for material, number in sorted(written.items()):
        click.echo(f"{number:6} {material}")
    if written or not lost:
        told = f"{counted(written.total(), 'picture')} in {folder}"
        click.echo(told if written else "Nothing has been corrected so far.")
    if lost:
        told = counted(lost, "corrected drop has", "corrected drops have")
        click.echo(f"{told} no picture; `journal.thumbnails_at_most` says how many are kept.")


def write_lessons(lessons: Iterable[Lesson], folder: Path) -> Counter[str]:
    """Write each lesson to `folder/material/name.jpg`, and nowhere else under its name; how many of each material.

    Raises `JournalError` where the folder cannot be written, or where a material is no name for a folder.
    """
    written: Counter[str] = Counter()
    try:
        for name, material, jpeg in lessons:
            if not _NAME_OF_FOLDER.fullmatch(material):
                raise JournalError(f"The history holds {name} as {material!r}, which is no name for a folder.")
            file = folder / material / f"{name}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(file, part := file.with_suffix(".part")):
                part.write_bytes(jpeg)
            for old in folder.glob(f"*/{name}.jpg"):
                if old != file:
                    old.unlink()
                    with contextlib.suppress(OSError):
                        old.parent.rmdir()  # where it was the last: an empty folder would be a class without photos
            written[material] += 1
    except OSError as fault:
        raise JournalError(
            f"{folder} cannot be written ({fault.strerror}); name a folder that you may write and that has room."
        ) from fault
    return written
