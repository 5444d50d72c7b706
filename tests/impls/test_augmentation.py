"""Each framework's augmentation: parity with the oracle, its own draws, and mistakes planted in it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from harness import bad, verified

pytestmark = [pytest.mark.once, pytest.mark.offers("augmentation")]

CHECK = ("train-augmentation",)


@pytest.fixture(autouse=True)
def once(impl):
    if impl == "keras_ops":
        pytest.skip("the same as keras")


def changed(module, **methods):
    """The framework's augmentation with some methods in the place of others, nothing drawn."""
    own = vars(module.augmentation)
    quiet = {"RANDOM": {}, "OF_BATCH": {}, "random_colour": None}
    return SimpleNamespace(augmentation=SimpleNamespace(**own | quiet | methods))


def test_parity_at_the_papers_own_sizes(module):
    findings = verified(module, "paper", CHECK)
    assert {finding.status for finding in findings} == {"PASS"}, [finding.line() for finding in bad(findings)]


def test_every_framework_draws_patches_and_colours_itself(module):
    """That they are drawn as the paper has it: test_parity.py, with every other check of the thin network."""
    assert module.augmentation.RANDOM
    assert callable(module.augmentation.random_colour)


def test_ways_that_cut_a_batch_alike_are_known(module):
    own = changed(module, OF_BATCH=module.augmentation.OF_BATCH)
    findings = verified(own, "paper-thin", CHECK)
    assert not bad(findings)
    known = [finding for finding in findings if finding.status == "KNOWN"]
    assert [finding.layer for finding in known] == list(module.augmentation.OF_BATCH)


def test_a_batch_given_as_a_batch_is_caught_where_one_by_one_is_expected(module):
    for way, (draw, _) in module.augmentation.OF_BATCH.items():
        (finding,) = bad(verified(changed(module, RANDOM={way: draw}), "paper-thin", CHECK))
        assert "[aug-crop-shared]" in finding.hint


@pytest.mark.parametrize(
    "named, method, wrong",
    [
        ("[aug-flip-vertical]", "crop_and_flip", lambda own, i, t, c, f, s: np.ascontiguousarray(
            np.where(f[:, None, None, None], own(i, t, c, f & False, s)[:, :, ::-1], own(i, t, c, f & False, s)))),
        ("[aug-crop-transposed]", "crop_and_flip", lambda own, i, t, c, f, s: own(
            i, np.minimum(c, i.shape[2] - s), np.minimum(t, i.shape[3] - s), f, s)),
        ("[aug-flip-others]", "crop_and_flip", lambda own, i, t, c, f, s: own(i, t, c, ~f, s)),
        ("[aug-noise-scale]", "colour_noise", lambda own, i, c, s, a, *d: own(i, c, np.sqrt(s), a, *d) if not d else own(
            i, c, s, a, *d)),
        ("[aug-noise-transposed]", "colour_noise", lambda own, i, c, s, a, *d: own(i, c.T.copy(), s, a, *d)),
        ("[aug-noise-divided]", "colour_noise", lambda own, i, c, s, a, *d: own(i, c, s, a)),
        ("[aug-mean-of-logits]", "mean_of_ten", lambda own, z: own(z.mean(axis=0, keepdims=True).repeat(10, axis=0))),
        ("[aug-ten-without-flips]", "ten_patches", lambda own, i, s: np.concatenate([own(i, s)[:5]] * 2)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_planted_mistakes_are_named(module, named, method, wrong):
    own = getattr(module.augmentation, method)
    failed = bad(verified(changed(module, **{method: lambda *a: wrong(own, *a)}), "paper-thin", CHECK))
    assert failed
    assert all(named in finding.hint for finding in failed), [finding.line() for finding in failed]


def test_keras_takes_the_centre_where_one_side_is_as_long_as_the_patch(impl):
    """RandomCrop draws only where both sides are longer: 6 x 4 cut to 4 x 4 is always the same part."""
    if impl != "keras":
        pytest.skip("Keras' own")
    import keras

    image = np.arange(24, dtype=np.float32).reshape(6, 4, 1)
    layer = keras.layers.RandomCrop(4, 4, seed=1)
    cut = {np.asarray(layer(image, training=True)).tobytes() for _ in range(30)}
    assert cut == {image[1:5].tobytes()}
