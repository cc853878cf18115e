from collections.abc import Callable
from typing import Any

from flask import g, request, url_for
from flask.typing import ResponseReturnValue

from app.errors import Conflict
from app.i18n import _
from app.models import ConnectionRequest, Kind, Slot, Status, Workflow
from app.services import (
    connection_requests,
    deliveries,
    handovers,
    node_views,
    recipients,
    scopes,
    sending,
    slots,
    workspaces,
)
from app.services.sending import Sent
from app.web import destinations
from app.web.htmx import fragment, go, is_htmx
from app.web.panel import bp
from app.web.panel.slots import SLOT
from app.web.panel.workflow_forms import EditForm, QueueForm, RecipientForm
from app.web.panel.workflows import PATH, address_of, current, in_numbers, page_of, telling, workflow_of
from app.web.toasts import toast

REQUEST = "/requests/<request_id>"


@bp.get(f"{SLOT}/request")
def new_request(workspace_id: str, workflow_id: str, slot_id: str) -> ResponseReturnValue:
    workflow = workflow_of(workspace_id, workflow_id)
    return _queue_dialog(workflow, slots.get(workflow, slot_id), QueueForm(formdata=None))


@bp.post(f"{SLOT}/request")
def queue_request(workspace_id: str, workflow_id: str, slot_id: str) -> ResponseReturnValue:
    workflow, form = workflow_of(workspace_id, workflow_id), QueueForm()
    slot = slots.get(workflow, slot_id)
    with telling():
        queued = form.gives(
            lambda: connection_requests.queue(
                slot,
                recipient=form.recipient.data,
                note=form.note.data or "",
                expected_account=form.expected_account.data,
                by=g.staff,
            )
        )
        if queued is None:
            return _queue_dialog(workflow, slot, form, status=form.status)
        _say_queued(queued)
    return current(workflow)


@bp.get("/workspaces/<workspace_id>/recipient")
def show_channel(workspace_id: str) -> ResponseReturnValue:
    workspace = workspaces.get(g.agency, workspace_id)
    way = recipients.way_to(workspace, request.args.get("recipient", "")[:400])
    return fragment("panel/connection_requests/_channel.html", way=way)


@bp.post(f"{PATH}/send")
def send_requests(workspace_id: str, workflow_id: str) -> ResponseReturnValue:
    workflow = workflow_of(workspace_id, workflow_id)
    _say_sent(workflow, sending.send(workflow, by=g.staff))
    # point: send.told
    return current(workflow)


@bp.post(f"{REQUEST}/resend")
def resend_request(request_id: str) -> ResponseReturnValue:
    asked = connection_requests.get(g.agency, request_id)
    with telling():
        sending.resend(g.agency, request_id, by=g.staff)
        toast(_("Sent a fresh e-mail"), asked.recipient)
    return current(page_of(asked))


@bp.get(f"{REQUEST}/cancel")
def confirm_cancel(request_id: str) -> ResponseReturnValue:
    return fragment("panel/connection_requests/_cancel.html", **_row(connection_requests.get(g.agency, request_id)))


@bp.post(f"{REQUEST}/cancel")
def cancel_request(request_id: str) -> ResponseReturnValue:
    asked = connection_requests.get(g.agency, request_id)
    with telling():
        connection_requests.cancel(g.agency, request_id, by=g.staff)
        toast(_("Cancelled the %(app)s request", app=scopes.app_of(asked).name))
    return current(page_of(asked))


@bp.get(f"{REQUEST}/edit")
def edit_request(request_id: str) -> ResponseReturnValue:
    asked = connection_requests.get(g.agency, request_id)
    return _edit_dialog(asked, EditForm(formdata=None, obj=asked))


@bp.post(f"{REQUEST}/edit")
def change_request(request_id: str) -> ResponseReturnValue:
    asked, form = connection_requests.get(g.agency, request_id), EditForm()
    with telling():
        changed = form.gives(
            lambda: connection_requests.edit(
                g.agency,
                request_id,
                note=form.note.data or "",
                expected_account=form.expected_account.data,
                by=g.staff,
            )
        )
        if changed is None:
            return _edit_dialog(asked, form, status=form.status)
        toast(_("Changed the %(app)s request", app=scopes.app_of(asked).name), changed.recipient)
    return current(page_of(asked))


@bp.get(f"{REQUEST}/recipient")
def edit_recipient(request_id: str) -> ResponseReturnValue:
    asked = connection_requests.get(g.agency, request_id)
    return _recipient_dialog(asked, RecipientForm(formdata=None))


