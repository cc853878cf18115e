import json
import logging

import pytest
from bs4 import BeautifulSoup
from flask import abort
from werkzeug.exceptions import TooManyRequests

from app.errors import Conflict, Forbidden, NotFound, ProviderFailed, RateLimited, Refused
from app.web.errors import words_for
from tests.web.tiny import browser, cookies_of, tiny_app

HTMX = {"HX-Request": "true"}
VAGUE = (
    "This link can't be opened It may have expired, already been used, or is otherwise invalid. "
    "Ask the requester to send you a fresh link."
)
KINDS = {
    "not-found": (NotFound("HubSpot at Bluefin Logistics is not yours."), 404),
    "refused": (Refused("OAuth provider on this request is not configured for OAuth2.", field="app"), 422),
    "conflict": (Conflict("This request is already settled."), 409),
    "forbidden": (Forbidden("Only owners can do this."), 403),
    "limited": (RateLimited("Wait a minute.", retry_after=60), 429),
    "provider": (ProviderFailed("HubSpot did not answer."), 502),
}


def add_failing(app):
    @app.get("/panel/fails/<kind>")
    @app.get("/connect/fails/<kind>")
    @app.get("/api/fails/<kind>")
    @app.get("/l/fails/<kind>", provide_automatic_options=False)
    def fail(kind):
        if kind == "fault":
            raise KeyError("a secret")
        if kind == "busy":
            raise TooManyRequests(retry_after=7)
        if kind.isdigit():
            abort(int(kind))
        raise KINDS[kind][0]


@pytest.fixture(scope="module")
def web():
    return tiny_app(extend=add_failing)


@pytest.fixture
def visitor(web):
    return browser(web)


def text_of(answer):
    return " ".join(BeautifulSoup(answer.text, "html.parser").main.get_text(" ", strip=True).split())


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"not-found"}))
def test_what_a_service_refuses_is_said_in_its_own_words_everywhere(visitor, kind):
    error, status = KINDS[kind]
    page = visitor.get(f"/panel/fails/{kind}")
    part = visitor.get(f"/panel/fails/{kind}", headers=HTMX)
    problem = visitor.get(f"/api/fails/{kind}")

    assert {page.status_code, part.status_code, problem.status_code} == {status}
    assert str(error) in text_of(page)
    assert json.loads(part.headers["HX-Trigger"])["toast"]["items"][0]["text"] == str(error)
    assert part.headers["HX-Reswap"] == "none"
    assert problem.content_type == "application/problem+json"
    assert problem.get_json(force=True)["detail"] == str(error)


def test_an_error_is_said_beside_what_was_to_be_said_already(visitor):
    visitor.post("/panel/toast", headers={"X-CSRFToken": visitor.get("/panel/form").text})

    part = visitor.get("/panel/fails/conflict", headers=HTMX)

    said = [item["title"] for item in json.loads(part.headers["HX-Trigger"])["toast"]["items"]]
    assert said == ["Sent requests to client", words_for(409)[0]]


def test_rate_limited_says_when_to_come_back(visitor):
    assert visitor.get("/panel/fails/limited").headers["Retry-After"] == "60"
    assert visitor.get("/panel/fails/busy").headers["Retry-After"] == "7"


@pytest.mark.parametrize("headers", [{}, HTMX, {"Accept": "application/json"}])
def test_what_is_foreign_and_what_is_unknown_look_alike_byte_for_byte(visitor, headers):
    foreign = visitor.get("/panel/fails/not-found", headers=headers)
    unknown = visitor.get("/panel/nowhere", headers=headers)

    assert foreign.status_code == unknown.status_code == 404
    assert foreign.data == unknown.data
    assert list(foreign.headers) == list(unknown.headers)


@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 413, 422, 429, 502, 503])
def test_every_expected_status_has_a_page_of_its_own(visitor, status):
    answer = visitor.get(f"/panel/fails/{status}")

    assert answer.status_code == status
    title, detail = words_for(status)
    assert f"{title} {detail}" in text_of(answer)


def test_a_status_without_words_still_answers(visitor):
    assert visitor.get("/panel/fails/418").status_code == 418


def test_a_fault_of_ours_shows_its_number_and_the_log_has_it(visitor, caplog):
    with caplog.at_level(logging.ERROR):
        answer = visitor.get("/connect/fails/fault?token=s3cret")

    (record,) = caplog.records
    number = text_of(answer).removesuffix(".").split()[-1]
    assert answer.status_code == 500
    assert len(number) == 16
    assert number in record.getMessage()
    assert record.exc_info
    assert "s3cret" not in caplog.text
    assert "secret" not in answer.text


def test_errors_of_client_pages_do_not_name_the_product(visitor):
    assert "Gatehouse" in visitor.get("/panel/nowhere").text
    assert "Gatehouse" not in visitor.get("/connect/nowhere").text
    assert "Gatehouse" not in visitor.get("/connect/fails/fault").text


def test_a_poll_that_fails_makes_no_noise_unless_it_is_our_fault(visitor):
    poll = HTMX | {"X-Poll": "1"}

    assert "HX-Trigger" not in visitor.get("/panel/nowhere", headers=poll).headers
    assert "HX-Trigger" in visitor.get("/panel/fails/fault", headers=poll).headers


def test_a_form_out_of_date_says_so(visitor):
    assert text_of(visitor.post("/panel/form")).startswith("This page is out of date")


@pytest.mark.parametrize("path", ["/nowhere", "/fails/conflict", "/fails/fault"])
def test_errors_set_no_cookie(visitor, path):
    assert cookies_of(visitor.get(f"/panel{path}")) == []


LINKS = [
    "/l/abc",
    "/l/",
    "/l/a/b",
    "/l//a",
    "/l/a//b",
    "/l/%00",
    "/l/ä",
    "/l/fails/refused",
    "/l/fails/403",
    "/l/" + "a" * 2000,
]


@pytest.mark.parametrize("path", LINKS)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_every_failing_link_gives_the_same_bytes(visitor, path, method):
    first = visitor.get("/l/abc")
    visitor.get("/panel/form")
    visitor.post("/panel/toast", headers={"X-CSRFToken": visitor.get("/panel/form").text})
    strange = {"HX-Request": "true", "Sec-Fetch-Site": "cross-site", "Accept": "application/json"}

    for headers in ({}, strange):
        answer = visitor.open(path, method=method, headers=headers)
        assert answer.status_code == 404
        assert answer.data == first.data
        assert list(answer.headers) == list(first.headers)


def test_the_vague_page_says_the_one_sentence_and_nothing_of_whose_it_was(visitor):
    answer = visitor.get("/l/abc")

    assert text_of(answer) == VAGUE
    assert BeautifulSoup(answer.text, "html.parser").title.text == "This link can't be opened"
    assert "Gatehouse" not in answer.text
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert cookies_of(answer) == []


def test_head_of_a_failing_link_has_the_headers_of_get(visitor):
    assert list(visitor.head("/l/abc").headers) == list(visitor.get("/l/abc").headers)
    assert visitor.head("/l/abc").data == b""


def test_too_many_openings_are_told_apart_from_a_dead_link(visitor):
    answer = visitor.get("/l/fails/limited")

    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "60"
    assert "Gatehouse" not in answer.text
