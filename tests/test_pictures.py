import contextlib
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.errors import PictureError
from device.pictures import (
    BYTES_AT_MOST,
    decode_picture,
    encode_jpeg,
    picture_files,
    read_picture,
    shrunk,
)
from tests.drawn import a_picture, encoded, save

JPEG = encoded(".jpg")
PNG = encoded(".png")
WEBP = encoded(".webp")


def written(suffix: str, *options: int) -> bytes:
    """`a_picture` as OpenCV writes it with these options."""
    return cv2.imencode(suffix, cv2.cvtColor(a_picture(), cv2.COLOR_RGB2BGR), options)[1].tobytes()


def extended(webp: bytes) -> bytes:
    """`a_picture` with the header that a WebP has which carries more than pixels."""
    size = (340).to_bytes(3, "little") + (255).to_bytes(3, "little")
    chunks = b"WEBPVP8X" + struct.pack("<II", 10, 0) + size + webp[12:]
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


LOSSY_WEBP = written(".webp", cv2.IMWRITE_WEBP_QUALITY, 80)
EACH_KIND = {
    "JPEG": JPEG,
    "progressive JPEG": written(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "JPEG with restarts": written(".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 4),
    "JPEG with padding": JPEG.replace(b"\xff\xdb", b"\xff\xff\xff\xff\xdb"),
    "PNG": PNG,
    "lossy WebP": LOSSY_WEBP,
    "lossless WebP": WEBP,
    "extended WebP": extended(LOSSY_WEBP),
}
LIES_ON_ITS_SIDE = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"


def with_segment(jpeg: bytes, payload: bytes) -> bytes:
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + jpeg[2:]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_a_picture_of_each_kind_is_read_as_rgb(tmp_path: Path, suffix: str) -> None:
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[..., 0] = 200

    seen = read_picture(save(picture, tmp_path / f"red{suffix}"))

    assert seen.shape == (64, 96, 3) and seen.dtype == np.uint8
    assert np.abs(seen.astype(int) - picture).max() <= 6


def test_a_png_comes_back_bit_by_bit() -> None:
    assert np.array_equal(decode_picture(PNG), a_picture())


def test_a_grey_picture_has_three_channels() -> None:
    grey = cv2.imencode(".jpg", np.full((40, 50), 90, np.uint8))[1].tobytes()

    assert decode_picture(grey).shape == (40, 50, 3)


def test_a_photo_taken_sideways_is_set_upright() -> None:
    upright = decode_picture(with_segment(JPEG, LIES_ON_ITS_SIDE))

    assert np.array_equal(upright, np.rot90(decode_picture(JPEG), -1))


def test_bytes_after_the_end_of_a_jpeg_do_no_harm() -> None:
    assert np.array_equal(decode_picture(JPEG + b"depth map \xff\xd8\xff junk"), decode_picture(JPEG))


@given(kept=st.integers(3, len(JPEG) - 1))
def test_a_jpeg_cut_anywhere_is_called_truncated(kept: int) -> None:
    with pytest.raises(PictureError, match="truncated"):
        decode_picture(JPEG[:kept])


@given(kept=st.integers(0, len(JPEG) - 1))
def test_the_end_of_an_embedded_preview_does_not_hide_that_the_photo_is_cut(kept: int) -> None:
    preview = encoded(".jpg", a_picture(32, 32))
    photo = with_segment(JPEG, b"Exif\0\0" + preview)

    with pytest.raises(PictureError, match="truncated"):
        decode_picture(photo[: len(photo) - len(JPEG) + kept])


@pytest.mark.parametrize("whole", [PNG, WEBP], ids=["png", "webp"])
def test_a_png_or_webp_that_is_cut_is_called_truncated(whole: bytes) -> None:
    for kept in (40, len(whole) // 2, len(whole) - 1):
        with pytest.raises(PictureError, match="truncated"):
            decode_picture(whole[:kept])


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", WEBP[:16]]))
def test_no_bytes_do_worse_than_a_picture_error(junk: bytes, start: bytes) -> None:
    with pytest.raises(PictureError) as told:
        decode_picture(start + junk, "photo.jpg")

    assert str(told.value).startswith("photo.jpg ") and str(told.value).endswith(".")


@given(at=st.integers(20, len(JPEG) - 1), level=st.integers(0, 255))
def test_a_changed_byte_gives_a_picture_or_a_picture_error(at: int, level: int) -> None:
    damaged = bytearray(JPEG)
    damaged[at] = level
    with contextlib.suppress(PictureError):
        assert decode_picture(bytes(damaged)).ndim == 3


def test_a_header_that_claims_absurdly_many_pixels_is_refused_before_decoding() -> None:
    bomb = bytearray(PNG)
    bomb[16:24] = struct.pack(">II", 60_000, 60_000)

    with pytest.raises(PictureError, match="60000×60000"):
        decode_picture(bytes(bomb))


@pytest.mark.parametrize("kind", EACH_KIND)
def test_a_picture_of_any_kind_is_told_its_size_where_it_has_too_many_pixels(kind: str) -> None:
    assert decode_picture(EACH_KIND[kind], pixels_at_most=341 * 256).shape == (256, 341, 3)
    with pytest.raises(PictureError, match="341×256"):
        decode_picture(EACH_KIND[kind], pixels_at_most=341 * 256 - 1)


def _segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


def _frame_of(width: int, height: int, marker: int = 0xC0) -> bytes:
    return _segment(marker, struct.pack(">BHHB", 8, height, width, 1) + bytes((1, 0x11, 0)))


def test_a_small_frame_does_not_hide_a_huge_one_from_the_limit() -> None:
    """Thousands of grey pixels a byte: 157 bytes of 20,000 × 20,000 took 2.3 GB."""
    tables = _segment(0xDB, bytes([0] + [1] * 64)) + b"".join(_segment(0xC4, bytes([k, 1] + [0] * 16)) for k in (0, 16))
    scan = _segment(0xDA, bytes((1, 1, 0, 0, 63, 0))) + bytes(4)
    lying = b"\xff\xd8" + tables + _frame_of(9_000, 9_000) + scan + _frame_of(16, 16) + b"\xff\xd9"

    with pytest.raises(PictureError, match="9000×9000"):
        decode_picture(lying)


def test_a_jpeg_of_endless_passes_is_refused_before_it_holds_up_all_others() -> None:
    tables = _segment(0xDB, bytes([0] + [1] * 64)) + b"".join(_segment(0xC4, bytes([k, 1] + [0] * 16)) for k in (0, 16))
    first = _segment(0xDA, bytes((1, 1, 0, 0, 0, 0))) + bytes(8)
    again = _segment(0xDA, bytes((1, 1, 0, 1, 63, 0))) + bytes(8)
    start = b"\xff\xd8" + tables + _frame_of(64, 64, 0xC2) + first

    assert decode_picture(start + 12 * again + b"\xff\xd9").shape == (64, 64, 3)
    with pytest.raises(PictureError, match="passes"):
        decode_picture(start + 64 * again + b"\xff\xd9")


@pytest.mark.parametrize("header", [b"zTXtkey\0\0", b"iTXtkey\0\1\0\0\0"])
def test_texts_in_a_png_do_not_fill_the_memory(header: bytes) -> None:
    def with_texts(number: int) -> bytes:
        content = header + zlib.compress(bytes(1000))
        text = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
        return PNG[:33] + number * text + PNG[33:]

    assert np.array_equal(decode_picture(with_texts(5)), decode_picture(PNG))
    with pytest.raises(PictureError, match="compressed texts"):
        decode_picture(with_texts(9))


def test_a_film_that_is_called_a_photo_does_not_fill_the_memory(tmp_path: Path) -> None:
    film = tmp_path / "film.jpg"
    film.write_bytes(JPEG)
    os.truncate(film, BYTES_AT_MOST + 1)

    with pytest.raises(PictureError, match=r"film\.jpg is larger than 64 MB"):
        read_picture(film)


def test_a_photo_that_the_card_gives_no_more_is_told_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "worn.jpg").symlink_to("worn.jpg")

    with pytest.raises(PictureError, match=r"worn\.jpg cannot be read: Too many levels of symbolic links\.$"):
        read_picture(tmp_path / "worn.jpg")


def test_a_folder_that_this_user_may_not_read_is_not_called_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read all

    with pytest.raises(PictureError, match=f"This user may not read the folder {tmp_path}"):
        picture_files(tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"hello, this is text", "no JPEG, PNG or WebP"),
        (b"GIF89a" + bytes(50), "no JPEG, PNG or WebP"),
        (b"\0\0\0\x18ftypheic" + bytes(50), "HEIC.*save it as JPEG"),
    ],
)
def test_what_is_no_picture_is_told_by_its_name(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "thing.jpg"
    file.write_bytes(content)

    with pytest.raises(PictureError, match=f"thing.jpg .*{says}"):
        read_picture(file)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="There is no file"):
        read_picture(tmp_path / "none.jpg")
    with pytest.raises(PictureError, match="is a folder"):
        read_picture(tmp_path)


