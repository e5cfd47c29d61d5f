"""The networks, at CIFAR size: one builder each in `linconv.models`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from linconv.catalogue._entry import NO_OUTCOME, Entry, by_name


@dataclass(frozen=True, kw_only=True)
class NetworkEntry(Entry):
    """A network.

    `target` builds it: `build(num_classes, in_channels, conv, width)`, channels multiplied by `width`.

    Args:
        widest: output channels of the widest convolution that can be replaced. A rank above its primary filters
            fits no layer, which is refused before any job starts.
        plain: convolutions that stay plain in every variant, by name of the module.
        has_released_quirk: `build` also takes `as_released`, see `linconv.build_model`.
        in_paper: the paper states its size, so every experiment counts it unless `complexity` names other networks.
        paper_recipe: values of the paper's recipe that are not the defaults of `linconv.config.Recipe`.
        short_epochs: epochs of the preset `short`.
        halves: nearly all of its work is in convolutions larger than 1x1 with groups = 1, which LinearConv about
            halves. Claims about others are made of their own.
    """

    widest: int = field(metadata=NO_OUTCOME)
    plain: tuple[str, ...] = ()
    has_released_quirk: bool = False
    in_paper: bool = field(default=False, metadata=NO_OUTCOME)
    paper_recipe: Mapping[str, Any] = field(hash=False, metadata=NO_OUTCOME)
    short_epochs: int = field(default=30, metadata=NO_OUTCOME)
    halves: bool = field(default=False, metadata=NO_OUTCOME)


# The paper's protocol (WACV 2021, section 4, and the released code): Adam, no weight decay.
_STEPS = {"schedule": "multistep", "milestones": (75, 150, 200)}

NETWORKS: dict[str, NetworkEntry] = by_name(
    NetworkEntry(
        name="base",
        label="Base",
        target="linconv.models.vgg:base",
        widest=256,
        halves=True,
        in_paper=True,
        paper_recipe={"learning_rate": 1e-3},
    ),
    NetworkEntry(
        name="vgg11",
        label="VGG11",
        target="linconv.models.vgg:vgg11",
        widest=512,
        halves=True,
        in_paper=True,
        paper_recipe={"learning_rate": 1e-3},
    ),
    NetworkEntry(
        name="allconv",
        label="AllConv",
        target="linconv.models.allconv:allconv",
        widest=192,
        plain=("classifier",),
        has_released_quirk=True,
        halves=True,
        in_paper=True,
        paper_recipe={"learning_rate": 1e-4, "epochs": 350},
    ),
    NetworkEntry(
        name="resnet18",
        label="ResNet-18",
        target="linconv.models.resnet:resnet18",
        widest=512,
        halves=True,
        in_paper=True,
        paper_recipe={"learning_rate": 0.1, **_STEPS},
    ),
    NetworkEntry(
        name="resnext29",
        label="ResNeXt-29",
        target="linconv.models.resnext:resnext29",
        widest=1024,
        in_paper=True,
        paper_recipe={"learning_rate": 1e-3, "batch_size": 32, **_STEPS},
    ),
    NetworkEntry(
        name="mobilenetv2",
        label="MobileNetV2",
        target="linconv.models.mobilenet:mobilenetv2",
        widest=1280,
        in_paper=True,
        paper_recipe={"learning_rate": 1e-3, "batch_size": 32, **_STEPS},
    ),
    NetworkEntry(
        name="squeezenet",
        label="SqueezeNet",
        target="linconv.models.squeezenet:squeezenet",
        widest=256,
        plain=("classifier",),
        in_paper=True,
        # not stated in the paper; at 1e-3 the network stays at chance on digits
        paper_recipe={"learning_rate": 3e-4},
    ),
)
