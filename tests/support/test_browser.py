import flask
import pytest
from playwright.sync_api import Error, Page

from tests.support.browser import TRUSTING, WITHOUT_JAVASCRIPT, visitor
from tests.support.servers import serve_in_thread
from tests.support.tls_proxy import tls_proxy

app = flask.Flask(__name__)


@app.get("/")
def show() -> flask.Response:
    answer = flask.make_response("<h1>Plain</h1><script>document.querySelector('h1').textContent='Lively'</script>")
    answer.set_cookie("__Host-seen", "1", secure=True, httponly=True, samesite="Lax")
    return answer


@pytest.fixture(scope="module")
def url():
    with serve_in_thread(app) as served:
        yield served.url


def test_browser_shows_a_page(page: Page, url):
    page.goto(url)
    assert page.text_content("h1") == "Lively"


def test_browser_reaches_nothing_but_loopback(page: Page):
    with pytest.raises(Error, match="ERR_NAME_NOT_RESOLVED"):
        page.goto("http://outside.example/")


def test_visitor_without_javascript(browser, url):
    with visitor(browser, **WITHOUT_JAVASCRIPT) as context:
        page = context.new_page()
        page.goto(url)
        assert page.text_content("h1") == "Plain"


def test_visitor_behind_tls_gets_host_cookies(browser, url, authority):
    with tls_proxy(authority, url) as proxy, visitor(browser, **TRUSTING) as context:
        page = context.new_page()
        page.goto(proxy.url)
        assert page.text_content("h1") == "Lively"
        assert [cookie["name"] for cookie in context.cookies()] == ["__Host-seen"]
