import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from app.errors import Refused
from app.services import logos
from tests.support.shared_app import *  # noqa: F403

pytestmark = pytest.mark.usefixtures("app_context")


def picture(kind="PNG", size=(300, 200), mode="RGB", colour="#a03c17", **options):
    file = BytesIO()
    Image.new(mode, size, colour).save(file, kind, **options)
    return file.getvalue()


def drawn(upload):
    return Image.open(BytesIO(logos.redraw(upload).png))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_redraw_makes_a_png_of_at_most_256_pixels(kind):
    result = drawn(picture(kind, (600, 300)))

    assert (result.format, result.size, result.mode) == ("PNG", (256, 128), "RGBA")


def test_redraw_leaves_a_small_picture_its_size():
    assert drawn(picture(size=(20, 10))).size == (20, 10)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK"])
def test_redraw_takes_every_kind_of_colour(mode):
    kind = "JPEG" if mode == "CMYK" else "PNG"

    assert drawn(picture(kind, mode=mode, colour=None if mode == "CMYK" else 0)).mode == "RGBA"


def test_redraw_keeps_what_can_be_seen_through():
    assert drawn(picture(mode="RGBA", colour=(0, 0, 0, 0))).getpixel((0, 0))[3] == 0


def test_redraw_drops_all_that_came_along():
    info = PngInfo()
    info.add_text("Comment", "CANARY")
    exif = Image.Exif()
    exif[0x010E] = "CANARY"
    uploads = [
        picture("PNG", pnginfo=info, icc_profile=b"CANARY"),
        picture("JPEG", exif=exif, comment=b"CANARY"),
        picture("WEBP", exif=exif, xmp=b"CANARY"),
        picture("PNG") + b"<script>CANARY</script>",
    ]
    for upload in uploads:
        assert b"CANARY" in upload
        png = logos.redraw(upload).png
        assert b"CANARY" not in png
        assert set(Image.open(BytesIO(png)).info) == set()


def test_redraw_turns_a_picture_upright():
    exif = Image.Exif()
    exif[0x0112] = 6

    assert drawn(picture("JPEG", (200, 100), exif=exif)).size == (100, 200)


def test_redraw_names_the_result_by_what_is_in_it():
    first, same, other = (logos.redraw(picture(colour=colour)) for colour in ("#a03c17", "#a03c17", "#0e5a6e"))

    assert first == same
    assert first.digest != other.digest


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_redraw_takes_four_million_pixels(kind):
    assert drawn(picture(kind, (2000, 2000))).size == (256, 256)


def test_redraw_decodes_one_picture_at_a_time(monkeypatch):
    upload, decode, lock = picture(size=(64, 64)), logos._decoded, threading.Lock()
    now, most = 0, 0

    def watched(*given):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.05)
        with lock:
            now -= 1
        return decode(*given)

    monkeypatch.setattr(logos, "_decoded", watched)
    with ThreadPoolExecutor(4) as pool:
        digests = {each.digest for each in pool.map(logos.redraw, [upload] * 4)}

    assert (most, len(digests)) == (1, 1)


@pytest.mark.parametrize("upload", [b"no picture", picture(size=(9000, 2), mode="1", colour=0)])
def test_redraw_can_be_tried_again_after_a_refusal(upload):
    with pytest.raises(Refused):
        logos.redraw(upload)

    assert drawn(picture(size=(20, 10))).size == (20, 10)


def bomb():
    """A PNG whose head promises a picture of 40 GB."""
    size = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 6, 0, 0, 0)
    head = b"IHDR" + size
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + head
        + struct.pack(">I", zlib.crc32(head))
        + b"\x00\x00\x00\x00IDAT"
    )


def broken():
    upload = picture("PNG", (300, 200), mode="RGB")
    return upload[: len(upload) // 2]


@pytest.mark.parametrize(
    ("upload", "problem"),
    [
        (b"", "This is not a PNG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "This is not a PNG"),
        (
            b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;",
            "This is not a PNG",
        ),
        (picture("BMP"), "This is not a PNG"),
        (picture("TIFF"), "This is not a PNG"),
        (broken(), "This is not a PNG"),
        (picture("JPEG")[:200], "This is not a PNG"),
        (picture("WEBP")[:30], "This is not a PNG"),
        (bomb(), "too many pixels"),
        (picture(size=(9000, 2), mode="1", colour=0), "too many pixels"),
        (picture("WEBP", (8000, 3000), lossless=True), "too many pixels"),
        (picture("JPEG", (2001, 2000)), "too many pixels"),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * (2 * 1024 * 1024), "larger than 2 MB"),
    ],
)
def test_redraw_refuses_what_is_no_picture_or_too_much_of_one(upload, problem):
    with pytest.raises(Refused, match=problem) as refused:
        logos.redraw(upload)

    assert refused.value.field == "logo"


def test_a_photograph_is_made_light_enough_for_a_clients_page():
    noise = Image.effect_noise((600, 600), 90).convert("RGB")
    file = BytesIO()
    noise.save(file, "JPEG")

    made = logos.redraw(file.getvalue())

    assert len(made.png) <= logos.MOST_BYTES
    assert Image.open(BytesIO(made.png)).format == "PNG"
