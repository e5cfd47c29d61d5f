"""Measurements of networks: counts, times, profiles, correctness, sensitivity."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

import typer
import yaml

from linconv.catalogue.datasets import DATASETS
from linconv.catalogue.measurements import MEASUREMENTS
from linconv.catalogue.networks import NETWORKS
from linconv.cli.measuring import is_planned, measure_here, measure_missing, one_block, show_rows, with_block
from linconv.cli.options import log_to, one_model, read_config, require_known
from linconv.cli.together import Together
from linconv.config import ConfigError
from linconv.results import write_result
from linconv.results.kinds import COLUMNS, KINDS

ConfigOption = Annotated[Path | None, typer.Option(help="measure what this configuration asks for", show_default=False)]
_FOLDERS = "folder that holds the experiments' folders"
_ONLY = "this result alone; may be repeated"
_LIMIT = "begin nothing after that long, such as 90s, 20m, 1h"
_LINES = "write plain lines there"
ResultsFolder = Annotated[Path, typer.Option(help=f"with --config: {_FOLDERS}")]
Only = Annotated[list[str] | None, typer.Option(help=f"with --config: {_ONLY}", show_default=False)]
Budget = Annotated[str | None, typer.Option(help=f"with --config: {_LIMIT}")]
Architecture = Annotated[str | None, typer.Option(help=f"one network: {', '.join(NETWORKS)}", show_default=False)]
VariantOption = Annotated[str, typer.Option(help="with --architecture: a variant")]
Batch = Annotated[int, typer.Option(min=1, help="with --architecture: images per call")]
ChannelsLast = Annotated[bool, typer.Option(help="with --architecture: memory layout")]
Rounds = Annotated[int, typer.Option(min=3, help="with --architecture: samples of every arm")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; all cores by default", show_default=False)]
DeviceOption = Annotated[str, typer.Option(help="with --architecture: cpu, cuda, or auto")]
OutputOption = Annotated[Path | None, typer.Option(help="with --architecture: write the result file (JSON) there")]
Log = Annotated[Path | None, typer.Option(help=f"with --config: {_LINES}")]

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
    if is_planned(config, architecture):
        measure_missing("complexity", config, results, only=only, log=log, show=rows_of)
        return
    from linconv.measure.complexity import measure_complexity as count
    from linconv.results.tidy import write_csv

    result = count(one_model(str(architecture), variant, input, classes, batch_size))
    if output is not None and output.suffix == ".csv":
        write_csv(output, COLUMNS[rows_of], KINDS["complexity"].rows({"": result})[rows_of])
    elif output is not None:
        write_result(output, result)
    else:
        show_rows("complexity", {"": result}, rows_of)


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
    if is_planned(config, architecture):
        measure_missing("throughput", config, results, only=only, budget=budget, threads=threads, log=log)
        return
    options = {"channels_last": channels_last, "rounds": rounds}
    settings = one_block(architecture, variant, batch, "throughput", options)
    measure_here("throughput", settings, device, threads, output)


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
    output: OutputOption = None,
    log: Log = None,
) -> None:
    """Time the correlation regularizer: a training step without and with it, and alone beside automatic derivation.

    Let nothing else run meanwhile.
    """
    if is_planned(config, architecture):
        measure_missing("regularizer", config, results, only=only, budget=budget, threads=threads, log=log)
        return
    options = {"channels_last": channels_last, "rounds": rounds}
    measure_here(
        "regularizer", one_block(architecture, variant, batch, "regularizer", options), device, threads, output
    )


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
    output: OutputOption = None,
    log: Log = None,
) -> None:
    """Show where the time of a call goes, by kind of operation, for the plain network and a variant.

    Let nothing else run meanwhile.
    """
    if is_planned(config, architecture):
        measure_missing("profile", config, results, only=only, budget=budget, threads=threads, log=log)
        return
    options = {"channels_last": channels_last, "activities": [activity]}
    measure_here("profile", one_block(architecture, variant, batch, "profile", options), device, threads, output)


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
        found = measure_missing("correctness", config, results, only=only, log=log, show=None)
    else:
        settings = one_model("base", "conv", "3x32x32", 10, 1, {"correctness": {}})
        found = measure_here("correctness", settings, device, None, output, show=None)
    for result in found.values():
        typer.echo(str(result))
        for failed in result.failed:
            typer.echo(f"FAILED {failed}", err=True)
    if any(result.failed for result in found.values()):
        raise typer.Exit(1)


@app.command("sensitivity")
def measure_sensitivity(
    config: Annotated[Path, typer.Option(help="configuration whose recipe, data and variants count")],
    results: Annotated[Path, typer.Option(help=f"without --dataset: {_FOLDERS}")] = Path("results"),
    only: Annotated[list[str] | None, typer.Option(help=f"without --dataset: {_ONLY}", show_default=False)] = None,
    budget: Annotated[str | None, typer.Option(help=f"without --dataset: {_LIMIT}")] = None,
    dataset: Annotated[str | None, typer.Option(help="this data set, instead of what the configuration asks")] = None,
    architecture: Annotated[str | None, typer.Option(help="with --dataset: network")] = None,
    variant: Annotated[str | None, typer.Option(help="with --dataset: replaces convolutions, one at a time")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="with --dataset: epochs of the plain network first")] = 1,
    steps: Annotated[int, typer.Option(min=0, help="with --dataset: training steps of each layer alone")] = 50,
    keep: Annotated[float | None, typer.Option(help="print the `exclude` that keeps this share of the saving")] = None,
    output: Annotated[Path | None, typer.Option(help="with --dataset: write the result file (JSON) there")] = None,
    log: Annotated[Path | None, typer.Option(help=_LINES)] = None,
) -> None:
    """Measure by a short training how much each layer suffers from being replaced, per parameter saved."""
    if keep is not None and not 0 < keep <= 1:
        raise ConfigError(f"--keep: a share of the saving in (0, 1] is expected, not {keep}")
    log_to(log)
    if dataset is None:
        found = measure_missing("sensitivity", config, results, only=only, budget=budget, log=log)
    else:
        settings = read_config(config)
        require_known([dataset], (*DATASETS, *settings.imagefolders), "data set")
        require_known([architecture or ""], NETWORKS, "architecture")
        require_known([variant or ""], settings.known_variants, "variant")
        grid = {"datasets": [dataset], "architectures": [architecture], "variants": [variant]}
        settings = with_block(settings, "sensitivity", {**grid, "epochs": epochs, "steps": steps})
        found = measure_here("sensitivity", settings, settings.device, None, output)
    if keep is not None:
        for result in found.values():
            exclude = {"exclude": result.exclude(keep)}
            typer.echo(yaml.safe_dump(exclude, default_flow_style=None, width=math.inf), nl=False)


def _planned_only(name: str, label: str) -> None:
    """The command of a measurement that is made for a configuration alone, and has none of its own above."""

    example = f"Example: linconv measure {name} --config {name}.yaml"

    @app.command(name, help=f"{label}, as the configuration's `{name}` asks for it.", epilog=example)
    def measure(
        config: Annotated[Path, typer.Option(help="measure what this configuration asks for")],
        results: ResultsFolder = Path("results"),
        only: Only = None,
        budget: Budget = None,
        threads: Threads = None,
        log: Log = None,
    ) -> None:
        measure_missing(name, config, results, only=only, budget=budget, threads=threads, log=log)


for _entry in MEASUREMENTS.values():
    if _entry.name not in ("run", *(command.name for command in app.registered_commands)):
        _planned_only(_entry.name, _entry.label)

for _command in app.registered_commands:
    _command.cls = Together
