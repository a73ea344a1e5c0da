"""The appliance: the one place that wires camera, model, lids and lights, and the loop that runs them."""

from __future__ import annotations

import contextlib
import logging
import queue
from collections import deque
from collections.abc import Callable
from typing import Any

from device.board import Board
from device.camera import Feed, Frame
from device.classifier import Classifier
from device.clock import Clock
from device.config import Config
from device.errors import LidError
from device.events import Event, EventBus
from device.evidence import Jury, policy_of
from device.heartbeat import Heartbeat
from device.lids import Lids, close_all
from device.lights import Lights
from device.presence import Presence, unrest
from device.reports import Reports
from device.requests import CloseLid, OpenLid, Request
from device.sight import Sight
from device.situation import (
    Announce,
    CameraLost,
    Close,
    CloseAll,
    Deciding,
    Effect,
    Elapsed,
    Failed,
    Finish,
    Halted,
    Input,
    LidReached,
    Look,
    Observed,
    Open,
    Pressed,
    Seen,
    Serving,
    Show,
    Situation,
    Waiting,
)
from device.sorter import Sorter, stuck_buttons

log = logging.getLogger(__name__)

TICK_S = 0.02
"""A servo takes a new pulse 50 times a second; while a lid moves, the loop turns at least as often."""
IDLE_S = 0.1
TRIES_FOR_S = 1.0
"""A fault of the loop is over once the bin has gone on for so long: what fails at every try is told once."""
CLOSES_WITHIN_S = 0.5
"""On the way out, lids close at least this fast."""


