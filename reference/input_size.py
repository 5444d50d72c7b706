"""224 or 227: every hypothesis about the input of conv1, as data, with the sizes that follow from it.

Kernel 11, stride 4; pooling 3, stride 2; conv2 padded by 2, conv3 to conv5 by 1. A hypothesis is an input size, zeros
before (left, top) and after (right, bottom), and whether sizes round down or up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .spec import Conv, Layer

KERNEL, STRIDE = 11, 4

# (before, after) zeros at 224 for which conv1 gives 55 x 55: indistinguishable by shape, told apart by an impulse.
PADDINGS_OF_224 = ((0, 3), (1, 2), (2, 1), (3, 0))


def padded_like(conv1: Layer, padding: tuple[int, int]) -> Layer:
    assert isinstance(conv1, Conv)
    return replace(conv1, padding=padding, ceil=False)


def windows(size: int, kernel: int, stride: int, ceil: bool) -> int:
    """Windows along one axis; with `ceil` as the 2012 code counts them: rounded up, whatever is missing read as zero."""
    steps = -((kernel - size) // stride) if ceil else (size - kernel) // stride
    return steps + 1


STORED = 256  # side of the stored images that the authors' code crops a border off
# layers/layers-145.cfg of computerhistory/AlexNet-Source-Code @ 2f8b81f: `partialSum` must divide a layer's positions.
PARTIAL_SUMS = {"conv1": 5, "conv2": 3, "conv3 to conv5": 13}


def sizes_of_2012() -> list[int]:
    """The input sizes that the authors' configuration admits: of all borders, those whose maps partialSum divides."""
    return [size for size in range(STORED, KERNEL, -2) if admitted(size)]


def admitted(size: int) -> bool:
    conv1 = windows(size, KERNEL, STRIDE, ceil=True)
    conv2 = windows(conv1, 3, 2, ceil=True)  # pool1; conv2 keeps its size
    conv3 = windows(conv2, 3, 2, ceil=True)  # pool2; conv3 to conv5 keep theirs
    maps = zip((conv1, conv2, conv3), PARTIAL_SUMS.values(), strict=True)
    return all(side > 0 and side**2 % part == 0 for side, part in maps)


@dataclass(frozen=True)
class Hypothesis:
    """One reading. `same` rounds as TensorFlow's SAME does: ceil(size / stride) outputs, zeros split, more after."""

    id: str
    says: str
    input: int
    before: int = 0
    after: int = 0
    ceil: bool = False
    same: bool = False
    who: str = ""

    @property
    def conv1(self) -> int:
        if self.same:
            return -(-self.input // STRIDE)
        return windows(self.input + self.before + self.after, KERNEL, STRIDE, self.ceil)

    @property
    def zeros(self) -> tuple[int, int]:
        """Zeros that conv1 reads before the first and after the last real pixel; negative after: pixels left unread."""
        reach = (self.conv1 - 1) * STRIDE + KERNEL
        before = (reach - self.input) // 2 if self.same else self.before
        return before, reach - self.input - before

    def sizes(self, ceil_pools: bool) -> tuple[int, int, int, int]:
        """Map sizes after conv1, pool1 (= conv2), pool2 (= conv3 to conv5) and pool5."""
        sizes = [self.conv1]
        for _ in range(3):
            sizes.append(windows(sizes[-1], 3, 2, ceil_pools))
        return tuple(sizes)  # type: ignore[return-value]

    @property
    def neurons_in(self) -> int:
        return 3 * self.input**2

    def fits_figure_2(self) -> bool:
        """55 at conv1, 13 at conv3 to conv5, 6 x 6 into fc6, whichever way the pools round."""
        return all(self.sizes(ceil) == (55, 27, 13, 6) for ceil in (False, True))

    def possible_in_2012(self) -> bool:
        """Could the authors' code have run it? It rounds up, without padding, at the sizes that its configuration admits."""
        return self.ceil and not (self.before or self.after) and self.input in sizes_of_2012()


HYPOTHESES: tuple[Hypothesis, ...] = (
    Hypothesis("A", "227, no padding", 227, who="Caffe; many Keras copies"),
    Hypothesis("B", "224, no padding, rounded down", 224, who="the naive reading"),
    Hypothesis("C", "224, rounded up: three zeros right and bottom", 224, ceil=True, who="the authors' code"),
    Hypothesis("D", "224, 1 before, 2 after", 224, 1, 2),
    Hypothesis("E", "224, 2 before, 1 after", 224, 2, 1, who="the same values as J"),
    Hypothesis("F", "224, 0 before, 3 after", 224, 0, 3, who="the same as C, written out; `paper-224` here"),
    Hypothesis("G", "224, 3 before, 0 after", 224, 3, 0),
    Hypothesis("H", "224, 1 on each side, rounded down", 224, 1, 1),
    Hypothesis("I", "224, 1 on each side, rounded up", 224, 1, 1, ceil=True, who="the same values as D"),
    Hypothesis("J", "224, 2 on each side, rounded down", 224, 2, 2, who="torchvision"),
    Hypothesis("K", "224, 2 on each side, rounded up", 224, 2, 2, ceil=True),
    Hypothesis("L", "224, 3 on each side, rounded down", 224, 3, 3, who='"three pixels of padding"; same values as G'),
    Hypothesis("M", "224, 3 on each side, rounded up", 224, 3, 3, ceil=True),
    Hypothesis("N", "224, TensorFlow SAME", 224, same=True, who="TensorFlow copies"),
    Hypothesis("O", "224, TensorFlow VALID", 224, who="TensorFlow copies; the same as B"),
    Hypothesis("P", "227, TensorFlow SAME", 227, same=True),
    Hypothesis("Q", "226, rounded up", 226, ceil=True, who="the only other even size that the 2012 configs admit"),
    Hypothesis("R", "225, rounded up", 225, ceil=True),
    Hypothesis("S", "228, no padding, rounded down", 228),
    Hypothesis("T", "227, 2 on each side, rounded down", 227, 2, 2),
    Hypothesis("U", "248, rounded up (the 2012 code's default border of 4)", 248, ceil=True),
    Hypothesis("V", "256, the whole stored image, rounded down", 256),
)
