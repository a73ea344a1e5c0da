"""From a finished run to the bundle: export, rewrite, quantize, verify; only then the old bundle is replaced."""

from __future__ import annotations

import json
import logging
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from device.bundle import CONTRACT, UNTOLD, Bundle, digest
from device.classifier import Classifier
from export.calibrate import measure_ranges
from export.equalise import Range, equalise, narrow
from export.errors import ExportError
from export.floating import compare, export_float
from export.graph import int8_model
from export.limits import CALIBRATION_PHOTOS, OPSET, Limits, check_opset
from export.network import Network, from_checkpoint, run
from export.quantize import BATCH, choose_quantization
from training.augment import EVALUATION_PX, evaluation_view, read_photo
from training.checkpoints import load_run
from training.evaluate import read_evaluation, share
from training.files import require_place, write_atomically
from training.models import DEVIATION, MEAN, Student
from training.split import Photo, Split, require_photos

log = logging.getLogger(__name__)

MEASURED_EVERY = 4
"""One in so many of them calibrates nothing: ways to quantize are compared on it, and the held-out ones stay untouched.
"""


@dataclass(frozen=True)
class Verification:
    """Float against INT8 on the same photos."""

    photos: int
    float_accuracy: float
    int8_accuracy: float
    agreement: float


def export_bundle(
    run_folder: Path,
    out: Path,
    version: str,
    limits: Limits,
    calibration_photos: int = CALIBRATION_PHOTOS,
    opset: int = OPSET,
) -> dict[str, Any]:
    """Make `out` from the run in `run_folder`; returns its metadata. Raises `PilahError`, and keeps the old file.

    The previous bundle is replaced only after the new one was verified on the run's held-out photos.
    """
    require_place(out)
    check_opset(opset)
    student, checkpoint, split = load_run(run_folder)
    floating = run_folder / "float.onnx"
    require_place(floating)
    evaluation = read_evaluation(run_folder)
    classes = tuple(checkpoint["classes"])
    calibrating = _spread(split.part("train"), calibration_photos)
    held_out, test = split.part("val"), split.part("test")
    require_photos([*calibrating, *held_out, *test])
    photos = _views(calibrating)
    is_measured = torch.arange(len(photos)) % MEASURED_EVERY == 0
    calibration, measured = photos[~is_measured], photos[is_measured]
    temperature = float(evaluation["temperature"])

    network, ranges = rewritten(student, calibration)
    sha256 = export_float(student, temperature, floating, _sample(calibration))
    chosen = choose_quantization(network, ranges, calibration, measured)
    model = int8_model(chosen.network, temperature, EVALUATION_PX, chosen.corrections, opset=opset)
    metadata = _metadata(evaluation, split, checkpoint, classes, version, sha256)

    def write_verified(candidate: Path) -> None:
        _write(model, metadata, candidate)
        verification, int8 = _verify(student, candidate, held_out, classes, temperature)
        judge(verification, limits)
        metadata["metrics"] = _metrics(int8, held_out, classes, "val")
        if test:
            metadata["metrics"] += _metrics(_observe(candidate, test), test, classes, "test")
        metadata["provenance"]["int8"] = {
            "calibration": chosen.name, "calibration_photos": len(calibration),
            "measured_photos": len(measured),
            "agreement_with_float": round(verification.agreement, 4),
            "accuracy_lost": round(verification.float_accuracy - verification.int8_accuracy, 4),
        }  # fmt: skip
        _write(model, metadata, candidate)
        Bundle.open(candidate)

    write_atomically(out, write_verified)
    return metadata


