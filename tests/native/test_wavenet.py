"""The compiled WaveNet against torch: every path, any size, any way of cutting a piece up."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.ada.sampling import TorchSampler, kernel_weights
from ritornello.errors import ConfigError
from ritornello.evaluation.speed import measure
from ritornello.native.packing import are_half
from ritornello.native.wavenet import WaveNetKernel, available_paths
from tests.native.networks import constant_weights, random_call, random_model, torch_logits

PATHS = available_paths()
TOLERANCE = 1e-4
"""On logits, between any path and torch in float64, after any number of steps."""

pytestmark = pytest.mark.skipif(not PATHS, reason="the library was not built")
each_path = pytest.mark.parametrize("path", PATHS)
each_precision = pytest.mark.parametrize("precision", ["fp32", "int8"])


def kernel_of(model, **settings):
    return WaveNetKernel(kernel_weights(model), **settings)


def uniforms_of(batch, steps, seed=1):
    return np.random.default_rng(seed).random((batch, steps), dtype=np.float32)


# ------------------------------------------------------------------ equal to torch


@settings(max_examples=12)
@given(
    sizes=st.fixed_dictionaries(
        {
            "symbols": st.integers(2, 70),
            "residual": st.integers(1, 70),
            "inner": st.integers(1, 40),
            "skip": st.integers(1, 40),
            "filter_size": st.integers(1, 3),
            "repetitions": st.integers(1, 2),
            "layers": st.integers(1, 4),
        }
    ),
    batch=st.integers(1, 5),
    hop=st.integers(1, 4),
)
def test_logits_equal_torch_at_any_size(sizes, batch, hop):
    model = random_model(**sizes)
    symbols, biases = random_call(model, batch, 7, hop)
    expected = torch_logits(model, symbols, biases)
    for path in PATHS:
        kernel = kernel_of(model, path=path)
        got = kernel.logits(kernel.initial_state(batch), symbols, biases=biases, hop=hop)
        np.testing.assert_allclose(got, expected, atol=TOLERANCE)


@each_path
def test_rings_wrap_for_thousands_of_steps(path):
    model = random_model(repetitions=1, layers=6, filter_size=3, residual=12)
    symbols, biases = random_call(model, 2, 1000, 4)
    kernel = kernel_of(model, path=path)
    got = kernel.logits(kernel.initial_state(2), symbols, biases=biases, hop=4)
    np.testing.assert_allclose(got, torch_logits(model, symbols, biases), atol=TOLERANCE)


@each_path
@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.8, 0.9)])
def test_draws_equal_the_plain_sampler_with_the_same_numbers(path, temperature, top_p):
    model = random_model(symbols=40)
    _, biases = random_call(model, 3, 20, 4)
    uniforms, plain = uniforms_of(3, 80), TorchSampler(model)
    call = {"biases": biases, "hop": 4, "temperature": temperature, "top_p": top_p}
    expected = plain.sample(plain.initial_state(3), uniforms, **call)
    kernel = kernel_of(model, path=path)
    np.testing.assert_array_equal(
        kernel.sample(kernel.initial_state(3), uniforms, **call), expected
    )


# ------------------------------------------------------------------ the draw


def kept_by_rule(logits, temperature, top_p):
    """Probabilities in doubles, those outside the nucleus zero, word for word by the rule."""
    p = np.exp((logits - logits.max()) / temperature)
    p /= p.sum()
    kept, total = np.zeros_like(p), 0.0
    for symbol in sorted(range(len(p)), key=lambda s: (-p[s], s)):
        if total >= top_p:
            break
        kept[symbol], total = p[symbol], total + p[symbol]
    return kept


@settings(max_examples=30)
@given(
    logits=st.lists(st.integers(-6, 6), min_size=1, max_size=40),
    temperature=st.sampled_from([0.25, 1.0, 2.0]),
    top_p=st.sampled_from([1e-9, 0.311, 0.777, 1.0]),
    path=st.sampled_from(PATHS or ("",)),
)
def test_symbols_follow_the_rule(logits, temperature, top_p, path):
    logits = np.array(logits, float)
    kernel = WaveNetKernel(constant_weights(logits), path=path)
    uniforms = uniforms_of(1, 200)
    settings = {"temperature": temperature, "top_p": top_p}
    drawn = kernel.sample(kernel.initial_state(1), uniforms, **settings)[0]
    ends = np.cumsum(kept_by_rule(logits, temperature, top_p))
    bounds = uniforms[0].astype(float) * ends[-1]
    expected = (ends[None] <= bounds[:, None]).sum(1)
    is_near = np.abs(ends[None] - bounds[:, None]).min(1) < 1e-6
    assert (drawn == expected)[~is_near].all()
    assert is_near.mean() < 0.1


def test_equal_symbols_leave_the_nucleus_from_above():
    kernel = WaveNetKernel(constant_weights(np.zeros(8)))
    drawn = kernel.sample(kernel.initial_state(1), uniforms_of(1, 400), top_p=0.374)
    assert set(drawn[0].tolist()) == {0, 1, 2}


@each_path
def test_the_ends_of_the_uniform_range_take_the_first_and_the_last_symbol(path):
    kernel = WaveNetKernel(constant_weights([0.0, -50.0, 0.0]), path=path)
    uniforms = np.array([[0.0, np.nextafter(np.float32(1), np.float32(0))]], np.float32)
    assert kernel.sample(kernel.initial_state(1), uniforms).tolist() == [[0, 2]]


@each_path
def test_the_least_temperature_takes_the_most_probable(path):
    kernel = WaveNetKernel(constant_weights([1.0, 3.0, 2.0]), path=path)
    drawn = kernel.sample(kernel.initial_state(1), uniforms_of(1, 50), temperature=1e-6)
    assert (drawn == 1).all()


# ------------------------------------------------------------------ bit for bit


@each_path
@each_precision
def test_a_stream_is_the_same_alone_and_in_any_company(path, precision):
    model = random_model(residual=40)
    kernel = kernel_of(model, path=path, precision=precision)
    _, biases = random_call(model, 15, 6, 3)
    uniforms = uniforms_of(15, 18)

    def logits_and_symbols(rows):
        state = kernel.initial_state(len(biases[rows]))
        drawn = kernel.sample(state, uniforms[rows], biases=biases[rows], hop=3)
        return kernel.logits(state, drawn, biases=biases[rows], hop=3), drawn

    together, drawn = logits_and_symbols(slice(0, 15))  # 8 + 4 + 2 + 1 at once
    for first, last in ((0, 1), (1, 3), (3, 7), (2, 15)):
        some, some_drawn = logits_and_symbols(slice(first, last))
        np.testing.assert_array_equal(some, together[first:last])
        np.testing.assert_array_equal(some_drawn, drawn[first:last])


@each_precision
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_threads_do_not_change_a_bit(precision, batch):
    model = random_model()
    uniforms, results = uniforms_of(batch, 60), []
    for threads in (1, 2, 3):
        kernel = kernel_of(model, precision=precision, threads=threads)
        state = kernel.initial_state(batch)
        results.append((kernel.sample(state, uniforms), state.slots))
    for drawn, slots in results[1:]:
        np.testing.assert_array_equal(drawn, results[0][0])
        np.testing.assert_array_equal(slots, results[0][1])


@each_path
@each_precision
@pytest.mark.parametrize("filter_size", [1, 2, 3])
def test_pieces_equal_the_whole_and_a_copied_state_goes_on_alike(path, precision, filter_size):
    model = random_model(filter_size=filter_size)
    kernel = kernel_of(model, path=path, precision=precision)
    _, biases = random_call(model, 2, 12, 5)
    uniforms = uniforms_of(2, 60)
    whole = kernel.sample(kernel.initial_state(2), uniforms, biases=biases, hop=5)
    state, parts = kernel.initial_state(2), []
    for first, last in ((0, 1), (1, 1), (1, 4), (4, 12)):
        kept, pieces = state.copy(), []
        for each in (state, kept):
            steps = uniforms[:, 5 * first : 5 * last]
            pieces.append(kernel.sample(each, steps, biases=biases[:, first:last], hop=5))
        np.testing.assert_array_equal(*pieces)
        parts.append(pieces[0])
        state = kept
    np.testing.assert_array_equal(np.concatenate(parts, 1), whole)
    assert state.step == 60


@each_path
def test_what_was_heard_and_what_was_drawn_leave_the_same_state(path):
    kernel = kernel_of(random_model(), path=path)
    drawing, hearing = kernel.initial_state(2), kernel.initial_state(2)
    symbols = kernel.sample(drawing, uniforms_of(2, 50))
    kernel.logits(hearing, symbols)
    for field in dataclasses.fields(drawing):
        np.testing.assert_array_equal(getattr(drawing, field.name), getattr(hearing, field.name))


def test_a_held_bias_is_a_repeated_one_and_none_is_zero():
    model = random_model()
    kernel = kernel_of(model)
    symbols, biases = random_call(model, 2, 6, 4)
    held = kernel.logits(kernel.initial_state(2), symbols, biases=biases, hop=4)
    repeated = np.repeat(biases, 4, 1)
    np.testing.assert_array_equal(
        kernel.logits(kernel.initial_state(2), symbols, biases=repeated), held
    )
    np.testing.assert_array_equal(
        kernel.logits(kernel.initial_state(2), symbols),
        kernel.logits(kernel.initial_state(2), symbols, biases=0 * biases, hop=4),
    )


@each_path
@pytest.mark.parametrize("batch", [1, 2, 13])
def test_half_floats_change_speed_alone(path, batch):
    """A weight that needs 24 bits keeps all matrices in floats; only its own logit may differ."""
    weights = kernel_weights(random_model(residual=40, filter_size=3))
    names = ("conv", "to_residual", "to_skip", "hidden", "out")
    exact = {name: getattr(weights, name).astype(np.float16).astype(np.float32) for name in names}
    exact["conv"][0, 0, 0, 0] = 2.0**-20  # below the normal range of half floats
    weights = dataclasses.replace(weights, **exact)
    out = weights.out.copy()
    out[-1, 0] += np.float32(2.0**-22)
    symbols = np.random.default_rng(0).integers(0, 16, (batch, 30))
    results = []
    for each in (weights, dataclasses.replace(weights, out=out)):
        kernel = WaveNetKernel(each, path=path)
        results.append(kernel.logits(kernel.initial_state(batch), symbols))
    np.testing.assert_array_equal(results[0][..., :-1], results[1][..., :-1])
    assert are_half(weights.out)
    assert not are_half(out)


# ------------------------------------------------------------------ int8


def rounded(x):
    """Bytes of vectors, and what one step of them is worth."""
    scale = np.abs(x).max(-1, keepdims=True) / np.float32(127)
    return np.rint(x / scale), scale


@each_path
def test_products_of_bytes_are_exact_even_at_the_ends_of_the_range(path):
    """One layer, by hand: inputs and weights of one size give the largest sums there are."""
    weights = kernel_weights(random_model(repetitions=1, layers=1, filter_size=1, residual=70))
    signs = np.where(np.arange(70) % 7 < 5, 1, -1).astype(np.float32)
    conv = weights.conv.copy()
    conv[0, 0, 0::2], conv[0, 0, 1::2] = 0.02, -0.03
    weights = dataclasses.replace(weights, enter=np.tile(signs, (16, 1)), conv=conv)
    kernel = WaveNetKernel(weights, path=path, precision="int8")
    got = kernel.logits(kernel.initial_state(1), np.zeros((1, 2), np.int64))[0, 1]

    (x, x_scale), (w, w_scale) = rounded(signs), rounded(conv[0, 0])
    h = (w @ x) * w_scale[:, 0] * x_scale + weights.conv_bias[0]
    z, z_scale = rounded(np.tanh(h[:6]) / (1 + np.exp(-h[6:])))
    s, s_scale = rounded(weights.to_skip[0])
    skip = np.maximum((s @ z) * s_scale[:, 0] * z_scale * weights.skip_scale, 0)
    hidden = np.maximum(weights.hidden @ skip + weights.hidden_bias, 0)
    np.testing.assert_allclose(got, weights.out @ hidden + weights.out_bias, atol=1e-5)


def nll(logits, symbols):
    logits = logits - logits.max(-1, keepdims=True)
    chosen = np.take_along_axis(logits, symbols[..., None], -1)[..., 0]
    return (np.log(np.exp(logits).sum(-1)) - chosen).mean()


@each_path
@pytest.mark.parametrize("filter_size", [2, 3])
def test_int8_costs_next_to_no_likelihood(path, filter_size):
    model = random_model(symbols=64, residual=48, inner=40, skip=64, filter_size=filter_size)
    exact, fast = kernel_of(model), kernel_of(model, path=path, precision="int8")
    symbols = exact.sample(exact.initial_state(4), uniforms_of(4, 400))
    expected = exact.logits(exact.initial_state(4), symbols)
    got = fast.logits(fast.initial_state(4), symbols)
    assert np.abs(got - expected).std() < 0.05 * expected.std()
    assert abs(nll(got, symbols) - nll(expected, symbols)) < 0.01


@pytest.mark.slow
def test_int8_is_faster_at_the_size_of_the_paper():
    if PATHS[0] == "scalar":
        pytest.skip("bytes gain nothing without vectors")
    sizes = {"repetitions": 4, "layers": 8, "residual": 384, "inner": 64, "skip": 256}
    model, uniforms, times_s = random_model(symbols=256, **sizes), uniforms_of(1, 100), {}
    for precision in ("fp32", "int8"):
        kernel = kernel_of(model, precision=precision)
        state = kernel.initial_state(1)
        timing = measure(lambda kernel=kernel, state=state: kernel.sample(state, uniforms))
        times_s[precision] = timing.median_cpu_s
    assert times_s["int8"] < times_s["fp32"] / 1.5


# ------------------------------------------------------------------ refused

KERNEL = WaveNetKernel(constant_weights(np.zeros(4))) if PATHS else None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"uniforms": np.ones((1, 4), np.float32)}, r"\[0, 1\)"),
        ({"uniforms": np.full((1, 4), np.nan, np.float32)}, r"\[0, 1\)"),
        ({"uniforms": np.zeros((2, 4), np.float32)}, r"uniforms is .* expected"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"biases": np.zeros((1, 3, 1, 2), np.float32)}, r"biases is .* expected"),
        ({"biases": np.zeros((1, 2, 1, 2), np.float32), "hop": 3}, "whole frames"),
        ({"biases": np.full((1, 4, 1, 2), np.inf, np.float32)}, "not finite"),
    ],
)
def test_a_wrong_call_is_refused(change, message):
    call = {"uniforms": np.zeros((1, 4), np.float32)} | change
    with pytest.raises(ConfigError, match=message):
        KERNEL.sample(KERNEL.initial_state(1), call.pop("uniforms"), **call)


def test_symbols_outside_the_alphabet_are_refused():
    with pytest.raises(ConfigError, match=r"0 \.\. 3"):
        KERNEL.logits(KERNEL.initial_state(1), np.array([[4]]))


def test_a_state_of_another_network_is_refused():
    other = kernel_of(random_model()).initial_state(1)
    with pytest.raises(ConfigError, match=r"state\.slots"):
        KERNEL.sample(other, np.zeros((1, 2), np.float32))
    state = KERNEL.initial_state(1)
    state.previous[0] = 9
    with pytest.raises(ConfigError, match=r"state\.previous"):
        KERNEL.sample(state, np.zeros((1, 2), np.float32))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dilations": (1, 2)}, "one per layer"),
        ({"dilations": (0,)}, "at least 1"),
        ({"skip_scale": 0.0}, "skip_scale"),
        ({"out_bias": np.zeros(5, np.float32)}, r"out_bias .* expected"),
        ({"enter": np.full((4, 1), np.nan, np.float32)}, "enter holds"),
        ({"conv": np.zeros((1, 1, 3, 1), np.float32)}, "even number"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(constant_weights(np.zeros(4)), **change)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precision": "bf16"}, "fp32"),
        ({"path": "neon"}, "this processor has"),
        ({"threads": 0}, "threads is 0"),
    ],
)
def test_unknown_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        WaveNetKernel(constant_weights(np.zeros(4)), **settings)
    with pytest.raises(ConfigError, match="batch is 0"):
        KERNEL.initial_state(0)
