"""An agency's accent in both themes, adjusted until it can be read (WCAG 2.2, 1.4.3)."""

import re
from dataclasses import dataclass
from functools import lru_cache

from coloraide import Color

from app.errors import Refused
from app.i18n import _

READABLE = 4.5
LIGHT_GROUNDS = ("#ffffff", "#f3f4f5")  # --gh-bg and --gh-sunken of the theme
DARK_GROUND = "#131517"
LIGHT_TARGET = 4.55  # a little more, for what rounding to #rrggbb takes
DARK_TARGET = 5.6  # on --gh-bg, so that 4.5 holds on raised grounds too
ON_LIGHT, ON_DARK = "#ffffff", "#131517"
STEPS = 24


@dataclass(frozen=True)
class Palette:
    """The accent as text and button in each theme, and what is written on such a button; `#rrggbb`."""

    light: str
    on_light: str
    dark: str
    on_dark: str


@dataclass(frozen=True)
class Contrast:
    """One use of the accent: the colour used for it, and how well it can be read."""

    where: str
    used: str
    ratio: float
    adjusted: bool


def parse(text: str, *, field: str = "accent") -> str:
    """`#rrggbb` in lower case; Refused for anything else."""
    colour = text.strip().lower()
    if not re.fullmatch(r"#?[0-9a-f]{6}", colour):
        raise Refused(_("Write the colour as # and six digits or letters from a to f, like #a03c17."), field=field)
    return f"#{colour.removeprefix('#')}"


def ratio(colour: str | Color, ground: str) -> float:
    """The contrast ratio of two colours, 1 to 21."""
    return float(Color(colour).contrast(ground))


@lru_cache(maxsize=512)
def palette(accent: str) -> Palette:
    """The accent's pair, each the nearest of its hue that can be read."""
    light, dark = accent, accent
    if _worst(accent, LIGHT_GROUNDS) < READABLE:
        light = _moved(accent, towards=0.0, grounds=LIGHT_GROUNDS, target=LIGHT_TARGET)
    if ratio(accent, DARK_GROUND) < DARK_TARGET:
        dark = _moved(accent, towards=1.0, grounds=(DARK_GROUND,), target=DARK_TARGET)
    return Palette(light, ON_LIGHT, dark, ON_DARK)


def contrasts(accent: str) -> list[Contrast]:
    """Where the accent stands, what is used there, and its ratio."""
    used = palette(accent)
    rows = (
        (_("Text and links, light"), used.light, LIGHT_GROUNDS[0]),
        (_("White on the button, light"), used.light, used.on_light),
        (_("Text and links, dark"), used.dark, DARK_GROUND),
        (_("Black on the button, dark"), used.dark, used.on_dark),
    )
    return [Contrast(where, colour, ratio(colour, ground), colour != accent) for where, colour, ground in rows]


def explanations(accent: str) -> list[str]:
    """Why a colour was adjusted, one sentence for each theme where it was."""
    used = palette(accent)
    texts = []
    if used.light != accent:
        own = f"{ratio(accent, LIGHT_GROUNDS[0]):.1f}"
        texts.append(
            _("Your colour has %(own)s:1 on the light page, so a darker one of the same hue is used there.", own=own)
        )
    if used.dark != accent:
        own = f"{ratio(accent, DARK_GROUND):.1f}"
        texts.append(
            _("Your colour has %(own)s:1 on the dark page, so a lighter one of the same hue is used there.", own=own)
        )
    return texts


def _worst(colour: str | Color, grounds: tuple[str, ...]) -> float:
    return min(ratio(colour, ground) for ground in grounds)


def _moved(accent: str, *, towards: float, grounds: tuple[str, ...], target: float) -> str:
    """The colour of the same hue, as near in OKLCH lightness as reaches the target on every ground."""
    base = Color(accent).convert("oklch")
    near, far = float(base["lightness"]), towards
    for _step in range(STEPS):
        middle = (near + far) / 2
        if _worst(_at(base, middle), grounds) >= target:
            far = middle
        else:
            near = middle
    return str(_at(base, far).convert("srgb").to_string(hex=True))


def _at(base: Color, lightness: float) -> Color:
    return base.clone().set("lightness", lightness).fit("srgb")
