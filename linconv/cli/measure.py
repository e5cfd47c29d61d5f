"""Measurements of networks: counts, times, profiles, correctness, sensitivity."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import yaml

from linconv.catalogue.datasets import DATASETS
from linconv.catalogue.networks import NETWORKS
from linconv.cli.options import command_line, log_to, one_model, read_config, require_known, seconds
from linconv.config import Config, ConfigError
from linconv.config.errors import INTERRUPTED
from linconv.results import write_result
from linconv.results.kinds import COLUMNS, KINDS

ConfigOption = Annotated[Path | None, typer.Option(help="measure what this configuration asks for", show_default=False)]
ResultsFolder = Annotated[Path, typer.Option(help="with --config: folder that holds the experiments' folders")]
Only = Annotated[
    list[str] | None, typer.Option(help="with --config: this result alone; may be repeated", show_default=False)
]
Budget = Annotated[str | None, typer.Option(help="with --config: begin nothing after that long, such as 90s, 20m, 1h")]
Architecture = Annotated[str | None, typer.Option(help=f"one network: {', '.join(NETWORKS)}", show_default=False)]
VariantOption = Annotated[str, typer.Option(help="with --architecture: a variant")]
Batch = Annotated[int, typer.Option(min=1, help="with --architecture: images per call")]
ChannelsLast = Annotated[bool, typer.Option(help="with --architecture: memory layout")]
Rounds = Annotated[int, typer.Option(min=3, help="with --architecture: samples of every arm")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; all cores by default", show_default=False)]
DeviceOption = Annotated[str, typer.Option(help="with --architecture: cpu, cuda, or auto")]
Output = Annotated[Path | None, typer.Option(help="with --architecture: write the result file (JSON) there")]
Log = Annotated[Path | None, typer.Option(help="write plain lines there")]

app = typer.Typer(help="Measure networks; results that are there are not made again.", no_args_is_help=True)


@app.command("complexity")
def measure_complexity(
    config: ConfigOption = None,
    results: ResultsFolder = Path("results"),
    architecture: Architecture = None,
    variant: VariantOption = "conv",
    input: Annotated[str, typer.Option(help="with --architecture: channels x height x width")] = "3x32x32",
    classes: Annotated[int, typer.Option(min=1, help="with --architecture")] = 10,
    batch_size: Annotated[int, typer.Option(min=1, help="with --architecture: images per step")] = 50,
    layers: Annotated[bool, typer.Option(help="a line per layer")] = False,
    only: Only = None,
    output: Annotated[Path | None, typer.Option(help="with --architecture: write JSON, or a .csv, there")] = None,
    log: Log = None,
) -> None:
    """Count parameters and multiply-accumulates by arithmetic, folded and in feature and weight space."""
    rows_of = "complexity_layers" if layers else "complexity"
    if _is_planned(config, architecture):
        _measure("complexity", config, results, only=only, log=log, show=rows_of)
        return
    from linconv.measure.complexity import measure_complexity as count
    from linconv.results.tidy import write_csv

    result = count(one_model(str(architecture), variant, input, classes, batch_size))
    if output is not None and output.suffix == ".csv":
        write_csv(output, COLUMNS[rows_of], KINDS["complexity"].rows({"": result})[rows_of])
    elif output is not None:
        write_result(output, result)
    else:
        _show("complexity", {"": result}, rows_of)


@app.command("throughput")
def measure_throughput(
    config: ConfigOption = None,
    results: ResultsFolder = Path("results"),
    only: Only = None,
    budget: Budget = None,
    architecture: Architecture = None,
    variant: VariantOption = "Lr",
    batch: Batch = 50,
    rounds: Rounds = 15,
    threads: Threads = None,
    device: DeviceOption = "auto",
    channels_last: ChannelsLast = False,
    output: Annotated[Path | None, typer.Option(help="with --architecture: folder of the result files")] = None,
    log: Log = None,
) -> None:
    """Time training steps and inference of every form against the plain network; let nothing else run meanwhile."""
    if _is_planned(config, architecture):
        _measure("throughput", config, results, only=only, budget=budget, threads=threads, log=log)
        return
    options = {"channels_last": channels_last, "rounds": rounds}
    settings = _one(architecture, variant, batch, "throughput", options)
    _measure_one("throughput", settings, device, threads, output)


@app.command("regularizer")
def measure_regularizer(
    config: ConfigOption = None,
    results: ResultsFolder = Path("results"),
    only: Only = None,
    budget: Budget = None,
    architecture: Architecture = None,
    variant: VariantOption = "Lr",
    batch: Batch = 50,
    rounds: Rounds = 15,
    channels_last: ChannelsLast = False,
    threads: Threads = None,
    device: DeviceOption = "auto",
    output: Output = None,
    log: Log = None,
) -> None:
    """Time the correlation regularizer: a training step without and with it, and alone beside automatic derivation.

    Let nothing else run meanwhile.
    """
    if _is_planned(config, architecture):
        _measure("regularizer", config, results, only=only, budget=budget, threads=threads, log=log)
        return
    options = {"channels_last": channels_last, "rounds": rounds}
    _measure_one("regularizer", _one(architecture, variant, batch, "regularizer", options), device, threads, output)


@app.command("profile")
def measure_profile(
    config: ConfigOption = None,
    results: ResultsFolder = Path("results"),
    only: Only = None,
    budget: Budget = None,
    architecture: Architecture = None,
    variant: VariantOption = "Lr",
    batch: Batch = 50,
    activity: Annotated[Literal["inference", "training"], typer.Option(help="a forward pass or a step")] = "inference",
    channels_last: ChannelsLast = False,
    threads: Threads = None,
    device: DeviceOption = "auto",
    output: Output = None,
    log: Log = None,
) -> None:
    """Show where the time of a call goes, by kind of operation, for the plain network and a variant.

    Let nothing else run meanwhile.
    """
    if _is_planned(config, architecture):
        _measure("profile", config, results, only=only, budget=budget, threads=threads, log=log)
        return
    options = {"channels_last": channels_last, "activities": [activity]}
    _measure_one("profile", _one(architecture, variant, batch, "profile", options), device, threads, output)


@app.command("correctness")
def measure_correctness(
    config: ConfigOption = None,
    results: ResultsFolder = Path("results"),
    only: Only = None,
    device: Annotated[str, typer.Option(help="without --config: cpu, cuda, or auto")] = "auto",
    output: Annotated[Path | None, typer.Option(help="without --config: write the result file (JSON) there")] = None,
    log: Log = None,
) -> None:
    """Check outputs and gradients of every form of the layer on a device against double precision on the CPU."""
    if config is not None:
        found = _measure("correctness", config, results, only=only, log=log, show=None)
    else:
        settings = one_model("base", "conv", "3x32x32", 10, 1, {"correctness": {}})
        found = _measure_one("correctness", settings, device, None, output, show=None)
    for result in found.values():
        typer.echo(str(result))
        for failed in result.failed:
            typer.echo(f"FAILED {failed}", err=True)
    if any(result.failed for result in found.values()):
        raise typer.Exit(1)


@app.command("sensitivity")
def measure_sensitivity(
    config: Annotated[Path, typer.Option(help="configuration whose recipe, data and variants count")],
    results: ResultsFolder = Path("results"),
    only: Only = None,
    budget: Budget = None,
    dataset: Annotated[str | None, typer.Option(help="this data set, instead of what the configuration asks")] = None,
    architecture: Annotated[str | None, typer.Option(help="with --dataset: network")] = None,
    variant: Annotated[str | None, typer.Option(help="with --dataset: replaces convolutions, one at a time")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="with --dataset: epochs of the plain network first")] = 1,
    steps: Annotated[int, typer.Option(min=0, help="with --dataset: training steps of each layer alone")] = 50,
    keep: Annotated[float | None, typer.Option(help="print the `exclude` that keeps this share of the saving")] = None,
    output: Annotated[Path | None, typer.Option(help="with --dataset: write the result file (JSON) there")] = None,
    log: Log = None,
) -> None:
    """Measure by a short training how much each layer suffers from being replaced, per parameter saved."""
    if keep is not None and not 0 < keep <= 1:
        raise ConfigError(f"--keep: a share of the saving in (0, 1] is expected, not {keep}")
    log_to(log)
    if dataset is None:
        found = _measure("sensitivity", config, results, only=only, budget=budget, log=log)
    else:
        settings = read_config(config)
        require_known([dataset], (*DATASETS, *settings.imagefolders), "data set")
        require_known([architecture or ""], NETWORKS, "architecture")
        require_known([variant or ""], settings.known_variants, "variant")
        grid = {"datasets": [dataset], "architectures": [architecture], "variants": [variant]}
        settings = _with(settings, "sensitivity", {**grid, "epochs": epochs, "steps": steps})
        found = _measure_one("sensitivity", settings, settings.device, None, output)
    if keep is not None:
        for result in found.values():
            exclude = {"exclude": result.exclude(keep)}
            typer.echo(yaml.safe_dump(exclude, default_flow_style=None, width=math.inf), nl=False)


def _is_planned(config: Path | None, architecture: str | None) -> bool:
    """Whether a configuration says what to measure; else one network is named."""
    if (config is None) == (architecture is None):
        raise ConfigError("give either --config FILE or --architecture NAME")
    return config is not None


def _measure(
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
    with _device(name, settings) as device:
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
        _show(name, found, show)
    if left:
        raise typer.Exit(INTERRUPTED)
    return found


def _measure_one(
    name: str,
    settings: Config,
    device: str,
    threads: int | None,
    output: Path | None,
    show: str | None = "",
) -> dict[Any, Any]:
    """Measure what `settings` asks for and show it; it is written where `output` says, and nowhere else."""
    from linconv.catalogue.measurements import MEASUREMENTS

    found = {}
    with _device(name, settings.model_copy(update={"device": device})) as held:
        for key in KINDS[name].plan(settings):
            measure = MEASUREMENTS[name].load()
            found[key] = measure(settings, key, device=held, threads=threads, command=command_line())
            if output is not None:
                write_result(output / f"{key}.json" if name == "throughput" else output, found[key])
    if show is not None:
        _show(name, found, show)
    return found


@contextmanager
def _device(name: str, settings: Config) -> Iterator[str]:
    """The device of the configuration, reserved where the measurement uses it."""
    from linconv.catalogue.measurements import MEASUREMENTS

    if not MEASUREMENTS[name].on_device:
        yield "cpu"
        return
    from linconv.devices import device_slot

    with device_slot(settings.device, 1 if MEASUREMENTS[name].alone else settings.runs_per_gpu) as held:
        yield held


def _one(architecture: str | None, variant: str, batch: int, block: str, options: Mapping[str, Any]) -> Config:
    """A configuration that asks for one measurement of one network."""
    grid = {"architectures": [architecture], "variants": [variant], "batches": [batch]}
    return one_model(str(architecture), variant, "3x32x32", 10, batch, {block: {**grid, **options}})


def _with(settings: Config, block: str, options: Mapping[str, Any]) -> Config:
    """The configuration with another block of options."""
    from linconv.config import parse_config

    raw = settings.model_dump(mode="json", exclude_unset=True) | {block: dict(options)}
    return parse_config(raw, "command line")


def _show(name: str, found: Mapping[Any, Any], rows_of: str) -> None:
    from linconv.measure.text import rows_text

    rows_of = rows_of or next(iter(KINDS[name].columns))
    typer.echo(rows_text(COLUMNS[rows_of], KINDS[name].rows(found)[rows_of]), nl=False)
