"""An emulated Raspberry Pi 3 B: its power, its serial console, and its GPIO registers as seen from outside."""

from __future__ import annotations

import bisect
import codecs
import contextlib
import itertools
import math
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Self

from tests.pi.trace import Sample

GPLEV0 = 0x3F200034
"""Levels of GPIO 0–31 on a Pi 3 (BCM2835 ARM Peripherals, page 96, at the Pi 3's address)."""
CLOCK = 0x3F003004
"""The system timer's lower word, in microseconds (page 172)."""
READS_EVERY_S = 0.0005
"""QEMU holds the board up for each read: as many as it can answer leave the board's own drivers no time."""
READS_AT_NICE = -20
"""At -10, which Chromium has nearly too, ten times as many reads are over 4 ms late where six others want two cores."""
SLOWER = 20
"""A command may take so many times longer than on a Pi."""
_END = re.compile(r"@@(\d+)@@\r?\n")


class Board:
    """A Pi that is switched on by `with` and loses its power at the end of it.

    Its time is counted in instructions, 2 ns each for all four cores together: where this machine is busy, the board
    is slower as a whole, but its timers, its watchdogs and the pulses on its pins keep their proportions.

    >>> with Board(files, "init=/bin/bash") as board:           # doctest: +SKIP
    ...     board.wait_for("root@", within_s=300)

    Parameters
    ----------
    card, kernel, initrd, tree:
        the card's image, and what a Pi's firmware would hand over: kernel, initial memory disk, device tree.
    append:
        more for the kernel's command line.
    snapshot:
        the card stays as it is: what the board writes goes with it.

    What it says is kept in a `.log` beside the card's image, its pins' levels in a `.trace`.
    """

    def __init__(
        self, card: Path, kernel: Path, initrd: Path, tree: Path, append: str = "", *, snapshot: bool = False
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="pilah-pi.")
        folder, log = Path(self._folder.name), card.with_suffix(".log")
        self._trace_file = card.with_suffix(".trace")
        self._process = subprocess.Popen(
            [
                *("qemu-system-aarch64", "-M", "raspi3b", "-display", "none"),
                *("-accel", "tcg,thread=single", "-icount", "shift=1,sleep=on"),
                *("-chardev", f"socket,id=console,path={folder}/console,server=on,wait=off,logfile={log}"),
                *("-no-reboot", "-serial", "null", "-serial", "chardev:console"),
                *("-qtest", f"unix:{folder}/registers,server=on,wait=off", "-qtest-log", "/dev/null"),
                *("-kernel", str(kernel), "-initrd", str(initrd), "-dtb", str(tree)),
                *("-drive", f"file={card},if=sd,format=raw,snapshot={'on' if snapshot else 'off'}"),
                *("-append", f"console=ttyS1,115200 root=LABEL=rootfs rw net.ifnames=0 quiet {append}"),
            ],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.console = _connect(folder / "console", self._process)
        self._registers = _connect(folder / "registers", self._process)
        self.said = ""
        # A character of several bytes may come in several parts.
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self.samples: list[Sample] = []
        self._watches = False
        self._lock = threading.Lock()
        self._watcher = threading.Thread(target=self._watch, name="registers", daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut_power()

    def cut_power(self) -> None:
        """Gone from one moment to the next, as when the plug is pulled."""
        self._watches = False
        self._process.kill()
        self._process.wait()
        if self._watcher.is_alive():
            self._watcher.join()
        self._hear_the_rest()
        self._keep_trace()
        self.console.close()
        self._registers.close()
        self._folder.cleanup()

    def goes_off(self, within_s: float) -> bool:
        """Wait until it has switched itself off, as `poweroff` lets it."""
        until_s = time.monotonic() + within_s
        while self.is_on and time.monotonic() < until_s:
            self.wait_for(r"\Z(?!)", within_s=1)
        return not self.is_on

    def _hear_the_rest(self) -> None:
        """What the console had said before the power went is in the socket still."""
        with contextlib.suppress(OSError):
            while more := self.console.recv(65536):
                self.said += self._decode(more)

    def _keep_trace(self) -> None:
        """Whenever a level changed, and the read before it: seconds and the register."""
        lines = [
            f"{before_s:.4f} {before:08x}\n{time_s:.4f} {word:08x}\n"
            for (before_s, before), (time_s, word) in itertools.pairwise(self.samples)
            if word != before
        ]
        self._trace_file.write_text("".join(lines))

    @property
    def is_on(self) -> bool:
        return self._process.poll() is None

    def watch_pins(self) -> None:
        """Begin to read the registers; each read holds the board up a little, so not while it boots."""
        self._watches = True
        self._watcher.start()

    def now_s(self) -> float:
        """The board's time, in seconds since it was switched on, as of the last read; infinite once it is off."""
        if not self.is_on:
            return math.inf
        with self._lock:
            return self.samples[-1][0] if self.samples else 0.0

    def trace(self, since_s: float = 0.0) -> list[Sample]:
        """What the registers showed since that moment of the board's time."""
        with self._lock:
            return self.samples[bisect.bisect_left(self.samples, (since_s, 0)) :]

    def _watch(self) -> None:
        # Who asks and who answers hardly work, but a few milliseconds late they miss a pulse: they come before whatever
        # else this machine does, and before this program's own sums.
        sys.setswitchinterval(READS_EVERY_S)
        with contextlib.suppress(PermissionError):
            for thread in (threading.get_native_id(), self._process.pid):
                os.setpriority(os.PRIO_PROCESS, thread, READS_AT_NICE)
        file = self._registers.makefile("rwb", buffering=0)
        ask = f"readl {CLOCK:#x}\nreadl {GPLEV0:#x}\n".encode()
        try:
            while self._watches:
                file.write(ask)
                answers = [file.readline().split() for _ in range(2)]
                if any(len(answer) != 2 for answer in answers):
                    return
                clock_us, word = (int(answer[1], 16) for answer in answers)
                with self._lock:
                    self.samples.append((clock_us / 1e6, word))
                time.sleep(READS_EVERY_S)
        except OSError:
            return

    def wait_for(self, pattern: str, within_s: float) -> re.Match[str] | None:
        """Listen to the console until it says something; None where it does not. What was heard is in `said`."""
        until_s = time.monotonic() + within_s
        heard = ""
        self.console.settimeout(0.5)
        while time.monotonic() < until_s and self.is_on:
            try:
                more = self._decode(self.console.recv(65536))
            except TimeoutError:
                continue
            heard += more
            self.said += more
            if found := re.search(pattern, heard):
                return found
        return None

    def run(self, command: str, timeout_s: float = 60) -> tuple[int, str]:
        """Run a command in root's shell on the console: exit code and what it printed."""
        start = len(self.said)
        self.console.sendall(f'{{ {command}\n}} </dev/null 2>&1; echo "@@""$?@@"\n'.encode())
        found = self.wait_for(_END.pattern, SLOWER * timeout_s)
        if found is None:
            return 124, self.said[start:]
        printed = self.said[start:].rsplit(found.group(0), 1)[0]
        return int(found.group(1)), printed.replace("\r\n", "\n")


def _connect(path: Path, process: subprocess.Popen[bytes]) -> socket.socket:
    until_s = time.monotonic() + 20
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(path))
        except OSError:
            connection.close()
            if process.poll() is not None or time.monotonic() > until_s:
                raise RuntimeError("QEMU did not start; try `qemu-system-aarch64 -M raspi3b` by hand.") from None
            time.sleep(0.2)
        else:
            return connection
