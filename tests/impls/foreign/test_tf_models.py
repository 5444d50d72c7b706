"""TensorFlow's models as recordings: what runs is what was written, each tensor linked to the one it came from."""

from __future__ import annotations

import json
import re
import zipfile

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

from alexnet_parity.impls.foreign import keras_file, keras_poses, tf_models, tf_poses  # noqa: E402
from alexnet_parity.impls.foreign.graph import Graph, Refused  # noqa: E402
from alexnet_parity.reference import oracle, stimuli, variants  # noqa: E402
from alexnet_parity.reference.mistaken import ChannelNorm, Computed, RandomDropout, Reordered  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation"),  # Keras saving a file
    pytest.mark.filterwarnings("ignore:.build... was called on layer"),  # Keras on a layer that is never called
]

layers = keras.layers
THIN = variants.variant("paper-thin")
LARGE = stimuli.stimulus(THIN, "large", 0)
SHAPE = (13, 17, 3)  # of small models' images: rows, columns, channels


@pytest.fixture(autouse=True)
def _seeded():
    tf.random.set_seed(0)  # elsewhere operations are made deterministic, and then chance must be seeded


def batch(n=2, seed=0):
    return np.random.default_rng(seed).normal(0, 9, (n, 3, 13, 17)).astype(np.float32)


def channels_last(x):
    return x.transpose(0, 2, 3, 1)


def linked(graph: Graph):
    """Every input is known, no output repeats, every tensor is there."""
    known = {graph.input}
    for operation in graph.operations:
        for name in operation.inputs:
            constant = name.startswith("const:") and name in graph.tensors
            assert name in known or name.startswith("param:") or constant, (operation.name, name)
        assert not known & set(operation.outputs)
        assert set(operation.outputs) <= set(graph.tensors)
        assert all(0 <= place < len(operation.inputs) for place in operation.roles.values())
        known |= set(operation.outputs)
    names = [operation.name for operation in graph.operations]
    assert len(set(names)) == len(names)
    assert set(graph.outputs) <= set(graph.tensors)


def recorded(subject, x, training=False) -> Graph:
    graph = subject.record(x, training)
    linked(graph)
    return graph


def last(graph):
    return graph.tensors[graph.outputs[-1]]


def kinds(graph):
    return [operation.kind for operation in graph.operations]


def one(graph, kind):
    (found,) = [operation for operation in graph.operations if operation.kind == kind]
    return found


def named(graph, name):
    return next(operation for operation in graph.operations if operation.name == name)


def truth(network, params, x):
    x = x.astype(np.float64)
    for layer in network.layers:
        x = layer.compute(params, x) if isinstance(layer, Computed) else oracle.apply(layer, params, x)
    return x


def small(*steps, inputs=SHAPE):
    model = keras.Sequential([keras.Input(inputs), *steps], name="net")
    random = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(random.normal(0, 0.3, variable.shape))
    return model


# Keras ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", keras_poses.STYLES)
def test_each_style_of_keras_model_is_recorded_as_it_computes(style):
    model = keras_poses.pose(THIN, {}, LARGE.params, style)
    subject = tf_models.subject(model)
    graph = recorded(subject, LARGE.x)
    assert np.array_equal(last(graph), model(channels_last(LARGE.x), training=False).numpy())
    np.testing.assert_allclose(last(graph), truth(THIN, LARGE.params, LARGE.x), rtol=1e-4, atol=1e-6)
    assert kinds(graph).count("conv") == 5
    assert kinds(graph).count("dense") == 3
    assert kinds(graph).count("lrn") == 2
    assert kinds(graph).count("max_pool") == 3
    assert kinds(graph)[-1] == "softmax"
    assert subject.framework.startswith("keras ")
    assert (graph.layout, graph.idle, subject.trains) == ("NHWC", (), True)


