"""A bundle answers alike on all processors, also on those that cut sums of 8-bit products off."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from device.bundle import Bundle
from device.processor import processor_name, saturates
from device.session import open_session, with_unsigned_weights
from tests.bundles import write_bundle

SHIPPED = Path(__file__).parents[1] / "models" / "default.onnx"
MICROSOFT = "com.microsoft"
INTEL_OF_2017 = "model name\t: Intel(R) Core(TM) i5-8250U\nflags\t\t: fpu sse4_1 avx avx2 fma\n"
ZEN_5 = "model name\t: AMD Ryzen AI 9 HX 370\nflags\t\t: fpu sse4_1 avx avx2 fma avx_vnni\n"
XEON = "model name\t: Intel(R) Xeon(R) Gold 6330\nflags\t\t: fpu avx2 avx512f avx512_vnni\n"
PI_4 = "processor\t: 0\nFeatures\t: fp asimd evtstrm crc32 cpuid\n"


def test_nothing_is_kept_or_told_about_who_uses_a_bundle(tmp_path: Path) -> None:
    model, home = write_bundle(tmp_path / "model.onnx"), tmp_path / "home"
    code = "import sys; from pathlib import Path; from device.bundle import Bundle; Bundle.open(Path(sys.argv[1]))"
    env = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"} | {"HOME": str(home)}
    subprocess.run([sys.executable, "-c", code, model], env=env, check=True)
    assert not home.exists()


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "cuts_off"),
    [
        ("x86_64", INTEL_OF_2017, True),
        ("AMD64", INTEL_OF_2017, True),
        ("x86_64", ZEN_5, False),
        ("x86_64", XEON, False),
        ("x86_64", None, True),
        ("aarch64", PI_4, False),
        ("arm64", None, False),
    ],
)
def test_only_x86_without_vnni_needs_other_weights(
    tmp_path: Path, machine: str, cpuinfo: str | None, cuts_off: bool
) -> None:
    if cpuinfo is not None:
        (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert saturates(machine, tmp_path) is cuts_off


def test_a_processor_is_named_with_the_dot_products_that_it_has(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(ZEN_5)
    assert processor_name(tmp_path) == "AMD Ryzen AI 9 HX 370 (avx_vnni)"
    (tmp_path / "cpuinfo").write_text(XEON.replace("avx2", "avx_vnni"))
    assert processor_name(tmp_path) == "Intel(R) Xeon(R) Gold 6330 (avx512_vnni, avx_vnni)"
    (tmp_path / "device-tree").mkdir()
    (tmp_path / "device-tree" / "model").write_text("Raspberry Pi 5 Model B Rev 1.0\0")
    assert processor_name(tmp_path) == "Raspberry Pi 5 Model B Rev 1.0"


def one_convolution(weights: NDArray[np.int8], domain: str) -> bytes:
    """A model that adds up, for one pixel of many channels, products of its input and int8 weights, each row apart."""
    rows, channels = weights.shape
    is_nhwc = domain == MICROSOFT
    constants = {
        "step": np.array(1.0, np.float32), "zero": np.array(0, np.uint8),
        "weight": weights.reshape(rows, channels, 1, 1), "scale": np.ones(rows, np.float32),
        "weight.zero": np.array(0, np.int8),
        "out.step": np.array(255.0 * channels, np.float32), "out.zero": np.array(128, np.uint8),
    }  # fmt: skip
    inputs = ["x", "step", "zero", "weight", "scale", "weight.zero", "out.step", "out.zero"]
    node = helper.make_node(
        "QLinearConv", inputs, ["y"], domain=domain, kernel_shape=[1, 1], **({"channels_last": 1} if is_nhwc else {})
    )
    shape = (lambda c: [1, 1, 1, c]) if is_nhwc else (lambda c: [1, c, 1, 1])
    graph = helper.make_graph(
        [node],
        "one convolution",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, shape(channels))],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, shape(rows))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 20), channels=st.integers(1, 40),
    is_nhwc=st.booleans(), is_rewritten=st.booleans(),
)  # fmt: skip
def test_sums_of_products_are_exact_here(
    seed: int, rows: int, channels: int, is_nhwc: bool, is_rewritten: bool
) -> None:
    """On a processor that cuts off, this fails with ONNX Runtime's own ways; elsewhere it shows the rewrite right."""
    chance = np.random.default_rng(seed)
    weights = chance.choice([-127, -1, 90, 127], (rows, channels)).astype(np.int8)
    seen = chance.choice([0, 200, 255], (1, channels)).astype(np.uint8)
    model = one_convolution(weights, MICROSOFT if is_nhwc else "")
    session = open_session(with_unsigned_weights(model) if is_rewritten else model)
    told = session.run(None, {"x": seen.reshape([1, 1, 1, -1] if is_nhwc else [1, -1, 1, 1])})[0].ravel()
    exact = seen.astype(np.int64) @ weights.T.astype(np.int64)
    wanted = np.clip(np.rint(exact.ravel() / (255.0 * channels)) + 128, 0, 255)
    assert np.abs(told - wanted).max() <= 1


def test_the_largest_sums_reach_the_largest_output() -> None:
    model = one_convolution(np.full((16, 32), 127, np.int8), MICROSOFT)
    told = open_session(model).run(None, {"x": np.full((1, 1, 1, 32), 255, np.uint8)})[0]
    assert (told == 255).all()


def test_a_picture_uses_no_more_cores_than_it_may(tmp_path: Path) -> None:
    session = Bundle.open(write_bundle(tmp_path / "colours.onnx"), threads=1)._session
    assert session.get_session_options().intra_op_num_threads == 1


def test_what_is_not_a_quantized_convolution_stays_as_it_is(tmp_path: Path) -> None:
    model = write_bundle(tmp_path / "model.onnx").read_bytes()
    assert onnx.load_model_from_string(with_unsigned_weights(model)) == onnx.load_model_from_string(model)


def test_a_bundle_opens_where_sums_are_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_bundle(tmp_path / "model.onnx")
    wanted = Bundle.open(path).run(np.full((32, 32, 3), 90, np.uint8))[0]
    monkeypatch.setattr("device.session.saturates", lambda: True)
    assert np.array_equal(Bundle.open(path).run(np.full((32, 32, 3), 90, np.uint8))[0], wanted)


def test_the_shipped_bundle_gives_the_same_answers_with_either_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where sums are cut off the two differ by far; there the rewritten one is what answers."""
    pictures = np.random.default_rng(1).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    plain = Bundle.open(SHIPPED)
    wanted = [plain.run(picture)[0] for picture in pictures]
    monkeypatch.setattr("device.session.saturates", lambda: True)
    rewritten = Bundle.open(SHIPPED)
    for picture, answer in zip(pictures, wanted, strict=True):
        assert np.array_equal(rewritten.run(picture)[0], answer)
