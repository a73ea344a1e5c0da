"""Who may do what: the owner's password, sessions, forged forms, guesses and paths."""

from __future__ import annotations

import errno
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.security import check_password_hash

from device.clock import ManualClock
from device.config import Config, PageSection
from device.errors import PageError
from device.files import write_whole
from device.page.app import create_app
from device.page.bin import Bin
from device.page.limits import CLIENTS_AT_MOST, RateLimit, client_key
from device.page.owner import GUESSES_OF_ALL, GUESSES_OF_ONE, SESSION_S, Password, cookie_key
from device.page.server import address_of
from device.requests import Maintenance, OpenLid
from tests.page_parts import PASSWORD, PlayedAppliance, journal_in, make_bin

OWNERS = ["/teach", "/teach/drops/1.jpg"]
CHANGES = {
    "/teach/drops/1": {"material": "glass"},
    "/teach/photos": {"material": "glass"},
    "/health/maintenance": {"is_on": "yes"},
    "/health/lids": {"compartment": "organic", "move": "open"},
    "/health/settings": {"decision.confidence": "0.1"},
}


@pytest.fixture
def bin_(tmp_path: Path) -> Bin:
    return make_bin(
        tmp_path,
        appliance=PlayedAppliance(Config().compartments),
        journal=journal_in(tmp_path),
        edit_config=lambda changes: None,
    )


@pytest.fixture
def client(bin_: Bin) -> FlaskClient:
    return browser_of(bin_)


def browser_of(bin_: Bin) -> FlaskClient:
    client = create_app(bin_).test_client()
    client.environ_base["HTTP_ACCEPT"] = "text/html"
    return client


def token_of(client: FlaskClient, path: str = "/login") -> str:
    found = re.search('name="csrf-token" content="([^"]+)"', client.get(path).text)
    assert found is not None
    return found[1]


def log_in(client: FlaskClient, password: str = PASSWORD, **more: object) -> int:
    form = {"password": password, "csrf_token": token_of(client)}
    return client.post("/login", data=form, **more).status_code


def test_the_owner_logs_in_moves_a_lid_and_logs_out(client: FlaskClient, bin_: Bin) -> None:
    assert log_in(client) == 302
    token = token_of(client, "/health")
    assert client.post("/health/maintenance", data={"is_on": "yes", "csrf_token": token}).status_code == 302
    client.post("/health/lids", data={"compartment": "organic", "move": "open", "csrf_token": token})
    assert bin_.appliance.requests == [Maintenance(True), OpenLid("organic")]
    client.post("/logout", data={"csrf_token": token})
    assert client.get("/teach").headers["Location"].startswith("/login")


@pytest.mark.parametrize("path", OWNERS)
def test_what_reveals_asks_a_stranger_to_log_in(client: FlaskClient, path: str) -> None:
    response = client.get(path)
    assert (response.status_code, response.headers["Location"].split("?")[0]) == (302, "/login")


@pytest.mark.parametrize("path", CHANGES)
def test_what_changes_is_refused_to_a_stranger_even_with_a_token(client: FlaskClient, bin_: Bin, path: str) -> None:
    form = {**CHANGES[path], "csrf_token": token_of(client)}
    assert client.post(path, data=form).status_code == 401
    assert bin_.appliance.requests == []


@pytest.mark.parametrize("path", ["/now", "/api/now", "/events", "/history.csv", "/api/openapi.json", "/login"])
@pytest.mark.parametrize(
    "host", ["evil.example", "192.168.1.20.evil.example:8080", "pilah.local.evil.example", "fritz.box", "[::1"]
)
def test_a_page_on_the_internet_reads_nothing_of_the_bin_under_a_name_of_its_own(
    client: FlaskClient, host: str, path: str
) -> None:
    answer = client.get(path, headers={"Host": host})
    assert answer.status_code == 421
    assert f"Open the bin by its address, or add {host.removesuffix(':8080')} to page.names" in answer.text
    assert client.get("/static/style.css", headers={"Host": host}).status_code == 200, "or nobody could read that"


