"""A secret hides itself wherever text is made of it."""

import copy
import json
import logging
import pickle
import traceback

import pytest

from app.vault import Masked

SECRET = Masked("hush-hush")


@pytest.mark.parametrize(
    "shown",
    [
        repr(SECRET),
        str(SECRET),
        f"{SECRET}",
        f"{SECRET!r:>40}",
        f"{SECRET:>40}",
        "%s %r" % (SECRET, SECRET),  # noqa: UP031 - one more way
        "{} {!r}".format(SECRET, SECRET),  # noqa: UP032
        repr({"token": SECRET}),
        repr([SECRET]),
        str(Exception(SECRET)),
        ", ".join(map(str, [SECRET])),
    ],
)
def test_it_shows_as_dots(shown):
    assert "hush" not in shown
    assert "•" in shown


def fail(token):
    raise ValueError(token)


def test_it_is_in_no_log_and_no_traceback(caplog):
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").warning("The token is %s", SECRET, extra={"token": SECRET})
        try:
            fail(SECRET)
        except ValueError:
            logging.getLogger("test").exception("It failed")
            shown = traceback.format_exc()

    assert "hush" not in caplog.text + shown


@pytest.mark.parametrize("give", [json.dumps, pickle.dumps, copy.deepcopy, lambda it: json.dumps({"a": [it]})])
def test_it_is_not_serialised(give):
    with pytest.raises(TypeError):
        give(SECRET)


def test_it_has_no_readable_attributes():
    with pytest.raises(TypeError):
        vars(SECRET)
    with pytest.raises(TypeError):
        hash(SECRET)


def test_it_can_be_compared_and_opened():
    assert SECRET.reveal() == "hush-hush"
    assert Masked("hush-hush") == SECRET
    assert Masked("other") != SECRET
    assert SECRET != "hush-hush"
    assert Masked("ü") != Masked("u")
    assert bool(SECRET)
    assert not Masked("")
