import pytest
from flask import url_for
from werkzeug.routing import BuildError

from app.web.panel import navigation
from tests.support.shared_app import *  # noqa: F403
from tests.support.staff_browser import page

ALL = ["Home", "Workspaces", "Connections", "Apps", "Branding", "People"]


def items(answer):
    return page(answer).select("nav[aria-label=Panel] .gh-nav a")


def labels(listed):
    return [each.find(string=True).strip() for each in listed]


def test_around_page_lists_what_one_may_open(maya, tom):
    assert labels(items(maya.get("/panel/workspaces"))) == ALL
    assert labels(items(tom.get("/panel/workspaces"))) == ALL[:4]


def test_around_page_marks_where_one_is(maya):
    for each in items(maya.get("/panel/workspaces")):
        current = [one["href"] for one in items(maya.get(each["href"])) if one.get("aria-current") == "page"]
        assert current == [each["href"]]


def test_a_page_that_is_listed_but_not_there_is_a_fault_and_not_left_out(app, monkeypatch):
    monkeypatch.setattr(navigation, "_work", lambda: [("panel.show_nowhere", "Nowhere")])

    with app.test_request_context("/panel/"), pytest.raises(BuildError, match="show_nowhere"):
        navigation._items(navigation._work(), None)


def test_the_start_is_the_home_page(app):
    with app.test_request_context():
        assert navigation.start_url() == url_for("panel.show_home")
