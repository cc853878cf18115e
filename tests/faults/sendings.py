"""Acts of staff that end in mail, pressed while the web process is killed: what there was before, after, and in the end."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx2

from app.database import transaction
from app.extensions import db
from app.models import AuditEvent, Bundle, ConnectionRequest, OutboxItem, Recipient, Staff, Workflow, WorkflowVersion
from app.services import link_tokens, sending
from tests import factories
from tests.faults.killing import House, Office, office, rows
from tests.faults.mailings import STEPS
from tests.support.forms import csrf_token

ASKED = ("ann", "ann", "ben")  # whom each step is asked of
Look = Mapping[str, Any]


@dataclass
class Sending:
    """A form that a member of staff sends, and the agency around it."""

    office: Office
    path: str
    cookie: str
    token: str
    data: dict[str, str] = field(default_factory=dict)

    @property
    def house(self) -> House:
        return self.office.house

    def press(self) -> int | None:
        """Send the form; the status that came back, or none."""
        headers = {"Cookie": f"gh_staff={self.cookie}", "Sec-Fetch-Site": "same-origin"}
        with httpx2.Client(base_url=self.house.url, headers=headers, trust_env=False, timeout=60) as web:
            try:
                return web.post(self.path, data={"csrf_token": self.token, **self.data}).status_code
            except httpx2.TransportError:
                return None

    def look(self) -> Look:
        """All that sending changes, with names in place of ids, so that two agencies can be compared."""
        with self.office.inside():
            return {
                "requests": Counter(
                    (each.app_key, _name(each.recipient), each.status, each.transition, each.resends, bool(each.bundle))
                    for each in rows(ConnectionRequest)
                ),
                "bundles": Counter((_name(each.recipient), each.epoch, bool(each.closed_at)) for each in rows(Bundle)),
                "mails": Counter(self._mail(item) for item in rows(OutboxItem)),
                "known": Counter(_name(each.email) for each in rows(Recipient)),
                "acts": Counter((each.type, _name(str(each.data.get("recipient")))) for each in rows(AuditEvent)),
                "versions": [each.number for each in rows(WorkflowVersion)],
                "version": [each.version for each in rows(Workflow)],
            }

    @staticmethod
    def _mail(item: OutboxItem) -> tuple[str, int]:
        bundle = db.session.get_one(Bundle, item.payload["bundle"])
        return _name(bundle.recipient), item.payload["epoch"]

    def wrongs(self) -> list[str]:
        """What is wrong with the mails that came, once the worker has done all."""
        wrongs = []
        with self.office.inside():
            for bundle in rows(Bundle):
                names = {
                    each.app_key.title() for each in rows(ConnectionRequest, ConnectionRequest.bundle_id == bundle.id)
                }
                mails = self.house.smtp.inbox.to(bundle.recipient)
                if len(mails) != 1:
                    wrongs.append(f"{_name(bundle.recipient)} got {len(mails)} mails")
                for mail in mails:
                    if not any(link.endswith(f"/l/{link_tokens.of(bundle)}") for link in mail.links):
                        wrongs.append(f"the link that {_name(bundle.recipient)} got is dead")
                    if not all(name in mail.text for name in names):
                        wrongs.append(f"the mail of {_name(bundle.recipient)} does not name all of {names}")
        return wrongs


def _name(address: str) -> str:
    return address.partition(".")[0]


def asking(house: House) -> Sending:
    """An agency whose owner is about to press “Send to client”: three requests of two people are queued."""
    here = office(house)
    with here.inside() as (owner, workspace):
        workflow = factories.make_workflow(workspace, owner, *STEPS)
        for slot, name in zip(workflow.slots, ASKED, strict=True):
            factories.make_request(slot, owner, recipient=here.address(name))
        path = f"/panel/workspaces/{workspace.public_id}/workflows/{workflow.public_id}/send"
        return Sending(here, path, *_signed_in(house, owner))


def _signed_in(house: House, owner: Staff) -> tuple[str, str]:
    """The cookie of a session, and the token that its forms carry."""
    cookie = factories.signed_in(house.app, owner).get_cookie("gh_staff")
    assert cookie
    return cookie.value, csrf_token(house.app, "/panel/", {"gh_staff": cookie.value}, url=house.url)


def publishing(house: House) -> Sending:
    """The same about to press “Publish”."""
    made = asking(house)
    made.path = made.path.removesuffix("send") + "publish"
    return made


def _sent(house: House) -> tuple[Sending, str]:
    """The same with all sent ten minutes ago, though no worker has seen it; and the first request."""
    made = asking(house)
    with made.office.inside() as (owner, _):
        (workflow,) = rows(Workflow)
        sending.send(workflow, by=owner)
        with transaction():
            for known in rows(Recipient):
                known.mailed_at -= timedelta(minutes=10)
        first = rows(ConnectionRequest)[0].public_id
    return made, f"/panel/requests/{first}"


def resending(house: House) -> Sending:
    """One about to press “Resend email” on what was sent."""
    made, path = _sent(house)
    made.path = f"{path}/resend"
    return made


def moving(house: House) -> Sending:
    """One about to ask somebody else for what was sent."""
    made, path = _sent(house)
    made.path, made.data = f"{path}/recipient", {"recipient": made.office.address("cleo")}
    return made


ACTS: Mapping[str, Callable[[House], Sending]] = {
    "send": asking,
    "publish": publishing,
    "resend": resending,
    "change recipient": moving,
}
