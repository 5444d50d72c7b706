"""Weights in three formats, means in three, and what each format can have wrong with it."""

from __future__ import annotations

import io
import json
import struct
import sys
import zipfile

import numpy as np
import pytest
from data_files import binaryproto, caffemodel, fill, params, small

from alexnet_parity.evaluate import caffe, mean, weights
from alexnet_parity.evaluate.errors import Unusable
from alexnet_parity.reference import draws, variants

safetensors = pytest.importorskip("safetensors.numpy")

NETWORK = small()
PARAMS = params(NETWORK)


def save_npz(path, given):
    np.savez(path, **given)


def save_safetensors(path, given):
    safetensors.save_file({name: np.ascontiguousarray(value) for name, value in given.items()}, path)


def save_caffe(path, given):
    path.write_bytes(caffemodel(given))


def save_caffe_v1(path, given):
    path.write_bytes(caffemodel(given, v1=True))


SAVERS = {"npz": save_npz, "safetensors": save_safetensors, "caffemodel": save_caffe, "v1.caffemodel": save_caffe_v1}


@pytest.fixture(params=SAVERS)
def saved(request, tmp_path):
    """save(params) -> path, in each format."""

    def save(given):
        path = tmp_path / f"weights.{request.param}"
        SAVERS[request.param](path, given)
        return path

    return save


def test_weights_come_back_bit_for_bit(saved):
    found = weights.read(saved(PARAMS), NETWORK)
    assert draws.digest(found) == draws.digest(PARAMS)
    assert list(found) == list(NETWORK.param_shapes())
    assert all(value.dtype == np.float32 and value.flags.c_contiguous for value in found.values())


def test_a_real_variant_comes_back(saved):
    thin = variants.variant("paper-thin")
    given = params(thin)
    assert draws.digest(weights.read(saved(given), thin)) == draws.digest(given)


def test_a_single_number_that_is_none_is_refused(saved):
    for bad in (np.nan, np.inf):
        given = {name: value.copy() for name, value in PARAMS.items()}
        given["fc2.weight"][3, 2] = bad
        with pytest.raises(Unusable, match=r"fc2.weight holds 1 of [\d,]+ numbers that are not finite"):
            weights.read(saved(given), NETWORK)


def without(name):
    return {key: value for key, value in PARAMS.items() if not key.startswith(name)}


def test_a_missing_layer_is_named_with_what_is_there(saved):
    with pytest.raises(Unusable, match=r"found no 'fc3.weight', expected 10 x 7 for small; it holds .*conv1.weight"):
        weights.read(saved(without("fc3")), NETWORK)


def test_an_unknown_name_comes_with_the_nearest(saved):
    given = without("conv1") | {f"conv_1.{kind}": PARAMS[f"conv1.{kind}"] for kind in ("weight", "bias")}
    with pytest.raises(Unusable, match=r"small has no 'conv_1.(\w+)'; did you mean 'conv1.\1'\?"):
        weights.read(saved(given), NETWORK)


def test_a_wrong_shape_says_found_and_expected(saved):
    given = PARAMS | {"fc2.weight": PARAMS["fc2.weight"].T.copy()}
    with pytest.raises(Unusable, match=r"fc2.weight is (1 x 1 x )?64 x 7, expected 7 x 64 for small"):
        weights.read(saved(given), NETWORK)


def test_weights_of_another_variant_name_it(saved):
    given = params(variants.variant("single-tower-thin"))
    with pytest.raises(Unusable, match=r"these are the shapes of 'single-tower-thin'.*--variant"):
        weights.read(saved(given), variants.variant("paper-thin"))


