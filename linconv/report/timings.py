"""What tables, figures and claims say about timings, everywhere in the same words."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from linconv.report.labels import variant_label
from linconv.report.source import Experiment

TIMED_FORMS = ("auto", "feature", "weight", "folded", "optimized")
# The columns that name a call: what was timed, of which the forms of the variants are compared with each other.
CALL = ["backend", "precision", "architecture", "activity", "batch_size"]
# The count of complexity.csv that a form's time is set beside; a folded network has the plain one's.
_MACS = {
    "inference": {"auto": "macs_auto", "feature": "macs_feature", "weight": "macs_weight", "folded": "macs_folded"},
    "training": {"auto": "macs_train_auto", "feature": "macs_train_feature", "weight": "macs_train_weight"},
}
_PLAIN_MACS = {"inference": "macs_folded", "training": "macs_train_folded"}


def macs_ratio(
    experiment: Experiment, architecture: str, variant: str, activity: str, form: str = "auto"
) -> float | None:
    """Multiply-accumulates of a variant's form relative to the plain network, None where they were not counted."""
    plain, model = experiment.model(architecture, "conv"), experiment.model(architecture, variant)
    if plain is None or model is None:
        return None
    return float(model[_MACS[activity][form]] / plain[_PLAIN_MACS[activity]])


def how_label(backend: str, precision: str) -> str:
    """The precision, and the backend where it is another than plain PyTorch."""
    return precision if backend == "eager" else f"{precision}, {backend}"


def where_timed(frame: pd.DataFrame) -> str:
    """The hardware, threads, layout and versions of timings."""
    texts = []
    columns = ["hardware", "device", "threads", "torch", "channels_last"]
    for *where, torch, layout in frame[columns].drop_duplicates().itertuples(index=False):
        texts.append(f"{_hardware(*where)}, torch {torch}{', channels_last' if layout else ''}")
    return "; ".join(texts)


def hardware_of(frame: pd.DataFrame) -> str:
    """The hardware and threads of timings."""
    rows = frame.dropna(subset=["hardware"])[["hardware", "device", "threads"]].drop_duplicates()
    return "; ".join(_hardware(*row) for row in rows.itertuples(index=False))


def _hardware(name: str, device: str, threads: float) -> str:
    cores = f", {threads:g} thread{'s' * (threads != 1)}" if device == "cpu" and not pd.isna(threads) else ""
    return f"{name}{cores}"


def usual_batch(timed: pd.DataFrame) -> int:
    """The batch of the paper's protocol where it was timed, else the largest."""
    batches = {int(b) for b in timed["batch_size"]}
    return 50 if 50 in batches else max(batches, default=0)


def pruned_note(experiment: Experiment, variants: Sequence[str]) -> list[str]:
    """Which of the timed variants are pruned networks, whose counts are not those of complexity.csv."""
    known = experiment.config.known_variants
    names = [v for v in variants if v != "conv" and known[v].pruning is not None]
    if not names:
        return []
    return [f"Timed as what pruning leaves, whose MACs are in the runs alone: {', '.join(map(variant_label, names))}."]


def shown_variants(experiment: Experiment, timed: pd.DataFrame) -> tuple[list[str], list[str]]:
    """The variants of some timings, in the order of the configuration, and those that figures show."""
    planned = [v for v in experiment.config.known_variants if v in set(timed["variant"]) - {"conv"}]
    return planned, experiment.shown_in_detail(planned)
