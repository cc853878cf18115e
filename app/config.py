"""Settings from the environment, checked once; what is missing or malformed stops the start with one sentence."""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

PREFIX = "GATEHOUSE_"
ORIGIN = re.compile(r"(https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::[0-9]{1,5})?)/?")
ROOT = Path(__file__).resolve().parent.parent
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ConfigError(ValueError):
    """A setting is missing or malformed; `str()` is one sentence that names it."""


@dataclass(frozen=True)
class SmtpServer:
    """Where mail is handed over: `tls` is starttls, implicit or none."""

    host: str
    port: int
    tls: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Config:
    """What is in force. Secrets never show in its representation."""

    base_url: str = "http://localhost:8000"
    instance_path: Path = ROOT / "instance"
    database_url: str = field(default="", repr=False)
    smtp: SmtpServer | None = None
    mail_from: str | None = None
    mail_ambiguous: str = "resend"
    apps_dir: Path | None = None
    oauth_clients: Mapping[str, tuple[str, str | None]] = field(default_factory=dict, repr=False)
    egress_allow: tuple[Network, ...] = ()
    proxy_hops: int = 0
    worker: str = "embedded"
    secret_key: str | None = field(default=None, repr=False)
    vault_keys: str | None = field(default=None, repr=False)
    metrics_token: str | None = field(default=None, repr=False)
    argon2_light: bool = False  # tests only: the real parameters cost 0.1 s each
    demo: bool = False  # set by the demo command, never from the environment

    @property
    def https(self) -> bool:
        """Whether people reach this installation over https."""
        return self.base_url.startswith("https://")

    @property
    def host(self) -> str:
        """The host, with its port if it has one, that links and requests must carry."""
        return urlsplit(self.base_url).netloc

    @property
    def reaches_loopback(self) -> bool:
        """Whether outbound calls may stay on this machine, as in the demo and the tests; apps may then use plain http there."""
        return any(network.is_loopback for network in self.egress_allow)

    @property
    def keys_path(self) -> Path:
        """The folder of the key files."""
        return self.instance_path / "keys"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> "Config":
        """Read `GATEHOUSE_*`, each also as `GATEHOUSE_<NAME>_FILE`; raises ConfigError."""
        return _Reader(os.environ if environ is None else environ).config()


