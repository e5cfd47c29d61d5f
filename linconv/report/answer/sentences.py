"""The answer in three sentences with numbers, and one line on what is missing for it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from linconv.report.answer.model import Answer, Row
from linconv.report.costs import latency_timings, timed_at
from linconv.report.labels import place_label, variant_label
from linconv.report.text import number
from linconv.report.timings import hardware_of
from linconv.report.verdicts import difference_text, open_notes
from linconv.report.wording import gap_notes
from linconv.statistics import MIN_RUNS, Comparison

CLEARLY = 0.05  # of the plain network's time, as the claims about time
SAME_SIZE = (0.95, 1.02)  # a variant with so many times the narrower network's parameters is of its size


def sentences(answer: Answer) -> list[str]:
    """The verdict, then differences and costs beside the plain network, then beside the narrower one.

    A last one names diverged runs among these.
    """
    rows = [row for row in answer.rows if row.variant in answer.linear]
    diverged = [row.cell for row in answer.rows if row.cell.diverged]
    notes = " ".join(gap_notes(answer.experiment, diverged))
    found = [_verdict(answer, rows), _beside_plain(answer, rows), _beside_narrow(answer, rows), notes]
    return [text for text in found if text]


def missing(answer: Answer) -> str:
    """What the experiment lacks for an answer, or which runs would decide it, in one line; "" where it is decided."""
    parts = list(_missing(answer))
    if parts:
        return f"For an answer this lacks {'; '.join(parts)}."
    return " ".join(open_notes(answer.compared))


def _missing(answer: Answer) -> Iterator[str]:
    if not answer.linear:
        yield "a finished run of a LinearConv variant"
        return
    if answer.row("conv") is None:
        yield "a finished run of the plain network (`conv`)"
    if answer.narrow is None:
        yield (
            "a plain network with fewer channels and LinearConv's size (in `define`: "
            f"`narrow: {{layer: conv, narrow_to: {answer.linear[-1]}}}`)"
        )
    elif answer.row(answer.narrow) is None:
        yield f"a finished run of {variant_label(answer.narrow)}"
    few = [row for row in answer.rows if row.variant in ("conv", *answer.linear, answer.narrow)]
    short = [f"{variant_label(row.variant)} has {row.cell.value.n}" for row in few if row.cell.value.n < MIN_RUNS]
    if short:
        yield f"runs with other seeds: {MIN_RUNS} of each are needed ({', '.join(short)})"


def _verdict(answer: Answer, rows: Sequence[Row]) -> str:
    """One sentence, without an error for what it says."""
    narrow = answer.row(answer.narrow)
    against = [(row, row.to_narrow) for row in rows if row.to_narrow is not None and row.to_narrow.tested]
    if narrow is None or not against:
        return _without_narrow(answer, rows)
    sizes = {row.variant: row.parameters.value / narrow.parameters.value for row, _ in against}
    larger = [(row, c) for row, c in against if sizes[row.variant] > SAME_SIZE[1]]
    smaller = [(row, c) for row, c in against if sizes[row.variant] < SAME_SIZE[0]]
    better = _of([pair for pair in against if pair not in larger], 1)
    worse = _of([pair for pair in against if pair not in smaller], -1)
    alike = all(SAME_SIZE[0] <= sizes[row.variant] <= SAME_SIZE[1] for row in better or worse)
    beside = f"a plain network {'of the same size' if alike else 'with fewer channels'}"
    if better:
        return f"Use LinearConv here: {_names(better)} {_is(better)} more accurate than {beside}."
    if worse:
        equal = [pair for pair in against if pair[1].outcome == "equivalent" and pair not in (*larger, *smaller)]
        rather = _and([variant_label(row.variant) for row in worse]) if equal else "LinearConv"
        said = f"{_names(worse)} {_is(worse)} less accurate than {beside}{_equal(equal)}"
        return (
            f"Use fewer channels rather than {rather}: {said}{_with_more_parameters(larger)}{_faster(narrow, worse)}."
        )
    beside = "a plain network with fewer channels"
    if all(c.outcome == "equivalent" for _, c in against):
        return f"LinearConv and {beside} are equally accurate here{_within(against)}: choose by cost."
    if rows := _of(larger, 1):
        return f"{_names(rows)} {_is(rows)} more accurate than {beside}, but larger: choose by cost."
    if rows := _of(smaller, -1):
        return f"{_names(rows)} {_is(rows)} less accurate than {beside}, but smaller: choose by cost."
    return f"Not decided: LinearConv is neither shown to be better nor worse than {beside}."


def _equal(found: Sequence[tuple[Row, Comparison]]) -> str:
    """Which variants of the narrower network's size equal it within the margin."""
    if not found:
        return ""
    rows, margin = [row for row, _ in found], found[0][1].margin.points
    return f", while {_names(rows)} {'equals' if len(rows) == 1 else 'equal'} it within ±{number(margin, 2)} points"


