"""How names of the configuration are printed and which colour a variant has, everywhere the same."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

DATASETS = {
    "digits": "Digits",
    "synthetic": "Synthetic",
    "mnist": "MNIST",
    "fashionmnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "svhn": "SVHN",
    "imagenet": "ImageNet",
}
ARCHITECTURES = {
    "base": "Base",
    "vgg11": "VGG11",
    "allconv": "AllConv",
    "resnet18": "ResNet-18",
    "resnext29": "ResNeXt-29",
    "mobilenetv2": "MobileNetV2",
    "squeezenet": "SqueezeNet",
}

# Okabe and Ito's palette, told apart with any kind of colour vision.
COLOURS = {"conv": "#555555", "L": "#0072B2", "Lr": "#D55E00", "LRr": "#009E73", "LSr": "#CC79A7"}
# Methods by the words that a variant's name begins with, and shares of the plain network that it ends with.
METHODS = {
    "conv": "Conv",
    **{name: f"-{name}" for name in ("L", "Lr", "LRr", "LSr")},
    "basis": "Basis",
    "betarank": "BetaRank",
    "bsconv_s": "BSConv-S",
    "bsconv_u": "BSConv-U",
    "cp": "CP",
    "dcff": "DCFF",
    "dcls": "DCLS",
    "ghost": "Ghost",
    "hetconv": "HetConv",
    "lowrank": "low-rank",
    "masksparsity": "MaskSparsity",
    "octconv": "OctConv",
    "tucker": "Tucker",
    "wconv": "WConv",
}
_SHARES = {"half": "1/2", "quarter": "1/4", "eighth": "1/8"}
MISSING_COLOUR = "#B00000"  # of notes on what is missing
_SPARE = ("#E69F00", "#56B4E9", "#000000", "#882255", "#999933", "#332288", "#44AA99", "#A6761D", "#AA4499")
_DASHES = ("-", "--", ":", "-.")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "h")


def dataset_label(name: str) -> str:
    """A data set as readers know it; a name not listed is printed as it is."""
    return DATASETS.get(name, name)


def architecture_label(name: str) -> str:
    """A network as readers know it; a name not listed is printed as it is."""
    return ARCHITECTURES.get(name, name)


def place_label(architecture: str, dataset: str) -> str:
    """Where a network was trained: VGG11 on CIFAR-10."""
    return f"{architecture_label(architecture)} on {dataset_label(dataset)}"


def variant_label(name: str) -> str:
    """A variant as readers know it.

    LinearConv's variants in the paper's notation, the suffix of a network's name such as -Lr; other methods by their
    name and the share of the plain network, such as "low-rank 1/2"; what is not listed with spaces for underscores.
    """
    words = name.split("_")
    for count in range(len(words), 0, -1):
        if method := METHODS.get("_".join(words[:count])):
            break
    else:
        count, method = 1, words[0]
    return " ".join((method, *(_SHARES.get(word, word) for word in words[count:])))


def variant_of(architecture: str, variant: str) -> str:
    """A network with a variant: Base-Lr, Base low-rank 1/2; the network alone for the plain convolution."""
    network, label = architecture_label(architecture), variant_label(variant)
    if variant == "conv":
        return network
    return f"{network}{label}" if label.startswith("-") else f"{network} {label}"


def legend_columns(labels: Sequence[str], width: int) -> int:
    """The most columns in which a legend of these labels fits into `width` characters, line samples counted as six."""
    for columns in range(len(labels), 1, -1):
        small, larger = divmod(len(labels), columns)  # filled from above; the first columns take what is left over
        starts = [i * small + min(i, larger) for i in range(columns + 1)]
        if sum(6 + max(map(len, labels[a:b])) for a, b in itertools.pairwise(starts)) <= width:
            return columns
    return 1


def shortened(name: str, length: int = 20) -> str:
    """The end of a long name, which tells names of layers and variants apart."""
    return name if len(name) <= length else f"…{name[1 - length :]}"


def network_markers(architectures: Sequence[str]) -> dict[str, str]:
    """The shape of each network's points; the known networks always look the same."""
    known = list(ARCHITECTURES)
    places = {name: known.index(name) if name in known else len(known) + i for i, name in enumerate(architectures)}
    return {name: _MARKERS[place % len(_MARKERS)] for name, place in places.items()}


def variant_styles(variants: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and line style of each variant.

    The paper's variants always look the same; others take the spare colours in the order given, and dashes
    when those run out.
    """
    others = [v for v in variants if v not in COLOURS]
    styles = {v: (c, "-") for v, c in COLOURS.items()}
    for i, name in enumerate(others):
        styles[name] = (_SPARE[i % len(_SPARE)], _DASHES[i // len(_SPARE) % len(_DASHES)])
    return {v: styles[v] for v in variants}
