"""How well a Jukebox sings: does its attention follow the words, and are they heard?

    python benchmarks/jukebox_songs.py MODEL --reference MANIFEST --out benchmarks/results

MANIFEST is that of songs with timed lyrics (`ritornello data make songs`, `data scan`); judged are
recordings of the split "valid". Prints tables, keeps the takes to be heard, writes
`jukebox_songs.json`; figures have a 95 % interval.

    alignment   onsets of syllables as the prior's attention has them, beside the linear heuristic;
                the head is chosen on some works and judged on the others
    words       forced alignment of the line that was to be sung, among lines with as many
                syllables: real singing, the same through the autoencoder, and what the model sings
                after a few seconds of another song

What is sung is a stretch of the held-out lyrics; who sings nothing identifies one line in ten.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from ritornello.audio.io import write_audio
from ritornello.data.corpus import Corpus, Recording
from ritornello.data.tokens import Places
from ritornello.errors import DataError
from ritornello.evaluation import speed, sung_words
from ritornello.evaluation.intervals import Estimate
from ritornello.interfaces import Audio, Request
from ritornello.jukebox import alignment
from ritornello.jukebox.generate import Jukebox, Options
from ritornello.jukebox.recordings import CodeCorpus, KnownMusic
from ritornello.jukebox.song_lyrics import SongLyrics, evenly, lyrics_of
from ritornello.loading import FoundModel, find

PARTS = ("alignment", "words")
LETTERS = 45
"""Least letters of a stretch of lyrics that is to be told from others."""

Figures = dict[str, Estimate]


# ------------------------------------------------------------------ alignment


def timed_songs(
    system: Jukebox, corpus: Corpus, codes: Path, model: FoundModel
) -> dict[str, list[alignment.TimedSong]]:
    """Held-out songs with known times, by work."""
    held_out = corpus.split("valid")
    music = CodeCorpus(held_out, system.config, model.folder, codes)
    music.fill(system.top)
    known, found = KnownMusic(held_out, system.config), {}
    for index, recording in enumerate(held_out):
        lyrics = known.lyrics[index]
        if lyrics is None or not lyrics.sung:
            continue
        song = alignment.TimedSong(
            codes=music.whole(recording, system.top),
            lyrics=evenly(lyrics.text, system.config.alphabet, recording.duration_s),
            told=known.conditions(at_its_start(index), music.frame_rate_hz),
            truth=lyrics.sung,
        )
        found.setdefault(recording.work, []).append(song)
    return found


def at_its_start(index: int) -> Places:
    """Of one recording of a corpus."""
    return Places(recordings=np.array([index]), starts=np.array([0]))


def judge_alignment(
    system: Jukebox, by_work: dict[str, list[alignment.TimedSong]], out: Path
) -> tuple[Figures, alignment.Head]:
    """Onset errors on half of the works by the head that is best on the others."""
    works = sorted(by_work)
    if len(works) < 2:
        raise DataError(f"got {len(works)} held-out works with timed lyrics; expected 2 or more")
    chosen_on = [song for work in works[::2] for song in by_work[work]]
    judged = [song for work in works[1::2] for song in by_work[work]]
    head = alignment.choose_head(system.prior, chosen_on)
    rate_hz = system.config.prior.frame_rate_hz
    found, heuristic = [], []
    for song in judged:
        seen = alignment.attention(system.prior, song.codes, song.lyrics, song.told, head.layer)
        found.append(alignment.aligned(seen[head.head], song.places, rate_hz))
        total_s = song.codes.shape[1] / rate_hz
        heuristic.append(alignment.linear(song.lyrics, song.places, total_s))
        if song is judged[0]:
            lines = {"sung": song.truth, "found": found[0], "linear": heuristic[0]}
            alignment.save_picture(seen[head.head], rate_hz, lines, out / "alignment.png")
    draw = np.random.default_rng(0)
    return alignment.evaluate([s.truth for s in judged], found, heuristic, draw), head


# ------------------------------------------------------------------ words


@dataclass(frozen=True, kw_only=True)
class Line:
    """A stretch of held-out lyrics, and where a recording sings it."""

    text: str
    recording: Recording
    start_s: float
    end_s: float


def lines_of(lyrics: SongLyrics, recording: Recording) -> list[Line]:
    """Whole words in a row, `LETTERS` letters or more, that the dictionary knows."""
    found: list[Line] = []
    first = 0
    for number, one in enumerate(lyrics.sung):
        begin = lyrics.sung[first].begin
        ends_word = one.end == len(lyrics.text) or not lyrics.text[one.end].isalpha()
        if one.end - begin < LETTERS or not ends_word:
            continue
        text = " ".join(lyrics.text[begin : one.end].split())
        starts_word = begin == 0 or not lyrics.text[begin - 1].isalpha()
        if starts_word and not sung_words.unknown_words(text):
            start_s = lyrics.sung[first].start_s
            found.append(Line(text=text, recording=recording, start_s=start_s, end_s=one.end_s))
        first = number + 1
    return found


def candidate_lines(corpus: Corpus, split: str, alphabet: str, genre: str) -> list[Line]:
    """Of all recordings of a genre in a split."""
    lines: list[Line] = []
    for recording in corpus.split(split):
        lyrics = lyrics_of(recording, alphabet)
        if lyrics is not None and recording.labels.get("genre") == genre:
            lines += lines_of(lyrics, recording)
    return lines


def excerpt(recording: Recording, start_s: float, end_s: float, rate: int) -> Audio:
    """A part of a recording, mono."""
    whole = recording.read(sample_rate=rate, channels=1)
    part = whole.samples[:, int(start_s * rate) : int(end_s * rate)]
    return Audio(samples=part, sample_rate=rate)


def sung_by_model(system: Jukebox, line: Line, primer: Line, seed: int, genre: str) -> Audio:
    """The line as the model sings it after `primer`, a few seconds of another held-out song."""
    rate = system.sample_rate
    heard = excerpt(primer.recording, primer.start_s, primer.end_s, rate)
    seconds = len(line.text) * (primer.end_s - primer.start_s) / len(primer.text)
    request = Request(
        seconds=seconds,
        seed=seed,
        prompt=heard,
        lyrics=f"{primer.text} {line.text}",
        labels={"genre": genre},
    )
    audio = system.generate(request, Options())
    new = audio.samples[:, -round(seconds * rate) :]
    return Audio(samples=new, sample_rate=rate)


def judge_words(
    system: Jukebox, corpus: Corpus, asked: argparse.Namespace, genre: str
) -> dict[str, Figures]:
    """Identification of lines: sung for real, through the autoencoder, by the model."""
    alphabet = system.config.alphabet
    lines = candidate_lines(corpus, "valid", alphabet, genre)
    texts = candidate_lines(corpus, "train", alphabet, genre)
    pool = sorted({line.text for line in (*lines, *texts)})
    draw = np.random.default_rng(asked.seed)
    judged: list[Line] = []
    for index in draw.permutation(len(lines)).tolist():
        try:
            sung_words.distractors(lines[index].text, pool, asked.others, draw)
        except DataError:
            continue
        judged.append(lines[index])
        if len(judged) == asked.takes:
            break
    rate = system.sample_rate
    real = [excerpt(line.recording, line.start_s, line.end_s, rate) for line in judged]
    through = [system.codec_at(system.top)]
    decoded = [reconstructed(through[0], audio) for audio in real]
    made = []
    for number, line in enumerate(judged):
        others = [one for one in judged if one.recording.work != line.recording.work]
        primer = others[number % len(others)]
        made.append(sung_by_model(system, line, primer, asked.seed + number, genre))
        write_audio(asked.out / f"sung-{genre}-{number}.wav", made[-1])
        (asked.out / f"sung-{genre}-{number}.txt").write_text(line.text + "\n", encoding="utf-8")
    words = [line.text for line in judged]
    return {
        name: sung_words.judge(audios, words, pool, np.random.default_rng(0), asked.others)
        for name, audios in (("real", real), ("through the codec", decoded), ("model", made))
    }


@torch.inference_mode()
def reconstructed(codec: Any, audio: Audio) -> Audio:
    """What the topmost autoencoder leaves of it."""
    wave = torch.from_numpy(audio.samples)[None]
    samples = codec.decode(codec.encode(wave), audio.samples.shape[1])[0].numpy()
    return Audio(samples=samples.clip(-1, 1), sample_rate=audio.sample_rate)


# ------------------------------------------------------------------ the call


def table(title: str, columns: Sequence[str], rows: dict[str, Figures]) -> Table:
    """Rows of figures."""
    shown = Table("", *columns, title=title)
    for name, figures in rows.items():
        shown.add_row(name, *(str_of(figures[column]) for column in columns))
    return shown


def str_of(figure: Estimate) -> str:
    """Value and interval."""
    if figure.low is None or figure.high is None:
        return f"{figure.value:.2f}"
    return f"{figure.value:.2f} [{figure.low:.2f}, {figure.high:.2f}]"


def options_of_call() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", help="shipped name, model folder or run folder")
    parser.add_argument("--reference", type=Path, required=True, help="manifest with splits")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--genres", nargs="+", help="of the lines to sing (all there are)")
    parser.add_argument("--takes", type=int, default=30, help="lines of every genre")
    parser.add_argument("--others", type=int, default=9, help="lines to be told from")
    parser.add_argument("--cache", type=Path, help="of codes, e.g. that of the training run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    return parser.parse_args()


def main() -> None:
    """Judge the model, print the tables, write JSON."""
    asked = options_of_call()
    torch.set_num_threads(asked.threads)
    model = find(asked.model)
    system = model.load()
    if not isinstance(system, Jukebox):
        raise SystemExit(f"{asked.model} is a {system.name} model; expected jukebox")
    asked.out.mkdir(parents=True, exist_ok=True)
    corpus, console = Corpus.load(asked.reference), Console(width=112)
    report: dict[str, Any] = {}
    if "alignment" in asked.parts:
        songs = timed_songs(system, corpus, asked.cache or asked.out / "codes", model)
        figures, head = judge_alignment(system, songs, asked.out)
        console.print(
            table(f"onsets, layer {head.layer} head {head.head}", [*figures], {"": figures})
        )
        report["alignment"] = {"layer": head.layer, "head": head.head} | plain(figures)
    if "words" in asked.parts:
        known = {one.labels.get("genre", "") for one in corpus.split("valid")}
        genres = sorted(known & set(asked.genres) if asked.genres else known)
        for genre in genres:
            rows = judge_words(system, corpus, asked, genre)
            console.print(table(genre, [*rows["real"]], rows))
            report[f"words, {genre}"] = {name: plain(row) for name, row in rows.items()}
    about = {
        "model": str(asked.model),
        "weights_sha256": model.weights_sha256,
        "machine": speed.machine(),
    }
    text = json.dumps(about | report, indent=1, default=str)
    (asked.out / "jukebox_songs.json").write_text(text + "\n", encoding="utf-8")


def plain(figures: Figures) -> dict[str, Any]:
    """As JSON values."""
    return {name: figure.to_dict() for name, figure in figures.items()}


if __name__ == "__main__":
    main()