def test_a_functional_model_says_its_parameters_input_and_calls():
    subject = tf_models.subject(keras_poses.pose(THIN, {}, LARGE.params))
    graph = recorded(subject, LARGE.x)
    assert subject.parameters["conv2/kernel"] == (5, 5, 8, 20)
    assert subject.input_shape == (3, 103, 131)
    assert subject.batch is None
    assert subject.frozen == ()
    conv1 = named(graph, "conv1/convolution")
    assert conv1.inputs == ("input", "param:conv1/kernel")
    assert conv1.call == "layers.Conv2D(16, 11, strides=4)"
    assert conv1.attributes["stride"] == (4, 4)
    bias = named(graph, "conv1/BiasAdd")
    assert bias.inputs == ("conv1/convolution", "param:conv1/bias")
    assert bias.roles == {"x": 0, "bias": 1}
    conv2 = next(o for o in graph.operations if o.name.startswith("conv2/") and o.kind == "conv")
    assert conv2.attributes["groups"] == 2
    assert conv2.attributes["padding"] == ((2, 2), (2, 2))  # padding="same", in numbers
    lrn = named(graph, "norm1/LRN")
    assert [lrn.attributes[key] for key in ("before", "after", "k", "alpha", "beta")] == [2, 2, 2, 1e-4, 0.75]
    assert lrn.call == "tf.nn.local_response_normalization(depth_radius=2, bias=2, alpha=0.0001, beta=0.75)"
    assert named(graph, "pool1/MaxPool2d").call == "layers.MaxPooling2D(pool_size=3, strides=2)"


def test_loaded_weights_are_the_ones_that_run_and_nothing_is_traced_again():
    model = keras_poses.pose(THIN, {}, LARGE.params)
    subject = tf_models.subject(model)
    before = recorded(subject, LARGE.x)
    bias = subject.value("fc8/bias")
    bias[3] += 2
    subject.load({"fc8/bias": bias})
    traces = dict(subject.traces)
    after = recorded(subject, LARGE.x)
    assert subject.traces == traces
    moved = after.tensors["fc8/BiasAdd"] - before.tensors["fc8/BiasAdd"]
    np.testing.assert_allclose(moved, np.where(np.arange(11) == 3, 2, 0) * np.ones((2, 1)), atol=1e-5)
    np.testing.assert_array_equal(model.get_layer("fc8").bias.numpy(), bias)


@pytest.mark.parametrize(
    "values, said",
    [
        ({"fc9/bias": np.zeros(11)}, "no such parameter"),
        ({"fc8/bias": np.zeros(12)}, "shape \\(12,\\), expected \\(11,\\)"),
    ],
)
def test_unknown_or_misshapen_values_are_errors(values, said):
    subject = tf_models.subject(keras_poses.pose(THIN, {}, LARGE.params))
    with pytest.raises(ValueError, match=said):
        subject.load(values)


def test_activations_within_layers_are_operations():
    model = small(layers.Conv2D(5, 3, activation="relu"), layers.Flatten(), layers.Dense(7, activation="tanh"))
    graph = recorded(tf_models.subject(model), batch())
    assert kinds(graph) == ["conv", "add", "activation", "reshape", "dense", "add", "activation"]
    assert [o.attributes["function"] for o in graph.operations if o.kind == "activation"] == ["relu", "tanh"]
    assert graph.operations[2].call == "layers.Conv2D(5, 3, activation='relu')"


def test_batch_normalisation_keeps_its_statistics_and_names_them_frozen():
    model = small(layers.Conv2D(4, 3, name="c"), layers.BatchNormalization(name="n"))
    subject = tf_models.subject(model)
    assert subject.frozen == ("n/moving_mean", "n/moving_variance")
    before = {name: subject.value(name) for name in subject.parameters}
    training = recorded(subject, batch(), training=True)
    assert np.abs(last(training) - last(recorded(subject, batch()))).max() > 0.01
    for name, value in before.items():
        np.testing.assert_array_equal(subject.value(name), value)


def test_weights_that_a_user_froze_are_still_parameters_that_are_learned():
    model = small(layers.Conv2D(4, 3, name="c"), layers.BatchNormalization(name="n"))
    model.trainable = False
    assert tf_models.subject(model).frozen == ("n/moving_mean", "n/moving_variance")