@pytest.mark.parametrize(
    "host", ["localhost:8080", "192.168.1.20:8080", "[fe80::1]:8080", "pilah", "pilah.local", "PILAH.Fritz.Box.:8080"]
)
def test_addresses_and_names_of_the_own_network_open_the_page(client: FlaskClient, host: str) -> None:
    assert client.get("/now", headers={"Host": host}).status_code == 200


def test_a_name_that_the_owner_has_written_down_opens_the_page(tmp_path: Path) -> None:
    named = make_bin(tmp_path, Config(page=PageSection(names=("Bin.school.example",))))
    client = create_app(named).test_client()
    assert client.get("/ask", headers={"Host": "bin.school.example"}).status_code == 200
    assert client.get("/ask", headers={"Host": "other.school.example"}).status_code == 421


@pytest.mark.parametrize("path", [*CHANGES, "/logout", "/language", "/login"])
def test_a_forged_form_is_refused_even_from_the_owner(client: FlaskClient, bin_: Bin, path: str) -> None:
    log_in(client)
    for forged in ({}, {"csrf_token": "forged"}):
        assert client.post(path, data={**CHANGES.get(path, {}), **forged}).status_code == 400
    assert bin_.appliance.requests == []
    assert client.get("/teach").status_code == 200


def test_who_has_forgotten_the_password_is_told_how_to_set_a_new_one(client: FlaskClient) -> None:
    command = "sudo pilah page set-password"
    assert command not in client.get("/login").text
    guess = {"password": "my dog's name", "csrf_token": token_of(client)}
    assert command in client.post("/login", data=guess).text


def test_the_owner_sees_no_settings_of_a_stranger_s_session(client: FlaskClient) -> None:
    stranger = client.get("/health").text
    assert "decision.confidence" not in stranger
    log_in(client)
    assert "decision.confidence" in client.get("/health").text


def test_a_thousand_guesses_are_stopped_after_a_few_and_the_right_word_is_not_tried(
    client: FlaskClient, bin_: Bin
) -> None:
    token = token_of(client)
    codes = [
        client.post("/login", data={"password": f"guess {number}", "csrf_token": token}).status_code
        for number in range(1000)
    ]
    assert codes == [403] * GUESSES_OF_ONE + [429] * (1000 - GUESSES_OF_ONE)
    assert log_in(client) == 429
    bin_.clock.sleep(15 * 60)
    assert log_in(client) == 302


def test_many_clients_together_guess_no_faster_than_a_few(bin_: Bin) -> None:
    client = create_app(bin_).test_client()
    token = token_of(client)
    codes = []
    for number in range(GUESSES_OF_ALL + 20):
        address = {"REMOTE_ADDR": f"10.0.{number // 250}.{number % 250}"}
        form = {"password": "guess", "csrf_token": token}
        codes.append(client.post("/login", data=form, environ_base=address).status_code)
    assert codes.count(403) == GUESSES_OF_ALL
    assert set(codes[GUESSES_OF_ALL:]) == {429}


def test_a_client_that_changes_its_ipv6_address_within_its_network_is_counted_as_one() -> None:
    assert client_key("2001:db8:0:1::7") == client_key("2001:db8:0:1:ffff::8%eth0") != client_key("2001:db8:0:2::7")
    assert client_key("::ffff:10.0.0.7") == client_key("10.0.0.7") != client_key("10.0.0.8")


def test_the_longest_unheard_client_is_forgotten_when_there_are_too_many() -> None:
    limit = RateLimit(1, 60.0, ManualClock())
    assert {limit.wait_s(str(number)) for number in range(CLIENTS_AT_MOST)} == {0.0}
    assert limit.wait_s("0") == 60.0
    limit.wait_s("one more")
    assert (limit.wait_s("0"), limit.wait_s("1")) == (60.0, 0.0)


