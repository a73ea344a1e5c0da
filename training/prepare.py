"""Check every photo, find near-duplicates, and split by duplicate cluster: once, written to a file that is reused."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from device.counting import counted
from device.errors import PictureError
from device.pictures import SMALLEST_SIDE_PX, is_blank, read_picture
from training.errors import DataError
from training.options import HELD_OUT
from training.sources import DataDescription, Part, Source, list_photos, other_files
from training.split import Photo, Rejected, Split

log = logging.getLogger(__name__)

NEAR_BITS = 6
"""Two 64-bit perceptual hashes that differ in at most this many bits are near-duplicates (of 64; chance: ~32)."""
TILE_PX = 96
"""Of a photo on the contact sheet."""


@dataclass(frozen=True)
class _Listed:
    """A photo as it was found."""

    path: Path
    source: Source
    material: str

    @property
    def is_test_only(self) -> bool:
        return self.source.parts == ("test",)


_Clusters = dict[int, list[_Listed]]


def prepare(
    description: DataDescription,
    seed: int = 0,
    held_out: float = HELD_OUT,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
    like: Split | None = None,
) -> Split:
    """Check, hash, cluster and split all photos of a description.

    `held_out`: the share of clusters of each class and source that becomes `val`. Photos whose cluster also has a
    photo of a source that serves only `test` go nowhere else; a cluster whose photos carry different materials is
    left out of training, since one of its labels is wrong. A test part is kept whole. Photos of the split `like`, and
    what resembles them, keep their part: a model that learnt from them is not measured on them. What `like` tests on is
    tested on or left out. Raises `DataError`.
    """
    known: dict[Path, Part] = {Path(photo.path).resolve(): photo.part for photo in like.photos} if like else {}
    listed = [
        _Listed(path, source, material)
        for source in description.source
        for path, material in list_photos(source, description.materials)
    ]
    folders = Counter((source.path / name).resolve() for source in description.source for name in source.folders())
    if twice := [str(path) for path, times in folders.items() if times > 1]:
        raise DataError(f"Two sources have the class folder {twice[0]}, whose photos would count twice: leave one out.")
    named = {name for source in description.source for name in source.folders().values()}
    if empty := named - {one.material for one in listed}:
        raise DataError(
            f"No source has a JPEG, PNG or WebP picture of {', '.join(sorted(empty))}: add some, or remove the folder."
        )
    if known:
        _require_in_place(known, {one.path.resolve(): one.source for one in listed})
    others = [Rejected(_printed(path), why) for source in description.source for path, why in other_files(source)]
    clusters, unusable = _clustered(progress(listed))
    clusters, mixed = _without_mixed(clusters)
    photos, rejected = [], [*others, *unusable, *mixed]
    for cluster, part in _dealt(clusters, known, seed, held_out).items():
        for one in clusters[cluster]:
            if part in one.source.parts:
                photos.append(Photo(str(one.path), one.source.name, one.material, part, cluster))
                continue
            was_test = known.get(one.path.resolve()) == "test"
            why = "the earlier split tests on it" if was_test else f"a near-duplicate of it serves the {part} part"
            rejected.append(Rejected(str(one.path), why))
    split = Split(tuple(sorted(photos, key=lambda p: p.path)), tuple(rejected), seed)
    _check_classes(split)
    return split


def newcomers(description: DataDescription, split: Split) -> tuple[list[str], bool]:
    """The photos of a description that an earlier split neither deals out nor leaves out, and whether all are such.

    Raises `DataError`.
    """
    known = {Path(one.path).resolve() for one in (*split.photos, *split.rejected)}
    found = [_printed(path) for source in description.source for path, _ in list_photos(source, description.materials)]
    new = [path for path in found if Path(path).resolve() not in known]
    return new, len(new) == len(found)


def _clustered(listed: Iterable[_Listed]) -> tuple[_Clusters, list[Rejected]]:
    """The photos that can be used, near-duplicates together, and those that cannot."""
    kept, hashes, rejected = [], [], []
    for one in listed:
        checked = _check(one.path)
        if isinstance(checked, str):
            rejected.append(Rejected(_printed(one.path), checked))
            log.warning("%s is left out: %s", _printed(one.path), checked)
        else:
            kept.append(one)
            hashes.append(checked)
    if not kept:
        raise DataError("No usable photo in any source.")
    clusters: _Clusters = defaultdict(list)
    for one, cluster in zip(kept, cluster_hashes(np.array(hashes, dtype=np.uint64)), strict=True):
        clusters[int(cluster)].append(one)
    return clusters, rejected


def _without_mixed(clusters: _Clusters) -> tuple[_Clusters, list[Rejected]]:
    """Of clusters that carry different materials only what is only tested on, and the photos that this leaves out."""
    kept: _Clusters = {}
    rejected = []
    for cluster, members in clusters.items():
        if len({one.material for one in members}) > 1:
            mixed = [one for one in members if not one.is_test_only]
            rejected += [Rejected(str(one.path), "a near-duplicate carries another material") for one in mixed]
            members = [one for one in members if one.is_test_only]
        if members:
            kept[cluster] = members
    return kept, rejected


def _dealt(clusters: _Clusters, known: dict[Path, Part], seed: int, held_out: float) -> dict[int, Part]:
    """The part of each cluster: what sources and an earlier split ask for, and chance within each class and source."""
    parts: dict[int, Part] = {}
    strata: dict[tuple[str, str], list[int]] = defaultdict(list)
    for cluster, members in clusters.items():
        allowed = set.intersection(*(set(one.source.parts) for one in members))
        before = {known.get(one.path.resolve()) for one in members}
        if "test" in before or any(one.is_test_only for one in members):
            parts[cluster] = "test"
        elif "train" in before or "val" in before:
            parts[cluster] = "train" if "train" in before else "val"
        elif allowed == {"train", "val"}:
            strata[(members[0].source.name, members[0].material)].append(cluster)
        else:
            parts[cluster] = "val" if allowed == {"val"} else "train"
    chance = np.random.default_rng(seed)
    for _stratum, stratum in sorted(strata.items()):
        held = round(held_out * len(stratum)) if len(stratum) > 1 else 0
        for position, which in enumerate(chance.permutation(len(stratum))):
            parts[stratum[which]] = "val" if position < held else "train"
    return parts


def _printed(path: Path) -> str:
    """Its name, where no encoding has one as well."""
    return str(path).encode(errors="backslashreplace").decode()


def _require_in_place(known: dict[Path, Part], listed: dict[Path, Source]) -> None:
    """Raises `DataError` where photos of an earlier split may lie elsewhere now, and so be dealt to another part.

    That is what a photo that is not listed may do if a new one has its name, or if it was held out and still exists:
    a copy of it might be listed. A new one that is only trained on is dealt to no other part, and may take its place.
    """
    if not known.keys() & listed.keys():
        raise DataError("No photo of the earlier split is among these: name the folder that it was made from.")
    new_names = {path.name for path, one in listed.items() if path not in known and one.parts != ("train",)}
    missing = [
        path
        for path, part in known.items()
        if path not in listed and (part != "train" if path.exists() else path.name in new_names)
    ]
    if missing:
        told = counted(len(missing), "photo of the earlier split is", "photos of the earlier split are")
        raise DataError(
            f"{told} not among these (first: {missing[0]}) and might be dealt to another part: list their folder too, "
            f"where it was then."
        )


def _check_classes(split: Split) -> None:
    counts = Counter(photo.material for photo in split.part("train"))
    if len(split.classes) < 2:
        raise DataError(f"There is only one class ({', '.join(split.classes)}); a classifier needs at least two.")
    if poor := [name for name in split.classes if counts[name] < 2]:
        raise DataError(f"Too few photos to train on in {', '.join(poor)}: add photos, or leave the class out.")
    if not split.part("val"):
        raise DataError(
            "No photo would be held out, and a model that cannot be measured becomes no bundle: add photos, hold out a "
            "larger share, or let a source serve `val` too."
        )


def _check(path: Path) -> int | str:
    """The photo's 64-bit perceptual hash, or why it cannot be used."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    try:
        pixels = read_picture(path)
    except PictureError as fault:
        return f"it cannot be read ({fault})"
    height, width = pixels.shape[:2]
    if min(height, width) < SMALLEST_SIDE_PX:
        return f"it is only {width}×{height} px"
    if is_blank(pixels):
        return "it is blank"
    return int(str(imagehash.phash(Image.fromarray(pixels))), 16)


