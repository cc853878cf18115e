"""Logos: whatever is uploaded is decoded and drawn anew, so that nothing of the file itself is ever served."""

import hashlib
import struct
import threading
import zlib
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageOps, UnidentifiedImageError

from app.errors import Refused
from app.i18n import _

FORMATS = ("PNG", "JPEG", "WEBP")
LARGEST_FILE = 2 * 1024 * 1024
LARGEST_SIDE, MOST_PIXELS = 8000, 4_000_000  # 20 bytes a pixel at worst while decoding
SIDE = 256
MOST_BYTES = 16 * 1024  # of the 60 kB that a client's page may weigh
ONE_AT_A_TIME = threading.Lock()  # so that a process never needs that memory more than once
BROKEN = (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)


@dataclass(frozen=True)
class Logo:
    """A PNG of ours, and the SHA-256 that names it."""

    png: bytes
    digest: str


def redraw(upload: bytes, *, field: str = "logo") -> Logo:
    """The picture as a fresh PNG of at most 256 pixels, without anything that came along with it; Refused."""
    if len(upload) > LARGEST_FILE:
        raise Refused(_("This file is larger than 2 MB."), field=field)
    try:
        with ONE_AT_A_TIME:
            picture = _decoded(upload, field)
            picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Refused(_too_large(), field=field) from None
    except BROKEN:
        raise Refused(_("This is not a PNG, JPEG or WebP picture that can be read."), field=field) from None
    clean = Image.new("RGBA", picture.size)
    clean.paste(picture)
    png = _light(clean)
    return Logo(png, hashlib.sha256(png).hexdigest())


def _light(picture: Image.Image) -> bytes:
    """The picture as a PNG that a client's page can afford: a photograph has to do with fewer colours, then with less room."""
    png = _png(picture)
    for side, colours in ((SIDE, 128), (SIDE // 2, 64), (SIDE // 4, 64)):
        if len(png) <= MOST_BYTES:
            break
        smaller = picture.copy()
        smaller.thumbnail((side, side), Image.Resampling.LANCZOS)
        png = _png(smaller.quantize(colours, method=Image.Quantize.FASTOCTREE))
    return png


def _png(picture: Image.Image) -> bytes:
    file = BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()


def _too_large() -> str:
    return _("This picture has too many pixels: 2000 by 2000 is the most, and 256 by 256 is enough.")


def _decoded(upload: bytes, field: str) -> Image.Image:
    with Image.open(BytesIO(upload), formats=FORMATS) as picture:  # reads the head alone
        width, height = picture.size
        if max(width, height) > LARGEST_SIDE or width * height > MOST_PIXELS:
            raise Refused(_too_large(), field=field)
        picture.draft("RGB", (SIDE * 2, SIDE * 2))
        return ImageOps.exif_transpose(picture).convert("RGBA")
