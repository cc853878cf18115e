"""An installation with blobs of every kind, and its keys' commands."""

import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine

from app.cli.vault import command
from tests.cli.vault_commands import EACH
from tests.support import sealed_goods


@pytest.fixture
def goods(config):
    return sealed_goods.installed(config, each=EACH)


@pytest.fixture
def run(config, monkeypatch):
    """Run it as the installation's operator would; no command waits in vain here."""
    monkeypatch.setattr("app.cli.vault.LOOKS", 0)

    def run(*args, **more):
        env = sealed_goods.settings(config) | {f"GATEHOUSE_{name}": value for name, value in more.items()}
        return CliRunner().invoke(command, args, env=env)

    return run


@pytest.fixture
def engine(config):
    engine = create_engine(config.database_url)
    yield engine
    engine.dispose()
