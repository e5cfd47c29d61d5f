"""A configuration as the text of a file that is published with its results."""

from __future__ import annotations

import yaml

from linconv.config.schema import Config


def config_text(config: Config, *, defaults: bool = False) -> str:
    """YAML that gives the same configuration, without `data_root`: where one machine keeps its data is no part of it.

    Args:
        defaults: write what the file left out too.
    """
    values = config.model_dump(mode="json", exclude={"data_root"}, exclude_unset=not defaults)
    return yaml.safe_dump(values, sort_keys=False)
