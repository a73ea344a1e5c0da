"""What the whole bin makes of real things on made-up trays: `make drops`.

Things are cut out of photos that a run holds out, and fall or slide before a camera that does not exist, on trays of
several kinds. The bin itself sorts them, on a clock that is moved by hand. Of the same thing the model alone sees the
square around its true outline in the same frame, and its photo: what the loop loses beside these is the loop's own.
"""

from __future__ import annotations

import json
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path

import click
import cv2
import numpy as np

from device.classifier import Classifier, Observation
from device.clock import Clock, ManualClock
from device.config import Config
from device.decision import Policy, decide
from device.events import DecisionEvent
from device.model import open_classifier
from device.presence import Sighting
from device.sight import crop_object
from tests.trays import GROUNDS, HEIGHT, WIDTH, Chance, Fall, MadeUpTray, Picture, Thing, whole_thing
from tests.trials.bench import PacedWatch, simulated_bin, trial_config
from training.augment import read_photo
from training.evaluate import in_percent, share
from training.lids import NO_THRESHOLDS, gravely_wrong, opened_well, policy, told_grave
from training.options import Told, run_option
from training.split import Photo, load_split, require_held_out

DROPS_A_TRAY = 5
LOOK_S = 0.12
"""What a look takes on a Pi 4, as reckoned in docs/performance.md."""
STARTS_S, PAUSE_S, WAITS_S = 3.0, 0.8, 8.0
"""For so long a tray is empty at first and between things, and a thing lies until it counts as never judged."""


class TimedClassifier(Classifier):
    """Each look takes a while of the clock's time."""

    def __init__(self, classifier: Classifier, clock: Clock) -> None:
        super().__init__(classifier.bundle)
        self._clock = clock

    def observe(self, picture: Picture) -> Observation:
        self._clock.sleep(LOOK_S)
        return super().observe(picture)


@dataclass(frozen=True)
class Answer:
    material: str
    lid: str


NEVER = Answer("", "")
"""Where the bin never judged."""


@dataclass(frozen=True)
class Drop:
    """What became of one thing.

    `loop`: the bin's answer after so many `looks`, None where it never judged; `outlined`, `plain`: the model's by the
    true outline and in the photo; `opened_for_nothing`: lids that opened for it again, or for the empty tray around it.
    """

    photo: str
    ground: str
    right: Answer
    loop: Answer | None
    outlined: Answer
    plain: Answer
    looks: int
    opened_for_nothing: int


def things(photos: Iterable[Photo]) -> Iterator[Thing]:
    """Those that can be cut out, of each class in turn; within its class each comes again once all others came."""
    waiting: dict[str, deque[Photo]] = {}
    for photo in photos:
        waiting.setdefault(photo.material, deque()).append(photo)
    while any(waiting.values()):
        for photos_left in waiting.values():
            thing = None
            while photos_left and thing is None:
                thing = whole_thing(photos_left.popleft())
            if thing is not None:
                photos_left.append(thing.photo)
                yield thing


def dropped(on: str, some: Iterable[Thing], classifier: Classifier, chance: Chance) -> Iterator[Drop]:
    """What becomes of some things, one after the other, on a tray of the kind `on`."""
    clock = ManualClock()
    tray = MadeUpTray(GROUNDS[on](chance), clock, *chance.spawn(1))
    with tempfile.TemporaryDirectory() as folder:
        config = trial_config(Path(folder))
        feed = PacedWatch(tray, config.camera, clock)
        with simulated_bin(config, feed, clock, TimedClassifier(classifier, clock)) as bin_:
            heard, rule = bin_.appliance.events.subscribe(), bin_.appliance.jury.policy

            def decisions() -> list[DecisionEvent]:
                bin_.turn()
                return [event for event in heard.take() if isinstance(event, DecisionEvent)]

            def opened_until_at_rest(pause_s: float) -> int:
                opened, until_s = 0, clock.now() + pause_s
                while clock.now() < until_s:
                    opened += len(decisions())
                    if tray.lies is not None or not bin_.appliance.is_done(0):
                        until_s = clock.now() + pause_s
                return opened

            def asked(picture: Picture) -> Answer:
                decision = decide([classifier.observe(picture)], rule)
                return Answer(decision.material, decision.compartment)

            for_nothing = opened_until_at_rest(STARTS_S)
            for thing in some:
                clock.sleep(chance.uniform(0, 1 / config.camera.rate_hz))
                tray.lies, since_s = Fall(thing, clock.now(), *chance.spawn(1)), clock.now()
                judged: list[DecisionEvent] = []
                while not judged and clock.now() < since_s + WAITS_S:
                    judged = decisions()
                frame, outline = bin_.appliance.newest_frame(), tray.outline
                assert frame is not None
                true = Sighting("still", frame.time_s, since_s, (0, 0, WIDTH, HEIGHT), outline)
                tray.lid_opened()  # though none may have
                for_nothing += opened_until_at_rest(PAUSE_S)
                yield Drop(
                    photo=thing.photo.path,
                    ground=on,
                    right=Answer(thing.photo.material, rule.compartment_of[thing.photo.material]),
                    loop=Answer(judged[0].material, judged[0].compartment) if judged else None,
                    outlined=asked(crop_object([frame], true)),
                    plain=asked(read_photo(thing.photo.path)),
                    looks=judged[0].frames if judged else 0,
                    opened_for_nothing=for_nothing,
                )
                for_nothing = 0


