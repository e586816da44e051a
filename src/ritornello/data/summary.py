"""What a dataset holds, in numbers a person can judge it by."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from ritornello.data.corpus import Corpus
from ritornello.data.recordings import Recording, listed
from ritornello.data.splits import SPLITS


def summary(corpus: Corpus) -> dict[str, Any]:
    """Counts, hours and shares of `corpus`, as plain values for JSON.

    `silence` and `clipping` are shares of the whole, weighted by duration; `labelled` are files by
    label, `labels` hours by label and value, of keywords by each; `lyrics` are files that have
    them, and those that have their times; `duplicates` counts recordings whose audio another one
    has too.
    """
    recordings = corpus.recordings
    seconds = sum(recording.duration_s for recording in recordings)
    lengths = [recording.duration_s for recording in recordings]

    def weighted(value: Callable[[Recording], float]) -> float:
        total = sum(value(recording) * recording.duration_s for recording in recordings)
        return total / seconds if seconds else 0.0

    return {
        "files": len(recordings),
        "hours": round(corpus.hours, 6),
        "shortest_s": round(min(lengths, default=0.0), 3),
        "longest_s": round(max(lengths, default=0.0), 3),
        "works": len({recording.work for recording in recordings}),
        "duplicates": len(recordings) - len({recording.audio_sha256 for recording in recordings}),
        "sample_rates": _tally(corpus, lambda r: str(r.measured.sample_rate)),
        "channels": _tally(corpus, lambda r: str(r.measured.channels)),
        "silence": round(weighted(lambda r: r.measured.silence), 4),
        "clipping": round(weighted(lambda r: r.measured.clipping), 6),
        "clipped_files": sum(recording.measured.clipping > 0 for recording in recordings),
        "splits": {
            name: {"files": len(corpus.split(name)), "hours": round(corpus.split(name).hours, 6)}
            for name in SPLITS
        },
        "licences": _tally(corpus, lambda r: r.licence or "unknown"),
        "labelled": {
            label: sum(label in recording.labels for recording in recordings)
            for label in sorted({label for recording in recordings for label in recording.labels})
        },
        "labels": _label_hours(corpus),
        "lyrics": {
            "files": sum(recording.lyrics is not None for recording in recordings),
            "timed": sum(isinstance(recording.lyrics, Mapping) for recording in recordings),
        },
        "skipped": [{"id": skipped.id, "reason": skipped.reason} for skipped in corpus.skipped],
    }


def _tally(corpus: Corpus, value: Callable[[Recording], str]) -> dict[str, int]:
    """Files by value, most frequent first."""
    counts: dict[str, int] = defaultdict(int)
    for recording in corpus:
        counts[value(recording)] += 1
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _label_hours(corpus: Corpus) -> dict[str, dict[str, float]]:
    """Hours by label and value, longest first."""
    hours: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for recording in corpus:
        for label, text in recording.labels.items():
            for value in listed(text) if label == "keywords" else [text]:
                hours[label][value] += recording.duration_s / 3600
    return {
        label: {value: round(h, 6) for value, h in sorted(of.items(), key=lambda pair: -pair[1])}
        for label, of in sorted(hours.items())
    }
