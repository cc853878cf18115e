"""Forms of the panel."""

from flask_wtf.file import FileField
from wtforms import BooleanField, SelectField

from app.i18n import _, _l
from app.models import Role
from app.services import addresses, branding, colours
from app.web.forms import ADDRESS, GIVEN, NAME, PASSWORD, Password, RuledForm, Text, rule


class PanelForm(RuledForm):
    """A form that staff fill in."""


class SignInForm(PanelForm):
    email = Text(_l("E-mail address"), [ADDRESS], render_kw={"type": "email", "autocomplete": "username"})
    password = Password(_l("Password"), [GIVEN], render_kw={"autocomplete": "current-password"})


class SetUpForm(PanelForm):
    code = Text(_l("Code from the console"), [GIVEN], render_kw={"autocomplete": "off", "autocapitalize": "characters"})
    name = Text(_l("Name"), [NAME], render_kw={"autocomplete": "organization"})
    owner_name = Text(_l("Your name"), [NAME], render_kw={"autocomplete": "name"})
    owner_email = Text(_l("E-mail address"), [ADDRESS], render_kw={"type": "email", "autocomplete": "username"})
    password = Password(_l("Password"), [PASSWORD], render_kw={"autocomplete": "new-password"})
    support_email = Text(
        _l("Support e-mail"),
        [rule(addresses.normalise, optional=True)],
        render_kw={"type": "email", "autocomplete": "off"},
    )
    sender_address = Text(
        _l("Sender address"),
        [rule(addresses.normalise, optional=True)],
        render_kw={"type": "email", "autocomplete": "off"},
    )


class NameForm(PanelForm):
    """One name: a workspace's, a workflow's, one's own."""

    name = Text(_l("Name"), [NAME], render_kw={"autocomplete": "off"})


class ConfirmForm(PanelForm):
    """A yes to what was asked."""

    confirmed = BooleanField()


class MemberForm(PanelForm):
    name = Text(_l("Name"), [NAME], render_kw={"autocomplete": "off"})
    email = Text(_l("E-mail address"), [ADDRESS], render_kw={"type": "email", "autocomplete": "off"})


class RoleForm(PanelForm):
    role = SelectField(_l("Role"), coerce=Role)

    def offer(self, roles: list[Role]) -> None:
        """Let these roles be chosen."""
        self.role.choices = [(role.value, role_name(role)) for role in roles]


class PersonForm(RoleForm):
    name = Text(_l("Name"), [NAME], render_kw={"autocomplete": "off"})
    email = Text(_l("E-mail address"), [ADDRESS], render_kw={"type": "email", "autocomplete": "off"})


class ChosenPasswordForm(PanelForm):
    new = Password(_l("New password"), [PASSWORD], render_kw={"autocomplete": "new-password"})


class PasswordForm(ChosenPasswordForm):
    current = Password(_l("Current password"), [GIVEN], render_kw={"autocomplete": "current-password"})


class ClientForm(PanelForm):
    client_id = Text(_l("Client ID"), [GIVEN], render_kw={"autocomplete": "off", "spellcheck": "false"})
    client_secret = Password(_l("Client secret"), render_kw={"autocomplete": "off"})


def time_zones() -> list[tuple[str, str]]:
    """The time zones that can be chosen."""
    return [(zone, zone.replace("_", " ")) for zone in branding.time_zones()]


class LookForm(PanelForm):
    """What a preview shows of a branding. `picture` is a logo that is not saved yet, a PNG in Base64."""

    name = Text(_l("Agency name"), [NAME], render_kw={"autocomplete": "organization"})
    remove_logo = BooleanField(_l("Remove the logo"))
    picture = Text()
    accent = Text(_l("Accent colour"), [rule(colours.parse)], render_kw={"spellcheck": "false", "autocomplete": "off"})
    sender_name = Text(_l("Sender name"), [NAME], render_kw={"autocomplete": "off"})
    support_email = Text(_l("Support e-mail"), [ADDRESS], render_kw={"type": "email", "autocomplete": "off"})
    sender_address = Text(
        _l("Sender address"),
        [rule(addresses.normalise, optional=True)],
        render_kw={"type": "email", "autocomplete": "off"},
    )
    timezone = SelectField(_l("Time zone"), choices=time_zones)


class BrandingForm(LookForm):
    logo = FileField(_l("Logo"), render_kw={"accept": "image/png,image/jpeg,image/webp"})
    hands_over = BooleanField(_l("Clients may hand an app over to a colleague"))


def role_name(role: Role) -> str:
    """A role in words."""
    return {Role.OWNER: _("Owner"), Role.ADMIN: _("Admin"), Role.MEMBER: _("Member")}[role]
