"""A result file as text: JSON with a digest over its own content, and the checks of that text."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

DIGEST = "digest"


def record_digest(values: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of `values` without their own digest."""
    content = {name: value for name, value in values.items() if name != DIGEST}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def sealed_text(values: Mapping[str, Any]) -> str:
    """Indented JSON of `values` with their digest as the last field.

    Raises:
        ValueError: a number is not finite, which JSON cannot say.
    """
    sealed = {**values, DIGEST: record_digest(values)}
    return json.dumps(sealed, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def parse(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: the text is not JSON, names a key twice, or holds a number that is not finite.
    """
    try:
        return json.loads(text, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_without_duplicates)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is out of range")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands there twice")
    return values
