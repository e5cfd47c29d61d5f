"""A run made again from its own record, and held to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from linconv.cli.options import command_line, log_to
from linconv.config import ResolvedRun
from linconv.results import RunResult, read_result
from linconv.results.outcomes import read_outcomes
from linconv.results.reproduction import TOLERATED_TOP1, Reproduction, compare_runs, settings_of
from linconv.stopping import deferred

app = typer.Typer()


@app.command("reproduce")
def reproduce(
    result: Annotated[Path, typer.Argument(help="a run's result.json", show_default=False)],
    check: Annotated[bool, typer.Option("--check", help="exit with 1 unless the original is confirmed")] = False,
    results: Annotated[Path, typer.Option(help="where the new result goes")] = Path("results/reproduced"),
    data_root: Annotated[str | None, typer.Option(help="folder of the data sets", show_default=False)] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; by default the original's")] = None,
    tolerance: Annotated[float, typer.Option(min=0, help="points of top-1, if the bits may differ")] = TOLERATED_TOP1,
    force: Annotated[bool, typer.Option("--force", help="train again what is already there")] = False,
) -> None:
    """Train exactly the run that a result file describes, and say what differs.

    Code, versions, processor or GPU and settings that differ from the original's are listed: they may move bits. With
    --check, the original is confirmed where the two are equal to the bit, or, if something in that list has changed,
    where their top-1 accuracies differ by at most the tolerance.
    """
    log_to(None)
    original = read_result(result, RunResult)
    run = ResolvedRun.model_validate(original.config)
    settings = settings_of(original, device=device, data_root=data_root)
    folder = results / run.experiment / run.key.path
    if folder.resolve() == result.parent.resolve():
        raise typer.BadParameter("the new result would replace the original", param_hint="--results")
    from linconv.devices import device_slot

    with device_slot(settings.device, settings.runs_per_gpu) as here:
        with deferred():
            from linconv.runner import perform_run  # torch must see the device chosen above

        perform_run(run, settings, folder, here, command=command_line(), progress=True, force=force)
    # the file and not the object: what was measured may not have been written
    again = read_result(folder / "result.json", RunResult)
    found = compare_runs(original, again, read_outcomes(result.parent, original), read_outcomes(folder, again))
    typer.echo(_report(found, original))
    if check and not found.holds(tolerance):
        raise typer.Exit(1)


def _report(found: Reproduction, original: RunResult) -> str:
    before, now = ("none" if value is None else f"{value:.2f} %" for value in found.top1)
    lines = [f"top-1 {before}, again {now}: {found.verdict}"]
    lines += [f"  differs: {line}" for line in found.differences]
    lines += [f"  changed: {change}" for change in found.changes]
    commit = original.provenance.git_commit
    if any(change.name == "code" for change in found.changes) and commit is not None:
        dirty = ", with changes that were not committed" if original.provenance.git_dirty else ""
        lines.append(f"  the code of the original: git checkout {commit}{dirty}")
    return "\n".join(lines)
