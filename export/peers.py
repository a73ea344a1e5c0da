"""The same network in other runtimes, for `pilah bench`: what a bundle must beat to be worth its rewrite.

Here they are made; export/runtimes.py loads and runs them, each in a process of its own.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor, nn

from device.bench import Contestant, LeftOut
from device.bundle import Bundle
from device.camera.simulated import SAMPLES
from device.errors import PilahError
from device.pictures import picture_files
from export.errors import ExportError
from export.floating import export_float
from export.runtimes import SIZE_PX
from training.augment import evaluation_view, read_photo
from training.checkpoints import load_student, require_classes
from training.models import Student
from training.revive import student_from_bundle

log = logging.getLogger(__name__)


def make_peers(bundle: Path, folder: Path, run_folder: Path | None = None) -> Iterator[Contestant | LeftOut]:
    """Write the peers into `folder`, one after another; what cannot be made is told with the reason.

    The float network is the checkpoint of `run_folder`, or, without one, the bundle's own, taken apart again
    (training/revive.py), which answers as the bundle does. Raises `CheckpointError` where either cannot be had, or
    where the checkpoint is of other classes.
    """
    contract = Bundle.open(bundle).contract
    views = torch.stack([evaluation_view(read_photo(str(path)), SIZE_PX) for path in picture_files(SAMPLES)])
    if run_folder is None:
        student = student_from_bundle(bundle, contract.classes, views)
    else:
        student, told = load_student(run_folder / "model.pt")
        require_classes(run_folder / "model.pt", tuple(told["classes"]), contract.classes, str(bundle))
    checkpoint, floating = folder / "model.pt", folder / "float.onnx"
    described = {"state_dict": student.state_dict(), "classes": len(contract.classes), "head": student.head_kind}
    torch.save(described | {"temperature": contract.temperature}, checkpoint)
    export_float(student, contract.temperature, floating, views[:8])
    yield Contestant("PyTorch eager, float", "export.runtimes:pytorch_eager", checkpoint)
    yield Contestant("ONNX Runtime, float", "export.runtimes:onnx_runtime", floating)
    made: list[tuple[str, str, Callable[[], Path]]] = [
        ("ONNX Runtime, plain QDQ S8S8", "onnx_runtime", lambda: plain_int8(floating, views, QuantType.QInt8)),
        ("ONNX Runtime, plain QDQ U8S8", "onnx_runtime", lambda: plain_int8(floating, views, QuantType.QUInt8)),
        ("OpenVINO, float", "openvino", lambda: floating),
        ("OpenVINO, plain QDQ U8S8", "openvino", lambda: folder / f"plain-{QuantType.QUInt8}.onnx"),
        ("ncnn, float", "ncnn", lambda: ncnn_files(student, contract.temperature, folder / "ncnn")),
    ]
    for name, factory, make in made:
        try:
            yield Contestant(name, f"export.runtimes:{factory}", make())
        except (ImportError, PilahError, RuntimeError, OSError, ValueError) as fault:
            yield LeftOut(name, str(fault).splitlines()[0])


class _Views(CalibrationDataReader):  # type: ignore[misc]
    """Hands (N, 3, S, S) uint8 views to ONNX Runtime's calibration, one by one."""

    def __init__(self, views: Tensor) -> None:
        self._views = iter(views)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        view = next(self._views, None)
        return None if view is None else {"image": view.permute(1, 2, 0).numpy()[None]}


def plain_int8(floating: Path, views: Tensor, activations: QuantType) -> Path:
    """ONNX Runtime's own recipe: `quant_pre_process`, then `quantize_static`, QDQ, weights S8 per channel, min-max."""
    prepared, path = floating.with_name("prepared.onnx"), floating.with_name(f"plain-{activations}.onnx")
    if not prepared.exists():
        quant_pre_process(str(floating), str(prepared))
    quantize_static(
        str(prepared), str(path), _Views(views), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=activations, weight_type=QuantType.QInt8, calibrate_method=CalibrationMethod.MinMax,
    )  # fmt: skip
    return path


class _Planar(nn.Module):
    """The float network on raw pixels, (1, 3, S, S) float32, as pnnx can convert it."""

    def __init__(self, student: Student, temperature: float) -> None:
        super().__init__()
        self.network = student.network
        self.mean, self.deviation, self.temperature = student.mean, student.deviation, temperature

    def forward(self, image: Tensor) -> Tensor:
        logits = self.network((image - self.mean) / self.deviation)
        return torch.softmax(logits / self.temperature, dim=1)


def ncnn_files(student: Student, temperature: float, folder: Path) -> Path:
    """Convert with pnnx; returns the folder with `model.ncnn.param` and `model.ncnn.bin`."""
    import pnnx

    folder.mkdir(parents=True, exist_ok=True)
    planar = _Planar(student, temperature).eval().to(memory_format=torch.contiguous_format)
    pnnx.export(planar, str(folder / "model.pt"), torch.zeros(1, 3, SIZE_PX, SIZE_PX))
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)  # pnnx runs what it has written, and Python keeps it compiled
        elif path.name not in ("model.ncnn.param", "model.ncnn.bin"):
            path.unlink()
    if not (folder / "model.ncnn.bin").is_file():
        raise ExportError("pnnx did not convert the network.")
    return folder
