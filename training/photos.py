"""What `prepare` and `augment` do: look at the photos before anything is trained on them."""

from __future__ import annotations

import json
from pathlib import Path

import click
from click.core import ParameterSource
from tqdm import tqdm

from device.config import Config
from device.counting import counted
from training.files import write_atomically, write_picture, write_text
from training.lids import FOUR_LIDS, NO_THRESHOLDS, policy
from training.prepare import contact_sheet, newcomers, prepare
from training.recipes import Views
from training.sources import DataDescription, read_description
from training.split import Split, gone, load_split, require_photos, save_split, table


def prepare_run(
    data: Path, description: Path, folder: Path, seed: int, like: Path | None, rendered: Path | None,
    per_class: int | None, held_out: float, config: Config,
) -> None:  # fmt: skip
    """Make the split of the run in `folder`, or reuse the one that is there, and tell of it. Raises `PilahError`."""
    path, described = folder / "split.json", read_description(description, data)
    if path.exists():
        split = load_split(path)
        given = [
            f"--{name.replace('_', '-')}"
            for name in ("seed", "like", "held_out")
            if click.get_current_context().get_parameter_source(name) is not ParameterSource.DEFAULT
        ]
        vain = f", so {', '.join(given)} changes nothing" if given else ""
        click.echo(f"{path} exists and is reused{vain}; remove it to split anew.")
        _tell_what_has_changed(path, split, described, is_thinned=per_class is not None)
    else:
        if rendered is not None:
            described = described.with_rendered(rendered)
        before = None if like is None else load_split(like / "split.json" if like.is_dir() else like)
        split = prepare(described, seed, held_out, lambda x: tqdm(x, desc="checking"), before)
        split = split if per_class is None else split.thinned(per_class)
        write_picture(folder / "contact-sheet.jpg", contact_sheet(split.photos))
        write_text(folder / "licences.json", json.dumps({s.name: s.licence for s in described.source}))
        save_split(split, path)
    click.echo(table(split))
    if unmeasured := sorted(set(split.classes) - {photo.material for photo in split.photos if photo.part != "train"}):
        click.echo(
            f"No photo of {', '.join(unmeasured)} is held out, so how well it is named stays unknown: add photos."
        )
    if config is not FOUR_LIDS:
        policy(split.classes, NO_THRESHOLDS, config=config)  # told before an hour of training, not after
    elif homeless := config.homeless(split.classes):
        click.echo(
            f"The default bin sends {', '.join(homeless)} nowhere: evaluate and report need the configuration of one "
            f"that does, --config pilah.toml (`make model LIDS=pilah.toml`)."
        )


def _tell_what_has_changed(path: Path, split: Split, described: DataDescription, is_thinned: bool) -> None:
    """Say which photos of a split are gone, and which of the folders' it does not know."""
    new, are_all = newcomers(described, split)
    if missed := gone(split.photos):
        told = counted(len(missed), "of its photos is", "of its photos are")
        otherwise = "" if are_all else f", or prepare another --run with --like {path}"
        click.echo(f"{told} gone (first: {missed[0]}): bring them back{otherwise}.")
    if are_all:
        click.echo(
            f"No photo of these folders is in it (first: {new[0]}), so none is learnt from: name another --run for "
            f"them."
        )
    elif new and not is_thinned:
        told = counted(len(new), "photo of these folders is", "photos of these folders are")
        click.echo(
            f"{told} not in it (first: {new[0]}), so not learnt from: to take them in, prepare another --run with "
            f"--like {path}, and name that --run from then on."
        )


def show_views(folder: Path, size: int, strength: float, views: Views) -> None:
    """Save a grid of augmented views of the training photos of the run in `folder`. Raises `PilahError`."""
    import torch
    from torchvision.utils import make_grid, save_image

    from training.augment import VIEWS, reader_of

    photos = load_split(folder / "split.json").part("train")
    require_photos(photos)
    view, chosen = VIEWS[views](size, strength), photos[:: max(1, len(photos) // 8)][:8]
    read = reader_of(views)
    pictures = [torch.from_numpy(read(photo.path)).permute(2, 0, 1) for photo in chosen]
    shown = torch.stack([view(picture)[-3:] for picture in pictures for _ in range(8)])
    grid = make_grid(shown.float() / 255, nrow=8)
    write_atomically(folder / "augmented.png", lambda partial: save_image(grid, partial, format="png"))
    click.echo(f"{folder / 'augmented.png'}: eight photos, eight views of each")
