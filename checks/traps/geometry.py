"""Convolutions with other kernels, strides and padding."""

from __future__ import annotations

from dataclasses import replace

from ...reference.mistaken import Border, BorderedConv, BorderedPool, Dilated
from ...reference.spec import Conv, Layer, Network, Pool, Shape
from .chain import site_of, words
from .trap import Trap, value


def same_border(layer: Conv | Pool, shape: Shape) -> Border:
    """TensorFlow's SAME: ceil(size / stride) outputs, the odd pixel of padding at the end."""
    totals = [max(0, (-(-n // layer.stride) - 1) * layer.stride + layer.reach - n) for n in shape[1:]]
    rows, columns = ((total // 2, total - total // 2) for total in totals)
    return rows, columns


def padded_same(network: Network, name: str) -> Network | None:
    site = site_of(network, name)
    layer = site.layer
    assert isinstance(layer, Conv | Pool)
    rows, columns = border = same_border(layer, site.inputs)
    if rows == columns:
        return network.swap(name, replace(layer, padding=rows, ceil=False))
    bordered = BorderedConv if isinstance(layer, Conv) else BorderedPool
    return network.swap(name, bordered(**{**vars(layer), "padding": (0, 0), "ceil": False, "border": border}))


def dilated(layer: Conv) -> Layer | None:
    return Dilated(**vars(layer)) if layer.kernel > 1 else None


def padded_by(pixels: int) -> Trap:
    plural = "pixel" if pixels == 1 else "pixels"
    return Trap(
        f"pad-{pixels}",
        f"the padding is {pixels} {plural} on every side",
        (Conv,),
        value("padding", (pixels, pixels)),
        words=words(
            f"nn.Conv2d(..., padding={pixels}) at {{layer}}; expected: {{expected}}",
            f"ZeroPadding2D({pixels}) before {{layer}}, or padding='same'; expected: {{expected}}",
            f"tf.pad by {pixels}, or padding='SAME', before {{layer}}; expected: {{expected}}",
            onnx=f"Conv's pads are {pixels} throughout; expected: {{expected}}",
        ),
    )


def strided_by(stride: int) -> Trap:
    return Trap(
        f"stride-{stride}",
        f"the stride is {stride}",
        (Conv,),
        value("stride", stride),
        words=words(
            f"nn.Conv2d's stride is {stride} at {{layer}}"
            + (" (the default)" if stride == 1 else "")
            + "; expected: {expected}",
            f"Conv2D's strides is {stride} at {{layer}}"
            + (" (the default)" if stride == 1 else "")
            + "; expected: {expected}",
            f"tf.nn.conv2d's strides is {stride} at {{layer}}; expected: {{expected}}",
        ),
    )


def kernel_of(size: int) -> Trap:
    return Trap(
        f"kernel-{size}",
        f"the kernels are {size} x {size}",
        (Conv,),
        value("kernel", size),
        words=words(
            f"nn.Conv2d's kernel_size is {size} at {{layer}}; expected: {{expected}}",
            f"Conv2D's kernel_size is {size} at {{layer}}; expected: {{expected}}",
            f"the filters given to tf.nn.conv2d begin with {size}, {size} at {{layer}}; expected: {{expected}}",
        ),
    )


TRAPS: tuple[Trap, ...] = (
    *(strided_by(stride) for stride in range(1, 6)),
    *(kernel_of(size) for size in (1, 3, 5, 7, 9, 11)),
    Trap(
        "padding-missing",
        "there is no padding",
        (Conv,),
        value("padding", (0, 0)),
        words=words(
            "nn.Conv2d pads nothing unless told (padding=0): pass the padding; expected: {expected}",
            "Conv2D's default is padding='valid': put ZeroPadding2D before {layer}, or pass padding='same' where the stride is 1",
            "padding='VALID' pads nothing: give tf.nn.conv2d pairs, [[0, 0], [p, p], [p, p], [0, 0]]; expected: {expected}",
            jax="padding='VALID' pads nothing: give lax.conv_general_dilated pairs; expected: {expected}",
        ),
    ),
    Trap(
        "padding-same",
        "the padding is TensorFlow's SAME (uneven: the odd pixel at the end)",
        (Conv,),
        network=padded_same,
        words=words(
            "F.pad before {layer} copies TensorFlow's SAME: pad as expected ({expected}) and no more",
            "padding='same' pads so that the size is ceil(size / stride): use padding='valid'; expected: {expected}",
            "padding='SAME' pads so that the size is ceil(size / stride): use 'VALID' or explicit padding; expected: {expected}",
            onnx="auto_pad=SAME_UPPER: give pads instead; expected: {expected}",
            jax="padding='SAME' pads so that the size is ceil(size / stride): give pairs; expected: {expected}",
        ),
    ),
    Trap(
        "padding-left",
        "the zeros lie at the left and top, not at the right and bottom",
        (Conv,),
        lambda c: replace(c, padding=c.padding[::-1]) if c.padding[0] != c.padding[1] else None,
        words=words(
            "F.pad takes (left, right, top, bottom): the zeros belong at the right and the bottom (where sizes round down, "
            "nn.Conv2d(padding=3) comes to the same: no window reaches the others)",
            "ZeroPadding2D takes ((top, bottom), (left, right)): the zeros belong at the bottom and the right",
            "tf.pad takes (before, after) of each axis: the zeros belong after",
            onnx="pads lists all beginnings before all ends: the zeros belong at the ends",
        ),
    ),
    *(padded_by(pixels) for pixels in range(1, 6)),
    Trap(
        "padding-shifted",
        "the padding lies one pixel further to the right and bottom",
        (Conv,),
        lambda c: replace(c, padding=(c.padding[0] - 1, c.padding[1] + 1)) if c.padding[0] else None,
        words=words(
            "F.pad is given one pixel less at the left and top and one more at the right and bottom; expected: {expected}",
            "padding='same' puts the odd pixel at the right and bottom: use ZeroPadding2D; expected: {expected}",
            "'SAME' puts the odd pixel at the right and bottom: use explicit padding; expected: {expected}",
        ),
    ),
    Trap(
        "conv-ceil",
        "the output size is rounded up, what the last window misses read as zero",
        (Conv,),
        value("ceil", True),
        words=words(
            "zeros are padded at the right and bottom so that the size rounds up; nn.Conv2d rounds down without them",
            "ZeroPadding2D at the right and bottom makes the size round up; Conv2D(padding='valid') rounds down without it",
            "zeros padded at the right and bottom make the size round up; 'VALID' rounds down without them",
        ),
    ),
    Trap(
        "conv-floor",
        "the output size is rounded down",
        (Conv,),
        value("ceil", False),
        words=words(
            "nn.Conv2d rounds down: pad the right and bottom by hand (F.pad(x, (0, 3, 0, 3)) at 224) to round up",
            "Conv2D(padding='valid') rounds down: ZeroPadding2D(((0, 3), (0, 3))) before it at 224 rounds up",
            "padding='VALID' rounds down: tf.pad the right and bottom (3 pixels at 224) to round up",
        ),
    ),
    Trap(
        "dilated",
        "the kernel's taps stand two pixels apart (dilation 2)",
        (Conv,),
        dilated,
        words=words(
            "dilation=2: nn.Conv2d's sixth positional argument is dilation, the seventh groups; leave dilation at 1",
            "Conv2D(..., dilation_rate=2): leave dilation_rate at 1",
            "tf.nn.conv2d(..., dilations=2), or tf.nn.atrous_conv2d: leave dilations at None",
        ),
    ),
)
