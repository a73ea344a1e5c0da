"""How the peers of `pilah bench` are loaded and run: one function a runtime (device/timing.py).

A process imports only the runtime that it times, so that its memory is that runtime's alone. All take one picture,
(224, 224, 3) uint8 RGB, and give probabilities, as the bundle does.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.timing import Load, Run

SIZE_PX = 224


def picture() -> NDArray[np.uint8]:
    """(S, S, 3) uint8 RGB; what it shows does not matter to the time."""
    return np.random.default_rng(0).integers(0, 256, (SIZE_PX, SIZE_PX, 3), dtype=np.uint8)


def pytorch_eager(path: Path, threads: int) -> Load:
    """The training's own network, as a program without any export would run it."""
    import torch

    from export.floating import Packaged
    from training.models import Student

    torch.set_num_threads(threads)
    image = picture()

    def load() -> Run:
        values = torch.load(path, weights_only=True)
        student = Student(values["classes"], values["head"])
        student.load_state_dict(values["state_dict"])
        packaged = Packaged(student, values["temperature"]).eval()

        def run() -> object:
            with torch.inference_mode():
                return packaged(torch.from_numpy(image)[None])[0].numpy()

        return run

    return load


def onnx_runtime(path: Path, threads: int) -> Load:
    """Any ONNX file with the bundle's signature, with ONNX Runtime's own settings."""
    import onnxruntime as ort

    image = picture()[None]

    def load() -> Run:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda: session.run(["probabilities"], {"image": image})

    return load


def openvino(path: Path, threads: int) -> Load:
    """Any ONNX file with the bundle's signature in OpenVINO, set for latency; float stays float32."""
    import openvino as ov

    image = picture()[None]
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}

    def load() -> Run:
        request = ov.Core().compile_model(str(path), "CPU", settings).create_infer_request()
        return lambda: request.infer([image])[0]

    return load


def ncnn(path: Path, threads: int) -> Load:
    """What `ncnn_files` wrote, with ncnn's own settings (it stores weights as it likes best)."""
    import ncnn as library

    image = picture()

    def load() -> Run:
        net = library.Net()
        net.opt.num_threads = threads
        net.load_param(str(path / "model.ncnn.param"))
        net.load_model(str(path / "model.ncnn.bin"))

        def run() -> object:
            pixels = library.Mat.from_pixels(image, library.Mat.PixelType.PIXEL_RGB, SIZE_PX, SIZE_PX)
            extractor = net.create_extractor()
            extractor.input("in0", pixels)
            return np.array(extractor.extract("out0")[1])

        return run

    return load
