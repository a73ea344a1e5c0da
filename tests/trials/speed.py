"""The whole bin on trial for speed: from a drop that lies still to the servo, and what waiting costs."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

from device.camera.grabber import Grabber
from device.camera.simulated import SimulatedTray, TrayLife
from device.clock import Clock, SystemClock
from device.page.commands import bin_of, serve
from tests.trials.bench import PacedWatch, SimulatedBin, simulated_bin, trial_config

EMPTY = TrayLife(gap_s=None)
QUIET = TrayLife(gap_s=None, passers_per_minute=0)
PAUSE_S = 1.0


def latencies_ms(folder: Path, drops: int, clock: Clock, seed: int = 0) -> Iterator[float]:
    """Milliseconds from a thing that lies still to the first pulse that moves a servo, for each thing that was served.

    Things come to rest at random moments between two frames. What counts as time is the `clock`'s: of a `ManualClock`
    the waiting for frames alone, of a `WorkingClock` the processor time of the loop as well. With a `SystemClock` the
    camera has a thread of its own and the model all cores, as in `pilah run`.
    """
    is_real = isinstance(clock, SystemClock)
    config, chance = trial_config(folder, threads=0 if is_real else 1), random.Random(seed)
    tray = SimulatedTray(config.camera, clock, seed=seed, life=QUIET)
    feed = Grabber(tray, tray.reopen, config.camera, clock) if is_real else PacedWatch(tray, config.camera, clock)
    with simulated_bin(config, feed, clock) as bin_:
        _turn(bin_, clock, 4.0)
        for _ in range(drops):
            _turn(bin_, clock, PAUSE_S)
            clock.sleep(chance.uniform(0, 1 / config.camera.rate_hz))
            drop = tray.drop()
            while drop.left_s is None:
                was_away = bin_.away()
                bin_.turn()
                if bin_.away() and not was_away and drop.at_rest_s is not None:
                    yield 1000 * (clock.now() - drop.at_rest_s)
            while bin_.away():
                bin_.turn()


def idle_shares(folder: Path, seconds: float) -> dict[str, float]:
    """Thread → part of one core that it takes while an empty tray is watched, page and history included."""
    config, clock = trial_config(folder, threads=0), SystemClock()
    tray = SimulatedTray(config.camera, clock, life=EMPTY)
    feed = Grabber(tray, tray.reopen, config.camera, clock)
    with (
        simulated_bin(config, feed, clock) as bin_,
        serve(bin_of(config, None, None, bin_.appliance, bin_.journal), config, port=0),
    ):
        _turn(bin_, clock, 5.0)
        before, begun_s = _processor_s(), clock.now()
        _turn(bin_, clock, seconds)
        took_s = clock.now() - begun_s
        after = _processor_s()
    return {name: (after[name] - before.get(name, 0.0)) / took_s for name in after}


def _turn(bin_: SimulatedBin, clock: Clock, seconds: float) -> None:
    until_s = clock.now() + seconds
    while clock.now() < until_s:
        bin_.turn()


def _processor_s() -> dict[str, float]:
    """Processor time that each thread of this process has used; those that Python does not know go by one name."""
    names = {str(thread.native_id): thread.name for thread in threading.enumerate()}
    used: dict[str, float] = {}
    for task in Path("/proc/self/task").iterdir():
        name = names.get(task.name, "OpenCV and ONNX Runtime")
        name = "page" if "waitress" in name else name
        used[name] = used.get(name, 0.0) + int((task / "schedstat").read_text().split()[0]) / 1e9
    return used
