"""What the forms cost in time: the table of ratios, and the figure of multiply-accumulates that become time."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from linconv.report.drawing import batch_axis
from linconv.report.formats import Column, Entry, Table, numeric
from linconv.report.labels import architecture_label, legend_columns, network_markers, variant_label, variant_styles
from linconv.report.source import Experiment
from linconv.report.wording import detail_note

FORMS = ("auto", "feature", "weight", "folded", "optimised")
# The count of complexity.csv that a form's time is set beside; a folded network has the plain one's.
_MACS = {"auto": "macs_auto", "feature": "macs_feature", "weight": "macs_weight", "folded": "macs_folded"}
_MACS_TRAINING = {"auto": "macs_train_auto", "feature": "macs_train_feature", "weight": "macs_train_weight"}
_CELL = ["backend", "precision", "architecture", "activity", "batch_size"]
_CAPTION = (
    "Time of a call relative to the plain network: the median over rounds of the ratio within a round, and its "
    "quartiles. Below 1 is faster. Equal (≈): the ratio lies within the A/A band, the largest deviation from 1 of "
    "the median and the quartiles of a second plain network. MACs: those of the form auto relative to the plain "
    "network. Folded is a plain convolution; optimised has the faster exact form of every layer."
)
_FIGURE_CAPTION = (
    "How much of the saved work becomes time. Left: time of a call relative to the plain network over the "
    "multiply-accumulates of the form timed relative to the plain network (training: of forward and backward); on the "
    "diagonal all of the saving becomes time; bars are quartiles over rounds. Right: the same ratio over the batch, "
    "for inference in the form auto; the grey band is the widest A/A band. {where}"
)
OLDER = "Counts of an earlier version: the MACs of training in the form auto are those of feature space."


def speed(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """The time of every variant and form relative to the plain network, and the rows of throughput.csv."""
    frame = experiment.throughput
    timed = frame[frame["status"] == "ok"]
    forms = [form for form in FORMS if form in set(frame["form"])]
    rows: list[list[str | Entry]] = []
    breaks: set[int] = set()
    at: Any
    for at, cell in timed.groupby(_CELL, sort=False):
        breaks.add(len(rows))
        plain = cell[cell["form"] == "plain"].iloc[0]
        for variant, arms in cell[cell["form"] != "plain"].groupby("variant", sort=False):
            rows.append(
                [
                    *_place(*at),
                    numeric(plain["images_per_second"], 0 if plain["images_per_second"] >= 100 else 1),
                    numeric(100 * plain["band"], 1),
                    variant_label(str(variant)),
                    numeric(macs_ratio(experiment, str(at[2]), str(variant), str(at[3])), 2),
                    *(_ratio(arms[arms["form"] == form]) for form in forms),
                ]
            )
    table = Table(
        label="speed",
        caption=_CAPTION,
        columns=[
            *(Column(name, align="l") for name in ("network", "activity")),
            Column("batch"),
            Column("precision", align="l"),
            Column("images/s", "plain"),
            Column("A/A (%)", "plain"),
            Column("variant", align="l"),
            Column("MACs"),
            *(Column(form, "time") for form in forms),
        ],
        rows=rows,
        notes=[*_notes(frame), *_note_of_older_counts(experiment, timed), *_note_of_pruned(experiment, timed)],
        breaks=frozenset(breaks),
    )
    return table, frame


def macs_ratio(
    experiment: Experiment, architecture: str, variant: str, activity: str, form: str = "auto"
) -> float | None:
    """Multiply-accumulates of a variant's form relative to the plain network, None where they were not counted.

    Counts of earlier versions lack training in the form auto: those of feature space stand in for it.
    """
    plain, model = experiment.model(architecture, "conv"), experiment.model(architecture, variant)
    if plain is None or model is None:
        return None
    if activity == "training":
        counted = _MACS_TRAINING[form]
        if pd.isna(model[counted]):
            counted = _MACS_TRAINING["feature"]
        return float(model[counted] / plain["macs_train_folded"])
    return float(model[_MACS[form]] / plain["macs_folded"])


def _place(backend: Any, precision: Any, architecture: Any, activity: Any, batch: Any) -> list[str | Entry]:
    return [
        architecture_label(str(architecture)),
        str(activity),
        numeric(float(batch), 0),
        how_label(backend, precision),
    ]


def how_label(backend: str, precision: str) -> str:
    """The precision, and the backend where it is another than plain PyTorch."""
    return precision if backend == "eager" else f"{precision}, {backend}"


def _ratio(arm: pd.DataFrame) -> Entry:
    if arm.empty:
        return Entry("")
    row = arm.iloc[0]
    equal = " ≈" if row["difference"] == "no difference" else ""
    return Entry(f"{row['ratio']:.3f} ({row['ratio_low']:.3f} to {row['ratio_high']:.3f}){equal}", float(row["ratio"]))


def _notes(frame: pd.DataFrame) -> list[str]:
    if frame.empty:
        return ["Nothing was timed: the configuration has no `throughput`, or no timing is there yet."]
    notes = [f"Timed on {where(frame)}."]
    left_out = frame[frame["status"] != "ok"]
    keys: Any
    for keys, arms in left_out.groupby(["status", *_CELL], sort=False):
        status, *at = keys
        network, activity, batch, how = (x if isinstance(x, str) else x.text for x in _place(*at))
        names = ", ".join(
            dict.fromkeys(f"{variant_label(v)} {f}" for v, f in zip(arms["variant"], arms["form"], strict=True))
        )
        notes.append(f"{network}, {activity}, batch {batch}, {how}: {status}: {names}.")
    return notes


def _note_of_older_counts(experiment: Experiment, timed: pd.DataFrame) -> list[str]:
    trained = timed.loc[(timed["activity"] == "training") & (timed["form"] == "auto"), ["architecture", "variant"]]
    models = [experiment.model(*at) for at in trained.drop_duplicates().itertuples(index=False, name=None)]
    older = any(model is not None and pd.isna(model["macs_train_auto"]) for model in models)
    return [OLDER] if older else []


def _note_of_pruned(experiment: Experiment, timed: pd.DataFrame) -> list[str]:
    variants = experiment.config.known_variants
    names = [v for v in dict.fromkeys(timed["variant"]) if v != "conv" and variants[v].pruning is not None]
    if not names:
        return []
    return [f"Timed as what the cut leaves, whose MACs are in the runs alone: {', '.join(map(variant_label, names))}."]


def where(frame: pd.DataFrame) -> str:
    """The hardware, threads, layout and versions of timings."""
    texts = []
    columns = ["hardware", "device", "threads", "torch", "channels_last"]
    for hardware, device, threads, torch, layout in frame[columns].drop_duplicates().itertuples(index=False):
        cores = f", {threads:g} threads" if device == "cpu" and not pd.isna(threads) else ""
        texts.append(f"{hardware}{cores}, torch {torch}{', channels_last' if layout else ''}")
    return "; ".join(texts)


def shown_variants(experiment: Experiment, timed: pd.DataFrame) -> tuple[list[str], list[str]]:
    """The variants of some timings, in the order of the configuration, and those that figures show."""
    planned = [v for v in experiment.config.known_variants if v in set(timed["variant"]) - {"conv"}]
    return planned, experiment.shown_in_detail(planned)


def speed_figure(experiment: Experiment) -> tuple[Figure, str]:
    """Time over multiply-accumulates, and time over the batch, both relative to the plain network."""
    figure = Figure(figsize=(7.0, 3.4))
    figure.suptitle("Time relative to the plain network")
    left, right = figure.subplots(1, 2)
    frame = experiment.throughput
    timed = frame[(frame["status"] == "ok") & (frame["form"] != "plain")]
    planned, variants = shown_variants(experiment, timed)
    timed = timed[timed["variant"].isin(variants)]
    _over_macs(left, experiment, timed[timed["form"].isin(("auto", "weight"))])
    _over_batch(right, experiment, timed[(timed["form"] == "auto") & (timed["activity"] == "inference")])
    networks = list(dict.fromkeys(timed["architecture"]))
    styles, markers = variant_styles(variants), network_markers(networks)
    handles = [Line2D([], [], ls="", marker="s", color=styles[v][0], label=variant_label(v)) for v in variants]
    handles += [
        Line2D([], [], ls="", marker=markers[a], color="none", mec="black", label=architecture_label(a))
        for a in networks
    ]
    handles += [
        Line2D([], [], ls="", marker="o", color="black", label="inference"),
        Line2D([], [], ls="", marker="o", color="none", mec="black", label="training (hollow)"),
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=legend_columns([str(h.get_label()) for h in handles], 105)
    )
    notes = [*_note_of_older_counts(experiment, timed), *_note_of_pruned(experiment, timed)]
    sources = " ".join([f"Timed on {where(frame)}.", *notes])
    return figure, _FIGURE_CAPTION.format(where=sources) + detail_note(experiment, planned)


def _over_macs(axes: Axes, experiment: Experiment, timed: pd.DataFrame) -> None:
    styles = variant_styles([v for v in experiment.config.known_variants if v in set(timed["variant"])])
    markers = network_markers(list(dict.fromkeys(timed["architecture"])))
    largest = timed[timed["batch_size"] == usual_batch(timed)]
    least, most = 0.4, max(1.2, *largest["ratio_high"])
    for _, arm in largest.iterrows():
        x = macs_ratio(experiment, arm["architecture"], arm["variant"], arm["activity"], arm["form"])
        if x is None:
            continue
        least, most = min(least, 0.9 * x, 0.9 * arm["ratio_low"]), max(most, x)
        colour = styles[arm["variant"]][0]
        axes.errorbar(
            *(x, arm["ratio"]),
            yerr=[[arm["ratio"] - arm["ratio_low"]], [arm["ratio_high"] - arm["ratio"]]],
            fmt=markers[arm["architecture"]],
            color=colour,
            mfc=colour if arm["activity"] == "inference" else "white",
            ms=5,
            elinewidth=0.9,
        )
    low, high = least, 1.05 * most
    axes.plot([low, high], [low, high], color="#999999", lw=0.8, zorder=1)
    axes.axhline(1, color="#999999", lw=0.6, ls=":", zorder=1)
    axes.set(xlim=(low, high), ylim=(low, high))
    axes.set_xlabel("multiply-accumulates, relative")
    axes.set_ylabel("time, relative")
    axes.set_title(f"Batch {usual_batch(timed)}: auto and weight space")


def _over_batch(axes: Axes, experiment: Experiment, timed: pd.DataFrame) -> None:
    styles = variant_styles([v for v in experiment.config.known_variants if v in set(timed["variant"])])
    markers = network_markers(list(dict.fromkeys(timed["architecture"])))
    for architecture, variant in timed[["architecture", "variant"]].drop_duplicates().itertuples(index=False):
        arms = timed[(timed["architecture"] == architecture) & (timed["variant"] == variant)].sort_values("batch_size")
        axes.plot(
            *(arms["batch_size"], arms["ratio"], "-"),
            color=styles[variant][0],
            marker=markers[architecture],
            ms=5,
            lw=1,
        )
    if not timed.empty:
        band = float(timed["band"].max())
        axes.axhspan(1 - band, 1 + band, color="#DDDDDD", zorder=0)
    axes.axhline(1, color="#999999", lw=0.6, ls=":", zorder=1)
    batch_axis(axes, timed["batch_size"])
    axes.set_xlabel("images per call")
    axes.set_ylabel("time, relative")
    axes.set_title("Inference, auto")


def usual_batch(timed: pd.DataFrame) -> int:
    """The batch of the paper's protocol where it was timed, else the largest."""
    batches = {int(b) for b in timed["batch_size"]}
    return 50 if 50 in batches else max(batches, default=0)
