"""The workflow page: one fragment that every act on it answers with, as things then stand."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from flask import g, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app import clock
from app.errors import Conflict, RateLimited, Refused
from app.i18n import _, ngettext
from app.models import ConnectionRequest, Workflow
from app.services import (
    badges,
    board,
    deliveries,
    mending_requests,
    node_views,
    sending,
    workflows,
    workspaces,
)
from app.services.sending import Sent
from app.web.htmx import close_dialog, fragment, go, is_htmx
from app.web.marks import form_mark
from app.web.panel import bp
from app.web.panel.forms import NameForm
from app.web.toasts import toast

PATH = "/workspaces/<workspace_id>/workflows/<workflow_id>"


@bp.get(PATH)
def show_workflow(workspace_id: str, workflow_id: str) -> ResponseReturnValue:
    context = context_of(workflow_of(workspace_id, workflow_id))
    if is_htmx():
        return fragment("panel/workflows/_workflow.html", **context)
    return render_template("panel/workflows/show.html", **context)


@bp.get(f"{PATH}/rename")
def edit_workflow(workspace_id: str, workflow_id: str) -> ResponseReturnValue:
    workflow = workflow_of(workspace_id, workflow_id)
    form = NameForm(formdata=None, name=workflow.name)
    return fragment("panel/workflows/_rename.html", workflow=workflow, form=form)


@bp.post(f"{PATH}/rename")
def rename_workflow(workspace_id: str, workflow_id: str) -> ResponseReturnValue:
    workflow, form = workflow_of(workspace_id, workflow_id), NameForm()
    if not form.does(lambda: workflows.rename(workflow, form.name.data, by=g.staff)):
        return fragment("panel/workflows/_rename.html", status=form.status, workflow=workflow, form=form)
    toast(_("Renamed to %(name)s", name=workflow.name))
    return current(workflow)


@bp.get(f"{PATH}/publish")
def confirm_publish(workspace_id: str, workflow_id: str) -> ResponseReturnValue:
    workflow = workflow_of(workspace_id, workflow_id)
    return fragment("panel/workflows/_publish.html", workflow=workflow, preview=sending.preview(workflow))


@bp.post(f"{PATH}/publish")
def publish_workflow(workspace_id: str, workflow_id: str) -> ResponseReturnValue:
    workflow = workflow_of(workspace_id, workflow_id)
    with telling():
        sent = workflows.publish(workflow, by=g.staff, form=form_mark())
        toast(_("Published version %(number)s", number=workflow.version), in_numbers(sent) if sent.requests else "")
    return current(workflow)


def workflow_of(workspace_id: str, workflow_id: str) -> Workflow:
    """The agency's workflow of that address; NotFound."""
    return workflows.get(workspaces.get(g.agency, workspace_id), workflow_id)


def address_of(workflow: Workflow) -> dict[str, Any]:
    """What stands in the addresses below a workflow."""
    return {"workspace_id": workflow.workspace.public_id, "workflow_id": workflow.public_id}


def url_of(workflow: Workflow) -> str:
    """The address of a workflow's page."""
    return url_for("panel.show_workflow", **address_of(workflow))


def current(workflow: Workflow) -> ResponseReturnValue:
    """The answer to an act: the page as it now is; its fragment alone, with any dialog closed, if one is on it."""
    url = url_of(workflow)
    if not is_htmx() or urlsplit(request.headers.get("HX-Current-URL", "")).path != url:
        return go(url)
    fresh = workflows.get(workflow.workspace, workflow.public_id)
    return close_dialog(fragment("panel/workflows/_workflow.html", **context_of(fresh)), retarget="#workflow")


def page_of(asked: ConnectionRequest) -> Workflow:
    """The workflow on whose page somebody acts on a request: what mends a connection shows at each that uses it."""
    path = urlsplit(request.headers.get("HX-Current-URL", "")).path
    return next((each for each in mending_requests.shown_at(asked) if url_of(each) == path), asked.workflow)


def context_of(workflow: Workflow) -> dict[str, Any]:
    """What `panel/workflows/_workflow.html` needs."""
    at, cursor = clock.now(), _cursor()
    steps = node_views.view(workflow, g.agency, at=at)
    progress = workflows.progress_of([workflow])[workflow.id]
    numbers = {step.slot.slot.id: step.number for step in reversed(steps)}
    return {
        "workflow": workflow,
        "workspace": workflow.workspace,
        "address": address_of(workflow),
        "poll_url": url_for("panel.show_workflow", **address_of(workflow), **cursor),
        "progress": progress,
        "state": badges.of_workflow(progress),
        "unasked": [(numbers[slot.id], workflows.slot_name(slot)) for slot in workflows.unasked(workflow)],
        "nodes": steps,
        "board": board.view(workflow, at=at, **cursor),
        "mail_is_set_up": deliveries.mail_is_set_up(),
    }


def _cursor() -> dict[str, Any]:
    """Which page of recipients is on the screen: what the address says, for an act that of the page it comes from."""
    args: dict[str, str] = request.args.to_dict()
    if request.method != "GET":
        query = urlsplit(request.headers.get("HX-Current-URL", "")).query
        args = {name: values[0] for name, values in parse_qs(query).items()}
    return {"after": args.get("after"), "before": args.get("before")}


@contextmanager
def telling() -> Iterator[None]:
    """Say what a service refuses because things have moved on, so that the page can then show how they stand."""
    try:
        yield
    except (Conflict, RateLimited, Refused) as error:
        toast(_("Nothing was changed"), str(error), kind="error")


def in_numbers(sent: Sent) -> str:
    """“2 recipients, 5 requests”."""
    recipients = ngettext("%(num)s recipient", "%(num)s recipients", sent.recipients)
    asked = ngettext("%(num)s request", "%(num)s requests", sent.requests)
    return _("%(recipients)s, %(asked)s", recipients=recipients, asked=asked)
