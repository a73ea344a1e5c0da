"""`make pi`: a card with Pilah is booted on an emulated Raspberry Pi 3, photos are dropped before it, and the GPIO
registers tell which lid opened."""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from device.config import Config
from tests.pi import card, photos, powercut, service, trace, trees
from tests.pi.board import Board
from tests.pi.report import Report

LIDS = Config().compartments
TOOLS = (
    *("qemu-system-aarch64", "qemu-aarch64-static", "mmdebstrap", "arch-test", "mke2fs", "fdtput", "unshare"),
    *("swig", "aarch64-linux-gnu-gcc"),
)
CONFIG = "/etc/pilah/pilah.toml"
BROKEN = {
    "mapping": rf"sed -i -E 's/^(cardboard|paper|glass|metal|plastic|carton) = .*/\1 = \"organic\"/; "
    rf"s/^(organic|textile|wood|trash) = .*/\1 = \"recyclable\"/' {CONFIG}",
    "servo-pin": "sed -i -E 's/^(servo_pin =) 12$/\\1 17/; s/^(servo_pin =) 13$/\\1 27/; "
    rf"s/^(servo_pin =) 18$/\1 22/; s/^(servo_pin =) 19$/\1 23/' {CONFIG}",
    "watchdog": "mkdir -p /etc/systemd/system/pilah.service.d; printf '[Service]\\nWatchdogSec=0\\n' "
    "> /etc/systemd/system/pilah.service.d/zz-broken.conf; systemctl daemon-reload",
}
"""What `--broken` does on the Pi; each must turn the table or a check red."""
LEDS = sum(1 << lid.led_pin for lid in LIDS.values() if lid.led_pin is not None)
"""The bits of all lids' LEDs."""
SLOW_DEG_PER_S = 5.0
"""A lid then opens for half a minute."""
HAS_LEFT_MS = 0.2
"""A pulse that is so much wider than that of *closed* belongs to a lid that has begun to open."""
WIDTH_TOLERANCE_MS = 0.2
"""18° of a servo: it moves by 90 between closed and open, and the emulated Pi makes its pulses by software."""
PROBABILITY_STEP = 0.02
"""One step of an 8-bit logit, as a probability."""
_DROP = re.compile(r"drop (\d+): (\S+) → (\S+) \(.*?(\d+) ms\)\s+(\S+)")


def starts(board: Board, report: Report, broken: str | None) -> bool:
    report.note("boot")
    if not report.check("the board boots to a shell", board.wait_for(r"bash-[\d.]+# ", within_s=3600) is not None):
        print(board.said[-3000:])
        return False
    board.run(
        "stty -F /dev/ttyS1 -echo; PS1=; PS2=; dmesg -n 1; export LC_ALL=C.UTF-8 COLUMNS=250 SYSTEMD_COLORS=0", 60
    )
    board.run("systemctl disable --now pilah", 120)  # a card that was kept has started it
    if broken:
        report.check(f"broken on purpose: {broken}", board.run(BROKEN[broken])[0] == 0)
    board.watch_pins()
    report.note("systemctl enable --now pilah")
    board.run("systemctl enable --now --no-block pilah", 120)
    if service.is_ready(board, report, within_s=900):
        return True
    print(board.run("systemctl status --no-pager pilah; journalctl -u pilah -o cat --no-pager | tail -n 40")[1])
    return False


@dataclass(frozen=True)
class Drop:
    """What became of one photo: `decided`, by the log; the rest by the registers, None and empty where no lid moved."""

    expected: photos.Expected
    decided: str | None
    lit: str | None
    pins: frozenset[int]
    open_ms: float
    closed_ms: float

    @classmethod
    def of(
        cls, expected: photos.Expected, decided: str | None, cycle: trace.Cycle | None, samples: list[trace.Sample]
    ) -> Drop:
        if cycle is None:
            return cls(expected, decided, None, frozenset(), 0.0, 0.0)
        pins = trace.moved(samples, [lid.servo_pin for lid in LIDS.values()], cycle.from_s, cycle.to_s)
        servo_pin = LIDS[expected.compartment].servo_pin
        widths_ms = trace.open_and_closed_ms(samples, servo_pin, cycle)
        return cls(expected, decided, cycle.compartment, frozenset(pins), *widths_ms)

    @property
    def passed(self) -> bool:
        """The expected lid, it alone, by log, LED and servo, with the pulses that its angles ask for."""
        lid = LIDS[self.expected.compartment]
        return (
            self.decided == self.lit == self.expected.compartment
            and self.pins == {lid.servo_pin}
            and abs(self.open_ms - lid.pulse_ms(lid.open_deg)) <= WIDTH_TOLERANCE_MS
            and abs(self.closed_ms - lid.pulse_ms(lid.closed_deg)) <= WIDTH_TOLERANCE_MS
        )

    def cells(self) -> tuple[str, ...]:
        return (
            self.expected.name,
            self.expected.compartment,
            self.decided or "none",
            self.lit or "none",
            ", ".join(f"GPIO{pin}" for pin in sorted(self.pins)) or "none",
            f"{self.open_ms:.2f}",
            f"{self.closed_ms:.2f}",
            "pass" if self.passed else "FAIL",
        )


