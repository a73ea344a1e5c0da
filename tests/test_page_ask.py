"""Ask the bin what a photo shows: the answer, and every way of being refused."""

from __future__ import annotations

import http.client
import io
import json
import struct
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from device.bundle import Bundle
from device.classifier import Classifier
from device.config import Config
from device.events import StateEvent
from device.page.app import create_app
from device.page.ask import UPLOADS_OF_ONE, WAITING_AT_MOST, WAITS_FOR_LOOP_S
from device.page.server import PageServer
from tests.bundles import plain, write_bundle
from tests.page_parts import PlayedAppliance, jpeg, make_bin, photo_of


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    return create_app(make_bin(tmp_path)).test_client()


def ask(client: FlaskClient, photo: bytes, name: str = "photo.jpg", language: str = "en") -> TestResponse:
    return client.post(
        "/api/classify", data={"photo": (io.BytesIO(photo), name)}, headers={"Accept-Language": language}
    )


def test_a_photo_of_glass_goes_into_recyclable_with_its_word_colour_and_all_probabilities(client: FlaskClient) -> None:
    answer = ask(client, photo_of("glass")).json
    assert (answer["material"], answer["compartment"], answer["verdict"]) == ("glass", "recyclable", "sure")
    assert answer["words"]["compartment"] == "Recyclable"
    assert answer["words"]["colour"] == "#f9a825"
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=0.01)


def test_the_answer_is_in_the_language_that_the_browser_asks_for(client: FlaskClient) -> None:
    assert ask(client, photo_of("glass"), language="id-ID,id;q=0.9").json["words"]["material"] == "Kaca"


def test_a_colour_that_is_like_no_material_is_unknown_and_goes_to_the_fallback(client: FlaskClient) -> None:
    lurid = jpeg(np.full((40, 40, 3), (255, 0, 255), np.uint8))
    answer = ask(client, lurid).json
    assert (answer["verdict"], answer["compartment"]) == ("unknown", "residual")


def test_a_photo_that_a_phone_marked_as_rotated_is_judged_upright(client: FlaskClient) -> None:
    tall = np.concatenate([plain("organic", 300, 100), plain("glass", 100, 100), plain("organic", 300, 100)])
    lying = np.ascontiguousarray(np.rot90(tall))
    assert ask(client, _with_orientation(jpeg(lying), 6)).json["probabilities"] == pytest.approx(
        ask(client, jpeg(tall)).json["probabilities"], abs=0.05
    )


