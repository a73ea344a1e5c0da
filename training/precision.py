"""In which numbers a network computes: bfloat16 where that is quick, float32 elsewhere."""

from __future__ import annotations

import torch


def mixed_precision(device: str = "cpu") -> torch.autocast:
    """A context in which convolutions and products are made in bfloat16 (mixed precision) where `device` is good at it.

    On processors without AVX-512 they would take ten times as long as in float32, and GPUs before Ampere have none.
    """
    if device == "cuda":
        is_quick = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        is_quick = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return torch.autocast(device, torch.bfloat16, enabled=is_quick)
