"""The compiled transformer against torch: every path and pattern, any size, any way of cutting."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.errors import ConfigError
from ritornello.jukebox.stepping import KernelStepper, TorchStepper, array, kernel_weights
from ritornello.native.library import available_paths
from ritornello.native.transformer import LayerCache, TransformerKernel
from tests.native.transformers import PATTERNS, Codes, random_transformer

PATHS = available_paths()
TOLERANCE = 1e-4
"""On logits, between any path and torch in float64, at any step of a context."""

pytestmark = pytest.mark.skipif(not PATHS, reason="the library was not built")
each_path = pytest.mark.parametrize("path", PATHS)
each_precision = pytest.mark.parametrize("precision", ["fp32", "int8"])


def uniforms_of(songs, steps, seed=1):
    return np.random.default_rng(seed).random((songs, steps), dtype=np.float32)


def tokens_of(model, batch, seed=0):
    transformer = model.transformer
    shape = batch, transformer.config.context
    return np.random.default_rng(seed).integers(0, transformer.table.num_embeddings, shape)


@torch.no_grad()
def torch_logits(model, tokens):
    """What the model says in float64, over the whole context at once."""
    told = model.begin(len(tokens))
    transformer, memory = model.transformer.double(), model.memory
    conditions = None if told.conditions is None else told.conditions.double()
    memory = None if memory is None else memory.double()
    logits = transformer(torch.from_numpy(tokens), told.start.double(), conditions, memory)
    transformer.float()
    return logits.numpy()


# ------------------------------------------------------------------ equal to torch


@settings(max_examples=5)
@given(
    sizes=st.fixed_dictionaries(
        {
            "symbols": st.integers(2, 70),
            "width": st.sampled_from([8, 24, 40, 64]),
            "heads": st.sampled_from([1, 2, 4]),
            "attention_ratio": st.sampled_from([0.5, 1.0]),
            "mlp_ratio": st.sampled_from([0.5, 2.0]),
            "blocks": st.integers(1, 5),
            "block_length": st.integers(1, 20),
            "lyrics_seen": st.integers(1, 9),
            "is_tied": st.booleans(),
            "final_norm": st.booleans(),
        }
    ),
    batch=st.integers(1, 3),
)
def test_logits_equal_torch_at_any_size(sizes, batch):
    model = Codes(random_transformer(**sizes))
    tokens = tokens_of(model, batch)
    expected = torch_logits(model, tokens)
    for path in PATHS:
        stepper = KernelStepper(model, path=path)
        got = stepper.logits(tokens, stepper.begin(model.begin(batch)))
        np.testing.assert_allclose(got, expected, atol=TOLERANCE)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_for_a_whole_context(pattern):
    model = Codes(random_transformer(layers=(pattern,) * 2, blocks=20, block_length=18))
    tokens = tokens_of(model, 2)
    expected = torch_logits(model, tokens)
    for path in PATHS:
        stepper = KernelStepper(model, path=path)
        got = stepper.logits(tokens, stepper.begin(model.begin(2)))
        np.testing.assert_allclose(got, expected, atol=TOLERANCE)


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.8, "top_p": 0.9}, {"guidance": 1.5}])
def test_draws_equal_the_plain_steps_with_the_same_numbers(settings):
    model = Codes(random_transformer(symbols=40, final_norm=True), first_code=7)
    uniforms, plain = uniforms_of(1 if "guidance" in settings else 2, 24), TorchStepper(model)
    expected = plain.sample(plain.begin(model.begin(2)), uniforms, **settings)
    for path in PATHS:
        stepper = KernelStepper(model, path=path)
        drawn = stepper.sample(stepper.begin(model.begin(2)), uniforms, **settings)
        np.testing.assert_array_equal(drawn, expected)
    assert 0 <= expected.min() < expected.max() < 33


def test_nothing_told_is_zeros_told():
    model = Codes(random_transformer())
    stepper, tokens = KernelStepper(model), tokens_of(model, 2)
    told = model.begin(2)
    told.conditions = torch.zeros_like(told.conditions)
    np.testing.assert_array_equal(
        stepper.logits(tokens, stepper.begin(model.begin(2, told=False))),
        stepper.logits(tokens, stepper.begin(told)),
    )


# ------------------------------------------------------------------ bit for bit


@each_path
@each_precision
def test_a_row_is_the_same_alone_and_in_any_company(path, precision):
    model = Codes(random_transformer(width=40))
    stepper = KernelStepper(model, path=path, precision=precision)
    together = model.begin(35)  # more rows than are worked on at once when symbols are known
    uniforms = uniforms_of(35, 9)
    drawn = stepper.sample(stepper.begin(together), uniforms)
    logits = stepper.logits(drawn, stepper.begin(together))
    for rows in (slice(3, 4), slice(20, 35)):
        some = dataclasses.replace(
            together,
            start=together.start[rows],
            conditions=together.conditions[rows],
            trunk=dataclasses.replace(
                together.trunk,
                blocks=[
                    dataclasses.replace(block, keys=block.keys[rows], values=block.values[rows])
                    for block in together.trunk.blocks
                ],
            ),
        )
        np.testing.assert_array_equal(
            stepper.sample(stepper.begin(some), uniforms[rows]), drawn[rows]
        )
        np.testing.assert_array_equal(
            stepper.logits(drawn[rows], stepper.begin(some)), logits[rows]
        )


@each_path
@each_precision
def test_what_was_read_in_any_pieces_and_what_was_drawn_leave_the_same_state(path, precision):
    model = Codes(random_transformer())
    kernel_stepper = KernelStepper(model, path=path, precision=precision)
    kernel, told = kernel_stepper.kernel, model.begin(2)
    drawing = kernel_stepper.begin(told)
    symbols = kernel.sample(drawing, uniforms_of(2, 24))
    for cuts in ([], [1, 2, 2, 9, 18]):
        reading = kernel_stepper.begin(told)
        for first, last in zip([0, *cuts], [*cuts, 24], strict=True):
            kernel.read(reading, symbols[:, first:last])
        assert reading.step == drawing.step == 24
        np.testing.assert_array_equal(reading.previous, drawing.previous)
        for name in ("keys", "values"):
            for one, other in zip(getattr(reading, name), getattr(drawing, name), strict=True):
                np.testing.assert_array_equal(one, other)


def test_a_copied_state_goes_on_alike():
    model = Codes(random_transformer())
    stepper, uniforms = KernelStepper(model), uniforms_of(2, 24)
    whole = stepper.sample(stepper.begin(model.begin(2)), uniforms)
    state = stepper.begin(model.begin(2))
    stepper.sample(state, uniforms[:, :11])
    for each in (state.copy(), state):
        np.testing.assert_array_equal(stepper.sample(each, uniforms[:, 11:]), whole[:, 11:])


@each_path
def test_half_floats_change_speed_alone(path):
    """A weight that needs 24 bits keeps all matrices in floats; only its own logit may differ."""
    transformer = random_transformer(is_tied=False)
    weights = kernel_weights(transformer.half().float())
    symbol_of = weights.symbol_of.copy()
    symbol_of[-1, 0] += np.float32(2.0**-22)
    told, logits = Codes(transformer).begin(2, told=False), []
    for each in (weights, dataclasses.replace(weights, symbol_of=symbol_of)):
        kernel = TransformerKernel(each, path=path)
        keys = told.trunk.blocks[-1]
        memory = [LayerCache(keys=array(keys.keys[:, None]), values=array(keys.values[:, None]))]
        state = kernel.initial_state(array(told.start), None, memory)
        logits.append(kernel.logits(state, tokens_of(Codes(transformer), 2)))
    np.testing.assert_array_equal(logits[0][..., :-1], logits[1][..., :-1])
    assert np.abs(logits[0] - logits[1]).max() < TOLERANCE


# ------------------------------------------------------------------ int8


def bits(logits, symbols):
    """Per symbol."""
    logits = logits.astype(float) - logits.max(-1, keepdims=True)
    chosen = np.take_along_axis(logits, symbols[..., None], -1)[..., 0]
    return ((np.log(np.exp(logits).sum(-1)) - chosen) / np.log(2)).mean()


@each_path
def test_int8_costs_next_to_no_bits(path):
    """A network whose own symbols are far from chance: what rounding loses would show."""
    sizes = {"width": 64, "layers": PATTERNS[:3] * 2, "blocks": 10, "block_length": 10}
    model = Codes(random_transformer(symbols=64, scale=8.0, final_norm=True, **sizes))
    exact = KernelStepper(model)
    fast = KernelStepper(model, path=path, precision="int8")
    symbols = exact.sample(exact.begin(model.begin(8)), uniforms_of(8, 100))
    expected = exact.logits(symbols, exact.begin(model.begin(8)))
    got = fast.logits(symbols, fast.begin(model.begin(8)))
    assert bits(expected, symbols) < 5
    assert 0 < np.abs(got - expected).std() < 0.05 * expected.std()
    assert abs(bits(got, symbols) - bits(expected, symbols)) < 0.02


# ------------------------------------------------------------------ refused


def plain_kernel():
    weights = kernel_weights(random_transformer(layers=("row", "dense")))
    kernel = TransformerKernel(weights)
    return kernel, kernel.initial_state(np.zeros((2, 24), np.float32))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"uniforms": np.ones((2, 4), np.float32)}, r"\[0, 1\)"),
        ({"uniforms": np.zeros((1, 4), np.float32)}, r"uniforms is .* expected"),
        ({"uniforms": np.zeros((2, 25), np.float32)}, "room for 24 in all"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"top_p": 1.5}, "top_p is 1.5"),
        ({"first": 16}, "first is 16"),
        ({"guidance": np.inf}, "guidance is inf"),
    ],
)
def test_a_wrong_call_is_refused(change, message):
    kernel, state = plain_kernel()
    call = {"uniforms": np.zeros((2, 4), np.float32)} | change
    with pytest.raises(ConfigError, match=message):
        kernel.sample(state, call.pop("uniforms"), **call)
    assert state.step == 0


def test_symbols_outside_the_alphabet_and_odd_rows_are_refused():
    kernel, state = plain_kernel()
    with pytest.raises(ConfigError, match=r"0 \.\. 15"):
        kernel.read(state, np.array([[0], [16]]))
    one = kernel.initial_state(np.zeros((1, 24), np.float32))
    with pytest.raises(ConfigError, match="expected pairs"):
        kernel.sample(one, np.zeros((1, 1), np.float32), guidance=2.0)


def test_a_state_that_does_not_fit_is_refused():
    kernel, state = plain_kernel()
    start, symbols = np.zeros((2, 24), np.float32), np.zeros((2, 3), np.int64)
    with pytest.raises(ConfigError, match="no rows"):
        kernel.initial_state(start[:0])
    with pytest.raises(ConfigError, match="conditions holds"):
        kernel.initial_state(start, np.full((2, 3, 24), np.nan, np.float32))
    told = kernel.initial_state(start, np.zeros((2, 2, 24), np.float32))
    with pytest.raises(ConfigError, match=r"3 steps after 0; .* room for 2"):
        kernel.read(told, symbols)
    zeros = np.zeros((2, 1, 2, 5, 3), np.float32)
    cache = LayerCache(keys=zeros, values=zeros)
    with pytest.raises(ConfigError, match="1 memories of 5 steps; expected 0"):
        kernel.initial_state(start, None, [cache])
    state.keys[0] = state.keys[0][:, :, :1]
    with pytest.raises(ConfigError, match=r"state\.keys\[0\]"):
        kernel.read(state, symbols)
    _, state = plain_kernel()
    state.previous[0] = 16
    with pytest.raises(ConfigError, match=r"state\.previous"):
        kernel.read(state, symbols)


def test_weights_that_do_not_fit_are_refused():
    weights = kernel_weights(random_transformer(layers=("row",)))
    layer = weights.layers[0]

    def changed(**change):
        return dataclasses.replace(weights, **change)

    with pytest.raises(ConfigError, match="whole rows"):
        changed(block_length=7)
    with pytest.raises(ConfigError, match="0 layers"):
        changed(layers=())
    with pytest.raises(ConfigError, match="table holds"):
        changed(table=np.full_like(weights.table, np.nan))
    with pytest.raises(ConfigError, match=r"layers\[0\]\.pattern is 'diagonal'"):
        changed(layers=(dataclasses.replace(layer, pattern="diagonal"),))
    with pytest.raises(ConfigError, match="kept is 0"):
        changed(layers=(dataclasses.replace(layer, pattern="dense"),))
    with pytest.raises(ConfigError, match=r"enter_bias .* expected"):
        changed(layers=(dataclasses.replace(layer, enter_bias=np.zeros(3, np.float32)),))
    with pytest.raises(ConfigError, match="this processor has"):
        TransformerKernel(weights, path="neon")
    with pytest.raises(ConfigError, match="precision is 'bf16'"):
        TransformerKernel(weights, precision="bf16")