def cluster_hashes(hashes: NDArray[np.uint64], near_bits: int = NEAR_BITS) -> NDArray[np.int64]:
    """Connected components under "differs in at most `near_bits` bits": (N,) hashes → (N,) cluster numbers."""
    parent = np.arange(len(hashes))

    def find(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return int(i)

    for i in range(len(hashes) - 1):
        distance = np.bitwise_count(hashes[i + 1 :] ^ hashes[i])
        for j in np.flatnonzero(distance <= near_bits) + i + 1:
            parent[find(int(j))] = find(i)
    return np.array([find(i) for i in range(len(hashes))])


def contact_sheet(photos: Sequence[Photo], per_class: int = 12) -> Image.Image:
    """A picture with a row of random photos for each class, for a look before hours of training."""
    chance = np.random.default_rng(0)
    classes = sorted({photo.material for photo in photos})
    sheet = Image.new("RGB", (per_class * TILE_PX, len(classes) * TILE_PX), "white")
    for row, material in enumerate(classes):
        of_class = [photo for photo in photos if photo.material == material]
        for column, which in enumerate(chance.permutation(len(of_class))[:per_class]):
            tile = Image.fromarray(read_picture(Path(of_class[which].path))).resize((TILE_PX, TILE_PX))
            sheet.paste(tile, (column * TILE_PX, row * TILE_PX))
    return sheet
