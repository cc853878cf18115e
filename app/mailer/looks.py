"""How e-mails look: a template as plain text, and as HTML with its styles written onto the elements."""

from collections.abc import Mapping
from typing import Any

import css_inline
from flask import current_app

# The tiles of static/theme.css (.gh-tone-1 to 8) as mail programs know colours: ground and ink, light then dark.
TILES = (
    ("#fbe8e5", "#6a3633", "#402927", "#f6c2bd"),
    ("#f8eade", "#633e16", "#3d2d1d", "#edcaa8"),
    ("#edeede", "#4a4b14", "#31321d", "#d3d5a8"),
    ("#e2f1e6", "#205335", "#223629", "#b3ddc0"),
    ("#ddf2f3", "#005358", "#193637", "#a3dde0"),
    ("#e2eefb", "#254a6e", "#233242", "#b4d5f8"),
    ("#efeafa", "#4e3e6a", "#332c40", "#d7c9f3"),
    ("#f9e7f0", "#643651", "#3d2934", "#efc2da"),
)


def rendered(name: str, shown: Mapping[str, Any]) -> tuple[str, str]:
    """The text and the HTML of the mail of that name; `shown` holds `mail` and `subject` besides what it names itself."""
    environment, shown = current_app.jinja_env, {**shown, "tiles": TILES}
    text = environment.get_template(f"mail/{name}.txt").render(shown)
    css = environment.get_template("mail/light.css").render(shown)
    inliner = css_inline.CSSInliner(extra_css=css, keep_style_tags=True, load_remote_stylesheets=False)
    return text, inliner.inline(environment.get_template(f"mail/{name}.html").render(shown))
