"""What the page shows of one experiment: its tables, figures and cells, ready for the template."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml
from markupsafe import Markup

from linconv.catalogue.figures import FIGURES
from linconv.catalogue.tables import TABLES
from linconv.config import RunKey, plan_cells
from linconv.report.answer import leading, missing, sentences
from linconv.report.compare.origins import origin_values
from linconv.report.formats import to_html
from linconv.report.labels import architecture_label, dataset_label, draw_label, place_label, split_label, variant_label
from linconv.report.links import run_anchor
from linconv.report.page.images import Drawn, Image, Png, images, tall_answer
from linconv.report.page.plots import Plot, history_plots
from linconv.report.plan import Planned, plan_outputs
from linconv.report.source import CellKey, Experiment
from linconv.report.tables import make_table
from linconv.report.text import spread_text
from linconv.results import RunResult
from linconv.results.commands import shown_text
from linconv.results.folders import Results

LOG_LINES = 12
LONG = 48  # characters from which the text of a table's cell is broken into lines
_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class ShownTable(NamedTuple):
    """A table: its place on the page, a short title, the long caption, and the fragments of table and notes."""

    id: str
    title: str
    caption: str
    table: Markup
    notes: Markup


class Seed(NamedTuple):
    """One planned run of a cell: its result or why there is none, and the end of its log."""

    seed: str
    result: RunResult | None
    reason: str
    detail: str
    log: str


@dataclass(frozen=True)
class ShownCell:
    """One network with one variant on one data set."""

    id: str
    title: str
    top1: str
    status: str
    seeds: list[Seed]
    plots: list[Plot]
    configuration: str
    origins: dict[str, str]


class ShownAnswer(NamedTuple):
    """The weightiest answer of an experiment: where, the verdict, sentences with numbers, what is missing, its picture.

    `tall` is the picture for narrow screens.
    """

    place: str
    verdict: str
    sentences: list[str]
    missing: str
    image: Image | None
    tall: Png | None


@dataclass(frozen=True)
class Section:
    """One experiment; `left_out` are the tables and figures that it does not have, each with the reason."""

    slug: str
    name: str
    answer: ShownAnswer | None
    facts: list[tuple[str, str]]
    counts: dict[str, int]
    tables: list[ShownTable]
    figures: list[Image]
    left_out: list[tuple[str, str]]
    cells: list[ShownCell]
    failures: ShownTable | None


def slugs(roots: Sequence[Path]) -> list[str]:
    """A name per folder that can stand in an id, each another."""
    taken: Counter[str] = Counter()
    out = []
    for root in roots:
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", root.resolve().name)
        taken[name.lower()] += 1
        out.append(name if taken[name.lower()] == 1 else f"{name}-{taken[name.lower()]}")
    return out


def anchor(slug: str, dataset: str, architecture: str, variant: str) -> str:
    """The id of a cell on the page: that which tables link to, made the experiment's own."""
    return f"{slug}-{run_anchor(dataset, architecture, variant).removeprefix('#')}"


def section(
    slug: str, experiment: Experiment, results: Results, drawn: Drawn | None = None, *, workers: int = 1
) -> Section:
    """Everything the page says about one experiment; its figures are drawn here unless they are `drawn`."""
    planned, figures = plan_outputs(experiment, TABLES), plan_outputs(experiment, FIGURES)
    tables = {table.stem: _table(slug, table, experiment) for table in planned.made}
    failures = tables.pop("failures")
    failed = _failed(experiment)
    cells = [_cell(slug, cell, experiment, results, failed) for cell in plan_cells(experiment.config)]
    reasons = Counter(reason for key, (reason, _) in failed.items() if key is not None)
    shown = images(slug, experiment, figures.made, drawn, workers=workers)
    answer = _answer(experiment, shown)
    finished = int((experiment.runs["status"] == "ok").sum())
    return Section(
        slug=slug,
        name=experiment.config.experiment,
        answer=answer,
        facts=list(_facts(experiment)),
        counts={
            "planned": len(cells) * len(experiment.config.draws),
            "finished": finished,
            **dict(sorted(reasons.items())),
        },
        tables=list(tables.values()),
        figures=[image for image in shown if answer is None or image is not answer.image],
        left_out=[(p.title, p.why_not) for p in (*planned.left_out, *figures.left_out)],
        cells=cells,
        failures=None if experiment.frames["failures"].empty else failures,
    )