def _with_orientation(encoded: bytes, orientation: int) -> bytes:
    tiff = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0) + b"\0\0\0\0"
    segment = b"Exif\0\0" + tiff
    return encoded[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + encoded[2:]


def _png_that_unfolds(width: int, height: int) -> bytes:
    """A whole black picture: a hundred kilobytes that become gigabytes once they are decoded."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compress(bytes((1 + width // 8) * height))
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _zip() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("bottle.txt", "no picture")
    return content.getvalue()


@pytest.mark.parametrize(
    ("upload", "says"),
    [
        (b"", "empty"),
        (b"#!/bin/sh\necho hello\n", "no JPEG, PNG or WebP"),
        (_zip(), "no JPEG, PNG or WebP"),
        (b"\0\0\0\x20ftypheic" + b"\0" * 64, "HEIC"),
        (_png_that_unfolds(30_000, 30_000), "30000×30000"),
        (photo_of("glass")[:-200], "truncated"),
        (b"GIF89a" + b"\0" * 64, "no JPEG, PNG or WebP"),
        (b"\xff\xd8\xff\xe0<script>alert(1)</script>", "truncated"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no JPEG, PNG or WebP"),
    ],
    ids=["empty", "script", "zip", "heic", "bomb", "truncated", "gif", "polyglot", "svg"],
)
def test_what_is_no_picture_gets_a_friendly_sentence(client: FlaskClient, upload: bytes, says: str) -> None:
    response = ask(client, upload)
    assert response.status_code == 415
    assert says in response.json["error"]
    assert "Traceback" not in response.text


def test_what_is_no_picture_takes_no_place_from_the_next_photo(client: FlaskClient) -> None:
    assert [ask(client, b"no picture").status_code for _ in range(WAITING_AT_MOST + 1)] == [415] * (WAITING_AT_MOST + 1)
    assert ask(client, photo_of("glass")).status_code == 200


def test_a_picture_with_html_in_it_is_judged_by_its_pixels_and_never_served(client: FlaskClient) -> None:
    polyglot = photo_of("glass") + b"<html><script>alert(1)</script>"
    response = ask(client, polyglot, name="../../etc/passwd.html")
    assert response.json["material"] == "glass"
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_fifty_megabytes_are_refused_before_they_are_read(client: FlaskClient) -> None:
    response = ask(client, b"\xff\xd8\xff" + b"\0" * 50_000_000)
    assert response.status_code == 413
    assert "12 MB" in response.json["error"]


def test_a_question_without_a_photo_is_told_how_to_ask(client: FlaskClient) -> None:
    response = client.post("/api/classify", data={})
    assert (response.status_code, response.json["error"]) == (400, "Send a picture in the form field `photo`.")


def test_one_client_may_ask_sixty_times_a_minute_and_others_still_may(tmp_path: Path) -> None:
    bin_ = make_bin(tmp_path)
    client = create_app(bin_).test_client()
    assert [client.post("/api/classify").status_code for _ in range(61)] == [400] * 60 + [429]
    assert client.post("/api/classify", environ_base={"REMOTE_ADDR": "192.168.1.9"}).status_code == 400
    bin_.clock.sleep(60)
    assert client.post("/api/classify").status_code == 400


@pytest.mark.parametrize("address", ["127.0.0.1", "*"])
@pytest.mark.parametrize(("sender", "last"), [("127.0.0.1", 400), ("127.0.0.2", 429)], ids=["the proxy", "a stranger"])
def test_only_the_proxy_on_this_machine_may_say_whom_it_speaks_for(
    tmp_path: Path, address: str, sender: str, last: int
) -> None:
    with PageServer(create_app(make_bin(tmp_path)), address, 0) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20, source_address=(sender, 0))
        for number in range(UPLOADS_OF_ONE + 1):
            connection.request("POST", "/api/classify", headers={"X-Forwarded-For": f"10.0.0.{number}"})
            answer = connection.getresponse()
            answer.read()
        connection.close()
    assert answer.status == last


def test_the_api_answers_as_its_openapi_description_says(client: FlaskClient) -> None:
    described = client.get("/api/openapi.json").json
    schema = described["components"]["schemas"]["Answer"]
    answer = ask(client, photo_of("metal")).json
    assert set(answer) == set(schema["required"]) == set(schema["properties"])
    assert set(answer["words"]) == set(schema["properties"]["words"]["required"])
    assert answer["verdict"] in schema["properties"]["verdict"]["enum"]


def test_a_photo_waits_while_the_bin_judges_an_object_but_not_for_ever(tmp_path: Path) -> None:
    appliance = PlayedAppliance(Config().compartments)
    bin_ = make_bin(tmp_path, appliance=appliance)
    client = create_app(bin_).test_client()
    for state, waits_s in (("empty", 0.0), ("deciding", WAITS_FOR_LOOP_S)):
        appliance.tell(StateEvent(0.0, state))
        before_s = bin_.clock.now()
        assert ask(client, photo_of("glass")).status_code == 200
        assert bin_.clock.now() - before_s == pytest.approx(waits_s, abs=0.1)


@pytest.mark.parametrize("language", ["en", "id"])
@pytest.mark.parametrize("now", ["another model", "garbage", "nothing"])
def test_a_model_that_was_replaced_before_the_first_photo_is_told_and_answers_once_it_is_back(
    tmp_path: Path, now: str, language: str
) -> None:
    file = write_bundle(tmp_path / "model.onnx")
    client = create_app(make_bin(tmp_path, open_classifier=lambda: Classifier(Bundle.open(file)))).test_client()
    match now:
        case "another model":
            write_bundle(file, version="2027.1.1-1")
        case "garbage":
            file.write_bytes(b"garbage")
        case "nothing":
            file.unlink()
    refused = ask(client, photo_of("glass"), language=language)
    assert refused.status_code == 503
    assert {"en": "start the bin again", "id": "nyalakan ulang"}[language] in refused.json["error"]
    assert "Retry-After" not in refused.headers, "waiting alone does not help"
    write_bundle(file)
    assert ask(client, photo_of("glass")).json["material"] == "glass"


def test_png_and_webp_are_read_as_well(client: FlaskClient) -> None:
    bgr = cv2.cvtColor(plain("plastic"), cv2.COLOR_RGB2BGR)
    for suffix in (".png", ".webp"):
        assert ask(client, bytes(cv2.imencode(suffix, bgr)[1])).json["material"] == "plastic"


def test_the_words_for_scripts_are_in_the_page_as_json(client: FlaskClient) -> None:
    text = client.get("/ask").text
    words = text.split('id="words">')[1].split("</script>")[0]
    assert json.loads(words)["asking"].startswith("Looking")
