"""Training computes in bfloat16 only where that is quick."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from training.precision import mixed_precision  # noqa: E402


@pytest.mark.parametrize(
    ("capability", "kind"),
    [("AVX512", torch.bfloat16), ("AVX2", torch.float32), ("DEFAULT", torch.float32), ("NO AVX", torch.float32)],
)
def test_a_cpu_computes_in_bfloat16_only_with_avx_512(
    monkeypatch: pytest.MonkeyPatch, capability: str, kind: torch.dtype
) -> None:
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: capability)
    with mixed_precision():
        assert nn.Linear(4, 4)(torch.zeros(1, 4)).dtype == kind


@pytest.mark.parametrize("is_ampere", [True, False])
def test_a_gpu_before_ampere_computes_in_float32(monkeypatch: pytest.MonkeyPatch, is_ampere: bool) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr(
        "torch.cuda.is_bf16_supported", lambda including_emulation=True: is_ampere or including_emulation
    )
    with mixed_precision("cuda"):
        assert torch.is_autocast_enabled("cuda") is is_ampere
