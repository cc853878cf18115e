from typing import Any

from flask import g, request
from flask.typing import ResponseReturnValue

from app import runtime
from app.errors import Repeated
from app.i18n import _
from app.models import Node, Workflow
from app.services import confirmations, nodes, scopes, slot_requests, slots
from app.web.htmx import fragment
from app.web.marks import form_mark
from app.web.panel import bp
from app.web.panel.workflow_forms import NodeForm
from app.web.panel.workflows import PATH, address_of, current, telling, workflow_of
from app.web.toasts import toast

NODE = f"{PATH}/nodes/<node_id>"


@bp.get(f"{PATH}/nodes/new")
def choose_app(workspace_id: str, workflow_id: str) -> ResponseReturnValue:
    return _apps("panel/nodes/_choose.html", workflow_of(workspace_id, workflow_id))


@bp.get(f"{PATH}/nodes/new/apps")
def list_apps(workspace_id: str, workflow_id: str) -> ResponseReturnValue:
    return _apps("panel/nodes/_apps.html", workflow_of(workspace_id, workflow_id))


@bp.get(f"{PATH}/nodes/new/<app_key>")
def new_node(workspace_id: str, workflow_id: str, app_key: str) -> ResponseReturnValue:
    return _dialog(workflow_of(workspace_id, workflow_id), app_key, NodeForm(formdata=None))


@bp.post(f"{PATH}/nodes/new/<app_key>")
def add_node(workspace_id: str, workflow_id: str, app_key: str) -> ResponseReturnValue:
    workflow, form = workflow_of(workspace_id, workflow_id), NodeForm()
    app = runtime.current().catalog.get(app_key)
    form.offer(app)
    try:
        node = form.gives(
            lambda: nodes.add(
                workflow,
                app_key=app.key,
                action_key=form.action.data,
                label=form.label.data,
                separate=form.separate.data,
                by=g.staff,
                form=form_mark(),
            )
        )
    except Repeated:
        return current(workflow)
    if node is None:
        return _dialog(workflow, app_key, form, status=form.status)
    toast(_("Added %(app)s", app=app.name), app.action(node.action_key).name)
    return current(workflow)


@bp.post(f"{NODE}/up")
def move_node_up(workspace_id: str, workflow_id: str, node_id: str) -> ResponseReturnValue:
    workflow = workflow_of(workspace_id, workflow_id)
    nodes.move(workflow, node_id, up=True, seen_at=_seen_at(), by=g.staff)
    return current(workflow)


@bp.post(f"{NODE}/down")
def move_node_down(workspace_id: str, workflow_id: str, node_id: str) -> ResponseReturnValue:
    workflow = workflow_of(workspace_id, workflow_id)
    nodes.move(workflow, node_id, up=False, seen_at=_seen_at(), by=g.staff)
    return current(workflow)


@bp.get(f"{NODE}/remove")
def confirm_node_removal(workspace_id: str, workflow_id: str, node_id: str) -> ResponseReturnValue:
    workflow = workflow_of(workspace_id, workflow_id)
    return _removal(workflow, nodes.get(workflow, node_id))


@bp.post(f"{NODE}/remove")
def remove_node(workspace_id: str, workflow_id: str, node_id: str) -> ResponseReturnValue:
    workflow = workflow_of(workspace_id, workflow_id)
    try:
        nodes.remove(workflow, node_id, confirmed=_confirmed(), by=g.staff)
    except slots.NeedsConfirmation:
        return _removal(workflow, nodes.get(workflow, node_id))
    toast(_("Removed the node"))
    return current(workflow)


@bp.post(f"{NODE}/separate-account")
def separate_account(workspace_id: str, workflow_id: str, node_id: str) -> ResponseReturnValue:
    workflow = workflow_of(workspace_id, workflow_id)
    with telling():
        nodes.use_separate_account(workflow, node_id, by=g.staff)
    return current(workflow)


@bp.get(f"{NODE}/shared-account")
def confirm_shared_account(workspace_id: str, workflow_id: str, node_id: str) -> ResponseReturnValue:
    workflow = workflow_of(workspace_id, workflow_id)
    return _sharing(workflow, nodes.get(workflow, node_id))


@bp.post(f"{NODE}/shared-account")
def share_account(workspace_id: str, workflow_id: str, node_id: str) -> ResponseReturnValue:
    workflow = workflow_of(workspace_id, workflow_id)
    try:
        with telling():
            nodes.use_shared_account(workflow, node_id, confirmed=_confirmed(), by=g.staff)
    except slots.NeedsConfirmation:
        return _sharing(workflow, nodes.get(workflow, node_id))
    return current(workflow)


def _seen_at() -> int | None:
    """Where the node stood on the page that the form is from."""
    return request.form.get("seen_at", type=int)


def _confirmed() -> bool:
    return bool(request.form.get("confirmed"))


def _apps(template: str, workflow: Workflow) -> ResponseReturnValue:
    search = request.args.get("q", "")[:80]
    found = runtime.current().catalog.search(search)
    return fragment(template, address=address_of(workflow), apps=found, search=search)


def _dialog(workflow: Workflow, app_key: str, form: NodeForm, *, status: int = 200) -> ResponseReturnValue:
    app = runtime.current().catalog.get(app_key)
    form.offer(app)
    used = any(slot.app_key == app.key for slot in workflow.slots)
    context: dict[str, Any] = {"address": address_of(workflow), "app": app, "form": form, "used": used}
    return fragment("panel/nodes/_new.html", status=status, **context)


def _removal(workflow: Workflow, node: Node) -> ResponseReturnValue:
    return fragment("panel/nodes/_remove.html", **_leaving(workflow, node))


def _sharing(workflow: Workflow, node: Node) -> ResponseReturnValue:
    return fragment("panel/nodes/_share.html", **_leaving(workflow, node))


def _leaving(workflow: Workflow, node: Node) -> dict[str, Any]:
    """What a dialog says of a node that leaves its slot: the request that goes with it, if it is the last there."""
    is_last = len(node.slot.nodes) == 1
    return {
        "address": address_of(workflow),
        "node": node,
        "number": workflow.nodes.index(node) + 1,
        "app": scopes.app_of(node),
        "cancels": confirmations.cancels(slot_requests.live_for(node.slot) if is_last else None),
    }
