from flask import Response, g
from flask.typing import ResponseReturnValue

from app.errors import Refused
from app.i18n import _, ngettext
from app.models import Workspace
from app.services import members, workspaces
from app.services.members import Removal
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
    toast(_("Added %(name)s", name=added.name), _("An invitation to the portal is on its way."))
    return _changed(workspace)


@bp.get("/workspaces/<workspace_id>/members/<member_id>/remove")
def confirm_member_removal(workspace_id: str, member_id: str) -> ResponseReturnValue:
    workspace = workspaces.get(g.agency, workspace_id)
    member = members.get(workspace, member_id)
    removal = members.removal_of(member)
    return fragment("panel/members/_remove.html", workspace=workspace, member=member, follows=_what_follows(removal))


@bp.post("/workspaces/<workspace_id>/members/<member_id>/remove")
def remove_member(workspace_id: str, member_id: str) -> ResponseReturnValue:
    workspace = workspaces.get(g.agency, workspace_id)
    name = members.get(workspace, member_id).name
    passed = members.remove(workspace, member_id, by=g.staff)
    said = ngettext(
        "%(num)s connection passed to the other members.", "%(num)s connections passed to the other members.", passed
    )
    toast(_("Removed %(name)s", name=name), said if passed else "")
    return _changed(workspace)


@bp.post("/workspaces/<workspace_id>/members/<member_id>/invite")
def invite_member(workspace_id: str, member_id: str) -> ResponseReturnValue:
    workspace = workspaces.get(g.agency, workspace_id)
    try:
        members.invite_again(workspace, member_id, by=g.staff)
        toast(_("Sent the invitation again"), kind="queued")
    except Refused as refused:
        toast(_("No invitation was sent"), str(refused), kind="error")
    return _changed(workspace)


def _what_follows(removal: Removal) -> list[str]:
    """What becomes of a member's connections, and of what they are asked for."""
    follows = [_where_they_go(removal)] if removal.connections else []
    if removal.mending:
        follows += [
            ngettext(
                "%(num)s request to reconnect an account is withdrawn: ask somebody else instead.",
                "%(num)s requests to reconnect accounts are withdrawn: ask somebody else instead.",
                removal.mending,
            )
        ]
    return [*follows, _("What else they are still asked for can be resent to them as a link.")]


def _where_they_go(removal: Removal) -> str:
    if not removal.others:
        return ngettext(
            "%(num)s connection of theirs stays, and nobody of this client can look after it until you add another member.",
            "%(num)s connections of theirs stay, and nobody of this client can look after them until you add another member.",
            removal.connections,
        )
    return ngettext(
        "%(num)s connection of theirs passes to the other members.",
        "%(num)s connections of theirs pass to the other members.",
        removal.connections,
    )


def _changed(workspace: Workspace) -> ResponseReturnValue:
    if not is_htmx():
        return go(url_of(workspace))
    return close_dialog(fragment("panel/members/_list.html", **members_context(workspace)), retarget="#members")


def _dialog(workspace: Workspace, form: MemberForm) -> Response:
    status = form.status if form.errors else 200
    return fragment("panel/members/_new.html", status=status, workspace=workspace, form=form)
