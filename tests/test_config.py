"""Settings: read once, from variables or files; what is malformed stops the start with one sentence that names it."""

import ipaddress
from pathlib import Path

import pytest

from app.config import ROOT, Config, ConfigError, SmtpServer, is_loopback

KEY = "k" * 32


def read(**settings):
    return Config.from_environ({f"GATEHOUSE_{name}": value for name, value in settings.items()})


def test_nothing_set_is_an_installation_on_this_machine():
    config = read()

    assert (config.base_url, config.host, config.https) == ("http://localhost:8000", "localhost:8000", False)
    assert config.instance_path == ROOT / "instance"
    assert config.database_url == f"sqlite:///{ROOT / 'instance' / 'gatehouse.sqlite3'}"
    assert (config.apps_dir, config.keys_path) == (ROOT / "instance" / "apps", ROOT / "instance" / "keys")
    assert (config.smtp, config.mail_from, config.mail_ambiguous) == (None, None, "resend")
    assert (config.oauth_clients, config.egress_allow, config.proxy_hops) == ({}, (), 0)
    assert (config.worker, config.secret_key, config.vault_keys, config.metrics_token) == ("embedded", None, None, None)
    assert not config.reaches_loopback


def test_tests_and_demo_alone_can_weaken_it():
    config = read(DEMO="1", ARGON2_LIGHT="1", HTTPS="0")

    assert (config.demo, config.argon2_light) == (False, False)


@pytest.mark.parametrize(
    ("text", "base_url", "host"),
    [
        ("https://access.northwind.example", "https://access.northwind.example", "access.northwind.example"),
        ("https://access.northwind.example/", "https://access.northwind.example", "access.northwind.example"),
        (
            "https://access.northwind.example:8443",
            "https://access.northwind.example:8443",
            "access.northwind.example:8443",
        ),
        ("http://localhost:5000", "http://localhost:5000", "localhost:5000"),
        ("http://app.localhost:5000", "http://app.localhost:5000", "app.localhost:5000"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000", "127.0.0.1:5000"),
        ("http://[::1]:5000", "http://[::1]:5000", "[::1]:5000"),
    ],
)
def test_base_url(text, base_url, host):
    config = read(BASE_URL=text)

    assert (config.base_url, config.host) == (base_url, host)
    assert config.https is base_url.startswith("https")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "access.northwind.example",
            "ftp://x.example",
            "https://",
            "https:///x",
            "//x.example",
            "https://x.example/path",
        ),
        *("https://x.example?a=b", "https://x.example#a", "https://me@x.example", "https://:word@x.example"),
        *(
            "https://x.example:port",
            "https://x.example:99999",
            "https://[::1",
            "https://x y.example",
            "https://x.example\\a",
        ),
        *("http://x.example", "http://10.0.0.1", "http://localhost.x.example", "http://127.0.0.1.x.example"),
        *("https://x.example\nHost: y", "https://x.example,https://y.example", "javascript://localhost"),
    ],
)
def test_base_url_refuses_what_no_link_could_be_made_from(text):
    with pytest.raises(ConfigError, match="GATEHOUSE_BASE_URL"):
        read(BASE_URL=text)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("postgresql://me:word@db.example/gatehouse", "postgresql+psycopg://me:word@db.example/gatehouse"),
        ("postgres://db.example/gatehouse", "postgresql+psycopg://db.example/gatehouse"),
        ("sqlite:////var/lib/gatehouse/it.sqlite3", "sqlite:////var/lib/gatehouse/it.sqlite3"),
    ],
)
def test_database_url(text, url):
    assert read(DATABASE_URL=text).database_url == url


@pytest.mark.parametrize(
    "text",
    [
        "mysql://x/y",
        "x",
        "sqlite://",
        "sqlite:relative",
        "postgresql://db.example:port/x",
        "POSTGRESQL://x/y",
        "postgresql:/x",
    ],
)
def test_database_url_refuses_what_is_no_database_of_ours(text):
    with pytest.raises(ConfigError, match="GATEHOUSE_DATABASE_URL"):
        read(DATABASE_URL=text)


def test_the_database_is_in_the_instance_folder_unless_told_otherwise(tmp_path):
    assert read(INSTANCE_PATH=str(tmp_path)).database_url == f"sqlite:///{tmp_path}/gatehouse.sqlite3"


def test_a_relative_instance_folder_is_made_absolute():
    assert read(INSTANCE_PATH="somewhere").instance_path == Path.cwd() / "somewhere"


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example", SmtpServer("mail.example", 587, "starttls")),
        ("smtp://me:w%40rd@mail.example:2525", SmtpServer("mail.example", 2525, "starttls", "me", "w@rd")),
        ("smtps://mail.example", SmtpServer("mail.example", 465, "implicit")),
        ("smtp://localhost:1025?tls=none", SmtpServer("localhost", 1025, "none")),
        ("smtp://127.0.0.1?tls=none", SmtpServer("127.0.0.1", 587, "none")),
    ],
)
def test_smtp_url(url, server):
    assert read(SMTP_URL=url, MAIL_FROM="access@northwind.example").smtp == server


