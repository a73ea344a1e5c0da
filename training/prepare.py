"""Check every photo, find near-duplicates, and split by duplicate cluster: once, written to a file that is reused."""

from __future__ import annotations

import hashlib
import json
import logging
import struct
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from device.errors import PictureError
from device.pictures import read_picture
from training.errors import DataError
from training.files import write_text
from training.sources import DataDescription, Part, Source, list_photos, other_files

log = logging.getLogger(__name__)

SMALLEST_SIDE_PX = 32
BLANK_DEVIATION = 2.0
"""A picture whose grey values deviate less (of 255) shows nothing."""
HELD_OUT = 0.2
"""The share that becomes `val`, where no other is asked for."""
NEAR_BITS = 6
"""Two 64-bit perceptual hashes that differ in at most this many bits are near-duplicates (of 64; chance: ~32)."""


@dataclass(frozen=True)
class Photo:
    """One usable photo; `cluster` is shared by near-duplicates, which never lie in different parts."""

    path: str
    source: str
    material: str
    part: Part
    cluster: int


def digest_of(photos: Iterable[Photo]) -> str:
    """SHA-256 of photos' paths and materials, in any order: tells which were learnt from, and as what."""
    told = sorted((photo.path, photo.material) for photo in photos)
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


@dataclass(frozen=True)
class Rejected:
    """A photo that is left out, and why."""

    path: str
    why: str


@dataclass(frozen=True)
class Split:
    """The prepared data of a run."""

    photos: tuple[Photo, ...]
    rejected: tuple[Rejected, ...]
    seed: int

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(sorted({photo.material for photo in self.photos}))

    def part(self, part: Part) -> list[Photo]:
        return [photo for photo in self.photos if photo.part == part]

    def thinned(self, per_class: int) -> Split:
        """At most `per_class` photos of each class in each part, spread over the sources: for a trial run."""
        groups: dict[tuple[str, str], list[Photo]] = defaultdict(list)
        for photo in self.photos:
            groups[(photo.material, photo.part)].append(photo)
        chosen = [
            members[i]
            for members in groups.values()
            for i in np.linspace(0, len(members) - 1, min(per_class, len(members))).astype(int)
        ]
        return replace(self, photos=tuple(sorted(chosen, key=lambda photo: photo.path)))


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
        (path, source, material)
        for source in description.source
        for path, material in list_photos(source, description.materials)
    ]
    if empty := {name for source in description.source for name in source.folders().values()} - {m for *_, m in listed}:
        raise DataError(f"No source has a picture of {', '.join(sorted(empty))}: add some, or remove the empty folder.")
    if known:
        _require_in_place(known, {path.resolve(): source for path, source, _ in listed})
    rejected = [Rejected(_printed(path), why) for source in description.source for path, why in other_files(source)]
    kept, hashes = [], []
    for path, source, material in progress(listed):
        checked = _check(path)
        if isinstance(checked, str):
            rejected.append(Rejected(_printed(path), checked))
            log.warning("%s is left out: %s", _printed(path), checked)
        else:
            kept.append((path, source, material))
            hashes.append(checked)
    if not kept:
        raise DataError("No usable photo in any source.")
    clusters = cluster_hashes(np.array(hashes, dtype=np.uint64))
    members: dict[int, list[int]] = defaultdict(list)
    for index, cluster in enumerate(clusters):
        members[int(cluster)].append(index)

    chance = np.random.default_rng(seed)
    parts: dict[int, Part] = {}
    strata: dict[tuple[str, str], list[int]] = defaultdict(list)
    for cluster, indices in members.items():
        if len({kept[i][2] for i in indices}) > 1:
            mixed = [i for i in indices if kept[i][1].parts != ("test",)]
            rejected += [Rejected(str(kept[i][0]), "a near-duplicate carries another material") for i in mixed]
            members[cluster] = [i for i in indices if i not in mixed]
            if members[cluster]:
                parts[cluster] = "test"
            continue
        allowed = set.intersection(*(set(kept[i][1].parts) for i in indices))
        before = {known.get(kept[i][0].resolve()) for i in indices}
        if "test" in before or any(kept[i][1].parts == ("test",) for i in indices):
            parts[cluster] = "test"
        elif "train" in before or "val" in before:
            parts[cluster] = "train" if "train" in before else "val"
        elif allowed == {"train", "val"}:
            strata[(kept[indices[0]][1].name, kept[indices[0]][2])].append(cluster)
        else:
            parts[cluster] = "val" if allowed == {"val"} else "train"
    for _stratum, stratum_clusters in sorted(strata.items()):
        order = chance.permutation(len(stratum_clusters))
        held = round(held_out * len(stratum_clusters)) if len(stratum_clusters) > 1 else 0
        for position, which in enumerate(order):
            parts[stratum_clusters[which]] = "val" if position < held else "train"
    photos = []
    for cluster, part in parts.items():
        for i in members[cluster]:
            path, source, material = kept[i]
            if part not in source.parts:
                was_test = known.get(path.resolve()) == "test"
                why = "the earlier split tests on it" if was_test else f"a near-duplicate of it serves the {part} part"
                rejected.append(Rejected(str(path), why))
                continue
            photos.append(Photo(str(path), source.name, material, part, cluster))
    split = Split(tuple(sorted(photos, key=lambda p: p.path)), tuple(rejected), seed)
    _check_classes(split)
    return split


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
        raise DataError(
            f"{len(missing)} photos of the earlier split are not among these (first: {missing[0]}) and might be dealt "
            f"to another part: list their folder too, where it was then."
        )


