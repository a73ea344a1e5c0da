"""The bundle says on ARM64 what it says here, with and without the processor's dot-product instructions."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from device.bundle import Bundle
from device.camera.simulated import SAMPLES
from device.classifier import prepare
from device.pictures import picture_files, read_picture
from tests.arm64 import PI_4, PI_5, Processor, emulate, what_is_missing

MODEL = Path(__file__).parents[1] / "models" / "default.onnx"
PHOTOS = Path(os.environ["PILAH_DATA"]) / "trashnet" / "val" if "PILAH_DATA" in os.environ else SAMPLES
STEP = 1 / 255
missing = what_is_missing()


@pytest.mark.skipif(missing is not None, reason=str(missing))
@pytest.mark.parametrize("processor", [PI_4, PI_5], ids=lambda processor: str(processor.name))
def test_the_bundle_says_the_same_on_arm64_within_a_quantization_step(processor: Processor, tmp_path: Path) -> None:
    bundle = Bundle.open(MODEL)
    files = picture_files(PHOTOS)
    pictures = [prepare(read_picture(file), bundle.contract.preprocess) for file in files[:: max(1, len(files) // 3)]]
    told = emulate(processor, MODEL, pictures, tmp_path)
    here = np.stack([bundle.run(picture)[0] for picture in pictures])
    print(f"{processor.name}: largest difference {np.abs(told - here).max():.2g}")
    assert told.shape == here.shape
    assert np.abs(told - here).max() <= STEP
    assert (told.argmax(axis=1) == here.argmax(axis=1)).all()
    # Pictures differ more from one another than processors do, so the comparison can fail.
    assert np.abs(here[0] - here[-1]).max() > STEP