def test_a_client_that_asked_too_often_is_told_how_long_to_wait_and_may_ask_again_then() -> None:
    clock = ManualClock()
    limit = RateLimit(2, 60.0, clock)
    assert [limit.wait_s("phone") for _ in range(3)] == [0.0, 0.0, 60.0]
    clock.sleep(20.0)
    assert limit.wait_s("phone") == 40.0
    clock.sleep(80.0)
    assert [limit.wait_s("phone") for _ in range(3)] == [0.0, 0.0, 60.0]


def test_who_spreads_their_tries_has_no_more_of_them_in_any_period() -> None:
    clock = ManualClock()
    limit = RateLimit(2, 60.0, clock)
    assert limit.wait_s("phone") == 0.0
    clock.sleep(50.0)
    assert [limit.wait_s("phone") for _ in range(2)] == [0.0, 10.0]
    clock.sleep(10.0)
    assert [limit.wait_s("phone") for _ in range(2)] == [0.0, 50.0]


def test_a_right_password_forgives_no_other_client_its_guesses() -> None:
    limit = RateLimit(1, 60.0, ManualClock())
    for number in range(100):
        limit.wait_s(str(number))
    limit.forget("0")
    assert (limit.wait_s("0"), limit.wait_s("1")) == (0.0, 60.0)


