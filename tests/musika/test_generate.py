"""A piece is one piece: streamed, sought, cut anywhere, made in parallel or coming back by name."""

import gc
import itertools
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch

from ritornello.checkpoint import write_checksums, write_config
from ritornello.config import to_dict
from ritornello.errors import CapabilityError, CheckpointError, ConfigError
from ritornello.interfaces import Audio, Request, Section
from ritornello.musika.codec import MusikaCodec
from ritornello.musika.controls import ControlScale
from ritornello.musika.coordinates import Route, chunk_coordinates, chunk_noise
from ritornello.musika.form import parse_form
from ritornello.musika.generate import Musika, Options, build_generator, soften_joints
from ritornello.musika.model import Generator, LayerNoise, initialise
from ritornello.musika.presets import nano, paper, release

SCALES = {
    "density": ControlScale(low=0.5, high=9.0),
    "loudness": ControlScale(low=-40.0, high=-12.0),
}


def musika(**gan):
    """A nano model with drawn weights, its noise switched on."""
    config = replace(nano(), gan=replace(nano().gan, **gan))
    init = torch.Generator().manual_seed(0)
    codec = MusikaCodec.untrained(config)
    for level in (codec.level1, codec.level2):
        initialise(level, init)
    # Magnitudes within a few decibels of each other, as in music that is neither silent nor loud.
    codec.level1["decoder"].magnitude.weight.data.mul_(0.1)
    generator = Generator(config.generator)
    initialise(generator, init)
    for module in generator.modules():
        if isinstance(module, LayerNoise):
            module.scale.data.fill_(0.3)
    return Musika(config, codec, generator, SCALES)


@pytest.fixture(scope="module")
def system():
    return musika()


@pytest.fixture(scope="module")
def chunk_s(system):
    return system.config.chunk_s


def joined(blocks):
    return np.concatenate([block.samples for block in blocks], axis=1)


def difference_db(a, b):
    return 10 * np.log10(np.mean((a - b) ** 2) / np.mean(a**2) + 1e-30)


# ---- one piece, whatever way it is made


def test_a_piece_has_exactly_the_length_asked_for(system):
    for seconds in (0.0001, 0.5, 1.2345, 2.0):
        audio = system.generate(Request(seconds=seconds, seed=1))
        assert audio.samples.shape == (2, max(1, round(seconds * 22050)))
        assert audio.samples.dtype == np.float32


def test_the_same_seed_is_the_same_music_and_another_is_not(system):
    first, again, other = (system.generate(Request(seconds=1.0, seed=s)) for s in (4, 4, 5))
    assert np.array_equal(first.samples, again.samples)
    assert difference_db(first.samples, other.samples) > -20


def test_a_stream_has_the_bits_of_every_slice(system, chunk_s):
    request = Request(seconds=5.3 * chunk_s, seed=2)
    piece = system.piece(request)
    whole = joined(system.stream(request))
    assert whole.shape[1] == round(5.3 * chunk_s * 22050)
    for begin, end in ((0.0, 5.3), (0.3, 0.4), (1.9, 4.1), (2.0, 3.0), (5.0, 5.3)):
        part = piece[begin * chunk_s : end * chunk_s].samples
        first, last = round(begin * chunk_s * 22050), round(end * chunk_s * 22050)
        assert np.array_equal(part, whole[:, first:last])


def test_seeking_enters_the_same_piece(system, chunk_s):
    request = Request(seconds=6 * chunk_s, seed=2)
    whole = joined(system.stream(request))
    sought = joined(system.stream(request, Options(seek_s=3.4 * chunk_s)))
    assert np.array_equal(sought, whole[:, round(3.4 * chunk_s * 22050) :])


def test_a_longer_request_begins_like_a_shorter_one(system, chunk_s):
    short, long = (joined(system.stream(Request(seconds=n * chunk_s, seed=2))) for n in (2.5, 5.0))
    assert np.array_equal(short, long[:, : short.shape[1]])


def test_parallel_has_the_bits_of_the_stream(system, chunk_s):
    request = Request(seconds=5.5 * chunk_s, seed=3)
    streamed = joined(system.stream(request))
    assert np.array_equal(system.generate(request).samples, streamed)
    piece = system.piece(request)
    start, stop = 100, round(3.3 * piece.chunk_samples)
    for workers in (1, 3):
        made = piece.parallel(start, stop, workers)
        assert np.array_equal(made.numpy(), streamed[:, start:stop])


def test_parallel_agrees_with_streaming_in_float64(chunk_s):
    system = musika()
    system.generator.double()
    system.codec.to(torch.float64)
    piece = system.piece(Request(seconds=3 * chunk_s, seed=3))
    streamed = torch.cat(list(piece.stream(0, piece.time)), dim=-1)
    assert streamed.dtype == torch.float64
    assert float((piece.parallel(0, piece.time) - streamed).abs().max()) <= 1e-10


