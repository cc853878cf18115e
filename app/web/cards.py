"""What a client does on the cards of apps: the same acts on the branded page and in the portal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, g, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app import clock
from app.errors import Conflict, NotFound, ProviderFailed, Refused
from app.i18n import _
from app.models import FlowSurface
from app.prepared import Row
from app.services import connection_requests, flows, handovers, intake, right_account, scopes
from app.services.flows import Started
from app.services.intake import Card
from app.web.errors import on_domain_error
from app.web.htmx import hx_redirect, is_htmx
from app.web.sessions import current_session, set_cookie
from app.web.toasts import toast

FLOW_COOKIE_AGE = int(flows.LIFETIME.total_seconds())
FRAGMENT = "client/intake/_intake.html"


def _of_bundle() -> list[Card]:
    return intake.cards(g.intake.bundle)


def _given_of_bundle() -> Sequence[Row]:
    return handovers.given(g.intake.bundle)


@dataclass(frozen=True)
class CardPage:
    """A page with cards: the blueprint's views of all of it and of its fragment, its template, what it shows besides them.

    `g.intake` says whose cards they are; all of its bundle's, unless `cards` finds others, as `given` what was handed over.
    """

    show: str
    show_part: str
    template: str
    around: Callable[[], dict[str, Any]]
    cards: Callable[[], list[Card]] = _of_bundle
    given: Callable[[], Sequence[Row]] = _given_of_bundle

    def shown(self, **more: Any) -> dict[str, Any]:
        """What the page needs; `more` after a mistake."""
        at = clock.now()
        cards = self.cards()
        return {
            "bundle": g.intake.bundle,
            "cards": cards,
            "done": sum(card.is_connected and not card.is_broken for card in cards),
            "is_open": g.intake.is_open,
            "in_portal": g.intake.surface is FlowSurface.PORTAL,
            "is_fragment": is_htmx(),
            "waiting": _waiting(cards, at=at),
            "handed_over": [(scopes.app_of(each), each) for each in self.given()],
            "home": handovers.home(g.intake.bundle.recipient),
            "card_url": _card_url,
            "part_url": url_for(self.show_part, **_where()),
            **self.around(),
            **more,
        }

    def back(self, request_id: str | None = None) -> ResponseReturnValue:
        """Show it as it is now; where the page is loaded anew, at the card that says what came of it."""
        if is_htmx():
            return redirect(url_for(self.show_part, **_where()), 303)
        return redirect(url_for(self.show, **_where(), _anchor=request_id and f"app-{request_id}"), 303)

    def with_error(self, request_id: str, error: Refused | ProviderFailed | Conflict) -> Response:
        """The same page with the error on its card, and all that was typed still there."""
        wrong = {"request_id": request_id, "field": getattr(error, "field", None), "text": str(error)}
        template = FRAGMENT if is_htmx() else self.template
        return make_response(render_template(template, **self.shown(wrong=wrong, typed=request.form)), 422)


def _waiting(cards: list[Card], *, at: Any) -> Any:
    """The accounts that wait for the client's word, by request; nothing is asked where no card says that one may."""
    if not any(card.is_other_account for card in cards):
        return {}
    return right_account.waiting(g.intake.bundle, session_hash=current_session().id_hash, at=at)


def _where() -> dict[str, Any]:
    """The parts of the page's address."""
    return {name: value for name, value in (request.view_args or {}).items() if name != "request_id"}


def _card_url(act: str, request_id: str) -> str:
    return url_for(f".{act}", request_id=request_id, **_where())


def add_card_acts(
    bp: Blueprint,
    address: str,
    page: CardPage,
    *,
    otherwise: Callable[[NotFound], ResponseReturnValue] = on_domain_error,
) -> None:
    """Have a blueprint serve the acts of the cards below the address of their page; `otherwise` answers what is not found elsewhere."""
    for name, act in {
        "start": start_flow,
        "decline": decline_request,
        "use": use_account,
        "keep": keep_account,
        "hand-over": hand_over,
        "take-back": take_back,
    }.items():
        rule = f"{address}/requests/<request_id>/{name}"
        bp.add_url_rule(rule, act.__name__, _view(act, page), methods=["POST"])
    bp.register_error_handler(NotFound, _as_it_is(bp, page, otherwise))


def start_flow(request_id: str) -> Response:
    """“Connect”: on to the provider."""
    started = flows.start(g.intake, request_id, typed=request.form, session_hash=current_session().id_hash)
    return leave(started)


def leave(started: Started) -> Response:
    """Send the browser to a provider, with what it has to bring back."""
    if is_htmx():
        response = hx_redirect(started.url)
    else:
        response = make_response(render_template("client/intake/leaving.html", app=started.app, url=started.url))
    set_cookie(response, started.cookie, started.secret, max_age=FLOW_COOKIE_AGE)
    return response


def decline_request(request_id: str) -> None:
    """“I can't connect this app”."""
    asked = connection_requests.in_bundle(g.intake.bundle, request_id)
    connection_requests.decline(asked, reason=request.form.get("reason", ""))


def use_account(request_id: str) -> None:
    """“Use” an account that was connected for another step."""
    intake.use_offer(g.intake.bundle, request_id, request.form.get("connection", ""))


def keep_account(request_id: str) -> None:
    """“Use this account anyway”."""
    asked = connection_requests.in_bundle(g.intake.bundle, request_id)
    right_account.use(g.intake, asked.public_id, session_hash=current_session().id_hash)


def hand_over(request_id: str) -> None:
    """“Someone else manages this account”."""
    asked = handovers.ask(g.intake.bundle, request_id, request.form.get(handovers.FIELD, "")[:400])
    if asked.hand_over_to is None:
        toast(_("Handed %(app)s over", app=scopes.app_of(asked).name), asked.recipient)


def take_back(request_id: str) -> None:
    """No longer ask for a colleague."""
    handovers.take_back(g.intake.bundle, request_id)


SAYS_CONFLICT = (use_account, keep_account)  # of the others the card says by itself how things stand


def _view(act: Callable[[str], Response | None], page: CardPage) -> Callable[..., ResponseReturnValue]:
    """An act as a view: only while the apps are still asked for, and with what went wrong on its card."""

    def view(request_id: str, **_where: str) -> ResponseReturnValue:
        if not g.intake.is_open:
            return page.back()
        try:
            return act(request_id) or page.back(None if act is hand_over else request_id)
        except Conflict as error:
            return page.with_error(request_id, error) if act in SAYS_CONFLICT else page.back(request_id)
        except (Refused, ProviderFailed) as error:
            return page.with_error(request_id, error)

    return view


def _as_it_is(
    bp: Blueprint, page: CardPage, otherwise: Callable[[NotFound], ResponseReturnValue]
) -> Callable[[NotFound], ResponseReturnValue]:
    """Show the page as it now is to whoever pressed something on it that was asked of somebody else meanwhile."""

    def show(error: NotFound) -> ResponseReturnValue:
        came_from = request.headers.get("HX-Current-URL" if is_htmx() else "Referer", "").partition("#")[0]
        acted = request.method == "POST" and "request_id" in (request.view_args or {})
        if not acted or not came_from.endswith(url_for(f"{bp.name}{page.show}", **_where())):
            return otherwise(error)
        return page.back()

    return show
