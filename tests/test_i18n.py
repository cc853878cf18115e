from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from flask import Flask, g

from app.extensions import babel
from app.i18n import (
    absolute,
    day_of,
    gettext,
    language,
    lazy_gettext,
    list_of,
    ngettext,
    relative,
    select_locale,
    viewer_zone,
)

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


@pytest.fixture
def english():
    app = Flask("texts")
    babel.init_app(app)
    with app.app_context():
        yield


@pytest.mark.parametrize(
    ("ahead", "text"),
    [
        (timedelta(0), "just now"),
        (timedelta(seconds=-59), "just now"),
        (timedelta(seconds=59), "in less than a minute"),
        (timedelta(minutes=-1), "1 minute ago"),
        (timedelta(minutes=-40), "40 minutes ago"),
        (timedelta(minutes=-59, seconds=-40), "1 hour ago"),
        (timedelta(minutes=1), "in 1 minute"),
        (timedelta(hours=-2), "2 hours ago"),
        (timedelta(hours=1, minutes=59, seconds=58), "in 2 hours"),
        (timedelta(hours=-23), "23 hours ago"),
        (timedelta(hours=-25), "yesterday"),
        (timedelta(hours=-33), "yesterday"),
        (timedelta(hours=-34), "2 days ago"),
        (timedelta(hours=30), "tomorrow"),
        (timedelta(days=-6), "6 days ago"),
        (timedelta(days=-8), "12 November"),
        (timedelta(days=7, seconds=-1), "in 7 days"),
        (timedelta(days=29), "in 29 days"),
        (timedelta(days=31), "21 December"),
        (timedelta(days=-400), "16 October 2025"),
    ],
)
def test_relative_speaks_as_people_do(english, ahead, text):
    assert relative(NOW + ahead, NOW) == text


def test_relative_goes_by_the_viewers_own_midnight(english):
    g.timezone = "Pacific/Auckland"

    assert relative(NOW - timedelta(hours=34), NOW) == "yesterday"


def test_absolute_is_in_the_viewers_zone_and_names_it(english):
    assert absolute(NOW) == "20 November 2026, 09:00 UTC"
    g.agency = SimpleNamespace(timezone="Europe/Paris")
    assert absolute(NOW) == "20 November 2026, 10:00 CET"
    g.timezone = "America/New_York"
    assert absolute(NOW) == "20 November 2026, 04:00 EST"


@pytest.mark.parametrize("name", ["Nowhere/Nothing", "../etc/passwd", "", None])
def test_viewer_zone_falls_back_to_utc(english, name):
    g.timezone = name

    assert viewer_zone().key == "UTC"


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ([], ""),
        (["Slack"], "Slack"),
        (["Slack", "HubSpot"], "Slack and HubSpot"),
        (["Slack", "HubSpot", "2 more apps"], "Slack, HubSpot and 2 more apps"),
    ],
)
def test_list_of_joins_as_a_sentence_does(english, items, text):
    assert list_of(items) == text


def test_dates_are_written_the_british_way_and_in_the_language_of_the_page(english):
    assert (language(), select_locale()) == ("en", "en_GB")
    g.locale = "de"
    assert day_of(NOW, NOW) == "20. November"
    assert list_of(["Slack", "HubSpot"]) == "Slack und HubSpot"


def test_texts_take_variables_and_count(english):
    assert gettext("Hello %(name)s", name="Dana") == "Hello Dana"
    assert ngettext("%(num)s app", "%(num)s apps", 1) == "1 app"
    assert ngettext("%(num)s app", "%(num)s apps", 2) == "2 apps"
    assert str(lazy_gettext("Later")) == "Later"


def test_texts_need_no_application():
    assert gettext("Hello") == "Hello"
    assert ngettext("%(num)s app", "%(num)s apps", 3) == "3 apps"
    assert relative(NOW - timedelta(hours=2), NOW) == "2 hours ago"
    assert absolute(NOW) == "20 November 2026, 09:00 UTC"
