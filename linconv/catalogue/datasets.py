"""The data sets: facts that are known without the files, and one loader each in `linconv.data`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from linconv.catalogue._entry import NO_OUTCOME, Entry, by_name


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """What a network and its training must know of a data set; images are square.

    Args:
        classes: how many there are.
        channels: of the images.
        mean: of each channel, of values in [0, 1].
        std: the standard deviation of each channel, of values in [0, 1].
        border: zero pixels added around each image when it is loaded.
        crop_padding: training images are cropped at random out of themselves, padded by that many zero pixels.
        flip: every second training image, on average, is mirrored.
        image_size: side of the images, with the border.
        crop_size: side of the crop where it is smaller than the image; evaluation takes the central crop.
    """

    classes: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    border: int = 0
    crop_padding: int = 0
    flip: bool = False
    image_size: int = 32
    crop_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class DatasetEntry(DatasetInfo, Entry):
    """A data set that is known without its files.

    `target` loads it: `load(*arguments, root)`, `root` being the folder of all data sets' files.

    Args:
        arguments: the first arguments of the loader.
        archives: names below `root` by which the original files are recognized; the first that is there is used.
            A data set with archives may also lie there as image columns or as PNG class folders.
        numbered: class folders have the labels as names, since the official order of the classes is not alphabetical.
        digests: of the training and the test images, see `linconv.data.content`; None where nobody with the original
            files has reported them.
        images: how many there are to train and to test.
        download_mb: megabytes of the archives that are fetched where none are there; None where nothing is fetched.
        streamed: the images are always decoded batch by batch.
        source: the publication.
    """

    arguments: tuple[str, ...] = ()
    archives: tuple[str, ...] = field(default=(), metadata=NO_OUTCOME)
    numbered: bool = field(default=False, metadata=NO_OUTCOME)
    digests: tuple[str, str] | None = field(default=None, metadata=NO_OUTCOME)
    images: tuple[int, int] = field(metadata=NO_OUTCOME)
    download_mb: float | None = field(default=None, metadata=NO_OUTCOME)
    streamed: bool = field(default=False, metadata=NO_OUTCOME)
    source: str = field(metadata=NO_OUTCOME)

    def load_images(self, root: Any) -> Any:
        """The images and labels, `linconv.data.Arrays`: imports the loader's module."""
        return self.load()(*self.arguments, root)

    @property
    def test_images(self) -> int:
        """How many images of the test part; what accuracies can be sure of depends on it."""
        return self.images[1]


_CIFAR = "Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009"

# Normalization and augmentation of the paper's five data sets follow its released code; digits and synthetic
# carry the statistics of their own training part and, like MNIST, are not augmented.
DATASETS: dict[str, DatasetEntry] = by_name(
    DatasetEntry(
        name="digits",
        label="Digits",
        target="linconv.data.embedded:load_digits",
        classes=10,
        channels=1,
        mean=(0.3051,),
        std=(0.3238,),
        images=(1442, 355),
        source="Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI 1998, as in scikit-learn",
    ),
    DatasetEntry(
        name="synthetic",
        label="Synthetic",
        target="linconv.data.embedded:load_synthetic",
        classes=10,
        channels=3,
        mean=(0.4926, 0.5037, 0.5074),
        std=(0.2126, 0.2166, 0.2080),
        images=(500, 200),
        source="ten color patterns under noise, drawn by this project",
    ),
    DatasetEntry(
        name="mnist",
        label="MNIST",
        target="linconv.data.published:load_mnist",
        arguments=("MNIST",),
        classes=10,
        channels=1,
        mean=(0.1307,),
        std=(0.3015,),
        border=2,
        archives=("MNIST/raw",),
        numbered=True,
        digests=(
            "fb28a7b04a9f440bbddcde84e03180f5642bd94ab21dd1be6983a636775f3250",
            "aa914c65e7f192e8464e9f781ee72459ccdb44b42f446e6e597af3c35556cfec",
        ),
        images=(60_000, 10_000),
        download_mb=11.6,
        source="LeCun, Bottou, Bengio & Haffner, Gradient-based Learning Applied to Document Recognition, 1998",
    ),
    DatasetEntry(
        name="fashionmnist",
        label="Fashion-MNIST",
        target="linconv.data.published:load_mnist",
        arguments=("FashionMNIST",),
        classes=10,
        channels=1,
        mean=(0.2860,),
        std=(0.3205,),
        border=2,
        flip=True,
        archives=("FashionMNIST/raw",),
        numbered=True,
        images=(60_000, 10_000),
        download_mb=30.9,
        source="Xiao, Rasul & Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking, 2017",
    ),
    DatasetEntry(
        name="cifar10",
        label="CIFAR-10",
        target="linconv.data.published:load_cifar",
        arguments=("CIFAR10",),
        classes=10,
        channels=3,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2023, 0.1994, 0.2010),
        crop_padding=4,
        flip=True,
        archives=("cifar-10-batches-py", "cifar-10-python.tar.gz"),
        digests=(
            "98b76998bf9346ca6706acbad99e388b2a5f7b0868ca3ae3f517bd29bec60d1e",
            "e6d029ea9735d47619f1ab7825e5b7ef2bc0abe3e4cd005f368be237ad1686f7",
        ),
        images=(50_000, 10_000),
        download_mb=170.5,
        source=_CIFAR,
    ),
    DatasetEntry(
        name="cifar100",
        label="CIFAR-100",
        target="linconv.data.published:load_cifar",
        arguments=("CIFAR100",),
        classes=100,
        channels=3,
        mean=(0.5071, 0.4866, 0.4409),
        std=(0.2009, 0.1984, 0.2023),
        crop_padding=4,
        flip=True,
        archives=("cifar-100-python", "cifar-100-python.tar.gz"),
        digests=(
            "7b95c561fad38ba7bc300c31d3823185386d4bf2c5490e8207d665674ebc5e07",
            "5ed035024e899f63c545759d73e29398bd6ec43838cadb983654853eddfdb5ae",
        ),
        images=(50_000, 10_000),
        download_mb=169.0,
        source=_CIFAR,
    ),
    DatasetEntry(
        name="svhn",
        label="SVHN",
        target="linconv.data.published:load_svhn",
        classes=10,
        channels=3,
        mean=(0.4377, 0.4438, 0.4728),
        std=(0.1201, 0.1231, 0.1052),
        crop_padding=4,
        archives=("train_32x32.mat", "test_32x32.mat"),
        numbered=True,
        images=(73_257, 26_032),
        download_mb=246.4,
        source="Netzer et al., Reading Digits in Natural Images with Unsupervised Feature Learning, 2011",
    ),
    # not of the paper; the statistics are those that torchvision's pretrained networks use
    DatasetEntry(
        name="imagenet",
        label="ImageNet",
        target="linconv.data.imagenet:load_imagenet",
        classes=1000,
        channels=3,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        flip=True,
        image_size=256,
        crop_size=224,
        streamed=True,
        images=(1_281_167, 50_000),
        source="Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, IJCV 2015",
    ),
)