def drops(board: Board, report: Report, expected: list[photos.Expected], within_s: float) -> None:
    """For each photo exactly the right servo pulses, with the widths of open and then of closed, and its LED is on."""
    leds = {name: lid.led_pin for name, lid in LIDS.items() if lid.led_pin is not None}
    until_s = board.now_s() + within_s
    served: list[trace.Cycle] = []
    while len(served) < len(expected) and board.now_s() < until_s and board.is_on:
        time.sleep(3)
        before, served = len(served), trace.cycles(board.trace(), leds)
        for cycle in served[before:]:
            report.note(f"the lid {cycle.compartment} opened and closed")
    samples, decided = board.trace(), _decided(board)
    row = "{:<6}{:<8}{:<12}{:<12}{:<12}{:<10}{:<9}{:<11}{}"
    print("\n" + row.format("drop", "photo", "expected", "decided", "LED", "pulsed", "open ms", "closed ms", "verdict"))
    for index, one in enumerate(expected):
        drop = Drop.of(one, decided.get(one.name), served[index] if index < len(served) else None, samples)
        print(row.format(index + 1, *drop.cells()))
        report.lines.append((drop.passed, f"drop {index + 1}", one.name))
    print(flush=True)


def _decided(board: Board) -> Mapping[str, str]:
    """Photo → compartment, as the service's log tells."""
    log = board.run("journalctl -u pilah -o cat --no-pager | grep ' drop '", 120)[1]
    found: dict[str, str] = {}
    for _, _, compartment, _, file in _DROP.findall(log):
        found.setdefault(file.rsplit("/", 1)[-1], compartment)
    return found


def waits_for_an_opening_lid(board: Board, within_s: float) -> bool:
    """Wait until a lid's LED is on and its pulses have left those of *closed*."""
    until_s = board.now_s() + within_s
    while board.now_s() < until_s and board.is_on:
        time.sleep(0.2)
        samples = board.trace(board.now_s() - trace.LAST_S)
        for lid in LIDS.values():
            is_lit = bool(samples) and lid.led_pin is not None and bool(samples[-1][1] >> lid.led_pin & 1)
            width_ms = trace.pulse_ms(samples, lid.servo_pin, 0, math.inf)
            if is_lit and width_ms >= lid.pulse_ms(lid.closed_deg) + HAS_LEFT_MS:
                return True
    return False


def last_pulses_ms(samples: list[trace.Sample]) -> dict[str, float]:
    """The widths of the last pulses of each servo that had any."""
    last = {}
    for name, lid in LIDS.items():
        times = [time_s for time_s, word in samples if word >> lid.servo_pin & 1]
        if times:
            last[name] = round(trace.pulse_ms(samples, lid.servo_pin, times[-1] - trace.LAST_S, times[-1]), 2)
    return last


def are_closed(last_ms: Mapping[str, float]) -> bool:
    return all(
        abs(width_ms - LIDS[name].pulse_ms(LIDS[name].closed_deg)) <= WIDTH_TOLERANCE_MS
        for name, width_ms in last_ms.items()
    )


def freezes_with_an_open_lid(board: Board, report: Report) -> None:
    """The watchdog restarts a service that froze while a lid was open, and READY means that all lids were sent home."""
    report.note("wait for a lid, then freeze the service")
    has_opened = waits_for_an_opening_lid(board, within_s=180)
    frozen_s = board.now_s()
    back_s = service.watchdog_restarts_it(board, report, within_s=400)
    # Lids are sent home one after the other, each with its light on; then comes the next photo, maybe before we look.
    *_, last = LIDS.values()
    samples = [sample for sample in board.trace(frozen_s) if sample[0] <= back_s]
    last_ms = last_pulses_ms(trace.until_dark(samples, last.led_pin))
    passed = has_opened and set(last_ms) == set(LIDS) and are_closed(last_ms)
    report.check("frozen with a lid open: restarted, it sends all lids home", passed, f"last pulses {last_ms} ms")


