"""The command line: every stage of the pipeline is a command that runs without the pipeline."""

from __future__ import annotations

import logging
import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
import yaml

from linconv.config import (
    ARCHITECTURES,
    DATASETS,
    Config,
    ConfigError,
    ResolvedRun,
    RunKey,
    load_config,
    parse_config,
    plan_runs,
    resolve_run,
)
from linconv.config.errors import UserError
from linconv.config.methods import PLAIN
from linconv.config.names import check_known
from linconv.config.throughput import ThroughputOptions, plan_throughput, seconds
from linconv.results import write_text

app = typer.Typer(
    help="LinearConv and its benchmark.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
measure = typer.Typer(help="Measure networks without training them.", no_args_is_help=True)
render = typer.Typer(help="Render collected results; imports no torch.", no_args_is_help=True)
app.add_typer(measure, name="measure")
app.add_typer(render, name="render")

ConfigFile = Annotated[Path, typer.Argument(help="configuration file (YAML)", show_default=False)]
Folder = Annotated[Path, typer.Argument(help="folder of an experiment, results/<experiment>", show_default=False)]
Workers = Annotated[
    int | None, typer.Option(min=1, help="processes that draw figures; by default the usable cores", show_default=False)
]
INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: try again

Results = Annotated[Path, typer.Option(help="folder that holds the experiments' folders")]


@app.command("config")
def show_config(config: ConfigFile) -> None:
    """Check a configuration and print it with every default filled in."""
    typer.echo(yaml.safe_dump(_read_config(config).model_dump(mode="json"), sort_keys=False), nl=False)


@app.command("plan")
def plan(config: ConfigFile) -> None:
    """List the runs of a configuration, one per line."""
    for key in plan_runs(load_config(config)):
        typer.echo(str(key))


@app.command("train")
def train(
    config: ConfigFile,
    dataset: Annotated[str, typer.Option(help="data set of the run")],
    architecture: Annotated[str, typer.Option(help="network of the run")],
    variant: Annotated[str, typer.Option(help="variant of the run")],
    seed: Annotated[int, typer.Option(help="seed of the run")],
    results: Results = Path("results"),
    log: Annotated[Path | None, typer.Option(help="write plain lines there instead of a progress bar")] = None,
) -> None:
    """Train one run of a configuration and write its result file; resumes where an interrupted one stopped.

    SIGTERM or Ctrl-C ends a training after the step in progress, with exit code 75; the same command continues it.
    """
    _log_to(log)
    settings = load_config(config)
    run = _resolve(settings, RunKey(dataset, architecture, variant, seed))
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it once, when it starts
    from linconv.devices import device_slot

    with device_slot(settings.device, settings.runs_per_gpu) as device:
        from linconv.runner import perform_run  # torch must see the device chosen above

        _check_methods(settings)
        from linconv.training.run import TrainingStoppedError

        folder = results / settings.experiment / run.key.path
        try:
            result = perform_run(run, settings, folder, device, command=_command(), progress=log is None)
        except TrainingStoppedError as stopped:
            logging.getLogger("linconv").warning("%s: %s", run.key, stopped)
            raise typer.Exit(INTERRUPTED) from None
    top1 = "none" if result.metrics.top1 is None else f"{result.metrics.top1:.2f} %"
    typer.echo(f"{run.key}: {result.status}, top-1 {top1}, {folder / 'result.json'}", err=True)


@measure.command("complexity")
def measure_complexity(
    config: Annotated[Path | None, typer.Option(help="count this configuration's grid")] = None,
    architecture: Annotated[str | None, typer.Option(help="one network, instead of a configuration")] = None,
    variant: Annotated[str, typer.Option(help="with --architecture")] = "conv",
    input: Annotated[str, typer.Option(help="with --architecture: channels x height x width")] = "3x32x32",
    classes: Annotated[int, typer.Option(min=1, help="with --architecture")] = 10,
    batch_size: Annotated[int, typer.Option(min=1, help="with --architecture: images per step")] = 50,
    layers: Annotated[bool, typer.Option(help="with --architecture: a line per layer")] = False,
    output: Annotated[Path | None, typer.Option(help="write the result file (JSON) there")] = None,
) -> None:
    """Count parameters and multiply-accumulates by arithmetic, folded and in feature and weight space."""
    if (config is None) == (architecture is None):
        raise ConfigError("give either --config FILE or --architecture NAME")
    from linconv.measure.complexity import measure_grid
    from linconv.measure.text import complexity_text
    from linconv.results import write_result

    if config is not None:
        settings = _read_config(config)
    else:
        settings = _one_model(str(architecture), variant, input, classes, batch_size)
    result = measure_grid(settings.complexity, settings.planned_variants)
    if output is not None:
        write_result(output, result)
    else:
        typer.echo(complexity_text(result, layers=layers), nl=False)


@measure.command("throughput")
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
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto")] = "auto",
    channels_last: Annotated[bool, typer.Option(help="with --architecture: all arms in channels_last")] = False,
    log: Annotated[Path | None, typer.Option(help="write plain lines there")] = None,
) -> None:
    """Time training steps and inference of every form against the plain network; let nothing else run meanwhile.

    Called again with a configuration, it times the cells that have no result file yet.
    """
    if (config is None) == (architecture is None):
        raise ConfigError("give either --config FILE or --architecture NAME")
    _log_to(log)
    if config is not None:
        settings = _read_config(config)
    else:
        cells = {"architectures": [architecture], "variants": [variant], "batches": [batch]}
        settings = _one_model(str(architecture), variant, "3x32x32", 10, batch)
        timed = ThroughputOptions.model_validate({**cells, "channels_last": channels_last, "rounds": rounds})
        settings = settings.model_copy(update={"throughput": timed})
    if settings.throughput is None:
        raise ConfigError(f"{config}: throughput: missing; `throughput: {{}}` times the default grid")
    try:
        check_known(cell or (), [key.name for key in plan_throughput(settings.throughput)], "cell")
    except ValueError as error:
        raise ConfigError(str(error)) from None
    limit = None if budget is None else seconds(budget)
    from linconv.devices import device_slot

    with device_slot(device if config is None else settings.device) as held, tempfile.TemporaryDirectory() as temporary:
        from linconv.measure.text import throughput_text
        from linconv.measure.throughput import measure_throughput as time_cells

        folder = results / settings.experiment / "throughput" if config is not None else Path(temporary)
        left = time_cells(
            settings.throughput, settings.known_variants, folder,
            device=held, threads=threads, command=_command(), cells=cell, budget_seconds=limit,
        )  # fmt: skip
        typer.echo(throughput_text(settings.throughput, settings.known_variants, folder), nl=False)
    if left:
        raise typer.Exit(INTERRUPTED)