def test_picture_files_come_sorted_from_all_depths_without_hidden_and_other_files(tmp_path: Path) -> None:
    folder = tmp_path / ".mine"
    for name in ("b/2.jpg", "a.PNG", "b/1.jpeg", "b/notes.txt", "b/._1.jpg", "folder.jpg/notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()

    assert [str(file.relative_to(folder)) for file in picture_files(folder)] == ["a.PNG", "b/1.jpeg", "b/2.jpg"]


def test_a_photo_of_sixteen_bits_a_colour_looks_like_the_same_in_eight() -> None:
    fine = cv2.imencode(".png", cv2.cvtColor(a_picture(), cv2.COLOR_RGB2BGR).astype(np.uint16) * 256)[1].tobytes()

    assert np.array_equal(decode_picture(fine), a_picture())


def test_a_kept_picture_has_the_colours_that_it_was_seen_in_and_takes_less_of_the_card_the_lower_its_quality() -> None:
    red = np.full((64, 64, 3), (200, 40, 10), np.uint8)

    assert np.abs(decode_picture(encode_jpeg(red, 80)).astype(int) - red).max() <= 6
    assert len(encode_jpeg(a_picture(), 50)) < len(encode_jpeg(a_picture(), 90)) / 2


def test_a_large_picture_is_shrunk_without_false_patterns_and_a_small_one_never_enlarged() -> None:
    stripes = np.zeros((40, 400, 3), np.uint8)
    stripes[:, ::4] = 200

    assert (shrunk(stripes, 0.25) == 50).all()
    assert shrunk(np.zeros((1, 400, 3), np.uint8), 0.25).shape == (1, 100, 3)
    assert shrunk(stripes, 12.8).shape == stripes.shape, "or a narrow strip would fill the memory"


@pytest.mark.skipif("PILAH_DATA" not in os.environ, reason="PILAH_DATA names no folder of photos")
def test_every_tenth_real_photo_is_read() -> None:
    files = picture_files(Path(os.environ["PILAH_DATA"]))[::10]

    assert files
    for file in files:
        assert read_picture(file).shape[2] == 3