class _Reader:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ

    def get(self, name: str, default: str | None = None) -> str | None:
        """The setting's text, from the variable or from the file that `<NAME>_FILE` names."""
        full = PREFIX + name
        value, path = self.environ.get(full), self.environ.get(f"{full}_FILE")
        if value and path:
            raise ConfigError(f"{full} and {full}_FILE are both set: choose one.")
        if path:
            try:
                value = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is no text"
                raise ConfigError(f"{full}_FILE can't be read: {reason} ({path}).") from None
        return value or default

    def config(self) -> Config:
        instance = Path(self.get("INSTANCE_PATH") or ROOT / "instance").absolute()
        smtp = self.smtp()
        mail_from = self.get("MAIL_FROM")
        if smtp and not mail_from:
            raise ConfigError("GATEHOUSE_MAIL_FROM is required once GATEHOUSE_SMTP_URL is set.")
        if mail_from and not re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", mail_from):
            raise ConfigError("GATEHOUSE_MAIL_FROM must be one bare e-mail address.")
        return Config(
            base_url=self.base_url(),
            instance_path=instance,
            database_url=self.database_url(instance),
            smtp=smtp,
            mail_from=mail_from,
            mail_ambiguous=self.choice("MAIL_AMBIGUOUS", "resend", "hold"),
            apps_dir=self.apps_dir(instance),
            oauth_clients=self.oauth_clients(),
            egress_allow=self.networks(),
            proxy_hops=self.number("PROXY_HOPS", most=5),
            worker=self.choice("WORKER", "embedded", "external"),
            secret_key=self.secret_key(),
            vault_keys=self.get("VAULT_KEYS"),
            metrics_token=self.get("METRICS_TOKEN"),
        )

    def apps_dir(self, instance: Path) -> Path:
        text = self.get("APPS_DIR")
        if text and not Path(text).is_dir():
            raise ConfigError(f"GATEHOUSE_APPS_DIR is no folder: {text}.")
        return Path(text) if text else instance / "apps"

    def secret_key(self) -> str | None:
        key = self.get("SECRET_KEY")
        if key and len(key) < 32:
            raise ConfigError("GATEHOUSE_SECRET_KEY must have at least 32 characters.")
        return key

    def base_url(self) -> str:
        text = self.get("BASE_URL") or "http://localhost:8000"
        found = ORIGIN.fullmatch(text)
        try:
            host = urlsplit(text).hostname if found and urlsplit(text).port != 0 else None
        except ValueError:
            host = None
        if found is None or not host:
            raise ConfigError("GATEHOUSE_BASE_URL must be like https://access.example.com, without a path.")
        if text.startswith("http://") and not is_loopback(host):
            raise ConfigError("GATEHOUSE_BASE_URL must begin with https:// unless it is on this machine (localhost).")
        return found[1]

    def database_url(self, instance: Path) -> str:
        text = self.get("DATABASE_URL") or f"sqlite:///{instance / 'gatehouse.sqlite3'}"
        text = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", text)
        try:
            url = make_url(text)
        except (ArgumentError, ValueError):
            url = None
        if url is None or not text.startswith(("postgresql+psycopg://", "sqlite:///")):
            raise ConfigError(
                "GATEHOUSE_DATABASE_URL must be like postgresql://user:password@host/name or sqlite:////path."
            )
        return text

    def smtp(self) -> SmtpServer | None:
        text = self.get("SMTP_URL")
        if not text:
            return None
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise ConfigError("GATEHOUSE_SMTP_URL has a port that is no number.") from error
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise ConfigError("GATEHOUSE_SMTP_URL must be like smtp://user:password@host:587 or smtps://host:465.")
        tls = "implicit" if parts.scheme == "smtps" else "starttls"
        if parts.query == "tls=none":
            if not is_loopback(parts.hostname):
                raise ConfigError("GATEHOUSE_SMTP_URL may say tls=none only for a server on this machine.")
            tls = "none"
        elif parts.query:
            raise ConfigError("GATEHOUSE_SMTP_URL knows one option: tls=none.")
        return SmtpServer(
            parts.hostname,
            port or (465 if tls == "implicit" else 587),
            tls,
            unquote(parts.username) if parts.username else None,
            unquote(parts.password) if parts.password else None,
        )

    def choice(self, name: str, default: str, *others: str) -> str:
        value = self.get(name, default) or default
        if value not in (default, *others):
            raise ConfigError(f"{PREFIX}{name} must be {' or '.join((default, *others))}.")
        return value

    def number(self, name: str, *, most: int) -> int:
        text = self.get(name, "0") or "0"
        if not text.isascii() or not text.isdigit() or int(text) > most:
            raise ConfigError(f"{PREFIX}{name} must be a number from 0 to {most}.")
        return int(text)

    def networks(self) -> tuple[Network, ...]:
        try:
            return tuple(
                ipaddress.ip_network(part) for part in re.split(r"[,\s]+", self.get("EGRESS_ALLOW") or "") if part
            )
        except ValueError as error:
            raise ConfigError("GATEHOUSE_EGRESS_ALLOW must be networks like 10.1.0.0/16, apart by commas.") from error

    def oauth_clients(self) -> dict[str, tuple[str, str | None]]:
        names = [
            re.fullmatch(r"GATEHOUSE_OAUTH_([A-Z0-9_]+)_CLIENT_(ID|SECRET)(?:_FILE)?", name) for name in self.environ
        ]
        apps = {match[1] for match in names if match}
        clients = {}
        for app in sorted(apps):
            client_id = self.get(f"OAUTH_{app}_CLIENT_ID")
            if not client_id:
                raise ConfigError(f"GATEHOUSE_OAUTH_{app}_CLIENT_ID is missing: its secret is set.")
            clients[app.lower().replace("_", "-")] = (client_id, self.get(f"OAUTH_{app}_CLIENT_SECRET"))
        return clients


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine itself."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
