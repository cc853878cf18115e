"""Forms of the portal."""

from app.i18n import _l
from app.web.forms import ADDRESS, GIVEN, RuledForm, Text


class AddressForm(RuledForm):
    email = Text(
        _l("E-mail address"),
        [ADDRESS],
        render_kw={"type": "email", "autocomplete": "email", "inputmode": "email", "spellcheck": "false"},
    )


class CodeForm(RuledForm):
    code = Text(
        _l("Six-digit code"),
        [GIVEN],
        render_kw={"inputmode": "numeric", "autocomplete": "one-time-code", "maxlength": "12", "spellcheck": "false"},
    )
