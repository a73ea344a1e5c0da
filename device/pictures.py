"""The one reader of picture files: the loop, `classify` and the page see the same pixels."""

from __future__ import annotations

import math
import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from device.errors import PictureError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
PIXELS_AT_MOST = 64_000_000
"""A picture of this size takes up to 370 MB while it is decoded, 550 of a WebP with transparency, which a Pi with 1 GB
can still spare."""
BYTES_AT_MOST = 64 * 1024 * 1024
SCANS_AT_MOST = 64
"""Passes in which a JPEG is drawn, a progressive one of a camera in about ten: each takes a look at every pixel, and
forty bytes."""
PACKED_TEXTS_AT_MOST = 8
"""Compressed texts in a PNG: libpng unfolds each to at most 8 MB, and keeps them all."""

SMALLEST_SIDE_PX = 32
"""Of a picture that is learnt from."""
BLANK_DEVIATION = 2.0
"""A picture whose grey values deviate less (of 255) shows nothing."""

_BRANDS_OF_HEIF = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1", b"avif", b"avis"}
_START_OF_FRAME = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN = 0xDA
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}


def picture_files(folder: Path) -> list[Path]:
    """The picture files in `folder` and below it, sorted by path; hidden files and folders are left out.

    Raises `PictureError` where the folder is missing or may not be read.
    """
    if not folder.is_dir():
        raise PictureError(f"There is no folder {folder}; name one that holds pictures.")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise PictureError(f"This user may not read the folder {folder}; change its permissions, or name another.")
    return sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in SUFFIXES and not is_hidden(file, folder) and file.is_file()
    )


def is_hidden(file: Path, folder: Path) -> bool:
    """Whether a file below `folder`, or a folder on the way to it, is hidden."""
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def read_picture(path: Path) -> NDArray[np.uint8]:
    """The picture in a JPEG, PNG or WebP file, upright: (H, W, 3) uint8 RGB.

    Raises `PictureError` where the file is missing, no such picture, cut short or too large.
    """
    try:
        if path.is_dir():
            raise PictureError(f"{path} is a folder, not a picture.")
        if path.stat().st_size > BYTES_AT_MOST:
            raise PictureError(f"{path} is larger than {BYTES_AT_MOST // 2**20} MB; make the picture smaller.")
        encoded = path.read_bytes()
    except FileNotFoundError:
        raise PictureError(f"There is no file {path}.") from None
    except OSError as fault:
        raise PictureError(f"{path} cannot be read: {fault.strerror or fault}.") from fault
    return decode_picture(encoded, str(path))


def decode_picture(
    encoded: bytes, name: str = "The picture", pixels_at_most: int = PIXELS_AT_MOST
) -> NDArray[np.uint8]:
    """The picture that `encoded` (JPEG, PNG or WebP) holds, upright as EXIF says: (H, W, 3) uint8 RGB.

    `name` stands in messages. OpenCV fills what is missing of a truncated file with grey and says nothing, so the
    file's structure is checked first, and its size before a pixel is decoded. Raises `PictureError`.
    """
    width, height = _size_in_header(encoded, name)
    if width * height > pixels_at_most:
        raise PictureError(
            f"{name} has {width}×{height} pixels, more than {pixels_at_most // 10**6} million; make it smaller."
        )
    try:
        pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise PictureError(f"{name} is broken: it cannot be decoded as a picture.")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def shrunk(picture: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """(H, W, channels) uint8 with sides `scale` times as long, a pixel at least; as it is where that is no shorter.

    A pixel is the mean of those that it stands for, so that fine patterns make no false ones.
    """
    if scale >= 1:
        return picture
    height, width = picture.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def is_blank(picture: NDArray[np.uint8]) -> bool:
    """Whether (H, W, 3) uint8 RGB shows nothing that could be learnt from."""
    return float(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).std()) < BLANK_DEVIATION


def encode_jpeg(picture: NDArray[np.uint8], quality: int) -> bytes:
    """(H, W, 3) uint8 RGB as a JPEG file of `quality`, 0 to 100."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _size_in_header(encoded: bytes, name: str) -> tuple[int, int]:
    """Width and height, once the file is known to be of a kind that Pilah reads and to have its end."""
    if not encoded:
        raise PictureError(f"{name} is empty.")
    if encoded[4:8] == b"ftyp" and encoded[8:12] in _BRANDS_OF_HEIF:
        raise PictureError(f"{name} is a HEIC or AVIF picture, which Pilah does not read; save it as JPEG.")
    if encoded.startswith(b"\xff\xd8\xff"):
        size = _walk_jpeg(encoded, name)
    elif encoded.startswith(b"\x89PNG\r\n\x1a\n"):
        size = _walk_png(encoded, name)
    elif encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP":
        size = _walk_webp(encoded)
    else:
        raise PictureError(f"{name} is no JPEG, PNG or WebP picture.")
    if size is None:
        raise PictureError(f"{name} is truncated: the end of the picture is missing; copy the file again.")
    return size


def _walk_jpeg(encoded: bytes, name: str) -> tuple[int, int] | None:
    """Size of a JPEG whose segments and scans reach the end marker (ITU-T T.81, annex B); None where they do not.

    Bytes after the end marker do no harm: phones append previews and depth maps there. Of several frame headers the
    largest counts: the decoder goes by the first, and a later one would hide it.
    """
    size, scans, at = None, 0, 2
    while (at := encoded.find(b"\xff", at)) >= 0:
        while encoded[at : at + 1] == b"\xff":
            at += 1
        marker = encoded[at] if at < len(encoded) else None
        at += 1
        if marker == 0xD9:
            return size
        if marker == 0 or marker in _WITHOUT_LENGTH:
            continue
        if marker in _START_OF_FRAME:
            frame = int.from_bytes(encoded[at + 5 : at + 7], "big"), int.from_bytes(encoded[at + 3 : at + 5], "big")
            size = max(size or frame, frame, key=math.prod)
        scans += marker == _START_OF_SCAN
        if scans > SCANS_AT_MOST:
            raise PictureError(f"{name} is drawn in more than {SCANS_AT_MOST} passes; save it anew.")
        at += int.from_bytes(encoded[at : at + 2], "big")
    return None


def _walk_png(encoded: bytes, name: str) -> tuple[int, int] | None:
    """Size of a PNG whose chunks reach IEND (W3C PNG, section 5); None where they do not."""
    texts, at = 0, 8
    while at + 12 <= len(encoded):
        kind = encoded[at + 4 : at + 8]
        texts += kind in (b"zTXt", b"iTXt")
        if texts > PACKED_TEXTS_AT_MOST:
            raise PictureError(f"{name} holds more than {PACKED_TEXTS_AT_MOST} compressed texts; save it anew.")
        if kind == b"IEND":
            return int.from_bytes(encoded[16:20], "big"), int.from_bytes(encoded[20:24], "big")
        at += 12 + int.from_bytes(encoded[at : at + 4], "big")
    return None


def _walk_webp(encoded: bytes) -> tuple[int, int] | None:
    """Size of a WebP that is as long as its RIFF header says (RFC 9649); None where it is shorter."""
    if len(encoded) < 8 + int.from_bytes(encoded[4:8], "little"):
        return None
    kind = encoded[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(encoded[24:27], "little"), 1 + int.from_bytes(encoded[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(encoded[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return int.from_bytes(encoded[26:28], "little") & 0x3FFF, int.from_bytes(encoded[28:30], "little") & 0x3FFF
