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
        computes: what the layer computes, in one line: c inputs, N filters of k x k, D = c k².
        params: how many parameters it has, without biases.
        folds: whether it equals one plain convolution.
        options: the options with their symbols and defaults.
        source: the publication.
    """

    computes: str = field(default="", metadata=NO_OUTCOME)
    params: str = field(default="", metadata=NO_OUTCOME)
    folds: bool = field(default=True, metadata=NO_OUTCOME)
    options: str = field(default="", metadata=NO_OUTCOME)
    source: str = field(default="", metadata=NO_OUTCOME)


_BASIS = "Li, Gu, Van Gool & Timofte, Learning Filter Basis for Convolutional Neural Network Compression, ICCV 2019"
_BSCONV = "Haase & Amthor, Rethinking Depthwise Separable Convolutions, CVPR 2020"

METHODS: dict[str, MethodEntry] = by_name(
    MethodEntry(
        name="linear",
        label="LinearConv",
        target="linconv.layers.linear_conv:LinearConv2d",
        computes="P learned filters, the others linear combinations of them",
        params="P D + S P; of rank r P D + r (S + P)",
        options="`primary_ratio` 0.5, `rank` (r) none, `sparsity` none, `mode` auto, `init` paper, "
        "variance_preserving or least_squares",
        source="Kahatapitiya & Rodrigo, Exploiting the Redundancy in Convolutional Filters, WACV 2021",
    ),
    MethodEntry(
        name="atoms",
        label="filter atoms",
        target="linconv.methods.atoms:AtomsConv2d",
        computes="all k x k kernels combined from the same M atoms: depthwise k x k, 1x1",
        params="M c N + M k²",
        options="`atoms` (M) 0.5 of k², `freeze_basis` false, `init` matched or svd",
        source="Li, Hanson, Li & Chen, PENNI: Pruned Kernel Sharing for Efficient CNN Inference, ICML 2020; "
        "frozen: Qiu, Cheng, Calderbank & Sapiro, DCFNet, ICML 2018",
    ),
    MethodEntry(
        name="basis",
        label="Basis",
        target="linconv.methods.basis:BasisConv2d",
        computes="the same n_b filters on every slice of b inputs, batch normalization, ReLU, 1x1",
        params="n_b b k² + (c/b) n_b N + 2 (c/b) n_b + n_b",
        folds=False,
        options="`slice_channels` (b) 128, `filters` (n_b) 128",
        source=_BASIS,
    ),
    MethodEntry(
        name="basis_linear",
        label="Basis linear",
        target="linconv.methods.basis:LinearBasisConv2d",
        computes="`basis` without batch normalization and ReLU",
        params="n_b b k² + (c/b) n_b N",
        options="`slice_channels` (b) 128, `filters` (n_b) 128, `init` matched or source",
        source=_BASIS,
    ),
    MethodEntry(
        name="bsconv_s",
        label="BSConv-S",
        target="linconv.methods.bsconv:BSConvS2d",
        computes="1x1 to m, 1x1 to N, depthwise k x k",
        params="m (c + N) + N k²",
        options="`mid_ratio` (m/c) 0.25, `min_mid_channels` 4, `init` matched or source",
        source=_BSCONV,
    ),
    MethodEntry(
        name="bsconv_u",
        label="BSConv-U",
        target="linconv.methods.bsconv:BSConvU2d",
        computes="1x1 to N, depthwise k x k",
        params="c N + N k²",
        options="`init` matched or source",
        source=_BSCONV,
    ),
    MethodEntry(
        name="cp",
        label="CP",
        target="linconv.methods.cp:CPConv2d",
        computes="1x1 to R, depthwise column times row, 1x1 to N",
        params="R (N + c + 2 k)",
        options="`rank` (R) 0.5: a share of N D, or an int",
        source="Lebedev, Ganin, Rakhuba, Oseledets & Lempitsky, Speeding-up Convolutional Neural Networks Using "
        "Fine-tuned CP-Decomposition, ICLR 2015",
    ),
    MethodEntry(
        name="dcls",
        label="DCLS",
        target="linconv.methods.dcls:DCLSConv2d",
        computes="m weights per kernel at learned positions, spread bilinearly over the pixels",
        params="3 m c N",
        options="`kernel_count` (m) a third of k², `dilated_kernel_size` twice the reach, `position_rate` 5, "
        "`init` matched or source",
        source="Khalfaoui-Hassani, Pellegrini & Masquelier, Dilated Convolution with Learnable Spacings, ICLR 2023",
    ),
    MethodEntry(
        name="dynamic",
        label="dynamic",
        target="linconv.methods.dynamic:DynamicConv2d",
        computes="filters of each image: J banks mixed by coefficients computed from the image",
        params="J N D, or with a budget J r D + N r; and h (c + 1) + J (h + 1)",
        folds=False,
        options="`banks` (J) 8, `budget` none, `hidden` (h/c) 0.25",
        source="Shen & Liu, Learning to Generate Filters for Convolutional Neural Networks, arXiv 1812.01894, 2018",
    ),
    MethodEntry(
        name="ghost",
        label="Ghost",
        target="linconv.methods.ghost:GhostConv2d",
        computes="k x k to N/s feature maps, depthwise d x d makes the other ones",
        params="(N/s) D + (s - 1) (N/s) d² + 2 N",
        folds=False,
        options="`ratio` (s) 2, `cheap_size` (d) 3, `relu` auto",
        source="Han, Wang, Tian, Guo, Xu & Xu, GhostNet: More Features from Cheap Operations, CVPR 2020",
    ),
    MethodEntry(
        name="hetconv",
        label="HetConv",
        target="linconv.methods.hetconv:HetConv2d",
        computes="k x k on 1/p of the inputs, 1x1 on the others; the next filter takes another 1/p",
        params="c N (k²/p + 1 - 1/p)",
        options="`part` (p) 4",
        source="Singh, Verma, Rai & Namboodiri, HetConv, CVPR 2019",
    ),
    MethodEntry(
        name="kronecker",
        label="Kronecker",
        target="linconv.methods.kronecker:KroneckerConv2d",
        computes="sum of R Kronecker products of (N1, c1) and (N2, c2, k, k)",
        params="R (N1 c1 + N2 c2 k²)",
        options="`rank` (R) 0.5: a share of N D, or an int; `inner_filters` (N2), `inner_channels` (c2) near the "
        "roots; `init` matched or svd",
        source="Hameed, Tahaei, Mosleh & Partovi Nia, Convolutional Neural Network Compression through "
        "Generalized Kronecker Product Decomposition, AAAI 2022",
    ),
    MethodEntry(
        name="lowrank",
        label="low-rank",
        target="linconv.methods.lowrank:LowRankConv2d",
        computes="k x k to r, 1x1 to N",
        params="r (D + N)",
        options="`rank` (r) 0.5 of N, `freeze_basis` false, `init` matched, source or svd",
        source="Wang, Agarwal & Papailiopoulos, Pufferfish: Communication-efficient Models At No Extra Cost, "
        "MLSys 2021; frozen: Gavrikov & Keuper, The Power of Linear Combinations, 2023",
    ),
    MethodEntry(
        name="octconv",
        label="OctConv",
        target="linconv.methods.octconv:OctConv2d",
        computes="some channels at full, the others at half resolution",
        params="N D",
        folds=False,
        options="`alpha` 0.5",
        source="Chen, Fan, Xu, Yan, Kalantidis, Rohrbach, Yan & Feng, Drop an Octave, ICCV 2019",
    ),
    MethodEntry(
        name="spatial",
        label="spatial",
        target="linconv.methods.spatial:SpatialConv2d",
        computes="half of the filters k x 1, half 1 x k",
        params="c N k",
        options="`vertical` 0.5",
        source="Ioannou, Robertson, Shotton, Cipolla & Criminisi, Training CNNs with Low-Rank Filters for "
        "Efficient Image Classification, ICLR 2016",
    ),
    MethodEntry(
        name="tucker",
        label="Tucker",
        target="linconv.methods.tucker:TuckerConv2d",
        computes="1x1 to r_c, k x k to r_n, 1x1 to N",
        params="c r_c + r_c r_n k² + r_n N",
        options="`in_rank` (r_c/c) 0.5, `out_rank` (r_n/N) 0.5, `init` matched or svd",
        source="Kim, Park, Yoo, Choi, Yang & Shin, Compression of Deep Convolutional Neural Networks for Fast "
        "and Low Power Mobile Applications, ICLR 2016; Kossaifi, Bulat, Tzimiropoulos & Pantic, T-Net, "
        "CVPR 2019",
    ),
    MethodEntry(
        name="versatile",
        label="versatile",
        target="linconv.methods.versatile:VersatileConv2d",
        computes="primary filters, and the same under s t - 1 further masks",
        params="N D / (s t)",
        options="`channel_windows` (t) 1, `channel_stride` (g) 1, `init` matched or least_squares",
        source="Wang, Xu, Xu, Xu & Tao, Learning Versatile Filters for Efficient Convolutional Neural Networks, "
        "NeurIPS 2018",
    ),
    MethodEntry(
        name="warehouse",
        label="warehouse",
        target="linconv.methods.warehouse:WarehouseConv2d",
        computes="blocks of combinations of n cells, which the layers of a network share",
        params="n times a cell and n per block, once in the network",
        options="`cells` (n) 0.5: a share of N D, or an int; `split` 2; `init` matched or svd",
        source="Li & Yao, KernelWarehouse: Rethinking the Design of Dynamic Convolution, ICML 2024; constant "
        "coefficients: Savarese & Maire, Learning Implicitly Recurrent CNNs Through Parameter Sharing, "
        "ICLR 2019",
    ),
    MethodEntry(
        name="wconv",
        label="WConv",
        target="linconv.methods.wconv:WConv2d",
        computes="plain filters times a density of the distance from the center",
        params="N D, and (k - 1)/2 if learned",
        options="`density` 0.8, `learned` false, `init` matched, source or least_squares",
        source="Cammarasana & Patanè, Optimal Weighted Convolution for Classification and Denosing, arXiv "
        "2505.24558, 2025",
    ),
)
