from typing import Any

from flask import g, request
from flask.typing import ResponseReturnValue

from app.errors import Refused
from app.i18n import _
from app.models import Connection, Slot, Source, Workflow
from app.services import confirmations, scopes, slot_requests, slots
from app.web.htmx import fragment, is_htmx
from app.web.panel import bp
from app.web.panel.workflow_forms import AccountForm, SourceForm
from app.web.panel.workflows import PATH, address_of, current, telling, workflow_of
from app.web.toasts import toast

SLOT = f"{PATH}/slots/<slot_id>"


@bp.get(f"{SLOT}/source")
def confirm_source(workspace_id: str, workflow_id: str, slot_id: str) -> ResponseReturnValue:
    workflow = workflow_of(workspace_id, workflow_id)
    slot = slots.get(workflow, slot_id)
    other = Source.AGENCY if slot.source is Source.CLIENT else Source.CLIENT
    return fragment("panel/slots/_source.html", **_standing(workflow, slot), source=other)


@bp.post(f"{SLOT}/source")
def set_source(workspace_id: str, workflow_id: str, slot_id: str) -> ResponseReturnValue:
    workflow, form = workflow_of(workspace_id, workflow_id), SourceForm()
    slot = slots.get(workflow, slot_id)
    form.offer()
    if not form.validate_on_submit():
        raise Refused(_("Choose who provides the connection."), field="source")
    try:
        slots.set_source(slot, form.source.data, confirmed=form.confirmed.data, by=g.staff)
    except slots.NeedsConfirmation as needed:
        return _confirm("panel/slots/_source.html", workflow, slot, needed, source=form.source.data)
    return current(workflow)


@bp.get(f"{SLOT}/account")
def choose_account(workspace_id: str, workflow_id: str, slot_id: str) -> ResponseReturnValue:
    workflow = workflow_of(workspace_id, workflow_id)
    return _picker("panel/slots/_choose.html", workflow, slots.get(workflow, slot_id), AccountForm(formdata=None))


@bp.get(f"{SLOT}/account/list")
def list_accounts(workspace_id: str, workflow_id: str, slot_id: str) -> ResponseReturnValue:
    workflow = workflow_of(workspace_id, workflow_id)
    return _picker("panel/slots/_accounts.html", workflow, slots.get(workflow, slot_id), AccountForm(formdata=None))


@bp.post(f"{SLOT}/account")
def use_account(workspace_id: str, workflow_id: str, slot_id: str) -> ResponseReturnValue:
    workflow, form = workflow_of(workspace_id, workflow_id), AccountForm()
    slot = slots.get(workflow, slot_id)
    if not form.validate_on_submit():
        return _picker("panel/slots/_choose.html", workflow, slot, form, status=422)
    try:
        with telling():
            slots.use_connection(slot, form.connection.data, confirmed=form.confirmed.data, by=g.staff)
    except slots.NeedsConfirmation as needed:
        return _confirm("panel/slots/_use.html", workflow, slot, needed, connection_id=form.connection.data)
    return current(workflow)


def _picker(
    template: str, workflow: Workflow, slot: Slot, form: AccountForm, *, status: int = 200
) -> ResponseReturnValue:
    search = request.args.get("q", "")[:80]
    found = slots.covering(slot, slots.candidates([slot]))
    context: dict[str, Any] = {**_standing(workflow, slot), "form": form, "search": search}
    return fragment(template, status=status, **context, accounts=[each for each in found if _fits(each, search)])


def _fits(connection: Connection, search: str) -> bool:
    wanted = search.strip().casefold()
    return wanted in f"{connection.name} {connection.account or ''} {connection.owner_email or ''}".casefold()


def _confirm(
    template: str, workflow: Workflow, slot: Slot, needed: slots.NeedsConfirmation, **context: Any
) -> ResponseReturnValue:
    """Ask in the dialog, whatever the act was to replace."""
    if not is_htmx():
        toast(_("Nothing was changed"), str(needed), kind="error")
        return current(workflow)
    response = fragment(template, **_standing(workflow, slot), **context)
    response.headers["HX-Retarget"], response.headers["HX-Reswap"] = "#dialog-content", "outerHTML"
    return response


def _standing(workflow: Workflow, slot: Slot) -> dict[str, Any]:
    """A slot, and what a change of it would undo."""
    return {
        "address": address_of(workflow),
        "workspace": workflow.workspace,
        "slot": slot,
        "app": scopes.app_of(slot),
        "cancels": confirmations.cancels(slot_requests.live_for(slot)),
        "takes_out": confirmations.takes_out(slot.connection),
    }