def measured(number: int, seed: int, photos: list[Photo], classifier: Classifier) -> Iterator[Drop]:
    """So many drops of `photos`' things on trays of each kind in turn.

    The same seed gives the same things, trays and falls, whatever the bin makes of them.
    """
    chance = np.random.default_rng(seed)
    some = list(islice(things(photos[at] for at in chance.permutation(len(photos))), number))
    some = [some[at] for at in chance.permutation(len(some))]
    for tray, kind in zip(range(0, number, DROPS_A_TRAY), cycle(GROUNDS)):
        yield from dropped(kind, some[tray : tray + DROPS_A_TRAY], classifier, *chance.spawn(1))


def told(drops: list[Drop], rule: Policy) -> str:
    """All figures, as a table; `rule`: of the bin."""

    def answers(who: str) -> list[tuple[Answer, Answer]]:
        return [(drop.right, getattr(drop, who) or NEVER) for drop in drops]

    def lids(who: str) -> list[tuple[str, str]]:
        return [(right.lid, answer.lid) for right, answer in answers(who)]

    lines = [f"{'right':<32}{'lids':<24}materials"]
    for name, who in (
        ("the bin", "loop"),
        ("the model, true outline", "outlined"),
        ("the model, plain photo", "plain"),
    ):
        materials = np.array([answer.material == right.material for right, answer in answers(who)])
        parts = [in_percent(share("", "", right)) for right in (opened_well(lids(who)), materials)]
        lines.append(f"{name:<32}{parts[0]:<24}{parts[1]}")
    grave = gravely_wrong(lids("loop"), rule)
    return "\n".join(
        (
            f"{len(drops)} drops of {len({drop.photo for drop in drops})} things, of which the bin never judged "
            f"{sum(drop.loop is None for drop in drops)}",
            *lines,
            f"{told_grave(rule)}: {grave.sum()} of {len(grave)}",
            f"lids that opened twice for a thing, or for nothing: {sum(drop.opened_for_nothing for drop in drops)}",
            f"looks at a thing: {np.median([drop.looks for drop in drops]):g} (median)",
        )
    )


@click.command(cls=Told)
@run_option
@click.option("--model", type=click.Path(path_type=Path), help="The bundle; the bin's own without it.")
@click.option("--drops", "number", type=click.IntRange(1), default=200, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of things, trays and falls.")
@click.option("--json", "as_json", is_flag=True, help="A line for each drop instead of the table.")
def drops(folder: Path, model: Path | None, number: int, seed: int, as_json: bool) -> None:
    """Drop things of a run's held-out photos (val) into the bin, and tell how many open the right lid."""
    cv2.setNumThreads(1)
    split = load_split(folder / "split.json")
    require_held_out(folder, split)
    rule = policy(split.classes, NO_THRESHOLDS)  # told before the photos are looked at
    classifier = open_classifier(Config(), model)
    found = []
    for drop in measured(number, seed, split.part("val"), classifier):
        found.append(drop)
        if as_json:
            click.echo(json.dumps(asdict(drop)))
    if not as_json:
        click.echo(told(found, rule))


if __name__ == "__main__":
    drops()
