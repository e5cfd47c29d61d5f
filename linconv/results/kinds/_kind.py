"""What a kind of result is: how its files are planned, found, checked and made into rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import ValidationError

from linconv.catalogue._entry import Entry
from linconv.config import Config, ResolvedRun
from linconv.results.code import code_hash
from linconv.results.record import Record

K = TypeVar("K", bound=Hashable)
R = TypeVar("R", bound=Record)
TidyRows = dict[str, list[dict[str, Any]]]


class Kind(ABC, Generic[K, R]):
    """One kind of result. `K` identifies a file within an experiment, `R` is the record in it.

    `columns` are those of the CSV files that `rows` fills, by name. `grid_hash` of a record is `hash` of the
    configuration that it was made for.
    """

    name: ClassVar[str]
    columns: ClassVar[Mapping[str, list[str]]]
    missing = "not measured yet"

    def __init__(self, record: type[R]) -> None:
        self.record = record

    @abstractmethod
    def plan(self, config: Config) -> list[K]:
        """The results that a configuration asks for, the most informative first."""

    @abstractmethod
    def hash(self, config: Config, key: K) -> str:
        """16 hexadecimal digits that change with all that the configuration says about a result's values."""

    @abstractmethod
    def rows(self, results: Mapping[K, R]) -> TidyRows:
        """Tidy rows of the results, by name of the CSV file."""

    @abstractmethod
    def key_of(self, result: R) -> K:
        """The key of a result, as its file says it."""

    @abstractmethod
    def parts(self, config: Config, key: K) -> frozenset[Entry]:
        """The entries of the catalogue whose code decides the result, beside that of the measurement itself."""

    def fixed(self, key: K) -> Mapping[str, Any]:
        """Settings that decide the result although no configuration says them: a part of the code hash."""
        return {}

    def code_hash(self, config: Config, key: K) -> str:
        """16 hexadecimal digits that change with the code that decides the result."""
        return code_hash(self.name, self.parts(config, key), self.fixed(key))

    def identity(self, config: Config, key: K) -> dict[str, str]:
        """The fields of a record that say which configuration and which code it is of."""
        return {"grid_hash": self.hash(config, key), "code_hash": self.code_hash(config, key)}

    def hashes(self, config: Config) -> dict[K, str]:
        """`hash` of every planned result."""
        return {key: self.hash(config, key) for key in self.plan(config)}

    def hash_of(self, result: R) -> str:
        """The hash that the file says it was made for."""
        return str(result.grid_hash)  # type: ignore[attr-defined]

    def why_missing(self, root: Path, key: K) -> str:
        """What is said of a planned result in `root` that has neither a file nor a log."""
        return self.missing

    def path(self, key: K) -> Path:
        """The result file, relative to results/<experiment>/."""
        return Path(self.name, f"{key}.json")

    def log(self, key: K) -> Path:
        """The log that the pipeline writes, relative to results/<experiment>/."""
        return Path("logs", self.path(key).with_suffix(".log"))


def resolved(config: dict[str, Any], config_hash: str) -> ResolvedRun:
    """The run that a record describes.

    Raises:
        ValueError: it describes none, or another one than the hash is of.
    """
    try:
        run = ResolvedRun.model_validate(config)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(("config", *map(str, first["loc"])))
        raise ValueError(f"{field}: {first['msg']}") from None
    if run.hash != config_hash:
        raise ValueError(f"config_hash is {config_hash}, the hash of config is {run.hash}")
    return run