@pytest.mark.parametrize(
    "url",
    [
        *("mail.example", "http://mail.example", "smtp://", "smtp://mail.example:port", "smtp://mail.example:99999"),
        *("smtp://mail.example?tls=none", "smtp://10.0.0.1?tls=none", "smtp://mail.example?tls=maybe", "smtp://[::1"),
        *("smtp://localhost?tls=none&verify=no", "smtp://localhost.x.example?tls=none"),
    ],
)
def test_smtp_url_refuses_what_would_send_in_the_clear_or_nowhere(url):
    with pytest.raises(ConfigError, match="GATEHOUSE_SMTP_URL"):
        read(SMTP_URL=url, MAIL_FROM="access@northwind.example")


@pytest.mark.parametrize(
    "sender", [None, "", "nobody", "Me <me@x.example>", "a@x.example, b@x.example", "a@x.example\nBcc: b@x"]
)
def test_mail_from_is_one_bare_address_and_needed_with_a_server(sender):
    with pytest.raises(ConfigError, match="GATEHOUSE_MAIL_FROM"):
        read(SMTP_URL="smtp://mail.example", **({"MAIL_FROM": sender} if sender is not None else {}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("MAIL_AMBIGUOUS", "maybe"), ("MAIL_AMBIGUOUS", "Hold"), ("WORKER", "none"), ("WORKER", "1")),
        *(("PROXY_HOPS", "-1"), ("PROXY_HOPS", "6"), ("PROXY_HOPS", "one"), ("PROXY_HOPS", "1.0"), ("PROXY_HOPS", "²")),
        *(("EGRESS_ALLOW", "localhost"), ("EGRESS_ALLOW", "10.0.0.1/8"), ("EGRESS_ALLOW", "10.0.0.0/33")),
        ("SECRET_KEY", "k" * 31),
        ("APPS_DIR", "/nowhere/at/all"),
    ],
)
def test_a_malformed_setting_is_named(name, value):
    with pytest.raises(ConfigError, match=f"GATEHOUSE_{name}"):
        read(**{name: value})


def test_networks_are_apart_by_commas_or_blanks():
    networks = read(EGRESS_ALLOW="10.1.0.0/16, 127.0.0.0/8\nfd00::/8").egress_allow

    assert networks == tuple(map(ipaddress.ip_network, ("10.1.0.0/16", "127.0.0.0/8", "fd00::/8")))
    assert read(EGRESS_ALLOW="127.0.0.0/8").reaches_loopback
    assert not read(EGRESS_ALLOW="10.1.0.0/16").reaches_loopback


def test_oauth_clients_are_named_after_their_app():
    config = read(
        OAUTH_SLACK_CLIENT_ID="one",
        OAUTH_SLACK_CLIENT_SECRET="hush",
        OAUTH_GOOGLE_SHEETS_CLIENT_ID="two",
        OAUTH_CLIENT_ID="not an app",
    )

    assert config.oauth_clients == {"slack": ("one", "hush"), "google-sheets": ("two", None)}


def test_a_secret_without_its_client_id_is_a_mistake():
    with pytest.raises(ConfigError, match="GATEHOUSE_OAUTH_SLACK_CLIENT_ID is missing"):
        read(OAUTH_SLACK_CLIENT_SECRET="hush")


# ── Files ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "value", "attribute"),
    [
        ("SECRET_KEY", KEY, "secret_key"),
        ("VAULT_KEYS", "b25l", "vault_keys"),
        ("METRICS_TOKEN", "hush", "metrics_token"),
        ("BASE_URL", "https://x.example", "base_url"),
        ("WORKER", "external", "worker"),
    ],
)
def test_each_setting_may_stand_in_a_file(tmp_path, name, value, attribute):
    (tmp_path / "it").write_text(f"{value}\n")

    assert getattr(read(**{f"{name}_FILE": str(tmp_path / "it")}), attribute) == value


def test_a_clients_secret_may_stand_in_a_file(tmp_path):
    (tmp_path / "it").write_text("hush\n")

    config = read(OAUTH_SLACK_CLIENT_ID="one", OAUTH_SLACK_CLIENT_SECRET_FILE=str(tmp_path / "it"))

    assert config.oauth_clients == {"slack": ("one", "hush")}


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "it").write_bytes(content)

    with pytest.raises(ConfigError, match="GATEHOUSE_SECRET_KEY_FILE can't be read"):
        read(SECRET_KEY_FILE=str(tmp_path / "it"))


def test_a_setting_given_twice_is_a_mistake(tmp_path):
    with pytest.raises(ConfigError, match="choose one"):
        read(SECRET_KEY=KEY, SECRET_KEY_FILE=str(tmp_path / "it"))


# ── Hiding ──────────────────────────────────────────────────────────────────


def test_no_secret_is_in_what_is_printed_of_it():
    config = read(
        SECRET_KEY="hush" * 8,
        VAULT_KEYS="hush",
        METRICS_TOKEN="hush",
        DATABASE_URL="postgresql://me:hush@db.example/x",
        SMTP_URL="smtp://me:hush@mail.example",
        MAIL_FROM="access@northwind.example",
        OAUTH_SLACK_CLIENT_ID="one",
        OAUTH_SLACK_CLIENT_SECRET="hush",
    )

    assert "hush" not in repr(config)
    assert "hush" not in str(config.smtp)


@pytest.mark.parametrize(
    ("host", "is_it"),
    [
        *(("localhost", True), ("x.localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True)),
        *(
            ("localhost.example", False),
            ("127.0.0.1.example", False),
            ("10.0.0.1", False),
            ("0.0.0.0", False),
            ("", False),
        ),
    ],
)
def test_is_loopback(host, is_it):
    assert is_loopback(host) is is_it
