"""A folder in the place of a mail server."""

import pytest

from app.mailer.transports import FolderTransport
from tests.mailer.handing import ANN, MAIL, SENDER


def test_folder_keeps_each_mail_as_a_file_and_the_same_mail_once(tmp_path):
    folder = FolderTransport(tmp_path / "mail")
    other = MAIL.replace(b"Hello", b"Again")

    with folder.open() as carrier:
        for content in (MAIL, MAIL, other):
            carrier.deliver(SENDER, ANN, lambda content=content: content)

    assert [message["Subject"] for _name, message in folder.messages()] == ["Again", "Hello"]
    assert sorted(path.read_bytes() for path in folder.path.iterdir()) == sorted([MAIL, other])
    assert folder.path.stat().st_mode & 0o777 == 0o700


def test_folder_writes_nothing_when_the_content_is_withheld(tmp_path):
    folder = FolderTransport(tmp_path / "mail")

    def withheld():
        raise KeyError

    with folder.open() as carrier, pytest.raises(KeyError):
        carrier.deliver(SENDER, ANN, withheld)

    assert list(folder.path.iterdir()) == []
