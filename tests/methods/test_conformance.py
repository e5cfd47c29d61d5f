"""Every method keeps what a replacement of `nn.Conv2d` promises, with its defaults and with other options."""

import linconv.testing
from linconv.config import VARIANTS
from linconv.config.methods import METHODS

OPTIONS = [
    ("linear", {"primary_ratio": 0.3, "init": "variance_preserving"}),
    ("linear", {"rank": 0.5}),
    ("linear", {"sparsity": 0.5}),
    ("atoms", {"atoms": 9, "freeze_basis": True}),
    ("basis", {"slice_channels": 4, "filters": 5}),
    ("basis_linear", {"slice_channels": 4, "filters": 5}),
    ("bsconv_s", {"mid_ratio": 1.0, "min_mid_channels": 1}),
    ("cp", {"rank": 3}),
    ("dcls", {"kernel_count": 2, "dilated_kernel_size": 9}),
    ("dynamic", {"banks": 2, "budget": 1.5}),
    ("ghost", {"ratio": 4, "cheap_size": 5}),
    ("hetconv", {"part": 3}),
    ("kronecker", {"rank": 1}),
    ("kronecker", {"rank": 2, "inner_filters": 5}),
    ("lowrank", {"rank": 3, "freeze_basis": True}),
    ("octconv", {"alpha": 0.3}),
    ("spatial", {"vertical": 0.2}),
    ("tucker", {"in_rank": 1, "out_rank": 0.9}),
    ("versatile", {"channel_windows": 3, "channel_stride": 2}),
    ("warehouse", {"cells": 3, "split": 1}),
    ("wconv", {"density": [1.3, 0.5], "learned": True}),
]


@linconv.testing.parametrize(*METHODS, VARIANTS["LRr"], *OPTIONS)
def test_conformance(check):
    check()
