"""Every broken file is named with its line and what is wrong."""

from pathlib import Path

import pytest

from app.catalog import CatalogError, load
from app.catalog.loader import parse
from app.errors import NotFound
from tests.catalog.broken import BROKEN, at
from tests.catalog.conftest import SOUND


def faults(text: str, name: str = "deskly.toml", **options: bool) -> list[str]:
    return parse(text, name, **options)[1]


def test_parse_accepts_a_sound_file():
    assert faults(SOUND) == []


@pytest.mark.parametrize("case", BROKEN)
def test_parse_names_the_line_and_the_fault(case):
    old, new, expected = BROKEN[case]
    assert old in SOUND

    found = faults(SOUND.replace(old, new, 1))

    assert found == [f"deskly.toml:{line}: {what}" for line, what in sorted(expected)]


def test_parse_wants_the_file_to_be_called_after_its_key():
    assert faults(SOUND, "desk.toml") == ["desk.toml:1: key is “deskly”, so the file must be called deskly.toml"]


def test_parse_wants_a_method_and_an_action():
    text = 'key = "deskly"\nname = "Deskly"\ncategory = "Support"\nwebsite = "https://deskly.example"\n'

    assert faults(text + '[api]\nbase_url = "https://deskly.example"\n') == [
        "deskly.toml:1: an app needs a table [oauth2], [api_key] or both",
        "deskly.toml:1: an app needs at least one [[actions]]",
    ]
    assert faults(
        text + '[api_key]\n[api]\nbase_url = "https://deskly.example"\n[[actions]]\nkey = "a"\nname = "A"\n'
    ) == [
        "deskly.toml:5: api_key.fields is missing: what is to be typed?",
        "deskly.toml:6: {access_token} is neither a field nor a kept value that is known here",
    ]


def test_parse_reports_every_fault_of_a_file_in_the_order_of_its_lines():
    text = SOUND.replace("https://{subdomain}", "http://{subdomain}").replace('id = "user.id"\n', "")

    lines = [int(fault.split(":")[1]) for fault in faults(text)]

    assert lines == sorted(lines)
    assert len(lines) == 5


@pytest.mark.parametrize(
    ("address", "loopback_http", "sound"),
    [
        ("http://127.0.0.1:8001/token", True, True),
        ("http://localhost:8001/token", True, True),
        ("http://{subdomain}.localhost:8001/token", True, True),
        ("http://127.0.0.1:8001/token", False, False),
        ("http://deskly.example/token", True, False),
        ("http://127.0.0.1.deskly.example/token", True, False),
    ],
)
def test_parse_allows_plain_http_to_this_machine_alone_and_only_when_told(address, loopback_http, sound):
    text = SOUND.replace("https://{subdomain}.deskly.example/token", address)

    found = faults(text, loopback_http=loopback_http)

    assert (found == []) is sound
    assert sound or found == [f"deskly.toml:{at('token_url')}: the address “{address}” must begin with https://"]


def test_load_reads_a_folder_that_adds_and_replaces(tmp_path: Path):
    (tmp_path / "deskly.toml").write_text(SOUND)
    (tmp_path / "slack.toml").write_text(
        SOUND.replace('key = "deskly"', 'key = "slack"').replace('"Deskly"', '"Our Slack"')
    )
    (tmp_path / "notes.txt").write_text("not an app")

    catalog = load(tmp_path)

    assert len(catalog) == len(load()) + 1
    assert catalog.get("deskly").name == "Deskly"
    assert catalog.get("slack").name == "Our Slack"


def test_load_goes_without_a_folder_that_is_not_there(tmp_path: Path):
    assert len(load(tmp_path / "nothing")) == len(load())


def test_load_reports_all_broken_files_together(tmp_path: Path):
    (tmp_path / "a.toml").write_text("key = ")
    (tmp_path / "b.toml").write_bytes(b'key = "\xff"')
    (tmp_path / "c.toml").write_text("#" * 70_000)
    (tmp_path / "deskly.toml").write_text(SOUND)
    (tmp_path / "e.toml").mkdir()

    with pytest.raises(CatalogError) as raised:
        load(tmp_path)

    assert str(raised.value).splitlines() == [
        "a.toml:1: invalid value",
        "b.toml: is not UTF-8 text",
        "c.toml: is larger than 64 KiB",
        "e.toml: can't be read: Is a directory",
    ]
    assert isinstance(raised.value, ValueError)


def test_catalog_finds_apps_and_says_when_there_is_none(shipped):
    assert shipped.find("slack") is shipped.get("slack")
    assert shipped.find("nothing") is None
    assert "slack" in shipped
    assert "nothing" not in shipped
    with pytest.raises(NotFound):
        shipped.get("nothing")


def test_catalog_goes_by_name_whatever_the_letter_case(shipped):
    names = [app.name for app in shipped]

    assert names == sorted(names, key=str.casefold)


def test_catalog_searches_names_and_categories(shipped):
    assert [app.key for app in shipped.search(" ZEND ")] == ["zendesk"]
    assert {"zendesk", "freshdesk"} <= {app.key for app in shipped.search("support")}
    assert shipped.search("no such thing") == ()