def test_a_grouped_convolution_has_the_bits_of_the_model_and_its_own_kernel():
    model = small(layers.Conv2D(6, 3, groups=3, name="c"))
    graph = recorded(tf_models.subject(model), batch())
    assert np.array_equal(last(graph), model(channels_last(batch())).numpy())
    conv = one(graph, "conv")
    assert conv.inputs == ("input", "param:c/kernel")
    assert conv.attributes["groups"] == 3


def test_uneven_same_padding_is_resolved_and_a_same_mean_counts_what_is_there():
    model = small(
        layers.Conv2D(4, 4, 3, padding="same", name="c"), layers.AveragePooling2D(3, 2, padding="same", name="p")
    )
    graph = recorded(tf_models.subject(model), batch())
    assert one(graph, "conv").attributes["padding"] == ((1, 2), (1, 1))  # 13 rows, 5 windows; 17 columns, 6 windows
    pool = one(graph, "avg_pool")
    assert pool.attributes["padding"] == ((1, 1), (0, 1))
    assert pool.attributes["count_include_pad"] is False


def test_training_draws_new_dropout_each_time_and_says_its_rate():
    model = small(layers.Flatten(), layers.Dropout(0.3, name="drop"), layers.Dense(7))
    subject = tf_models.subject(model)
    assert "dropout" not in kinds(recorded(subject, batch()))
    first, second = (recorded(subject, batch(), training=True) for _ in range(2))
    drop = one(first, "dropout")
    assert drop.attributes["rate"] == 0.3
    assert drop.call == "layers.Dropout(0.3)"
    y, flat = first.tensors[drop.outputs[0]], channels_last(batch()).reshape(2, -1)
    np.testing.assert_allclose(y[y != 0], flat[y != 0] / np.float32(0.7), rtol=1e-6)
    assert 0.2 < np.mean(y == 0) < 0.4
    assert not np.array_equal(y, second.tensors[drop.outputs[0]])
    assert not any("seed" in name for name in subject.parameters)


class Generated(tf.Module):
    """Dropout from a generator that the module holds, and from TensorFlow's own chance."""

    def __init__(self, seed):
        super().__init__()
        self.chance = tf.random.Generator.from_seed(seed)
        self.weight = tf.Variable(tf.ones((3, 2)))

    def __call__(self, x, training=False):
        kept = tf.cast(self.chance.uniform(tf.shape(x)) >= 0.5, tf.float32) if training else 1.0
        return tf.nn.dropout(x * kept, 0.5 if training else 0.0) @ self.weight


CHANCES = {
    "keras": lambda seed: small(layers.Flatten(), layers.Dropout(0.3, seed=seed), layers.Dense(7)),
    "keras, whole maps": lambda seed: small(layers.SpatialDropout2D(0.3, seed=seed), layers.Flatten()),
    "tf.Module": Generated,
}


@pytest.mark.parametrize("model", CHANCES.values(), ids=CHANCES)
def test_the_chance_of_a_run_is_the_same_whatever_was_drawn_before(model):
    """An audit says the same twice; and leaves random states as it found them."""
    found = []
    for seed in (1, 2):
        tf.random.set_seed(seed)
        given = model(seed)
        subject = tf_models.subject(given, (3, 13, 17))
        states = [np.array(v) for v in given.variables if "state" in v.name.lower()]
        recorded(subject, batch())
        graph = recorded(subject, batch(), training=True)
        found.append({name: values for name, values in graph.tensors.items() if "/kernel" not in name})
        after = [np.array(v) for v in given.variables if "state" in v.name.lower()]
        assert all(map(np.array_equal, states, after))
    drawn = [[np.mean(values == 0) for values in tensors.values()] for tensors in found]
    assert drawn[0] == drawn[1]
    assert max(drawn[0]) > 0.1


def test_one_dropout_layer_used_twice_is_two_dropouts():
    drop = layers.Dropout(0.5, name="drop")
    x = inputs = keras.Input(SHAPE)
    x = layers.Dense(6, name="b")(drop(layers.Dense(5, name="a")(drop(layers.Flatten()(x)))))
    graph = recorded(tf_models.subject(keras.Model(inputs, x)), batch(), training=True)
    assert kinds(graph).count("dropout") == 2


