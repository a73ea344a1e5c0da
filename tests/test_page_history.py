"""History, Teach and settings: what the owner and the visitor get to see and change."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from flask.testing import FlaskClient
from numpy.typing import NDArray

import device.page
from device.checks import Check
from device.clock import ManualClock
from device.config import CompartmentSection, Config, edit_config, read_config
from device.drops import Drop, Search
from device.errors import ConfigError
from device.journal import Journal
from device.page.app import create_app
from device.page.bin import Bin
from device.page.estimate import saving
from device.page.health import GOOD_FOR_S
from device.page.words import LANGUAGES
from tests.bundles import plain
from tests.page_parts import PASSWORD, journal_in, jpeg, make_bin, photo_of

NOON_S = datetime(2026, 6, 15, 12).timestamp()
DAY_S = 86_400.0


def drop(material: str, verdict: str = "sure", days_ago: int = 0) -> Drop:
    compartment = Config().materials[material] if verdict == "sure" else "residual"
    return Drop(
        0, NOON_S - days_ago * DAY_S, material, compartment, 0.9, verdict, {material: 0.9}, "1", has_thumbnail=True
    )


def many_drops(folder: Path, number: int) -> Journal:
    """So many of the same metal."""
    journal = journal_in(folder, [drop("metal")])
    columns = "time_s, material, compartment, verdict, confidence, probabilities"
    with contextlib.closing(sqlite3.connect(journal.path)) as database, database:
        copy = f"INSERT INTO drops ({columns}) SELECT {columns} FROM drops WHERE id = 1"
        database.executemany(copy, [()] * (number - 1))
    return journal


def corrected(journal: Journal, number: int) -> str | None:
    return journal.drops(Search(), 1, before_id=number + 1)[0].corrected


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return journal_in(
        tmp_path,
        [
            drop("glass", days_ago=40),
            drop("organic", days_ago=2),
            drop("glass", "unsure", days_ago=1),
            drop("metal"),
        ],
    )


def owner_of(bin_: Bin) -> tuple[FlaskClient, str]:
    client = create_app(bin_).test_client()
    client.environ_base["HTTP_ACCEPT"] = "text/html"

    def token() -> str:
        return re.findall('name="csrf-token" content="([^"]+)"', client.get("/login").text)[0]

    client.post("/login", data={"password": PASSWORD, "csrf_token": token()})
    return client, token()


@pytest.fixture
def bin_(tmp_path: Path, journal: Journal) -> Bin:
    return make_bin(tmp_path, journal=journal, clock=ManualClock(wall_s=NOON_S))


def rows_of(client: FlaskClient, query: str = "") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(client.get(f"/history.csv{query}").text)))


def shown_by(client: FlaskClient, query: str = "") -> list[str]:
    """The numbers of the drops that the page lists, told by their days and materials."""
    numbers = {"Glass": "3", "Metal": "4", "Food and garden waste": "2"}
    return [numbers[word] for word in re.findall(r"<tr><td>[^<]+</td><td>([^<]+)", client.get(f"/history{query}").text)]


def chart_of(page: str) -> Any:
    return json.loads(page.split('id="chart-values">')[1].split("</script>")[0])


def test_the_last_two_weeks_are_shown_first_as_counts_a_chart_and_a_table(bin_: Bin) -> None:
    page = create_app(bin_).test_client().get("/history").text
    chart = chart_of(page)
    assert len(chart["days"]) == 14
    assert {one["label"]: sum(one["values"]) for one in chart["series"]} == {
        "Organic": 1,
        "Recyclable": 1,
        "Reuse": 0,
        "Residual": 1,
    }
    assert re.search(r'number">33%', page), "one of three was unsure"


def test_methane_is_told_of_what_goes_into_the_lid_for_organic_whatever_its_name_and_of_none_without_one(
    bin_: Bin, journal: Journal
) -> None:
    lids = {name: CompartmentSection(servo_pin=pin) for name, pin in (("compost", 12), ("residual", 13))}
    for _ in range(3):
        journal.write(replace(drop("organic"), compartment="compost"))

    def page(organic: dict[str, str]) -> str:
        materials = {**dict.fromkeys(Config().materials, "residual"), **organic}
        config = Config(compartments=lids, materials=materials)
        return create_app(replace(bin_, config=config)).test_client().get("/history").text

    assert "≈ 0.01 kg</span><span>methane kept out of the air" in page({"organic": "compost"})
    told = page({"organic": "residual"})
    assert "Compost" in told and "ethane" not in told


def test_the_csv_holds_what_the_filter_leaves_newest_first(bin_: Bin) -> None:
    client = create_app(bin_).test_client()
    assert [row["id"] for row in rows_of(client)] == ["4", "3", "2"]
    assert [row["id"] for row in rows_of(client, "?from=2026-01-01")] == ["4", "3", "2", "1"]
    assert [row["material"] for row in rows_of(client, "?compartment=organic")] == ["organic"]
    assert [row["verdict"] for row in rows_of(client, "?verdict=unsure")] == ["unsure"]


@pytest.mark.parametrize("query", ["?from=x&to=y", "?before=x", "?compartment=%00&verdict=%27--"])
def test_a_filter_that_means_nothing_is_left_out(bin_: Bin, query: str) -> None:
    client = create_app(bin_).test_client()
    assert shown_by(client, query) == shown_by(client) == ["4", "3", "2"]
    assert rows_of(client, query) == rows_of(client)


ENDLESS = 10**20


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("?to=9999-12-31", []),
        ("?from=9999-12-31", ["4"]),
        ("?to=0001-01-01", []),
        (f"?before={ENDLESS}", ["4", "3", "2"]),
        (f"?before=-{ENDLESS}", []),
    ],
)
def test_days_and_numbers_that_no_drop_has_are_answered_as_the_nearest(bin_: Bin, query: str, shown: list[str]) -> None:
    client = create_app(bin_).test_client()
    assert shown_by(client, query) == shown
    if "before" not in query:
        assert [row["id"] for row in rows_of(client, query)] == shown


def test_all_drops_since_ever_are_asked_for_by_the_first_and_the_last_day(bin_: Bin) -> None:
    rows = rows_of(create_app(bin_).test_client(), "?from=0001-01-01&to=9999-12-31")
    assert [row["id"] for row in rows] == ["4", "3", "2", "1"]


def test_a_long_history_is_written_whole_a_page_at_a_time(bin_: Bin, tmp_path: Path) -> None:
    client = create_app(replace(bin_, journal=many_drops(tmp_path / "many", 1201))).test_client()
    assert len({row["id"] for row in rows_of(client)}) == 1201
    page = client.get("/history").text
    assert page.count("<tr><td>") == 50
    assert "before=1152" in page


def test_tables_that_many_fetch_at_once_are_made_one_part_at_a_time_so_that_lids_stay_quick(tmp_path: Path) -> None:
    """Six at once made the loop take twice as long from a thing that lies still to its lid."""
    one_at_a_time = threading.Lock()

    class WatchedJournal(Journal):
        def drops(self, search: Search, limit: int, before_id: int | None = None) -> list[Drop]:
            assert one_at_a_time.acquire(blocking=False), "two parts are made at once"
            time.sleep(0.01)
            one_at_a_time.release()
            return super().drops(search, limit, before_id)

    journal = WatchedJournal(many_drops(tmp_path, 2000).path)
    app = create_app(make_bin(tmp_path, journal=journal, clock=ManualClock(wall_s=NOON_S)))
    with ThreadPoolExecutor(4) as many:
        tables = list(many.map(lambda _: app.test_client().get("/history.csv?from=1970-01-01").text, range(4)))

    assert [table.count("\n") for table in tables] == [2001] * 4


def test_a_time_zone_that_is_set_while_the_bin_runs_holds_from_the_next_page_on(
    bin_: Bin, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = create_app(bin_).test_client()
    try:
        with monkeypatch.context() as elsewhere:
            for zone, offset in (("Asia/Jakarta", "+07:00"), ("America/New_York", "-04:00")):
                elsewhere.setenv("TZ", zone)
                assert f"{offset},metal" in client.get("/history.csv").text
                assert all(row["day"] == row["time"].split("T")[0] for row in rows_of(client)), "for spreadsheets"
    finally:
        time.tzset()


def test_ten_kilograms_of_peels_are_worth_what_the_ipcc_s_sum_says() -> None:
    spared = saving(100)
    assert spared.organic_kg == pytest.approx(10)
    assert spared.methane_kg == pytest.approx(0.4)
    assert spared.co2e_kg == pytest.approx(0.4 * 27 - 10 * (0.004 * 27 + 0.00024 * 273))


def test_unsure_drops_are_asked_about_first_and_one_tap_corrects_one(bin_: Bin, journal: Journal) -> None:
    client, token = owner_of(bin_)
    page = client.get("/teach").text
    assert re.findall(r"/teach/drops/(\d)\.jpg", page) == ["3", "4", "2", "1"]
    assert f"/teach/drops/3.jpg?at={NOON_S - DAY_S}" in page, "a new history's third drop has another picture"
    client.post("/teach/drops/3", data={"material": "plastic", "csrf_token": token})
    assert corrected(journal, 3) == "plastic"
    assert "/teach/drops/3.jpg" not in client.get("/teach").text


def test_a_slip_of_the_finger_is_mended_from_the_history(bin_: Bin, journal: Journal) -> None:
    client, token = owner_of(bin_)
    for slip, mended in (("plastic", "glass"), ("glass", "paper")):
        client.post("/teach/drops/3", data={"material": slip, "csrf_token": token})
        [address] = re.findall('<a href="(/teach.drop=[^"]+)">Glass</a>', client.get("/history?verdict=unsure").text)
        card = client.get(address).text.split("<article")[1]
        assert re.findall(r'value="(\w+)" aria-pressed="true"', card) == [slip]
        assert re.findall(r'action="([^"]+)"', card) == ["/teach/drops/3"]
        client.post("/teach/drops/3", data={"material": mended, "csrf_token": token})
        assert corrected(journal, 3) == mended


def test_a_drop_that_waits_for_correction_is_asked_about_once_and_first_where_it_was_chosen(bin_: Bin) -> None:
    client, _ = owner_of(bin_)
    page = client.get("/teach?drop=2").text
    assert re.findall(r"/teach/drops/(\d)\.jpg", page) == ["2", "3", "4", "1"]
    assert "aria-pressed" not in page.split("<article", 1)[1]


def test_an_owner_who_has_switched_pictures_on_reads_that_the_bin_must_start_again(tmp_path: Path) -> None:
    file = tmp_path / "pilah.toml"
    file.write_text("")
    client, token = owner_of(replace(bin_with(file), journal=journal_in(tmp_path)))
    client.post("/health/settings", data={"journal.thumbnails": "yes", "csrf_token": token})
    assert read_config(file).journal.thumbnails
    assert "start the bin again" in client.get("/teach").text


def test_only_an_owner_is_led_from_the_history_to_corrections_and_only_of_what_can_be_seen(
    bin_: Bin, journal: Journal
) -> None:
    assert "teach?drop" not in create_app(bin_).test_client().get("/history").text
    client, _ = owner_of(bin_)
    assert "To correct a drop" in client.get("/history").text
    Journal(journal.path).open()  # as a bin that keeps no pictures any more
    page = client.get("/history").text
    assert "teach?drop" not in page and "To correct a drop" not in page
    assert "<img" not in client.get("/teach?drop=4").text.split("<article")[1].split("</article>")[0]


@pytest.mark.parametrize("number", [77, ENDLESS])
def test_a_drop_that_is_not_in_the_history_is_not_found(tmp_path: Path, number: int) -> None:
    journal = Journal(tmp_path / "journal.db")
    journal.open()
    client, token = owner_of(make_bin(tmp_path, journal=journal))
    assert client.get(f"/teach/drops/{number}.jpg").status_code == 404
    assert client.get(f"/teach?drop={number}").status_code == 404
    taught = client.post(f"/teach/drops/{number}", data={"material": "glass", "csrf_token": token})
    assert taught.status_code == 404


def test_a_material_that_the_model_does_not_know_is_refused(bin_: Bin, journal: Journal) -> None:
    client, token = owner_of(bin_)
    for material in ("", "../../etc", "uranium"):
        assert client.post("/teach/drops/3", data={"material": material, "csrf_token": token}).status_code == 400
    assert corrected(journal, 3) is None


def test_a_kept_photo_holds_its_pixels_and_nothing_else(bin_: Bin, journal: Journal) -> None:
    client, token = owner_of(bin_)
    photo = photo_of("glass") + b"<script>alert(1)</script>"
    form: dict[str, Any] = {"photo": (io.BytesIO(photo), "x.html"), "material": "plastic", "csrf_token": token}
    assert client.post("/teach/photos", data=form).status_code == 200
    [(_, material, kept)] = journal.lessons()
    assert material == "plastic"
    assert b"script" not in kept
    assert np.asarray(cv2.imdecode(np.frombuffer(kept, np.uint8), cv2.IMREAD_COLOR)).shape == (48, 64, 3)


def test_a_file_that_is_no_picture_is_not_kept(bin_: Bin, journal: Journal) -> None:
    client, token = owner_of(bin_)
    form: dict[str, Any] = {"photo": (io.BytesIO(b"PK\3\4"), "x.jpg"), "material": "plastic", "csrf_token": token}
    assert client.post("/teach/photos", data=form).status_code == 415
    assert list(journal.lessons()) == []


@pytest.mark.parametrize("picture", [plain("glass", 400, 20), plain("glass", 400, 400)], ids=["small", "blank"])
def test_a_photo_that_training_would_leave_out_is_refused_in_the_owners_language(
    bin_: Bin, journal: Journal, picture: NDArray[np.uint8]
) -> None:
    client, token = owner_of(bin_)
    for tag, sentence in (("en", "too small or shows nothing"), ("id", "terlalu kecil atau tidak memperlihatkan")):
        form: dict[str, Any] = {"photo": (io.BytesIO(jpeg(picture)), "x.jpg"), "material": "glass", "csrf_token": token}
        answer = client.post("/teach/photos", data=form, headers={"Accept-Language": tag})
        assert answer.status_code == 415
        assert sentence in answer.json["error"]
    assert list(journal.lessons()) == []


def test_only_what_the_owner_changed_is_written(tmp_path: Path) -> None:
    written: list[object] = []
    client, token = owner_of(make_bin(tmp_path, edit_config=written.append))
    same = {f"materials.{name}": compartment for name, compartment in Config().materials.items()}
    form = {**same, "materials.wood": "residual", "decision.confidence": "0,7", "decision.fallback": "residual"}
    client.post("/health/settings", data={**form, "csrf_token": token})
    moved = {**same, "materials.wood": "residual"}
    assert written == [{"decision.confidence": 0.7, **moved}], "a mapping is written whole"


def test_an_empty_threshold_gives_way_to_the_model_s_own(tmp_path: Path) -> None:
    written: list[object] = []
    config = Config.model_validate({"decision": {"confidence": 0.9}})
    client, token = owner_of(make_bin(tmp_path, config=config, edit_config=written.append))
    client.post("/health/settings", data={"decision.confidence": " ", "csrf_token": token})
    assert written == [{"decision.confidence": None}]


def test_a_saved_setting_stands_in_the_file_beside_its_comments(tmp_path: Path) -> None:
    file = tmp_path / "pilah.toml"
    file.write_text("# my bin\n[decision]\nconfidence = 0.5 # as tried\n")
    client, token = owner_of(bin_with(file))
    client.post("/health/settings", data={"decision.confidence": "0.8", "csrf_token": token})
    assert file.read_text() == "# my bin\n[decision]\nconfidence = 0.8 # as tried\n"
    wrong = client.post("/health/settings", data={"decision.confidence": "8", "csrf_token": token})
    assert wrong.status_code == 400
    assert "decision.confidence" in wrong.text
    assert read_config(file).decision.confidence == 0.8


def test_a_saved_setting_is_shown_and_can_be_taken_back_before_the_bin_starts_again(tmp_path: Path) -> None:
    file = tmp_path / "pilah.toml"
    file.write_text("[journal]\nthumbnails = false\n")
    client, token = owner_of(bin_with(file))
    page = client.post(
        "/health/settings",
        data={"decision.confidence": "0.9", "decision.fallback": "reuse", "csrf_token": token},
        follow_redirects=True,
    ).text
    assert 'name="decision.confidence" value="0.9"' in page
    assert '<option value="reuse" selected>' in page.split('name="decision.fallback"')[1].split("</select>")[0]
    client.post(
        "/health/settings",
        data={"decision.confidence": "", "decision.fallback": "residual", "csrf_token": token},
    )
    assert read_config(file) == Config()


def test_a_bin_that_runs_by_older_settings_says_so_and_starts_again_when_told(tmp_path: Path) -> None:
    file = tmp_path / "pilah.toml"
    file.write_text("")
    starts: list[str] = []
    client, token = owner_of(replace(bin_with(file), start_again=lambda: starts.append("again")))
    assert "The bin still sorts by the settings from before." not in client.get("/health").text
    client.post("/health/settings", data={"decision.confidence": "0.9", "csrf_token": token})
    assert "The bin still sorts by the settings from before." in client.get("/health").text
    with client.post("/health/start", data={"csrf_token": token}) as answer:
        assert "The bin starts again" in answer.text
    assert starts == ["again"]


def test_a_browser_can_tell_the_bin_that_started_again_from_the_one_before(tmp_path: Path) -> None:
    bin_ = make_bin(tmp_path)
    before, after = (create_app(bin_).test_client() for _ in range(2))
    asked = {"Accept": "application/json"}
    starts = [one.get("/health/start", headers=asked).json["start"] for one in (before, before, after)]
    assert starts[0] == starts[1] != starts[2]
    assert before.get("/health/start", headers={"Accept": "text/html"}).location == "/health"


@pytest.mark.parametrize("part", ["configuration", "model"])
def test_a_bin_that_could_not_start_again_is_left_running_and_says_why(tmp_path: Path, part: str) -> None:
    starts: list[str] = []
    checks = [Check("disk", False, "Full."), Check(part, False, "This is broken.")]
    bin_ = make_bin(tmp_path, diagnose=lambda: checks, start_again=lambda: starts.append("again"))
    client, token = owner_of(bin_)
    answer = client.post("/health/start", data={"csrf_token": token}, follow_redirects=True)
    assert "The bin could not start again: This is broken." in answer.text
    refused = client.post("/health/start", data={"csrf_token": token}, headers={"Accept": "application/json"})
    assert refused.status_code == 409
    assert "The bin could not start again: This is broken." in client.get("/health").text, "a script shows it anew"
    assert starts == []


def test_only_the_owner_starts_the_bin_again_and_only_where_there_is_one(tmp_path: Path) -> None:
    starts: list[str] = []
    stranger = create_app(make_bin(tmp_path, start_again=lambda: starts.append("again"))).test_client()
    token = re.findall('name="csrf-token" content="([^"]+)"', stranger.get("/login").text)[0]
    assert stranger.post("/health/start", data={"csrf_token": token}).status_code == 401
    assert starts == []
    client, token = owner_of(make_bin(tmp_path))
    assert "Start the bin again" not in client.get("/health").text
    assert client.post("/health/start", data={"csrf_token": token}).status_code == 404


def test_a_file_that_went_wrong_meanwhile_is_told_and_hides_no_page(tmp_path: Path) -> None:
    file = tmp_path / "pilah.toml"
    file.write_text("")
    client, token = owner_of(bin_with(file))
    file.write_text("[decision]\nconfidence = 8\n")
    assert client.get("/health").status_code == 200
    answer = client.post("/health/settings", data={"decision.confidence": "0.9", "csrf_token": token})
    assert answer.status_code == 400
    assert "decision.confidence = 8" in answer.text


def bin_with(file: Path) -> Bin:
    """A bin that runs with what the file says now, whatever is saved in it later."""
    return make_bin(
        file.parent,
        config=read_config(file),
        saved_config=partial(read_config, file),
        edit_config=partial(edit_config, file),
    )


def test_what_the_configuration_refuses_is_shown_in_its_own_words(tmp_path: Path) -> None:
    def refuse(changes: object) -> None:
        raise ConfigError("decision.confidence = 7.0: it must be at most 1.")

    client, token = owner_of(make_bin(tmp_path, edit_config=refuse))
    response = client.post("/health/settings", data={"decision.confidence": "0.7", "csrf_token": token})
    assert response.status_code == 400
    assert "it must be at most 1" in response.text


@pytest.mark.parametrize("typed", ["80", "-0,1", "80 %", "nan", "1e400"])
def test_an_owner_reads_in_their_language_which_threshold_can_be(tmp_path: Path, typed: str) -> None:
    file = tmp_path / "pilah.toml"
    file.write_text("")
    client, token = owner_of(bin_with(file))
    form = {"decision.confidence": typed, "csrf_token": token}
    refused = client.post("/health/settings", data=form, headers={"Accept-Language": "id"})
    assert refused.status_code == 400
    told = "Itu tidak tersimpan. “Tutup dibuka bila setidaknya seyakin ini”: tulis angka dari 0 sampai 1."
    assert told in refused.text
    assert file.read_text() == ""


@pytest.mark.parametrize("path", ["/ask", "/health"])
def test_an_owner_finds_a_material_by_its_name_in_the_order_of_their_own_alphabet(bin_: Bin, path: str) -> None:
    page = owner_of(bin_)[0].get(path, headers={"Accept-Language": "id"}).text
    told = re.findall(r'value="\w+">(\w[\w ]+)</button>|<label>(\w[\w ]+)\n\s+<select name="materials', page)
    words = ["".join(either) for either in told]
    assert words == sorted(words) and {"Kaca", "Kayu", "Kertas"} <= set(words)


def test_whoever_must_log_in_first_is_led_there(bin_: Bin) -> None:
    client, token = owner_of(bin_)
    client.post("/logout", data={"csrf_token": token})
    refused = client.post("/health/settings", data={"csrf_token": token})
    assert refused.status_code == 401
    assert 'class="button primary" href="/login?next=health.page"' in refused.text


def test_the_doctor_s_findings_show_to_the_owner_only(tmp_path: Path) -> None:
    checks = [Check("disk", False, "The card is full."), Check("clock", True, "It is noon.")]
    bin_ = make_bin(tmp_path, diagnose=lambda: checks)
    assert "The card is full" not in create_app(bin_).test_client().get("/health").text
    owner, _ = owner_of(bin_)
    assert "The card is full" in owner.get("/health").text
    indonesian = owner.get("/health", headers={"Accept-Language": "id"}).text
    wrong = "Kartunya hampir penuh, atau tidak dapat ditulisi."
    assert f'<strong>Kartu memori</strong> {wrong} <span lang="en">The card is full.</span>' in indonesian
    assert '<strong>Jam</strong> <span lang="en">It is noon.</span>' in indonesian
    assert re.findall("(Beres|Perlu diperiksa):</span> <strong>(.+?)</", indonesian) == [
        ("Perlu diperiksa", "Kartu memori"),
        ("Beres", "Jam"),
    ], "for who does not see the icons"


def test_the_doctor_looks_once_at_a_time_and_not_again_within_a_few_seconds(tmp_path: Path) -> None:
    looks, clock = list[float](), ManualClock()

    def diagnose() -> list[Check]:
        looks.append(clock.now())
        time.sleep(0.3)
        return [Check("disk", False, f"Look number {len(looks)}.")]

    owner, _ = owner_of(make_bin(tmp_path, diagnose=diagnose, clock=clock))
    cookie = owner.get_cookie("pilah")
    assert cookie is not None

    def health(_: int = 0) -> str:
        window = owner.application.test_client()
        window.set_cookie("pilah", cookie.value)
        return window.get("/health").text

    with ThreadPoolExecutor(8) as windows:
        assert all("Look number 1." in page for page in windows.map(health, range(8)))
    clock.sleep(GOOD_FOR_S - 0.1)
    assert "Look number 1." in health()
    clock.sleep(0.2)
    assert "Look number 2." in health()


def test_a_compartment_is_called_what_its_owner_calls_it(tmp_path: Path) -> None:
    compartments = {
        "organic": CompartmentSection(servo_pin=1, label={"en": "Compost", "id": "Kompos"}),
        "rest": CompartmentSection(servo_pin=2, colour="#ffffff"),
    }
    materials = {name: "organic" if name == "organic" else "rest" for name in Config().materials}
    config = Config.model_validate(
        {"compartments": compartments, "materials": materials, "decision": {"fallback": "rest"}}
    )
    client = create_app(make_bin(tmp_path, config=config)).test_client()
    for language, word in (("en", "Compost"), ("id", "Kompos")):
        answer = client.post(
            "/api/classify",
            data={"photo": (io.BytesIO(photo_of("organic")), "x")},
            headers={"Accept-Language": language},
        )
        assert answer.json["words"]["compartment"] == word
    assert "--compartment:#ffffff;--on-compartment:#000000" in client.get("/compartments.css").text


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("", "en"),
        ("*", "en"),
        ("fr, *;q=0.5", "en"),
        ("id", "id"),
        ("ID-id, en;q=0.9", "id"),
        ("jv, id;q=0.9, en;q=0.8", "id"),
        ("en-GB, id;q=0.9", "en"),
        ("id;q=0.2, en;q=0.9", "en"),
    ],
)
def test_a_visitor_is_answered_in_the_first_language_that_they_ask_for_and_the_page_speaks(
    bin_: Bin, asked: str, answered: str
) -> None:
    page = create_app(bin_).test_client().get("/ask", headers={"Accept-Language": asked}).text
    assert f'<html lang="{answered}">' in page


TRANSLATED = [language for language in LANGUAGES if language != "en"]


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_sentence_of_the_page_is_translated_and_the_compiled_catalogue_is_the_written_one(language: str) -> None:
    folder = Path(device.page.__file__).parent / f"translations/{language}/LC_MESSAGES"
    written = read_po((folder / "messages.po").open("rb"))
    compiled = read_mo((folder / "messages.mo").open("rb"))

    def forms(text: Any) -> tuple[str, ...]:
        return (text,) if isinstance(text, str) else tuple(text)

    said = {forms(m.id): forms(m.string) for m in written if m.id}
    assert {forms(m.id): forms(m.string) for m in compiled if m.id} == said
    assert all(all(sentences) for sentences in said.values())


@pytest.mark.parametrize("language", TRANSLATED)
def test_no_sentence_was_added_without_its_translation(language: str) -> None:
    package = Path(device.page.__file__).parent
    methods, _ = parse_mapping_cfg((package / "translations/babel.cfg").open())
    said = {found[2] for found in extract_from_dir(package, methods)}
    with (package / f"translations/{language}/LC_MESSAGES/messages.po").open("rb") as file:
        assert said == {message.id for message in read_po(file) if message.id}


def test_a_history_that_cannot_be_read_is_told_on_the_page(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"garbage" * 1000)
    client = create_app(make_bin(tmp_path, journal=Journal(tmp_path / "journal.db"))).test_client()
    answer = client.get("/history")
    assert answer.status_code == 503
    assert "The history cannot be used now" in answer.text


@pytest.mark.parametrize("language", ["en", "id"])
def test_a_threshold_of_many_decimals_stays_as_it_is_when_another_setting_is_saved(
    tmp_path: Path, language: str
) -> None:
    written: list[object] = []
    config = Config.model_validate({"decision": {"confidence": 0.87654321}})
    client, token = owner_of(make_bin(tmp_path, config=config, edit_config=written.append))
    page = client.get("/health", headers={"Accept-Language": language}).text
    [shown] = re.findall('name="decision.confidence" value="([^"]+)"', page)
    form = {"decision.confidence": shown, "decision.fallback": "reuse", "csrf_token": token}
    client.post("/health/settings", data=form)
    assert written == [{"decision.fallback": "reuse"}]


def test_drops_of_a_lid_that_is_gone_are_drawn_and_can_be_asked_for(bin_: Bin, journal: Journal) -> None:
    journal.write(replace(drop("glass"), compartment="bottles"))
    client = create_app(bin_).test_client()
    page = client.get("/history").text
    assert sum(next(one["values"] for one in chart_of(page)["series"] if one["label"] == "Bottles")[-1:]) == 1
    assert '<option value="bottles"' in page
    assert [row["id"] for row in rows_of(client, "?compartment=bottles")] == ["5"]
    assert chart_of(client.get("/history?compartment=bottles").text)["series"][-1]["label"] == "Bottles"


def test_a_chart_that_leaves_out_days_says_so(bin_: Bin) -> None:
    client = create_app(bin_).test_client()
    sentence = "shows the last 92 days only"
    assert sentence in client.get("/history?from=2026-01-01").text
    assert sentence not in client.get("/history").text


def test_a_drop_that_an_older_model_judged_is_offered_the_materials_of_this_one(bin_: Bin, journal: Journal) -> None:
    old = replace(drop("glass", "unsure"), probabilities={"ceramic": 0.6, "wood": 0.3, "glass": 0.1})
    journal.write(old, photo_of("glass"))
    offered = re.findall(r'name="material" value="(\w+)"', owner_of(bin_)[0].get("/teach").text)
    assert offered[:2] == ["wood", "glass"], "the likeliest first"
    assert set(offered) == set(bin_.contract.classes)


@pytest.mark.parametrize("query", ["endpoint=x", "_method=POST", "_external=1", "_anchor=x"])
def test_what_a_link_to_the_history_adds_changes_nothing(bin_: Bin, tmp_path: Path, query: str) -> None:
    client = create_app(replace(bin_, journal=many_drops(tmp_path / "many", 59))).test_client()
    page = client.get(f"/history?from=2026-06-01&verdict=sure&{query}").text
    assert 'href="/history.csv?from=2026-06-01&amp;verdict=sure"' in page
    assert 'href="/history?before=10&amp;from=2026-06-01&amp;verdict=sure#drops"' in page


def test_a_refused_setting_leaves_the_other_edits_in_the_form(tmp_path: Path) -> None:
    file = tmp_path / "pilah.toml"
    file.write_text("")
    client, token = owner_of(bin_with(file))
    edits = {"decision.fallback": "reuse", "materials.wood": "organic", "journal.thumbnails": "yes"}
    form = {"decision.confidence": "8", **edits, "as_of": "then", "csrf_token": token}
    page = client.post("/health/settings", data=form).text
    assert 'name="decision.confidence" value="8"' in page
    assert 'name="as_of" value="then"' in page, "or the next try would take back what another tab has saved meanwhile"
    for name, compartment in (("decision.fallback", "reuse"), ("materials.wood", "organic")):
        assert f'<option value="{compartment}" selected>' in page.split(f'name="{name}"')[1].split("</select>")[0]
    assert 'name="journal.thumbnails" value="yes" checked' in page


def test_settings_that_were_filled_in_when_the_session_ran_out_stand_there_again_after_the_log_in(
    tmp_path: Path,
) -> None:
    file = tmp_path / "pilah.toml"
    file.write_text("")
    client, token = owner_of(bin_with(file))
    client.post("/logout", data={"csrf_token": token})
    edits = {"decision.confidence": "0.7", "materials.wood": "organic", "journal.thumbnails": "yes", "as_of": "then"}
    form = {**edits, "decision.fallback": f"{7**20_000:x}", "more": f"{7**20_000:x}", "csrf_token": token}
    assert client.post("/health/settings", data=form).status_code == 401
    assert len(client.get_cookie("pilah").value) < 1000, "a browser keeps no cookie of more than 4 kB"
    client.post("/login", data={"password": PASSWORD, "csrf_token": token})
    page = client.get("/health").text
    assert "This was filled in before you logged in; it is not saved yet." in page
    for name in ("decision.confidence", "as_of"):
        assert f'name="{name}" value="{edits[name]}"' in page
    assert '<option value="organic" selected>' in page.split('name="materials.wood"')[1].split("</select>")[0]
    assert 'name="journal.thumbnails" value="yes" checked' in page
    assert file.read_text() == ""
    assert "This was filled in" not in client.get("/health").text


def test_a_refused_form_that_is_loaded_again_is_the_page(bin_: Bin) -> None:
    assert owner_of(bin_)[0].get("/health/settings").headers["Location"] == "/health"


def test_numbers_are_told_as_the_visitor_s_language_writes_them(tmp_path: Path) -> None:
    one = make_bin(tmp_path, journal=journal_in(tmp_path, [drop("organic")]), clock=ManualClock(wall_s=NOON_S))
    client = create_app(one).test_client()
    assert '<span class="number">1</span><span>drop</span>' in client.get("/history").text
    indonesian = client.get("/history", headers={"Accept-Language": "id"}).text
    assert '<span class="number">1</span><span>buangan</span>' in indonesian
    assert "0,1 kg untuk tiap buangan organik" in indonesian


@pytest.mark.parametrize(("language", "many", "when"), [("en", "1,200", "12:00"), ("id", "1.200", "12.00")])
def test_large_numbers_days_and_times_are_told_as_the_visitor_s_language_writes_them(
    bin_: Bin, tmp_path: Path, language: str, many: str, when: str
) -> None:
    client = create_app(replace(bin_, journal=many_drops(tmp_path / "many", 1200))).test_client()
    page = client.get("/history", headers={"Accept-Language": language}).text
    assert f'<span class="number">{many}</span>' in page
    assert f"<td>15 Jun 2026, {when}</td>" in page
    assert '<th scope="row">15 Jun 2026</th>' in page


def test_a_form_that_another_tab_has_made_stale_takes_nothing_back(tmp_path: Path) -> None:
    file = tmp_path / "pilah.toml"
    file.write_text("")
    client, token = owner_of(bin_with(file))

    def opened(**changes: str) -> dict[str, str]:
        [as_of] = re.findall('name="as_of" value="([^"]+)"', client.get("/health").text)
        form = {"decision.confidence": "", "decision.fallback": "residual", "as_of": as_of}
        return {**form, **changes, "csrf_token": token}

    def save(form: dict[str, str]) -> str:
        return client.post("/health/settings", data=form, follow_redirects=True).text

    one = opened(**{"decision.confidence": "0.9"})
    other = opened(**{"decision.fallback": "reuse"})
    assert "Saved" in save(one)
    assert "Nothing was changed" in save(one), "tapped twice"
    assert "were changed elsewhere" in save(other)
    assert (read_config(file).decision.confidence, read_config(file).decision.fallback) == (0.9, "residual")
    assert "Saved" in save(opened(**{"decision.confidence": "0.9", "decision.fallback": "reuse"}))
