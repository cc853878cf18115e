import pytest
from sqlalchemy import select

from app.models import Workspace
from app.services import paging
from tests import factories
from tests.support.shared_app import *  # noqa: F403

pytestmark = pytest.mark.both_databases


@pytest.fixture
def rows(agency, clock):
    """Seven workspaces, of which the middle three were made in the same second."""
    made = []
    for number, later in enumerate([1, 1, 0, 0, 1, 1, 0]):
        clock.forward(seconds=later)
        made.append(factories.make_workspace(agency, f"Client {number}"))
    return made


def page(**where):
    return paging.page(select(Workspace), Workspace.active_at, size=3, **where)


def names(found):
    return [each.name.removeprefix("Client ") for each in found.items]


def test_page_walks_the_list_from_the_newest_to_the_oldest_and_back(rows):
    first = page()
    second = page(after=first.older)
    third = page(after=second.older)

    assert [names(first), names(second), names(third)] == [["6", "5", "4"], ["3", "2", "1"], ["0"]]
    assert (first.newer, third.older) == (None, None)
    assert names(page(before=third.newer)) == names(second)
    assert names(page(before=second.newer)) == names(first)
    assert page(before=second.newer).newer is None


def test_page_stays_in_place_while_rows_are_added(rows, agency, clock):
    first = page()
    clock.forward(minutes=1)
    factories.make_workspace(agency, "Client 7")

    assert names(page(after=first.older)) == ["3", "2", "1"]


def test_page_of_an_empty_list_leads_nowhere(agency):
    assert page() == paging.Page([])


@pytest.mark.parametrize("cursor", ["nowhere", "", "a'b", "\x00", "☃", "x" * 9999])
def test_page_begins_at_the_start_for_a_cursor_that_is_none(rows, cursor):
    assert names(page(after=cursor)) == ["6", "5", "4"]


def test_page_takes_no_cursor_from_another_agency(rows, stranger):
    with factories.across_tenants("a test's setting"):
        theirs = factories.make_workspace(stranger.agency, "Client X").public_id

    assert names(page(after=theirs)) == ["6", "5", "4"]


@pytest.mark.parametrize("way", ["after", "before"])
def test_page_takes_no_cursor_that_its_list_does_not_have(rows, way):
    """A row that is there, and not among those that may be shown, is as unknown as one that never was."""
    some = select(Workspace).where(Workspace.name != "Client 3")

    def found(cursor):
        return paging.page(some, Workspace.active_at, size=3, **{way: cursor})

    assert found(rows[3].public_id) == found("nowhere")
    assert found(rows[1].public_id) != found("nowhere")


def test_page_of_walks_a_list_in_memory(monkeypatch):
    monkeypatch.setattr(paging, "PAGE", 3)
    letters = list("abcdefg")

    def at(**where):
        return paging.page_of(letters, str, **where)

    assert at() == paging.Page(["a", "b", "c"], None, "c")
    assert at(after="c") == paging.Page(["d", "e", "f"], "d", "f")
    assert at(after="f") == paging.Page(["g"], "g", None)
    assert at(before="g") == paging.Page(["d", "e", "f"], "d", "f")
    assert at(before="d") == paging.Page(["a", "b", "c"], None, "c")
    assert at(after="?") == at()