@pytest.mark.parametrize(
    "given, asked, words",
    [
        ("cifar-18pct", "paper-thin", "paper-thin has no 'fc10."),  # a layer that the other has not
        ("paper-thin", "original-six-conv-thin", "found no 'conv"),  # lacks one that the other has
    ],
)
def test_weights_of_another_variant_with_other_layers_name_it_too(saved, given, asked, words):
    path = saved(params(variants.variant(given)))
    with pytest.raises(Unusable, match=words) as error:
        weights.read(path, variants.variant(asked))
    assert str(error.value).endswith(
        f"; these are the shapes of '{given}': give the variant that the weights are of (--variant)"
    )


@pytest.mark.parametrize("part", [0, 0.3, 0.9, 0.999])
def test_a_file_cut_short_is_one_line(saved, part):
    path = saved(PARAMS)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(Unusable) as error:
        weights.read(path, NETWORK)
    assert "\n" not in str(error.value)
    assert path.name in str(error.value)


def test_a_changed_byte_in_an_archive_is_noticed(tmp_path):
    path = tmp_path / "w.npz"
    save_npz(path, PARAMS)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(Unusable, match="cannot be read"):
        weights.read(path, NETWORK)


@pytest.mark.parametrize("name", ["w.npz", "w.safetensors", "w.caffemodel"])
def test_a_file_of_another_kind_is_one_line(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"this is no weights file\n" * 20)
    with pytest.raises(Unusable, match=r"no whole|not a whole"):
        weights.read(path, NETWORK)


@pytest.mark.parametrize(
    "name, words", [("w.pth", "convert it to .safetensors"), ("w.bin", "expected .npz, .safetensors, .caffemodel")]
)
def test_an_unknown_ending_is_one_line(tmp_path, name, words):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(Unusable, match=words):
        weights.read(tmp_path / name, NETWORK)
    with pytest.raises(Unusable, match="no such file"):
        weights.read(tmp_path / "none.npz", NETWORK)


# .npz and .safetensors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("save, name", [(save_npz, "w.npz"), (save_safetensors, "w.safetensors")])
def test_other_precisions_are_converted_and_other_kinds_refused(tmp_path, save, name):
    half = {key: value.astype(np.float16) for key, value in PARAMS.items()}
    save(tmp_path / name, half)
    assert np.array_equal(weights.read(tmp_path / name, NETWORK)["fc3.bias"], half["fc3.bias"].astype(np.float32))
    save(tmp_path / name, PARAMS | {"fc3.bias": np.arange(10)})
    with pytest.raises(Unusable, match=r"fc3.bias holds .*64, expected one of float16"):
        weights.read(tmp_path / name, NETWORK)
    save(tmp_path / name, PARAMS | {"fc3.bias": np.full(10, 1e300)})
    with pytest.raises(Unusable, match="not finite"):
        weights.read(tmp_path / name, NETWORK)


def test_pickled_objects_in_an_archive_are_refused_unread(tmp_path):
    np.savez(tmp_path / "w.npz", **(PARAMS | {"fc3.bias": np.array([None] * 10)}))
    with pytest.raises(Unusable, match=r"fc3.bias holds object"):
        weights.read(tmp_path / "w.npz", NETWORK)