@measure.command("correctness")
def measure_correctness(
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto")] = "auto",
    output: Annotated[Path | None, typer.Option(help="write the result file (JSON) there")] = None,
) -> None:
    """Check outputs and gradients of every form of the layer on a device against double precision on the CPU."""
    from linconv.devices import device_slot
    from linconv.results import write_result

    with device_slot(device) as held:
        from linconv.measure.correctness import measure_correctness as check

        result = check(held, command=_command())
    if output is not None:
        write_result(output, result)
    typer.echo(str(result))
    for failed in result.failed:
        typer.echo(f"FAILED {failed}", err=True)
    if result.failed:
        raise typer.Exit(1)


@measure.command("sensitivity")
def measure_sensitivity(
    config: Annotated[Path, typer.Option(help="configuration whose recipe, data and variants count")],
    dataset: Annotated[str, typer.Option(help="data set; its test part is not looked at")],
    architecture: Annotated[str, typer.Option(help="network")],
    variant: Annotated[str, typer.Option(help="variant that replaces its convolutions, one at a time")],
    epochs: Annotated[int, typer.Option(min=1, help="epochs of the plain network first")] = 1,
    steps: Annotated[int, typer.Option(min=0, help="training steps of each layer alone")] = 50,
    keep: Annotated[float | None, typer.Option(help="print the `exclude` that keeps this share of the saving")] = None,
    output: Annotated[Path | None, typer.Option(help="write the result file (JSON) there")] = None,
) -> None:
    """Measure by a short training how much each layer suffers from being replaced, per parameter saved."""
    _log_to(None)
    settings = _read_config(config)
    try:
        check_known([dataset], (*DATASETS, *settings.imagefolders), "data set")
        check_known([architecture], ARCHITECTURES, "architecture")
        check_known([variant], settings.known_variants, "variant")
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if keep is not None and not 0 < keep <= 1:
        raise ConfigError(f"--keep: a share of the saving in (0, 1] is expected, not {keep}")
    from linconv.devices import device_slot
    from linconv.results import write_result

    with device_slot(settings.device, settings.runs_per_gpu) as held:
        from linconv.measure.sensitivity import measure_sensitivity as probe
        from linconv.measure.text import sensitivity_text

        result = probe(
            settings, dataset, architecture, variant, held, command=_command(), epochs=epochs, steps=steps
        )  # fmt: skip
    if output is not None:
        write_result(output, result)
    typer.echo(sensitivity_text(result, keep), nl=False)


