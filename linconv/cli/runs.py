"""The runs of a configuration: checked, listed, trained, and fitted into a given time."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Literal

import typer
import yaml

from linconv.catalogue.examples import examples
from linconv.cli.options import (
    ConfigFile,
    ResultsOption,
    check_method_options,
    command_line,
    log_to,
    read_config,
    require_known,
    seconds,
)
from linconv.cli.together import Together
from linconv.config import Config, ConfigError, ResolvedRun, RunKey, load_config, plan_runs, resolve_run
from linconv.launch import launch
from linconv.results.run_folder import finished, settle
from linconv.stopping import INTERRUPTED, deferred

app = typer.Typer()


@app.command("config")
def show_config(
    config: Annotated[Path | None, typer.Argument(help="configuration file (YAML)", show_default=False)] = None,
    example: Annotated[str | None, typer.Option(help="print this one of `linconv list examples` as it is")] = None,
) -> None:
    """Check a configuration and print it with every default filled in; or print one that comes with the package."""
    if (config is None) == (example is None):
        raise ConfigError("give either a FILE or --example NAME; `linconv list examples` names them")
    if example is not None:
        require_known([example], examples(), "example")
        typer.echo(examples()[example].read_text(encoding="utf-8"), nl=False)
        return
    assert config is not None
    typer.echo(yaml.safe_dump(read_config(config).model_dump(mode="json"), sort_keys=False), nl=False)


@app.command("plan", cls=Together)
def plan(
    config: ConfigFile,
    estimate: Annotated[bool, typer.Option("--estimate", help="hours, disk space and downloads instead")] = False,
    results: Annotated[Path, typer.Option(help="with --estimate: folder of the results")] = Path("results"),
    device: Annotated[str | None, typer.Option(help="with --estimate: cpu or cuda", show_default=False)] = None,
) -> None:
    """List the runs of a configuration, one per line; or estimate what those without a result will take here.

    The estimate times a few training steps of every kind of run, about a second each.
    """
    settings = read_config(config)
    if estimate:
        from linconv.cli.estimating import show_estimate

        show_estimate(settings, results, device or settings.device)
        return
    for key in plan_runs(settings):
        typer.echo(str(key))


@app.command("train")
def train(
    config: ConfigFile,
    dataset: Annotated[str, typer.Option(help="data set of the run")],
    architecture: Annotated[str, typer.Option(help="network of the run")],
    variant: Annotated[str, typer.Option(help="variant of the run")],
    seed: Annotated[int, typer.Option(help="seed of the run")],
    split: Annotated[int, typer.Option(help="split of the data, 0 being the published one")] = 0,
    results: ResultsOption = Path("results"),
    log: Annotated[Path | None, typer.Option(help="write plain lines there instead of a progress bar")] = None,
    force: Annotated[bool, typer.Option("--force", help="train again what is already there")] = False,
) -> None:
    """Train one run of a configuration and write its result file; resumes where an interrupted one stopped.

    A result of the same configuration and code that is already there stays as it is. With --force it is put aside as
    result.previous.json until the new one is written.

    SIGTERM or Ctrl-C ends a training after the step in progress, with exit code 75; the same command continues it.

    Several processes train one run together: torchrun --nproc-per-node 4 -m -- linconv.cli train CONFIG ...
    """
    log_to(log)
    started = launch()
    settings = load_config(config)
    run = _resolve(settings, RunKey(dataset, architecture, variant, seed, split))
    folder = results / settings.experiment / run.key.path
    alone = started.processes == 1  # several see first whether all are there
    if alone and not force and finished(folder, run, weights=settings.keep_weights) is not None:
        settle(folder)
        logging.getLogger("linconv").info("%s: already there, %s", run.key, folder / "result.json")
        return
    from linconv.devices import device_slot

    with device_slot(settings.device, settings.runs_per_gpu) as device:
        with deferred():
            from linconv.runner import perform_run  # torch must see the device chosen above

        check_method_options({variant: run.definition}, config)
        progress = log is None and started.is_first
        result = perform_run(run, settings, folder, device, command=command_line(), progress=progress, force=force)
    if not started.is_first:
        return
    top1 = "none" if result.metrics.top1 is None else f"{result.metrics.top1:.2f} %"
    typer.echo(f"{run.key}: {result.status}, top-1 {top1}, {folder / 'result.json'}", err=True)


@app.command("session")
def session(
    config: ConfigFile,
    output: Annotated[Path, typer.Option(help="folder of all results; a second session there continues")],
    budget: Annotated[str, typer.Option(help="the time until everything has ended, such as 20m")] = "20m",
    device: Annotated[Literal["cpu", "cuda"], typer.Option()] = "cuda",
    train: Annotated[
        list[Path] | None,
        typer.Option(help="configuration to train instead of CONFIG; may be repeated", show_default=False),
    ] = None,
    side_by_side: Annotated[int, typer.Option(min=1, help="runs at the same time on a GPU")] = 6,
    plan: Annotated[bool, typer.Option("--plan", help="print the steps and their seconds, and end")] = False,
) -> None:
    """Check, time and train as much as fits into a given time on this machine, the most informative first.

    The exit code is 0 where every step was done, 1 where one failed, 75 where the time was over before: the same
    command continues.
    """
    log_to(None)
    trainings = train or [config]
    from linconv.devices import DeviceError, visible_gpus
    from linconv.session import plan_session, run_session

    if plan:
        for planned in plan_session(read_config(config), trainings, output, device, seconds(budget), side_by_side):
            limit = "the rest" if planned.seconds is None else f"{planned.seconds:.0f} s"
            typer.echo(f"{planned.name:<12} at most {limit:<9} linconv {' '.join(planned.arguments)}")
        return
    if device == "cuda" and not visible_gpus():
        raise DeviceError("no CUDA device is visible; run this on a machine with one, or try it with --device cpu")
    report = run_session(
        config, trainings, output, device=device, budget_seconds=seconds(budget), side_by_side=side_by_side
    )
    for step in report.steps:
        typer.echo(f"{step.outcome:<14} {step.seconds:7.1f} s  {step.name}  {step.detail}")
    outcomes = {step.outcome for step in report.steps}
    if "failed" in outcomes:
        raise typer.Exit(1)
    if outcomes & {"stopped", "no time"}:
        raise typer.Exit(INTERRUPTED)


def _resolve(config: Config, key: RunKey) -> ResolvedRun:
    try:
        return resolve_run(config, key)
    except ValueError as error:
        raise ConfigError(f"{error}; `linconv plan` lists them") from None
