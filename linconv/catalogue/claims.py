"""Every claim, in the order of the page. A new claim is a function in `linconv.report.claims` and an entry here.

The claims that rest on one measurement alone stand in the measurement's own entry.
"""

from __future__ import annotations

from linconv.catalogue._entry import Entry, by_name
from linconv.catalogue.measurements import MEASUREMENTS

# `target` is a function of all experiments together that yields `linconv.report.claims.Claim`s.
CLAIMS: dict[str, Entry] = by_name(
    Entry(
        name="half_the_parameters",
        label="parameters reduced by about half",
        target="linconv.report.claims.costs:half_the_parameters",
    ),
    Entry(
        name="on_par",
        label="accuracy on par with the plain network",
        target="linconv.report.claims.accuracy:on_par",
    ),
    Entry(
        name="inference",
        label="the same computation at inference",
        target="linconv.report.claims.costs:inference",
    ),
    Entry(
        name="orthogonal_primaries",
        label="orthogonal primary filters",
        target="linconv.report.claims.filters:orthogonal_primaries",
    ),
    Entry(
        name="controlled_redundancy",
        label="the regularizer moves the redundancy of all filters",
        target="linconv.report.claims.filters:controlled_redundancy",
    ),
    Entry(
        name="plug_and_play",
        label="convolutions replaced without changing a hyperparameter",
        target="linconv.report.claims.accuracy:plug_and_play",
    ),
    Entry(
        name="training_overhead",
        label="low rank cuts the overhead of training",
        target="linconv.report.claims.costs:training_overhead",
    ),
    Entry(
        name="printed_columns",
        label="the paper's columns come out of its definitions",
        target="linconv.report.claims.printed:printed_columns",
    ),
    Entry(
        name="feature_space",
        label="about half the multiply-accumulates in feature space",
        target="linconv.report.claims.costs:feature_space",
    ),
    Entry(
        name="no_gain",
        label="where LinearConv does not pay",
        target="linconv.report.claims.costs:no_gain",
    ),
    *(claim for measurement in MEASUREMENTS.values() for claim in measurement.claims),
)
