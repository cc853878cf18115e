"""Makes the stylesheet of client pages small: of Bootstrap only the rules for classes that the sources mention at all."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
WORD = re.compile(r"[\w-]+")
NEGATION = re.compile(r":not\([^)]*\)")
CLASS = re.compile(r"\.([A-Za-z][\w-]*)")
COMMA = re.compile(r",(?![^(]*\))")
BRACE = re.compile(r"[{}]")
GROUPS = ("@media", "@supports")


def words_in(paths: Iterable[Path]) -> frozenset[str]:
    """Every word of some source files: a class that is used anywhere is among them."""
    return frozenset(word for path in paths for word in WORD.findall(path.read_text(encoding="utf-8")))


def minified(css: str) -> str:
    """The same rules without comments and line breaks."""
    return re.sub(r"\s+", " ", COMMENT.sub("", css))


def used_only(css: str, words: frozenset[str]) -> str:
    """The rules that can apply where no other classes than these occur. Expects minified CSS without nested rules."""
    return "".join(_kept(COMMENT.sub("", css), words))


def _kept(css: str, words: frozenset[str]) -> Iterator[str]:
    for prelude, body in _blocks(css):
        if prelude.startswith(GROUPS):
            inner = "".join(_kept(body, words))
            kept = prelude if inner else ""
        elif prelude.startswith("@"):
            kept, inner = prelude, body
        else:
            kept, inner = ",".join(part for part in COMMA.split(prelude) if _applies(part, words)), body
        if kept:
            yield f"{kept}{{{inner}}}"


def _applies(selector: str, words: frozenset[str]) -> bool:
    return all(name in words for name in CLASS.findall(NEGATION.sub("", selector)))


def _blocks(css: str) -> Iterator[tuple[str, str]]:
    depth = start = opened = 0
    for brace in BRACE.finditer(css):
        at = brace.start()
        if css[at] == "{":
            opened = opened if depth else at
            depth += 1
            continue
        depth -= 1
        if not depth:
            yield css[start:opened].rsplit(";", 1)[-1].strip(), css[opened + 1 : at]
            start = at + 1
