"""Which code decides a result, and a hash of it.

The code of a result is the import closure of the module that makes it: what that module imports, what those modules
import, and so on. `EXCEPTIONS` are not entered. What is named by a string in the catalogue is no import: a result adds
the modules of the network, data set, method and so on that it uses, so a new method leaves all other results valid.
Of a method of another package, all modules of the package count, and those that these import of the same distribution
or, of no distribution, of the same folder. What is imported by a name that is computed is not seen.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from linconv.catalogue._entry import Entry
from linconv.catalogue.measurements import MEASUREMENTS
from linconv.config.errors import UserError
from linconv.results.other_packages import all_files, belong_together, find
from linconv.results.syntax import syntax_text

PACKAGE = Path(__file__).resolve().parent.parent

# Packages whose code decides no measured value, each with the reason; and modules of them that do.
EXCEPTIONS = {
    "linconv.config": "a result holds its resolved configuration, which has a hash of its own",
    "linconv.catalogue": "the entries in use are hashed one by one",
    "linconv.measure.origin": "writes the provenance of a result",
    "linconv.results": "reads, writes and describes values that other modules measure",
}
COUNTED = {
    "linconv.config.rules": "rounds shares of filters to numbers of filters",
    "linconv.config.trials": "makes the trials of a search for a learning rate, and chooses among them",
}

# What is made of results: cheap to repeat, so nothing is left out. Kinds are loaded by their names in the catalogue.
STAGES = {
    "collect": ("linconv.results.collect", "linconv.results.kinds"),
    "report": ("linconv.report", "linconv.results.kinds"),
}

_DATA = {".csv", ".mplstyle", ".j2", ".css", ".js"}


def code_hash(kind: str, parts: Iterable[Entry] = (), fixed: Mapping[str, Any] | None = None) -> str:
    """16 hexadecimal digits that change with the code of a kind of result, but not with comments and docstrings.

    Args:
        kind: a measurement of the catalogue, or one of `STAGES`.
        parts: the entries in use, see `linconv.config.parts`.
        fixed: settings that the code decides, as JSON-able values.
    """
    return _code_hash(kind, frozenset(parts), json.dumps(fixed, sort_keys=True) if fixed else "")


@functools.cache
def _code_hash(kind: str, parts: frozenset[Entry], fixed: str) -> str:
    return source_code().hash(kind, parts, fixed)


@functools.cache
def source_code() -> SourceCode:
    """The code of this installation."""
    return SourceCode(PACKAGE)


def forget() -> None:
    """Read the files again at the next call: for tests that change them."""
    source_code.cache_clear()
    _code_hash.cache_clear()


class SourceCode:
    """The files of the package in a folder named `linconv`, and of packages that bring methods; each is read once."""

    def __init__(self, package: Path) -> None:
        self.package = package
        self._trees: dict[Path, ast.Module] = {}
        self._digests: dict[Path, bytes] = {}
        self._imports: dict[str, frozenset[str]] = {}
        self._data_of: dict[Path, list[Path]] = {}

    def hash(self, kind: str, parts: Iterable[Entry] = (), fixed: str = "") -> str:
        """See `code_hash`."""
        digest = hashlib.sha256(fixed.encode())
        for name, path in self.files(kind, parts):
            digest.update(f"{name}\0".encode() + self._digest(path))
        for part in sorted(parts, key=lambda part: (type(part).__name__, part.name)):
            digest.update(f"{type(part).__name__} {part.identity()}\0".encode())
        return digest.hexdigest()[:16]

    def files(self, kind: str, parts: Iterable[Entry] = ()) -> list[tuple[str, Path]]:
        """Name and path of every file that decides a result of a kind, sorted by name.

        Raises:
            UserError: a method of another package cannot be found.
        """
        outside: dict[str, Path] = {}
        if kind in STAGES:
            roots = [root for stage in STAGES[kind] for root in (stage, *self._below(stage))]
            modules = self.closure(roots, exceptions=())
        else:
            roots = [MEASUREMENTS[kind].module]
            for part in parts:
                if part.module.startswith("linconv."):
                    roots.append(part.module)
                else:
                    files, used = self._outside(part)
                    outside |= files
                    roots += used
            modules = self.closure(roots, exceptions=EXCEPTIONS)
        found = {path.relative_to(self.package).as_posix(): path for module in modules for path in self._files(module)}
        return sorted((found | outside).items())

    def closure(self, roots: Iterable[str], exceptions: Iterable[str] = ()) -> set[str]:
        """The modules of this package that `roots` import, directly or not, themselves included."""
        refused = tuple(exceptions)
        found: set[str] = set()
        waiting = list(roots)
        while waiting:
            module = waiting.pop()
            excepted = any(module == name or module.startswith(f"{name}.") for name in refused)
            if module in found or (excepted and module not in COUNTED):
                continue
            found.add(module)
            waiting += self.imports(module)
        return found

    def imports(self, module: str) -> frozenset[str]:
        """The modules of this package that a module imports anywhere in its code, but not for type checkers alone.

        A name that a package only passes on counts as the module that defines it.
        """
        if module not in self._imports:
            tree = self._tree(self.path(module))
            self._imports[module] = frozenset(
                found
                for source, name in _imported(tree, module, self._is_package(module))
                for found in self._defining(source, name)
            )
        return self._imports[module]

    def path(self, module: str) -> Path:
        """The file of a module of this package."""
        place = self.package.joinpath(*module.split(".")[1:])
        return package if (package := place / "__init__.py").exists() else place.with_suffix(".py")

    def _defining(self, module: str, name: str | None) -> Iterator[str]:
        """The modules behind `from module import name` (None: `import module`)."""
        if module.partition(".")[0] != self.package.name:
            return
        if name is not None and self.path(f"{module}.{name}").exists():
            yield f"{module}.{name}"
            return
        if name is None or not self._is_package(module):
            yield module
            return
        passed_on = {
            alias.asname or alias.name: (node.module or "", alias.name)
            for node in ast.walk(self._tree(self.path(module)))  # also what is imported when it is first used
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        if name in passed_on:
            yield from self._defining(*passed_on[name])
        else:
            yield module

    def _outside(self, part: Entry) -> tuple[dict[str, Path], set[str]]:
        """The files of an entry of another package, and the modules of this package that they import."""
        own = part.module.partition(".")[0]
        files: dict[str, Path] = {}
        used: set[str] = set()
        seen = {own}
        waiting = [own]
        while waiting:
            spec = find(waiting.pop())
            found = {} if spec is None else all_files(spec)
            files |= found
            imported = {pair for name, path in found.items() for pair in self._imported_by(name, path)}
            known = {module for source, name in imported for module in self._defining(source, name)}
            used |= {module for module in known if self.path(module).exists()}  # of this version
            others = {source.partition(".")[0] for source, _ in imported} - seen - sys.stdlib_module_names - {""}
            seen |= others
            waiting += [other for other in others - {self.package.name} if belong_together(own, other)]
        if not files:
            raise UserError(
                f"the method '{part.name}' is {part.module}, which cannot be found; install its package again"
            )
        return files, used

    def _imported_by(self, name: str, path: Path) -> Iterator[tuple[str, str | None]]:
        """What a file of another package imports, as `_imported`; nothing where it is no source that can be read."""
        module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        if path.suffix == ".py" and (tree := self._parsed(path)) is not None:
            yield from _imported(tree, module, path.name == "__init__.py")

    def _is_package(self, module: str) -> bool:
        return self.path(module).name == "__init__.py"

    def _below(self, module: str) -> Iterator[str]:
        """The modules in a package, at any depth."""
        if self._is_package(module):
            folder = self.path(module).parent
            for path in folder.rglob("*.py"):
                parts = path.relative_to(self.package.parent).with_suffix("").parts
                yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def _files(self, module: str) -> Iterator[Path]:
        """A module's file, and what it may read: the files of data below its package's folder."""
        path = self.path(module)
        yield path
        if path.parent != self.package:
            yield from self._data(path.parent)

    def _data(self, folder: Path) -> list[Path]:
        if folder not in self._data_of:
            self._data_of[folder] = [path for path in folder.rglob("*") if path.suffix in _DATA]
        return self._data_of[folder]

    def _tree(self, path: Path) -> ast.Module:
        if path not in self._trees:
            self._trees[path] = ast.parse(path.read_bytes(), filename=str(path))
        return self._trees[path]

    def _parsed(self, path: Path) -> ast.Module | None:
        """The tree of a module, None where this Python cannot read it, as of a template or for another version."""
        try:
            return self._tree(path)
        except (SyntaxError, ValueError):
            return None

    def _digest(self, path: Path) -> bytes:
        if path not in self._digests:
            tree = self._parsed(path) if path.suffix == ".py" else None
            content = path.read_bytes() if tree is None else syntax_text(tree).encode()
            self._digests[path] = hashlib.sha256(content).digest()
        return self._digests[path]


def _imported(tree: ast.AST, module: str, is_package: bool) -> Iterator[tuple[str, str | None]]:
    """What a module imports, as (module, name) pairs; the blocks `if TYPE_CHECKING:` left out."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and _name(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                above = module.split(".")[: len(module.split(".")) - node.level + is_package]
                source = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((source, alias.name) for alias in node.names)
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):  # where statements are
            waiting += getattr(node, block, ())


def _name(node: ast.expr) -> str:
    """The last word of a dotted name; "" for any other expression."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
