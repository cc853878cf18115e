"""How an address inside may be written, so that one who checks names overlooks it."""

import random
import re
from collections.abc import Iterator
from ipaddress import IPv4Address

SPELLINGS = [
    # what systems read as 127.0.0.1
    *("127.0.0.1", "127.0.0.2", "127.1", "127.0.1", "2130706433", "017700000001", "0177.0.0.1", "0x7f000001"),
    *("0x7F.0x0.0x0.0x1", "0x7f.1", "127.0.0.0x1", "0177.0x0.1", "0", "0.0.0.0", "00000127.0.0.1", "127.0.0.001"),
    *("127.0.0.1.", "127.0.0.1..", ".127.0.0.1", "0x0", "00", "127.0.0.1%00.example", "%31%32%37.0.0.1"),
    # by name
    *("localhost", "LOCALHOST", "lOcAlHoSt", "localhost.", "localhost。", "metadata.localhost", "x.y.localhost"),
    *("ｌｏｃａｌｈｏｓｔ", "local\u00adhost", "localhost%00", "localhost%2f"),
    # of other digits and dots
    *(
        "1２7.0.0.1",
        "①②⑦.0.0.1",
        "127。0。0。1",
        "127．0．0．1",
        "127｡0｡0｡1",
        "𝟏𝟐𝟕.𝟎.𝟎.𝟏",
        "१२७.0.0.1",
        "127.0.0.1\u200b",
    ),
    # IPv6, and IPv4 within it: mapped, compatible, translated, 6to4, NAT64, Teredo, ISATAP
    *("[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[0000:0000::0001]", "[::0.0.0.1]", "[::127.0.0.1]", "[::7f00:1]"),
    *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::FFFF:7F00:0001]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::ffff:0.0.0.0]"),
    *(
        "[::ffff:0:127.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[2002:7f00:1::]",
        "[2002:7f00:0001::1]",
        "[2002:a9fe:a9fe::]",
    ),
    *(
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::7f00:1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b::10.0.0.1]",
    ),
    *(
        "[2001:0:7f00:1::]",
        "[2001:0:53aa:64c::80ff:fffe]",
        "[2606:4700::5efe:7f00:1]",
        "[2606:4700::200:5efe:127.0.0.1]",
    ),
    # with a zone
    *("[fe80::1]", "[fe80::1%25lo]", "[::1%25lo]", "[::1%lo]", "[fe80::1%251]"),
    # unique local, site-local, multicast, documentation, discard
    *(
        "[fc00::1]",
        "[fd12:3456::1]",
        "[fd00:ec2::254]",
        "[fec0::1]",
        "[ff02::1]",
        "[2001:db8::1]",
        "[100::1]",
        "[3fff::1]",
    ),
    # private, shared, link-local, metadata, benchmarks, relays, multicast, broadcast
    *(
        "10.0.0.1",
        "012.0.0.1",
        "167772161",
        "100.64.0.1",
        "169.254.169.254",
        "2852039166",
        "0xA9FEA9FE",
        "169.254.43518",
    ),
    *("0251.0376.0251.0376", "172.16.0.1", "192.168.1.1", "0300.0250.1.1", "3232235777", "192.0.0.1", "198.18.0.1"),
    *("192.88.99.1", "192.0.2.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
    # with something around it
    *("provider.example@127.0.0.1", "provider.example:x@127.0.0.1", "@127.0.0.1", "127.0.0.1\\@provider.example"),
    *("127.0.0.1%09", "127.0.0.1%20", "127.0.0.1%2e", "[::1].", "[[::1]]", "[127.0.0.1]", "127.0.0.1,provider.example"),
]
# Those that a resolver may give out for a name.
NUMBERS = [
    bare
    for bare in (spelling.strip("[]") for spelling in SPELLINGS)
    if re.fullmatch(r"((0|[1-9]\d*)\.){3}(0|[1-9]\d*)|[0-9a-f.]*:[0-9a-f:.]+", bare)
]


def by_chance(chance: random.Random, address: str = "127.0.0.1") -> Iterator[str]:
    """An IPv4 address without end in the ways of `inet_aton`: one to four parts, each decimal, octal or hexadecimal."""
    number = int(IPv4Address(address))
    while True:
        last = chance.choice((1, 2, 3, 4))  # how many bytes the last part holds
        parts = [number >> 8 * place & 0xFF for place in range(3, last - 1, -1)]
        written = (_written(part, chance) for part in [*parts, number & (1 << 8 * last) - 1])
        yield ".".join(written) + chance.choice(("", "", "", "."))


def _written(part: int, chance: random.Random) -> str:
    zeros = "0" * chance.choice((0, 0, 1, 4))
    return chance.choice((str(part), f"0{zeros}{part:o}", f"0x{zeros}{part:x}", f"0X{zeros}{part:X}"))