def test_the_right_password_is_no_guess(bin_: Bin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device.page.owner.GUESSES_OF_ONE", 2)
    client = browser_of(bin_)
    assert [log_in(client) for _ in range(3)] == [302] * 3


def test_a_session_ends_after_half_a_day(client: FlaskClient, bin_: Bin) -> None:
    log_in(client)
    for hours, status in ((11.9, 200), (0.2, 302)):
        bin_.clock.sleep(3600 * hours)
        assert client.get("/teach").status_code == status


def test_a_session_from_a_clock_that_was_ahead_ends_once_the_clock_is_set(client: FlaskClient, bin_: Bin) -> None:
    log_in(client)
    bin_.clock.jump_wall(-365 * 86_400.0)
    assert client.get("/teach").status_code == 302


def test_a_new_password_ends_every_session(client: FlaskClient, bin_: Bin) -> None:
    log_in(client)
    Password(bin_.state).set("another good password")
    assert client.get("/teach").status_code == 302
    assert log_in(client, "another good password") == 302


def test_a_cookie_that_somebody_has_copied_is_worth_nothing_once_the_owner_logs_out(bin_: Bin) -> None:
    client, thief = browser_of(bin_), browser_of(bin_)
    log_in(client)
    thief.set_cookie("pilah", client.get_cookie("pilah").value)
    assert thief.get("/teach").status_code == 200
    client.post("/logout", data={"csrf_token": token_of(client)})
    assert [one.get("/teach").status_code for one in (thief, browser_of(bin_), client)] == [302] * 3
    assert log_in(client) == 302
    assert client.get("/teach").status_code == 200


def test_a_stranger_who_logs_out_ends_no_session_of_the_owner(bin_: Bin) -> None:
    client, stranger = browser_of(bin_), browser_of(bin_)
    log_in(client)
    stranger.post("/logout", data={"csrf_token": token_of(stranger)})
    assert client.get("/teach").status_code == 200


def test_an_owner_logs_out_of_a_bin_whose_card_is_full_on_all_devices_and_is_told_for_how_long(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    thief = client.application.test_client()
    log_in(client)
    thief.set_cookie("pilah", client.get_cookie("pilah").value)
    with monkeypatch.context() as full:
        full.setattr("device.page.owner.write_whole", _no_room)
        assert client.post("/logout", data={"csrf_token": token_of(client)}).status_code == 302
    assert [one.get("/teach").status_code for one in (thief, client)] == [401, 302]
    assert "logged out only until the bin starts again" in client.get("/now").text
    assert "last-log-out cannot be written (No space left on device)" in caplog.text
    assert log_in(client) == 302
    assert client.get("/teach").status_code == 200


def test_a_log_out_takes_no_password_back_that_is_set_at_the_same_moment(
    client: FlaskClient, bin_: Bin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Password(tmp_path).set("another good password")
    log_in(client)
    token = token_of(client)

    def write(*file: Any, **how: Any) -> None:
        shutil.copy(tmp_path / "owner-password", bin_.state)  # as `pilah page set-password` does
        write_whole(*file, **how)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr("device.page.owner.write_whole", write)
        client.post("/logout", data={"csrf_token": token})
    assert [log_in(client, password) for password in (PASSWORD, "another good password")] == [403, 302]


def test_who_knows_the_password_that_is_replaced_while_it_is_checked_stays_outside(
    client: FlaskClient, bin_: Bin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(kept: str, password: str) -> bool:
        is_right = check_password_hash(kept, password)
        Password(bin_.state).set("another good password")
        return is_right

    monkeypatch.setattr("device.page.owner.check_password_hash", check)
    log_in(client)
    assert client.get("/teach").status_code == 302


def test_a_bin_that_wrote_its_log_outs_into_the_password_s_file_logs_nobody_in_or_out_by_its_update(
    bin_: Bin,
) -> None:
    client, logged_out = browser_of(bin_), browser_of(bin_)
    log_in(logged_out)
    file = bin_.state / "owner-password"
    file.write_text(f"{file.read_text()} 0123456789abcdef")
    log_in(client)
    updated = browser_of(bin_)
    for one, status in ((client, 200), (logged_out, 302)):
        updated.set_cookie("pilah", one.get_cookie("pilah").value)
        assert updated.get("/teach").status_code == status


def _no_room(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_without_a_password_nobody_logs_in_and_only_the_machine_itself_is_served(tmp_path: Path) -> None:
    bin_ = make_bin(tmp_path, with_password=False)
    client = browser_of(bin_)
    assert "pilah page set-password" in client.get("/login").text
    assert [log_in(client, guess) for guess in ("", "admin", "pilah")] == [403] * 3
    assert address_of(PageSection(), bin_.state) == "127.0.0.1"
    Password(bin_.state).set(PASSWORD)
    assert address_of(PageSection(), bin_.state) == "*"
    assert address_of(PageSection(address="10.0.0.5"), bin_.state) == "10.0.0.5"


def test_the_password_is_kept_as_a_hash_that_others_cannot_read(tmp_path: Path) -> None:
    Password(tmp_path).set(PASSWORD)
    kept = tmp_path / "owner-password"
    assert PASSWORD not in kept.read_text()
    assert kept.read_text().startswith("scrypt:")
    assert kept.stat().st_mode & 0o077 == 0


def test_a_short_password_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PageError, match="8 characters"):
        Password(tmp_path).set("1234567")


def test_a_password_that_would_never_match_is_refused_and_the_longest_one_matches(tmp_path: Path) -> None:
    password = Password(tmp_path)
    with pytest.raises(PageError, match="at most 1024 characters"):
        password.set("x" * 1025)
    password.set("x" * 1024)
    assert password.matches("x" * 1024)


@pytest.mark.parametrize(
    ("kept", "altered"),
    [("scrypt", "scrxpt"), ("32768", "32769"), (":8:", ":9000:"), ("scrypt:", ""), ("$", " "), ("", "\0")],
)
def test_a_hash_that_the_card_has_altered_is_told(tmp_path: Path, kept: str, altered: str) -> None:
    password = Password(tmp_path)
    password.set(PASSWORD)
    file = tmp_path / "owner-password"
    file.write_text(file.read_text().replace(kept, altered, 1))
    for ask in (lambda: password.matches(PASSWORD), password.is_set, password.mark):
        with pytest.raises(PageError, match="owner-password is damaged; set the password again"):
            ask()
    password.set(PASSWORD)
    assert password.matches(PASSWORD)


def test_a_damaged_hash_takes_no_page_from_an_owner_who_is_logged_in(client: FlaskClient, bin_: Bin) -> None:
    log_in(client)
    (bin_.state / "owner-password").write_text("scrxpt")
    client.application.config["PROPAGATE_EXCEPTIONS"] = False
    assert client.get("/now").status_code == 200
    assert client.get("/teach").headers["Location"].startswith("/login")
    assert "Something went wrong inside the bin" in client.get("/login").text


def test_a_restart_logs_nobody_out(bin_: Bin) -> None:
    client = browser_of(bin_)
    log_in(client)
    cookie = client.get_cookie("pilah").value
    again = browser_of(bin_)
    again.set_cookie("pilah", cookie)
    assert again.get("/teach").status_code == 200


def test_a_key_that_was_cut_short_is_made_anew(bin_: Bin) -> None:
    key = bin_.state / "cookie-key"
    for rest in (b"", b"x" * 31):
        key.write_bytes(rest)
        assert log_in(browser_of(bin_)) == 302
        assert len(key.read_bytes()) == 32


@pytest.mark.parametrize("name", ["owner-password", "cookie-key", "last-log-out"])
def test_a_secret_that_cannot_be_read_is_told_with_its_mend(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(PageError, match=rf"{name} cannot be read \(Is a directory\); (set|remove)"):
        address_of(PageSection(), tmp_path)
        cookie_key(tmp_path)
        Password(tmp_path).mark()


def test_the_cookie_is_for_this_page_only_and_for_no_script(client: FlaskClient) -> None:
    cookie = client.post("/login", data={"password": PASSWORD, "csrf_token": token_of(client)}).headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "Secure" not in cookie


def test_an_owner_logs_in_at_a_bin_without_network_whose_clock_is_years_behind(client: FlaskClient) -> None:
    """A Pi has no clock; curl drops a cookie that is out of date by its own, where browsers go by the bin's."""
    log_in(client)
    kept_until = client.get_cookie("pilah").expires
    assert kept_until is not None and kept_until.year > 2100


def test_behind_a_proxy_with_tls_the_cookie_never_travels_without_it(client: FlaskClient) -> None:
    form = {"password": PASSWORD, "csrf_token": token_of(client, "https://localhost/login")}
    answer = client.post("https://localhost/login", data=form, headers={"Referer": "https://localhost/login"})
    assert answer.status_code == 302
    assert "Secure" in answer.headers["Set-Cookie"]


@pytest.mark.parametrize("wanted", ["https://evil.example", "//evil.example", "owner.logout", "static", "x"])
def test_after_login_nobody_is_sent_where_a_link_says(client: FlaskClient, wanted: str) -> None:
    form = {"password": PASSWORD, "csrf_token": token_of(client)}
    assert client.post("/login", query_string={"next": wanted}, data=form).headers["Location"] == "/"


@pytest.mark.parametrize(
    "path",
    [
        "/static/../owner.py",
        "/static/..%2fowner.py",
        "/static/%2e%2e/%2e%2e/bundle.py",
        "/static//etc/passwd",
        "/teach/drops/../../../etc/passwd",
        "/teach/drops/-1.jpg",
        "/teach/drops/1e9.jpg",
        "/translations/id/LC_MESSAGES/messages.po",
    ],
)
def test_no_path_leads_out_of_the_page(client: FlaskClient, path: str) -> None:
    log_in(client)
    response = client.get(path, follow_redirects=True)
    assert response.status_code in (400, 404)
    assert "root:" not in response.text
    assert "import" not in response.text


def test_what_cannot_be_done_is_refused_with_what_can(client: FlaskClient) -> None:
    for path, allowed in (("/language", {"POST", "OPTIONS"}), ("/api/classify", {"POST", "OPTIONS"})):
        refused = client.get(path)
        assert (refused.status_code, set(refused.allow)) == (405, allowed)


@pytest.mark.parametrize("path", ["/now", "/ask", "/history", "/health", "/login", "/nowhere", "/static/style.css"])
def test_every_answer_forbids_what_is_inline_or_from_elsewhere(client: FlaskClient, path: str) -> None:
    response = client.get(path)
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["X-Frame-Options"] == "DENY"
    assert not re.search(r"""\sstyle=|\son[a-z]+=|<script>|https?://(?!localhost|www\.w3\.org)""", response.text) or (
        path == "/static/style.css"
    )


def test_a_wrong_setting_is_told_as_the_file_s_checker_says_it_and_changes_nothing(client: FlaskClient) -> None:
    log_in(client)
    form = {"decision.confidence": "very", "csrf_token": token_of(client, "/health")}
    response = client.post("/health/settings", data=form)
    assert response.status_code == 400
    assert "decision.confidence" in response.text


def test_a_link_from_another_site_finds_the_owner_logged_in(client: FlaskClient) -> None:
    log_in(client)
    assert client.get_cookie("pilah").same_site == "Lax", "a stricter cookie stays at home, and a new one replaces it"


def test_a_script_is_asked_for_at_each_visit_and_sent_when_it_has_changed(client: FlaskClient) -> None:
    sent = client.get("/static/health.js")
    assert sent.cache_control.no_cache
    assert sent.cache_control.max_age is None
    again = client.get("/static/health.js", headers={"If-None-Match": sent.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_an_answer_that_is_late_brings_back_nothing_that_was_chosen_before(client: FlaskClient) -> None:
    log_in(client)
    assert "Set-Cookie" not in client.get("/health").headers


def test_a_form_in_another_tab_is_still_good_after_the_login(client: FlaskClient) -> None:
    token = token_of(client, "/history")
    log_in(client)
    assert client.post("/logout", data={"csrf_token": token}).status_code == 302


def test_a_page_that_stays_open_overnight_still_switches_the_language_and_keeps_it(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = token_of(client, "/now")
    _let_cookies_age(monkeypatch, SESSION_S + 3600)
    assert client.post("/language", data={"language": "id", "csrf_token": token}).status_code == 302
    _let_cookies_age(monkeypatch, 300 * 24 * 3600)
    assert '<html lang="id">' in client.get("/now").text


def _let_cookies_age(monkeypatch: pytest.MonkeyPatch, age_s: float) -> None:
    later_s = int(time.time() + age_s)
    monkeypatch.setattr("itsdangerous.TimestampSigner.get_timestamp", lambda _: later_s)


@pytest.mark.parametrize(
    "place", ["/history?from=2026-01-01&verdict=sure", "/login?next=teach.page", "/health/settings"]
)
def test_whoever_switches_the_language_stays_where_they_are_and_keeps_it(client: FlaskClient, place: str) -> None:
    form = {"language": "id", "csrf_token": token_of(client)}
    answer = client.post("/language", data=form, headers={"Referer": f"http://localhost{place}"})
    assert answer.headers["Location"] == place
    assert client.get_cookie("pilah").expires is not None, "kept when the browser is closed"


@pytest.mark.parametrize(
    "referer",
    ["https://evil.example/history", "http://localhost//evil.example", "http://localhost/logout", "http://[", "x"],
)
def test_a_switch_of_language_leads_nobody_away(client: FlaskClient, referer: str) -> None:
    form = {"language": "id", "csrf_token": token_of(client)}
    assert client.post("/language", data=form, headers={"Referer": referer}).headers["Location"] == "/"


def test_one_minute_to_wait_is_told_as_one(client: FlaskClient, bin_: Bin) -> None:
    for _ in range(GUESSES_OF_ONE):
        log_in(client, "guess")
    bin_.clock.sleep(14 * 60)
    form = {"password": "guess", "csrf_token": token_of(client)}
    assert "Wait 1 minute." in client.post("/login", data=form).text
    assert "Tunggu 1 menit." in client.post("/login", data=form, headers={"Accept-Language": "id"}).text
