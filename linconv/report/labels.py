"""How names of the configuration are printed, everywhere the same."""

from __future__ import annotations

from linconv.catalogue.criteria import CRITERIA
from linconv.catalogue.datasets import DATASETS
from linconv.catalogue.methods import METHODS
from linconv.catalogue.networks import NETWORKS
from linconv.config.methods import PLAIN
from linconv.config.variants import VARIANTS

# A variant is named <method>_<share>: tucker_half is "Tucker 1/2". The built-in variants have the paper's names,
# without the hyphen that joins them to a network's name: beside signed differences "-Lr" looks like a minus.
_METHODS = {
    **{name: name for name in VARIANTS},
    **{entry.name: entry.label for entry in (*METHODS.values(), *CRITERIA.values())},
    PLAIN: "Conv",
}
_SHARES = {"half": "1/2", "quarter": "1/4", "eighth": "1/8"}
_SPELLINGS = {"normalised": "normalized"}  # names of configurations are kept, since hashes contain them


def dataset_label(name: str) -> str:
    """A data set as readers know it; a name not listed is printed as it is."""
    return DATASETS[name].label if name in DATASETS else name


def architecture_label(name: str) -> str:
    """A network as readers know it; a name not listed is printed as it is."""
    return NETWORKS[name].label if name in NETWORKS else name


def place_label(architecture: str, dataset: str) -> str:
    """Where a network was trained: VGG11 on CIFAR-10."""
    return f"{architecture_label(architecture)} on {dataset_label(dataset)}"


def split_label(split: int) -> str:
    """A split of a data set: its own one, or the number of a new one."""
    return f"new split {split}" if split else "the data set's own"


def draw_label(seed: int, split: int) -> str:
    """A run of a cell: its seed, with the number of a split that is not the data set's own."""
    return f"{seed}, split {split}" if split else f"{seed}"


def variant_label(name: str) -> str:
    """A variant as readers know it.

    LinearConv's variants in the paper's notation, such as Lr; other methods by their name and the share of the plain
    network, such as "low-rank 1/2"; what is not listed with spaces for underscores.
    """
    words = [_SPELLINGS.get(word, word) for word in name.split("_")]
    for count in range(len(words), 0, -1):
        if method := _METHODS.get("_".join(words[:count])):
            break
    else:
        count, method = 1, words[0]
    return " ".join((method, *(_SHARES.get(word, word) for word in words[count:])))


def variant_of(architecture: str, variant: str) -> str:
    """A network with a variant: Base-Lr as in the paper, Base low-rank 1/2; the network alone for plain ones."""
    network, label = architecture_label(architecture), variant_label(variant)
    if variant == PLAIN:
        return network
    return f"{network}-{label}" if label.split()[0] in VARIANTS else f"{network} {label}"


def shortened(name: str, length: int = 20) -> str:
    """The end of a long name, which tells names of layers and variants apart."""
    return name if len(name) <= length else f"…{name[1 - length :]}"
