from typing import Any

from flask import g, url_for
from flask.typing import ResponseReturnValue

from app.errors import NotFound
from app.i18n import _
from app.models import Connection, ConnectionRequest, Workflow
from app.services import connections, mending_requests, recipients, scopes
from app.web.htmx import fragment, go
from app.web.panel import bp
from app.web.panel.workflow_forms import MendingForm
from app.web.panel.workflows import PATH, address_of, current, telling, workflow_of
from app.web.toasts import toast

ASK = "/connections/<connection_id>/ask"


@bp.get(ASK)
@bp.get(f"{PATH}{ASK}")
def new_mending(
    connection_id: str, workspace_id: str | None = None, workflow_id: str | None = None
) -> ResponseReturnValue:
    connection, workflow = _found(connection_id, workspace_id, workflow_id)
    return _dialog(connection, workflow, MendingForm(formdata=None))


@bp.post(ASK)
@bp.post(f"{PATH}{ASK}")
def queue_mending(
    connection_id: str, workspace_id: str | None = None, workflow_id: str | None = None
) -> ResponseReturnValue:
    connection, workflow = _found(connection_id, workspace_id, workflow_id)
    form = MendingForm()
    form.offer(mending_requests.who_may(connection))
    with telling():
        asked = form.gives(lambda: _queue(connection, workflow, form))
        if asked is None:
            return _dialog(connection, workflow, form, status=form.status)
        title = _("%(app)s is in the queue", app=scopes.app_of(asked).name)
        toast(title, _("No email is sent until you send it."), kind="queued")
        return current(workflow or asked.workflow)
    return current(workflow) if workflow else go(url_for("panel.show_connection", connection_id=connection_id))


def _queue(connection: Connection, workflow: Workflow | None, form: MendingForm) -> ConnectionRequest:
    return mending_requests.queue(
        connection,
        workflow=workflow,
        recipient=form.recipient.data or "",
        note=form.note.data or "",
        was_broken=form.broken.data,
        by=g.staff,
    )


def _found(connection_id: str, workspace_id: str | None, workflow_id: str | None) -> tuple[Connection, Workflow | None]:
    """A connection, and the workflow at which it is asked for, if any; NotFound, also where that can't use it."""
    workflow = workflow_of(workspace_id, workflow_id) if workspace_id and workflow_id else None
    connection = connections.get(g.agency, connection_id)
    if workflow and workflow.workspace_id != connection.workspace_id:
        raise NotFound
    return connection, workflow


def _dialog(
    connection: Connection, workflow: Workflow | None, form: MendingForm, *, status: int = 200
) -> ResponseReturnValue:
    form.offer(mending_requests.who_may(connection))
    at = workflow or mending_requests.workflow_for(connection)
    context: dict[str, Any] = {
        "form": form,
        "connection": connection,
        "app": scopes.app_of(connection),
        "permissions": mending_requests.wanted(connection),
        "workflow": at,
        "address": {"connection_id": connection.public_id, **(address_of(workflow) if workflow else {})},
        "way": recipients.way_to(at.workspace, connection.owner_email or "") if at else None,
    }
    return fragment("panel/connection_requests/_mend.html", status=status, **context)
