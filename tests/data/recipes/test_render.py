import numpy as np
import pytest
import soundfile

from ritornello.data.recipes.midi import Performance
from ritornello.data.recipes.render import (
    CEILING,
    KNEE,
    PEDAL,
    PRESS,
    RELEASE,
    BlockConvolver,
    Room,
    actions,
    below_ceiling,
    draw_room,
    find_sound_font,
    impulse_response,
    render,
)
from ritornello.errors import ConfigError, MissingDependencyError

RATE = 22050
ROOM = Room(decay_s=0.4, wet_db=-18.0, brightness_db=0.0, seed=3)


def performance(onset, offset, pitch, velocity=80.0, pedal=()):
    return Performance(
        onset=np.array(onset, dtype=float),
        offset=np.array(offset, dtype=float),
        pitch=np.array(pitch),
        velocity=np.full(len(onset), float(velocity)),
        pedal=np.array(pedal, dtype=float).reshape(-1, 2),
    )


def test_actions_release_before_they_press():
    played = performance([0.0, 1.0], [1.0, 2.0], [60, 60], pedal=[(1.0, 127)])
    assert actions(played, 100) == [
        (0, PRESS, 60, 80),
        (100, RELEASE, 60, 0),
        (100, PEDAL, 64, 127),
        (100, PRESS, 60, 80),
        (200, RELEASE, 60, 0),
    ]


def test_a_block_convolver_is_a_convolution():
    draw = np.random.default_rng(0)
    wave = draw.standard_normal((2, 1000)).astype(np.float32)
    response = draw.standard_normal((2, 333)).astype(np.float32)
    convolve = BlockConvolver(response, 300)
    blocks = [convolve(wave[:, start : start + 300]) for start in range(0, 1000, 300)]
    whole = [np.convolve(wave[side], response[side])[:1000] for side in (0, 1)]
    assert np.concatenate(blocks, axis=1) == pytest.approx(np.array(whole), abs=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_rooms_are_stereo_decaying_and_led_by_the_direct_sound(seed):
    room = draw_room(np.random.default_rng(seed))
    response = impulse_response(room, RATE)
    assert np.abs(response).argmax(axis=1).tolist() == [0, 0]
    wet = response[:, int(0.008 * RATE) :]
    assert abs(np.corrcoef(wet)[0, 1]) < 0.2
    half = wet.shape[1] // 2
    assert (wet[:, :half] ** 2).sum() > 20 * (wet[:, half:] ** 2).sum()
    wet_db = 10 * np.log10((wet**2).sum(axis=1))
    assert wet_db == pytest.approx(room.wet_db, abs=2.5)


def test_brightness_tilts_the_spectrum():
    bright = impulse_response(Room(decay_s=0.4, wet_db=-60.0, brightness_db=2.0, seed=3), RATE)
    level_db = 20 * np.log10(np.abs(np.fft.rfft(bright[0], 1 << 15)))
    hertz = np.fft.rfftfreq(1 << 15, 1 / RATE)
    assert level_db[hertz > 9000].mean() == pytest.approx(2.0, abs=0.5)
    assert level_db[(hertz > 30) & (hertz < 100)].mean() == pytest.approx(-2.0, abs=0.5)
    assert level_db[np.argmin(np.abs(hertz - 1000))] == pytest.approx(0.0, abs=0.2)


def test_the_ceiling_leaves_soft_sound_alone_and_never_clips():
    wave = np.linspace(-4, 4, 4001, dtype=np.float32).reshape(1, -1).repeat(2, axis=0)
    bent = below_ceiling(wave)
    soft = np.abs(wave) <= KNEE
    assert np.array_equal(bent[soft], wave[soft])
    assert np.abs(bent).max() <= CEILING
    assert (np.diff(bent) >= 0).all()


def spectral_peak_hz(wave):
    return np.fft.rfftfreq(len(wave), 1 / RATE)[np.abs(np.fft.rfft(wave)).argmax()]


def test_notes_sound_at_their_time_and_pitch(tmp_path, sound_font):
    path = tmp_path / "a.flac"
    played = performance([0.5, 7.5], [1.0, 8.0], [69, 81])
    measured = render(played, path, sound_font=sound_font, rate_hz=RATE, room=ROOM)
    wave, rate = soundfile.read(path, always_2d=True)
    assert (rate, wave.shape[1]) == (RATE, 2)
    assert soundfile.info(path).subtype == "PCM_16"
    assert measured["seconds"] == pytest.approx(len(wave) / RATE, abs=1e-3)
    assert measured["peak"] == pytest.approx(np.abs(wave).max(), abs=1e-3)
    assert np.abs(wave[: int(0.49 * RATE)]).max() < 1e-4
    first, second = wave[int(0.5 * RATE) : int(1.0 * RATE)], wave[int(7.5 * RATE) : 8 * RATE]
    assert np.abs(first).max() > 0.01
    assert spectral_peak_hz(first[:, 0]) == pytest.approx(440, abs=5)
    assert spectral_peak_hz(second[:, 0]) == pytest.approx(880, abs=5)


def test_velocity_pedal_and_tuning_are_heard(tmp_path, sound_font):
    def sound(name, tuning_cents=0.0, **how):
        played = performance([0.1], [0.2], [69], **how)
        path = tmp_path / f"{name}.flac"
        render(
            played,
            path,
            sound_font=sound_font,
            rate_hz=RATE,
            room=ROOM,
            tuning_cents=tuning_cents,
        )
        return soundfile.read(path)[0][:, 0]

    soft, loud = sound("soft", velocity=30), sound("loud", velocity=110)
    pedalled = sound("pedalled", velocity=110, pedal=[(0.0, 127), (2.0, 0)])
    sharp = sound("sharp", velocity=110, pedal=[(0.0, 127), (2.0, 0)], tuning_cents=100.0)
    late = slice(int(0.8 * RATE), int(1.0 * RATE))
    assert np.abs(loud).max() > 2 * np.abs(soft).max()
    assert np.abs(pedalled[late]).max() > 20 * np.abs(loud[late]).max()
    assert spectral_peak_hz(sharp[: 2 * RATE]) == pytest.approx(440 * 2 ** (1 / 12), abs=2)


def test_stopping_ends_a_rendering(tmp_path, sound_font):
    played = performance([0.1], [60.0], [69])
    with pytest.raises(KeyboardInterrupt):
        render(
            played,
            tmp_path / "a.flac",
            sound_font=sound_font,
            rate_hz=RATE,
            room=ROOM,
            stopped=lambda: True,
        )


def test_what_is_no_sound_font_is_named(tmp_path, sound_font):
    with pytest.raises(ConfigError, match="not a file"):
        find_sound_font(tmp_path / "missing.sf2")
    assert find_sound_font(sound_font) == sound_font


def test_a_missing_sound_font_names_packages_and_flag(tmp_path, monkeypatch):
    monkeypatch.setattr("ritornello.data.recipes.render.SOUND_FONT_FOLDER", tmp_path)
    with pytest.raises(MissingDependencyError, match=r"apt install musescore.*--soundfont"):
        find_sound_font(None)
