"""What the commands of `linconv measure` share: what is measured, where, and how it is shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from linconv.catalogue.measurements import MEASUREMENTS
from linconv.cli.options import command_line, log_to, one_model, read_config, require_known, seconds
from linconv.config import Config, ConfigError, parse_config
from linconv.results import write_result
from linconv.results.kinds import COLUMNS, KINDS
from linconv.stopping import INTERRUPTED


def is_planned(config: Path | None, architecture: str | None) -> bool:
    """Whether a configuration says what to measure; else one network is named."""
    if (config is None) == (architecture is None):
        raise ConfigError("give either --config FILE or --architecture NAME")
    return config is not None


def measure_missing(
    name: str,
    config: Path | None,
    results: Path,
    *,
    only: list[str] | None = None,
    budget: str | None = None,
    threads: int | None = None,
    log: Path | None = None,
    show: str | None = "",
) -> dict[Any, Any]:
    """Make what a configuration asks for and lacks, and show all of it; returns the results that are there then."""
    assert config is not None
    log_to(log)
    settings = read_config(config)
    kind, root = KINDS[name], results / settings.experiment
    if not kind.plan(settings):
        raise ConfigError(f"{config}: {name}: missing; `{name}: {{}}` asks for it")
    require_known(only or (), [str(key) for key in kind.plan(settings)], name)
    limit = None if budget is None else seconds(budget)
    with reserved_device(name, settings) as device:
        from linconv.measure.planned import measure_planned
        from linconv.results.planned import read_planned

        left = measure_planned(
            name,
            settings,
            root,
            device=device,
            threads=threads,
            command=command_line(),
            only=only,
            budget_seconds=limit,
        )
        found, _ = read_planned(kind, settings, root)
    if show is not None:
        show_rows(name, found, show)
    if left:
        raise typer.Exit(INTERRUPTED)
    return found


def measure_here(
    name: str,
    settings: Config,
    device: str,
    threads: int | None,
    output: Path | None,
    show: str | None = "",
) -> dict[Any, Any]:
    """Measure what `settings` asks for and show it; it is written where `output` says, and nowhere else."""
    found = {}
    with reserved_device(name, settings.model_copy(update={"device": device})) as held:
        for key in KINDS[name].plan(settings):
            measure = MEASUREMENTS[name].load()
            found[key] = measure(settings, key, device=held, threads=threads, command=command_line())
            if output is not None:
                write_result(output / f"{key}.json" if name == "throughput" else output, found[key])
    if show is not None:
        show_rows(name, found, show)
    return found


@contextmanager
def reserved_device(name: str, settings: Config) -> Iterator[str]:
    """The device of the configuration, reserved where the measurement uses it."""
    if not MEASUREMENTS[name].on_device:
        yield "cpu"
        return
    from linconv.devices import device_slot

    with device_slot(settings.device, 1 if MEASUREMENTS[name].alone else settings.runs_per_gpu) as held:
        yield held


def one_block(architecture: str | None, variant: str, batch: int, block: str, options: Mapping[str, Any]) -> Config:
    """A configuration that asks for one measurement of one network."""
    grid = {"architectures": [architecture], "variants": [variant], "batches": [batch]}
    return one_model(str(architecture), variant, "3x32x32", 10, batch, {block: {**grid, **options}})


def with_block(settings: Config, block: str, options: Mapping[str, Any]) -> Config:
    """The configuration with another block of options."""
    raw = settings.model_dump(mode="json", exclude_unset=True) | {block: dict(options)}
    return parse_config(raw, "command line")


def show_rows(name: str, found: Mapping[Any, Any], rows_of: str) -> None:
    from linconv.measure.text import rows_text

    rows_of = rows_of or next(iter(KINDS[name].columns))
    typer.echo(rows_text(COLUMNS[rows_of], KINDS[name].rows(found)[rows_of]), nl=False)
