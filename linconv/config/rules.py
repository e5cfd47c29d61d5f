"""What the value of a layer's option may be. Each rule is written once: configuration and layers check the same one.

An option is declared with its type, its rule and its default, `rank: Rank = 0.5`; `Rank` is
`Annotated[int | float, Rule(...)]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Annotated, Any, Literal

if TYPE_CHECKING:
    from pydantic_core import core_schema


@dataclass(frozen=True)
class Rule:
    """What a value may be: `wanted` says it in words after "must be", `holds` tests a value of any type."""

    wanted: str
    holds: Callable[[Any], bool]

    def check(self, name: str, value: Any) -> None:
        """Raise ValueError, with the option's name and the value, unless the value holds."""
        if not self.holds(value):
            raise ValueError(f"{name} must be {self.wanted}, not {value!r}")

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        """How pydantic applies the rule to a field; its messages already name the key and the value."""
        from pydantic_core import core_schema  # here, so that the layers need no pydantic

        def validate(value: Any) -> Any:
            if not self.holds(value):
                raise ValueError(f"must be {self.wanted}")
            return value

        return core_schema.no_info_after_validator_function(validate, handler(source))


def is_int(value: Any) -> bool:
    """Whether a value is an integer of any type, numpy's included; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a value is a finite number of any type; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _is_rank(value: Any) -> bool:
    return is_number(value) and (value >= 1 if is_int(value) else 0 < value <= 1)


def at_least(least: int) -> Rule:
    """The rule of an integer that has a least value."""
    return Rule(f"an int of at least {least}", lambda value: is_int(value) and value >= least)


Mode = Literal["weight", "feature", "auto"]
Init = Literal["paper", "variance_preserving"]
Count = Annotated[int, at_least(1)]
Positive = Annotated[float, Rule("a number above 0", lambda value: is_number(value) and value > 0)]
Share = Annotated[float, Rule("a number in (0, 1)", lambda value: is_number(value) and 0 < value < 1)]
Rank = Annotated[int | float, Rule("an int of at least 1 or a float in (0, 1]", _is_rank)]


def share_of(share: float, total: int) -> int:
    """floor(share * total), not fooled by a product such as 0.29 * 100 = 28.999999999999996."""
    return math.floor(share * total + 1e-9)


def rank_of(rank: int | float, total: int) -> int:
    """The rank, from 1 to `total`, that a `Rank` means for so many filters or channels; a float is a share of them."""
    return min(total, int(rank) if is_int(rank) else max(1, share_of(rank, total)))


def check_size(size: object, argument: str) -> None:
    """Raise ValueError for what is no size of an image."""
    sizes = tuple(size) if isinstance(size, tuple | list) else ()
    if len(sizes) != 3 or not all(is_int(number) and number >= 1 for number in sizes):
        raise ValueError(f"{argument} must be (channels, height, width) of one image, not {size!r}")