def test_a_header_that_claims_too_much_is_refused_before_it_is_read(tmp_path):
    header = str({"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6)}).encode()
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        for name, value in without("fc3.bias").items():
            stream = io.BytesIO()
            np.save(stream, value)
            archive.writestr(f"{name}.npy", stream.getvalue())
        archive.writestr("fc3.bias.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    with pytest.raises(Unusable, match=r"fc3.bias is 1000000 x 1000000, expected 10"):
        weights.read(tmp_path / "w.npz", NETWORK)


def test_a_safetensors_header_that_claims_too_much_is_refused(tmp_path):
    header = json.dumps(
        {"fc3.bias": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}}
    ).encode()
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(Unusable, match=r"no whole .safetensors file"):
        weights.read(tmp_path / "w.safetensors", NETWORK)


# Caffe --------------------------------------------------------------------------------------------------------------


def test_the_first_convolution_and_it_alone_is_turned_to_rgb(tmp_path):
    network = small().edit("conv1", channels=3).swap("relu1", small()["relu1"])
    given = params(network)
    (tmp_path / "w.caffemodel").write_bytes(caffemodel(given))
    stored = caffe.read_layers(tmp_path / "w.caffemodel")
    assert np.array_equal(stored["conv1"][0].array(), given["conv1.weight"][:, ::-1])
    assert np.array_equal(stored["fc2"][0].array(), given["fc2.weight"])
    assert np.array_equal(weights.read(tmp_path / "w.caffemodel", network)["conv1.weight"], given["conv1.weight"])


def test_the_wire_format_is_that_of_caffe(tmp_path):
    """One layer of each layout, its bytes put together by hand from the field numbers of caffe.proto."""
    values = struct.pack("<3f", 1, 2, 3)
    legacy = bytes([1 << 3, 1, 2 << 3, 1, 3 << 3, 1, 4 << 3, 3, 5 << 3 | 2, len(values)]) + values
    modern = bytes([7 << 3 | 2, 3, 1 << 3 | 2, 1, 3, 5 << 3 | 2, len(values)]) + values
    v1 = bytes([4 << 3 | 2, 1]) + b"a" + bytes([5 << 3, 4, 6 << 3 | 2, len(legacy)]) + legacy  # name, type, blobs
    v2 = bytes([1 << 3 | 2, 1]) + b"b" + bytes([2 << 3 | 2, 1]) + b"T" + bytes([7 << 3 | 2, len(modern)]) + modern
    net = bytes([1 << 3 | 2, 1]) + b"n" + bytes([2 << 3 | 2, len(v1)]) + v1  # name, layers
    net += bytes([0xA2, 0x06, len(v2)]) + v2  # layer: 100 << 3 | 2 as a varint
    (tmp_path / "w.caffemodel").write_bytes(net)
    found = caffe.read_layers(tmp_path / "w.caffemodel")
    assert {name: blobs[0].shape for name, blobs in found.items()} == {"a": (1, 1, 1, 3), "b": (3,)}
    assert all(blobs[0].array().ravel().tolist() == [1, 2, 3] for blobs in found.values())


def test_doubles_are_read(tmp_path):
    net = caffe.message("NetParameter").FromString(caffemodel(PARAMS))
    blob = net.layer[1].blobs[1]
    blob.double_data.extend(blob.data)
    blob.ClearField("data")
    (tmp_path / "w.caffemodel").write_bytes(net.SerializeToString())
    assert np.array_equal(weights.read(tmp_path / "w.caffemodel", NETWORK)["conv1.bias"], PARAMS["conv1.bias"])


def spoiled(change):
    net = caffe.message("NetParameter").FromString(caffemodel(PARAMS))
    change(net)
    return net.SerializeToString()


def lose_a_number(net):
    del net.layer[1].blobs[0].data[-1]


def claim_too_much(net):
    net.layer[1].blobs[0].shape.dim[0] = 2**40


def claim_less_than_nothing(net):
    shape = net.layer[1].blobs[1].shape
    shape.dim[:] = [-2, -2]


def repeat_a_layer(net):
    net.layer.add().CopyFrom(net.layer[1])


def a_third_blob(net):
    net.layer[1].blobs.add().CopyFrom(net.layer[1].blobs[1])


def no_bias(net):
    del net.layer[1].blobs[1]


def no_weights(net):
    for layer in net.layer:
        layer.ClearField("blobs")


@pytest.mark.parametrize(
    "change, words",
    [
        (lose_a_number, "says 4 x 3 x 5 x 5, but holds 299 numbers"),
        (claim_too_much, "but holds 300 numbers"),
        (claim_less_than_nothing, "says -2 x -2"),
        (repeat_a_layer, "two layers with weights are called 'conv1'"),
        (a_third_blob, "has 3 blobs"),
        (no_bias, "found no 'conv1.bias'"),
        (no_weights, "no layer in it has weights"),
    ],
)
def test_a_malformed_caffemodel_is_one_line(tmp_path, change, words):
    (tmp_path / "w.caffemodel").write_bytes(spoiled(change))
    with pytest.raises(Unusable, match=words):
        weights.read(tmp_path / "w.caffemodel", NETWORK)


def test_a_prototxt_is_recognised(tmp_path):
    (tmp_path / "w.caffemodel").write_text('name: "AlexNet"\nlayer { name: "data" type: "Input" }\n')
    with pytest.raises(Unusable, match=r"text \(.prototxt\) holds no weights"):
        weights.read(tmp_path / "w.caffemodel", NETWORK)


@pytest.mark.parametrize(
    "package, name", [("safetensors", "w.safetensors"), ("google.protobuf.message", "w.caffemodel")]
)
def test_a_missing_package_is_one_line(tmp_path, monkeypatch, package, name):
    (tmp_path / name).write_bytes(b"x")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(Unusable, match=r"not installed here: pip install -e '.\[evaluate\]'"):
        weights.read(tmp_path / name, NETWORK)


# Means --------------------------------------------------------------------------------------------------------------

IMAGE = draws.normal(0, "mean", (3, 5, 6), 50.0)


def test_a_mean_is_three_numbers_or_an_image(tmp_path):
    np.save(tmp_path / "m.npy", IMAGE.astype(np.float64))
    (tmp_path / "m.binaryproto").write_bytes(binaryproto(IMAGE))
    assert mean.read("1,2.5,-3", (5, 6)).tolist() == [1, 2.5, -3]
    for name in ("m.npy", "m.binaryproto"):
        assert np.array_equal(mean.read(str(tmp_path / name), (5, 6)), IMAGE)
        with pytest.raises(Unusable, match=r"found 3 x 5 x 6.*expected 3 x 7 x 6, as the images are stored"):
            mean.read(str(tmp_path / name), (7, 6))


@pytest.mark.parametrize("text", ["1,2", "1,2,3,4", "a,b,c", "1,2,nan", "none.npx"])
def test_what_is_no_mean_is_one_line(text):
    with pytest.raises(Unusable, match="expected three numbers R,G,B"):
        mean.read(text, (5, 6))


def grey(values):
    blob = caffe.message("BlobProto")()
    fill(blob, values, legacy=True)
    return blob.SerializeToString()


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("m.npy", b"", "no usable .npy file"),
        ("m.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': 'x'}  ", "no usable .npy file"),
        ("m.npy", None, "no usable .npy file"),
        ("m.binaryproto", binaryproto(IMAGE)[:-3], "cut short"),
        ("m.binaryproto", grey(IMAGE[:1]), "expected a mean image, 1 x 3 x H x W"),
        ("m.binaryproto", binaryproto(IMAGE * np.float32(np.inf)), "not finite"),
        ("m.binaryproto", None, "cannot read"),
        ("m.txt", b"1,2,3", "expected .npy, .binaryproto or R,G,B"),
    ],
    ids=range(8),
)
def test_a_malformed_mean_is_one_line(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(Unusable, match=words):
        mean.read(str(tmp_path / name), (5, 6))


def test_a_mean_with_objects_or_cut_short_is_refused(tmp_path):
    np.save(tmp_path / "m.npy", np.array([[None] * 6] * 5), allow_pickle=True)
    with pytest.raises(Unusable, match="found 5 x 6 of object"):
        mean.read(str(tmp_path / "m.npy"), (5, 6))
    np.save(tmp_path / "m.npy", IMAGE)
    (tmp_path / "m.npy").write_bytes((tmp_path / "m.npy").read_bytes()[:-1])
    with pytest.raises(Unusable, match=r"no usable .npy file"):
        mean.read(str(tmp_path / "m.npy"), (5, 6))
