"""The aspects of images and of evaluation, which no network expresses."""

from __future__ import annotations

from .differences import Area, Aspect, Cell, Source, differs, paper, same, silent

MAKE_DATA = Source("cuda-convnet2", "make-data/make-data.py", "32-41")
LOADER = "convdata_jpeg.py"
TRANSFORMER = Source("caffe", "src/caffe/data_transformer.cpp", "87-115")
PRESETS = Source("torchvision/main", "references/classification/presets.py")
README = Source("torchvision/main", "references/classification/README.md")
TRAIN = Source("torchvision/main", "references/classification/train.py")


def row(number: int, name: str, area: Area, cells: tuple[Cell, Cell, Cell, Cell], *sources: Source) -> Aspect:
    """A row written by hand: paper, original code, Caffe, torchvision."""
    columns = ("paper", "original", "caffe", "torchvision")
    return Aspect(number, name, area, dict(zip(columns, cells, strict=True)), sources)


ASPECTS: tuple[Aspect, ...] = (
    row(
        1,
        "stored image",
        Area.INPUT,
        (
            same("shorter side 256, its central 256 x 256"),
            same("the same, by the successor's script; a mode that keeps the whole image exists"),
            differs("stretched to 256 x 256, whatever its shape"),
            differs("test: shorter side 256, central 224 x 224; training: a part of any size, resized to 224 x 224"),
        ),
        paper("Section 2"),
        MAKE_DATA,
        Source("original", LOADER, "31-39"),
        Source("caffe", "examples/imagenet/readme.md"),
        PRESETS,
    ),
    row(
        4,
        "one crop and flip serves",
        Area.INPUT,
        (
            silent("not stated; one image is implied"),
            silent("32 consecutive images, four draws in a batch of 128"),
            silent("one image"),
            silent("one image"),
        ),
        paper("Section 4.1"),
        Source("original", LOADER, "77"),
        Source("original", LOADER, "238-246"),
        TRANSFORMER,
        PRESETS,
    ),
    row(
        5,
        "what is subtracted",
        Area.INPUT,
        (
            same("the training set's mean, at each pixel"),
            differs("the centre of the mean image, wherever the crop was taken and whether it was flipped or not"),
            same("the mean image at the pixel that was cropped; flipped after that"),
            differs("one mean for each colour; then divided by one standard deviation for each"),
        ),
        paper("Section 2"),
        Source("original", LOADER, "95"),
        Source("original", LOADER, "209-211"),
        TRANSFORMER,
        PRESETS,
    ),
    row(
        6,
        "pixels",
        Area.INPUT,
        (
            same("centred red, green, blue; no other scaling"),
            differs("0 to 255, centred, red first; divided by 1.1 in training while colour noise is on"),
            differs("0 to 255, centred, blue first (as OpenCV reads)"),
            differs("0 to 1, red first, standardised"),
        ),
        paper("Section 2"),
        Source("original", LOADER, "34"),
        Source("original", LOADER, "179"),
        Source("caffe", "src/caffe/util/io.cpp"),
        PRESETS,
    ),
    row(
        7,
        "colour noise",
        Area.INPUT,
        (
            same("eigenvectors x eigenvalues x N(0, 0.1), all the time"),
            differs("eigenvectors x standard deviations x N(0, 0.1), switched off at epoch 67 or 68"),
            differs("none"),
            differs("none"),
        ),
        paper("Section 4.1"),
        Source("original", LOADER, "65"),
        Source("original", "layers/layer-params-145.cfg", "177-178"),
        Source("caffe", "models/bvlc_alexnet/readme.md"),
        PRESETS,
    ),
    row(
        25,
        "between pool5 and fc6",
        Area.ARCHITECTURE,
        (
            same("nothing"),
            same("nothing"),
            same("nothing"),
            differs("the mean over a 6 x 6 grid, so that other sizes fit: changes nothing at 224"),
        ),
        paper("Section 3.5"),
        Source("original", "layers/layers-145.cfg", "220-254"),
        Source("caffe", "models/bvlc_alexnet/train_val.prototxt", "252-266"),
        Source("torchvision", "torchvision/models/alexnet.py", "32"),
    ),
    row(
        45,
        "views of a test image",
        Area.TESTING,
        (
            same("ten: corners, centre, reflections; probabilities averaged"),
            same("ten, probabilities averaged"),
            differs("the central one (figures reported)"),
            differs("the central one (figures reported)"),
        ),
        paper("Section 4.1"),
        Source("original", LOADER, "226-233"),
        Source("original", "src/layer.cu", "1810-1822"),
        Source("caffe", "models/bvlc_alexnet/readme.md"),
        PRESETS,
    ),
    row(
        46,
        "ties at the fifth place",
        Area.TESTING,
        (
            silent("not stated"),
            silent("the tied share the place in fractions"),
            silent("a tie counts against the label"),
            silent("left to torch.topk, which promises no order among equals"),
        ),
        Source("original", "src/layer_kernels.cu", "108-117"),
        Source("caffe", "src/caffe/layers/accuracy_layer.cpp"),
        Source("torchvision/main", "references/classification/utils.py"),
    ),
    row(
        48,
        "errors on 2012 validation, top-1 / top-5 in %",
        Area.RESULT,
        (
            same("40.7 / 18.2 (ten views)"),
            same("40.664 / 18.210 (ten views)"),
            differs("42.9 / 19.8 (central view)"),
            differs("43.478 / 20.934 (central view)"),
        ),
        paper("Table 2"),
        Source("original", "layers/layer-params-145.cfg", "182"),
        Source("caffe", "models/bvlc_alexnet/readme.md"),
        Source("torchvision/main", "torchvision/models/alexnet.py"),
    ),
    row(
        49,
        "hardware",
        Area.RESULT,
        (
            same("two GTX 580 with 3 GB"),
            silent("machines called guppy, gpu and krunch; the device list there names four Tesla S2050"),
            silent("not stated"),
            differs("eight V100, as the reference scripts say of all their models"),
        ),
        paper("Section 5"),
        Source("original", "deviceQuery.txt"),
        README,
    ),
)
