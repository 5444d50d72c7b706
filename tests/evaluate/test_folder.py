"""Photographs in folders: labels from folders and from files, and pictures that cannot be decoded."""

from __future__ import annotations

import numpy as np
import pytest
from data_files import class_folders, flat_folder, picture
from PIL import Image

from alexnet_parity.evaluate.dataset import Source, open_dataset
from alexnet_parity.evaluate.errors import Unreadable, Unusable
from alexnet_parity.reference import preprocessing


def opened(path, labels=""):
    return open_dataset(Source(str(path), labels=str(labels)))


def test_the_class_is_the_folders_place_in_sorted_order(tmp_path):
    data = opened(class_folders(tmp_path, 3))
    assert [(data.name(i), data.label(i)) for i in range(len(data))] == [
        (f"n{label:08d}/n{label:08d}_{number}.{('JPEG', 'png')[number]}", label)
        for label in range(3)
        for number in (0, 1)
    ]
    assert data.classes == ("n00000000", "n00000001", "n00000002")


def test_an_image_goes_through_the_papers_preprocessing(tmp_path):
    data = opened(class_folders(tmp_path, 2))
    with Image.open(tmp_path / data.name(3)) as image:
        assert np.array_equal(data.pixels(3), preprocessing.shorter_side(image))
    assert data.pixels(3).shape == (3, *data.stored)


def test_a_flat_folder_takes_its_labels_in_order_of_name(tmp_path):
    root = flat_folder(tmp_path / "val", 5)
    (root / "truth.txt").write_text("3\n1\n4\n1\n5\n")
    data = opened(root)
    assert [data.label(i) for i in range(5)] == [3, 1, 4, 1, 5]
    assert data.name(2) == "val_002.png"


def test_a_flat_folder_takes_labels_by_name_from_elsewhere(tmp_path):
    root = flat_folder(tmp_path / "val", 3)
    picture("spaces", 300, 300).save(root / "with spaces.png")
    (tmp_path / "labels").write_text("val_002.png 7\nval_000.png 2\nwith spaces.png 9\n\nval_001.png\t4\n")
    data = opened(root, tmp_path / "labels")
    assert [data.label(i) for i in range(4)] == [2, 4, 7, 9]


@pytest.mark.parametrize(
    "labels, words",
    [
        ("1\n2\n", "found 2 labels for 3 images"),
        ("1\ntwo\n3\n", "line 2: found 'two'"),
        ("1\n-2\n3\n", "line 2: found '-2'"),
        ("1\n2\nval_002.png 3\n", "both numbers alone and names"),
        ("", "found no labels"),
        ("val_000.png 1\nval_01.png 2\nval_002.png 3\n", "lists 'val_01.png'.*did you mean 'val_001.png'"),
        ("val_000.png 1\nval_001.png 2\n", "no label for 'val_002.png'"),
        ("val_000.png 1\nval_000.png 1\n", "line 2: 'val_000.png' has a label already"),
        ("9" * 5000, "expected a label"),
        (b"\xff\xfe", "not UTF|decode"),
    ],
    ids=range(10),
)
def test_labels_that_do_not_fit_are_one_line(tmp_path, labels, words):
    root = flat_folder(tmp_path / "val", 3)
    (root / "labels.txt").write_bytes(labels if isinstance(labels, bytes) else labels.encode())
    with pytest.raises(Unusable, match=words) as error:
        opened(root)
    assert "\n" not in str(error.value)


def test_no_labels_or_too_many_are_one_line(tmp_path):
    root = flat_folder(tmp_path / "val", 2)
    with pytest.raises(Unusable, match="found none; name it with --labels"):
        opened(root)
    for name in ("a.txt", "b.txt"):
        (root / name).write_text("1\n2\n")
    with pytest.raises(Unusable, match=r"found a.txt, b.txt"):
        opened(root)
    with pytest.raises(Unusable, match=r"cannot read .*none"):
        opened(root, tmp_path / "none")


@pytest.mark.parametrize("split", ["test", "train"])
def test_a_split_of_images_in_folders_is_refused(tmp_path, split):
    with pytest.raises(Unusable, match=f"--split {split}: found no CIFAR-10 files in .*; leave it out"):
        open_dataset(Source(str(class_folders(tmp_path, 2)), split))


def test_images_beside_folders_are_ambiguous(tmp_path):
    root = class_folders(tmp_path, 2)
    picture("astray", 300, 300).save(root / "astray.png")
    with pytest.raises(Unusable, match="found 1 images beside 2 folders"):
        opened(root)


def test_a_folder_with_nothing_in_it_says_what_is_expected(tmp_path):
    with pytest.raises(Unusable, match=r"data_batch_1 \.\.\. test_batch"):
        opened(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(Unusable, match="found no images"):
        opened(tmp_path)
    with pytest.raises(Unusable, match="no images beside --labels"):
        opened(tmp_path, tmp_path / "labels.txt")


def test_a_picture_that_cannot_be_decoded_is_named_when_it_is_asked_for(tmp_path):
    root = class_folders(tmp_path, 2)
    whole = (root / "n00000000" / "n00000000_0.JPEG").read_bytes()
    (root / "n00000000" / "a.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "n00000000" / "b.png").write_bytes(b"no picture at all")
    (root / "n00000000" / "c.png").write_bytes(b"")
    data = opened(root)
    for image in range(3):
        with pytest.raises(Unreadable):
            data.pixels(image)
    assert data.pixels(3).shape == (3, 256, 256)


def test_a_16_bit_picture_is_not_clipped_but_refused(tmp_path):
    root = class_folders(tmp_path, 2)
    ramp = np.linspace(0, 65535, 300 * 280).astype(np.uint16).reshape(280, 300)
    Image.fromarray(ramp).save(root / "n00000000" / "a.png")
    data = opened(root)
    with pytest.raises(Unreadable, match=r"more than 8 bits a channel.*save it with 8"):
        data.pixels(0)
    assert data.pixels(1).shape == (3, 256, 256)


def test_the_digest_is_of_names_sizes_and_labels(tmp_path):
    root = flat_folder(tmp_path / "val", 3)
    labels = root / "labels.txt"
    labels.write_text("1\n2\n3\n")
    before = opened(root).digest()
    assert opened(root).digest() == before
    labels.write_text("1\n2\n4\n")
    assert opened(root).digest() != before
    labels.write_text("1\n2\n3\n")
    with (root / "val_000.png").open("ab") as file:
        file.write(b"x")
    assert opened(root).digest() != before
