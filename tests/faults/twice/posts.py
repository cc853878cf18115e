"""Every form that staff and clients can send: what is in it, and what must be so beforehand for it to have an effect."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import select, update

from app import clock, runtime
from app.database import transaction
from app.extensions import db
from app.models import (
    Agency,
    ConnectionRequest,
    Flow,
    FlowStatus,
    Notice,
    OutboxItem,
    OutboxState,
    PortalCode,
    Recipient,
    Staff,
    Workflow,
    Workspace,
)
from app.oauth.identify import Identity
from app.oauth.token import Token
from app.services import (
    connection_requests,
    connections,
    flows,
    grants,
    handovers,
    intake,
    letters,
    members,
    nodes,
    passwords,
    portal_codes,
    staff,
    workflows,
    workspaces,
)
from app.services.accounts import Grant
from app.services.flows import digest
from app.vault import Masked
from tests import factories
from tests.support.scenery import RECIPIENT, Side

OUTSIDE = "sam@cobalt-it.example"
NEW_PASSWORD = "a louder harbour at dusk"
BRANDING = {"sender_name": "Northwind", "support_email": "help@northwind.example", "accent": "#123456"}
BRANDING |= {"timezone": "UTC", "name": "Northwind"}
Names = dict[str, str]


@dataclass
class Scene:
    """What a case may change beforehand."""

    side: Side
    agency: Agency
    owner: Staff
    workspace: Workspace
    workflow: Workflow
    pending: ConnectionRequest


@dataclass(frozen=True)
class Case:
    """What is sent, by whom; `first` is done before and may name others than the scenery does, or send more."""

    data: Mapping[str, str] = field(default_factory=dict)
    who: str = "owner"
    first: Callable[[Scene], Names | None] = lambda _: None
    each: frozenset[tuple[str, str]] = frozenset()  # what every one of them makes, by its nature


def _cancelled(scene: Scene) -> None:
    connection_requests.cancel(scene.agency, scene.pending.public_id, by=scene.owner)


def _queued(scene: Scene) -> Names:
    return {"request_id": scene.side.names["queued_id"]}


def _long_ago(scene: Scene) -> None:
    with transaction() as session:
        session.execute(
            update(Recipient)
            .where(Recipient.workspace_id == scene.workspace.id)
            .values(mailed_at=clock.now() - timedelta(minutes=6))
        )


def _named(scene: Scene) -> None:
    """The client asks that somebody outside be asked instead."""
    bundle = scene.pending.bundle
    assert bundle is not None
    handovers.ask(bundle, scene.pending.public_id, OUTSIDE)


def _undelivered(scene: Scene) -> None:
    with transaction() as session:
        mine = update(OutboxItem).where(OutboxItem.agency_id == scene.agency.id)
        session.execute(mine.values(state=OutboxState.DEAD, error="refused", finished_at=clock.now()))


def _uninvited(scene: Scene) -> None:
    with transaction():
        letters.invite(members.get(scene.workspace, scene.side.names["member_id"]), at=clock.now())
    _undelivered(scene)


def _untold(scene: Scene) -> None:
    held = connections.get(scene.agency, scene.side.names["connection_id"])
    with transaction():
        held.broken_at = clock.now()
        letters.tell_broken(held, at=clock.now())
    _undelivered(scene)


def _slot_unasked(scene: Scene) -> Names:
    return {"slot_id": scene.workflow.slots[2].public_id}


def _account(scene: Scene) -> Names:
    return {"connection": _held(scene, "hubspot")}


def _offer(scene: Scene) -> Names:
    return {"connection": _held(scene, "slack", owner_email=scene.pending.recipient)}


def _held(scene: Scene, app_key: str, **changes: str) -> str:
    scopes = list(runtime.current().catalog.get(app_key).scopes)
    return factories.make_connection(scene.workspace, app_key, scopes=scopes, name="Theirs", **changes).public_id


def _used(scene: Scene) -> None:
    held = connections.get(scene.agency, scene.side.names["connection_id"])
    with transaction():
        scene.workflow.slots[0].connection_id = held.id


def _sharing_node(scene: Scene) -> Names:
    node = nodes.add(scene.workflow, app_key="slack", action_key="find_user", by=scene.owner)
    return {"node_id": node.public_id}


def _all_asked(scene: Scene) -> None:
    for slot in workflows.unasked(scene.workflow):
        factories.make_request(slot, scene.owner)


def _archived(scene: Scene) -> None:
    workspaces.archive(scene.agency, scene.workspace.public_id, by=scene.owner)


def _disabled(scene: Scene) -> None:
    staff.disable(scene.agency, scene.side.names["person_id"], by=scene.owner)


def _one_time(scene: Scene) -> None:
    with transaction():
        scene.owner.password_hash = passwords.new_one_time(clock.now())[1]


def _last_node(scene: Scene) -> Names:
    return {"node_id": scene.workflow.nodes[-1].public_id, "seen_at": str(len(scene.workflow.nodes))}


def _first_node(scene: Scene) -> Names:
    return {"node_id": scene.workflow.nodes[0].public_id, "seen_at": "1"}


def _other_account(scene: Scene) -> None:
    """The client has connected another account than was expected, and was not asked yet whether it is meant."""
    bundle = scene.pending.bundle
    assert bundle is not None
    session_hash = digest(scene.side.session_id)
    found = intake.enter(session_hash, bundle.public_id, at=clock.now())
    flows.start(found, scene.pending.public_id, typed={}, session_hash=session_hash)
    with transaction():
        flow = db.session.scalars(select(Flow).where(Flow.request_id == scene.pending.id)).one()
        token = Token(access_token=Masked("theirs"), scopes=tuple(flow.scopes))
        grant = Grant(token, Identity(issuer="slack", id="other", label="Other account"), tuple(flow.scopes))
        grants.hold(flow, grant, until=flow.expires_at, at=clock.now())
        flow.status, flow.outcome = FlowStatus.HELD, Notice.OTHER_ACCOUNT
        scene.pending.notice = Notice.OTHER_ACCOUNT


def _code_asked(scene: Scene) -> PortalCode:
    portal_codes.ask(RECIPIENT, agency_id=scene.agency.id, browser_hash=digest(FRESH), at=clock.now())
    asked = portal_codes.waiting(digest(FRESH), at=clock.now())
    assert asked is not None
    return asked


def _typed(scene: Scene) -> Names:
    return {"code": portal_codes.code_of(_code_asked(scene))}


def _pressed(scene: Scene) -> Names:
    return {"button": portal_codes.button_of(_code_asked(scene))}


def _second_workspace(scene: Scene) -> Names:
    second = factories.make_workspace(scene.agency, "Cobalt")
    factories.make_member(second, RECIPIENT)
    return {"workspace_id": second.public_id}


CLIENT, VISITOR, NOBODY = "client", "visitor", "nobody"
FRESH = "x" * 43  # the session of a browser in which nobody is signed in
# Each of twenty presses of “Connect” goes to the provider by itself; rows 17 and 18 make one connection of what comes back.
START = frozenset({("flow", "came"), ("audit_event", "flow.started"), ("audit_event", "came")})
# Each of twenty codes that are asked for is mailed, as many as one may ask for.
CODE = frozenset({("outbox", "portal.code"), ("outbox", "came")})
# Each of twenty sign-ins lets one browser in, as many as one may try.
SIGN_IN = frozenset({("staff_session", "came"), ("audit_event", "staff.signed_in"), ("audit_event", "came")})
CASES: dict[str, Case] = {
    "client.start_flow": Case(who=CLIENT, each=START),
    "client.decline_request": Case({"reason": "We have left it."}, CLIENT),
    "client.use_account": Case(who=CLIENT, first=_offer),
    "client.hand_over": Case({"colleague": "sam.cole@harbordental.example"}, CLIENT),
    "client.take_back": Case(who=CLIENT, first=_named),
    "client.keep_account": Case(who=CLIENT, first=_other_account),
    "portal.start_flow": Case(who=VISITOR, each=START),
    "portal.decline_request": Case({"reason": "We have left it."}, VISITOR),
    "portal.use_account": Case(who=VISITOR, first=_offer),
    "portal.keep_account": Case(who=VISITOR, first=_other_account),
    "portal.hand_over": Case({"colleague": "sam.cole@harbordental.example"}, VISITOR),
    "portal.take_back": Case(who=VISITOR, first=_named),
    "portal.reconnect": Case(who=VISITOR, each=START),
    "portal.rename_connection": Case({"name": "Reception"}, VISITOR),
    "portal.revoke_connection": Case(who=VISITOR, first=_used),
    "portal.pick_workspace": Case(who=VISITOR, first=_second_workspace),
    "portal.end_session": Case(who=VISITOR),
    "portal.sign_out_everywhere": Case(who=VISITOR),
    "portal.sign_out": Case(who=VISITOR),
    "portal.ask_for_code": Case({"email": RECIPIENT}, NOBODY, each=CODE),
    "portal.enter_code": Case(who=NOBODY, first=_typed),
    "portal.press_button": Case(who=NOBODY, first=_pressed),
    "panel.approve_hand_over": Case({"to": OUTSIDE}, first=_named),
    "panel.refuse_hand_over": Case({"to": OUTSIDE}, first=_named),
    "panel.set_source": Case({"source": "agency", "confirmed": "y"}),
    "panel.use_account": Case({"confirmed": "y"}, first=_account),
    "panel.queue_mending": Case({"broken": "y"}, first=_used),
    "panel.rename_connection": Case({"name": "Reception"}),
    "panel.revoke_connection": Case(first=_used),
    "panel.delete_connection": Case({"confirmed": "y"}, first=_used),
    "panel.add_member": Case({"name": "Sam Cole", "email": "sam@cobalt-it.example"}),
    "panel.invite_member": Case(first=_long_ago),
    "panel.remove_member": Case(),
    "panel.queue_request": Case({"recipient": "sam@cobalt-it.example"}, first=_slot_unasked),
    "panel.send_requests": Case(),
    "panel.resend_request": Case(first=_long_ago),
    "panel.cancel_request": Case(),
    "panel.change_recipient": Case({"recipient": "sam@cobalt-it.example"}),
    "panel.change_request": Case({"note": "The blue one."}, first=_queued),
    "panel.request_again": Case(first=_cancelled),
    "panel.try_mail_again": Case(first=_undelivered),
    "panel.try_invitation_again": Case(first=_uninvited),
    "panel.try_notice_again": Case(first=_untold),
    "panel.rename_self": Case({"name": "Maya Okafor-Lind"}),
    "panel.change_password": Case({"current": factories.PASSWORD, "new": NEW_PASSWORD}),
    "panel.sign_out_everywhere": Case(),
    "panel.save_chosen_password": Case({"new": NEW_PASSWORD}, first=_one_time),
    "panel.add_node": Case({"action": "new_response"}, first=lambda _: {"app_key": "typeform"}),
    "panel.move_node_up": Case(first=_last_node),
    "panel.move_node_down": Case(first=_first_node),
    "panel.remove_node": Case({"confirmed": "y"}),
    "panel.separate_account": Case(first=_sharing_node),
    "panel.share_account": Case({"confirmed": "y"}),
    "panel.rename_workflow": Case({"name": "Recall"}),
    "panel.publish_workflow": Case(first=_all_asked),
    "panel.save_branding": Case(BRANDING),
    "panel.submit_sign_in": Case({"password": factories.PASSWORD}, NOBODY, each=SIGN_IN),
    "panel.sign_out": Case(),
    "panel.create_workspace": Case({"name": "Cobalt"}),
    "panel.rename_workspace": Case({"name": "Cobalt"}),
    "panel.archive_workspace": Case(),
    "panel.restore_workspace": Case(first=_archived),
    "panel.create_workflow": Case({"name": "Recall"}),
    "panel.add_person": Case({"name": "Sam Cole", "role": "member"}),
    "panel.change_role": Case({"role": "admin"}),
    "panel.disable_person": Case(),
    "panel.enable_person": Case(first=_disabled),
    "panel.renew_password": Case(),
    "panel.set_up_app": Case(first=lambda _: {"app_key": "typeform"}),
    "panel.save_client": Case({"client_id": "northwind-2", "client_secret": "hush"}),
    "panel.remove_client": Case(),
}
# On an empty installation alone; what twenty do there is tested apart.
FIRST_RUN = {"setup.create_agency", "setup.send_test_mail"}
# These ask the app anew each time, and that is all that they are for; what several refreshes at once do is tested with those.
ASKING = {"panel.refresh_connection", "portal.refresh_connection"}
# These say how something would look, and have no effect.
SHOWING = {"panel.try_branding", "panel.preview_page", "panel.preview_mail"}


def scene_of(side: Side) -> Scene:
    """The scenery's rows, for what a case does beforehand."""
    agency = db.session.get_one(Agency, side.agency_id)
    pending = connection_requests.get(agency, side.names["request_id"])
    owner, workspace = db.session.get_one(Staff, side.people["owner"]), pending.workflow.workspace
    return Scene(side, agency, owner, workspace, workflows.get(workspace, side.names["workflow_id"]), pending)
