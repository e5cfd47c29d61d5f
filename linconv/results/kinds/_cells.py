"""What the measurements on random images share: each file is of one cell of the grid that their options span."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from linconv.catalogue._entry import Entry
from linconv.config import PRESETS, Config
from linconv.config.parts import grid_parts
from linconv.config.runs import digest
from linconv.config.variants import Variant
from linconv.results.kinds._kind import K, Kind, R


class GridKind(Kind[K, R]):
    """A kind whose options are the field of the configuration with its name.

    `key` is the tuple of names that says which cell a file is of, every name a field of the record. `lists` are the
    options that only span the grid: they decide which files there are, and no value in them.
    """

    key: ClassVar[type[Any]]
    lists: ClassVar[frozenset[str]]
    trains = True  # the calls may be training steps, so the recipe of the network decides the values too

    def options(self, config: Config) -> Any:
        """What the configuration says about the measurement, None where it asks for none."""
        return getattr(config, self.name)

    def hash(self, config: Config, key: K) -> str:
        options, variants = self.options(config), self._variants(config, key)
        how = options.formerly_spelled(options.model_dump(mode="json", exclude=set(self.lists)))
        if "variants" in self.lists:
            (variant,) = variants.values()
            return digest({"how": how, "variant": variant.identity()})
        return digest({"how": how, "variants": {name: variant.identity() for name, variant in variants.items()}})

    def parts(self, config: Config, key: K) -> frozenset[Entry]:
        return grid_parts([_value(key, "architecture")], self._variants(config, key).values())

    def fixed(self, key: K) -> Mapping[str, Any]:
        return {"recipe": PRESETS["paper"][_value(key, "architecture")].identity()} if self.trains else {}

    def key_of(self, result: R) -> K:
        return self.key(*(getattr(result, name) for name in self.key._fields))

    def _variants(self, config: Config, key: K) -> dict[str, Variant]:
        """The variants that are measured for one file: the one in its key, or all."""
        names = [_value(key, "variant")] if "variants" in self.lists else self.options(config).variants
        return {name: config.known_variants[name] for name in names}


def _value(key: Any, name: str) -> str:
    return str(getattr(key, name))
