"""What training makes of folders of photos."""

from __future__ import annotations

import errno
import os
import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import ExifTags, Image

pytest.importorskip("imagehash")
pytest.importorskip("torch")
from device.errors import ConfigError
from training.__main__ import main
from training.errors import DataError
from training.prepare import cluster_hashes, contact_sheet, prepare
from training.sources import read_description
from training.split import Split, load_split, save_split, table


def photo(path: Path, seed: int, size_px: int = 96) -> None:
    """A picture of random soft blobs, its own for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.resize(coarse, (size_px, size_px), interpolation=cv2.INTER_CUBIC))


def folder(root: Path, name: str, classes: dict[str, int], first_seed: int = 0) -> None:
    seed = first_seed
    for material, count in classes.items():
        (root / name / material).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            photo(root / name / material / f"{number}.jpg", seed)
            seed += 1


def describe(root: Path, text: str) -> Path:
    path = root / "data.toml"
    path.write_text(text, encoding="utf-8")
    return path


ONE = '[[source]]\nname = "street"\npath = "street"\nlicence = "CC0"\n'
TWO = ONE + '[[source]]\nname = "exam"\npath = "exam"\nlicence = "CC0"\nparts = ["test"]\n'


def split_of(root: Path, text: str = ONE, like: Split | None = None) -> Split:
    return prepare(read_description(describe(root, text), root), like=like)


def test_a_fifth_of_each_class_is_held_out(tmp_path: Path) -> None:
    folder(tmp_path, "street", {"glass": 20, "paper": 10})
    split = split_of(tmp_path)
    held = [p.material for p in split.part("val")]
    assert (held.count("glass"), held.count("paper"), len(split.part("train"))) == (4, 2, 24)
    assert "glass" in table(split)


def test_the_table_keeps_its_columns_apart_whatever_sources_and_materials_are_called(tmp_path: Path) -> None:
    folder(tmp_path, "street", {"glass": 10, "bioplastic-cup-with-compost-logo": 10})
    named = ONE.replace('name = "street"', 'name = "the canteen in spring"')
    split = split_of(tmp_path, named)
    head, *rows = table(split).splitlines()
    assert [row.split()[-4:] for row in rows[:2]] == [
        ["bioplastic-cup-with-compost-logo", "8", "2", "0"],
        ["glass", "8", "2", "0"],
    ]
    assert {len(row) for row in rows} == {len(head)}


def test_a_smaller_share_is_held_out_of_a_larger_one(tmp_path: Path) -> None:
    folder(tmp_path, "street", {"glass": 20, "paper": 10})
    described, held = ["--data", str(tmp_path), "--description", str(describe(tmp_path, ONE))], {}
    for share in ("0.2", "0.1"):
        run = tmp_path / share
        CliRunner().invoke(
            main, ["prepare", *described, "--run", str(run), "--held-out", share], catch_exceptions=False
        )
        held[share] = {photo.path for photo in load_split(run / "split.json").part("val")}
    assert len(held["0.1"]) == 3
    assert held["0.1"] < held["0.2"]


def test_the_same_seed_splits_the_same_and_another_seed_does_not(tmp_path: Path) -> None:
    folder(tmp_path, "street", {"glass": 20, "paper": 20})
    description = read_description(describe(tmp_path, ONE), tmp_path)
    assert prepare(description, seed=1) == prepare(description, seed=1)
    assert prepare(description, seed=1) != prepare(description, seed=2)


def test_copies_of_a_photo_never_lie_on_both_sides(tmp_path: Path) -> None:
    folder(tmp_path, "street", {"glass": 8, "paper": 8})
    for number in range(8):
        original = cv2.imread(str(tmp_path / "street/glass" / f"{number}.jpg"))
        brighter = cv2.convertScaleAbs(original, alpha=0.95, beta=6)
        cv2.imwrite(str(tmp_path / "street/glass" / f"copy{number}.jpg"), brighter)
    split = split_of(tmp_path)
    part_of = {Path(p.path).stem: p.part for p in split.photos if p.material == "glass"}
    assert all(part_of[str(n)] == part_of[f"copy{n}"] for n in range(8))


def test_a_photo_that_exif_turns_is_near_its_upright_copy_and_lies_so_on_the_contact_sheet(tmp_path: Path) -> None:
    folder(tmp_path, "street", {"glass": 6, "paper": 6})
    street = tmp_path / "street/glass"
    with Image.open(street / "0.jpg") as upright:
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 6
        upright.rotate(90, expand=True).save(street / "turned.jpg", exif=exif, quality=95)
    split = split_of(tmp_path)
    both = [
        photo for photo in split.photos if Path(photo.path).name in ("0.jpg", "turned.jpg") and "glass" in photo.path
    ]
    assert both[0].cluster == both[1].cluster
    sheets = [np.asarray(contact_sheet([one], per_class=1), np.float32) for one in both]
    assert np.abs(sheets[0] - sheets[1]).mean() < 4


def test_a_photo_with_broken_exif_is_kept(tmp_path: Path) -> None:
    folder(tmp_path, "street", {"glass": 6, "paper": 6})
    for number, exif in enumerate((b"Exif\0\0noise", b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01", b"Exif\0\0")):
        path = tmp_path / "street/glass" / f"{number}.jpg"
        with Image.open(path) as image:
            image.save(path, exif=exif)
    split = split_of(tmp_path)
    assert len(split.photos) == 12
    assert contact_sheet(split.photos).width > 0


def test_grey_pictures_of_16_bits_are_neither_blank_nor_all_alike(tmp_path: Path) -> None:
    folder(tmp_path, "street", {"glass": 6, "paper": 6})
    for number in range(4):
        path = tmp_path / "street/glass" / f"{number}.jpg"
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(path.with_suffix(".png")), grey.astype(np.uint16) * 200 + 3000)
        path.unlink()
    split = split_of(tmp_path)
    assert len({photo.cluster for photo in split.photos}) == 12
    deep = [photo for photo in split.photos if photo.path.endswith(".png")]
    assert np.asarray(contact_sheet(deep, per_class=1)).std() > 10, "nor white on the contact sheet"


def test_what_resembles_the_exam_is_not_trained_on(tmp_path: Path) -> None:
    folder(tmp_path, "street", {"glass": 6, "paper": 6})
    folder(tmp_path, "exam", {"glass": 3, "paper": 3}, first_seed=100)
    photo(tmp_path / "street/glass/seen.jpg", 100)
    split = split_of(tmp_path, TWO)
    assert not any(p.path.endswith("seen.jpg") for p in split.photos)
    assert len(split.part("test")) == 6


def test_a_broken_a_tiny_and_a_blank_photo_are_left_out_and_named(tmp_path: Path) -> None:
    folder(tmp_path, "street", {"glass": 6, "paper": 6})
    (tmp_path / "street/glass/broken.jpg").write_bytes(b"\xff\xd8no photo")
    photo(tmp_path / "street/glass/tiny.jpg", 50, size_px=16)
    cv2.imwrite(str(tmp_path / "street/glass/blank.jpg"), np.full((96, 96, 3), 200, np.uint8))
    split = split_of(tmp_path)
    assert {Path(one.path).stem for one in split.rejected} == {"broken", "tiny", "blank"}
    assert len(split.photos) == 12


def test_what_training_cannot_read_is_left_out_and_hidden_folders_are_no_class(tmp_path: Path) -> None:
    folder(tmp_path, "street", {"glass": 6, "paper": 6, ".ipynb_checkpoints": 3})
    street = tmp_path / "street/glass"
    cv2.imwrite(str(street / "a.bmp"), cv2.imread(str(street / "0.jpg")))
    Image.open(street / "1.jpg").save(street / "b.jpg", "GIF")
    (street / "2.jpg").rename(street / os.fsdecode(b"caf\xe9.jpg"))
    split = split_of(tmp_path)
    save_split(split, tmp_path / "split.json")
    assert [one.why.split(" (")[0] for one in split.rejected] == [
        "it is no JPEG, PNG or WebP file",
        "it cannot be read",
        "its name is not UTF-8",
    ]
    assert (split.classes, len(split.photos)) == (("glass", "paper"), 11)


def test_a_folder_with_an_accent_is_renamed_whether_a_mac_wrote_it_or_not(tmp_path: Path) -> None:
    composed, apart = "caf\u00e9", "cafe\u0301"
    for place, name, written in (("linux", composed, apart), ("mac", apart, composed)):
        folder(tmp_path / place, "street", {name: 6, "paper": 6})
        mapped = describe(tmp_path, ONE + f'classes = {{ "{written}" = "tins" }}\n')
        assert prepare(read_description(mapped, tmp_path / place)).classes == ("paper", "tins")


def test_what_is_rendered_joins_the_materials_that_own_photos_have_and_brings_no_others(tmp_path: Path) -> None:
    folder(tmp_path, "street", {"glass": 6, "kertas": 6})
    folder(tmp_path, "rendered", {"glass": 3, "metal": 3, "paper": 3}, first_seed=100)
    described = read_description(describe(tmp_path, ONE), tmp_path)
    joined = prepare(described.with_rendered(tmp_path / "rendered"))
    assert joined.classes == ("glass", "kertas")
    assert Counter((p.material, p.part) for p in joined.photos if p.source == "rendered") == {("glass", "train"): 3}
    shutil.rmtree(tmp_path / "rendered/glass")
    assert described.with_rendered(tmp_path / "rendered") == described


def test_whatever_lies_in_a_class_folder_is_read_or_named(tmp_path: Path) -> None:
    folder(tmp_path, "street", {"glass": 6, "paper": 6})
    street = tmp_path / "street/glass"
    for name in ("a.heic", "b.gif", "without-ending"):
        (street / name).write_bytes((street / "0.jpg").read_bytes())
    (street.parent / "loose.jpg").write_bytes((street / "0.jpg").read_bytes())
    (street / "linked").symlink_to(tmp_path / "street/paper")
    (street / ".thumbnails").mkdir()
    for name in (".hidden.jpg", ".thumbnails/deleted.jpg", ".thumbnails/deleted.heic"):
        (street / name).write_bytes((street / "0.jpg").read_bytes())
    split = split_of(tmp_path)
    left_out = ["a.heic", "b.gif", "linked", "loose.jpg", "without-ending"]
    assert sorted(Path(one.path).name for one in split.rejected) == left_out
    assert len(split.photos) == 12


def test_links_to_photos_and_folders_of_a_disk_that_is_not_there_are_named(tmp_path: Path) -> None:
    folder(tmp_path, "street", {"glass": 6, "paper": 6})
    (tmp_path / "street/glass/far.jpg").symlink_to(tmp_path / "disk/far.jpg")
    (tmp_path / "street/metal").symlink_to(tmp_path / "disk/metal")
    split = split_of(tmp_path)
    assert {Path(one.path).name: one.why for one in split.rejected} == dict.fromkeys(
        ("metal", "far.jpg"), "a link that leads nowhere"
    )


def test_a_photo_that_is_only_trained_on_may_change_its_class_like_a_correction_of_a_correction(
    tmp_path: Path,
) -> None:
    folder(tmp_path, "street", {"glass": 10, "paper": 10})
    folder(tmp_path, "taught", {"glass": 3, "paper": 3}, first_seed=100)
    drop = (tmp_path / "taught/glass/0.jpg").rename(tmp_path / "taught/glass/drop-7.jpg")
    text = ONE + ONE.replace("street", "taught") + 'parts = ["train"]\n'
    before = split_of(tmp_path, text)
    drop.rename(tmp_path / "taught/paper/drop-7.jpg")
    after = split_of(tmp_path, text, like=before)
    parts = {photo.path: photo.part for photo in before.photos if photo.source == "street"}
    assert {photo.path: photo.part for photo in after.photos if photo.source == "street"} == parts
    assert Counter(photo.material for photo in after.photos if photo.source == "taught") == {"glass": 2, "paper": 4}


def test_photos_of_an_earlier_split_keep_their_parts_and_so_does_what_resembles_them(tmp_path: Path) -> None:
    folder(tmp_path, "street", {"glass": 20, "paper": 20})
    before = split_of(tmp_path)
    parts = {photo.path: photo.part for photo in before.photos}
    folder(tmp_path, "a bin", {"glass": 20, "paper": 20}, first_seed=100)
    held = next(path for path, part in parts.items() if part == "val" and "/glass/" in path)
    shutil.copy(held, tmp_path / "a bin/glass/seen.jpg")
    mine = '[[source]]\nname = "a bin"\npath = "a bin"\nlicence = "CC0"\n'
    described = ["--data", str(tmp_path), "--description", str(describe(tmp_path, mine + ONE)), "--run"]
    save_split(before, tmp_path / "before.json")
    moved = []
    for name, more in (("anew", []), ("like", ["--like", str(tmp_path / "before.json")])):
        CliRunner().invoke(main, ["prepare", *described, str(tmp_path / name), *more], catch_exceptions=False)
        after = {photo.path: photo.part for photo in load_split(tmp_path / name / "split.json").photos}
        moved.append(sum(after[path] != part for path, part in parts.items()))
    assert moved[0] > 0 and moved[1] == 0
    assert after[str(tmp_path / "a bin/glass/seen.jpg")] == "val"
    assert sum(part == "val" for path, part in after.items() if "a bin" in path) == 9
    shutil.move(tmp_path / "street", tmp_path / "road")
    description = read_description(describe(tmp_path, ONE.replace('path = "street"', 'path = "road"')), tmp_path)
    with pytest.raises(DataError, match="No photo of the earlier split is among these"):
        prepare(description, like=before)


HALVES = ONE + ONE.replace("street", "bin")


def test_photos_of_an_earlier_split_that_moved_or_are_left_out_are_not_dealt_out_anew(tmp_path: Path) -> None:
    folder(tmp_path, "street", {"glass": 10, "paper": 10})
    folder(tmp_path, "bin", {"glass": 10, "paper": 10}, first_seed=100)
    before = split_of(tmp_path, HALVES)
    held = [photo.path for photo in before.part("val") if "/bin/" in photo.path]

    with pytest.raises(DataError, match=f"4 photos of the earlier split .*first: {held[0]}"):
        split_of(tmp_path, like=before)
    shutil.move(tmp_path / "bin", tmp_path / "cellar")
    moved = read_description(describe(tmp_path, HALVES.replace('path = "bin"', 'path = "cellar"')), tmp_path)
    with pytest.raises(DataError, match="20 photos of the earlier split are not among these"):
        prepare(moved, like=before)

    shutil.rmtree(tmp_path / "cellar")
    assert {photo.path: photo.part for photo in before.photos if "/bin/" not in photo.path} == {
        photo.path: photo.part for photo in split_of(tmp_path, like=before).photos
    }


def test_an_earlier_split_keeps_its_parts_however_its_folder_is_spelt(tmp_path: Path) -> None:
    folder(tmp_path, "street", {"glass": 10, "paper": 10})
    before = split_of(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    after = prepare(read_description(describe(tmp_path, ONE), tmp_path / "link"), seed=9, like=before)
    assert [photo.part for photo in after.photos] == [photo.part for photo in before.photos]


def test_what_was_an_exam_is_never_learnt_from(tmp_path: Path) -> None:
    folder(tmp_path, "street", {"glass": 6, "paper": 6})
    folder(tmp_path, "exam", {"glass": 3, "paper": 3}, first_seed=100)
    before = split_of(tmp_path, TWO)
    no_exam = read_description(describe(tmp_path, TWO.replace('parts = ["test"]\n', "")), tmp_path)
    after = prepare(no_exam, like=before)
    assert not any("/exam/" in photo.path for photo in after.photos)
    assert {one.why for one in after.rejected if "/exam/" in one.path} == {"the earlier split tests on it"}


def test_a_split_that_was_not_finished_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path, "street", {"glass": 6, "paper": 6})
    command = ["prepare", "--data", str(tmp_path), "--description", str(describe(tmp_path, ONE)), "--run"]
    command.append(str(tmp_path / "run"))
    with monkeypatch.context() as full:
        full.setattr("training.photos.write_text", _full)
        assert isinstance(CliRunner().invoke(main, command).exception, OSError)
    assert CliRunner().invoke(main, command).exit_code == 0
    assert (tmp_path / "run" / "licences.json").exists() and (tmp_path / "run" / "split.json").exists()


def test_photos_that_moved_since_the_split_are_told_and_another_run_takes_them_where_they_are(tmp_path: Path) -> None:
    folder(tmp_path, "street", {"glass": 6, "paper": 6})
    folder(tmp_path, "taught", {"glass": 3, "paper": 3}, first_seed=100)
    described = describe(tmp_path, TWO.replace("exam", "taught").replace("test", "train"))
    command = ["prepare", "--data", str(tmp_path), "--description", str(described), "--run"]
    assert CliRunner().invoke(main, [*command, str(tmp_path / "run")]).exit_code == 0
    moved = next((tmp_path / "taught/glass").iterdir())
    moved.rename(tmp_path / "taught/paper/moved.jpg")
    told = CliRunner().invoke(main, [*command, str(tmp_path / "run")]).output
    assert f"1 of its photos is gone (first: {moved})" in told
    again = [*command, str(tmp_path / "again"), "--like", str(tmp_path / "run")]
    assert CliRunner().invoke(main, again).exit_code == 0
    assert "gone" not in CliRunner().invoke(main, [*command, str(tmp_path / "again")]).output


def test_photos_that_moved_with_their_folder_are_to_be_brought_back(tmp_path: Path) -> None:
    folder(tmp_path / "photos", "street", {"glass": 6, "paper": 6})
    command = ["prepare", "--description", str(describe(tmp_path, ONE)), "--run", str(tmp_path / "run"), "--data"]
    assert CliRunner().invoke(main, [*command, str(tmp_path / "photos")]).exit_code == 0
    (tmp_path / "photos").rename(tmp_path / "moved")
    told = CliRunner().invoke(main, [*command, str(tmp_path / "moved")]).output
    assert "12 of its photos are gone" in told and "bring them back." in told
    assert "--like" not in told, "it would be refused"


def test_a_material_of_which_no_photo_is_held_out_is_told(tmp_path: Path) -> None:
    folder(tmp_path, "street", {"glass": 6, "kain": 2, "paper": 6})
    command = ["prepare", "--data", str(tmp_path), "--description", str(describe(tmp_path, ONE)), "--run"]
    told = CliRunner().invoke(main, [*command, str(tmp_path / "run")]).output
    assert "No photo of kain is held out, so how well it is named stays unknown" in told


def test_photos_that_came_since_the_split_are_counted_and_another_run_takes_them_in(tmp_path: Path) -> None:
    folder(tmp_path, "street", {"glass": 6, "paper": 6})
    command = ["prepare", "--data", str(tmp_path), "--description", str(describe(tmp_path, ONE)), "--run"]
    before = CliRunner().invoke(main, [*command, str(tmp_path / "run")]).output
    assert "not in it" not in before
    assert "not in it" not in CliRunner().invoke(main, [*command, str(tmp_path / "run")]).output
    photo(new := tmp_path / "street/glass/new.jpg", seed=200)
    told = CliRunner().invoke(main, [*command, str(tmp_path / "run")]).output
    assert f"1 photo of these folders is not in it (first: {new}), so not learnt from" in told
    assert f"--like {tmp_path / 'run/split.json'}" in told
    again = [*command, str(tmp_path / "again"), "--like", str(tmp_path / "run/split.json")]
    assert CliRunner().invoke(main, again).exit_code == 0
    assert str(new) in {photo.path for photo in load_split(tmp_path / "again/split.json").photos}


def test_photos_that_a_trial_does_without_are_not_taken_for_new_ones(tmp_path: Path) -> None:
    folder(tmp_path, "street", {"glass": 6, "paper": 6})
    command = ["prepare", "--data", str(tmp_path), "--description", str(describe(tmp_path, ONE)), "--run"]
    command += [str(tmp_path / "run"), "--per-class", "2"]
    assert CliRunner().invoke(main, command).exit_code == 0
    assert "not in it" not in CliRunner().invoke(main, command).output


def test_a_run_that_goes_on_tells_that_it_learns_from_no_photo_of_another_folder(tmp_path: Path) -> None:
    described = str(describe(tmp_path, ONE))
    for number, data in enumerate(("ours", "theirs")):
        folder(tmp_path / data, "street", {"glass": 6, "paper": 6}, first_seed=100 * number)
        command = ["prepare", "--data", str(tmp_path / data), "--description", described, "--run"]
        for name, thinned in (("trial", ["--per-class", "2"]), ("run", [])):
            told = CliRunner().invoke(main, [*command, str(tmp_path / name), *thinned]).output
            assert ("No photo of these folders is in it" in told) == (data == "theirs")
            assert "--like" not in told, "it takes in what came beside photos of the split"


def test_a_mistyped_configuration_of_the_bin_is_told_before_photos_are_looked_at(tmp_path: Path) -> None:
    folder(tmp_path, "street", {"botol": 6, "kain": 6})
    (tmp_path / "bin.toml").write_text('[materials]\nbotol = "recyclable"\nkain = "reuse"\n')
    command = ["prepare", "--data", str(tmp_path), "--description", str(describe(tmp_path, ONE))]
    command += ["--run", str(tmp_path / "run")]
    refused = CliRunner().invoke(main, [*command, "--config", str(tmp_path / "bni.toml")]).exception
    assert isinstance(refused, ConfigError) and "bni.toml" in str(refused)
    assert not (tmp_path / "run").exists()
    assert "nowhere" in (told := CliRunner().invoke(main, command)).output and told.exit_code == 0
    four_lids = str(Path(__file__).parents[1] / "device/config/presets/four-lids.toml")  # as `make model` names it
    refused = CliRunner().invoke(main, [*command, "--config", four_lids]).exception
    assert isinstance(refused, DataError) and "this bin sends botol, kain nowhere: name the" in str(refused)
    mapped = CliRunner().invoke(main, [*command, "--config", str(tmp_path / "bin.toml")])
    assert mapped.exit_code == 0 and "nowhere" not in mapped.output


def _full(path: Path, _text: str) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_split_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    folder(tmp_path, "street", {"glass": 6, "paper": 6})
    split = split_of(tmp_path)
    save_split(split, tmp_path / "split.json")
    assert load_split(tmp_path / "split.json") == split


def test_a_trial_keeps_a_few_photos_of_each_class_in_each_part(tmp_path: Path) -> None:
    folder(tmp_path, "street", {"glass": 30, "paper": 30})
    thin = split_of(tmp_path).thinned(3)
    assert (len(thin.part("train")), len(thin.part("val"))) == (6, 6)


@pytest.mark.parametrize(
    ("classes", "text", "sentence"),
    [
        ({}, ONE, "there is no folder .*/street.*--data, .*--description"),
        ({"glass": 5}, ONE, "only one class"),
        ({"glass": 5, "paper": 1}, ONE, "Too few photos to train on in paper"),
        ({"glass": 5, "paper": 5}, ONE + 'classes = { bottle = "glass" }\n', "class map names bottle"),
        ({"glass": 5, "Food waste": 5}, ONE, "cannot map 'Food waste' to a lid"),
        ({"glass": 5, "paper": 5}, ONE + 'classes = { paper = "papér" }\n', "rename such folders in `classes`"),
        ({"glass": 5, "paper": 5}, 'materials = ["glass"]\n' + ONE, "'paper' is none of the materials"),
        (
            {"glass": 5, "paper": 5},
            ONE + 'parts = ["exam"]\n',
            r"parts\.0: .* 'train', 'val' or 'test'\.$",
        ),
        ({"glass": 5, "paper": 5}, ONE + 'parts = "train"\n', r"parts: must be a list in brackets, \[ \]\.$"),
        ({"glass": 5, "paper": 5}, ONE + 'parts = ["train"]\n', "No photo would be held out"),
        (
            {"glass": 5, "paper": 5},
            ONE + 'author = "me"\n',
            "author: there is no such key here, only name, path",
        ),
        ({"glass": 5, "paper": 5}, ONE.replace("licence", "#"), r"licence: this key must be given\.$"),
        (
            {"glass": 5, "paper": 5},
            ONE + ONE.replace("street", "lane", 1),
            "Two sources have .*/glass, whose photos",
        ),
        ({"glass": 5, "paper": 5}, ONE + 'parts = ["val", "test"]\n', "serves nothing else"),
        ({"glass": 5, "paper": 5}, ONE + ONE, "same name"),
        ({"glass": 5, "paper": 5}, ONE.replace("[[source]]", "[source]"), r"source: .*write \[\[source\]\]"),
        (
            {"glass": 5},
            ONE.replace('path = "', 'path = "C:\\Users\\'),
            "line 3, .*; in double quotes .* write paths with /",
        ),
        ({"glass": 5, "paper": 5}, ONE + "weight = inf\n", r"weight: Input should be a finite number\.$"),
        ({"glass": 5, "paper": 5, "metal": 0}, ONE, "No source has a JPEG, PNG or WebP picture of metal"),
    ],
)
def test_data_that_cannot_be_trained_on_is_refused_in_one_sentence(
    tmp_path: Path, classes: dict[str, int], text: str, sentence: str
) -> None:
    folder(tmp_path, "street", classes)
    with pytest.raises(DataError, match=sentence):
        split_of(tmp_path, text)


def test_a_description_that_windows_marked_as_utf_8_is_read(tmp_path: Path) -> None:
    (tmp_path / "data.toml").write_text(ONE, encoding="utf-8-sig")
    assert read_description(tmp_path / "data.toml", tmp_path).source[0].name == "street"


def test_a_description_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    (tmp_path / "data.toml").write_bytes(ONE.encode() + b"# caf\xe9\n")
    with pytest.raises(DataError, match="not valid TOML in UTF-8"):
        read_description(tmp_path / "data.toml", tmp_path)


def test_an_empty_folder_is_said_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "street/glass").mkdir(parents=True)
    with pytest.raises(DataError, match="no JPEG, PNG or WebP picture in the class folders"):
        split_of(tmp_path)


def test_hashes_that_differ_in_few_bits_chain_into_one_cluster() -> None:
    hashes = np.array([0, 0b111111, 0b111111111111, 1 << 60 | (1 << 40) - 1], np.uint64)
    clusters = cluster_hashes(hashes, near_bits=6)
    assert clusters[0] == clusters[1] == clusters[2] != clusters[3]