def _answer(experiment: Experiment, shown: Sequence[Image]) -> ShownAnswer | None:
    found = leading(experiment)
    if found is None:
        return None
    end = "-figure-answer_" + "_".join(found.place)
    image = next((image for image in shown if image.id.endswith(end)), None)
    verdict, *numbers = sentences(found)
    tall = tall_answer(experiment, found.place) if image else None
    return ShownAnswer(place_label(*found.place[::-1]), verdict, numbers, missing(found), image, tall)


def _facts(experiment: Experiment) -> Iterator[tuple[str, str]]:
    config = experiment.config
    yield "Data", ", ".join(map(dataset_label, config.datasets))
    yield "Networks", ", ".join(map(architecture_label, config.architectures))
    yield "Variants", ", ".join(map(variant_label, config.variants))
    yield "Seeds", ", ".join(map(str, config.seeds))
    if config.splits != (0,):
        yield "Splits", ", ".join(map(split_label, config.splits))
    epochs = sorted(set(experiment.runs["epochs"].dropna().astype(int)))
    if epochs:
        yield "Epochs", f"{epochs[0]}" if len(epochs) == 1 else f"{epochs[0]} to {epochs[-1]}"
    hardware = list(dict.fromkeys(experiment.runs["hardware"].dropna()))
    if hardware:
        yield "Hardware", ", ".join(hardware)


def _table(slug: str, planned: Planned, experiment: Experiment) -> ShownTable:
    """One table, its caption taken out to stand above, its links made the experiment's own."""
    table, _ = make_table(experiment, planned.stem)
    text = to_html(table).replace('href="#run-', f'href="#{slug}-run-')
    text = re.sub(r"<caption>.*?</caption>", f"<caption>{planned.title}</caption>", text, count=1, flags=re.DOTALL)
    text = re.sub(rf'(<td class="text)(?=[^>]*>[^<]{{{LONG},}}<)', r"\1 long", text)
    body, end, notes = text.partition("</table>")
    return ShownTable(f"{slug}-table-{planned.stem}", planned.title, table.caption, Markup(body + end), Markup(notes))


def _failed(experiment: Experiment) -> dict[RunKey | None, tuple[str, str]]:
    """Reason and detail of each run without a usable result (None: of the experiment itself)."""
    out: dict[RunKey | None, tuple[str, str]] = {}
    for _, row in experiment.frames["failures"].iterrows():
        key = None
        if not pd.isna(row["seed"]):
            key = RunKey(row["dataset"], row["architecture"], row["variant"], int(row["seed"]), int(row["split"]))
        detail = "" if pd.isna(row["detail"]) else str(row["detail"])
        out.setdefault(key, (str(row["reason"]), detail))
    return out


def _cell(
    slug: str,
    cell: CellKey,
    experiment: Experiment,
    results: Results,
    failed: dict[RunKey | None, tuple[str, str]],
) -> ShownCell:
    dataset, architecture, variant = cell
    seeds = [_seed(RunKey(*cell, *draw), results, failed) for draw in experiment.config.draws]
    found = [seed.result for seed in seeds if seed.result is not None]
    statistics = next(c for c in experiment.cells if c[:3] == cell)
    reasons = Counter(seed.reason for seed in seeds if seed.reason)
    return ShownCell(
        id=anchor(slug, *cell),
        title=f"{architecture_label(architecture)} {variant_label(variant)} on {dataset_label(dataset)}",
        top1=spread_text(statistics.value) if statistics.value.n else "",
        status=", ".join(f"{n} {reason}" for reason, n in sorted(reasons.items())),
        seeds=seeds,
        plots=history_plots(found),
        configuration=_configuration(found),
        origins={name: ", ".join(values) for name, values in origin_values(found).items()},
    )


def _seed(key: RunKey, results: Results, failed: dict[RunKey | None, tuple[str, str]]) -> Seed:
    reason, detail = failed.get(key, ("", ""))
    usable = reason in ("", "diverged")
    return Seed(
        draw_label(key.seed, key.split),
        results.runs.get(key) if usable else None,
        reason,
        detail,
        _log_end(results.root / key.log),
    )


def _configuration(found: Sequence[RunResult]) -> str:
    """The resolved configuration that the runs of a cell have in common but for their seed and split, as YAML."""
    distinct: list[dict[str, Any]] = []
    for run in found:
        config = {k: v for k, v in run.config.items() if k not in ("seed", "split")}
        if config not in distinct:
            distinct.append(config)
    return "\n".join(yaml.safe_dump(config, sort_keys=False, default_flow_style=None) for config in distinct)


def _log_end(log: Path) -> str:
    """The last lines of a log without control characters; "" without one."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(shown_text(_CONTROL.sub("", line))[:300] for line in lines[-LOG_LINES:])
