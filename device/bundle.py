"""The bundle: one `.onnx` file that carries its own contract.

A bundle takes raw `uint8` RGB and holds all normalisation inside its graph. Whatever is true of a model (its
classes, its crop, its calibration, where it comes from) is read from the file's metadata, never assumed.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from device.config.sections import Name
from device.errors import BundleError
from device.session import open_session

CONTRACT = 1
"""The version of the contract that this program reads."""
UNTOLD = "0" * 64
"""Stands for a bundle's own digest while it is taken."""

Probability = Annotated[float, Field(ge=0, le=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
CostMatrix = dict[str, dict[str, float]]
"""cost[compartment that is right][compartment that opens]; what it does not name costs 1, the right lid 0."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Preprocess(_Section):
    """How a picture becomes the graph's input: resize the short side, then crop the centre (pixels)."""

    resize_short: int = Field(gt=0, le=4096)
    crop: int = Field(gt=0, le=4096)
    interpolation: Literal["area"]

    @model_validator(mode="after")
    def _crop_fits(self) -> Preprocess:
        if self.crop > self.resize_short:
            raise ValueError(f"crop ({self.crop}) is larger than resize_short ({self.resize_short})")
        return self


class Thresholds(_Section):
    """Below `confidence` a drop is *unsure*, below `energy` (if any) it is *unknown*."""

    confidence: Probability
    energy: float | None = Field(default=None, allow_inf_nan=False)


class Source(_Section):
    """One collection of photos that the model was trained on."""

    name: str
    licence: str
    photos: int = Field(ge=0)


class Metric(_Section):
    """An accuracy with its data, its split and its 95 % Wilson interval."""

    data: str
    split: str
    photos: int = Field(gt=0)
    correct: int = Field(ge=0)
    accuracy: Probability
    interval95: tuple[Probability, Probability]


class Contract(_Section):
    """What a bundle says of itself: the typed form of its `metadata_props`."""

    pilah_contract: Literal[1]
    classes: tuple[Name, ...] = Field(min_length=2)
    version: str = Field(min_length=1)
    preprocess: Preprocess
    temperature: float = Field(gt=0)
    thresholds: Thresholds
    cost_matrix: CostMatrix
    sources: tuple[Source, ...] = Field(min_length=1)
    metrics: tuple[Metric, ...] = Field(min_length=1)
    provenance: dict[str, Any]
    float_sha256: Sha256
    sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _classes_differ(self) -> Contract:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes names a material twice")
        return self


class Bundle:
    """A model file that keeps the contract, loaded and ready to run.

    >>> bundle = Bundle.open(Path("models/default.onnx"))       # doctest: +SKIP
    >>> bundle.contract.classes                                 # doctest: +SKIP
    ('cardboard', 'carton', ...)
    >>> probabilities, energy = bundle.run(image)               # doctest: +SKIP

    Parameters
    ----------
    path:
        where the file lies; kept for messages.
    contract:
        the checked metadata.
    session:
        the ONNX Runtime session, which owns the weights.
    """

    def __init__(self, path: Path, contract: Contract, session: ort.InferenceSession) -> None:
        self.path = path
        self.contract = contract
        self._session = session
        self._outputs = [output.name for output in session.get_outputs()]

    @classmethod
    def open(cls, path: Path, threads: int = 0) -> Bundle:
        """Load a bundle and check every promise of its contract.

        `threads`: cores that a picture may use; 0 means all. Raises `BundleError`.
        """
        if not path.is_file():
            raise BundleError(f"There is no model at {path}: give the path of a bundle made by `make model`.")
        content, session, metadata = _open_session(path, threads)
        contract = _read_contract(path, metadata)
        if contract.sha256 and digest(content, contract.sha256) != contract.sha256:
            raise BundleError(f"{path} is damaged: it is not what was exported (its SHA-256 differs); copy it again.")
        _check_signature(path, session, contract)
        bundle = cls(path, contract, session)
        bundle.run(np.zeros((contract.preprocess.crop, contract.preprocess.crop, 3), np.uint8))
        return bundle

    def run(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], float | None]:
        """Name what is in one picture.

        `image`: (crop, crop, 3) uint8 RGB. Returns the calibrated probabilities, (K,) float32 in the order of
        `contract.classes`, and the energy (logsumexp of the logits; Liu et al. 2020, "Energy-based
        out-of-distribution detection"), or None where the bundle does not give one. Raises `BundleError` where what
        comes out are no numbers.
        """
        values = dict(zip(self._outputs, self._session.run(self._outputs, {"image": image[np.newaxis]}), strict=True))
        if not all(np.isfinite(value).all() for value in values.values()):
            raise BundleError(f"{self.path} gives no numbers; the file may be damaged: copy it again.")
        energy = float(values["energy"].ravel()[0]) if "energy" in values else None
        return values["probabilities"][0], energy


def digest(content: bytes, told: str) -> str:
    """SHA-256 of a bundle's content, in which the digest that it tells of itself, `told`, counts as zeros.

    A card that loses a block of weights leaves a file that loads, and names things wrongly.
    """
    return hashlib.sha256(content.replace(told.encode(), UNTOLD.encode())).hexdigest()


def _open_session(path: Path, threads: int) -> tuple[bytes, ort.InferenceSession, dict[str, str]]:
    """The file's content, a session of it, and its metadata: texts that may be damaged as well."""
    try:
        content = path.read_bytes()
        session = open_session(content, threads)
        return content, session, session.get_modelmeta().custom_metadata_map
    except Exception as fault:
        raise BundleError(
            f"{path} cannot be loaded as an ONNX model; it may be cut short or be another kind of file: "
            f"copy it again or make it with `make model`."
        ) from fault


def _read_contract(path: Path, metadata: dict[str, str]) -> Contract:
    if "pilah_contract" not in metadata:
        raise BundleError(
            f"{path} is an ONNX model but no Pilah bundle (its metadata has no `pilah_contract`): "
            f"make one with `make model`."
        )
    try:
        values = {key: json.loads(metadata[key]) for key in Contract.model_fields if key in metadata}
    except ValueError as fault:
        raise BundleError(f"{path}: the metadata is not JSON ({fault}): export the model again.") from fault
    if values["pilah_contract"] != CONTRACT:
        raise BundleError(
            f"{path} keeps contract {values['pilah_contract']!r}, this program reads contract {CONTRACT}: "
            f"export the model again or update Pilah."
        )
    try:
        return Contract.model_validate(values)
    except ValidationError as fault:
        wrongs = "; ".join(
            f"{'.'.join(map(str, error['loc'])) or 'metadata'}: {error['msg'].removeprefix('Value error, ')}"
            for error in fault.errors()
        )
        raise BundleError(f"{path} does not keep the bundle's contract ({wrongs}): export the model again.") from fault


def _check_signature(path: Path, session: ort.InferenceSession, contract: Contract) -> None:
    crop = contract.preprocess.crop
    inputs = [(one.name, one.type, list(one.shape)) for one in session.get_inputs()]
    if inputs != [("image", "tensor(uint8)", [1, crop, crop, 3])]:
        raise BundleError(f"{path}: the input must be `image`, uint8, 1×{crop}×{crop}×3, but it is {inputs}.")
    outputs = {one.name: (one.type, list(one.shape)) for one in session.get_outputs()}
    wanted = ("tensor(float)", [1, len(contract.classes)])
    if outputs.get("probabilities") != wanted:
        raise BundleError(
            f"{path}: the output must be `probabilities`, float32, 1×{len(contract.classes)} for its "
            f"{len(contract.classes)} classes, but the outputs are {outputs}."
        )
