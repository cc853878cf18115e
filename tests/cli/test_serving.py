"""A port that is taken, a host that is not ours: said in one line, before anything is touched."""

import socket
import subprocess
import sys

import click
import pytest

from app.cli import serving
from tests.support.processes import LOOPBACK, ROOT, environment, free_port


@pytest.fixture
def taken():
    with socket.create_server((LOOPBACK, 0)) as other:
        yield other.getsockname()[1]


def flask(*args, **env):
    return subprocess.run(
        [sys.executable, "-m", "flask", *args],
        cwd=ROOT,
        env=environment(**env),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["PORT", "SANDBOX_PORT"])
def test_demo_names_another_port_when_one_is_taken_and_forgets_nothing(taken, tmp_path, name):
    kept = tmp_path / "demo" / "kept"
    kept.parent.mkdir()
    kept.touch()
    ports = {"PORT": str(free_port()), "SANDBOX_PORT": str(free_port())} | {name: str(taken)}

    done = flask("demo", "--reset", GATEHOUSE_INSTANCE_PATH=str(tmp_path), **ports)

    other = taken + 10 if taken <= 65525 else taken - 10
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"Error: Port {taken} is taken: try {name}={other} make demo\n"
    assert list(kept.parent.iterdir()) == [kept]


def test_serve_names_another_port_when_one_is_taken(taken, app):
    result = app.test_cli_runner().invoke(args=["serve", "--port", str(taken)])

    other = taken + 10 if taken <= 65525 else taken - 10
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"Error: Port {taken} is taken: try flask serve --port {other}\n"


@pytest.mark.parametrize("host", ["192.0.2.1", "nowhere.invalid"])
def test_listen_says_in_one_line_why_it_can_not(host):
    with pytest.raises(click.ClickException, match=rf"^{host}:8000 can't be listened on: .+\.$"):
        serving.listen(host, 8000, instead=str)


def test_listen_serves_every_address_of_a_host():
    port = free_port()
    listeners = serving.listen("localhost", port, instead=str)

    for listener in listeners:
        with listener, socket.create_connection(listener.getsockname()[:2], timeout=5):
            assert listener.getsockname()[1] == port
