"""Reading a result file: whole, unchanged since it was written, and valid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from linconv.results.integrity import DIGEST, parse, record_digest
from linconv.results.record import SCHEMA_VERSION, Record, ResultError, unreadable

R = TypeVar("R", bound=Record)


def read_result(path: str | Path, kind: type[R]) -> R:
    """Read and check one result file.

    Raises:
        ResultError: the file is missing, damaged, of another kind, or written by a newer version.
        UnreadableError: the system does not give it.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise unreadable(path, error) from None
    except UnicodeDecodeError as error:
        raise _damaged(path, "file", f"is no UTF-8 text ({error.reason} at byte {error.start})") from None
    try:
        values = parse(text)
    except ValueError as error:
        raise _damaged(path, "file", f"Invalid JSON: {error}") from None
    version = values.get("schema_version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise ResultError(
            f"{path}: schema_version: written by a newer linconv (schema {version}; this one reads up to "
            f"{SCHEMA_VERSION}); update linconv"
        )
    wanted = kind.model_fields["kind"].default if "kind" in kind.model_fields else None
    other = isinstance(values, dict) and values.get("kind", wanted) != wanted
    if other and values.get(DIGEST) == record_digest(values):
        raise ResultError(
            f"{path}: kind: holds a result of the kind '{values['kind']}', and '{wanted}' is expected; name a file of "
            "that kind"
        )
    content = {k: v for k, v in values.items() if k != DIGEST} if isinstance(values, dict) else values
    try:
        result = kind.model_validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise _damaged(
            path, ".".join(map(str, first["loc"])) or "file", first["msg"].removeprefix("Value error, ")
        ) from None
    if values.get(DIGEST) != record_digest(values):
        raise _damaged(path, DIGEST, "the file is not as it was written")
    return result


def _damaged(path: Path, field: str, reason: str) -> ResultError:
    return ResultError(f"{path}: {field}: {reason}; delete the file to have it made again")
