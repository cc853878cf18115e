"""A mail that says nothing but that mail arrives, for whoever sets Gatehouse up."""

import secrets

from app import clock, runtime
from app.i18n import _
from app.mailer import transports
from app.mailer.message import BadHeader, Letter, Message
from app.services.claims import Failed


def send(*, recipient: str, sender: str | None = None) -> None:
    """Hand a test mail over now, from `sender` or from the installation's own address; raises Failed."""
    config = runtime.current().config
    transport = transports.current()
    if transport is None:
        raise Failed("unreachable")
    text = _("Mail from this installation of Gatehouse arrives: %(url)s", url=config.base_url)
    host = transports.host_name(config)
    try:
        message = Message(
            Letter(
                message_id=f"<test.{secrets.token_hex(12)}@{host}>",
                at=clock.now(),
                sender_name="Gatehouse",
                sender=sender or transports.sender(config),
                recipient=recipient,
                reply_to=recipient,
                subject=_("Gatehouse can send mail"),
                text=f"{text}\n",
                html=f"<p>{text}</p>\n",
            )
        )
    except BadHeader as error:
        raise Failed("address", permanent=True) from error
    with transport.open() as carrier:
        carrier.deliver(transports.sender(config), recipient, message.as_bytes)
