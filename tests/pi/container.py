"""`make nspawn`: the unit in a booted container with mock pins: start, watchdog, stop, hardening."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from tests import owner
from tests.pi import service, trees
from tests.pi.report import Report

TOOLS = ("systemd-nspawn", "mmdebstrap", "nsenter")
DROPIN = "/etc/systemd/system/pilah.service.d/test.conf"
BROKEN = {
    "watchdog": "[Service]\nWatchdogSec=0\n",
    "notify": "[Service]\nType=simple\n",
    "hardening": "[Service]\nProtectSystem=no\nCapabilityBoundingSet=~\nNoNewPrivileges=no\n",
}
"""What `--broken` does to the unit; each must turn a check red."""
LOG = "journalctl -u pilah -o cat --no-pager"
FORGET = "journalctl --rotate --vacuum-time=1s >/dev/null 2>&1"
PASSWORD = "correct horse battery"


class Container:
    """A booted systemd-nspawn container; its shell enters its namespaces."""

    def __init__(self, root: Path) -> None:
        # Debian's systemd wants cgroups v2, also where this machine has them beside v1.
        environment = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
        self._nspawn = subprocess.Popen(
            [
                *("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--private-network"),
                *(f"--directory={root}", f"--machine=pilah-{os.getpid()}", "--console=pipe"),
            ],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._leader = ""

    def boot(self, within_s: float = 60) -> bool:
        until_s = time.monotonic() + within_s
        while time.monotonic() < until_s and self._nspawn.poll() is None:
            children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
            if children:
                self._leader = children[0]
                if self.run("systemctl is-system-running")[1].strip() in ("running", "degraded"):
                    return True
            time.sleep(0.3)
        return False

    def run(self, command: str, timeout_s: float = 60) -> tuple[int, str]:
        result = subprocess.run(
            ["nsenter", "--target", self._leader, "--all", "sh", "-c", command],
            env={"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return result.returncode, result.stdout

    def now_s(self) -> float:
        return time.monotonic()

    def close(self) -> None:
        self._nspawn.terminate()
        try:
            self._nspawn.wait(15)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()


def checks(shell: service.Shell, report: Report, broken: str | None) -> None:
    # As root copies them from another Pi's card.
    empty = "install -m 600 /dev/null owner-password && install -m 600 /dev/null last-log-out"
    shell.run(f"cd /var/lib/pilah && {empty} && head -c 32 /dev/zero > cookie-key")
    code, said = shell.run(trees.install_command(), timeout_s=300)
    report.check("make install, offline, twice", code == 0, "" if code == 0 else said[-500:])
    shell.run("sed -i 's/^source = .*/source = \"simulated\"/' /etc/pilah/pilah.toml")
    if broken:
        shell.run(f"mkdir -p $(dirname {DROPIN}); printf '%s' '{BROKEN[broken]}' > {DROPIN}; systemctl daemon-reload")
    shell.run("systemctl enable --now pilah", timeout_s=120)
    service.is_ready(shell, report, within_s=90)
    user = shell.run("stat -c '%U %G' /proc/$(systemctl show pilah -p MainPID --value)")[1].split()
    groups = shell.run("id -nG pilah")[1].split()
    owners = shell.run("stat -c %U /var/lib/pilah/*")[1].split()
    is_own = {*user, *owners} == {"pilah"} and {"gpio", "video"} <= {*groups}
    report.check("its own user, with pins and cameras", is_own)
    report.check("it sorts", _waits_for(shell, r"^..:..:..  lid .*: closed", 60), _last_lines(shell))
    service.is_hardened(shell, report)
    _started_again(shell, report)
    service.watchdog_restarts_it(shell, report, within_s=60)
    _killed(shell, report)
    _stopped_with_an_open_lid(shell, report)
    service.is_healthy(shell, report)
    service.accounts(shell, report)
    code, said = shell.run(f"make -C {trees.IN_GUEST} uninstall")
    kept, gone = "/etc/pilah/pilah.toml /var/lib/pilah/journal.db", "/opt/pilah /usr/lib/systemd/system/pilah.service"
    left = shell.run(f"ls -d {kept} {gone} 2>/dev/null")[1].split()
    report.check("make uninstall keeps configuration and history", code == 0 and left == kept.split())


def _started_again(shell: service.Shell, report: Report) -> None:
    """By its owner on the page: for systemd the same process, which the watchdog of the next check still minds."""
    python = "/opt/pilah/bin/python"
    sets = f'import pathlib, device.page.owner as o; o.Password(pathlib.Path("/var/lib/pilah")).set("{PASSWORD}")'
    shell.run(f"systemd-run --quiet --pipe --uid=pilah {python} -c '{sets}'")
    shell.run(FORGET)
    before = service.unit(shell, "MainPID", "NRestarts")
    presses = shlex.quote(Path(owner.__file__).read_text())
    said = shell.run(f"{python} -c {presses} http://localhost:8080 '{PASSWORD}' 2>&1")[1]
    has_started = _waits_for(shell, "Pilah starts again", 30) and _waits_for(shell, "Pilah sorts", 60)
    state = service.wait_until_active(shell, 60)
    is_same = state["ActiveState"] == "active" and all(state[name] == before[name] for name in before)
    report.check("started again by its owner: the same process", has_started and is_same, said[-300:])


def _killed(shell: service.Shell, report: Report) -> None:
    before = service.unit(shell, "MainPID")["MainPID"]
    shell.run("systemctl kill --kill-whom=main --signal=KILL pilah")
    after = service.wait_until_active(shell, 60, not_pid=before)
    report.check("killed: it comes back", after.get("ActiveState") == "active" and after["MainPID"] != before)


def _stopped_with_an_open_lid(shell: service.Shell, report: Report) -> None:
    shell.run(FORGET)
    has_opened = _waits_for(shell, r"^..:..:..  lid .*: open", 60)
    start_s = time.monotonic()
    shell.run("systemctl stop pilah")
    took_s = time.monotonic() - start_s
    lids = [line.split("lid ")[1] for line in shell.run(LOG)[1].splitlines() if "  lid " in line]
    last = dict(lid.split(": ") for lid in lids)
    state = service.unit(shell, "ActiveState", "Result")
    is_closed = has_opened and set(last.values()) == {"closed"}
    is_clean = state == {"ActiveState": "inactive", "Result": "success"}
    report.check("stopped with a lid open: it closes first", is_closed and is_clean, f"{took_s:.1f} s, {last}, {state}")


def _waits_for(shell: service.Shell, pattern: str, within_s: float) -> bool:
    return (
        shell.run(
            f"timeout {within_s} sh -c \"until {LOG} | grep -qE '{pattern}'; do sleep 0.2; done\"", within_s + 30
        )[0]
        == 0
    )


def _last_lines(shell: service.Shell) -> str:
    return shell.run(f"{LOG} | grep '  drop ' | tail -n 1")[1].strip()


def installed_tree(wheels: Path) -> Path:
    """The cached tree with Pilah installed once, so that only Pilah itself is installed in each run."""
    tree = trees.debian_tree("amd64")
    if not (tree / "opt" / "pilah").exists():
        trees.carry_checkout(tree, wheels)
        trees.in_tree(tree, trees.install_command())
    return tree


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--broken", choices=BROKEN, help="break the unit on purpose: the run must fail")
    broken = parser.parse_args().broken
    if reason := trees.why_not(TOOLS):
        print(f"make nspawn: skipped, {reason}.")
        return 0
    report = Report()
    report.note("Debian tree and wheels (minutes once, then cached in .cache/pi)")
    wheels = trees.wheels_for("amd64")
    tree = installed_tree(wheels)
    with trees.layer_over(tree) as root:
        trees.carry_checkout(root, wheels)
        report.note("boot")
        container = Container(root)
        try:
            if report.check("the container boots", container.boot()):
                checks(container, report, broken)
        finally:
            container.close()
    return report.end()


if __name__ == "__main__":
    sys.exit(trees.as_command("make nspawn", main))