def _check_classes(split: Split) -> None:
    counts = Counter(photo.material for photo in split.part("train"))
    if len(split.classes) < 2:
        raise DataError(f"There is only one class ({', '.join(split.classes)}); a classifier needs at least two.")
    if poor := [name for name in split.classes if counts[name] < 2]:
        raise DataError(f"Too few photos to train on in {', '.join(poor)}: add photos, or leave the class out.")


def _check(path: Path) -> int | str:
    """The photo's 64-bit perceptual hash, or why it cannot be used."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    try:
        with Image.open(path) as opened:
            if min(opened.size) < SMALLEST_SIDE_PX:
                return f"it is only {opened.width}×{opened.height} px"
            mode, image = opened.mode, _upright(opened).convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError) as fault:
        return f"it cannot be read ({fault})"
    try:
        pixels = read_picture(path)
    except PictureError as fault:
        return f"training cannot read it ({fault})"
    if mode.startswith("I"):  # 16 bits, of which Pillow keeps the lower ones
        image = Image.fromarray(pixels)
    if np.asarray(image.convert("L"), np.float32).std() < BLANK_DEVIATION:
        return "it is blank"
    return int(str(imagehash.phash(image)), 16)


def _upright(opened: Image.Image) -> Image.Image:
    """As EXIF says; as it is where that is broken, in one of the ways that Pillow stumbles over."""
    try:
        return ImageOps.exif_transpose(opened)
    except (AttributeError, SyntaxError, TypeError, ValueError, struct.error):
        return opened


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


def save_split(split: Split, path: Path) -> None:
    """Write atomically, so that a run never sees half a split."""
    write_text(path, json.dumps(asdict(split), indent=0, ensure_ascii=False))


def load_split(path: Path) -> Split:
    """Read what `save_split` wrote. Raises `DataError`."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Split(
            tuple(Photo(**photo) for photo in values["photos"]),
            tuple(Rejected(**one) for one in values["rejected"]),
            values["seed"],
        )
    except OSError as fault:
        raise DataError(f"There is no split at {path}: run `python -m training prepare` first.") from fault
    except (ValueError, KeyError, TypeError) as fault:
        raise DataError(f"{path} is no split that `prepare` wrote ({fault}): remove it and prepare again.") from fault


def require_held_out(folder: Path, split: Split) -> None:
    """Raises `DataError` where the split of the run in `folder` has no photos to measure on."""
    if not split.part("val"):
        raise DataError(f"{folder} holds out no photos to measure on: prepare it anew, with more photos of each class.")


def table(split: Split) -> str:
    """Photos per source, class and part, as text."""
    counts = Counter((photo.source, photo.material, photo.part) for photo in split.photos)
    lines = [f"{'source':<16}{'material':<12}{'train':>7}{'val':>7}{'test':>7}"]
    for source, material in sorted({key[:2] for key in counts}):
        numbers = (counts[(source, material, part)] for part in ("train", "val", "test"))
        lines.append(f"{source:<16}{material:<12}" + "".join(f"{n:>7}" for n in numbers))
    totals = (len(split.part(part)) for part in ("train", "val", "test"))
    lines.append(f"{'all':<28}" + "".join(f"{n:>7}" for n in totals))
    reasons = Counter(one.why.split(" (")[0] for one in split.rejected)
    lines += [f"left out: {n} ({why})" for why, n in reasons.most_common()]
    return "\n".join(lines)


def contact_sheet(photos: Sequence[Photo], per_class: int = 12, tile_px: int = 96, seed: int = 0) -> Image.Image:
    """A picture with a row of random photos for each class, for a look before hours of training."""
    chance = np.random.default_rng(seed)
    classes = sorted({photo.material for photo in photos})
    sheet = Image.new("RGB", (per_class * tile_px, len(classes) * tile_px), "white")
    for row, material in enumerate(classes):
        of_class = [photo for photo in photos if photo.material == material]
        for column, which in enumerate(chance.permutation(len(of_class))[:per_class]):
            tile = Image.fromarray(read_picture(Path(of_class[which].path))).resize((tile_px, tile_px))
            sheet.paste(tile, (column * tile_px, row * tile_px))
    return sheet
