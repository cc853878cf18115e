"""Every way to alter a link, as it stands in an address; and how to follow one the way a web server hands it on."""

import itertools
import random
import secrets
import string
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from urllib.parse import quote, unquote_to_bytes
from wsgiref.types import WSGIApplication

ALPHABET = string.ascii_letters + string.digits + "-_."
LOOKALIKES = dict(zip("acdeijopsxyABCEHIKMOPSTX019._-", "асԁеіјорѕхуАВСЕНІКМОРЅТХ０１９．＿‐", strict=True))
ENDS = [*string.printable, "\x00", "\x7f", "\xa0", "\xad", "\u200b", "\u2028", "\ufeff", "%0d%0aX: y"]
SIZES = (*range(1, 301, 7), 1024, 2048, 4094, 8190, 65_536)
Altered = tuple[str, str]


def systematic(token: str, other: str) -> Iterator[Altered]:
    """The token with one thing changed, each with the name of the kind; `other` is the token of another link."""
    changed = itertools.chain(
        _letters(token), _written_otherwise(token), _at_the_ends(token), _sizes(token), _mixed(token, other)
    )
    return ((kind, text) for kind, text in changed if text != token)


def by_chance(token: str, chance: random.Random) -> Altered:
    """The token with two or more letters changed, which may lie anywhere."""
    letters = list(token)
    for place in chance.sample(range(len(letters)), chance.choice((2, 2, 3, 8))):
        letters[place] = chance.choice(ALPHABET.replace(letters[place], ""))
    return "several letters", "".join(letters)


def _letters(token: str) -> Iterator[Altered]:
    for place, letter in enumerate(token):
        before, after = token[:place], token[place + 1 :]
        yield from (("another letter", before + each + after) for each in ALPHABET if each != letter)
        yield from (("a letter more", before + each + letter + after) for each in ALPHABET)
        yield "a letter less", before + after
        yield "the other case", before + letter.swapcase() + after
        yield "two letters swapped", before + after[:1] + letter + after[1:]


def _written_otherwise(token: str) -> Iterator[Altered]:
    for place, letter in enumerate(token):
        before, after = token[:place], token[place + 1 :]
        code = f"%{ord(letter):02X}"
        yield "percent-encoded", before + code + after
        yield "percent-encoded", before + code.lower() + after
        yield "percent-encoded twice", before + quote(code) + after
        yield "of overlong UTF-8", f"{before}%C1%{0x80 | ord(letter) & 0x3F:02X}{after}"
        if alike := LOOKALIKES.get(letter):
            yield "a look-alike", before + quote(alike) + after
            yield "a look-alike", before + alike.encode().decode("latin-1") + after
    yield "percent-encoded", "".join(f"%{ord(letter):02x}" for letter in token)
    yield from (("the other case", changed) for changed in (token.upper(), token.lower(), token.swapcase()))


def _at_the_ends(token: str) -> Iterator[Altered]:
    for each in ENDS:
        for written in {each if each.isascii() and each.isprintable() and each not in "?#" else "", quote(each)} - {""}:
            yield "with a tail", token + written
            yield "with a beginning", written + token
    for count in range(1, 9):
        yield "padded", token + "=" * count
        yield "padded", token + "%3D" * count
        yield "padded", token.replace(".", "=" * count + ".")
    yield from (
        ("a path", text) for text in (f"./{token}", f"../l/{token}", f"x/../{token}", f"{token};x=1", f"/{token}")
    )


def _sizes(token: str) -> Iterator[Altered]:
    yield from (("cut off", token[:end]) for end in range(len(token)))
    yield from (("its end alone", token[start:]) for start in range(1, len(token)))
    yield from (("a size", "A" * size) for size in SIZES)
    yield from (("a size", (token * (1 + size // len(token)))[:size]) for size in SIZES if size != len(token))


def _mixed(token: str, other: str) -> Iterator[Altered]:
    """What one link says with what another is signed by."""
    (said, _, signed), (also_said, _, also_signed) = token.rpartition("."), other.rpartition(".")
    yield from (
        ("parts of two links", text)
        for text in (
            *(f"{said}.{also_signed}", f"{also_said}.{signed}", f"{signed}.{said}", f"{token}{other}"),
            *(f"{said}.", f".{signed}", f"{said}..{signed}", f"{said}{signed}", "."),
        )
    )


@dataclass(frozen=True)
class Answer:
    """All that a visitor can see."""

    status: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


def follow(
    app: WSGIApplication, link: str, *, method: str = "GET", query: str = "", is_raw_known: bool = True
) -> Answer:
    """Ask for `/l/<link>` as it is written, from a network of its own; what is learnt afterwards is written too."""
    seen: list[tuple[str, tuple[tuple[str, str], ...]]] = []

    def start(status: str, headers: list[tuple[str, str]], *_: object) -> None:
        seen.append((status, tuple(sorted(each for each in headers if each[0] != "Date"))))

    answer = app(environ(link, method=method, query=query, is_raw_known=is_raw_known), start)  # type: ignore[arg-type]
    try:
        body = b"".join(answer)
    finally:
        if hasattr(answer, "close"):
            answer.close()
    ((status, headers),) = seen
    return Answer(status, headers, body)


def environ(link: str, *, method: str = "GET", query: str = "", is_raw_known: bool = True) -> dict[str, object]:
    """What a web server makes of the request: the address as it came, and decoded."""
    raw = f"/l/{link}" + (f"?{query}" if query else "")
    return {
        "REQUEST_METHOD": method,
        "PATH_INFO": unquote_to_bytes(f"/l/{link}".encode("latin-1")).decode("latin-1"),
        "SCRIPT_NAME": "",
        "QUERY_STRING": query,
        **({"RAW_URI": raw} if is_raw_known else {}),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "REMOTE_ADDR": f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1",
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(),
        "wsgi.errors": BytesIO(),
    }
