"""A split: which photos are learnt from and which are measured on, as `prepare` wrote it and every step reads it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from device.counting import counted
from training.errors import DataError
from training.files import write_text
from training.sources import Part


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


def gone(photos: Iterable[Photo]) -> list[str]:
    """Those that are not where they were when the split was made."""
    return [photo.path for photo in photos if not Path(photo.path).is_file()]


def require_photos(photos: Iterable[Photo]) -> None:
    """Raises `DataError` where some are gone: how many, before one of them is missed after minutes of work."""
    if missed := gone(photos):
        told = counted(len(missed), "photo of the split is", "photos of the split are")
        raise DataError(f"{told} gone (first: {missed[0]}): bring them back, or prepare another --run without them.")


def table(split: Split) -> str:
    """Photos per source, class and part, as text."""
    counts = Counter((photo.source, photo.material, photo.part) for photo in split.photos)
    wide = max(15, *(len(source) for source, *_ in counts)) + 1
    broad = max(12, *(len(material) for _, material, _ in counts))
    lines = [f"{'source':<{wide}}{'material':<{broad}}{'train':>7}{'val':>7}{'test':>7}"]
    for source, material in sorted({key[:2] for key in counts}):
        numbers = (counts[(source, material, part)] for part in ("train", "val", "test"))
        lines.append(f"{source:<{wide}}{material:<{broad}}" + "".join(f"{n:>7}" for n in numbers))
    totals = (len(split.part(part)) for part in ("train", "val", "test"))
    lines.append(f"{'all':<{wide + broad}}" + "".join(f"{n:>7}" for n in totals))
    reasons = Counter(one.why.split(" (")[0] for one in split.rejected)
    lines += [f"left out: {n} ({why})" for why, n in reasons.most_common()]
    return "\n".join(lines)
