"""Forms of the workflow page."""

from collections.abc import Sequence

from wtforms import BooleanField, RadioField, SelectField, TextAreaField

from app.catalog.schema import App
from app.errors import Refused
from app.i18n import _, _l
from app.models import Member, Source
from app.services import addresses, connection_requests
from app.web.forms import ADDRESS, Text, rule
from app.web.panel.forms import PanelForm

NOTE = rule(lambda text: addresses.clean_text(text, field="note", most=connection_requests.NOTE_LENGTH))
LABEL = rule(lambda text: addresses.clean_name(text, field="label"), optional=True)
EXPECTED = rule(addresses.clean_expected)
OFF = {"autocomplete": "off"}


def chosen(text: str) -> None:
    """Refuse a list in which nothing was chosen."""
    if not text.strip():
        raise Refused(_("Choose an account from the list."))


class NodeForm(PanelForm):
    """A step: what an app, given beside the form, is to do."""

    action = SelectField(_l("What it does"))
    label = Text(_l("Label"), [LABEL], render_kw=OFF)
    separate = BooleanField(_l("Use a separate account"))

    def offer(self, app: App) -> None:
        """Let the app's actions be chosen."""
        self.action.choices = [(action.key, action.name) for action in app.actions]


class SourceForm(PanelForm):
    """Who provides the connection of a slot."""

    source = RadioField(_l("Connection source"), coerce=Source)
    confirmed = BooleanField()

    def offer(self) -> None:
        """Let both be chosen."""
        self.source.choices = [
            (Source.AGENCY.value, _("Agency provides the connection")),
            (Source.CLIENT.value, _("Client provides the connection")),
        ]


class AccountForm(PanelForm):
    """A connection that is there already, by its id."""

    connection = Text(_l("Account"), [rule(chosen)])
    confirmed = BooleanField()


class EditForm(PanelForm):
    """What a request in the queue says and expects."""

    note = TextAreaField(_l("Note to client"), [NOTE], render_kw={"rows": 2})
    expected_account = Text(_l("Expected account"), [EXPECTED], render_kw={**OFF, "spellcheck": "false"})


class QueueForm(EditForm):
    """A request for the queue."""

    recipient = Text(_l("Recipient email"), [ADDRESS])


class MendingForm(PanelForm):
    """A request that a connection be approved anew; the recipient is chosen once the connection's owner was removed."""

    recipient = SelectField(_l("Member"), validate_choice=False)
    note = TextAreaField(_l("Note to client"), [NOTE], render_kw={"rows": 2})
    broken = BooleanField()

    def offer(self, members: Sequence[Member]) -> None:
        """Let one of these be chosen."""
        self.recipient.choices = [(each.email, f"{each.name} ({each.email})") for each in members]


class RecipientForm(PanelForm):
    """Another address for a request."""

    recipient = Text(_l("Recipient email"), [ADDRESS])
