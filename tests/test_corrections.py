"""`pilah export-corrections`: from what the owner taught to a source of training."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from device.cli import cli
from device.corrections import write_lessons
from device.drops import Drop
from device.errors import JournalError
from device.journal import Journal
from tests.disks import disk_that_takes
from tests.page_parts import photo_of


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    (tmp_path / "pilah.toml").write_text(f'[journal]\npath = "{tmp_path}/journal.db"\nthumbnails = true\n')
    journal = Journal(tmp_path / "journal.db", thumbnails_at_most=10)
    journal.open()
    for material in ("glass", "glass", "metal"):
        drop = Drop(0, time.time(), material, "recyclable", 0.9, "sure", {material: 0.9})
        journal.write(drop, photo_of(material))
    return journal


def export(tmp_path: Path) -> str:
    arguments = ["export-corrections", str(tmp_path / "taught"), "--config", str(tmp_path / "pilah.toml")]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def taught(tmp_path: Path) -> list[str]:
    return sorted(str(file.relative_to(tmp_path / "taught")) for file in (tmp_path / "taught").rglob("*.*"))


def test_corrected_drops_and_photos_become_a_folder_for_each_material(journal: Journal, tmp_path: Path) -> None:
    journal.correct(1, "plastic")
    journal.keep_photo(photo_of("wood"), "wood")
    assert "2 pictures" in export(tmp_path)
    drop, photo = taught(tmp_path)
    assert drop.startswith("plastic/drop-1-") and photo.startswith("wood/photo-1-")
    assert (tmp_path / "taught" / drop).read_bytes() == photo_of("glass")


def test_a_drop_that_is_corrected_once_more_moves_to_its_new_folder(journal: Journal, tmp_path: Path) -> None:
    for material in ("plastic", "metal"):
        journal.correct(2, material)
        export(tmp_path)
    (drop,) = taught(tmp_path)
    assert drop.startswith("metal/drop-2-")
    assert [one.name for one in (tmp_path / "taught").iterdir()] == ["metal"], "no class without photos is left"
    journal.correct(1, "metal")
    export(tmp_path)
    journal.correct(1, "plastic")
    export(tmp_path)
    assert [name.rsplit("-", 1)[0] for name in taught(tmp_path)] == ["metal/drop-2", "plastic/drop-1"]


def test_a_photo_whose_material_is_tapped_twice_or_told_anew_is_one_lesson(journal: Journal, tmp_path: Path) -> None:
    for material in ("wood", "wood", "metal"):
        journal.keep_photo(photo_of("wood"), material)
        export(tmp_path)
    journal.keep_photo(photo_of("glass"), "glass")
    assert "2 pictures" in export(tmp_path)
    assert [name.rsplit("-", 1)[0] for name in taught(tmp_path)] == ["glass/photo-2", "metal/photo-1"]


def test_what_a_history_taught_stays_when_another_is_begun(journal: Journal, tmp_path: Path) -> None:
    journal.correct(1, "plastic")
    export(tmp_path)
    journal.close()
    journal.path.write_bytes(b"garbage" * 1000)
    assert journal.open() is not None
    journal.write(Drop(0, time.time() + 1, "paper", "recyclable", 0.9, "sure", {"paper": 0.9}), photo_of("paper"))
    journal.correct(1, "carton")
    export(tmp_path)
    assert [file.split("/")[0] for file in taught(tmp_path)] == ["carton", "plastic"]


def test_where_nothing_was_corrected_it_is_said(journal: Journal, tmp_path: Path) -> None:
    assert export(tmp_path) == "Nothing has been corrected so far.\n"
    assert not (tmp_path / "taught").exists()


def test_corrections_that_have_no_picture_are_counted(journal: Journal, tmp_path: Path) -> None:
    number = journal.write(Drop(0, 1e9, "glass", "recyclable", 0.9, "sure", {"glass": 0.9}))
    journal.correct(number, "metal")
    assert export(tmp_path) == (
        "1 corrected drop has no picture; `journal.thumbnails_at_most` says how many are kept.\n"
    )
    journal.keep_photo(photo_of("wood"), "wood")
    assert "1 picture in" in (told := export(tmp_path)) and "1 corrected drop has no picture" in told


def test_training_takes_the_folder_as_one_more_source(journal: Journal, tmp_path: Path) -> None:
    pytest.importorskip("imagehash")
    from training.sources import list_photos, read_description

    journal.correct(1, "plastic")
    journal.correct(3, "metal")
    export(tmp_path)
    description = tmp_path / "mine.toml"
    description.write_text('[[source]]\nname = "my bin"\npath = "taught"\nlicence = "my own"\nparts = ["train"]\n')
    (source,) = read_description(description, tmp_path).source
    assert [(photo.name.rsplit("-", 1)[0], material) for photo, material in list_photos(source)] == [
        ("drop-3", "metal"),
        ("drop-1", "plastic"),
    ]


@pytest.mark.parametrize("material", ["..", "../up", "/etc", "a/b", "", ".hidden"])
def test_a_material_that_would_lead_elsewhere_is_refused(tmp_path: Path, material: str) -> None:
    with pytest.raises(JournalError, match="no name for a folder"):
        write_lessons([("drop-1", material, b"")], tmp_path / "taught")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "taught").write_text("a file")
    with pytest.raises(JournalError, match="taught cannot be written"):
        write_lessons([("drop-1", "glass", b"")], tmp_path / "taught")


def test_a_disk_that_fills_keeps_what_was_written_and_no_half_picture(tmp_path: Path) -> None:
    lessons = [("drop-1", "glass", b"x" * 100), ("drop-2", "glass", b"x" * 100_000)]
    with disk_that_takes(4096), pytest.raises(JournalError, match=r"taught cannot be written .* has room"):
        write_lessons(lessons, tmp_path / "taught")
    assert taught(tmp_path) == ["glass/drop-1.jpg"]
