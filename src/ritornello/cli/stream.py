"""`ritornello stream`: music without end, to the speakers, a pipe or a file."""

import contextlib
import queue
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ritornello.cli.console import VerbParser, emit, guarded, output_path
from ritornello.cli.generate import SUFFIXES, faded, with_progress, write_blocks
from ritornello.cli.playing import Order, add_model, add_request, load, order
from ritornello.errors import AudioError, ConfigError, MissingDependencyError

if TYPE_CHECKING:
    from ritornello.interfaces import Audio, System

UNKNOWN_SIZE = 0xFFFFFFFF
BLOCKS_AHEAD = 2


def run(argv: list[str]) -> int:
    """Stream until the length asked for, until Ctrl-C, or until the reader has gone."""
    options = build_parser().parse(argv)
    if options.to != "-":
        return _stream(options, None)
    pipe = sys.stdout.buffer
    with contextlib.redirect_stdout(sys.stderr):  # the pipe carries sound and nothing else
        return guarded(lambda: _stream(options, pipe), as_json=options.json)


def build_parser() -> VerbParser:
    """The flags of the verb."""
    parser = VerbParser(
        "stream",
        "Play without end: to the speakers, to a pipe (-) as 16-bit WAV or raw samples, or to a\n"
        "file. Ctrl-C ends the music and leaves a whole file. With sound on stdout, the result\n"
        "goes to stderr.",
        [
            "ritornello stream",
            "ritornello stream piano --seed 5 --seek 3600 --seconds 60 --to hour.wav",
            "ritornello stream ada-piano --continue beginning.wav --to rest.wav --seconds 60",
            "ritornello stream piano --to - | aplay",
            "ritornello stream piano --to - --raw | ffplay -f s16le -ar 44100 -ch_layout stereo -",
        ],
    )
    add_model(parser)
    add = parser.add_argument
    add("--to", default="speakers", metavar="WHERE", help="speakers, - or a file (speakers)")
    add("--raw", action="store_true", help="with --to -: samples without a WAV header")
    add("--seconds", type=float, help="how much to play (endless, or the length of the form)")
    add("--seek", type=float, default=0.0, metavar="T", help="begin T seconds into the piece (0)")
    add_request(parser)
    return parser


def _stream(options: Any, pipe: IO[bytes] | None) -> int:
    if options.raw and pipe is None:
        raise ConfigError("--raw is for pipes: give --to - too, or leave it out")
    if options.to == "speakers":
        _sounddevice()
    end_s = None if options.seconds is None else options.seek + options.seconds
    ordered = order(options, end_s, seek_s=options.seek or None)
    if options.to not in ("speakers", "-"):
        output_path(Path(options.to), SUFFIXES, never=tuple(ordered.inputs.values()))
    system, load_s = load(ordered.model, options.threads)
    sink = {"speakers": to_speakers, "-": to_pipe}.get(options.to, to_file)
    start = time.perf_counter()
    player = Player(system, ordered, options.seconds)
    with stop_on_signals(player.stop):
        facts = sink(player, pipe if pipe is not None else Path(options.to), options.raw)
    result = {
        "model": ordered.model.name,
        "to": options.to,
        "seed": ordered.request.seed,
        "seek_s": options.seek,
        "seconds": player.played_s,
        "sample_rate": system.sample_rate,
        "channels": system.channels,
        "load_s": round(load_s, 3),
        "first_sound_s": round(player.first_sound_s, 3),
        "elapsed_s": round(time.perf_counter() - start, 3),
        **facts,
    }
    text = f"{options.to}: {player.played_s:.1f} s, seed {ordered.request.seed}"
    emit(result, as_json=options.json, text=[text])
    return 0


class Player:
    """The blocks of one stream, until it ends or is stopped, and how much of it was played."""

    def __init__(self, system: "System", ordered: Order, seconds: float | None) -> None:
        """Prepare to play `ordered`; `seconds` is for the progress line only."""
        self.system = system
        self.ordered = ordered
        self.seconds = seconds
        self.played_s = 0.0
        self.first_sound_s = 0.0
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End the stream after the block that is being played."""
        self._stopped.set()

    def blocks(self) -> Iterator["Audio"]:
        """The stream's blocks, faded where they begin and end."""
        start = time.perf_counter()
        for block in with_progress(faded(self._until_stopped()), "playing", self.seconds):
            if not self.played_s:
                self.first_sound_s = time.perf_counter() - start
            yield block
            self.played_s += block.duration_s

    def _until_stopped(self) -> Iterator["Audio"]:
        """At least one block, so that something whole remains however early the stop comes."""
        for block in self.system.stream(self.ordered.request, self.ordered.options):
            yield block
            if self._stopped.is_set():
                return


