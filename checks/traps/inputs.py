"""What the model does to the image before the first layer, or takes it for."""

from __future__ import annotations

from ...reference.mistaken import Affine, Reordered
from ...reference.spec import AFFINE, Layer, Network
from .chain import Edit, first_layer, words
from .trap import Trap

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, of RGB pixels from 0 to 1
PIXEL = 255.0
NAME = "input"


def put_first(layer: Layer, colours: int = 0) -> Edit:
    """Put before the network's first layer; with `colours`, only where the image has so many channels."""

    def edit(network: Network, name: str) -> Network | None:
        if not first_layer(network, name) or colours not in (0, network.input_shape[0]):
            return None
        return network.swap(name, layer, network[name])

    return edit


def reordered(id_: str, says: str, order: str, said: dict[str, str], convention: str = "") -> Trap:
    edit = put_first(Reordered(NAME, order=order))
    return Trap(id_, says, AFFINE, network=edit, convention=convention, words=said)


def scaled(id_: str, says: str, scale: tuple[float, ...], shift: tuple[float, ...], said: dict[str, str]) -> Trap:
    edit = put_first(Affine(NAME, scale, shift), colours=max(len(scale), len(shift)) if len(scale) > 1 else 0)
    return Trap(id_, says, AFFINE, network=edit, words=said)


TRAPS: tuple[Trap, ...] = (
    reordered(
        "input-bgr",
        "the image's channels are reversed (BGR) before the first layer",
        "bgr",
        words(
            "x[:, [2, 1, 0]] or x.flip(1) in forward() makes BGR, for Caffe's weights: leave it out for RGB ones",
            "x[..., ::-1], as preprocess_input's mode 'caffe' does, makes BGR: leave it out for RGB weights",
            "tf.reverse(x, axis=[-1]), or tf.split and tf.concat, makes BGR: leave it out for RGB weights",
        ),
        convention="Caffe",
    ),
    reordered(
        "input-as-if-hwc",
        "the image's memory is read in another layout (rows, columns, channels for channels, rows, columns)",
        "as-if-hwc",
        words(
            "x.view or x.reshape stands where x.permute should: a reshape does not move the channels' axis",
            "Reshape stands where Permute should: a reshape does not move the channels' axis",
            "tf.reshape stands where tf.transpose should: a reshape does not move the channels' axis",
        ),
    ),
    reordered(
        "input-rows-columns",
        "the image's rows and columns are exchanged",
        "rows-columns",
        words(
            "x.transpose(2, 3), or permute(0, 3, 2, 1) from channels last: permute(0, 3, 1, 2)",
            "Permute((2, 1, 3)) exchanges rows and columns: leave it out",
            "tf.transpose(x, [0, 2, 1, 3]) exchanges rows and columns: leave it out",
        ),
    ),
    reordered(
        "input-upside-down",
        "the image is turned upside down",
        "upside-down",
        words(
            "x.flip(2) turns the image upside down: leave it out",
            "x[:, ::-1] turns the image upside down: leave it out",
            "tf.image.flip_up_down, or tf.reverse(x, axis=[1]): leave it out",
        ),
    ),
    reordered(
        "input-mirrored",
        "the image is mirrored",
        "mirrored",
        words(
            "x.flip(3) mirrors every image: leave it to the training data, at random",
            "x[:, :, ::-1] mirrors every image: RandomFlip('horizontal') does it in training only, at random",
            "tf.image.flip_left_right mirrors every image: tf.image.random_flip_left_right, in training only",
        ),
    ),
    scaled(
        "input-divided-by-255",
        "the pixels are divided by 255 (0 to 1)",
        (1 / PIXEL,),
        (0.0,),
        words(
            "x / 255 in forward(): the paper's pixels go from 0 to 255, less their mean",
            "Rescaling(1 / 255): the paper's pixels go from 0 to 255, less their mean",
            "x / 255, or tf.image.convert_image_dtype: the paper's pixels go from 0 to 255, less their mean",
        ),
    ),
    scaled(
        "input-minus-1-to-1",
        "the pixels are scaled to -1 to 1",
        (2 / PIXEL,),
        (-1.0,),
        words(
            "x / 127.5 - 1 in forward(): the paper's pixels go from 0 to 255, less their mean",
            "Rescaling(1 / 127.5, offset=-1): the paper's pixels go from 0 to 255, less their mean",
            "x / 127.5 - 1: the paper's pixels go from 0 to 255, less their mean",
        ),
    ),
    scaled(
        "input-centred",
        "ImageNet's mean colour is subtracted by the model itself",
        (1.0, 1.0, 1.0),
        tuple(-PIXEL * mean for mean in MEAN),
        words(
            "a buffer with the mean colour is subtracted in forward(): not from pixels that are centred already",
            "Normalization(mean=..., variance=1) in the model: not for pixels that are centred already",
            "the mean colour is subtracted in the graph: not from pixels that are centred already",
        ),
    ),
    scaled(
        "input-imagenet-statistics",
        "the pixels are divided by 255 and standardised with ImageNet's mean and spread",
        tuple(1 / (PIXEL * std) for std in STD),
        tuple(-mean / std for mean, std in zip(MEAN, STD, strict=True)),
        words(
            "x / 255 and Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), torchvision's, inside the model",
            "Rescaling and Normalization with ImageNet's statistics (preprocess_input's mode 'torch') inside the model",
            "x / 255, less ImageNet's mean, divided by its spread, inside the graph",
        ),
    ),
    scaled(
        "input-divided-by-std",
        "the pixels are divided by ImageNet's spread of each colour",
        tuple(1 / (PIXEL * std) for std in STD),
        (0.0, 0.0, 0.0),
        words(
            "the pixels are divided by the spread of each colour in forward(): the paper only subtracts the mean",
            "Normalization(variance=...) divides by the spread of each colour: the paper only subtracts the mean",
            "the pixels are divided by the spread of each colour in the graph: the paper only subtracts the mean",
        ),
    ),
)
