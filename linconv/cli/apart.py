"""The configuration of the pipeline, checked whole by a process that imports no torch."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from linconv.config import Config, ConfigError, merged_config
from linconv.config.load import placed
from linconv.config.parts import variant_parts
from linconv.config.reading import read_yaml
from linconv.config.runs import digest
from linconv.config.variants import needs_check
from linconv.results.code import code_hash
from linconv.results.files import write_text


def checked_config(values: Mapping[str, Any], files: Sequence[str], memory: Path | None) -> Config:
    """Check all that can be wrong with what Snakemake has read from `files`, with values laid over them.

    Args:
        memory: remembers which options were sound; None leaves the options of methods unchecked.

    Raises:
        ConfigError: it does not describe an experiment, or a method refuses an option.
    """
    settings = merged_config(values, files)
    if memory is not None and (problem := check_options_apart(settings, memory)):
        lines = read_yaml(files[0]).lines if len(files) == 1 else {}
        raise ConfigError(placed(problem, ", ".join(files) or "configuration", lines))
    return settings


def check_options_apart(settings: Config, memory: Path) -> str | None:
    """What is wrong with an option of a method, in a line that begins with its key; None where nothing is.

    Args:
        memory: a folder that remembers what was found sound, so that the same options are checked once.
    """
    if not needs_check(settings.known_variants):
        return None
    variants = {name: variant.identity() for name, variant in settings.known_variants.items()}
    parts = frozenset().union(*(variant_parts(variant) for variant in settings.known_variants.values()))
    sound = memory / f"options-{digest({'variants': variants, 'code': code_hash('complexity', parts)})}"
    if sound.exists():
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.yaml")
        path.write_text(yaml.safe_dump(settings.model_dump(mode="json", exclude_unset=True)), encoding="utf-8")
        command = [sys.executable, "-m", "linconv.cli", "config", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if done.returncode == 0:
            write_text(sound, "")
            return None
        last = (done.stderr.strip().splitlines() or [f"{' '.join(command)} ended with {done.returncode}"])[-1]
        _, _, message = last.rpartition(f"{path}:")
        return message.partition(": ")[2] if message[:1].isdigit() else message.strip()
