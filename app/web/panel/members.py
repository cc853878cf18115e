from flask import Response, g
from flask.typing import ResponseReturnValue

from app.i18n import _
from app.models import Workspace
from app.services import members, workspaces
from app.web.htmx import close_dialog, fragment, go, is_htmx
from app.web.panel import bp
from app.web.panel.forms import MemberForm
from app.web.panel.workspaces import members_context, url_of
from app.web.toasts import toast


@bp.get("/workspaces/<workspace_id>/members/new")
def new_member(workspace_id: str) -> ResponseReturnValue:
    return _dialog(workspaces.get(g.agency, workspace_id), MemberForm(formdata=None))


@bp.post("/workspaces/<workspace_id>/members")
def add_member(workspace_id: str) -> ResponseReturnValue:
    workspace = workspaces.get(g.agency, workspace_id)
    form = MemberForm()
    added = form.gives(lambda: members.add(workspace, name=form.name.data, email=form.email.data, by=g.staff))
    if added is None:
        return _dialog(workspace, form)
    toast(_("Added %(name)s", name=added.name))
    return _changed(workspace)


@bp.get("/workspaces/<workspace_id>/members/<member_id>/remove")
def confirm_member_removal(workspace_id: str, member_id: str) -> ResponseReturnValue:
    workspace = workspaces.get(g.agency, workspace_id)
    member = members.get(workspace, member_id)
    return fragment("panel/members/_remove.html", workspace=workspace, member=member)


@bp.post("/workspaces/<workspace_id>/members/<member_id>/remove")
def remove_member(workspace_id: str, member_id: str) -> ResponseReturnValue:
    workspace = workspaces.get(g.agency, workspace_id)
    members.remove(workspace, member_id, by=g.staff)
    toast(_("Removed the member"))
    return _changed(workspace)


def _changed(workspace: Workspace) -> ResponseReturnValue:
    if not is_htmx():
        return go(url_of(workspace))
    return close_dialog(fragment("panel/members/_list.html", **members_context(workspace)), retarget="#members")


def _dialog(workspace: Workspace, form: MemberForm) -> Response:
    status = form.status if form.errors else 200
    return fragment("panel/members/_new.html", status=status, workspace=workspace, form=form)