def test_outputs_are_taken_apart_in_order():
    x = inputs = keras.Input(SHAPE)
    a, b = layers.Flatten(name="a")(x), layers.ReLU(name="b")(x)
    for outputs in ([b, a], {"z": b, "a": a}, (b, [a])):
        graph = recorded(tf_models.subject(keras.Model(inputs, outputs)), batch())
        assert [name.split("/")[0] for name in graph.outputs] == ["b", "a"]


class Lazy(keras.Model):
    """Its layers are built when it is first called; one is never called, and one output is a number."""

    def __init__(self):
        super().__init__()
        self.conv, self.unused = layers.Conv2D(4, 3, name="c"), layers.Dense(3, name="unused")
        self.head = layers.Dense(5, name="head")

    def call(self, x):
        y = tf.nn.relu(self.conv(x))
        return {"maps": y, "logits": self.head(tf.reduce_mean(y, [1, 2])), "note": 3}


def test_a_lazily_built_model_tells_its_parameters_after_a_call():
    subject = tf_models.subject(Lazy())
    assert not subject.parameters
    graph = recorded(subject, batch())
    assert list(subject.parameters) == ["c/kernel", "c/bias", "head/kernel", "head/bias"]
    assert graph.idle == ("unused",)
    assert len(graph.outputs) == 2
    assert named(graph, "head/MatMul").inputs[1] == "param:head/kernel"
    told = tf_models.subject(Lazy(), input_shape=(3, 13, 17))
    assert told.parameters == subject.parameters
    recorded(told, batch(), training=True)  # its call takes no `training`


class Compiled(keras.Model):
    """Its call is a graph function, with a grouped convolution in it."""

    def __init__(self):
        super().__init__()
        self.conv = layers.Conv2D(6, 3, groups=3, name="c")

    @tf.function
    def call(self, x):
        return tf.nn.relu(self.conv(x))


