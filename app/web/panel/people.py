from typing import Any

from flask import Response, g, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.errors import Repeated
from app.i18n import _
from app.models import Staff
from app.services import staff
from app.vault import Masked
from app.web.htmx import close_dialog, fragment, go, is_htmx, trigger
from app.web.marks import form_mark
from app.web.panel import bp
from app.web.panel.access import for_managers
from app.web.panel.forms import PersonForm, RoleForm, role_name
from app.web.toasts import toast

CHANGED = "people-changed"


@bp.get("/people")
@for_managers
def show_people() -> ResponseReturnValue:
    template = "panel/people/_list.html" if is_htmx() else "panel/people/index.html"
    return render_template(template, **_listed())


@bp.get("/people/new")
@for_managers
def new_person() -> ResponseReturnValue:
    return _new_dialog(PersonForm(formdata=None), 200)


@bp.post("/people")
@for_managers
def add_person() -> ResponseReturnValue:
    form = PersonForm()
    form.offer(staff.roles_for(g.staff))
    added = form.gives(
        lambda: staff.add(g.agency, name=form.name.data, email=form.email.data, role=form.role.data, by=g.staff)
    )
    return _password_shown(*added) if added else _new_dialog(form, form.status)


@bp.get("/people/<person_id>/role")
@for_managers
def edit_role(person_id: str) -> ResponseReturnValue:
    person = staff.get(g.agency, person_id)
    return _role_dialog(person, RoleForm(formdata=None, role=person.role), 200)


@bp.post("/people/<person_id>/role")
@for_managers
def change_role(person_id: str) -> ResponseReturnValue:
    person = staff.get(g.agency, person_id)
    form = RoleForm()
    form.offer(staff.roles_for(g.staff))
    if not form.does(lambda: staff.change_role(g.agency, person_id, role=form.role.data, by=g.staff)):
        return _role_dialog(person, form, form.status)
    toast(_("%(name)s is now %(role)s", name=person.name, role=role_name(person.role)))
    return _changed()


@bp.get("/people/<person_id>/disable")
@for_managers
def confirm_disabling(person_id: str) -> ResponseReturnValue:
    return fragment("panel/people/_disable.html", person=staff.get(g.agency, person_id))


@bp.post("/people/<person_id>/disable")
@for_managers
def disable_person(person_id: str) -> ResponseReturnValue:
    staff.disable(g.agency, person_id, by=g.staff)
    toast(_("Disabled the account"))
    return _changed()


@bp.get("/people/<person_id>/enable")
@for_managers
def confirm_enabling(person_id: str) -> ResponseReturnValue:
    return fragment("panel/people/_enable.html", person=staff.get(g.agency, person_id))


@bp.post("/people/<person_id>/enable")
@for_managers
def enable_person(person_id: str) -> ResponseReturnValue:
    password = staff.enable(g.agency, person_id, by=g.staff)
    return _password_shown(staff.get(g.agency, person_id), password)


@bp.get("/people/<person_id>/password")
@for_managers
def confirm_new_password(person_id: str) -> ResponseReturnValue:
    return fragment("panel/people/_password.html", person=staff.get(g.agency, person_id))


@bp.post("/people/<person_id>/password")
@for_managers
def renew_password(person_id: str) -> ResponseReturnValue:
    try:
        password = staff.renew_password(g.agency, person_id, by=g.staff, form=form_mark())
    except Repeated as repeated:
        toast(_("Nothing was changed"), str(repeated), kind="error")
        return _changed()
    return _password_shown(staff.get(g.agency, person_id), password)


def _listed() -> dict[str, Any]:
    page = staff.page(g.agency, after=request.args.get("after"), before=request.args.get("before"))
    changeable = {person.id for person in page.items if staff.may_change(g.staff, person)}
    return {"page": page, "changeable": changeable, "last_seen": staff.last_seen(page.items), "role_name": role_name}


def _changed() -> ResponseReturnValue:
    if not is_htmx():
        return go(url_for("panel.show_people"))
    return close_dialog(fragment("panel/people/_list.html", **_listed()), retarget="#people")


def _password_shown(person: Staff, password: Masked) -> Response:
    """The one time that a password is on a page; the list behind the dialog fetches itself anew."""
    shown = fragment("panel/people/_password_shown.html", person=person, password=password.reveal())
    return trigger(shown, CHANGED)


def _new_dialog(form: PersonForm, status: int) -> Response:
    form.offer(staff.roles_for(g.staff))
    return fragment("panel/people/_new.html", status=status, form=form)


def _role_dialog(person: Staff, form: RoleForm, status: int) -> Response:
    form.offer(staff.roles_for(g.staff))
    return fragment("panel/people/_role.html", status=status, person=person, form=form)
