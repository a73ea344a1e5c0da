"""What the emulator's plugin prints becomes a table; counting itself takes minutes and a QEMU: `make arm64-count`."""

from __future__ import annotations

import pytest

from export.plot import insert
from tests.arm64_count import (
    ALL,
    BOARDS,
    KINDS,
    MEMORY,
    REST,
    VECTOR,
    Limit,
    a_picture,
    least_cycles,
    parse,
    table,
)

PI_4, PI_5 = BOARDS
REPORT = """Instruction Classes:
Class: SDOT                    	(1000 hits)
Class: SDOT                    	(24 hits)
Class:   UDEF                  	not counted
Class:   Add/Sub (imm)         	(50 hits)
Class: Branches                	(7 hits)
Class:   AdvSimd ldstmult++    	(3 hits)
Class:   Load Reg (lit)        	(40 hits)
Class: Loads & Stores          	(2 hits)
Class: Scalar FP               	(9 hits)
"""


def kinds_of(word: int) -> set[str]:
    return {kind.name for kind in KINDS if word & kind.mask == kind.pattern}


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        (0x4F80E000, "SDOT"),  # sdot v0.4s, v0.16b, v0.4b[0]
        (0x6FA1EAB4, "UDOT"),  # udot v20.4s, v21.16b, v1.4b[3]
        (0x4E949464, "SDOT"),  # sdot v4.4s, v3.16b, v20.16b
        (0x0E24C040, "SMULL"),  # smull v0.8h, v2.8b, v4.8b
        (0x4E2580C3, "SMLAL"),  # smlal2 v3.8h, v6.16b, v5.16b
        (0x4E606830, "SADALP"),  # sadalp v16.4s, v1.8h
        (0x4F811010, "FMLA"),  # fmla v16.4s, v0.4s, v1.s[0]
        (0x4E22CC20, "FMLA"),  # fmla v0.4s, v1.4s, v2.4s
    ],
)
def test_an_instruction_that_multiplies_is_known_by_its_bits(word: int, kind: str) -> None:
    assert kinds_of(word) == {kind}


@pytest.mark.parametrize("word", [0x4E228420, 0x6E229C20, 0x3DC00000, 0x91000400])  # add, pmul, ldr q0, add x0
def test_other_instructions_are_of_no_kind(word: int) -> None:
    assert kinds_of(word) == set()


def test_a_report_is_added_up_by_column() -> None:
    assert parse(REPORT) == {"SDOT": 1024, REST: 57, MEMORY: 45, VECTOR: 9}


def test_a_report_without_counts_is_refused() -> None:
    with pytest.raises(ValueError, match="counted nothing"):
        parse("Instruction Classes:\n")


def test_what_starting_takes_cancels() -> None:
    start, picture = {"SDOT": 5.0, REST: 9e9}, {"SDOT": 100.0, MEMORY: 7.0}
    few, many = ({k: start.get(k, 0) + n * picture.get(k, 0) for k in ALL} for n in (1, 4))
    counted = a_picture(few, many, 3)
    assert {column: value for column, value in counted.items() if value} == picture


def test_the_scarcest_pipe_decides_how_many_cycles_are_least() -> None:
    limits = (Limit(frozenset(("SMULL", "SMLAL")), 1), Limit(ALL, 3))
    assert least_cycles({"SMULL": 20, "SMLAL": 10, REST: 3}, limits) == 30
    assert least_cycles({"SMULL": 20, "SMLAL": 10, REST: 90}, limits) == 40


def test_the_table_compares_with_ours_on_the_same_board() -> None:
    rows = [
        (board, name, dict.fromkeys(ALL, count))
        for board, count in ((PI_4, 1e6), (PI_5, 3e6))
        for name, count in (("plain", 2 * count), ("pilah", count))
    ]
    lines = list(table(rows))
    assert [line.split(" | ")[-3] for line in lines[2:]] == ["2.00", "1.00", "2.00", "1.00"]


def test_what_nobody_uses_much_has_no_column_but_is_counted() -> None:
    rare = {"UADALP": 0.5e6, VECTOR: 1e6}
    heads, _, row = table([(PI_5, "pilah", dict.fromkeys(ALL, 0.0) | {"SDOT": 98e6} | rare)])
    cells = dict(zip(heads.split(" | "), row.split(" | "), strict=True))
    assert "UADALP" not in cells
    assert (cells["SDOT"], cells[VECTOR], cells["all"]) == ("98.0", "1.5", "100")


def test_a_table_takes_the_place_of_the_one_between_its_marks() -> None:
    page = "a\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nb\n<!-- count: begin -->\nold\n<!-- count: end -->\nc"
    assert insert(page, "count", ["new", "er"]) == page.replace("count: begin -->\nold", "count: begin -->\nnew\ner")