def test_a_function_within_a_model_is_seen_into():
    model = Compiled()
    model.conv.build((None, *SHAPE))
    x = channels_last(batch())
    graph = recorded(tf_models.subject(model), batch())
    assert kinds(graph) == ["conv", "add", "activation"]
    np.testing.assert_allclose(last(graph), model(x).numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(last(graph), tf.nn.relu(model.conv(x)).numpy())


def test_a_function_that_goes_on_with_other_weights_is_not_made_to_look_right():
    model = Compiled()
    x = channels_last(batch())
    stale = model(x).numpy()  # traced while Keras built it: its weights are constants now
    assert not np.allclose(stale, tf.nn.relu(model.conv(x)).numpy())
    graph = recorded(tf_models.subject(model), batch())
    np.testing.assert_allclose(last(graph), stale, rtol=1e-5, atol=1e-5)


def test_what_the_model_raises_comes_through_and_leaves_keras_as_it_was():
    class Broken(keras.Model):
        def call(self, x):
            raise ZeroDivisionError("mine")

    call = keras.layers.Layer.__call__
    with pytest.raises(ZeroDivisionError, match="mine"):
        tf_models.subject(Broken()).record(batch())
    assert keras.layers.Layer.__call__ is call
    assert not tf.config.optimizer.get_experimental_options().get("disable_meta_optimizer")


def test_several_inputs_are_refused():
    inputs = [keras.Input((4,)), keras.Input((5,))]
    with pytest.raises(Refused, match="2 inputs"):
        tf_models.subject(keras.Model(inputs, layers.Concatenate()(inputs)))


def test_a_model_of_vectors_is_refused():
    model = keras.Sequential([keras.Input((784,)), layers.Dense(3)])
    with pytest.raises(Refused, match=r"input is \(None, 784\)"):
        tf_models.subject(model).record(batch())


def test_channels_first_models_are_fed_as_they_want():
    x = inputs = keras.Input((3, 13, 17))
    x = layers.ReLU()(layers.Permute((2, 3, 1))(x))
    subject = tf_models.subject(keras.Model(inputs, x))
    graph = recorded(subject, batch())
    assert graph.layout == "NCHW"
    assert subject.input_shape == (3, 13, 17)
    np.testing.assert_array_equal(graph.tensors["input"], batch())


@pytest.mark.parametrize("dtype, found", [("mixed_float16", "float16"), ("mixed_bfloat16", "bfloat16")])
def test_lower_precision_is_recorded_as_such(dtype, found):
    model = small(layers.Flatten(), layers.Dense(7, dtype=dtype, name="d"))
    graph = recorded(tf_models.subject(model), batch())
    dense = one(graph, "dense").outputs[0]
    assert (graph.dtypes.get(dense) or graph.tensors[dense].dtype.name) == found
    assert "cast" in kinds(graph)


# Modules and functions ------------------------------------------------------------------------------------------------


class Module(tf.Module):
    def __init__(self):
        super().__init__()
        self.layers = {"conv": tf.Variable(np.full((3, 3, 3, 4), 0.5, np.float32))}
        self.shift = tf.Variable([1.0, 2.0, 3.0, 4.0], name="shift")
        self.count = tf.Variable(0)

    def __call__(self, x, is_training=False):
        y = tf.nn.bias_add(tf.nn.conv2d(x, self.layers["conv"], 2, "VALID"), self.shift)
        return tf.nn.dropout(y, 0.5) if is_training else y


def test_a_module_has_its_variables_by_name_or_by_attribute():
    module = Module()
    subject = tf_models.subject(module)
    assert set(subject.parameters) == {"layers/conv", "shift"}
    graph = recorded(subject, batch())
    assert np.array_equal(last(graph), module(channels_last(batch())).numpy())
    assert subject.trains
    assert "other" in kinds(recorded(subject, batch(), training=True))


def test_a_plain_function_over_variables_tells_them_when_it_has_run():
    kernel = tf.Variable(np.ones((3, 3, 3, 2), np.float32), name="kernel")
    subject = tf_models.subject(lambda x: tf.nn.conv2d(x, kernel, 1, "SAME"), input_shape=(3, 13, 17))
    assert subject.parameters == {"kernel": (3, 3, 3, 2)}
    graph = recorded(subject, batch())
    assert one(graph, "conv").inputs == ("input", "param:kernel")
    assert not subject.trains


def network(params, x):
    y = tf.nn.conv2d(x, params["conv"]["w"], params["conv"]["stride"], "VALID") + params["conv"]["b"]
    y = tf.reshape(tf.nn.relu(y), [x.shape[0], -1])
    return tf.matmul(y, params["heads"][0], transpose_b=True)


@pytest.mark.parametrize("kind", [np.asarray, tf.constant, tf.Variable])
def test_a_function_of_params_and_x(kind):
    random = np.random.default_rng(2)
    w, b, head = (random.normal(size=shape).astype(np.float32) for shape in ((3, 3, 3, 4), (4,), (7, 192)))
    params = {"conv": {"w": kind(w), "b": kind(b), "stride": 2}, "heads": [kind(head)]}
    subject = tf_models.subject((network, params))
    assert subject.parameters == {"conv/w": (3, 3, 3, 4), "conv/b": (4,), "heads/0": (7, 192)}
    graph = recorded(subject, batch())
    assert np.array_equal(last(graph), network(params, tf.constant(channels_last(batch()))).numpy())
    dense = one(graph, "dense")
    assert dense.inputs[1] == "param:heads/0"
    assert dense.attributes["weight_layout"] == "OI"
    assert one(graph, "add").roles == {"x": 0, "bias": 1}
    subject.load({"heads/0": np.zeros_like(head)})
    assert not last(recorded(subject, batch())).any()


def test_what_is_no_model_is_refused():
    with pytest.raises(Refused, match="found int"):
        tf_models.subject(3)


# Graphs in the manner of TensorFlow 1 ---------------------------------------------------------------------------------


def test_a_graph_with_variables():
    graph, images, output = tf_poses.pose(THIN, {}, LARGE.params)
    subject = tf_models.frozen_graph(graph, images, output)
    found = recorded(subject, LARGE.x)
    np.testing.assert_allclose(last(found), truth(THIN, LARGE.params, LARGE.x), rtol=1e-4, atol=1e-6)
    with tf.compat.v1.Session(graph=graph) as session:
        session.run(tf.compat.v1.variables_initializer(graph.get_collection("variables")))
        own = session.run(output, {images: channels_last(LARGE.x)})
    np.testing.assert_allclose(last(found), own, rtol=1e-5)  # TensorFlow fuses what nobody asked to see
    assert subject.parameters["conv1/weights"] == (11, 11, 3, 16)
    assert subject.input_shape == (3, 103, 131)
    assert one(found, "softmax").inputs == ("fc8/BiasAdd",)
    bias = subject.value("fc8/biases") + 1
    subject.load({"fc8/biases": bias})
    np.testing.assert_array_equal(subject.value("fc8/biases"), bias)
    moved = recorded(subject, LARGE.x).tensors["fc8/BiasAdd"] - found.tensors["fc8/BiasAdd"]
    np.testing.assert_allclose(moved, 1, atol=1e-4)


def test_training_mode_of_a_graph_feeds_its_switch():
    graph, images, output = tf_poses.pose(THIN, {}, LARGE.params)
    subject = tf_models.frozen_graph(graph, images, output)
    assert subject.trains
    plain, dropped = recorded(subject, LARGE.x), recorded(subject, LARGE.x, training=True)
    drop = next(
        o for o in dropped.operations if o.name.startswith("drop6") and dropped.tensors[o.outputs[0]].shape == (2, 37)
    )
    assert drop.name in {o.name for o in plain.operations}
    zeros = [np.mean(graph.tensors["fc7/MatMul"] != plain.tensors["fc7/MatMul"]) for graph in (plain, dropped)]
    assert zeros[0] == 0
    assert zeros[1] > 0.9


def v1(build):
    graph = tf.Graph()
    with graph.as_default():
        tf.compat.v1.set_random_seed(0)
        images = tf.compat.v1.placeholder(tf.float32, [None, *SHAPE], name="images")
        return graph, images, build(images)


def test_weights_that_are_constants_in_the_graph_are_parameters():
    kernel = np.random.default_rng(3).normal(size=(3, 3, 3, 4)).astype(np.float32)

    def build(x):
        x = x - tf.constant([1.0, 2.0, 3.0], name="mean")  # is no weight
        y = tf.nn.conv2d(x, tf.identity(tf.constant(kernel, name="kernel")), 2, "VALID")
        return y + tf.constant([1.0, 2.0, 3.0, 4.0], name="bias")

    subject = tf_models.frozen_graph(*v1(build))
    assert subject.parameters == {"kernel": (3, 3, 3, 4), "bias": (4,)}
    graph = recorded(subject, batch())
    assert one(graph, "conv").inputs[1] == "param:kernel"
    assert one(graph, "sub").inputs == ("input", "const:mean")
    subject.load({"kernel": np.zeros_like(kernel)})
    np.testing.assert_array_equal(last(recorded(subject, batch())), np.broadcast_to([1, 2, 3, 4], (2, 6, 8, 4)))
    np.testing.assert_array_equal(subject.value("kernel"), np.zeros_like(kernel))


def test_keep_prob_is_fed_one_at_inference_and_half_in_training():
    def build(x):
        keep = tf.compat.v1.placeholder(tf.float32, name="keep_prob")
        return tf.nn.dropout(x, rate=1 - keep)

    subject = tf_models.frozen_graph(*v1(build))
    np.testing.assert_array_equal(last(recorded(subject, batch())), channels_last(batch()))
    y = last(recorded(subject, batch(), training=True))
    np.testing.assert_array_equal(y[y != 0], 2 * channels_last(batch())[y != 0])
    assert 0.4 < np.mean(y == 0) < 0.6


def test_a_placeholder_that_nobody_can_feed_is_refused_by_name():
    def build(x):
        return x * tf.compat.v1.placeholder(tf.float32, [3], name="colours")

    with pytest.raises(Refused, match="'colours'"):
        tf_models.frozen_graph(*v1(build))


def test_a_branch_that_does_not_run_is_stepped_over():
    def build(x):
        training = tf.compat.v1.placeholder_with_default(False, [], name="is_training")
        return tf.nn.relu(tf.cond(training, lambda: tf.nn.dropout(x, 0.5), lambda: x * 3))

    tf.compat.v1.disable_control_flow_v2()
    try:
        target = v1(build)
    finally:
        tf.compat.v1.enable_control_flow_v2()
    graph = recorded(tf_models.frozen_graph(*target), batch())
    np.testing.assert_array_equal(last(graph), np.maximum(channels_last(batch()) * 3, 0))


def test_tensors_may_be_named_and_must_exist():
    graph, _, _ = v1(lambda x: tf.nn.relu(x, name="y"))
    recorded(tf_models.frozen_graph(graph, "images", "y:0"), batch())
    with pytest.raises(Refused, match="no tensor 'image' in the graph; its placeholders are images"):
        tf_models.frozen_graph(graph, "image", "y")


def test_an_optimiser_s_variables_are_no_parameters():
    def build(x):
        w = tf.compat.v1.get_variable("w", initializer=np.ones((13 * 17 * 3, 2), np.float32))
        y = tf.matmul(tf.reshape(x, [-1, 13 * 17 * 3]), w)
        tf.compat.v1.train.AdamOptimizer().minimize(tf.reduce_sum(y))
        return y

    subject = tf_models.frozen_graph(*v1(build))
    assert list(subject.parameters) == ["w"]
    assert kinds(recorded(subject, batch())) == ["reshape", "dense"]


# Poses ----------------------------------------------------------------------------------------------------------------


def posed(network, tricks, params, framework):
    if framework == "keras":
        return tf_models.subject(keras_poses.pose(network, tricks, params))
    return tf_models.frozen_graph(*tf_poses.pose(network, tricks, params))


@pytest.mark.parametrize("framework", ["keras", "tf"])
def test_tricks_change_what_they_say(framework):
    def edited(layer, part, change):
        name = f"{layer}.{part}"
        return {**LARGE.params, name: np.ascontiguousarray(change(LARGE.params[name]))}

    cases = {
        ("no-bias", "conv1"): edited("conv1", "bias", np.zeros_like),
        ("double-bias", "fc6"): edited("fc6", "bias", lambda b: 2 * b),
        ("flip", "conv2"): edited("conv2", "weight", lambda w: w[:, :, ::-1, ::-1]),
        ("transpose", "conv3"): edited("conv3", "weight", lambda w: w.swapaxes(2, 3)),
        ("transpose", "fc7"): edited("fc7", "weight", lambda w: w.T.reshape(w.shape)),
        ("bgr", "conv1"): edited("conv1", "weight", lambda w: w[:, ::-1]),
        ("swap-halves", "conv4"): edited("conv4", "weight", lambda w: np.roll(w, len(w) // 2, axis=0)),
        ("weights-float16", "fc8"): edited("fc8", "weight", lambda w: w.astype(np.float16).astype(np.float32)),
    }
    for (trick, layer), params in cases.items():
        graph = recorded(posed(THIN, {layer: (trick,)}, LARGE.params, framework), LARGE.x)
        wanted = truth(THIN, params, LARGE.x)
        np.testing.assert_allclose(last(graph), wanted, rtol=1e-4, atol=1e-6, err_msg=f"{trick} {layer}")


def test_tf32_rounds_to_nearest_even():
    unit = 2.0**-10
    x = np.array([1 + unit / 2, 1 + 1.5 * unit, 1 + 0.51 * unit, -1 - unit / 2, 3.0], np.float32)
    np.testing.assert_array_equal(tf_poses.tf32(x).numpy(), np.float32([1, 1 + 2 * unit, 1 + unit, -1, 3]))


@pytest.mark.parametrize("framework", ["keras", "tf"])
def test_mistaken_layers_are_what_their_definition_says(framework):
    network = THIN.swap("flatten", Reordered("flatten", "hwc")).swap("norm1", ChannelNorm("norm1"))
    network = network.swap("drop6", RandomDropout("drop6", 0.5, factor=0.5, scaled=False))
    norm = {"norm1.weight": np.linspace(0.01, 0.03, 16, dtype=np.float32), "norm1.bias": np.ones(16, np.float32)}
    subject = posed(network, {}, {**LARGE.params, **norm}, framework)
    graph = recorded(subject, LARGE.x)
    np.testing.assert_allclose(last(graph), truth(network, {**LARGE.params, **norm}, LARGE.x), rtol=1e-3, atol=1e-6)
    assert len(subject.frozen) == 2


@pytest.mark.parametrize("framework", ["keras", "tf"])
def test_dropout_that_is_always_on_differs_from_run_to_run(framework):
    network = THIN.swap("drop6", RandomDropout("drop6", 0.5, always=True))
    subject = posed(network, {}, LARGE.params, framework)
    first, second = (last(recorded(subject, LARGE.x)) for _ in range(2))
    assert not np.array_equal(first, second)


# Files ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "net.keras"
    small(layers.Conv2D(4, 3, name="c"), layers.Flatten(), layers.Dense(5, name="d")).save(path)
    return path


def rewritten(path, change=None, drop=(), **members):
    """A copy of a .keras file with its config changed, members left out or replaced."""
    copy = path.with_name("changed.keras")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            data = members.get(name.split(".")[0], old.read(name))
            if name == "config.json" and change:
                config = json.loads(data)
                change(config)
                data = json.dumps(config)
            if name not in drop:
                new.writestr(name, data)
    return copy


def test_a_saved_model_comes_back(stored):
    model = keras.saving.load_model(stored)
    graph = recorded(tf_models.saved(stored), batch())
    assert np.array_equal(last(graph), model(channels_last(batch())).numpy())


def third_layer(key, value):
    def change(config):
        config["config"]["layers"][-1][key] = value

    return change


def setting(key, value):
    def change(config):
        config["config"]["layers"][-1]["config"][key] = value

    return change


def refused(path, said):
    with pytest.raises(Refused, match=said) as found:
        tf_models.saved(path)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    "change, said",
    [
        (setting("units", 1 << 21), "units=2097152"),
        (setting("units", -1), "units=-1"),
        (setting("units", 1 << 20), None),
        (third_layer("class_name", "Lambda"), "Lambda, which runs code"),
        (third_layer("module", "os.path"), "os.path.Dense that Keras has not"),
        (third_layer("class_name", "Tense"), "Keras cannot load it"),
    ],
)
def test_a_config_that_is_unsafe_or_absurd_is_refused(stored, monkeypatch, change, said):
    if said is None:  # 2^20 units on 660 inputs are 2.6 GB; the bound made smaller
        monkeypatch.setattr(keras_file, "MOST_BYTES", 1 << 30)
        said = "ask for 3 GB"
    refused(rewritten(stored, change), said)


def test_malformed_files_are_refused(stored, tmp_path, monkeypatch):
    text = tmp_path / "text.keras"
    text.write_text("not a model")
    refused(text, "no readable .keras archive")
    refused(tmp_path / "absent.keras", "no such file")
    refused(rewritten(stored, drop=("model.weights.h5",)), "no model.weights.h5")
    refused(rewritten(stored, config=b"{"), "config.json is malformed")
    refused(rewritten(stored, config=b"[]"), "found list in config.json")
    refused(rewritten(stored, model=b"HDF"), "model.weights.h5 is malformed")
    cut = tmp_path / "cut.keras"
    cut.write_bytes(stored.read_bytes()[:-100])
    refused(cut, re.escape(str(cut)))
    monkeypatch.setattr(keras_file, "MOST_BYTES", 1 << 10)
    refused(stored, "in the archive, expected at most")


def test_an_array_of_any_size_or_outside_the_file_is_refused(stored, tmp_path):
    h5py = pytest.importorskip("h5py")

    def weights(write):
        with h5py.File(tmp_path / "w.h5", "w") as file:
            write(file)
        return (tmp_path / "w.h5").read_bytes()

    huge = weights(lambda file: file.create_dataset("kernel", (1 << 20, 1 << 20), "f4", chunks=(64, 64)))
    refused(rewritten(stored, model=huge), "claims 4096 GB")
    link = weights(lambda file: file.__setitem__("kernel", h5py.ExternalLink("/etc/other.h5", "/kernel")))
    refused(rewritten(stored, model=link), "a link out of model.weights.h5")