def test_only_the_first_chunk_and_its_context_come_before_the_first_sound(system):
    made = []

    class Counted(type(system.generator)):
        def forward(self, coordinates, noise=None):
            made.append(coordinates.shape[0])
            return super().forward(coordinates, noise)

    counted = Counted(system.generator.config)
    counted.load_state_dict(system.generator.state_dict())
    piece = replace(system.piece(Request(seed=1)), generator=counted)
    blocks = piece.stream(0, None)
    next(blocks)
    assert made == [1, 1, 1]
    next(blocks)
    assert made == [1, 1, 1, 1]


def test_an_endless_stream_does_not_grow(system):
    blocks = system.stream(Request(seed=1))

    def after(count):
        for _ in itertools.islice(blocks, count):
            pass
        gc.collect()
        tensors = sum(issubclass(type(one), torch.Tensor) for one in gc.get_objects())
        return tensors, tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        tensors, memory = after(2)
        more_tensors, more_memory = after(6)
    finally:
        tracemalloc.stop()
    assert more_tensors <= tensors
    assert more_memory - memory < 50_000


# ---- form


def test_a_returning_section_is_the_same_music(system, chunk_s):
    length = 6 * chunk_s
    request = Request(form=tuple(Section(letter=x, seconds=length) for x in "ABAA"), seed=5)
    piece = system.piece(request)
    for k in range(5):
        assert torch.equal(piece.latents(k), piece.latents(12 + k))
        assert torch.equal(piece.latents(k), piece.latents(18 + k))
        assert not torch.allclose(piece.latents(k), piece.latents(6 + k), atol=1e-3)
    inner = slice(1.0 * chunk_s, 4.0 * chunk_s)
    first = piece[inner].samples
    returned = piece[inner.start + 2 * length : inner.stop + 2 * length].samples
    other = piece[inner.start + length : inner.stop + length].samples
    samples = min(first.shape[1], returned.shape[1])
    assert difference_db(first[:, :samples], returned[:, :samples]) < -60
    assert difference_db(first[:, :samples], other[:, :samples]) > -20


def test_a_form_gives_the_length_and_is_told_as_rounded(system, chunk_s):
    request = Request(form=parse_form(f"A:{4.2 * chunk_s:.4f},B:{1.9 * chunk_s:.4f}"), seed=5)
    audio = system.generate(request)
    assert audio.duration_s == pytest.approx(6 * chunk_s, abs=1e-4)
    assert [row[0] for row in audio.meta["form"]] == ["A", "B"]
    assert audio.meta["form"][1][1:] == pytest.approx((4 * chunk_s, 6 * chunk_s))
    assert joined(system.stream(request)).shape == audio.samples.shape


# ---- morphs and controls


def test_a_morph_begins_as_the_piece_and_leaves_it(system, chunk_s):
    request = Request(seconds=8 * chunk_s, seed=1)
    own, travelling = system.piece(request), system.piece(request, Options(to_seed=7))
    distances = [float((own.latents(k) - travelling.latents(k)).std()) for k in (0, 7)]
    assert distances[0] < distances[1]
    with pytest.raises(ConfigError, match="length of the piece"):
        system.piece(Request(seed=1), Options(to_seed=7))


def test_controls_reach_the_chunk_they_are_meant_for(system, chunk_s):
    free = system.piece(Request(seed=1))
    curve = ((3.0 * chunk_s, 0.2), (3.0001 * chunk_s, 0.9))
    held = system.piece(Request(seed=1, controls={"density": ((0.0, 0.2),)}))
    bent = system.piece(Request(seed=1, controls={"density": curve}))
    assert torch.equal(held.latents(1), bent.latents(1))
    assert not torch.equal(held.latents(1), free.latents(1))
    assert not torch.equal(held.latents(4), bent.latents(4))


def test_a_piece_that_asks_for_nothing_is_typical(system):
    typical = ((0.1, 0.9), (0.9, 0.1))
    like = Musika(system.config, system.codec, system.generator, SCALES, typical)
    asked = like.piece(Request(seed=3)).controls
    assert asked in [{"density": ((0.0, a),), "loudness": ((0.0, b),)} for a, b in typical]
    assert like.piece(Request(seed=3)).controls == asked
    assert len({str(like.piece(Request(seed=seed)).controls) for seed in range(12)}) == 2
    loud = {"loudness": ((0.0, 0.7),)}
    assert like.piece(Request(controls=loud)).controls == loud
    assert system.piece(Request(seed=3)).controls == {}


def test_controls_are_checked(system):
    with pytest.raises(ConfigError, match="did you mean 'density'"):
        system.piece(Request(controls={"densty": ((0.0, 0.5),)}))
    with pytest.raises(CapabilityError, match="without controls"):
        musika(controls=()).piece(Request(controls={"density": ((0.0, 0.5),)}))


