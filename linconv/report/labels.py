"""How names of the configuration are printed and which colour a variant has, everywhere the same."""

from __future__ import annotations

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
MISSING_COLOUR = "#B00000"  # of notes on what is missing
_SPARE = ("#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "h")


def dataset_label(name: str) -> str:
    """A data set as readers know it; a name not listed is printed as it is."""
    return DATASETS.get(name, name)


def architecture_label(name: str) -> str:
    """A network as readers know it; a name not listed is printed as it is."""
    return ARCHITECTURES.get(name, name)


def variant_label(name: str) -> str:
    """A variant in the paper's notation: Conv, or the suffix of a network's name such as -Lr."""
    return "Conv" if name == "conv" else f"-{name}"


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
