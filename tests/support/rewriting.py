"""Modules of the application loaded from a source that is changed on the way; what is cached of them is left alone."""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType, ModuleType

Rewrite = Callable[[str], str]
Choose = Callable[[str, Path], Rewrite | None]


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, rewrite: Rewrite) -> None:
        super().__init__(name, path)
        self._rewrite = rewrite

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        source = importlib.util.decode_source(self.get_data(path))
        return compile(self._rewrite(source), path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, choose: Choose) -> None:
        self._choose = choose

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] != "app":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None:
            return None
        rewrite = self._choose(fullname, Path(spec.origin))
        if rewrite is None:
            return None
        spec.loader = _Loader(fullname, spec.origin, rewrite)
        return spec


def install(choose: Choose) -> None:
    """Have the application loaded as `choose` says of each module and its file; before any of it is."""
    if "app" in sys.modules:
        raise RuntimeError("The application is loaded already.")
    sys.meta_path.insert(0, _Finder(choose))
