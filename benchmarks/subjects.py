"""The architectures of benchmarks/models.py, which nobody here wrote, and images for each in the form that it takes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
import torchvision
from torch import Tensor, nn

# Of every family of timm that has a small one, the smallest or nearly so.
TIMM = """
halonet26t botnet26t_256 lambda_resnet26t mobileone_s0 repvgg_a0 resnext26ts gcresnext26ts coat_lite_tiny convit_tiny
convnext_atto convnextv2_atto crossvit_tiny_240 cs3darknet_s davit_tiny deit_tiny_patch16_224 densenet121 dla34 dpn48b
edgenext_xx_small efficientformer_l1 efficientformerv2_s0 tinynet_e tf_efficientnet_b0 tf_efficientnet_cc_b0_4e
mixnet_s mnasnet_small fbnetc_100 efficientvit_b0 efficientvit_m0 eva02_tiny_patch14_224 fasternet_t0 fastvit_t8
focalnet_tiny_srf gcvit_xxtiny ghostnet_050 ghostnetv2_100 hardcorenas_a hgnetv2_b0 hrnet_w18_small
inception_next_atto lcnet_050 levit_128s levit_conv_128s mambaout_femto poolformer_s12 mixer_s32_224 mobilenetv2_050
mobilenetv3_small_050 mobilevit_xxs mobilevitv2_050 nf_regnet_b0 nf_resnet26 eca_nfnet_l0 pit_xs_224 pvt_v2_b0
rdnet_tiny regnetx_002 regnety_002 repghostnet_050 repvit_m1 res2net50_26w_4s resnest14d resnet18 seresnet18
resnetblur18 resnetv2_18 rexnet_100 selecsls42 legacy_seresnet18 shvit_s1 skresnet18 starnet_s050 swiftformer_xs
swin_tiny_patch4_window7_224 tiny_vit_5m_224 visformer_tiny vit_tiny_patch16_224 vit_tiny_r_s16_p8_224
ese_vovnet19b_slim xcit_nano_12_p16_224
"""
DETECTION = (
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "retinanet_resnet50_fpn",
    "fcos_resnet50_fpn",
    "maskrcnn_resnet50_fpn",
    "keypointrcnn_resnet50_fpn",
    "ssd300_vgg16",
    "ssdlite320_mobilenet_v3_large",
)
SEGMENTATION = ("fcn_resnet50", "deeplabv3_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large")
SIZES = (64, 128)  # of square images, tried before the architecture's own


class Subject(NamedTuple):
    """An architecture: how it is built, and images in the form that it takes in training, with its loss."""

    name: str
    build: Callable[[], nn.Module]
    sizes: tuple[int, ...]
    loss: Callable[[nn.Module, Tensor], Tensor]


def timm_subject(name: str) -> Subject:
    import timm

    own = timm.get_pretrained_cfg(name).input_size[-1]
    return Subject(f"timm/{name}", lambda: timm.create_model(name, num_classes=10), (*SIZES, own), mean_square)


def detection(name: str) -> Subject:
    size = {"min_size": 64, "max_size": 96} if "ssd" not in name else {}

    def build() -> nn.Module:
        return torchvision.models.get_model(name, weights=None, weights_backbone=None, **size)

    return Subject(f"detection/{name}", build, (64,), detection_loss)


def segmentation(name: str) -> Subject:
    def build() -> nn.Module:
        return torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=5)

    return Subject(f"segmentation/{name}", build, (64,), mean_square)


def mean_square(model: nn.Module, images: Tensor) -> Tensor:
    return torch.stack([output.square().mean() for output in floats(model(images))]).sum()


def detection_loss(model: nn.Module, images: Tensor) -> Tensor:
    side = images.shape[-1]
    target: dict[str, Tensor] = {
        "boxes": torch.tensor([[4.0, 4.0, side / 2, side / 2]]),
        "labels": torch.tensor([1]),
        "masks": torch.ones(1, side, side, dtype=torch.uint8),
        "keypoints": torch.full((1, 17, 3), side / 4),
    }
    losses: dict[str, Tensor] = model(list(images), [target] * len(images))
    return torch.stack(list(losses.values())).sum()


def floats(output: Any) -> list[Tensor]:
    """Every tensor of real numbers in an output."""
    leaves = torch.utils._pytree.tree_leaves(output)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point()]


def subjects() -> dict[str, Callable[[], Subject]]:
    """What makes each subject, by its name such as timm/resnet18."""
    groups = {"timm": (timm_subject, TIMM.split()), "detection": (detection, DETECTION)}
    groups["segmentation"] = (segmentation, SEGMENTATION)
    return {f"{group}/{name}": partial(make, name) for group, (make, names) in groups.items() for name in names}
