"""A page per experiment in Markdown, and one that lists them by weight: what was asked, and what came out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from linconv.report.answer.model import Answer, leading, weight
from linconv.report.answer.sentences import missing, sentences
from linconv.report.answer.times import engine_sentences
from linconv.report.formats import to_markdown
from linconv.report.labels import architecture_label, dataset_label, place_label, variant_label
from linconv.report.source import CellKey, Experiment
from linconv.report.tables import make_table
from linconv.report.tables.families import Family, families
from linconv.report.verdicts import open_notes
from linconv.statistics import MIN_RUNS

_LISTED = 12  # names in a sentence; the configuration has all


def experiment_markdown(experiment: Experiment) -> str:
    """What was asked, the answer, all differences with verdicts, what stays open, and where the runs come from."""
    parts = [
        f"# {experiment.config.experiment}",
        *_answer(experiment),
        "## What was asked",
        "\n".join(f"* {text}" for text in _asked(experiment)),
    ]
    if _compared(experiment):
        parts += [
            "## Differences and verdicts",
            _table(experiment, "comparisons"),
            "## What stays open",
            "\n".join(f"* {text}" for text in _open(experiment)),
        ]
    if not experiment.frames["deployment"].empty:
        parts += ["## Time in engines", _table(experiment, "deployment")]
    parts += [
        "## The runs",
        "\n".join(f"* {text}" for text in _runs(experiment)),
        "The same again, in any folder, with [the configuration of this experiment](config.yaml):",
        "<!-- not run: it trains every run -->\n```console\nlinconv plan config.yaml --estimate\n"
        "linconv run config.yaml\n```",
    ]
    return "\n\n".join(parts) + "\n"


def experiments_markdown(experiments: Sequence[Experiment]) -> str:
    """The experiments with their answers, the weightiest first."""
    lines = [
        "# Experiments, the weightiest first",
        "An experiment weighs more the larger the share of its differences that are decided, and then the shorter "
        "their intervals.",
    ]
    for experiment in sorted(experiments, key=weight, reverse=True):
        name, found = experiment.config.experiment, _leading(experiment)
        place = f" ({place_label(*found.place[::-1])})" if found else ""
        lines.append(f"## [{name}]({name}/experiment.md){place}")
        said = [*sentences(found), missing(found)] if found else list(engine_sentences(experiment))
        lines.append(" ".join(said).rstrip() or "No finished run.")
    return "\n\n".join(lines) + "\n"


def _answer(experiment: Experiment) -> Iterator[str]:
    found = _leading(experiment)
    if found is None:
        yield " ".join(engine_sentences(experiment)) or "No finished run."
        return
    verdict, *numbers = sentences(found)
    yield f"**{verdict}**"
    yield from numbers
    if lacks := missing(found):
        yield lacks
    if found.row("conv") and len(found.rows) > 1:
        name = "_".join(("answer", *found.place))
        yield f"![{place_label(*found.place[::-1])}: accuracy lost, and cost saved](figures/{name}.png)"


def _asked(experiment: Experiment) -> Iterator[str]:
    config = experiment.config
    places = dict.fromkeys(cell.place for cell in experiment.cells)
    variants = _names([v for v in config.variants if v != "conv"])
    narrow = [v for v in config.variants if config.known_variants[v].narrow_to is not None]
    if _compared(experiment):
        yield (
            f"How accurate are {variants} beside the plain network in "
            f"{_listed([place_label(architecture, dataset) for dataset, architecture in places])}?"
        )
    if narrow:
        yield f"Is a plain network with fewer channels and as many parameters the better choice ({_names(narrow)})?"
    if config.rankings:
        yield f"Which variant is the most accurate at equal {', '.join(config.rankings)}?"
    if config.throughput is not None:
        networks = _listed([architecture_label(name) for name in config.throughput.architectures])
        yield f"How much time do they take, in {networks}?"
    if config.deployment is not None:
        networks = _listed([architecture_label(name) for name in config.deployment.architectures])
        yield (
            f"How much time do {_names(config.deployment.variants)} take beside the plain network in "
            f"{_listed(config.deployment.engines)}, in {networks}?"
        )


def _compared(experiment: Experiment) -> bool:
    """Whether there is more to train than the plain network."""
    return len(experiment.config.variants) > 1


def _leading(experiment: Experiment) -> Answer | None:
    return leading(experiment) if _compared(experiment) else None


def _table(experiment: Experiment, name: str) -> str:
    table, _ = make_table(experiment, name)
    return to_markdown(table).rstrip()


def _open(experiment: Experiment) -> Iterator[str]:
    for family in families(experiment):
        notes = list(open_notes(family.comparisons))
        if not any(c.tested for c in family.comparisons):
            yield f"{family.label}: nothing could be tested; {MIN_RUNS} runs of each are needed."
        elif not notes:
            yield f"{family.label}: every difference is decided."
        for note in notes:
            runs = runs_to_close(experiment, family)
            more = f" These are {runs:,} more runs." if runs else ""
            yield f"{family.label}: {note[0].lower()}{note[1:]}{more}"
    answer = leading(experiment)
    if answer is not None and (lacks := missing(answer)).startswith("For"):
        yield lacks


def runs_to_close(experiment: Experiment, family: Family) -> int:
    """How many more runs close every open verdict that some number of seeds decides, references counted once."""
    needed: dict[CellKey, int] = {}
    for cell, reference, found in family.differences:
        if found.outcome == "undecided" and found.tested and found.seeds_needed is not None:
            for key in (cell, (*cell[:2], reference)):
                needed[key] = max(needed.get(key, 0), found.seeds_needed)
    have = {cell[:3]: cell.value.n for cell in experiment.cells}
    return sum(max(0, seeds - have.get(key, 0)) for key, seeds in needed.items())


def _runs(experiment: Experiment) -> Iterator[str]:
    config, runs = experiment.config, experiment.runs
    done = runs[runs["status"] == "ok"]
    planned = sum(cell.planned for cell in experiment.cells)
    yield f"Runs: {len(done)} of {planned} planned finished; seeds {', '.join(map(str, config.seeds))}."
    yield f"Variants: {_names(config.variants)}."
    epochs = done.groupby("architecture", sort=False)["epochs"].max().dropna()
    if done.empty:
        return
    yield f"Epochs: {', '.join(f'{architecture_label(str(a))} {int(n)}' for a, n in epochs.items())}."
    yield f"Hardware: {_counted(done, 'hardware')}. PyTorch: {_counted(done, 'torch')}."
    for dataset, own in done.groupby("dataset", sort=False):
        digests = [str(d) for d in dict.fromkeys(own["data"].dropna())]
        text = f"digest `{'`, `'.join(digests)}`" if digests else "no digest recorded (results of an older version)"
        yield f"Data: {dataset_label(str(dataset))}, {text}."
    commits = [str(c)[:12] for c in dict.fromkeys(done["git_commit"].dropna())]
    yield f"Code: commit{'s' * (len(commits) != 1)} {', '.join(commits)}."
    hours = done["seconds"].sum() / 3600
    if not math.isnan(hours):
        yield f"Time: {hours:.1f} hours of training, all runs together."
    first = next(iter(done["command"].dropna()), None)
    if first:
        yield f"Command of the first run, the others likewise: `{first}`."


def _counted(runs: pd.DataFrame, column: str) -> str:
    counts = runs[column].value_counts()
    if len(counts) == 1:
        return str(counts.index[0])
    return ", ".join(f"{name} ({n} runs)" for name, n in counts.items())


def _names(variants: Sequence[str]) -> str:
    return _listed([variant_label(v) for v in variants])


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
