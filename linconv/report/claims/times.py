"""Claims about time, decided by timings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pandas as pd

from linconv.report.claims.model import OURS, PAPER, SAME_AT_INFERENCE, Claim, Verdict
from linconv.report.claims.scope import evidence
from linconv.report.labels import architecture_label, variant_label
from linconv.report.source import Experiment
from linconv.report.timings import where_timed

EQUAL = 0.05  # a ratio that near to 1 counts as the same speed, unless equal networks differ more (A/A band)
_NOTHING = (
    "No result file holds a timing; `throughput:` in a configuration, or `linconv measure throughput`, makes them."
)


def measured_speed(experiments: Sequence[Experiment]) -> Iterator[Claim]:
    """Folded at inference, and `auto` at inference and in training, against the plain network."""
    frames = [
        e.throughput[(e.throughput["status"] == "ok") & e.throughput["variant"].isin(evidence(e.config))]
        for e in experiments
    ]
    held = [f for f in frames if not f.empty]
    timed = pd.concat(held) if held else None
    yield _folded(timed)
    for activity, what in (("inference", "At inference"), ("training", "In a training step")):
        yield _faster(
            timed,
            activity,
            f"{what} a LinearConv network with mode auto, feature space wherever it is expected to pay, is faster "
            "than the plain one.",
        )


def _folded(timed: pd.DataFrame | None) -> Claim:
    """Equivalence on paired rounds, within a margin that two equal networks keep."""
    rule = (
        "The time of every folded network relative to the plain one, in paired rounds, by the 95 % interval of the "
        f"median (order statistics). The margin is ±{100 * EQUAL:.0f} %, or the A/A band of the timing where it is "
        "wider. Supported if every interval lies within its margin; not supported if one lies beyond it; undecided "
        "otherwise, also with fewer than six rounds."
    )
    statement = "At inference a LinearConv network, folded, is as fast as the plain one."
    arms = None if timed is None else timed[timed["form"] == "folded"]
    if timed is None or arms is None or arms.empty:
        return Claim("inference-speed", statement, PAPER, "not measured", _NOTHING, rule=rule, quote=SAME_AT_INFERENCE)
    margin = arms["band"].clip(lower=EQUAL)
    within = (arms["median_low"] >= 1 - margin) & (arms["median_high"] <= 1 + margin)
    beyond = (arms["median_low"] > 1 + margin) | (arms["median_high"] < 1 - margin)
    unclear = arms[~within & ~beyond]
    verdict: Verdict = "supported" if within.all() else "not supported" if beyond.any() else "undecided"
    text = (
        f"Time relative to the plain network: {_range(arms)} over {len(arms)} timings, margins ±"
        f"{100 * margin.min():.0f} to ±{100 * margin.max():.0f} %. {within.sum()} are equivalent, "
        f"{beyond.sum()} different, {len(unclear)} undecided. {_list(unclear, 'Undecided')} "
        f"{_list(arms[beyond], 'Different')} Timed on {where_timed(arms)}."
    )
    found = " ".join(text.split())
    claim = Claim("inference-speed", statement, PAPER, verdict, found, rule=rule, quote=SAME_AT_INFERENCE)
    return replace(claim, preliminary=_unfolded(timed))


def _unfolded(timed: pd.DataFrame) -> str:
    weight = timed[(timed["form"] == "weight") & (timed["activity"] == "inference")]
    return "" if weight.empty else f"Not folded, in weight space: {_range(weight)}."


def _faster(timed: pd.DataFrame | None, activity: str, statement: str) -> Claim:
    rule = (
        "Of every network, batch and variant timed in the form auto: supported if all are faster beyond their "
        "cell's A/A band; not supported if one is slower beyond it; undecided otherwise."
    )
    id_ = f"feature-space-{activity}"
    arms = None if timed is None else timed[(timed["form"] == "auto") & (timed["activity"] == activity)]
    if arms is None or arms.empty:
        return Claim(id_, statement, OURS, "not measured", _NOTHING, rule=rule)
    faster = arms[arms["difference"] == "faster"]
    slower = (arms["difference"] == "slower").any()
    verdict: Verdict = "supported" if len(faster) == len(arms) else "not supported" if slower else "undecided"
    text = (
        f"{len(faster)} of {len(arms)} are faster. {_list(faster, 'Faster')} "
        f"{_list(arms[arms['difference'] != 'faster'], 'Not faster')} Timed on {where_timed(arms)}."
    )
    return Claim(id_, statement, OURS, verdict, text.replace("  ", " "), rule=rule)


def _range(arms: pd.DataFrame) -> str:
    return f"{arms['ratio'].min():.2f} to {arms['ratio'].max():.2f}"


def _list(arms: pd.DataFrame, head: str) -> str:
    """The arms by network and batch, such as "Faster: VGG11 at batch 50 (Lr 0.64, LRr 0.65)."; "" for none."""
    parts = []
    cells = arms[["architecture", "batch_size"]].drop_duplicates().itertuples(index=False)
    for architecture, batch in cells:
        own = arms[(arms["architecture"] == architecture) & (arms["batch_size"] == batch)]
        ratios = ", ".join(f"{variant_label(v)} {r:.2f}" for v, r in zip(own["variant"], own["ratio"], strict=True))
        parts.append(f"{architecture_label(architecture)} at batch {batch} ({ratios})")
    return f"{head}: {'; '.join(parts)}." if parts else ""
