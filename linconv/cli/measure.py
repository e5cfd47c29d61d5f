"""Measurements of networks: counts, times, profiles, correctness, sensitivity."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer

from linconv.catalogue.datasets import DATASETS
from linconv.catalogue.networks import NETWORKS
from linconv.cli.options import Results, command_line, log_to, one_model, read_config, require_known
from linconv.config import ConfigError
from linconv.config.errors import INTERRUPTED
from linconv.config.throughput import ThroughputOptions, plan_throughput, seconds

Architecture = Annotated[str, typer.Option(help="network", show_default=False)]
Batch = Annotated[int, typer.Option(min=1, help="images per call")]
ChannelsLast = Annotated[bool, typer.Option(help="memory layout")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; all cores by default", show_default=False)]
Device = Annotated[str, typer.Option(help="cpu, cuda, or auto")]
Output = Annotated[Path | None, typer.Option(help="write the result file (JSON) there")]

app = typer.Typer(help="Measure networks without training them.", no_args_is_help=True)


@app.command("complexity")
def measure_complexity(
    config: Annotated[Path | None, typer.Option(help="count this configuration's grid")] = None,
    architecture: Annotated[str | None, typer.Option(help="one network, instead of a configuration")] = None,
    variant: Annotated[str, typer.Option(help="with --architecture")] = "conv",
    input: Annotated[str, typer.Option(help="with --architecture: channels x height x width")] = "3x32x32",
    classes: Annotated[int, typer.Option(min=1, help="with --architecture")] = 10,
    batch_size: Annotated[int, typer.Option(min=1, help="with --architecture: images per step")] = 50,
    layers: Annotated[bool, typer.Option(help="with --architecture: a line per layer")] = False,
    output: Annotated[Path | None, typer.Option(help="write the result file (JSON), or a .csv, there")] = None,
) -> None:
    """Count parameters and multiply-accumulates by arithmetic, folded and in feature and weight space."""
    if (config is None) == (architecture is None):
        raise ConfigError("give either --config FILE or --architecture NAME")
    from linconv.measure.complexity import measure_grid
    from linconv.measure.text import complexity_text
    from linconv.results import write_result
    from linconv.results.tidy import COLUMNS, complexity_rows, write_csv

    if config is not None:
        settings = read_config(config)
    else:
        settings = one_model(str(architecture), variant, input, classes, batch_size)
    result = measure_grid(settings.complexity, settings.planned_variants)
    if output is not None and output.suffix == ".csv":
        name = "complexity_layers" if layers else "complexity"
        write_csv(output, COLUMNS[name], complexity_rows(result)[name])
    elif output is not None:
        write_result(output, result)
    else:
        typer.echo(complexity_text(result, layers=layers), nl=False)


@app.command("throughput")
def measure_throughput(
    config: Annotated[Path | None, typer.Option(help="time this configuration's grid; a result file per cell")] = None,
    results: Results = Path("results"),
    budget: Annotated[str | None, typer.Option(help="begin no cell after that long, such as 90s, 20m, 1h")] = None,
    cell: Annotated[list[str] | None, typer.Option(help="with --config: this cell alone; may be repeated")] = None,
    architecture: Annotated[str | None, typer.Option(help="one network, instead of a configuration")] = None,
    variant: Annotated[str, typer.Option(help="with --architecture")] = "Lr",
    batch: Annotated[int, typer.Option(min=1, help="with --architecture")] = 50,
    rounds: Annotated[int, typer.Option(min=3, help="with --architecture: samples of every arm")] = 15,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all cores by default")] = None,
    device: Device = "auto",
    channels_last: Annotated[bool, typer.Option(help="with --architecture: all arms in channels_last")] = False,
    log: Annotated[Path | None, typer.Option(help="write plain lines there")] = None,
) -> None:
    """Time training steps and inference of every form against the plain network; let nothing else run meanwhile.

    Called again with a configuration, it times the cells that have no result file yet.
    """
    if (config is None) == (architecture is None):
        raise ConfigError("give either --config FILE or --architecture NAME")
    log_to(log)
    if config is not None:
        settings = read_config(config)
    else:
        cells = {"architectures": [architecture], "variants": [variant], "batches": [batch]}
        settings = one_model(str(architecture), variant, "3x32x32", 10, batch)
        timed = ThroughputOptions.model_validate({**cells, "channels_last": channels_last, "rounds": rounds})
        settings = settings.model_copy(update={"throughput": timed})
    if settings.throughput is None:
        raise ConfigError(f"{config}: throughput: missing; `throughput: {{}}` times the default grid")
    require_known(cell or (), [key.name for key in plan_throughput(settings.throughput)], "cell")
    limit = None if budget is None else seconds(budget)
    from linconv.devices import device_slot

    with device_slot(device if config is None else settings.device) as held, tempfile.TemporaryDirectory() as temporary:
        from linconv.measure.text import throughput_text
        from linconv.measure.throughput import measure_throughput as time_cells

        folder = results / settings.experiment / "throughput" if config is not None else Path(temporary)
        left = time_cells(
            settings.throughput, settings.known_variants, folder,
            device=held, threads=threads, command=command_line(), cells=cell, budget_seconds=limit,
        )  # fmt: skip
        typer.echo(throughput_text(settings.throughput, settings.known_variants, folder), nl=False)
    if left:
        raise typer.Exit(INTERRUPTED)


@app.command("regularizer")
def measure_regularizer(
    architecture: Architecture,
    variant: Annotated[str, typer.Option(help="variant with a correlation regulariser")] = "Lr",
    batch: Batch = 50,
    rounds: Annotated[int, typer.Option(min=3, help="samples of every arm")] = 15,
    channels_last: ChannelsLast = False,
    threads: Threads = None,
    device: Device = "auto",
    output: Output = None,
) -> None:
    """Time the correlation regulariser: a training step without and with it, and alone beside automatic derivation.

    Let nothing else run meanwhile.
    """
    definition = one_model(architecture, variant, "3x32x32", 10, batch).known_variants[variant]
    from linconv.devices import device_slot
    from linconv.report.formats import to_markdown
    from linconv.report.source import measured_frame
    from linconv.results import write_result

    with device_slot(device) as held:
        from linconv.measure.regularizer import measure_regularizer as time_penalty
        from linconv.report.tables.regularizer import regularizer_costs

        result = time_penalty(
            architecture, variant, definition, batch_size=batch, channels_last=channels_last, rounds=rounds,
            device=held, threads=threads, command=command_line(),
        )  # fmt: skip
    if output is not None:
        write_result(output, result)
    typer.echo(to_markdown(regularizer_costs(measured_frame("regularizer", [result]))), nl=False)


@app.command("profile")
def measure_profile(
    architecture: Architecture,
    variant: Annotated[str, typer.Option(help="in its form auto, beside the plain network")] = "Lr",
    batch: Batch = 50,
    activity: Annotated[Literal["inference", "training"], typer.Option(help="a forward pass or a step")] = "inference",
    channels_last: ChannelsLast = False,
    threads: Threads = None,
    device: Device = "auto",
    output: Output = None,
) -> None:
    """Show where the time of a call goes, by kind of operation, for the plain network and a variant.

    Let nothing else run meanwhile.
    """
    definition = one_model(architecture, variant, "3x32x32", 10, batch).known_variants[variant]
    from linconv.devices import device_slot
    from linconv.report.formats import to_markdown
    from linconv.report.source import measured_frame
    from linconv.results import write_result

    with device_slot(device) as held:
        from linconv.measure.profile import measure_profile as take_profile
        from linconv.report.tables.profile import profiles

        result = take_profile(
            architecture, variant, definition, activity=activity, batch_size=batch, channels_last=channels_last,
            device=held, threads=threads, command=command_line(),
        )  # fmt: skip
    if output is not None:
        write_result(output, result)
    typer.echo(to_markdown(profiles(measured_frame("profile", [result]))), nl=False)


@app.command("correctness")
def measure_correctness(
    device: Device = "auto",
    output: Output = None,
) -> None:
    """Check outputs and gradients of every form of the layer on a device against double precision on the CPU."""
    from linconv.devices import device_slot
    from linconv.results import write_result

    with device_slot(device) as held:
        from linconv.measure.correctness import measure_correctness as check

        result = check(held, command=command_line())
    if output is not None:
        write_result(output, result)
    typer.echo(str(result))
    for failed in result.failed:
        typer.echo(f"FAILED {failed}", err=True)
    if result.failed:
        raise typer.Exit(1)


@app.command("sensitivity")
def measure_sensitivity(
    config: Annotated[Path, typer.Option(help="configuration whose recipe, data and variants count")],
    dataset: Annotated[str, typer.Option(help="data set; its test part is not looked at")],
    architecture: Annotated[str, typer.Option(help="network")],
    variant: Annotated[str, typer.Option(help="variant that replaces its convolutions, one at a time")],
    epochs: Annotated[int, typer.Option(min=1, help="epochs of the plain network first")] = 1,
    steps: Annotated[int, typer.Option(min=0, help="training steps of each layer alone")] = 50,
    keep: Annotated[float | None, typer.Option(help="print the `exclude` that keeps this share of the saving")] = None,
    output: Output = None,
) -> None:
    """Measure by a short training how much each layer suffers from being replaced, per parameter saved."""
    log_to(None)
    settings = read_config(config)
    require_known([dataset], (*DATASETS, *settings.imagefolders), "data set")
    require_known([architecture], NETWORKS, "architecture")
    require_known([variant], settings.known_variants, "variant")
    if keep is not None and not 0 < keep <= 1:
        raise ConfigError(f"--keep: a share of the saving in (0, 1] is expected, not {keep}")
    from linconv.devices import device_slot
    from linconv.report.formats import to_markdown
    from linconv.report.source import measured_frame
    from linconv.results import write_result

    with device_slot(settings.device, settings.runs_per_gpu) as held:
        from linconv.measure.sensitivity import measure_sensitivity as probe
        from linconv.measure.text import excluding_text
        from linconv.report.tables.sensitivity import sensitivities

        result = probe(
            settings, dataset, architecture, variant, held, command=command_line(), epochs=epochs, steps=steps
        )  # fmt: skip
    if output is not None:
        write_result(output, result)
    typer.echo(to_markdown(sensitivities(measured_frame("sensitivity", [result]))), nl=False)
    if keep is not None:
        typer.echo("\n" + excluding_text(result, keep), nl=False)
