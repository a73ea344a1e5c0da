"""Which processor this is, and how it adds up 8-bit products."""

from __future__ import annotations

import platform
from pathlib import Path

PROC = Path("/proc")
X86 = ("x86_64", "amd64")
SUMS_IN_32_BITS = ("avx512_vnni", "avx_vnni")
"""Features of x86 processors that add products of 8-bit numbers up in 32 bits (VNNI)."""
DOT_PRODUCTS = (*SUMS_IN_32_BITS, "asimddp", "i8mm")


def processor_name(system: Path = PROC) -> str:
    """A Raspberry Pi's name, else the processor's; with the 8-bit dot products that it has."""
    board = system / "device-tree" / "model"
    if board.is_file():
        return board.read_text().strip("\0\n")
    told = _told(system)
    features = _features(told)
    products = [one for one in DOT_PRODUCTS if one in features]
    name = told.get("model name") or platform.processor() or platform.machine()
    return f"{name} ({', '.join(products)})" if products else name


def saturates(machine: str | None = None, system: Path = PROC) -> bool:
    """Whether sums of two products of uint8 and int8 are cut off at 16 bits (`VPMADDUBSW`) by this processor.

    x86 processors without VNNI do so: Intel's before 2019 and AMD's before Zen 4, and laptops' for longer. Where
    /proc does not tell, on a Mac for one, an x86 processor is taken for such. `machine`: as `platform.machine()` says.
    """
    is_x86 = (machine or platform.machine()).lower() in X86
    return is_x86 and not _features(_told(system)).intersection(SUMS_IN_32_BITS)


def _told(system: Path) -> dict[str, str]:
    """What /proc/cpuinfo says of the last core; nothing where there is no such file."""
    try:
        lines = (system / "cpuinfo").read_text().splitlines()
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _features(told: dict[str, str]) -> frozenset[str]:
    return frozenset(f"{told.get('flags', '')} {told.get('Features', '')}".split())
