"""What residents and owners do, in a real headless Chromium; skipped where it or Playwright is not installed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device.checks import Check
from device.clock import SystemClock
from device.config import CompartmentSection, Config
from device.drops import Drop, Search
from device.events import DecisionEvent, FaultEvent, LidEvent, SignalEvent, StateEvent
from device.page.app import create_app
from device.page.ask import PIXELS_AT_MOST
from device.page.bin import Bin
from device.page.owner import Password
from device.page.server import PageServer
from device.presence import Sighting, unrest
from device.requests import Maintenance, OpenLid
from tests.bundles import plain
from tests.page_parts import PASSWORD, PlayedAppliance, journal_in, jpeg, lids_labelled, make_bin, photo_of
from tests.visitor import CHROMIUM, KIOSK, PHONE, Visitor

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

LID_IS_HIGHER = "height => document.querySelectorAll('.lid')[1].getBoundingClientRect().height > height * 2"
SIZE_OF_PICTURE = """async (src) => {
    const picture = new Image();
    picture.src = src;
    await picture.decode();
    return [picture.naturalWidth, picture.naturalHeight];
}"""
STICKS_OUT = """[...document.querySelectorAll(".card *")].filter((one) => {
    const edge = one.closest(".card").getBoundingClientRect().right;
    return one.getBoundingClientRect().right > edge && !one.closest(".scroll, .out-of-sight");
}).map((one) => one.outerHTML.slice(0, 80))"""
LINES_OF_EACH = """all => all.map((one) => {
    const range = document.createRange();
    range.selectNodeContents(one);
    return range.getClientRects().length;
})"""
BROKEN_WORDS = """all => all.flatMap((one) => {
    const walker = document.createTreeWalker(one, NodeFilter.SHOW_TEXT), broken = [];
    for (let text; (text = walker.nextNode()); ) {
        for (const word of text.data.matchAll(/\\S+/g)) {
            const range = document.createRange();
            range.setStart(text, word.index);
            range.setEnd(text, word.index + word[0].length);
            if (range.getClientRects().length > 1) broken.push(word[0]);
        }
    }
    return broken;
})"""
PAGES_OUT_OF_SIGHT = """[...document.querySelectorAll(".pages a")]
    .filter((one) => one.getBoundingClientRect().right > innerWidth).map((one) => one.textContent)"""
OFFLINE_SPEAKS = """language => caches.match("/offline")
    .then((page) => page.text()).then((text) => text.includes(`lang="${language}"`))"""
COUNTS_WHAT_IS_SAID = """window.said = [];
for (const live of document.querySelectorAll("[role=status], [aria-live]")) {
    new MutationObserver((changes) => changes.forEach(({ target }) => said.push(target.textContent)))
        .observe(live, { childList: true, subtree: true, characterData: true });
}"""
LOOKS = """looks => {
    Object.defineProperty(document, "hidden", { value: !looks, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""
IS_HIDDEN = """() => {
    const { left, top, width, height } = document.activeElement.getBoundingClientRect();
    const inSight = document.elementFromPoint(left + width / 2, top + height / 2);
    return inSight !== null && inSight.closest(".pages") !== null && !document.activeElement.closest(".pages");
}"""
IN_SIGHT = """one => {
    const { left, top, width, height } = one.getBoundingClientRect();
    return one.contains(document.elementFromPoint(left + width / 2, top + height / 2));
}"""
ENDS_IN_SIGHT = """all => all.map((one) => {
    const { left, bottom } = one.getBoundingClientRect();
    return one.closest(".card").contains(document.elementFromPoint(left + 5, bottom - 1));
})"""
READ_ALOUD = """[...document.querySelectorAll(".answer *")].filter((one) => {
    const live = one.closest("[aria-live], [role=status]");
    return !one.children.length && one.checkVisibility() && live.ariaLive !== "off" && one.textContent;
}).map((one) => one.textContent)"""
DRAWN_FROM = "[...document.querySelectorAll('use')].map((one) => one.getAttribute('href').split('#')[0])"
ALL_COME = "files => Promise.all(files.map((file) => fetch(file).then((answer) => answer.ok, () => false)))"
KEEPS_STREAMS = """window.streams = [];
EventSource = class extends EventSource { constructor(...how) { super(...how); streams.push(this); } };"""
PAINTED = """() => Chart.getChart("chart").data.datasets.map(({ backgroundColor }) => {
    const pen = new OffscreenCanvas(8, 8).getContext("2d");
    pen.fillStyle = backgroundColor;
    pen.fillRect(0, 0, 8, 8);
    return pen.getImageData(0, 0, 8, 8).data.join();
})"""
LETTERS_TWICE_AS_LARGE = """const twice = new CSSStyleSheet();
twice.replaceSync("html { font-size: 200% }");
document.adoptedStyleSheets = [twice];"""
PLACES = "all => all.map((one) => [one.getBoundingClientRect().x, one.getBoundingClientRect().y])"
BARS_ARE_HIGH = "() => globalThis.Chart?.getChart('chart')?.chartArea.height >= 180"
CHART_IS_AS_HIGH = "height => Chart.getChart('chart').height === height"
EDGE_AND_LOWEST_NAME = """() => {
    const chart = Chart.getChart("chart"), places = chart.legend.legendHitBoxes;
    return [chart.height, Math.max(...places.map((one) => one.top + one.height))];
}"""
LONG_NAMES = (
    "Elektronik & Baterai",
    "Papier und Karton",
    "Food & Garden Waste",
    "Bahan Berbahaya & Beracun",
    "Sampah Makanan & Kebun",
    "Hazardous Substances",
    "Biodegradable",
    "Recyclable",
)
PAGES = ["/now", "/ask", "/teach", "/history", "/health", "/login", "/nowhere", "/offline"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def bin_(tmp_path: Path) -> Bin:
    now_s = time.time()
    drops = [
        Drop(0, now_s - 60, "glass", "recyclable", 0.9, "sure", {"glass": 0.9, "plastic": 0.1}, "1", True),
        Drop(0, now_s - 30, "plastic", "residual", 0.4, "unsure", {"plastic": 0.4, "glass": 0.3}, "1", True),
    ]
    return make_bin(
        tmp_path,
        clock=SystemClock(),
        appliance=PlayedAppliance(Config().compartments),
        journal=journal_in(tmp_path, drops),
        diagnose=lambda: [Check("disk", False, "The card is full; remove something.")],
        edit_config=lambda changes: None,
    )


@pytest.fixture
def server(bin_: Bin) -> Iterator[PageServer]:
    with PageServer(create_app(bin_), "127.0.0.1", 0) as server:
        yield server


@pytest.fixture(params=[PHONE, KIOSK], ids=["phone", "kiosk"])
def visitor(request: pytest.FixtureRequest, chromium: Any, server: PageServer) -> Iterator[Visitor]:
    visitor = Visitor(chromium, server.url, request.param)
    yield visitor
    visitor.tab.context.close()
    assert visitor.complaints == []


def test_a_visitor_watches_a_drop_and_sees_the_lid_open(visitor: Visitor, bin_: Bin) -> None:
    bin_.appliance.show(plain("glass", 480, 640), 1.0)
    visitor.tab.goto("/")
    visitor.tab.get_by_alt_text("What the camera sees on the tray").wait_for()
    visitor.tab.locator("#region rect").wait_for()
    closed = _lid_box(visitor)
    for event in (
        StateEvent(time.time(), "serving"),
        DecisionEvent(time.time(), 1, "glass", "recyclable", 0.93, "sure", 3, 400.0, {"glass": 0.9, "metal": 0.1}),
        SignalEvent(time.time(), "here", "recyclable"),
        LidEvent(time.time(), "recyclable", "open"),
    ):
        bin_.appliance.tell(event)
    lid = visitor.tab.get_by_role("listitem").filter(has_text="Recyclable").filter(has_text="open")
    lid.wait_for()
    visitor.tab.get_by_role("status").filter(has_text="Drop it in!").wait_for()
    assert visitor.tab.locator("#decision .verdict").inner_text().split() == ["Glass", "→", "Recyclable"]
    visitor.tab.get_by_label("What lay on the tray when it was judged").wait_for()
    visitor.tab.wait_for_function(LID_IS_HIGHER, arg=closed)


def test_a_picture_of_before_the_camera_failed_is_not_shown_as_what_it_sees(visitor: Visitor, bin_: Bin) -> None:
    bin_.appliance.show(plain("glass", 480, 640), 1.0)
    bin_.appliance.tell(FaultEvent(time.time(), "camera", "The camera gives no pictures."))
    visitor.tab.goto("/now")
    visitor.tab.get_by_text("The camera gives no pictures.").wait_for()
    visitor.tab.wait_for_function("() => document.getElementById('tray').src.startsWith('data:')")
    assert visitor.tab.get_by_text("No picture from the camera.").is_visible()
    assert not visitor.tab.get_by_alt_text("What the camera sees on the tray").is_visible()
    bin_.appliance.tell(FaultEvent(time.time(), "camera", "It is back.", is_over=True))
    visitor.tab.get_by_alt_text("What the camera sees on the tray").wait_for()


def _lid_box(visitor: Visitor) -> float:
    height: float = visitor.tab.locator(".lid").nth(1).bounding_box()["height"]
    return height


def test_who_hears_nothing_from_the_bin_is_told_that_the_connection_is_lost(chromium: Any, server: PageServer) -> None:
    visitor = Visitor(chromium, server.url, PHONE, service_workers="block")
    visitor.tab.route("**/events", lambda route: None)  # as in a network that is gone: not even refused
    visitor.tab.clock.install()
    visitor.tab.goto("/now")
    visitor.tab.clock.run_for(26_000)
    visitor.tab.get_by_text("The connection to the bin is lost.").wait_for()
    visitor.tab.context.close()


def test_a_kiosk_shows_the_new_lids_after_the_bin_has_started_anew_with_others(chromium: Any, bin_: Bin) -> None:
    with PageServer(create_app(bin_), "127.0.0.1", 0) as server:
        kiosk = Visitor(chromium, server.url, KIOSK)
        kiosk.tab.goto("/")
        kiosk.tab.get_by_text("Ready. Lay something on the tray.").wait_for()
    with PageServer(create_app(replace(bin_, config=_labelled("Kitchen waste"))), "127.0.0.1", server.port):
        kiosk.tab.locator(".lids").get_by_text("Kitchen waste").first.wait_for()
        kiosk.tab.context.close()


def _labelled(label: str, more: int = 0) -> Config:
    """The usual compartments and some more, all with this label."""
    names = [*Config().compartments, *(f"more_{number}" for number in range(more))]
    return Config(
        compartments={name: CompartmentSection(servo_pin=pin, label={"en": label}) for pin, name in enumerate(names, 4)}
    )


def test_a_resident_asks_about_several_photos_and_reads_where_they_go(visitor: Visitor) -> None:
    visitor.ask(bottle=photo_of("glass"), peel=photo_of("organic"))
    visitor.tab.locator(".answer .chip", has_text="Recyclable").wait_for()
    visitor.tab.locator(".answer .chip", has_text="Organic").wait_for()
    answer = visitor.tab.locator(".answer", has_text="Glass ·").first
    assert answer.locator(".bars li").count() == 10
    assert answer.locator(".chip").evaluate("chip => getComputedStyle(chip).backgroundColor") == "rgb(249, 168, 37)"


def test_who_asks_sees_what_the_bin_does_and_answers_without_scrolling(visitor: Visitor) -> None:
    seen: list[bool] = []

    def answer_late(route: Any) -> None:
        seen.append(visitor.tab.get_by_text("Looking at your photo …").evaluate(IN_SIGHT))
        route.continue_()

    visitor.tab.context.route("**/api/classify", answer_late)
    visitor.ask(bottle=photo_of("glass"))
    end = visitor.tab.locator(".answer summary:visible")
    end.wait_for()
    assert seen == [True]
    visitor.tab.wait_for_function(IN_SIGHT, arg=end.element_handle())


def test_of_very_many_photos_the_later_ones_wait_and_need_not_be_chosen_again(
    chromium: Any, bin_: Bin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device.page.ask.UPLOADS_OF_ONE", 1)
    monkeypatch.setattr("device.page.ask.UPLOADS_PERIOD_S", 3.0)
    with PageServer(create_app(bin_), "127.0.0.1", 0) as server:
        visitor = Visitor(chromium, server.url, PHONE)
        visitor.ask(bottle=photo_of("glass"), can=photo_of("metal"))
        visitor.tab.get_by_text("Too many photos at once; wait a little.").wait_for()
        visitor.tab.locator(".answer .chip:visible").nth(1).wait_for()
        assert visitor.tab.locator(".answer.wrong").count() == 0
        visitor.tab.context.close()


def test_a_photo_that_finds_the_bin_busy_is_asked_about_again_a_few_times_where_waiting_helps(
    chromium: Any, server: PageServer
) -> None:
    visitor = Visitor(chromium, server.url, PHONE, service_workers="block")
    asked: list[str] = []

    def refuse(sentence: str, times: int, headers: dict[str, str]) -> None:
        def answer(route: Any) -> None:
            asked.append(sentence)
            if asked.count(sentence) > times:
                route.continue_()
            else:
                route.fulfill(status=503, json={"error": sentence}, headers=headers)

        visitor.tab.route("**/api/classify", answer)
        visitor.ask(bottle=photo_of("glass"))

    refuse("Busy.", 2, {"Retry-After": "1"})
    visitor.tab.get_by_text("The bin is busy. Asking again …").wait_for()
    visitor.tab.locator(".answer .chip", has_text="Recyclable").wait_for()
    refuse("Busy for long.", 99, {"Retry-After": "0.01"})
    visitor.tab.locator(".answer.wrong").get_by_text("Busy for long.").wait_for()
    refuse("Start the bin again.", 99, {})
    visitor.tab.locator(".answer.wrong").get_by_text("Start the bin again.").wait_for()
    assert [asked.count(sentence) for sentence in dict.fromkeys(asked)] == [3, 5, 1]
    visitor.tab.context.close()


def test_who_asks_about_several_files_reads_which_of_them_are_no_pictures_and_how_large_they_may_be(
    visitor: Visitor,
) -> None:
    visitor.tab.goto("/ask")
    sizes = {"holiday.mov": 2000, "a" * 60 + ".heic": 13_000_000}
    files = [{"name": name, "mimeType": "image/heic", "buffer": b"x" * size} for name, size in sizes.items()]
    visitor.tab.set_input_files("#choose", files)
    cards = visitor.tab.locator(".answer.wrong")
    cards.nth(1).wait_for()
    told = [card.inner_text() for card in cards.all()]
    assert all(name in text for name, text in zip(reversed(sizes), told, strict=True))
    assert "up to 12 MB" in told[0]
    assert "no JPEG" in told[1]
    assert visitor.tab.evaluate(STICKS_OUT) == []
    visitor.complaints.clear()  # the console tells of the answer 415


def test_a_photo_that_is_dropped_or_pasted_is_asked_about_too(visitor: Visitor) -> None:
    visitor.tab.goto("/ask")
    for kind, field in (("drop", "dataTransfer"), ("paste", "clipboardData")):
        visitor.tab.evaluate(
            """([kind, field, bytes]) => {
                const held = new DataTransfer();
                held.items.add(new File([new Uint8Array(bytes)], "p.jpg", { type: "image/jpeg" }));
                const event = new Event(kind, { bubbles: true, cancelable: true });
                Object.defineProperty(event, field, { value: held });
                document.body.dispatchEvent(event);
            }""",
            [kind, field, list(photo_of("metal"))],
        )
    visitor.tab.locator(".answer h2", has_text="Metal").nth(1).wait_for()


def test_a_large_photo_is_made_smaller_before_it_is_sent(visitor: Visitor) -> None:
    import cv2
    import numpy as np

    noise = np.random.default_rng(1).integers(0, 255, (1500, 2100, 3), np.uint8)
    large = bytes(cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])
    with visitor.tab.expect_request("**/api/classify") as asked:
        visitor.ask(large=large)
    visitor.tab.locator(".answer h2").wait_for()
    assert int(asked.value.all_headers()["content-length"]) < len(large) / 2


def test_a_photo_of_more_pixels_than_the_bin_takes_is_made_smaller_before_it_is_sent(owner: Visitor) -> None:
    owner.ask(wide=jpeg(plain("glass", 1000, PIXELS_AT_MOST // 1000 + 1)))
    owner.tab.locator(".answer h2", has_text="Glass").wait_for()


def test_the_owner_logs_in_corrects_a_photo_and_a_drop_and_logs_out(visitor: Visitor, bin_: Bin) -> None:
    visitor.log_in()
    visitor.ask(bottle=photo_of("glass"))
    card = visitor.tab.locator(".answer")
    card.get_by_role("button", name="Plastic").click()
    card.get_by_text("Saved. Thank you!").wait_for()
    assert [material for _, material, _ in bin_.journal.lessons()] == ["plastic"]
    visitor.tab.goto("/teach")
    first = visitor.tab.get_by_role("article").first
    assert "unsure" in first.inner_text()
    first.get_by_role("button", name="Glass").click()
    first.get_by_text("Saved. Thank you!").wait_for()
    assert bin_.journal.drops(Search(), 1)[0].corrected == "glass"
    visitor.tab.get_by_role("button", name="Log out").click()
    visitor.tab.get_by_role("link", name="Log in").wait_for()
    visitor.tab.goto("/teach")
    visitor.tab.get_by_label("Password").wait_for()


def test_a_resident_reads_no_program_s_message_where_a_proxy_answers_for_the_bin(owner: Visitor) -> None:
    owner.tab.context.route("**/api/classify", lambda route: route.fulfill(status=502, body="<html>Bad Gateway"))
    owner.ask(bottle=photo_of("glass"))
    owner.tab.locator(".answer.wrong").get_by_text("The bin did not answer.").wait_for()


def test_an_owner_is_told_that_a_correction_did_not_reach_the_bin(owner: Visitor) -> None:
    owner.ask(bottle=photo_of("glass"))
    owner.tab.locator(".answer h2").wait_for()
    owner.tab.context.set_offline(True)
    owner.tab.locator(".correct").get_by_role("button", name="Plastic").click()
    owner.tab.get_by_text("That was not saved. The bin did not answer.").wait_for()


def test_an_owner_whose_session_is_over_reads_why_a_correction_was_not_saved(owner: Visitor, bin_: Bin) -> None:
    for path in ("/ask", "/teach"):
        owner.log_in()
        if path == "/ask":
            owner.ask(bottle=photo_of("glass"))
            owner.tab.locator(".answer h2").wait_for()
        else:
            owner.tab.goto(path)
        Password(bin_.state).set(PASSWORD)
        owner.tab.locator(".correct").first.get_by_role("button", name="Plastic").click()
        owner.tab.get_by_text("That was not saved. Log in as the owner first.").wait_for()


def test_the_owner_moves_a_lid_in_maintenance(visitor: Visitor, bin_: Bin) -> None:
    visitor.log_in()
    visitor.tab.goto("/health")
    assert visitor.tab.get_by_role("button", name="Open Organic").is_disabled()
    with visitor.tab.expect_response("**/health/maintenance"):
        visitor.tab.get_by_role("button", name="Start maintenance").click()
    bin_.appliance.tell(StateEvent(time.time(), "maintenance"))
    with visitor.tab.expect_response("**/health/lids"):
        visitor.tab.get_by_role("button", name="Open Organic").click()
    assert bin_.appliance.requests == [Maintenance(True), OpenLid("organic")]
    bin_.appliance.tell(LidEvent(time.time(), "organic", "open"))
    visitor.tab.locator(".by-hand li", has_text="Organic").get_by_text("open", exact=True).wait_for()


def test_an_owner_at_health_sees_a_fault_come_and_go(owner: Visitor, bin_: Bin) -> None:
    owner.tab.get_by_text("No fault right now.").wait_for()
    bin_.appliance.tell(FaultEvent(time.time(), "lid organic", "The lid organic is stuck."))
    owner.tab.get_by_text("The lid organic is stuck.").wait_for()
    assert not owner.tab.get_by_text("No fault right now.").is_visible()
    bin_.appliance.tell(FaultEvent(time.time(), "lid organic", "The lid organic closes again.", is_over=True))
    owner.tab.get_by_text("No fault right now.").wait_for()
    assert owner.tab.locator(".faults li").count() == 0


@pytest.mark.parametrize("part", ["camera", "tray"])
def test_nobody_is_asked_to_lay_something_down_while_the_bin_would_not_sort_it(
    visitor: Visitor, bin_: Bin, part: str
) -> None:
    state = visitor.tab.locator("#state")
    visitor.tab.goto("/now")
    state.get_by_text("Ready. Lay something on the tray.").wait_for()
    bin_.appliance.tell(FaultEvent(time.time(), part, "Nothing is sorted."))
    state.get_by_text("Something needs attention.").wait_for()
    told = visitor.tab.get_by_text("Nothing is sorted.").bounding_box()
    assert told["y"] + told["height"] <= visitor.tab.viewport_size["height"]
    bin_.appliance.tell(StateEvent(time.time(), "maintenance"))
    state.get_by_text("In maintenance: the lids move by hand.").wait_for()
    bin_.appliance.tell(StateEvent(time.time(), "empty"))
    state.get_by_text("Something needs attention.").wait_for()
    bin_.appliance.tell(FaultEvent(time.time(), part, "", is_over=True))
    state.get_by_text("Ready. Lay something on the tray.").wait_for()


def test_a_visitor_who_reads_indonesian_is_told_of_a_fault_in_it_and_the_part_s_own_words_follow(
    chromium: Any, server: PageServer, bin_: Bin
) -> None:
    tab = chromium.new_page(locale="id-ID", base_url=server.url)
    tab.goto("/now")
    bin_.appliance.tell(FaultEvent(time.time(), "camera", "The camera is frozen."))
    bin_.appliance.tell(FaultEvent(time.time(), "lid residual", "The lid residual is stuck."))
    told = tab.locator(".faults")
    told.get_by_text("Residu: tutup ini tidak bergerak").wait_for()
    on_now = told.inner_text()
    assert "Kamera tidak memberi gambar" in on_now
    assert told.locator("[lang=en]").all_inner_texts() == ["The camera is frozen.", "The lid residual is stuck."]
    tab.goto("/health")
    assert told.inner_text() == on_now
    tab.close()


def test_an_owner_at_health_does_not_read_that_a_bin_out_of_reach_is_in_order(owner: Visitor) -> None:
    owner.tab.route("**/events", lambda route: route.abort())
    owner.tab.goto("/health")
    owner.tab.get_by_role("status").filter(has_text="The connection to the bin is lost.").wait_for()
    assert not owner.tab.get_by_text("No fault right now.").is_visible()
    owner.tab.unroute("**/events")
    owner.tab.get_by_text("No fault right now.").wait_for()


def test_an_owner_who_taps_twice_begins_maintenance_and_does_not_end_it_at_once(owner: Visitor, bin_: Bin) -> None:
    owner.tab.clock.install(time=0)
    owner.tab.goto("/health")
    owner.tab.clock.pause_at(60_000)
    owner.tab.get_by_role("button", name="Start maintenance").click()
    bin_.appliance.tell(StateEvent(time.time(), "maintenance"))
    owner.tab.get_by_role("button", name="End maintenance").click()
    owner.tab.clock.run_for(1000)
    with owner.tab.expect_response("**/health/maintenance"):
        owner.tab.get_by_role("button", name="End maintenance").click()
    assert bin_.appliance.requests == [Maintenance(True), Maintenance(False)]


@pytest.fixture
def owner(chromium: Any, server: PageServer) -> Iterator[Visitor]:
    """The owner at Health, who may meet faults."""
    owner = Visitor(chromium, server.url, PHONE)
    owner.log_in()
    owner.tab.goto("/health")
    yield owner
    owner.tab.context.close()


@pytest.fixture
def no_stream_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device.page.now.STREAMS_AT_MOST", 0)


def test_an_owner_without_a_place_in_the_stream_sees_the_lids_all_the_same(
    no_stream_place: None, owner: Visitor, bin_: Bin
) -> None:
    owner.tab.get_by_role("button", name="Start maintenance").click()
    bin_.appliance.tell(StateEvent(time.time(), "maintenance"))
    owner.tab.get_by_role("button", name="End maintenance").wait_for()
    bin_.appliance.tell(LidEvent(time.time(), "organic", "open"))
    owner.tab.locator(".by-hand li", has_text="Organic").get_by_text("open", exact=True).wait_for()


def test_an_owner_whose_session_is_over_is_asked_to_log_in_before_a_lid_moves(owner: Visitor) -> None:
    # What is still on its way brings the session's cookie back.
    owner.tab.evaluate("navigator.serviceWorker.ready.then(() => true)")
    owner.tab.locator(".by-hand li", has_text="Organic").get_by_text("closed", exact=True).wait_for()
    owner.tab.context.clear_cookies()
    owner.tab.get_by_role("button", name="Start maintenance").click()
    owner.tab.locator("main").get_by_role("link", name="Log in").wait_for()


def test_an_owner_whose_session_ran_out_over_the_settings_is_back_at_them_after_the_login(
    owner: Visitor, bin_: Bin
) -> None:
    Password(bin_.state).set(PASSWORD)
    owner.tab.get_by_role("button", name="Check and save").click()
    owner.tab.locator("main").get_by_role("link", name="Log in").click()
    owner.tab.get_by_label("Password").fill(PASSWORD)
    owner.tab.get_by_role("button", name="Log in").click()
    owner.tab.get_by_role("button", name="Check and save").wait_for()


def test_an_owner_is_told_when_the_bin_is_out_of_reach_of_a_lid_s_button(owner: Visitor) -> None:
    owner.tab.evaluate("navigator.serviceWorker.ready.then(() => true)")
    owner.tab.context.set_offline(True)
    owner.tab.get_by_role("button", name="Start maintenance").click()
    owner.tab.get_by_role("heading", name="The bin cannot be reached").wait_for()


def test_an_owner_whose_browser_runs_no_scripts_sees_how_the_lids_stand(owner: Visitor, bin_: Bin) -> None:
    bin_.appliance.tell(LidEvent(time.time(), "organic", "fault"))
    context = owner.tab.context.browser.new_context(
        base_url=owner.tab.url, java_script_enabled=False, storage_state=owner.tab.context.storage_state()
    )
    tab = context.new_page()
    tab.goto("/health")
    assert tab.locator(".lid-state").all_inner_texts() == ["stuck", "closed", "closed", "closed"]
    context.close()


def test_a_screen_reader_is_told_the_lid_that_moves_and_none_that_stands(owner: Visitor, bin_: Bin) -> None:
    owner.tab.add_init_script(f"addEventListener('DOMContentLoaded', () => {{ {COUNTS_WHAT_IS_SAID} }})")
    owner.tab.goto("/health")
    bin_.appliance.tell(LidEvent(time.time(), "organic", "open"))
    owner.tab.locator(".by-hand").get_by_text("open", exact=True).wait_for()
    assert owner.tab.evaluate("said") == ["open"]


@pytest.mark.parametrize("path", ["/now", "/health"])
def test_who_does_not_look_leaves_the_place_in_the_stream_to_another(owner: Visitor, path: str) -> None:
    owner.tab.add_init_script(KEEPS_STREAMS)
    owner.tab.goto(path)
    owner.tab.wait_for_function("() => streams.length === 1 && streams[0].readyState === EventSource.OPEN")
    owner.tab.evaluate(LOOKS, False)
    assert owner.tab.evaluate("streams[0].readyState === EventSource.CLOSED")
    owner.tab.evaluate(LOOKS, True)
    owner.tab.wait_for_function("() => streams.length === 2 && streams[1].readyState === EventSource.OPEN")


def test_a_resident_switches_to_indonesian_and_it_stays(visitor: Visitor) -> None:
    visitor.tab.goto("/ask")
    visitor.tab.get_by_role("button", name="Bahasa Indonesia").click()
    visitor.tab.get_by_role("heading", name="Ini dibuang ke mana?").wait_for()
    visitor.ask(bottle=photo_of("glass"))
    visitor.tab.locator(".answer .chip", has_text="Daur ulang").wait_for()
    assert visitor.tab.evaluate("document.documentElement.lang") == "id"


def test_a_phone_that_speaks_indonesian_is_answered_in_it(chromium: Any, server: PageServer) -> None:
    context = chromium.new_context(locale="id-ID", base_url=server.url)
    tab = context.new_page()
    tab.goto("/")
    tab.get_by_text("Siap. Letakkan sesuatu di baki.").wait_for()
    context.close()


def test_the_page_is_used_by_keyboard_alone(visitor: Visitor) -> None:
    visitor.tab.goto("/ask")
    visitor.tab.keyboard.press("Tab")
    assert visitor.tab.evaluate("document.activeElement.className") == "skip"
    visitor.tab.keyboard.press("Enter")
    assert visitor.tab.evaluate("document.activeElement.id") == "main"
    visitor.tab.keyboard.press("Tab")
    assert visitor.tab.evaluate("document.activeElement.id") == "take"


def test_an_owner_at_the_keyboard_types_the_password_again_where_they_are_told_that_it_was_wrong(
    chromium: Any, server: PageServer
) -> None:
    owner = Visitor(chromium, server.url, KIOSK)
    owner.tab.goto("/login")
    owner.tab.keyboard.type("correct hose battery\n")
    owner.tab.locator("#password[aria-invalid=true]:focus").wait_for()
    told = owner.tab.evaluate(
        "document.getElementById(document.activeElement.getAttribute('aria-describedby')).textContent"
    )
    assert told == "This is not the password."
    owner.tab.keyboard.type(f"{PASSWORD}\n")
    owner.tab.get_by_role("button", name="Log out").wait_for()
    owner.tab.context.close()


def test_no_field_that_the_keyboard_reaches_is_hidden_by_the_navigation(owner: Visitor) -> None:
    for key in ("Tab", "Shift+Tab"):
        for _ in range(60):
            owner.tab.keyboard.press(key)
            assert not owner.tab.evaluate(IS_HIDDEN), owner.tab.evaluate("document.activeElement.outerHTML")


def test_an_owner_at_the_keyboard_ends_maintenance_with_the_key_that_began_it(owner: Visitor, bin_: Bin) -> None:
    owner.tab.get_by_role("button", name="Start maintenance").press("Enter")
    bin_.appliance.tell(StateEvent(time.time(), "maintenance"))
    owner.tab.get_by_role("button", name="End maintenance").wait_for()
    assert owner.tab.evaluate("document.activeElement.textContent") == "End maintenance"


def test_a_screen_reader_tells_which_lid_opens_by_hand(owner: Visitor, bin_: Bin) -> None:
    bin_.appliance.tell(LidEvent(time.time(), "organic", "open"))
    owner.tab.get_by_role("status").filter(has_text="Organic").get_by_text("open", exact=True).wait_for()


def test_a_screen_reader_tells_which_led_is_lit(visitor: Visitor, bin_: Bin) -> None:
    visitor.tab.goto("/now")
    bin_.appliance.tell(SignalEvent(time.time(), "thinking"))
    visitor.tab.locator(".leds [aria-current=true]", has_text="thinking").wait_for()
    assert visitor.tab.locator(".leds [aria-current=true]").count() == 1


def test_a_screen_reader_tells_what_a_photo_is_and_not_each_possibility_and_button(owner: Visitor) -> None:
    owner.ask(bottle=photo_of("glass"))
    owner.tab.locator(".answer h2").wait_for()
    owner.tab.get_by_text("All possibilities").click()
    owner.tab.locator(".bars li").first.wait_for()
    assert owner.tab.evaluate(READ_ALOUD) == ["Glass · 100%", "goes into", "Recyclable"]


def test_a_screen_reader_without_a_place_in_the_stream_hears_each_thing_once(
    no_stream_place: None, owner: Visitor, bin_: Bin
) -> None:
    bin_.appliance.tell(DecisionEvent(1.0, 1, "organic", "organic", 0.9, "sure", 3, 400.0, {"organic": 0.9}))
    owner.tab.goto("/now")
    owner.tab.locator("#decision").wait_for()
    owner.tab.evaluate(COUNTS_WHAT_IS_SAID)
    for _ in range(2):
        with owner.tab.expect_response("**/api/now"):
            pass
    bin_.appliance.tell(StateEvent(time.time(), "leaving"))
    owner.tab.get_by_text("Thank you!").wait_for()
    assert owner.tab.evaluate("said") == ["Thank you!"]


@pytest.mark.parametrize("path", ["/now", "/health"])
def test_a_screen_reader_tells_a_fault_once_however_often_the_bin_says_how_it_is(
    no_stream_place: None, owner: Visitor, bin_: Bin, path: str
) -> None:
    owner.tab.goto(path)
    owner.tab.evaluate(COUNTS_WHAT_IS_SAID)
    bin_.appliance.tell(FaultEvent(time.time(), "lid organic", "The lid organic is stuck."))
    owner.tab.get_by_text("The lid organic is stuck.").wait_for()
    for _ in range(2):
        with owner.tab.expect_response("**/api/now"):
            pass
    assert owner.tab.evaluate("said") == ["The lid organic is stuck."]


def test_a_screen_reader_listens_for_the_first_drop_before_it_is_there(visitor: Visitor) -> None:
    visitor.tab.goto("/now")
    assert visitor.tab.locator("[aria-live]", has=visitor.tab.locator("#decision")).is_visible()


def test_every_page_fits_its_screen_in_both_languages(visitor: Visitor) -> None:
    visitor.log_in()
    for language in ("English", "Bahasa Indonesia"):
        visitor.tab.get_by_role("button", name=language).click()
        for path in PAGES[:6]:
            visitor.tab.goto(path)
            width = visitor.tab.evaluate("document.documentElement.scrollWidth")
            assert width <= visitor.tab.viewport_size["width"], f"{path} in {language} is {width} px wide"


@pytest.mark.parametrize("language", ["en-GB", "id-ID"])
@pytest.mark.parametrize(("width", "height"), [(800, 480), (1024, 600)])
def test_the_page_fits_a_pi_s_own_small_screen_with_all_lids_in_sight(
    chromium: Any, server: PageServer, bin_: Bin, width: int, height: int, language: str
) -> None:
    bin_.appliance.show(plain("glass", 480, 640), 1.0)
    tab = chromium.new_page(viewport={"width": width, "height": height}, locale=language, base_url=server.url)
    tab.goto("/")
    tab.locator("#region").wait_for()
    bin_.appliance.tell(DecisionEvent(1.0, 1, "organic", "organic", 0.9, "sure", 3, 400.0, {"organic": 0.9}))
    tab.locator("#judged").wait_for()
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    box = tab.locator(".lids").bounding_box()
    assert box["y"] + box["height"] <= height
    tab.close()


@pytest.mark.parametrize(("width", "height"), [(480, 800), (800, 1280)])
def test_a_kiosk_that_stands_upright_shows_tray_and_last_decision_below_the_bin_without_scrolling(
    chromium: Any, server: PageServer, bin_: Bin, width: int, height: int
) -> None:
    bin_.appliance.show(plain("glass", 480, 640), 1.0)
    bin_.appliance.tell(DecisionEvent(1.0, 1, "organic", "organic", 0.9, "sure", 3, 400.0, {"organic": 0.9}))
    tab = chromium.new_page(viewport={"width": width, "height": height}, base_url=server.url)
    tab.goto("/")
    tab.locator("#region").wait_for()
    tab.locator("#decision").wait_for()
    assert tab.locator(".bin").bounding_box()["width"] > width * 0.9
    assert tab.locator("#tray, .verdict").evaluate_all(ENDS_IN_SIGHT) == [True, True]
    tab.close()


@pytest.mark.parametrize("language", ["en-GB", "id-ID"])
@pytest.mark.parametrize(("width", "height"), [(800, 480), (1024, 600), (1280, 800), (480, 800)])
def test_three_faults_push_no_lid_out_of_sight_on_a_screen_that_nobody_scrolls(
    chromium: Any, server: PageServer, bin_: Bin, width: int, height: int, language: str
) -> None:
    bin_.appliance.show(plain("glass", 480, 640), 1.0)
    bin_.appliance.tell(DecisionEvent(1.0, 1, "organic", "organic", 0.9, "sure", 3, 400.0, {"organic": 0.9}))
    tab = chromium.new_page(viewport={"width": width, "height": height}, locale=language, base_url=server.url)
    tab.goto("/")
    tab.locator("#region").wait_for()
    for number, (part, message) in enumerate(
        (
            ("lid reuse", "The lid reuse cannot be moved; look at its cable."),
            ("tray", unrest(Sighting("arriving", 1e6, 0.0, (0, 0, 1, 1)))),
            ("journal", "The history /var/lib/pilah/journal.db cannot be used (No space left on device): look at it."),
        )
    ):
        bin_.appliance.tell(FaultEvent(2.0, part, message))
        tab.locator(".faults li").nth(number).wait_for()
        assert tab.locator(".lids").evaluate_all(ENDS_IN_SIGHT) == [True], part
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.evaluate("scrollTo(0, 9999)")
    assert tab.locator("#bars").evaluate_all(ENDS_IN_SIGHT) == [True], "whoever does scroll sees the rest"
    tab.close()


@pytest.mark.parametrize(("width", "lids"), [(320, 5), (360, 6), (800, 8)])
def test_many_lids_with_long_names_fit_every_page(chromium: Any, bin_: Bin, width: int, lids: int) -> None:
    bin_.appliance.tell(DecisionEvent(1.0, 1, "organic", "organic", 0.9, "sure", 3, 400.0, {"organic": 0.9}))
    labelled = replace(bin_, config=_labelled("Biodegradable kitchen and garden waste", lids - 4))
    with PageServer(create_app(labelled), "127.0.0.1", 0) as server:
        visitor = Visitor(chromium, server.url, {"width": width, "height": 480})
        visitor.log_in()
        for path in PAGES[:6]:
            visitor.tab.goto(path)
            if path == "/now":
                visitor.tab.locator("#decision").wait_for()
            assert visitor.tab.evaluate("document.documentElement.scrollWidth") <= width, path
            assert visitor.tab.evaluate(STICKS_OUT) == [], path
        visitor.tab.context.close()


@pytest.mark.parametrize("language", ["en-GB", "id-ID"])
@pytest.mark.parametrize("width", [320, 360])
def test_no_name_of_the_usual_lids_is_broken_on_a_narrow_phone(
    chromium: Any, server: PageServer, language: str, width: int
) -> None:
    tab = chromium.new_page(viewport={"width": width, "height": 740}, locale=language, base_url=server.url)
    tab.goto("/now")
    assert len(set(tab.locator(".lids strong").evaluate_all("names => names.map((name) => name.offsetHeight)"))) == 1
    tab.close()


@pytest.mark.parametrize("language", ["en-GB", "id-ID"])
@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_no_word_is_broken_of_the_names_and_states_of_eight_lids(
    chromium: Any, bin_: Bin, language: str, width: int
) -> None:
    with PageServer(create_app(replace(bin_, config=lids_labelled(*LONG_NAMES))), "127.0.0.1", 0) as server:
        tab = chromium.new_page(viewport={"width": width, "height": 740}, locale=language, base_url=server.url)
        tab.goto("/now")
        assert tab.locator(".lids li").evaluate_all(BROKEN_WORDS) == []
        tab.close()


@pytest.mark.parametrize("language", ["en-GB", "id-ID"])
def test_no_name_moves_on_a_phone_while_one_of_many_lids_does(chromium: Any, bin_: Bin, language: str) -> None:
    config = lids_labelled(*"ABCDEFGHIJ")
    bin_ = replace(bin_, config=config, appliance=PlayedAppliance(config.compartments))
    with PageServer(create_app(bin_), "127.0.0.1", 0) as server:
        tab = chromium.new_page(viewport=PHONE, locale=language, base_url=server.url)
        tab.goto("/now")
        tab.locator("li[data-lid=closed]").nth(9).wait_for()
        places = tab.locator(".lids li").evaluate_all(PLACES)
        for state in ("opening", "open", "closing", "fault"):
            bin_.appliance.tell(LidEvent(time.time(), "lid_1", state))
            tab.locator(f"li[data-lid={state}]").wait_for()
            assert tab.locator(".lids li").evaluate_all(PLACES) == places, state
        tab.close()


@pytest.mark.parametrize("language", ["English", "Bahasa Indonesia"])
@pytest.mark.parametrize(("width", "by"), [(320, "browser"), (412, "browser"), (320, "style sheet")])
def test_every_page_fits_the_phone_of_who_reads_letters_twice_as_large(
    chromium: Any, server: PageServer, bin_: Bin, width: int, by: str, language: str
) -> None:
    bin_.appliance.tell(DecisionEvent(1.0, 1, "organic", "organic", 0.9, "sure", 3, 400.0, {"organic": 0.9}))
    reader = Visitor(chromium, server.url, {"width": width, "height": 740})
    if by == "browser":
        settings = reader.tab.context.new_cdp_session(reader.tab)
        settings.send("Page.setFontSizes", {"fontSizes": {"standard": 32}})
    else:
        reader.tab.add_init_script(LETTERS_TWICE_AS_LARGE)
    reader.log_in()
    reader.tab.get_by_role("button", name=language).click()
    for path in PAGES:
        reader.tab.goto(path)
        if path == "/ask":
            reader.ask(bottle=photo_of("glass"))
            reader.tab.locator(".correct .pill").first.wait_for()
        assert reader.tab.evaluate("document.documentElement.scrollWidth") <= width, path
        assert reader.tab.evaluate(STICKS_OUT) == [], path
        assert reader.tab.evaluate(PAGES_OUT_OF_SIGHT) == [], path
    reader.tab.context.close()


@pytest.mark.parametrize(
    "chosen", [".pages [aria-current]", ".languages [aria-pressed=true]", ".leds .lit .lamp", ".bars .fill"]
)
def test_who_reads_in_high_contrast_sees_what_is_chosen(
    chromium: Any, server: PageServer, bin_: Bin, chosen: str
) -> None:
    tab = chromium.new_page(forced_colors="active", base_url=server.url)
    bin_.appliance.tell(SignalEvent(time.time(), "thinking"))
    bin_.appliance.tell(DecisionEvent(1.0, 1, "organic", "organic", 0.9, "sure", 3, 400.0, {"organic": 0.9}))
    tab.goto("/now")
    tab.locator(chosen).first.wait_for()
    colours = [
        tab.locator(one).first.evaluate("one => getComputedStyle(one).backgroundColor") for one in (chosen, "body")
    ]
    assert len(set(colours)) == 2
    tab.close()


def test_no_word_of_the_table_of_drops_is_broken_for_who_reads_letters_twice_as_large(
    chromium: Any, server: PageServer
) -> None:
    reader = Visitor(chromium, server.url, PHONE)
    settings = reader.tab.context.new_cdp_session(reader.tab)
    settings.send("Page.setFontSizes", {"fontSizes": {"standard": 32}})
    reader.tab.goto("/history")
    lines = reader.tab.locator(".drops thead th").evaluate_all(LINES_OF_EACH)
    assert lines == [1, 1, 1, 1, 1]
    reader.tab.context.close()


@pytest.mark.parametrize("size", [(320, 200), (667, 330)], ids=["enlarged four times", "small phone on its side"])
def test_who_reads_further_on_a_low_screen_has_all_of_it_for_reading(
    chromium: Any, server: PageServer, size: tuple[int, int]
) -> None:
    reader = Visitor(chromium, server.url, {"width": size[0], "height": size[1]})
    reader.tab.goto("/history")
    assert reader.tab.evaluate(PAGES_OUT_OF_SIGHT) == []
    reader.tab.get_by_role("heading", name="Each drop").evaluate("heading => heading.scrollIntoView()")
    assert reader.tab.locator(".pages").bounding_box()["y"] < 0
    reader.tab.context.close()


def test_a_phone_shows_the_chart_of_many_lids_with_all_their_names_and_bars_as_high_as_of_few(
    chromium: Any, bin_: Bin
) -> None:
    ten = replace(bin_, config=lids_labelled(*LONG_NAMES, "Glass", "Textile"))
    with PageServer(create_app(ten), "127.0.0.1", 0) as server:
        visitor = Visitor(chromium, server.url, PHONE)
        visitor.tab.goto("/history")
        visitor.tab.wait_for_function(BARS_ARE_HIGH)
        edge, lowest = visitor.tab.evaluate(EDGE_AND_LOWEST_NAME)
        assert lowest <= edge
        visitor.tab.set_viewport_size(KIOSK)
        visitor.tab.wait_for_function(CHART_IS_AS_HIGH, arg=304)  # 19rem: the names need less room
        visitor.tab.context.close()


def test_who_sees_no_colours_tells_the_lids_of_the_chart_apart(chromium: Any, bin_: Bin) -> None:
    lids = {f"lid_{at}": CompartmentSection(servo_pin=at, colour="#808080") for at in range(6)}
    materials = dict.fromkeys(Config().materials, "lid_0")
    config = Config.model_validate({"compartments": lids, "materials": materials, "decision": {"fallback": "lid_0"}})
    with PageServer(create_app(replace(bin_, config=config)), "127.0.0.1", 0) as server:
        visitor = Visitor(chromium, server.url, KIOSK)
        visitor.tab.goto("/history")
        visitor.tab.locator("#chart[width]").wait_for()
        assert len(set(visitor.tab.evaluate(PAINTED)[: len(lids)])) == len(lids)
        visitor.tab.context.close()


def test_the_last_days_of_the_chart_are_on_the_paper_too(chromium: Any, server: PageServer) -> None:
    visitor = Visitor(chromium, server.url, KIOSK)
    visitor.tab.add_init_script(
        "ResizeObserver = class { observe() {} unobserve() {} disconnect() {} };"
    )  # as for paper
    visitor.tab.goto("/history")
    visitor.tab.locator("#chart[width]").wait_for()
    visitor.tab.emulate_media(media="print")
    visitor.tab.set_viewport_size({"width": 700, "height": 1000})
    assert visitor.tab.evaluate(STICKS_OUT) == []
    assert visitor.tab.locator(".chart").bounding_box() == visitor.tab.locator("#chart").bounding_box()
    visitor.tab.context.close()


def test_axe_finds_no_serious_violation_on_any_page_light_or_dark(chromium: Any, server: PageServer) -> None:
    for size in (PHONE, KIOSK):
        visitor = Visitor(chromium, server.url, size)
        for is_owner in (False, True):
            if is_owner:
                visitor.log_in()
            for path in PAGES:
                visitor.tab.goto(path)
                if path == "/ask":
                    visitor.ask(bottle=photo_of("glass"), broken=b"none")
                    visitor.tab.locator(".answer.wrong").wait_for()
                for scheme in ("light", "dark"):
                    visitor.tab.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                    found = [(one["id"], one["nodes"][0]["html"]) for one in _serious(visitor.tab)]
                    assert found == [], f"{path}, {scheme}, {size['width']} px"
        visitor.tab.context.close()


def test_axe_would_find_a_violation(chromium: Any, server: PageServer) -> None:
    visitor = Visitor(chromium, server.url, PHONE)
    visitor.tab.goto("/ask")
    visitor.tab.evaluate("document.querySelector('h1').innerHTML = '<button></button>'")
    assert [one["id"] for one in _serious(visitor.tab)] == ["button-name"]
    visitor.tab.context.close()


def _serious(tab: Any) -> list[dict[str, Any]]:
    violations = axe.Axe().run(tab).response["violations"]
    return [one for one in violations if one["impact"] in ("serious", "critical")]


def test_the_page_is_installed_and_says_so_when_the_bin_is_out_of_reach(chromium: Any, server: PageServer) -> None:
    context = chromium.new_context(base_url=server.url, locale="en-GB")
    tab = context.new_page()
    tab.goto("/ask")
    tab.evaluate("navigator.serviceWorker.ready.then(() => true)")
    manifest = tab.evaluate("fetch('/manifest.webmanifest').then((answer) => answer.json())")
    for icon in manifest["icons"]:
        width, height = tab.evaluate(SIZE_OF_PICTURE, icon["src"])
        assert icon["sizes"] in ("any", f"{width}x{height}")
    context.set_offline(True)
    tab.goto("/history")
    tab.get_by_role("heading", name="The bin cannot be reached").wait_for()
    context.close()


def test_a_kiosk_that_is_on_before_the_bin_shows_it_once_it_answers(chromium: Any, server: PageServer) -> None:
    kiosk = Visitor(chromium, server.url, KIOSK)
    kiosk.tab.goto("/ask")
    kiosk.tab.evaluate("navigator.serviceWorker.ready.then(() => true)")
    kiosk.tab.context.set_offline(True)
    kiosk.tab.goto("/now")
    kiosk.tab.get_by_role("heading", name="The bin cannot be reached").wait_for()
    kiosk.tab.context.set_offline(False)
    kiosk.tab.get_by_text("Ready. Lay something on the tray.").wait_for()
    kiosk.tab.context.close()


def test_a_resident_reads_in_the_language_of_now_that_the_bin_is_out_of_reach(
    chromium: Any, server: PageServer
) -> None:
    resident = Visitor(chromium, server.url, PHONE)
    resident.tab.goto("/ask")
    resident.tab.evaluate("navigator.serviceWorker.ready.then(() => true)")
    resident.tab.get_by_role("button", name="Bahasa Indonesia").click()
    resident.tab.get_by_role("heading", name="Ini dibuang ke mana?").wait_for()
    resident.tab.wait_for_function(OFFLINE_SPEAKS, arg="id")
    resident.tab.context.set_offline(True)
    resident.tab.goto("/history")
    resident.tab.get_by_role("heading", name="Tempat sampah tidak dapat dihubungi").wait_for()
    assert resident.tab.locator("form").count() == 0
    assert all(resident.tab.evaluate(ALL_COME, resident.tab.evaluate(DRAWN_FROM))), "no icon is missing"
    resident.tab.context.close()
