import pytest

from app.services import handovers, public_mail


@pytest.mark.parametrize(
    "domain",
    ["gmail.com", "googlemail.com", "outlook.com", "hotmail.fr", "yahoo.co.uk", "yahoo.com.br", "live.nl", "icloud.com",
     "proton.me", "gmx.net", "gmx.de", "web.de", "t-online.de", "mail.ru", "qq.com", "vip.qq.com", "163.com", "comcast.net",
     "aim.com", "zohomail.com", "zohomail.eu", "simplelogin.com", "aleeas.com", "slmail.me", "anonaddy.com", "anonaddy.me",
     "priya.anonaddy.com", "relay.firefox.com", "cock.li", "inbox.eu", "mail2world.com", "onmail.com", "bluemail.ch", "163.net",
     "icloud.com.cn"],
)  # fmt: skip
def test_where_anybody_can_have_an_address_is_public(domain):
    assert public_mail.is_public(domain)
    assert handovers.home(f"priya@{domain}") is None


@pytest.mark.parametrize(
    "domain",
    ["harbordental.example", "mail.harbordental.com", "live.harbordental.co.uk", "notgmail.com", "gmail.harbordental.com",
     "yahoo.inc.example.org", "com"],
)  # fmt: skip
def test_what_somebody_has_alone_is_theirs(domain):
    assert not public_mail.is_public(domain)
    assert handovers.home(f"priya@{domain}") == domain


def test_all_are_written_as_addresses_are_stored():
    assert all(each == each.lower() and each.isascii() and "." in each for each in public_mail.DOMAINS)
    assert len(public_mail.DOMAINS) > 500