# ---- what else a system does


def test_what_musika_cannot_do_is_refused(system):
    with pytest.raises(CapabilityError, match="cannot do labels, lyrics; it can do"):
        system.generate(Request(labels={"composer": "bach"}, lyrics="la"))


def test_places_outside_the_piece_are_refused(system):
    piece = system.piece(Request(seed=1))
    with pytest.raises(ConfigError, match="0 <= t0 < t1"):
        piece[2.0:1.0]
    with pytest.raises(ConfigError, match=r"piece\[t0:t1\] in seconds"):
        piece[1.0:]
    with pytest.raises(ConfigError, match="less than the piece's 1 s"):
        system.generate(Request(seconds=1.0), Options(seek_s=1.0))
    with pytest.raises(ConfigError, match="to_seed is -1"):
        Options(to_seed=-1)


def test_reconstruction_keeps_the_length_at_the_codecs_rate(system):
    samples = 0.1 * np.random.default_rng(0).standard_normal((1, 8000)).astype(np.float32)
    audio = system.reconstruct(Audio(samples=samples, sample_rate=16000))
    assert audio.samples.shape == (2, 11025)
    assert audio.sample_rate == 22050


# ---- saving and loading


def test_a_saved_model_plays_as_it_did_before_saving_twice(system, tmp_path):
    """Half precision rounds once: what has been loaded is what is saved and loaded again."""
    system.save(tmp_path / "first")
    once = Musika.load(tmp_path / "first")
    once.save(tmp_path / "second")
    twice = Musika.load(tmp_path / "second")
    request = Request(seconds=1.0, seed=9)
    assert np.array_equal(once.generate(request).samples, twice.generate(request).samples)
    assert once.config == system.config
    assert once.control_scales == SCALES
    assert next(once.generator.parameters()).dtype == torch.float32
    close = once.piece(request).latents(0) - system.piece(request).latents(0)
    assert float(close.abs().max()) < 0.05


def test_a_folder_of_something_else_is_refused(system, tmp_path):
    write_config(tmp_path / "other", "jukebox", {})
    with pytest.raises(CheckpointError, match="is a model of jukebox; expected one of musika"):
        Musika.load(tmp_path / "other")


def test_typical_controls_survive_saving_and_must_fit(system, tmp_path):
    typical = ((0.1, None), (0.9, 0.25))
    Musika(system.config, system.codec, system.generator, SCALES, typical).save(tmp_path / "m")
    assert Musika.load(tmp_path / "m").typical == typical
    narrow = Musika(system.config, system.codec, system.generator, SCALES, ((0.5,),))
    narrow.save(tmp_path / "n")
    with pytest.raises(CheckpointError, match="do not have 2 values a row"):
        Musika.load(tmp_path / "n")


def test_scales_that_do_not_fit_the_controls_are_refused(system, tmp_path):
    system.save(tmp_path / "model")
    config = replace(system.config, gan=replace(system.config.gan, controls=("density", "tempo")))
    write_config(tmp_path / "model", "musika", to_dict(config))
    write_checksums(tmp_path / "model")
    with pytest.raises(CheckpointError, match=r"\['density', 'loudness'\].*\['density', 'tempo'\]"):
        Musika.load(tmp_path / "model")


@pytest.mark.parametrize("preset", [paper, release])
def test_the_published_generators_play_by_the_same_law(preset):
    """Their chunks, three or two to an anchor, come from the same addressable coordinates."""
    config = replace(preset(), gan=replace(preset().gan, base_channels=4))
    generator = build_generator(config)
    initialise(generator, torch.Generator().manual_seed(0))
    route = Route(seed=1)
    coordinates = chunk_coordinates(route, 5, config.gan).float()
    noise = [x.float() for x in chunk_noise(route, 5, generator.noise_shapes(1))]
    with torch.inference_mode():
        latents = generator(coordinates, noise)
    assert latents.shape == (1, config.latent_dim, config.gan.chunk_frames)
    assert torch.isfinite(latents).all()


def test_joints_are_softened_and_nothing_else():
    draw = torch.Generator().manual_seed(5)
    track = torch.randn(1, 3, 48, generator=draw, dtype=torch.float64)
    soft = soften_joints(track, 16)
    touched = (soft != track).any(1)[0].nonzero().flatten().tolist()
    assert touched == [14, 15, 16, 17, 30, 31, 32, 33]
    step = (track[..., 16] - track[..., 15]).abs().mean()
    assert (soft[..., 16] - soft[..., 15]).abs().mean() < step / 2
    line = torch.arange(48.0, dtype=torch.float64).expand(1, 3, 48)
    assert torch.allclose(soften_joints(line, 16), line)
