"""What timings in engines say, as sentences."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from linconv.report.labels import architecture_label, variant_label
from linconv.report.source import Experiment

_CALL = ["engine", "architecture", "batch_size"]


def engine_sentences(experiment: Experiment) -> Iterator[str]:
    """A sentence per precision: the share of the plain network's time that each variant takes in its fastest form.

    The range is over engines, networks and batches. Nothing where nothing was timed in engines.
    """
    frame = experiment.frames["deployment"]
    timed = frame[(frame["form"] != "plain") & frame["ratio"].notna()]
    if timed.empty:
        return
    engines = ", ".join(timed["engine"].drop_duplicates())
    networks = ", ".join(architecture_label(name) for name in timed["architecture"].drop_duplicates())
    batches = " and ".join(str(batch) for batch in sorted(timed["batch_size"].drop_duplicates()))
    yield (
        f"Inference beside the plain network in the same engine ({engines}; {networks}; batches of {batches}; "
        f"{', '.join(timed['hardware'].drop_duplicates())}, threads: "
        f"{', '.join(map(str, timed['threads'].drop_duplicates()))}), from the shortest to the longest cell."
    )
    for precision, own in timed.groupby("precision", sort=False):
        shares = [_share(str(variant), arms) for variant, arms in own.groupby("variant", sort=False)]
        yield f"In {precision} {', '.join(shares)} of its time, each in the form that is fastest there."


def _share(variant: str, arms: pd.DataFrame) -> str:
    fastest = arms.groupby(_CALL, sort=False)["ratio"].min()
    return f"{variant_label(variant)} {fastest.min():.2f} to {fastest.max():.2f}"