def _within(against: Sequence[tuple[Row, Comparison]]) -> str:
    """The differences that are shown but lie within the margin."""
    shown = [(row, c) for row, c in against if c.differs]
    if not shown:
        return ""
    parts = [f"{_names([row])} {'better' if c.mean > 0 else 'worse'}" for row, c in shown]
    return f" within ±{number(shown[0][1].margin.points, 2)} points ({_and(parts)} by less)"


def _with_more_parameters(larger: Sequence[tuple[Row, Comparison]]) -> str:
    if better := _of(larger, 1):
        return f"; {_names(better)} {_is(better)} more accurate than it, with more parameters"
    equal = [row for row, c in larger if c.outcome == "equivalent" and not c.differs]
    return f"; {_names(equal)} {_is(equal)} as accurate as it, but with more parameters" if equal else ""


def _faster(narrow: Row, worse: Sequence[Row]) -> str:
    """Whether the narrower network is shown to take less time than the variants timed beside it."""
    times = [row.time.ratio for row in worse if not math.isnan(row.time.ratio)]
    return "; the narrower network is also faster" if times and narrow.time.ratio < min(times) - CLEARLY else ""


def _without_narrow(answer: Answer, rows: Sequence[Row]) -> str:
    tested = [(row, row.to_plain) for row in rows if row.to_plain is not None and row.to_plain.tested]
    worse = _of(tested, -1)
    if worse:
        what = f"{_names(worse)} {_is(worse)} less accurate than the plain network"
    elif tested and all(c.outcome == "equivalent" for _, c in tested):
        what = "LinearConv is as accurate as the plain network, within the margin"
    else:
        what = "no difference to the plain network is decided" if tested else "nothing could be tested"
    return f"No answer yet: {what}, and a plain network of LinearConv's size was not compared."


def _of(found: Sequence[tuple[Row, Comparison]], sign: int) -> list[Row]:
    """The variants shown to be better (1) or worse (-1), by more than the margin; no better one has diverged runs."""
    shown = [row for row, c in found if c.outcome == "different" and sign * c.mean > 0]
    return [row for row in shown if sign < 0 or not row.cell.diverged]


def _names(rows: Sequence[Row]) -> str:
    return _and([f"{variant_label(row.variant)}{_coefficients(row)}" for row in rows])


def _coefficients(row: Row) -> str:
    known = {True: " (low-rank coefficients)", False: " (full coefficients)"}
    return "" if row.low_rank is None else known[row.low_rank]


def _is(rows: Sequence[Row]) -> str:
    return "is" if len(rows) == 1 else "are"


def _and(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def _beside_plain(answer: Answer, rows: Sequence[Row]) -> str:
    plain = answer.row("conv")
    parts = [
        f"{variant_label(row.variant)} has {_difference(row.to_plain)}, at {costs(row)}"
        for row in rows
        if row.to_plain is not None
    ]
    if plain is None or not parts:
        return ""
    place = place_label(*answer.place[::-1])
    head = f"Beside the plain network ({place}, {number(plain.cell.value.mean, 2)} %, {_runs(plain)})"
    return f"{head}: {'; '.join(parts)}{_timing(answer, rows)}."


def _beside_narrow(answer: Answer, rows: Sequence[Row]) -> str:
    narrow = answer.row(answer.narrow)
    parts = [
        f"{variant_label(row.variant)} has {_difference(row.to_narrow)}" for row in rows if row.to_narrow is not None
    ]
    if narrow is None or not parts:
        return ""
    return f"Beside a plain network with fewer channels ({costs(narrow)}): {'; '.join(parts)}."


def _difference(found: Comparison | None) -> str:
    if found is None:
        return ""
    words = {"equivalent": f"equal within ±{number(found.margin.points, 2)}", "n too small": "too few runs for a test"}
    if found.differs:
        verdict = "more accurate" if found.mean > 0 else "less accurate"
        if found.outcome == "equivalent":
            verdict += f" by less than {number(found.margin.points, 2)}"
    else:
        verdict = words.get(found.outcome, found.text)
    mean, _, interval = difference_text(found).partition(" ")
    return f"{mean} points {interval}, {verdict}" if interval else f"{mean} points, {verdict}"


def costs(row: Row) -> str:
    """The costs of a variant that are known, as shares of the plain network's."""
    known = [(row.parameters, "parameters"), (row.macs, "multiply-accumulates"), (row.time, "time")]
    parts = [f"{100 * cost.ratio:.0f} % of the {name}" for cost, name in known if not math.isnan(cost.ratio)]
    return _and(parts) or "costs that were not counted"


def _runs(row: Row) -> str:
    n = row.cell.value.n
    return f"{n} run{'s' * (n != 1)}"


def _timing(answer: Answer, rows: Sequence[Row]) -> str:
    """Where and how the time was measured; "" where it was not."""
    at, forms = timed_at(answer.experiment), dict.fromkeys(row.form for row in rows if row.form)
    if at is None or not forms:
        return ""
    hardware = hardware_of(latency_timings(answer.experiment))
    return f" (time: inference of {at.batch_size} images, {' or '.join(forms)}, {hardware})"
