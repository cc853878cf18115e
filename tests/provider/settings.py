"""The Django settings of the provider, made from the command line's options."""

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.provider.registry import pkce_required

HERE = Path(__file__).parent
# What RFC 9700 asks of a server today, all of it switched on.
STRICT = {
    f"COMPLIANT_BCP_RFC9700_{name}": True
    for name in (
        "IMPLICIT_GRANT",
        "PASSWORD_GRANT",
        "PKCE_METHOD",
        "ACCESS_TOKEN_TRANSPORT",
        "AUTHZ_RESPONSE_ISS",
        "TOKEN_STORAGE",
        "REFRESH_TOKEN",
    )
}


def settings(*, folder: Path, issuer: str, access_seconds: int) -> dict[str, Any]:
    """Return the settings for a provider that keeps its database in `folder` and calls itself `issuer`."""
    return {
        "SECRET_KEY": "only a test's",
        "ALLOWED_HOSTS": ["127.0.0.1", "localhost"],
        "ROOT_URLCONF": "tests.provider.urls",
        "INSTALLED_APPS": [
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "oauth2_provider",
        ],
        "MIDDLEWARE": [
            "tests.provider.record.record_and_misbehave",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        "TEMPLATES": [
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "DIRS": [HERE / "templates"],
                "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
            }
        ],
        "DATABASES": {
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": folder / "provider.sqlite3",
                "OPTIONS": {
                    "transaction_mode": "IMMEDIATE",
                    "timeout": 20,
                    "init_command": "PRAGMA journal_mode=wal; PRAGMA synchronous=off;",
                },
            }
        },
        # Tables straight from the models: nothing to migrate in a database that is minutes old.
        "MIGRATION_MODULES": dict.fromkeys(("auth", "contenttypes", "sessions", "oauth2_provider")),
        "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],
        "SESSION_COOKIE_NAME": "provider_session",
        "CSRF_COOKIE_NAME": "provider_csrf",
        "LOGIN_URL": "/login/",
        "USE_TZ": True,
        "OAUTH2_PROVIDER": {
            **STRICT,
            "OIDC_ENABLED": True,
            "OIDC_ISS_ENDPOINT": issuer,
            "OIDC_RSA_PRIVATE_KEY": _fresh_key(),
            "OIDC_RESPONSE_TYPES_SUPPORTED": ["code"],
            "OAUTH2_VALIDATOR_CLASS": "tests.provider.policy.Validator",
            "SCOPES_BACKEND_CLASS": "tests.provider.policy.Scopes",
            "PKCE_REQUIRED": pkce_required,
            "ACCESS_TOKEN_EXPIRE_SECONDS": access_seconds,
            "ROTATE_REFRESH_TOKEN": True,
            "REFRESH_TOKEN_REUSE_PROTECTION": True,
        },
    }


def _fresh_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