def _spread(photos: list[Photo], count: int) -> list[Photo]:
    """`count` photos spread evenly over the classes, in a fixed order."""
    by_class: dict[str, list[Photo]] = {}
    for photo in photos:
        by_class.setdefault(photo.material, []).append(photo)
    chance = np.random.default_rng(0)
    share_of_class = max(1, count // max(1, len(by_class)))
    return [members[i] for members in by_class.values() for i in chance.permutation(len(members))[:share_of_class]]


def _views(photos: list[Photo]) -> Tensor:
    """(N, 3, S, S) uint8, as the device shows them to the model."""
    return torch.stack([evaluation_view(read_photo(photo.path)) for photo in photos])


def _sample(views: Tensor) -> Tensor:
    """Some sixteen of them, on which steps are compared with PyTorch."""
    return views[:: max(1, len(views) // 16)]


def rewritten(student: Student, calibration: Tensor) -> tuple[Network, dict[str, Range]]:
    """The network without norms and what its channels span; each step is compared with PyTorch on photos."""
    network = from_checkpoint(student.network.state_dict(), MEAN[0] * 255, DEVIATION)
    sample = _sample(calibration)
    with torch.no_grad():
        wanted = student(sample)[0]
        compare("rewritten network", "a logit", wanted, run(network, sample))
        ranges = narrow(network, measure_ranges(network, torch.split(calibration, BATCH)))
        compare("equalised network", "a logit", wanted, run(equalise(network, ranges), sample))
    return network, ranges


def _metadata(
    evaluation: dict[str, Any],
    split: Split,
    checkpoint: dict[str, Any],
    classes: tuple[str, ...],
    version: str,
    sha256: str,
) -> dict[str, Any]:
    """What the bundle says of itself (docs/bundle.md); the metrics are those of the float model still."""
    photos = Counter(photo.source for photo in split.part("train"))
    licences = evaluation["licences"]
    own = [{"name": name, "licence": licences[name], "photos": count} for name, count in photos.items()]
    provenance = {
        "recipe": json.loads(checkpoint["recipe"]), "epochs": checkpoint["epoch"], "torch": str(torch.__version__),
        "exported_on": date.today().isoformat(), "split_seed": split.seed,
        "expected_calibration_error": round(evaluation["expected_calibration_error"]["cross_fitted"], 4),
        **json.loads(checkpoint["provenance"]),
    }  # fmt: skip
    return {
        "pilah_contract": CONTRACT, "classes": list(classes), "version": version,
        "preprocess": {"resize_short": EVALUATION_PX, "crop": EVALUATION_PX, "interpolation": "area"},
        "temperature": evaluation["temperature"], "thresholds": evaluation["thresholds"],
        "cost_matrix": evaluation["cost_matrix"],
        "sources": all_sources(own, provenance),
        "metrics": evaluation["metrics"], "provenance": provenance, "float_sha256": sha256,
    }  # fmt: skip


def all_sources(own: Iterable[dict[str, Any]], provenance: Any) -> list[dict[str, Any]]:
    """Its own sources, and those of the bundles that a provenance names: where it began, what taught it, its parts.

    Sources of one name and licence are one, with as many photos as where it had most.
    """
    photos: dict[tuple[str, str], int] = {}
    for source in [*own, *_told_by_bundles(provenance)]:
        which = source["name"], source["licence"]
        photos[which] = max(source["photos"], photos.get(which, 0))
    return [{"name": name, "licence": licence, "photos": photos[name, licence]} for name, licence in sorted(photos)]


def _told_by_bundles(provenance: Any) -> Iterator[dict[str, Any]]:
    if isinstance(provenance, dict):
        if "bundle" in provenance:
            yield from provenance.get("sources", ())
        provenance = list(provenance.values())
    if isinstance(provenance, list):
        for part in provenance:
            yield from _told_by_bundles(part)


def _write(model: onnx.ModelProto, metadata: dict[str, Any], path: Path) -> None:
    told = digest(_described(model, metadata | {"sha256": UNTOLD}), UNTOLD)
    path.write_bytes(_described(model, metadata | {"sha256": told}))


def _described(model: onnx.ModelProto, metadata: dict[str, Any]) -> bytes:
    del model.metadata_props[:]
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=json.dumps(value, ensure_ascii=False))
    return bytes(model.SerializeToString())


def _observe(bundle: Path, photos: list[Photo]) -> NDArray[np.float32]:
    """(N, K) probabilities by the device's own code."""
    classifier = Classifier(Bundle.open(bundle))
    return np.stack([classifier.observe(read_photo(photo.path)).probabilities for photo in photos])


def _verify(
    student: Student, candidate: Path, photos: list[Photo], classes: tuple[str, ...], temperature: float
) -> tuple[Verification, NDArray[np.float32]]:
    """Float against INT8, printed for each class and all; and what INT8 says, (N, K)."""
    targets = np.array([classes.index(photo.material) for photo in photos])
    with torch.no_grad():
        views = torch.split(_views(photos), 32)
        floating = torch.cat([student(batch)[0] for batch in views])
    int8 = _observe(candidate, photos)
    wanted = torch.softmax(floating / temperature, dim=1).numpy()
    answers, answers_int8 = wanted.argmax(1), int8.argmax(1)
    right, right_int8, alike = answers == targets, answers_int8 == targets, answers == answers_int8
    for name, of in [*((name, targets == k) for k, name in enumerate(classes)), ("all", targets >= 0)]:
        told = right[of].sum(), right_int8[of].sum(), alike[of].sum(), of.sum()
        log.info("%-12s right in float %4d, in INT8 %4d, alike %4d of %d", name, *told)
    log.info("largest shift of a probability: %.3f", np.abs(wanted - int8).max())
    return Verification(
        photos=len(photos),
        float_accuracy=float(right.mean()),
        int8_accuracy=float(right_int8.mean()),
        agreement=float(alike.mean()),
    ), int8


def judge(verification: Verification, limits: Limits) -> None:
    """Raises `ExportError` where INT8 costs more than it may."""
    lost = verification.float_accuracy - verification.int8_accuracy
    if lost > limits.accuracy_lost:
        raise ExportError(
            f"INT8 loses {100 * lost:.2f} points of accuracy on {verification.photos} held-out photos, more than the "
            f"limit of {100 * limits.accuracy_lost:.2f}; no bundle was written: train longer, hold out more photos, or "
            f"allow it with --accuracy-lost {math.ceil(100 * lost) / 100:g}."
        )
    if verification.agreement < limits.agreement:
        raise ExportError(
            f"INT8 agrees with float on {100 * verification.agreement:.1f} % of {verification.photos} held-out photos, "
            f"less than the limit of {100 * limits.agreement:.1f} %; no bundle was written: train longer, hold out "
            f"more photos, or allow it with --agreement {math.floor(100 * verification.agreement) / 100:g}."
        )


def _metrics(
    probabilities: NDArray[np.float32], photos: list[Photo], classes: tuple[str, ...], part: str
) -> list[dict[str, Any]]:
    """How often (N, K) `probabilities` name N photos right: all of them, if of several sources, and each source's."""
    targets = np.array([classes.index(photo.material) for photo in photos])
    right = probabilities.argmax(axis=1) == targets
    sources = np.array([photo.source for photo in photos])
    names = sorted(set(sources))
    rows = [share(name, part, right[sources == name]) for name in names]
    return ([share("all sources", part, right)] if len(names) > 1 else []) + rows
