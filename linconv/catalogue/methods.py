"""The layers that can replace a convolution: one subclass of `linconv.layers.ConvReplacement` each.

The options of a method are the keyword-only arguments of its class. Other packages bring their methods through the
entry point group `linconv.methods`, see `linconv.config.methods`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from linconv.catalogue._entry import NO_OUTCOME, Entry, by_name


@dataclass(frozen=True, kw_only=True)
class MethodEntry(Entry):
    """A layer in the place of a convolution; `target` is its class.

    Args:
        source: the publication.
    """

    source: str = field(default="", metadata=NO_OUTCOME)


_BASIS = "Li, Gu, Van Gool & Timofte, Learning Filter Basis for CNN Compression, ICCV 2019"
_BSCONV = "Haase & Amthor, Rethinking Depthwise Separable Convolutions, CVPR 2020"

METHODS: dict[str, MethodEntry] = by_name(
    MethodEntry(
        name="linear",
        label="LinearConv",
        target="linconv.layers.linear_conv:LinearConv2d",
        source="Kahatapitiya & Rodrigo, Exploiting the Redundancy in Convolutional Filters, WACV 2021",
    ),
    MethodEntry(
        name="atoms",
        label="filter atoms",
        target="linconv.methods.atoms:AtomsConv2d",
        source="Li, Hanson, Li & Chen, PENNI: Pruned Kernel Sharing for Efficient CNN Inference, ICML 2020",
    ),
    MethodEntry(name="basis", label="Basis", target="linconv.methods.basis:BasisConv2d", source=_BASIS),
    MethodEntry(
        name="basis_linear", label="Basis linear", target="linconv.methods.basis:LinearBasisConv2d", source=_BASIS
    ),
    MethodEntry(name="bsconv_s", label="BSConv-S", target="linconv.methods.bsconv:BSConvS2d", source=_BSCONV),
    MethodEntry(name="bsconv_u", label="BSConv-U", target="linconv.methods.bsconv:BSConvU2d", source=_BSCONV),
    MethodEntry(
        name="cp",
        label="CP",
        target="linconv.methods.cp:CPConv2d",
        source="Lebedev et al., Speeding-up CNNs Using Fine-tuned CP-Decomposition, ICLR 2015",
    ),
    MethodEntry(
        name="dcls",
        label="DCLS",
        target="linconv.methods.dcls:DCLSConv2d",
        source="Khalfaoui-Hassani, Pellegrini & Masquelier, Dilated Convolution with Learnable Spacings, ICLR 2023",
    ),
    MethodEntry(
        name="dynamic",
        label="dynamic",
        target="linconv.methods.dynamic:DynamicConv2d",
        source="Shen & Liu, Learning to Generate Filters for CNNs, arXiv 1812.01894, 2018",
    ),
    MethodEntry(
        name="ghost",
        label="Ghost",
        target="linconv.methods.ghost:GhostConv2d",
        source="Han et al., GhostNet: More Features from Cheap Operations, CVPR 2020",
    ),
    MethodEntry(
        name="hetconv",
        label="HetConv",
        target="linconv.methods.hetconv:HetConv2d",
        source="Singh, Verma, Rai & Namboodiri, HetConv, CVPR 2019",
    ),
    MethodEntry(
        name="kronecker",
        label="Kronecker",
        target="linconv.methods.kronecker:KroneckerConv2d",
        source="Hameed et al., CNN Compression through Generalized Kronecker Product Decomposition, AAAI 2022",
    ),
    MethodEntry(
        name="lowrank",
        label="low-rank",
        target="linconv.methods.lowrank:LowRankConv2d",
        source="Wang, Agarwal & Papailiopoulos, Pufferfish, MLSys 2021",
    ),
    MethodEntry(
        name="octconv",
        label="OctConv",
        target="linconv.methods.octconv:OctConv2d",
        source="Chen et al., Drop an Octave, ICCV 2019",
    ),
    MethodEntry(
        name="spatial",
        label="spatial",
        target="linconv.methods.spatial:SpatialConv2d",
        source="Ioannou et al., Training CNNs with Low-Rank Filters for Efficient Image Classification, ICLR 2016",
    ),
    MethodEntry(
        name="tucker",
        label="Tucker",
        target="linconv.methods.tucker:TuckerConv2d",
        source="Kim et al., Compression of Deep CNNs for Fast and Low Power Mobile Applications, ICLR 2016",
    ),
    MethodEntry(
        name="versatile",
        label="versatile",
        target="linconv.methods.versatile:VersatileConv2d",
        source="Wang et al., Learning Versatile Filters for Efficient CNNs, NeurIPS 2018",
    ),
    MethodEntry(
        name="warehouse",
        label="warehouse",
        target="linconv.methods.warehouse:WarehouseConv2d",
        source="Li & Yao, KernelWarehouse, ICML 2024, with constant coefficients; Savarese & Maire, ICLR 2019",
    ),
    MethodEntry(
        name="wconv",
        label="WConv",
        target="linconv.methods.wconv:WConv2d",
        source="Cammarasana & Patanè, Optimal Weighted Convolution, arXiv 2505.24558, 2025",
    ),
)