@bp.post(f"{REQUEST}/recipient")
def change_recipient(request_id: str) -> ResponseReturnValue:
    asked, form = connection_requests.get(g.agency, request_id), RecipientForm()
    with telling():
        changed = form.gives(
            lambda: sending.change_recipient(g.agency, request_id, recipient=form.recipient.data, by=g.staff)
        )
        if changed is None:
            return _recipient_dialog(asked, form, status=form.status)
        toast(_("Changed the recipient"), changed.recipient)
    return current(page_of(asked))


@bp.post(f"{REQUEST}/hand-over")
def approve_hand_over(request_id: str) -> ResponseReturnValue:
    return _settle_hand_over(handovers.approve, request_id, _("Handed %(app)s over"))


@bp.post(f"{REQUEST}/hand-over/refuse")
def refuse_hand_over(request_id: str) -> ResponseReturnValue:
    return _settle_hand_over(handovers.refuse, request_id, _("Refused to hand %(app)s over"))


def _settle_hand_over(settle: Callable[..., object], request_id: str, said: str) -> ResponseReturnValue:
    asked = connection_requests.get(g.agency, request_id)
    with telling():
        settle(g.agency, request_id, to=request.form.get("to", ""), by=g.staff)
        toast(said % {"app": scopes.app_of(asked).name}, asked.recipient)
    before = None if is_htmx() else destinations.url_of(destinations.came_from())  # a list of what needs attention
    return go(before) if before else current(asked.workflow)


@bp.post(f"{REQUEST}/again")
def request_again(request_id: str) -> ResponseReturnValue:
    asked = connection_requests.get(g.agency, request_id)
    with telling():
        _say_queued(connection_requests.request_again(g.agency, request_id, by=g.staff))
    return current(page_of(asked))


@bp.post(f"{REQUEST}/try-again")
def try_mail_again(request_id: str) -> ResponseReturnValue:
    asked = connection_requests.get(g.agency, request_id)
    with telling():
        if asked.bundle is None:
            raise Conflict(_("Nothing was sent for this request yet."))
        deliveries.try_again(asked.bundle, by=g.staff)
        toast(_("Trying again"), asked.recipient, kind="queued")
    return current(page_of(asked))


def _queue_dialog(workflow: Workflow, slot: Slot, form: QueueForm, *, status: int = 200) -> ResponseReturnValue:
    context: dict[str, Any] = {
        "address": address_of(workflow),
        "slot": slot,
        "app": scopes.app_of(slot),
        "permissions": node_views.wanted(slot),
    }
    return fragment("panel/connection_requests/_new.html", status=status, **context, **_addressing(workflow, form))


def _recipient_dialog(asked: ConnectionRequest, form: RecipientForm, *, status: int = 200) -> ResponseReturnValue:
    context = {**_row(asked), **_addressing(asked.workflow, form)}
    return fragment("panel/connection_requests/_recipient.html", status=status, **context)


def _edit_dialog(asked: ConnectionRequest, form: EditForm, *, status: int = 200) -> ResponseReturnValue:
    return fragment("panel/connection_requests/_edit.html", status=status, form=form, **_row(asked))


def _addressing(workflow: Workflow, form: QueueForm | RecipientForm) -> dict[str, Any]:
    """What the field for an address needs around it."""
    workspace = workflow.workspace
    return {
        "form": form,
        "workspace": workspace,
        "members": recipients.members(workspace),
        "way": recipients.way_to(workspace, form.recipient.data or ""),
    }


def _row(asked: ConnectionRequest) -> dict[str, Any]:
    return {
        "asked": asked,
        "app": scopes.app_of(asked),
        "is_sent": asked.status is not Status.QUEUED,
        "is_mending": asked.kind is Kind.REAUTHORIZE,
    }


def _say_queued(queued: ConnectionRequest) -> None:
    title = _("%(app)s is in the queue", app=scopes.app_of(queued).name)
    toast(title, _("No email is sent until you send it."), kind="queued")


def _say_sent(workflow: Workflow, sent: Sent) -> None:
    left = " ".join(sending.explain(each) for each in sent.left)
    mend = (
        None if workflow.archived_at or workflow.workspace.archived_at else (url_for("panel.show_apps"), _("Open Apps"))
    )
    if sent.requests:
        words = f"{in_numbers(sent)}. {left}" if left else in_numbers(sent)
        toast(_("Sent requests to client"), words, kind="error" if left else "done", link=mend if left else None)
    elif left:
        toast(_("Nothing was sent"), left, kind="error", link=mend)
    else:
        toast(_("Nothing is queued"), _("What was queued has been sent already."), kind="queued")
