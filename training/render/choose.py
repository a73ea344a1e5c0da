"""`python -m training.render.choose`: of many rendered cut-outs, ship those that the model names on a tray.

What the simulated camera shows must be told by the model through the real path, from several angles in several lights.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from device.bundle import Bundle
from device.camera.scene import Light, Scene, read_cutout
from device.camera.simulated import SAMPLES
from device.classifier import Classifier
from device.config import Config
from device.decision import Policy, decide
from device.evidence import policy_of
from training.options import Told
from training.render.tray import crop_of

POSES = 8
"""In which a cut-out is looked at."""


def pose(cutout: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """A cut-out, (h, w, 4) uint8 RGBA, on a simulated tray, cropped to it as the device would: (S, S, 3) uint8 RGB."""
    chance = random.Random(seed)
    scene = Scene(640, 480, seed)
    thing = scene.thing(cutout, 0.0, 0.1, chance)
    return crop_of(scene, thing, Light(chance.uniform(0.85, 1.1)), margin=1.1)


def right_lids(
    cutout: NDArray[np.uint8], compartment: str, classifier: Classifier, policy: Policy
) -> tuple[int, float]:
    """In how many poses the right lid opens, and the mean probability of its compartment."""
    right, beliefs = 0, []
    for seed in range(POSES):
        decision = decide([classifier.observe(pose(cutout, seed))], policy)
        right += decision.compartment == compartment
        lids = decision.probabilities.items()
        beliefs.append(sum(p for material, p in lids if policy.compartment_of[material] == compartment))
    return right, float(np.mean(beliefs))


@click.command(cls=Told, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("candidates", type=click.Path(path_type=Path, exists=True))
@click.option("--model", type=click.Path(path_type=Path), default=Path("models/default.onnx"), show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=SAMPLES, show_default=True)
@click.option("--each", default=2, show_default=True, help="How many of a material to ship.")
def main(candidates: Path, model: Path, out: Path, each: int) -> None:
    """Put the best cut-outs of CANDIDATES/<material>/*.png into --out, in place of what lies there of that material."""
    if out.resolve() == candidates.resolve():
        raise click.UsageError("--out is the folder of the candidates, which would be lost: name another one.")
    config, classifier = Config(), Classifier(Bundle.open(model))
    policy = policy_of(config, classifier.bundle.contract)
    for material, compartment in config.materials.items():
        files = sorted((candidates / material).glob("*.png"))
        if not files:
            click.echo(f"{material:<10} has no candidates and stays as it is")
            continue
        scores = {path: right_lids(read_cutout(path), compartment, classifier, policy) for path in files}
        best = sorted(scores, key=lambda path: scores[path], reverse=True)[:each]
        known = sum(right >= POSES * 3 // 4 for right, _ in scores.values())
        click.echo(
            f"{material:<10} "
            + ", ".join(f"{path.stem}: {scores[path][0]}/{POSES} ({scores[path][1]:.2f})" for path in best)
            + f" of {len(files)}; {known} open the right lid in three poses of four"
        )
        shutil.rmtree(out / material, ignore_errors=True)
        (out / material).mkdir(parents=True)
        for path in best:
            shutil.copyfile(path, out / material / path.name)


if __name__ == "__main__":
    main()
