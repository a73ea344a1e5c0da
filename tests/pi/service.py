"""What a service must do wherever it runs: each check works through a shell on the machine that it runs on."""

from __future__ import annotations

import json
import re
import time
from typing import Protocol

from tests.pi.report import Report

EXPOSURE_AT_MOST = 2.0


class Shell(Protocol):
    """Root's shell on the machine with the service."""

    def run(self, command: str, timeout_s: float = 60) -> tuple[int, str]:
        """Exit code and what it printed, errors with it."""

    def now_s(self) -> float:
        """The time on that machine, in seconds."""


def unit(shell: Shell, *names: str) -> dict[str, str]:
    """Properties of the unit, as `systemctl show` names them."""
    said = shell.run(f"systemctl show pilah -p {','.join(names)}")[1]
    return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


def wait_until_active(shell: Shell, within_s: float, not_pid: str = "") -> dict[str, str]:
    """Wait until the unit is active, in another process than `not_pid`; its last state in any case."""
    until_s = shell.now_s() + within_s
    while True:
        state = unit(shell, "ActiveState", "SubState", "Type", "MainPID", "NRestarts", "StatusText", "User")
        if (state.get("ActiveState") == "active" and state.get("MainPID") != not_pid) or shell.now_s() > until_s:
            return state
        time.sleep(0.5)


def is_ready(shell: Shell, report: Report, within_s: float) -> bool:
    """READY by notify: with Type=notify the unit is active only once the loop has said so."""
    state = wait_until_active(shell, within_s)
    is_active = state.get("ActiveState") == "active" and state.get("Type") == "notify"
    return report.check("active, and READY by notify", is_active, f"{state.get('User')}, {state.get('StatusText')!r}")


def watchdog_restarts_it(shell: Shell, report: Report, within_s: float) -> float:
    """A loop that hangs (SIGSTOP) is ended by the watchdog and comes back; when it was back, by the machine's time."""
    before = unit(shell, "MainPID", "NRestarts", "WatchdogUSec")
    shell.run("systemctl kill --kill-whom=main --signal=STOP pilah")
    start_s = shell.now_s()
    after = wait_until_active(shell, within_s, not_pid=before["MainPID"])
    back_s = shell.now_s()
    shell.run(f"kill -KILL {before['MainPID']} 2>/dev/null")
    log = shell.run("journalctl -u pilah -o cat --no-pager | grep -c 'Watchdog timeout'")[1].strip()
    came_back = after.get("ActiveState") == "active" and after.get("MainPID") != before["MainPID"]
    detail = f"watchdog {before['WatchdogUSec']}, back after {back_s - start_s:.0f} s"
    report.check("frozen by kill -STOP: the watchdog restarts it", came_back and log not in ("", "0"), detail)
    return back_s


def is_hardened(shell: Shell, report: Report) -> None:
    said = shell.run("systemd-analyze security --no-pager pilah.service | tail -n 1")[1]
    figure = re.search(r"(\d+\.\d)", said)
    exposure = float(figure.group(1)) if figure else 10.0
    report.check(f"systemd-analyze security at most {EXPOSURE_AT_MOST}", exposure <= EXPOSURE_AT_MOST, f"{exposure}")


def is_healthy(shell: Shell, report: Report) -> None:
    """Only the clock may be ill: these machines have no network that would tell the time."""
    run = "systemd-run --quiet --pipe --uid=pilah --working-directory=/var/lib/pilah"
    said = shell.run(f"{run} pilah doctor --json 2>&1", timeout_s=180)[1]
    found = re.search(r"^\{.*\}$", said, re.MULTILINE)
    checks = json.loads(found.group(0))["checks"] if found else []
    ill = [f"{check['name']}: {check['says']}" for check in checks if not check["is_ok"] and check["name"] != "clock"]
    detail = f"{len(checks)} looked at" if checks and not ill else "; ".join(ill) or said[-300:]
    report.check("pilah doctor passes", bool(checks) and not ill, detail)


def accounts(shell: Shell, report: Report) -> None:
    """Memory and processor as systemd counts them; where the machine counts neither, it says so."""
    used = unit(shell, "MemoryCurrent", "MemoryPeak", "CPUUsageNSec")
    counted = {name: int(value) for name, value in used.items() if value.isdigit() and int(value) < 1 << 62}
    said = [f"{name} {counted[name] / 1e6:.0f} MB" for name in ("MemoryCurrent", "MemoryPeak") if name in counted]
    if "CPUUsageNSec" in counted:
        said.append(f"processor {counted['CPUUsageNSec'] / 1e9:.1f} s")
    report.note(f"systemd accounts: {', '.join(said) or 'neither memory nor processor'}")
