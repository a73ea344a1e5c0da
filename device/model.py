"""Which model a bin uses."""

from __future__ import annotations

from pathlib import Path

from device.bundle import Bundle
from device.classifier import Classifier
from device.config import Config

_INSTALLED = Path(__file__).parent / "models" / "default.onnx"
_IN_CHECKOUT = Path(__file__).parent.parent / "models" / "default.onnx"


def model_path(config: Config, asked: Path | None = None) -> Path:
    """The bundle that the command line asks for, else the configuration, else the one that comes with Pilah."""
    return asked or config.model.path or (_INSTALLED if _INSTALLED.exists() else _IN_CHECKOUT)


def open_classifier(config: Config, asked: Path | None = None) -> Classifier:
    """The classifier over that bundle. Raises `BundleError` where the file is missing or does not keep the contract."""
    return Classifier(Bundle.open(model_path(config, asked), config.model.threads))
