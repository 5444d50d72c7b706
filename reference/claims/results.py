"""Claims of Sections 6 and 7: error rates, ensembles and pre-training, what was learned, the discussion."""

from __future__ import annotations

from .claim import Claim, How

A, X, L, P, D = How.ARITHMETIC, How.EXECUTED, How.ORIGINAL, How.PUBLISHED, How.IMAGENET

ILSVRC12 = "ILSVRC12 (image-net.org/challenges/LSVRC/2012/results.html)"
SIGNATURES = "abstract of Sanchez and Perronnin, CVPR 2011 (High-dimensional signature compression)"
ABLATION = "training the network again on ILSVRC without {}: 1.2 million images, 90 epochs"
WEIGHTS = "the trained weights (CHM has none)"

CLAIMS: tuple[Claim, ...] = (
    # Section 6, Table 1
    Claim(
        "res-2010-centre-patch",
        "6 fn. 5",
        "With one patch instead of ten the errors on the ILSVRC-2010 test set are 39.0% and 18.3%.",
        (L,),
        "CHM layers/layer-params-145-2010.cfg:180",
    ),
    Claim(
        "res-2010-sparse-coding",
        "6, Table 1",
        "The best entry of the 2010 contest, sparse coding, had 47.1% and 28.2%.",
        (P,),
        SIGNATURES,
        "the results page of ILSVRC-2010 with the top-1 error, which the index page does not give",
        reread="not checkable, until an abstract was found that gives the top-5 error by its distance",
    ),
    Claim(
        "res-2010-fisher",
        "6, Table 1",
        "The best published result since, SIFT with Fisher vectors, had 45.7% and 25.7%.",
        (P,),
        SIGNATURES,
        "that paper's table with the top-1 error",
        reread="not checkable, until the abstract with the top-5 error was found",
    ),
    # Section 6, Table 2
    Claim(
        "res-2012-1cnn",
        "6, Table 2",
        "One network has 40.7% and 18.2% on the ILSVRC-2012 validation set.",
        (L,),
        "CHM layers/layer-params-145.cfg:182",
    ),
    Claim(
        "res-2012-5cnn-test",
        "6, Table 2",
        "Five networks have a top-5 error of 16.4% on the ILSVRC-2012 test set.",
        (P,),
        ILSVRC12,
    ),
    Claim(
        "res-2012-5cnn-val",
        "Table 2",
        "Five networks have 38.1% and 16.4% on the validation set.",
        (D,),
        "not logged; CHM avg-valid.py:49-71",
        f"{WEIGHTS} of all five, or their predictions for the validation set",
    ),
    Claim(
        "res-2012-5cnn-similar",
        "6",
        "Those five networks are similar to the one described, and their predictions are simply averaged.",
        (L, P),
        f"{ILSVRC12}; CHM layers/layers-137.cfg, layers/layer-params-145.cfg:184-190, avg-test.py",
    ),
    Claim(
        "res-2012-1cnn-star",
        "6, Table 2",
        "One network pre-trained on ImageNet Fall 2011 has 39.0% and 16.6% on the validation set.",
        (L,),
        "CHM layers/layer-params-146-2012-2011.cfg:195",
    ),
    Claim(
        "res-star-pretraining-path",
        "6",
        "It was trained on all of Fall 2011 and then fine-tuned on ILSVRC-2012.",
        (L,),
        "CHM layers/layer-params-146-2012-2011.cfg:181-204, layers/layer-params-146-2011.cfg, layers/layers-146-2011.cfg:344-372",
    ),
    Claim(
        "res-sixth-conv",
        "6",
        "It has a sixth convolutional layer over the last pooling layer.",
        (L,),
        "CHM layers/layers-146-2012-2011.cfg:258-286",
    ),
    Claim(
        "res-2012-7cnn-test",
        "6, Table 2",
        "Seven networks, some pre-trained, have a top-5 error of 15.3% on the ILSVRC-2012 test set.",
        (P,),
        ILSVRC12,
    ),
    Claim(
        "res-2012-7cnn-val",
        "Table 2",
        "Seven networks, some pre-trained, have 36.7% and 15.4% on the validation set.",
        (D,),
        "not logged; CHM avg-valid.py:49-71",
        f"{WEIGHTS} of all seven, or their predictions for the validation set",
    ),
    Claim(
        "res-7cnn-composition",
        "6",
        "The seven are two networks pre-trained on Fall 2011 and the five above.",
        (P, L),
        f"{ILSVRC12}; CHM layers/layer-params-141-2009.cfg, layers/layer-params-146-2012-2009.cfg",
    ),
    Claim(
        "res-val-test-within-0p1",
        "6",
        "Validation and test errors differ by no more than 0.1 points.",
        (A, L),
        "Table 2; CHM layers/layer-params-137.cfg:181,183",
    ),
    Claim(
        "res-second-method",
        "6",
        "The second-best entry averages classifiers on Fisher vectors of several kinds of dense features.",
        (P,),
        ILSVRC12,
    ),
    # Section 6, Fall 2009
    Claim(
        "res-2009-10184",
        "6",
        "ImageNet Fall 2009 has 10,184 categories.",
        (L,),
        "CHM layers/layers-146-2009.cfg:342, layers/layers-141-2009-half.cfg:335",
    ),
    Claim(
        "res-2009-8p9m",
        "6",
        "ImageNet Fall 2009 has 8.9 million images.",
        (A,),
        "CHM layers/layer-params-135-2009.cfg (batches 1-8800)",
        "the image list of the Fall 2009 release",
    ),
    Claim(
        "res-2009-half-split",
        "6",
        "Half of the Fall 2009 images are used for training and half for testing.",
        (L,),
        "CHM layers/layer-params-141-2009-half.cfg, layers/layer-params-146-2009.cfg",
    ),
    Claim(
        "res-2009-67p4-40p9",
        "6",
        "On Fall 2009 the network with a sixth convolutional layer has 67.4% and 40.9%.",
        (D,),
        "not logged; CHM layers/layer-params-141-2009-half.cfg, layers/layer-params-131-2009.cfg, "
        "layers/layer-params-2009-101.cfg (other nets)",
        "ImageNet Fall 2009 and training on half of it",
    ),
    Claim(
        "res-2009-best-published",
        "6",
        "The best published result on Fall 2009 was 78.1% and 60.9%.",
        (P,),
        f"the paper's reference 19; {SIGNATURES}",
        "the table of that publication",
    ),
    # Section 6.1
    Claim(
        "qual-fig3-96-kernels",
        "Fig. 3",
        "The figure shows the 96 kernels of 11 x 11 x 3 of the first layer, 48 learned on each GPU.",
        (L,),
        "CHM layers/layers-145.cfg:9-33",
    ),
    Claim(
        "qual-colour-specialisation",
        "6.1",
        "Kernels on one GPU hardly regard colour and those on the other do, in every run, whichever is numbered first.",
        (D,),
        "CHM has no weight files, though its README names some",
        f"{WEIGHTS} of several runs",
    ),
    Claim(
        "qual-fig4-top5",
        "6.1, Fig. 4",
        "Most of the top five labels of eight test images are reasonable.",
        (D,),
        "Fig. 4",
        f"{WEIGHTS} and the eight images",
    ),
    Claim(
        "qual-fig4-distance",
        "6.1",
        "Images are similar when the Euclidean distance of their last 4096 hidden activations is small.",
        (X,),
        "CHM findsimilar.py:12,55",
    ),
    Claim(
        "qual-pixel-l2",
        "6.1",
        "The images so retrieved are far apart in the pixels' L2 distance.",
        (D,),
        "Fig. 4",
        f"{WEIGHTS} and the ILSVRC-2010 images",
    ),
    # Section 7
    Claim(
        "disc-middle-layer-2pct",
        "7",
        "Removing any middle layer costs about 2 points of top-1 error.",
        (D,),
        "no such run in CHM's notes",
        ABLATION.format("each of the middle layers"),
    ),
    Claim("disc-no-unsupervised", "7", "No unsupervised pre-training was used.", (L,), "CHM layers/layers-145.cfg"),
    Claim(
        "disc-larger-longer-better",
        "7",
        "Results have improved with larger networks and longer training.",
        (L,),
        "CHM layers/layer-params-145.cfg:192-203, layers/layer-params-114.cfg:187, layers/layer-params-120-4gpu.cfg, "
        "layers/layer-params-130.cfg, layers/layer-params-141.cfg; layers/layer-params-145-half.cfg:100",
        reread="contradicted, by the larger nets that failed; the net on two GPUs is one that did better",
    ),
)