class Appliance:
    """A whole bin, from the newest frame to the lid.

    >>> with Appliance(config, classifier, feed, open_pins("mock"), clock, heartbeat, board) as bin:   # doctest: +SKIP
    ...     bin.run(should_stop=lambda: False, drops=3)

    The loop runs in its caller's thread. `events`, `snapshot`, `newest_frame`, `sight.judged` and `request` may be used
    from any other; none of them ever makes the loop wait. The lids are closed when the `with` ends, however it ends;
    `feed` and `pins`, a gpiozero pin factory, then as well.
    """

    def __init__(
        self,
        config: Config,
        classifier: Classifier,
        feed: Feed,
        pins: Any,
        clock: Clock,
        heartbeat: Heartbeat,
        board: Board,
    ) -> None:
        """Raises `ConfigError` where model and settings do not fit, and `LidError` where pins cannot be used."""
        self._reports = Reports(clock, heartbeat, board, classifier.bundle.contract.version)
        self.config = config
        self._feed = feed
        self._clock = clock
        self.sight = Sight(Presence(config.presence, config.camera.region), classifier, clock)
        """What it sees of the tray, and the pictures of the last drops."""
        self._requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self.finished_drops = 0
        """How many are done with since the start."""
        with contextlib.ExitStack() as opened:
            opened.callback(feed.close)
            opened.callback(pins.close)
            self.jury = Jury(policy_of(config, classifier.bundle.contract), config.decision)
            self._sorter = Sorter(config.compartments, self.jury)
            self._lights = Lights(config, pins)
            opened.callback(self._lights.close)
            self._lids = opened.enter_context(Lids(config.compartments, pins))
            opened.callback(self._close_lids)
            self._closing = opened.pop_all()
        self._situation = Situation(unclosed=frozenset(self._lids))
        for lid in self._lids.values():
            self._reports.lid(lid, None)
        self._reports.state(self._situation.state)
        self.mind("button", self._feel_buttons, "The buttons are in order again.")
        self.mind("tray", lambda: unrest(self.sight.sighting), "The tray has come to rest.")
        self.mind(
            "board", lambda: " ".join(board.vitals().warnings), "The Pi's supply and temperature are in order again."
        )

    # For everyone.

    @property
    def events(self) -> EventBus:
        """Where everything is told that happens."""
        return self._reports.events

    def snapshot(self) -> list[Event]:
        """How things stand, as the latest event of each kind (of each lid, and of each fault that holds)."""
        return self._reports.latest()

    def newest_frame(self) -> Frame | None:
        """What the camera saw last."""
        return self.sight.frame

    def mind(self, part: str, fault: Callable[[], str | None], over: str) -> None:
        """Report the faults of a part outside the loop as well; they close no lid. See `Reports.mind`."""
        self._reports.mind(part, fault, over)

    def request(self, request: Request) -> None:
        """Leave a request; the loop carries it out at its next turn. Raises `LidError` for a lid that is not there."""
        if isinstance(request, OpenLid | CloseLid) and request.compartment not in self._lids:
            raise LidError(f"This bin has no lid {request.compartment!r}; it has {', '.join(self._lids)}.")
        self._requests.put(request)

    # The loop.

    def run(self, should_stop: Callable[[], bool], drops: int | None = None) -> None:
        """Sort until `should_stop`, until `drops` drops are done with, or until the camera's pictures end."""
        while not should_stop() and not self.is_done(drops):
            self.turn()

    def is_done(self, drops: int | None) -> bool:
        """Whether all lids are closed, and enough drops were served or no more can come."""
        is_at_rest = isinstance(self._situation.phase, Waiting) and not self._situation.unclosed
        return is_at_rest and ((drops is not None and self.finished_drops >= drops) or self._feed.has_ended)

    def turn(self) -> None:
        """One turn of the loop; whatever goes wrong in it closes the lids, is reported, and is tried again later."""
        try:
            self._turn()
            self._beat()
        except Exception as fault:  # noqa: BLE001  the failsafe: every fault there is leads to closed lids
            self._fail(fault)
        states = {name: lid.state for name, lid in self._lids.items()}
        self._lights.tick(states, bool(self._reports.faults), self._clock.now())

    def _turn(self) -> None:
        self._hear_lids()
        with contextlib.suppress(queue.Empty):
            while True:
                self._tell(self._requests.get_nowait())
        pressed = self._lids.held
        if pressed != self._situation.pressed:
            self._tell(Pressed(pressed))
        frame = self._feed.latest(TICK_S if self._lids.is_moving else IDLE_S)
        if frame is None and self._feed.has_ended:
            self._clock.sleep(TICK_S)
        self._hear_camera()
        if frame is not None and "camera" not in self._reports.faults:  # a last picture may come with the bad news
            self._tell(Seen(self.sight.take(frame, self._something_waits())))
        self._tell(Elapsed())
        is_tried = self._clock.now() - self._situation.free_since_s >= TRIES_FOR_S
        if is_tried and not isinstance(self._situation.phase, Halted | Deciding):
            self._reports.mend("loop", "The bin sorts again.")

    def _something_waits(self) -> bool:
        """Whether something lies there that was not judged yet; in maintenance what lies there is nobody's waste."""
        lying = None if self.sight.sighting is None else self.sight.sighting.object_id
        return lying not in (None, self._situation.judged_id) and not self._situation.is_maintenance

    def _fail(self, fault: Exception) -> None:
        message = str(fault) or type(fault).__name__
        if self._reports.faults.get("loop") != message:
            log.exception("Something went wrong; the lids close, and the bin tries again.")
        self._reports.complain("loop", message)
        self._tell(Failed())
        self._clock.sleep(TICK_S)

    # What comes in.

    def _hear_lids(self) -> None:
        for lid, reached in self._lids.tick(self._clock.now()):
            if self._lids.is_home or reached == "fault":
                self._announce_lid(lid.name)
            if lid.fault is not None or reached == "closed":
                self._reports.judge(f"lid {lid.name}", lid.fault, f"The lid {lid.name} closes again.")
            self._tell(LidReached(lid.name, reached))
            if reached == "open":
                self._feed.lid_opened()
            elif reached == "closed":
                self._feed.lid_closed()

    def _hear_camera(self) -> None:
        for report in self._feed.reports():
            if report.is_over:
                self.sight.learn_anew()
                self._reports.mend("camera", report.message)
            else:
                self._reports.complain("camera", report.message)
                self._tell(CameraLost())

    # What goes out.

    def _tell(self, given: Input) -> None:
        """Tell the sorter, and do what it asks for; this is the only place where effects are carried out."""
        waiting = deque([given])
        while waiting:
            before = self._situation.state
            self._situation, effects = self._sorter.step(self._situation, waiting.popleft(), self._clock.now())
            for effect in effects:
                if (answer := self._carry_out(effect)) is not None:
                    waiting.append(answer)
            if self._situation.state != before:
                self._reports.state(self._situation.state)

    def _carry_out(self, effect: Effect) -> Input | None:
        match effect:
            case Look() if (observation := self.sight.look()) is not None:
                return Observed(observation)
            case Announce(drop):
                self.sight.keep(drop.number)
                frame = self.sight.frame
                self._reports.decision(drop, None if frame is None else frame.file)
            case Open(compartment):
                self._lids[compartment].open(self._clock.now())
                self._announce_lid(compartment)
            case Close(compartment):
                self._lids[compartment].close(self._clock.now())
                self._announce_lid(compartment)
            case CloseAll():
                for name, lid in self._lids.items():
                    if lid.state in ("opening", "open"):
                        lid.close(self._clock.now())
                        self._announce_lid(name)
            case Show(signal, compartment):
                self._lights.show(signal, self._clock.now())
                self._reports.signal(signal, compartment)
            case Finish():
                self.finished_drops += 1
        return None

    def _announce_lid(self, compartment: str) -> None:
        lid, phase = self._lids[compartment], self._situation.phase
        drop = phase.drop if isinstance(phase, Serving) and phase.compartment == compartment else None
        self._reports.lid(lid, drop)

    def _beat(self) -> None:
        """Let the watchdog know, but only while frames flow or a camera that is lost is being looked after."""
        self._reports.ask()
        is_blind = self._clock.now() - self.sight.taken_s > self.config.camera.lost_after_s
        if self._lids.is_home and (not is_blind or "camera" in self._reports.faults):
            self._reports.beat(self._situation.state, self.finished_drops)

    def _feel_buttons(self) -> str:
        faults = [*(lid.button_fault for lid in self._lids.values()), stuck_buttons(self._situation)]
        return " ".join(fault for fault in faults if fault)

    # The end.

    def __enter__(self) -> Appliance:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the lids and let go of everything, whatever state the bin is in; doing it twice is fine."""
        try:
            self._closing.close()
        except Exception:  # the lids were told to close first, and all that could be let go of was
            log.exception("A part could not be let go of at the end.")

    def _close_lids(self) -> None:
        self._reports.heartbeat.stopping()
        before = {name: lid.state for name, lid in self._lids.items()}
        close_all(self._lids.values(), self._clock, CLOSES_WITHIN_S)
        for name, lid in self._lids.items():
            if lid.state != before[name]:
                self._announce_lid(name)