def stops_in_motion(board: Board, report: Report) -> None:
    """`systemctl stop` while a lid opens: its servo is sent home, then let go."""
    report.note("wait for a lid, which takes half a minute to open; stop the service meanwhile")
    has_opened = waits_for_an_opening_lid(board, within_s=300)
    asked_s = board.now_s()
    board.run("systemctl stop pilah", 120)
    samples = board.trace(asked_s - 1)
    took_s = samples[-1][0] - asked_s
    widths_ms = {
        name: trace.pulse_ms(samples, lid.servo_pin, asked_s - trace.LAST_S, asked_s) for name, lid in LIDS.items()
    }
    moving = max(widths_ms, key=lambda name: widths_ms[name])
    lid = LIDS[moving]
    was_in_motion = has_opened and widths_ms[moving] < lid.pulse_ms(lid.open_deg) - HAS_LEFT_MS
    last_ms = last_pulses_ms(samples)
    is_dark = not samples[-1][1] & LEDS
    is_clean = service.unit(board, "Result").get("Result") == "success"
    passed = was_in_motion and moving in last_ms and are_closed(last_ms) and is_dark and is_clean
    detail = f"{moving} at {widths_ms[moving]:.2f} ms, last pulses {last_ms} ms, {took_s:.1f} s"
    report.check("stopped in mid-motion: it closes first", passed, detail)


def says_the_same(board: Board, report: Report, expected: list[photos.Expected]) -> None:
    """The model's probabilities on the emulated ARM equal those of this machine within a step."""
    said = board.run(f"pilah classify {card.PHOTOS} --json 2>/dev/null", 600)[1]
    seen = {}
    for line in said.splitlines():
        if line.startswith("{"):
            told = json.loads(line)
            seen[told["file"].rsplit("/", 1)[-1]] = told["probabilities"]
    furthest = max(
        (
            abs(seen[one.name][material] - probability)
            for one in expected
            if one.name in seen
            for material, probability in one.probabilities.items()
        ),
        default=1.0,
    )
    is_same = {one.name for one in expected} <= set(seen) and furthest <= PROBABILITY_STEP
    report.check("the model says the same as on this machine", is_same, f"furthest apart: {furthest:.4f}")


def checks(board: Board, report: Report, expected: list[photos.Expected], arguments: argparse.Namespace) -> None:
    if not starts(board, report, arguments.broken):
        return
    # For the next process only: what it opens moves long enough to be stopped half-way.
    board.run(f"sed -i -e '/^speed_deg_per_s/d' -e 's/^hold_s = .*/&\\nspeed_deg_per_s = {SLOW_DEG_PER_S}/' {CONFIG}")
    if arguments.broken != "watchdog":
        report.note("drops")
        drops(board, report, expected, within_s=90 * len(expected))
    service.accounts(board, report)
    if arguments.broken in (None, "watchdog"):
        freezes_with_an_open_lid(board, report)
    if arguments.broken or arguments.only:
        return
    stops_in_motion(board, report)
    says_the_same(board, report, expected)
    service.is_hardened(board, report)
    service.is_healthy(board, report)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--broken", choices=BROKEN, help="break something on purpose: the run must fail")
    parser.add_argument("--photos", type=int, default=4, help="how many to drop")
    parser.add_argument("--only", choices=("drops", "power-cuts"), help="the drops and the watchdog, or the power cuts")
    parser.add_argument("--power-cuts", type=int, default=10, help="how often the power is pulled while drops are kept")
    parser.add_argument("--keep-card", action="store_true", help="boot the card that was made last")
    arguments = parser.parse_args()
    if reason := trees.why_not(TOOLS):
        print(f"make pi: skipped, {reason}.")
        return 0
    if arguments.keep_card and not card.made().image.exists():
        parser.error("no card was made yet: leave --keep-card out")
    report = Report()
    report.note("photos, and what this machine says of them")
    expected = photos.choose(arguments.photos)
    report.note("Debian for arm64, wheels, make install, card (half an hour once, then minutes)")
    names = {one.name: one.file for one in (*expected, *photos.again(expected))}
    made = card.made() if arguments.keep_card else card.build(names, list(Config().compartments))
    if arguments.only != "power-cuts":
        with Board(made.image, made.kernel, made.initrd, made.tree, snapshot=True) as board:
            checks(board, report, expected, arguments)
            if not arguments.broken:
                report.note("shut down")
                board.run("systemctl poweroff --no-block", 30)
                report.check("it shuts down", board.goes_off(within_s=180))
    if not arguments.broken and arguments.only != "drops" and arguments.power_cuts:
        powercut.cut(made, report, arguments.power_cuts)
    return report.end()


if __name__ == "__main__":
    sys.exit(trees.as_command("make pi", main))