@app.command("session")
def session(
    config: ConfigFile,
    output: Annotated[Path, typer.Option(help="folder of all results; a second session there continues")],
    budget: Annotated[str, typer.Option(help="the time until everything has ended, such as 20m")] = "20m",
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cuda",
) -> None:
    """Check, time and train as much as fits into a given time on this machine, the most telling first."""
    _log_to(None)
    from linconv.devices import DeviceError, visible_gpus
    from linconv.session import run_session

    if device == "cuda" and not visible_gpus():
        raise DeviceError("no CUDA device is visible; run this on a machine with one, or try it with --device cpu")
    report = run_session(config, output, device=device, budget_seconds=seconds(budget))
    for step in report.steps:
        typer.echo(f"{step.outcome:<14} {step.seconds:7.1f} s  {step.name}  {step.detail}")
    if any(step.outcome == "failed" for step in report.steps):
        raise typer.Exit(1)


@app.command("collect")
def collect(
    config: ConfigFile,
    results: Results = Path("results"),
    partial: Annotated[bool, typer.Option(help="take what exists, list the rest in failures.csv")] = False,
) -> None:
    """Gather the result files of an experiment into tidy CSV files."""
    from linconv.results.collect import collect as collect_results

    settings = load_config(config)
    folder = results / settings.experiment
    typer.echo(str(collect_results(settings, folder, partial=partial)))
    if not (folder / "config.yaml").exists():  # the pipeline writes it before its first job
        write_text(folder / "config.yaml", yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False))


@app.command("merge")
def merge(
    folders: Annotated[list[Path], typer.Argument(help="folders of one experiment, two or more", show_default=False)],
    output: Annotated[Path, typer.Option(help="the new folder that holds the runs of all", show_default=False)],
) -> None:
    """Join the folders that several machines filled for one experiment; refuses what contradicts itself."""
    from linconv.results.merge import merge as merge_folders

    typer.echo(str(merge_folders(folders, output)))


@app.command("compare")
def compare(
    a: Annotated[Path, typer.Argument(help="folder of an experiment, or of several", show_default=False)],
    b: Annotated[Path, typer.Argument(help="the folder to set beside it", show_default=False)],
    output: Annotated[Path | None, typer.Option(help="write the Markdown there")] = None,
) -> None:
    """Two result folders side by side: accuracies with the interval of their difference, counts, times, origins."""
    from linconv.report.compare import compare as compare_folders

    text = compare_folders(a, b)
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_text(output, text)


