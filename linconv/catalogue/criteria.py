"""The pruning criteria: one subclass of `linconv.pruning.Criterion` each."""

from __future__ import annotations

from dataclasses import dataclass, field

from linconv.catalogue._entry import NO_OUTCOME, Entry, by_name


@dataclass(frozen=True, kw_only=True)
class CriterionEntry(Entry):
    """A way to choose the channels that stay; `target` is its class.

    Args:
        options: the fields of `linconv.config.Pruning` that this criterion alone reads.
        cut_after: share of the epochs after which channels are cut, where the configuration does not say.
        trains_cut_network: the network in training already computes what pruning leaves, so the pruning step may come
            last.
        source: the publication.
    """

    options: tuple[str, ...] = ()
    cut_after: float = field(default=0.5, metadata=NO_OUTCOME)
    trains_cut_network: bool = field(default=False, metadata=NO_OUTCOME)
    source: str = field(metadata=NO_OUTCOME)


CRITERIA: dict[str, CriterionEntry] = by_name(
    CriterionEntry(
        name="l1",
        label="l1",
        target="linconv.pruning.l1:FilterNorm",
        source="Li, Kadav, Durdanovic, Samet & Graf, Pruning Filters for Efficient ConvNets, ICLR 2017",
    ),
    CriterionEntry(
        name="betarank",
        label="BetaRank",
        target="linconv.pruning.betarank:BetaRank",
        source="Homayounfar et al., Beta-Rank, arXiv 2304.07461, 2023",
    ),
    CriterionEntry(
        name="masksparsity",
        label="MaskSparsity",
        target="linconv.pruning.masksparsity:MaskSparsity",
        options=("scale_penalty", "mask_at"),
        source="Jiang et al., Pruning-aware Sparse Regularization for Network Pruning, arXiv 2201.06776, 2022",
    ),
    CriterionEntry(
        name="dcff",
        label="DCFF",
        target="linconv.pruning.dcff:FilterFusion",
        options=("schedule", "temperatures"),
        cut_after=1.0,
        trains_cut_network=True,
        source="Lin et al., Training Compact CNNs using Dynamic-coded Filter Fusion, TPAMI 2023",
    ),
)