@contextlib.contextmanager
def stop_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Within the block, the first Ctrl-C or SIGTERM calls `stop`; a second one breaks off."""

    def handle(number: int, frame: Any) -> None:
        stop()
        signal.signal(number, before[number])

    before: dict[int, Any] = {
        number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)
    }
    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def to_file(player: Player, path: Path, raw: bool) -> dict[str, Any]:
    """Write the stream to a WAV or FLAC file with its provenance."""
    report, _ = write_blocks(player.system, player.ordered, path, player.blocks())
    return {"gain_db": report.gain_db, "clipped": report.clipped}


def to_pipe(player: Player, pipe: IO[bytes], raw: bool) -> dict[str, Any]:
    """Write the stream as 16-bit PCM until it ends or the reader goes away."""
    from ritornello.audio.containers import quantise
    from ritornello.audio.io import STREAM_GAIN_DB
    from ritornello.audio.loudness import from_db

    system = player.system
    with contextlib.suppress(BrokenPipeError):
        if not raw:
            pipe.write(wav_header(system.sample_rate, system.channels))
        for block in player.blocks():
            samples = block.samples.T * from_db(STREAM_GAIN_DB)
            pipe.write(quantise(samples, "PCM_16").astype("<i2").tobytes())
            pipe.flush()
    return {"gain_db": STREAM_GAIN_DB}


def to_speakers(player: Player, _: Path, raw: bool) -> dict[str, Any]:
    """Play the stream on the default sound device, computing ahead of what is heard."""
    from ritornello.audio.io import STREAM_GAIN_DB
    from ritornello.audio.loudness import from_db

    sounddevice = _sounddevice()
    system = player.system
    try:
        with sounddevice.OutputStream(
            samplerate=system.sample_rate, channels=system.channels, dtype="float32"
        ) as speakers:
            for block in ahead(player.blocks(), BLOCKS_AHEAD):
                speakers.write((block.samples.T * from_db(STREAM_GAIN_DB)).astype("float32"))
    except sounddevice.PortAudioError as error:
        raise AudioError(
            f"cannot play on the speakers: {error}; try --to FILE or --to -"
        ) from error
    return {"gain_db": STREAM_GAIN_DB}


def _sounddevice() -> Any:
    """The sounddevice module, or what to install."""
    try:
        import sounddevice  # type: ignore[import-not-found]
    except ImportError as error:
        raise MissingDependencyError(
            "playing on the speakers", "sounddevice", 'pip install "ritornello[live]"'
        ) from error
    except OSError as error:
        raise MissingDependencyError(
            "playing on the speakers", "PortAudio", "sudo apt install libportaudio2"
        ) from error
    return sounddevice


def wav_header(sample_rate: int, channels: int) -> bytes:
    """The header of a 16-bit WAV whose length is not known yet, as players of pipes accept it."""
    block_bytes = 2 * channels
    form = struct.pack(
        "<HHIIHH", 1, channels, sample_rate, sample_rate * block_bytes, block_bytes, 16
    )
    return (
        b"RIFF" + struct.pack("<I", UNKNOWN_SIZE) + b"WAVE"
        b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", UNKNOWN_SIZE)
    )


def ahead(blocks: Iterator["Audio"], count: int) -> Iterator["Audio"]:
    """The same blocks, up to `count` of them made in advance by another thread."""
    made: queue.Queue[Any] = queue.Queue(maxsize=count)
    abandoned = threading.Event()

    def offer(item: Any) -> bool:
        while not abandoned.is_set():
            with contextlib.suppress(queue.Full):
                made.put(item, timeout=0.1)
                return True
        return False

    def make() -> None:
        try:
            for block in blocks:
                if not offer(block):
                    return
            offer(None)
        except Exception as error:  # handed to the consumer, who raises it
            offer(error)

    maker = threading.Thread(target=make, daemon=True)
    maker.start()
    try:
        while (item := made.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        abandoned.set()
        maker.join()
