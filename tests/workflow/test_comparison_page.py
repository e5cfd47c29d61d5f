"""Numbers and verdicts of docs/comparison.md are those of the ranking on CIFAR-10."""

from __future__ import annotations

import pandas as pd

from linconv.config import load_config
from tests.workflow.conftest import REPOSITORY
from tests.workflow.test_numbers import REFERENCE, comparisons, prose, word


def sentences() -> set[str]:
    """Sentences of docs/comparison.md with the values that the results give."""
    frame = pd.read_csv(REFERENCE / "cifar10-ranking/tables/ranking_parameters.csv").set_index("variant")
    planned, vgg11, quick = (
        load_config(REPOSITORY / "config" / name) for name in ("cifar10-ranking.yaml", "peers-vgg11.yaml", "peers.yaml")
    )
    assert set(frame["top1_n"]) == {len(planned.seeds)}
    to_plain = comparisons("cifar10-ranking").xs("conv", level="reference")
    assert (to_plain["difference_high"] < 0).all()
    assert set(to_plain["outcome"]) == {"different"}

    def beside(variant: str, reference: str, verdict: str) -> str:
        row = frame.loc[variant]
        assert row[f"{reference}_verdict"] == verdict
        ends = (row[f"{reference}_difference_{end}"] for end in ("low", "high"))
        return f"{row[f'{reference}_difference_mean']:+.2f} [{', '.join(f'{end:+.2f}' for end in ends)}]"

    timed = pd.read_csv(REFERENCE / "cifar10-ranking/data/throughput.csv")
    plain = timed[timed["variant"] == "conv"].iloc[0]
    ratio = timed[timed["variant"] != "conv"].set_index("variant")["ratio"]
    assert set(timed[timed["variant"].isin(["hetconv_half", "wconv"])]["difference"]) == {"no difference"}

    def between(*variants: str) -> str:
        low, high = (f"{value:.2f}" for value in (ratio[[*variants]].min(), ratio[[*variants]].max()))
        return low if low == high else f"{low} to {high}"

    equal = ["L", "Lr", "ghost_half", "lowrank_svd_half", "lowrank_half", "cp_half"]
    half = frame[frame["group"] == "52.5 %"]
    assert "better" not in set(half["narrow_verdict"]), "none is shown to be better than the narrower network"
    pruned = [v for v in planned.variants if planned.known_variants[v].pruning is not None]
    return {
        f"trains {len(planned.variants)} variants of `base` on CIFAR-10 with {word(len(planned.seeds))} seeds",
        f"{word(len(frame)).capitalize()} of them are finished",
        f"{len(quick.variants)} variants of `base` on the digits",
        f"compares {word(len(vgg11.variants))} variants",
        f"All {word(len(to_plain))} are below it, from {-to_plain['difference_mean'].max():.2f} to "
        f"{-to_plain['difference_mean'].min():.2f} points",
        f"network of its size**: {beside('LRr', 'narrow', 'worse')}",
        f"Kronecker and Tucker are less accurate as well: {beside('kronecker_half', 'narrow', 'worse')} and "
        f"{beside('tucker_half', 'narrow', 'worse')}",
        f"within one point**: {', '.join(beside(v, 'narrow', 'equivalent') for v in equal[:-1])} and "
        f"{beside(equal[-1], 'narrow', 'equivalent')}",
        f"Lr, Ghost and low rank (SVD start) are more accurate than LRr: {beside('Lr', 'LRr', 'better')}, "
        f"{beside('ghost_half', 'LRr', 'better')} and {beside('lowrank_svd_half', 'LRr', 'better')}",
        f"HetConv equals the narrower network of its size within one point: "
        f"{beside('hetconv_half', 'narrow', 'equivalent')}, at the plain network's time",
        f"narrower network, {beside('L_preserving', 'narrow', 'worse')} and "
        f"{beside('LRr_preserving', 'narrow', 'worse')}, and LRr is less accurate than with the paper's start: "
        f"{beside('LRr_preserving', 'LRr', 'worse')}",
        f"a third of the parameters fewer**: {beside('spatial', 'LRr', 'equivalent')}, at "
        f"{100 * frame.loc['spatial', 'parameters_ratio']:.0f} % of the plain network's parameters instead of "
        f"{100 * frame.loc['LRr', 'parameters_ratio']:.0f} %, and {100 * ratio['spatial']:.0f} % of its time instead "
        f"of {100 * ratio['LRr']:.0f} %",
        f"their own size within one point: {beside('spatial', 'narrow', 'equivalent')}",
        f"At {100 * frame.loc['bsconv_u', 'parameters_ratio']:.0f} % of the parameters BSConv-U is more accurate than "
        f"the narrower network: {beside('bsconv_u', 'narrow', 'better')}. It takes {ratio['bsconv_u']:.2f} of the "
        f"plain network's time, the narrower one {ratio['narrow_bsconv_u']:.2f}",
        f"takes {plain['latency_ms']:.1f} ms for 50 images",
        f"an A/A band of {100 * plain['band']:.1f} %. Of all {len(ratio)} variants",
        f"networks of that size take {between('LRr', 'narrow_half', 'lowrank_half', *pruned)} of it, Ghost "
        f"{ratio['ghost_half']:.2f}, L and Lr {ratio['L']:.2f}, Tucker {ratio['tucker_half']:.2f}, CP "
        f"{ratio['cp_half']:.2f}",
        f"atoms take {between('warehouse_half', 'kronecker_half', 'atoms_half')}, octave {ratio['octconv']:.2f}, the "
        f"filter basis {between('basis_half', 'basis_linear_half')}, DCLS {ratio['dcls_third']:.2f}",
    }


def test_numbers_in_the_comparison_are_those_of_the_results():
    text = prose("docs/comparison.md")
    assert [sentence for sentence in sentences() if sentence not in text] == []
