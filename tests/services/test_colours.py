import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.errors import Refused
from app.services import colours
from app.services.colours import Palette
from tests.support.shared_app import *  # noqa: F403

accents = st.integers(0, 0xFFFFFF).map("#{:06x}".format)


@pytest.mark.parametrize(
    ("typed", "colour"),
    [("#a03c17", "#a03c17"), (" #A03C17 ", "#a03c17"), ("a03c17", "#a03c17"), ("#000000", "#000000")],
)
def test_parse_takes_six_hex_digits(typed, colour):
    assert colours.parse(typed) == colour


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "#fff",
        "#a03c1",
        "#a03c177",
        "red",
        "#a03c1g",
        "rgb(1,2,3)",
        "#a03c17;}",
        "#a03c17\n}",
        "##a03c1",
        "#a03c1\u0661",
    ],
)
@pytest.mark.usefixtures("app_context")
def test_parse_refuses_everything_else(typed):
    with pytest.raises(Refused) as refused:
        colours.parse(typed)

    assert refused.value.field == "accent"


def test_palette_of_the_sample_is_what_was_drawn():
    assert colours.palette("#a03c17") == Palette("#a03c17", "#ffffff", "#da704d", "#131517")


@given(accents)
@example("#000000")
@example("#ffffff")
@example("#131517")
@example("#ffff00")
@example("#0000ff")
def test_palette_can_be_read_whatever_the_accent(accent):
    used = colours.palette(accent)

    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in (used.light, used.dark))
    assert min(colours.ratio(used.light, ground) for ground in ("#ffffff", "#f3f4f5", used.on_light)) >= 4.5
    assert min(colours.ratio(used.dark, ground) for ground in ("#131517", used.on_dark)) >= 5.5
    assert min(colours.ratio(used.dark, ground) for ground in ("#1c1f22", "#1a1d1f")) >= 4.5


def test_palette_leaves_a_colour_alone_that_can_be_read():
    assert colours.palette("#0e5a6e").light == "#0e5a6e"
    assert colours.palette("#ffd23f").dark == "#ffd23f"


@pytest.mark.parametrize(
    ("accent", "adjusted"), [("#a03c17", [0, 0, 1, 1]), ("#ffd23f", [1, 1, 0, 0]), ("#808080", [1, 1, 1, 1])]
)
@pytest.mark.usefixtures("app_context")
def test_contrasts_say_what_was_adjusted_and_why(accent, adjusted):
    rows = colours.contrasts(accent)

    assert [row.adjusted for row in rows] == adjusted
    assert len(colours.explanations(accent)) == sum(adjusted) / 2
    assert all(row.ratio >= 4.5 for row in rows)


@pytest.mark.usefixtures("app_context")
def test_explanations_name_the_ratio():
    assert colours.explanations("#a03c17") == [
        "Your colour has 2.7:1 on the dark page, so a lighter one of the same hue is used there."
    ]
