from typing import Any

from flask import g, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.errors import Repeated
from app.i18n import _
from app.models import Workspace
from app.services import members, overview, workflows, workspaces
from app.web.htmx import fragment, go
from app.web.marks import form_mark
from app.web.panel import bp
from app.web.panel.forms import NameForm
from app.web.panel.workflows import url_of as workflow_url
from app.web.toasts import toast


@bp.get("/workspaces")
def show_workspaces() -> ResponseReturnValue:
    search, archived = " ".join(request.args.get("q", "").split())[:80], "archived" in request.args
    page = workspaces.page(
        g.agency,
        search=search,
        archived=archived,
        after=request.args.get("after"),
        before=request.args.get("before"),
    )
    return render_template(
        "panel/workspaces/index.html",
        page=page,
        standings=overview.of(page.items),
        members=members.counts(page.items),
        search=search,
        archived=archived,
    )


@bp.get("/workspaces/new")
def new_workspace() -> ResponseReturnValue:
    return _new_dialog(NameForm(formdata=None))


@bp.post("/workspaces")
def create_workspace() -> ResponseReturnValue:
    form = NameForm()
    made = form.gives(lambda: workspaces.create(g.agency, form.name.data, by=g.staff))
    if made is None:
        return _new_dialog(form)
    toast(_("Added %(name)s", name=made.name))
    return go(url_of(made))


@bp.get("/workspaces/<workspace_id>")
def show_workspace(workspace_id: str) -> ResponseReturnValue:
    workspace = workspaces.get(g.agency, workspace_id)
    after, before = request.args.get("workflows-after"), request.args.get("workflows-before")
    listed = overview.workflows_of(workspace, after=after, before=before)
    return render_template("panel/workspaces/show.html", workflows=listed, **members_context(workspace))


@bp.get("/workspaces/<workspace_id>/rename")
def edit_workspace(workspace_id: str) -> ResponseReturnValue:
    workspace = workspaces.get(g.agency, workspace_id)
    return _rename_dialog(workspace, NameForm(formdata=None, name=workspace.name))


@bp.post("/workspaces/<workspace_id>/rename")
def rename_workspace(workspace_id: str) -> ResponseReturnValue:
    workspace = workspaces.get(g.agency, workspace_id)
    form = NameForm()
    if not form.does(lambda: workspaces.rename(g.agency, workspace_id, form.name.data, by=g.staff)):
        return _rename_dialog(workspace, form)
    toast(_("Renamed to %(name)s", name=workspace.name))
    return go(url_of(workspace))


@bp.get("/workspaces/<workspace_id>/archive")
def confirm_archive(workspace_id: str) -> ResponseReturnValue:
    return fragment("panel/workspaces/_archive.html", workspace=workspaces.get(g.agency, workspace_id))


@bp.post("/workspaces/<workspace_id>/archive")
def archive_workspace(workspace_id: str) -> ResponseReturnValue:
    workspaces.archive(g.agency, workspace_id, by=g.staff)
    toast(_("Archived the workspace"))
    return go(url_for("panel.show_workspaces"))


@bp.post("/workspaces/<workspace_id>/restore")
def restore_workspace(workspace_id: str) -> ResponseReturnValue:
    workspaces.restore(g.agency, workspace_id, by=g.staff)
    toast(_("Restored the workspace"))
    return go(url_for("panel.show_workspace", workspace_id=workspace_id))


@bp.get("/workspaces/<workspace_id>/workflows/new")
def new_workflow(workspace_id: str) -> ResponseReturnValue:
    return _new_workflow_dialog(workspaces.get(g.agency, workspace_id), NameForm(formdata=None))


@bp.post("/workspaces/<workspace_id>/workflows")
def create_workflow(workspace_id: str) -> ResponseReturnValue:
    workspace = workspaces.get(g.agency, workspace_id)
    form = NameForm()
    try:
        made = form.gives(lambda: workflows.create(workspace, form.name.data, by=g.staff, form=form_mark()))
    except Repeated:
        return go(url_of(workspace))
    if made is None:
        return _new_workflow_dialog(workspace, form)
    return go(workflow_url(made))


def url_of(workspace: Workspace) -> str:
    """The address of a workspace's page."""
    return url_for("panel.show_workspace", workspace_id=workspace.public_id)


def members_context(workspace: Workspace) -> dict[str, Any]:
    """What `panel/members/_list.html` needs."""
    after, before = request.args.get("members-after"), request.args.get("members-before")
    page = members.page(workspace, after=after, before=before)
    return {"workspace": workspace, "members": page, "standing": members.standing(page.items)}


def _status(form: NameForm) -> int:
    return form.status if form.errors else 200


def _new_dialog(form: NameForm) -> ResponseReturnValue:
    return fragment("panel/workspaces/_new.html", status=_status(form), form=form)


def _rename_dialog(workspace: Workspace, form: NameForm) -> ResponseReturnValue:
    return fragment("panel/workspaces/_rename.html", status=_status(form), workspace=workspace, form=form)


def _new_workflow_dialog(workspace: Workspace, form: NameForm) -> ResponseReturnValue:
    return fragment("panel/workspaces/_new_workflow.html", status=_status(form), workspace=workspace, form=form)
