"""Every table, in the order of the page. A new table is a module in `linconv.report.tables` and an entry here.

The tables of one measurement alone stand in the measurement's own entry.
"""

from __future__ import annotations

from linconv.catalogue._entry import by_name
from linconv.catalogue.measurements import MEASUREMENTS
from linconv.catalogue.outputs import PAIRS, Output, ranks

_RANKED = (
    "Accuracy ranked at equal {cost}, as shares of the plain network's, with the differences to the reference variants "
    "and the outcome of their tests."
)

TABLES: dict[str, Output] = by_name(
    Output(
        name="table1",
        label="Accuracy and cost",
        caption="Accuracy, parameters and operations of every network with every variant: mean and spread over the "
        "seeds, differences to the plain convolution with the outcome of their tests.",
        target="linconv.report.tables.table1:table1",
        of_runs=True,
    ),
    Output(
        name="comparisons",
        label="Differences and verdicts",
        caption="Every difference to the plain network, and to the one narrow network if there is one: simultaneous "
        "interval, p-values, margin, probabilities of worse, equivalent and better, verdict, and the runs that would "
        "decide.",
        target="linconv.report.tables.comparisons:comparisons_table",
        of_runs=True,
    ),
    Output(
        name="pairs",
        label="Pairs of runs, image by image",
        caption="Every run beside the plain network's run of the same seed: the images that only one of the two "
        "classifies rightly, and McNemar's test of them.",
        target="linconv.report.tables.pairs:pairs_table",
        of_runs=True,
        needs=PAIRS,
    ),
    Output(
        name="ranking_parameters",
        label="Accuracy at equal parameters",
        caption=_RANKED.format(cost="parameters"),
        target="linconv.report.tables.ranking:ranking_parameters_table",
        of_runs=True,
        needs=ranks("parameters"),
    ),
    Output(
        name="ranking_macs",
        label="Accuracy at equal multiply-accumulates",
        caption=_RANKED.format(cost="multiply-accumulates of a forward pass"),
        target="linconv.report.tables.ranking:ranking_macs_table",
        of_runs=True,
        needs=ranks("macs"),
    ),
    Output(
        name="ranking_latency",
        label="Accuracy at equal latency",
        caption=_RANKED.format(cost="measured latency of a forward pass"),
        target="linconv.report.tables.ranking:ranking_latency_table",
        of_runs=True,
        needs=ranks("latency"),
    ),
    Output(
        name="table1_paper",
        label="The paper's table 1",
        caption="The paper's Table 1 as printed.",
        target="linconv.report.tables.table1_paper:table1_paper",
    ),
    Output(
        name="table1_comparison",
        label="Ours beside the paper's",
        caption="Ours, the paper's and the deviation, for the networks, variants and data sets that both have.",
        target="linconv.report.tables.table1_comparison:table1_comparison",
        of_runs=True,
    ),
    Output(
        name="table2",
        label="The paper's table 2",
        caption="The paper's Table 2 beside ours. What this experiment does not train is marked as not run.",
        target="linconv.report.tables.table2:table2",
        of_runs=True,
    ),
    Output(
        name="paper_columns",
        label="The paper's parameters and FLOPs, recomputed",
        caption="The paper's parameter and FLOP columns beside the values counted here. The counting rule is the "
        "paper's own; cells that need a quirk of the released code name it.",
        target="linconv.report.tables.paper_columns:paper_columns_table",
    ),
    *(table for measurement in MEASUREMENTS.values() for table in measurement.tables),
    Output(
        name="redundancy",
        label="Redundancy of filters",
        caption="How redundant the filters of each convolution are, before and after training: correlations of pairs "
        "of filters, effective rank and variance entropy.",
        target="linconv.report.tables.redundancy:redundancy_table",
        of_runs=True,
    ),
    Output(
        name="filter_quality",
        label="Quality of filters",
        caption="Quality of the filters of every network with every variant, before and after training, by the "
        "metrics of the CNN Filter DB: kernel sparsity, variance entropy of the kernels and orthogonality of the "
        "filters, means over the convolutions.",
        target="linconv.report.tables.filter_quality:filter_quality_table",
        of_runs=True,
    ),
    Output(
        name="treatment",
        label="What the training gave to every variant",
        caption="Start, learning rate, size of the first step and multiply-accumulates of the training, beside those "
        "of inference.",
        target="linconv.report.tables.treatment:treatment_table",
        of_runs=True,
    ),
    Output(
        name="runs",
        label="All runs",
        caption="Every single run behind the means: its status, accuracy and the training it had.",
        target="linconv.report.tables.runs:runs_table",
        of_runs=True,
    ),
    Output(
        name="failures",
        label="Missing, damaged, stale or diverged",
        caption="The runs that are missing, damaged, stale or diverged, and what their logs say last.",
        target="linconv.report.tables.failures:failures_table",
    ),
)
