"""The claim that the paper's columns of parameters and FLOPs follow from its networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from linconv.config import VARIANTS
from linconv.report.claims.model import NOT_COUNTED, PAPER, Claim, Verdict
from linconv.report.published import PrintedCount, printed_counts
from linconv.report.source import Experiment

_EQUAL = ("yes", "as released", "truncated")


def printed_columns(experiments: Sequence[Experiment]) -> Iterator[Claim]:
    """The paper's parameter and FLOP columns come out of the definitions."""
    cells = max((_as_published(e) for e in experiments), key=_equal, default=[])
    counted = [c for c in cells if c.equal != "missing"]
    yield Claim(
        "printed-columns",
        "The paper's columns of parameters and FLOPs follow from its networks.",
        PAPER,
        _verdict(cells, counted),
        _evidence(cells, counted) if counted else NOT_COUNTED,
        rule="Supported where all cells are counted and equal, quirks that are named included; undecided where some "
        "are not counted.",
    )


def _verdict(cells: Sequence[PrintedCount], counted: Sequence[PrintedCount]) -> Verdict:
    if not counted:
        return "not measured"
    if any(c.equal == "no" for c in counted):
        return "not supported"
    return "supported" if len(counted) == len(cells) else "undecided"


def _evidence(cells: Sequence[PrintedCount], counted: Sequence[PrintedCount]) -> str:
    quirks = sum(c.equal in ("as released", "truncated") for c in counted)
    wrong = sum(c.equal == "no" for c in counted)
    return (
        f"{_equal(cells)} of {len(cells)} printed cells come out to the printed digits, {quirks} of them only with a "
        f"quirk of the released code or of the print; {wrong} differ, {len(cells) - len(counted)} were not counted."
    )


def _as_published(experiment: Experiment) -> list[PrintedCount]:
    """The printed cells beside ours; those whose variant the configuration defines otherwise count as missing."""
    known = experiment.config.known_variants
    changed = {name for name, variant in VARIANTS.items() if known[name] != variant}
    return [c._replace(equal="missing") if c.variant in changed else c for c in printed_counts(experiment)]


def _equal(cells: Sequence[PrintedCount]) -> int:
    return sum(c.equal in _EQUAL for c in cells)