@app.command("report")
def report(
    folder: Annotated[Path, typer.Argument(help="folder of an experiment, or of several", show_default=False)],
    output: Annotated[Path | None, typer.Option(help="the page; by default FOLDER/report.html")] = None,
    workers: Workers = None,
) -> None:
    """One self-contained HTML page on the results in FOLDER, complete or not."""
    from linconv.report.drawing import usable_cores
    from linconv.report.page import build_report

    typer.echo(str(build_report(folder, output, workers=workers or usable_cores())))


@render.command("tables")
def render_tables(folder: Folder) -> None:
    """Write FOLDER/tables from FOLDER/data."""
    from linconv.report import render_tables as write

    typer.echo("\n".join(str(path) for path in write(folder)))


@render.command("figures")
def render_figures(folder: Folder, workers: Workers = None) -> None:
    """Write FOLDER/figures from FOLDER/data."""
    from linconv.report import render_figures as write
    from linconv.report.drawing import usable_cores

    typer.echo("\n".join(str(path) for path in write(folder, workers=workers or usable_cores())))


@render.command("all")
def render_all(
    folder: Annotated[
        Path, typer.Argument(help="folder of an experiment, or one that holds several", show_default=False)
    ],
    workers: Workers = None,
) -> None:
    """Write tables, figures, claims and the report of each experiment's collected results."""
    from linconv.report import render_all as write
    from linconv.report.drawing import usable_cores

    typer.echo("\n".join(str(path) for path in write(folder, workers=workers or usable_cores())))


@render.command("claims")
def render_claims(
    folder: Annotated[
        Path, typer.Argument(help="folder of an experiment, or one that holds several", show_default=False)
    ],
) -> None:
    """Write FOLDER/claims.md: a verdict on each claim, from one experiment or from all in the folder."""
    from linconv.report import render_claims as write

    typer.echo(str(write(folder)))


def _read_config(path: Path) -> Config:
    settings = load_config(path)
    _check_methods(settings)
    return settings


def _check_methods(settings: Config) -> None:
    """Hold the options of layers other than LinearConv to the layers themselves, which imports torch."""
    if any(v.layer not in (PLAIN, "linear") for v in settings.known_variants.values()):
        from linconv.layers import check_methods

        check_methods(settings.known_variants)


def _resolve(config: Config, key: RunKey) -> ResolvedRun:
    try:
        return resolve_run(config, key)
    except ValueError as error:
        raise ConfigError(f"{error}; `linconv plan` lists them") from None


def _one_model(architecture: str, variant: str, shape: str, classes: int, batch_size: int) -> Config:
    """A configuration that holds one network, so that its checks and messages serve here too."""
    try:
        sizes = [int(n) for n in shape.lower().split("x")]
    except ValueError:
        raise ConfigError(f"--input: channels x height x width expected, such as 3x32x32, not {shape!r}") from None
    grid = {"architectures": [architecture], "input_shape": sizes, "classes": classes, "batch_size": batch_size}
    raw = {"experiment": "one", "datasets": ["cifar10"], "architectures": [architecture], "variants": [variant]}
    return parse_config({**raw, "seeds": [0], "complexity": grid}, "command line")


def _command() -> str:
    """This call as it can be typed again, without the names of folders above the current one."""
    here = Path.cwd()
    words = (Path(word) if word.startswith("/") else word for word in sys.argv[1:])
    shown = (
        str(w.relative_to(here) if w.is_relative_to(here) else w.name) if isinstance(w, Path) else w for w in words
    )
    return shlex.join(["linconv", *shown])


def _log_to(path: Path | None) -> None:
    handler: logging.Handler = logging.StreamHandler()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", handlers=[handler])
    logging.captureWarnings(True)


def main() -> None:
    """Run the command line; an error a user can mend is one message, without a traceback, and exit code 2 (or 1)."""
    try:
        app()
    except UserError as error:
        logging.getLogger("linconv").error("error: %s", error)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
