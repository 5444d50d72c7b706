"""The aspects of training. torchvision's column is its reference script, run as its README says for AlexNet."""

from __future__ import annotations

from .differences import Area, Aspect, Source, differs, paper, same, silent
from .differences_data import README, TRAIN, row

RUN_2012 = "layers/layer-params-145.cfg"
RUN_2010 = "layers/layer-params-145-2010.cfg"
SOLVER = Source("caffe", "models/bvlc_alexnet/solver.prototxt")
TRAIN_VAL = "models/bvlc_alexnet/train_val.prototxt"
SGD = Source("caffe", "src/caffe/solvers/sgd_solver.cpp", "156-238")
TRAINING = Area.TRAINING

ASPECTS: tuple[Aspect, ...] = (
    row(
        29,
        "dropout's factor",
        TRAINING,
        (
            same("0.5 at test"),
            same("0.5 at test"),
            differs("2 in training (the same function once the next weights are halved)"),
            differs("2 in training"),
        ),
        paper("Section 4.2"),
        Source("original", "src/layer.cu", "1126-1133"),
        Source("caffe", "src/caffe/layers/dropout_layer.cpp", "17-41"),
        Source("pytorch", "torch/nn/modules/dropout.py"),
    ),
    row(
        36,
        "learning rate of biases",
        TRAINING,
        (
            same("that of the weights, the same in all layers"),
            differs(
                "their own: 0.02 (2012) and 0.002 (2010) at the end, the weights' 0.00001; 0.02 to the weights' 0.01 in a "
                "sister net's file (153)"
            ),
            differs("twice the weights', always"),
            same("that of the weights"),
        ),
        paper("Section 5"),
        Source("original", RUN_2012, "17-23"),
        Source("original", RUN_2010, "17-23"),
        Source("original", "layers/layer-params-153.cfg"),
        Source("caffe", TRAIN_VAL, "45-52"),
        TRAIN,
    ),
    row(
        37,
        "weight decay on biases",
        TRAINING,
        (
            silent("not stated"),
            silent("none"),
            silent("none"),
            silent("as on weights"),
        ),
        Source("original", "src/layer.cu", "565"),
        Source("caffe", TRAIN_VAL, "49-52"),
        TRAIN,
    ),
    row(
        38,
        "weight decay",
        TRAINING,
        (same("0.0005"), same("0.0005"), same("0.0005"), differs("0.0001")),
        paper("Section 5"),
        Source("original", RUN_2012, "1-7"),
        SOLVER,
        README,
    ),
    row(
        39,
        "learning rate in the momentum",
        TRAINING,
        (
            same("inside the velocity"),
            same("inside"),
            same("inside"),
            differs("outside: the same steps only while the rate stays"),
        ),
        paper("Section 5"),
        Source("original", "src/weights.cu", "146-197"),
        SGD,
        Source("pytorch", "torch/optim/sgd.py"),
    ),
    row(
        40,
        "batch",
        TRAINING,
        (same("128"), same("128"), differs("256"), differs("256: 32 on each of 8 GPUs")),
        paper("Section 5"),
        Source("original", "convnet.py", "177"),
        Source("caffe", TRAIN_VAL, "15-19"),
        README,
    ),
    row(
        41,
        "learning rate",
        TRAINING,
        (
            same("0.01, divided by 10 three times, by hand"),
            same("0.01, divided by 10 at epochs 25, 51, 79 (2012) and 23, 51, 78 (2010)"),
            differs("0.01, divided by 10 after every 100,000 of 450,000 steps: four times"),
            differs("0.01, divided by 10 after every 30 of 90 epochs: twice"),
        ),
        paper("Section 5"),
        Source("original", RUN_2012, "169-180"),
        Source("original", RUN_2010, "170-175"),
        SOLVER,
        README,
    ),
    row(
        42,
        "layers held back",
        TRAINING,
        (
            same("none"),
            differs("conv1 slowed to 0.00001 at epoch 67 or 68, frozen from 72"),
            same("none"),
            same("none"),
        ),
        paper("Section 5"),
        Source("original", RUN_2012, "177-179"),
        Source("original", RUN_2010, "172-174"),
        Source("caffe", TRAIN_VAL, "45-52"),
        TRAIN,
    ),
    row(
        43,
        "length",
        TRAINING,
        (
            same("about 90 epochs"),
            same("ended at epoch 91 (2012) and 93 (2010)"),
            same("450,000 steps of 256 images, 90 epochs; released: step 360,000"),
            same("90 epochs"),
        ),
        paper("Section 5"),
        Source("original", RUN_2012, "181"),
        Source("original", RUN_2010, "176"),
        SOLVER,
        Source("caffe", "models/bvlc_alexnet/readme.md"),
        README,
    ),
    row(
        44,
        "shuffling",
        TRAINING,
        (
            silent("not stated"),
            silent("none between epochs in cuda-convnet; that file is not in the 2012 release"),
            silent("once, when the database is made"),
            silent("before every epoch"),
        ),
        Source("cuda-convnet", "data.py", "92-93"),
        Source("caffe", "examples/imagenet/create_imagenet.sh"),
        TRAIN,
    ),
)
