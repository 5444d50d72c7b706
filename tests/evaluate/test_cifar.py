"""CIFAR-10 in both its versions, and everything that is not quite CIFAR-10."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pytest
from data_files import CLASSES, SIZES, cifar_batch, cifar_binary, cifar_python, dangerous_pickle, python2_pickle

from alexnet_parity.evaluate import cifar, unpickle
from alexnet_parity.evaluate.dataset import Source, open_dataset
from alexnet_parity.evaluate.errors import Unusable

WRITERS = {"python": cifar_python, "binary": cifar_binary}


@pytest.fixture(params=WRITERS)
def version(request):
    return request.param


def opened(path, split="test"):
    return open_dataset(Source(str(path), split))


def test_the_test_split_is_what_was_written(tmp_path, version):
    data = opened(WRITERS[version](tmp_path))
    pixels, labels = cifar_batch("test_batch", SIZES["test_batch"])
    assert len(data) == 23
    assert [data.label(i) for i in range(23)] == labels
    assert data.pixels(7).shape == (3, 32, 32)
    assert data.pixels(7).dtype == np.float32
    assert np.array_equal(data.pixels(7).ravel(), pixels[7])  # red, then green, then blue, row by row
    assert data.classes == CLASSES
    assert version in data.about


def test_the_train_split_is_five_files_in_order(tmp_path, version):
    data = opened(WRITERS[version](tmp_path), "train")
    assert len(data) == 5 + 3 + 4 + 2 + 6
    for image, file, row in ((0, 1, 0), (4, 1, 4), (5, 2, 0), (8, 3, 0), (13, 4, 1), (19, 5, 5)):
        pixels, labels = cifar_batch(f"data_batch_{file}", SIZES[f"data_batch_{file}"])
        assert np.array_equal(data.pixels(image).ravel(), pixels[row])
        assert data.label(image) == labels[row]
        assert data.name(image).startswith(f"data_batch_{file}")
        assert data.name(image).endswith(f"[{row}]")


def test_both_versions_hold_the_same_images(tmp_path):
    python, binary = opened(cifar_python(tmp_path / "p")), opened(cifar_binary(tmp_path / "b"))
    assert all(np.array_equal(python.pixels(i), binary.pixels(i)) for i in range(len(python)))


def test_only_one_file_is_held(tmp_path):
    data = opened(cifar_python(tmp_path), "train")
    for image in (0, 19, 0):
        data.pixels(image)
    assert data.read.cache_info().maxsize == 1


@pytest.mark.parametrize("folder", cifar.FOLDERS)
def test_the_folder_that_the_archive_unpacks_is_found(tmp_path, folder):
    (cifar_python if folder.endswith("py") else cifar_binary)(tmp_path / folder)
    assert len(opened(tmp_path)) == 23


def test_a_pickle_of_python_3_is_read_as_well(tmp_path):
    pixels, labels = cifar_batch("test_batch", 4)
    (tmp_path / "test_batch").write_bytes(pickle.dumps({b"data": pixels, b"labels": labels}, protocol=2))
    data = opened(tmp_path)
    assert np.array_equal(data.pixels(3).ravel(), pixels[3])
    assert data.classes == ()


def test_the_digest_is_of_every_byte(tmp_path, version):
    folder = WRITERS[version](tmp_path)
    before = opened(folder).digest()
    file = next(folder.glob("test_batch*"))
    content = bytearray(file.read_bytes())
    content[-200] ^= 1
    file.write_bytes(content)
    assert opened(folder).digest() != before


# No stranger's code -------------------------------------------------------------------------------------------------


def test_a_pickle_that_runs_code_is_refused_and_not_run(tmp_path):
    witness = tmp_path / "ran"
    (tmp_path / "test_batch").write_bytes(dangerous_pickle(witness))
    with pytest.raises(Unusable, match=r"wants to call .*; it is no CIFAR-10 file; not loaded$"):
        opened(tmp_path)
    assert not witness.exists()
    pickle.loads(dangerous_pickle(witness))  # the trap works
    assert witness.exists()


@pytest.mark.parametrize(
    "code",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13tR.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"cnumpy.core.multiarray\nscalar\n.",
        b"Pobject\n.",
        b"\x82\x01.",
    ],
    ids=["os", "eval", "numpy", "codec", "protocol 4", "multiarray", "persistent", "extension"],
)
def test_names_that_no_such_file_needs_are_refused(tmp_path, code):
    path = tmp_path / "evil"
    path.write_bytes(code)
    with path.open("rb") as stream, pytest.raises(Unusable, match="no usable pickle"):
        unpickle.load(stream, "evil")


def test_nothing_is_imported_by_a_refused_name(tmp_path):
    (tmp_path / "test_batch").write_bytes(b"cthis\ns\n.")
    with pytest.raises(Unusable):
        opened(tmp_path)
    assert "this" not in sys.modules


def test_a_pickle_cut_short_is_called_so(tmp_path):
    (tmp_path / "test_batch").write_bytes(altered()[:-500])
    with pytest.raises(Unusable, match=r"is it cut short, or of another data set\?$"):
        opened(tmp_path)


def test_labels_beside_cifar_are_refused(tmp_path):
    with pytest.raises(
        Unusable, match=r"--labels x\.txt: found CIFAR-10, which has its own labels; leave --labels out"
    ):
        open_dataset(Source(str(cifar_python(tmp_path)), labels="x.txt"))


# What is not quite CIFAR-10 -----------------------------------------------------------------------------------------


def altered(**changes):
    pixels, labels = cifar_batch("test_batch", 6)
    content = {b"data": pixels, b"labels": labels}
    return python2_pickle(content | {key.encode(): value for key, value in changes.items()})


PIXELS, LABELS = cifar_batch("test_batch", 6)


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "no usable pickle"),
        (altered()[:-500], "cut short"),
        (python2_pickle([1, 2]), "found a pickled list"),
        (altered(data=PIXELS[:, :-1]), r"found data uint8 \(6, 3071\)"),
        (altered(data=5), "found data int"),
        (altered(labels=LABELS[:-1]), "5 labels for 6 images"),
        (altered(labels=[*LABELS[:-1], 10]), "image 5 has the label 10, expected 0 to 9"),
        (altered(labels=[*LABELS[:-1], -1]), "the label -1"),
        (altered(labels=[*LABELS[:-1], b"x"]), "no whole numbers"),
        (altered(fine_labels=LABELS), "found CIFAR-100"),
        (pickle.dumps({b"data": PIXELS.astype(np.float32), b"labels": LABELS}, protocol=2), "found data float32"),
        (python2_pickle({b"labels": LABELS}), "found data NoneType"),
    ],
    ids=range(12),
)
def test_a_malformed_python_batch_is_one_line(tmp_path, content, words):
    (tmp_path / "test_batch").write_bytes(content)
    with pytest.raises(Unusable, match=words) as error:
        opened(tmp_path)
    assert "test_batch" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "found 0 bytes, expected records of 3,073"),
        (bytes(3073 * 2 - 1), "6,145 bytes"),
        (bytes(3074 * 2), "CIFAR-100"),
        (bytes([1]) + bytes(3072) + bytes([10]) + bytes(3072), "image 1 has the label 10"),
    ],
    ids=range(4),
)
def test_a_malformed_binary_batch_is_one_line(tmp_path, content, words):
    (tmp_path / "test_batch.bin").write_bytes(content)
    with pytest.raises(Unusable, match=words):
        opened(tmp_path)


def test_missing_files_are_named(tmp_path, version):
    folder = WRITERS[version](tmp_path)
    next(folder.glob("data_batch_3*")).unlink()
    assert len(opened(folder)) == 23
    with pytest.raises(Unusable, match=r"no data_batch_3.*expected for the train split; found data_batch_1"):
        opened(folder, "train")


def test_a_wrong_number_of_class_names_is_refused(tmp_path):
    folder = cifar_binary(tmp_path)
    (folder / "batches.meta.txt").write_text("cat\ndog\n")
    with pytest.raises(Unusable, match="found 2 names of classes, expected 10"):
        opened(folder)


def test_a_file_far_too_large_is_not_read(tmp_path):
    with (tmp_path / "test_batch").open("wb") as file:
        file.truncate(cifar.LARGEST + 1)
    with pytest.raises(Unusable, match="expected about 31 million"):
        opened(tmp_path)


def test_an_array_that_claims_to_be_huge_is_refused(tmp_path):
    huge = python2_pickle({b"data": PIXELS, b"labels": LABELS}).replace(
        b"(J\x06\x00\x00\x00J\x00\x0c\x00\x00t", b"(J\xff\xff\xff\x7fJ\xff\xff\xff\x7ft"
    )
    (tmp_path / "test_batch").write_bytes(huge)
    with pytest.raises(Unusable, match="no usable pickle"):
        opened(tmp_path)


@pytest.mark.parametrize("what", ["missing", "file"])
def test_no_folder_is_one_line(tmp_path, what):
    path = tmp_path / "data.tar.gz"
    if what == "file":
        path.write_bytes(b"x")
    with pytest.raises(Unusable, match="no such folder" + ("; unpack it" if what == "file" else "")):
        opened(path)
