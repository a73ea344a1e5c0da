"""`python -m tests.trials`: each trial says what it found; the exit code is 1 where that is worse than is promised."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
import cv2
import numpy as np

from device.clock import Clock, SystemClock
from tests.trials.bench import WorkingClock
from tests.trials.endurance import Footprint, endure
from tests.trials.leaving import leave
from tests.trials.powercut import cut_power
from tests.trials.speed import idle_shares, latencies_ms
from tests.trials.tray import soak_empty_tray, time_presence

LATENCY_MS = 400
IDLE_SHARE = 0.05
PRESENCE_MS = 2.0
GROWS_MB = 5.0
LEAVES_S = 2.0

_seed = click.option("--seed", default=0, show_default=True)


@click.group()
def main() -> None:
    """Trials of the bin."""


@main.command()
@click.option("--frames", default=10_000, show_default=True)
@click.option("--seeds", default=1, show_default=True, help="Repeat with so many different trays.")
def soak(frames: int, seeds: int) -> None:
    """Count false openings over an empty tray."""
    results = [soak_empty_tray(frames, seed) for seed in range(seeds)]
    for result in results:
        click.echo(
            f"{result.frames} frames, {result.passers} hands and shadows, {result.lamps_switched} lamp switches, all "
            f"light halved or doubled {result.times_dimmed} times: something was seen {result.arrivals} times, "
            f"{result.false_openings} false openings"
        )
    raise SystemExit(any(result.false_openings for result in results))


@main.command()
@click.option("--frames", default=1000, show_default=True)
def presence(frames: int) -> None:
    """Time presence on 640×480 frames, one thread."""
    slowest = 0.0
    for name, with_thing in (("empty tray", False), ("a thing lies there", True)):
        median, most = np.percentile(time_presence(frames, with_thing), (50, 95))
        click.echo(f"{name}: median {median:.2f} ms, 95th percentile {most:.2f} ms of one core a frame")
        slowest = max(slowest, float(most))
    raise SystemExit(slowest > PRESENCE_MS)


@main.command()
@click.option("--kills", default=200, show_default=True)
@_seed
def powercut(kills: int, seed: int) -> None:
    """Kill the writer of the journal at random moments and look at the file."""
    with tempfile.TemporaryDirectory() as folder:
        found = cut_power(Path(folder), kills, seed)
    click.echo(
        f"{found.kills} kills, {found.amid} of them after the writer's first drop: {found.committed} drops committed, "
        f"{found.lost} lost; integrity check failed {found.unsound} times"
    )
    raise SystemExit(bool(found.lost or found.unsound))


@main.command()
@click.option("--hours", default=2.0, show_default=True, help="Of simulated time.")
@_seed
def endurance(hours: float, seed: int) -> None:
    """Run the whole bin for hours at full rate, look for leaks, and whether it sorts until the end."""

    def tell(drops: int, held: Footprint) -> None:
        click.echo(
            f"{drops} drops; {held.resident_bytes / 1e6:.1f} MB resident, {held.threads} threads, "
            f"{held.descriptors} descriptors"
        )

    with tempfile.TemporaryDirectory() as folder:
        found = endure(Path(folder), hours, seed, tell=tell)
    first, last = found.warm, found.stages[-1]
    more_threads, more_descriptors = last.threads - first.threads, last.descriptors - first.descriptors
    click.echo(
        f"{hours:g} h, {found.frames} frames, {sum(found.drops)} drops ({found.recorded} recorded), "
        f"{found.faults} camera faults, {found.visits} visits: {found.grew_mb:+.1f} MB, {more_threads:+d} threads, "
        f"{more_descriptors:+d} descriptors after the first quarter"
    )
    if not all(found.drops):
        raise SystemExit("In a tenth of the time it sorted nothing.")
    raise SystemExit(more_threads > 0 or more_descriptors > 0 or found.grew_mb > GROWS_MB)


@main.command()
@click.option("--drops", default=100, show_default=True)
@click.option("--real", "is_real", is_flag=True, help="Real time and threads, so only on a machine with nothing to do.")
@_seed
def latency(drops: int, is_real: bool, seed: int) -> None:
    """Time the way from a drop that lies still to the servo."""
    clock: Clock = SystemClock() if is_real else WorkingClock()
    with tempfile.TemporaryDirectory() as folder:
        found = list(latencies_ms(Path(folder), drops, clock, seed))
    median, most = np.percentile(found, (50, 95))
    click.echo(
        f"{drops} drops, {len(found)} served: from lying still to the servo's first step median {median:.0f} ms, "
        f"95th percentile {most:.0f} ms"
    )
    raise SystemExit(len(found) < drops or bool(most > LATENCY_MS))


@main.command()
@click.option("--seconds", default=60.0, show_default=True)
def idle(seconds: float) -> None:
    """Measure what watching an empty tray costs, in real time."""
    with tempfile.TemporaryDirectory() as folder:
        shares = idle_shares(Path(folder), seconds)
    for name, share in sorted(shares.items(), key=lambda item: -item[1]):
        click.echo(f"{share:7.2%} of a core  {name}{' (draws the simulated tray)' if name == 'camera' else ''}")
    loop = sum(share for name, share in shares.items() if name != "camera")
    click.echo(f"{loop:7.2%} of a core without the drawing")
    raise SystemExit(loop > IDLE_SHARE)


@main.command()
@click.option("--times", default=12, show_default=True)
@click.option("--hogs", default=4, show_default=True, help="Busy processes beside the bin.")
@_seed
def leaving(times: int, hogs: int, seed: int) -> None:
    """Send SIGTERM while a lid moves, on a busy machine, and time the end."""
    with tempfile.TemporaryDirectory() as folder:
        found = list(leave(Path(folder), times, hogs, seed))
    for end in found:
        click.echo(f"{end.told}: left after {end.took_s:.2f} s with code {end.exit_code}, the lid {end.last}")
    is_well = all(end.exit_code == 0 and end.last == "closed" and end.took_s <= LEAVES_S for end in found)
    raise SystemExit(not is_well)


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
