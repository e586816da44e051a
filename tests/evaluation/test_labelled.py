"""The judge of labels: what it must hear, what it must not, and how it is told the truth."""

import numpy as np
import pytest
import soundfile

from ritornello.data.corpus import scan
from ritornello.errors import DataError
from ritornello.evaluation import labelled
from ritornello.evaluation.labelled import LabelledClips

NAMES = ("bach", "joplin", "sousa")
DIM = 6


def clips(strength, *, works=6, per_work=3, seed=0, prefix="w", flip=0):
    """Clips around one centre for each name, a little apart for each work."""
    draw = np.random.default_rng(seed)
    centres = strength * np.eye(len(NAMES), DIM)
    rows, labels, names = [], [], []
    for label in range(len(NAMES)):
        for work in range(works):
            own = centres[(label + flip) % len(NAMES)] + 0.3 * draw.standard_normal(DIM)
            for _ in range(per_work):
                rows.append(own + 0.3 * draw.standard_normal(DIM))
                labels.append(label)
                names.append(f"{prefix}-{label}-{work}")
    return LabelledClips(features=np.array(rows), labels=np.array(labels), works=tuple(names))


@pytest.fixture(scope="module")
def classifier():
    return labelled.fit(clips(4.0), 3, 0.01)


def test_names_that_differ_are_heard():
    found = labelled.evaluate(
        clips(4.0),
        clips(4.0, seed=1, prefix="held"),
        clips(4.0, seed=2, prefix="made", per_work=1),
        NAMES,
        np.random.default_rng(0),
    )
    for figure in ("held_out", "left_out", "adherence"):
        assert found[figure].value > 0.95
    assert found["chance"].value == pytest.approx(1 / 3)
    for null in ("held_out_null", "adherence_null"):
        assert found[null].low < 1 / 3 < found[null].high < found["held_out"].value


def test_music_that_ignores_what_was_asked_is_at_chance(classifier):
    free = clips(0.0, works=40, per_work=1, seed=2)
    found = labelled.recognised(free, classifier.heard(free.features), 3, np.random.default_rng(0))
    assert found.low < 1 / 3 < found.high
    assert found.high - found.low < 0.3


def test_music_that_always_sounds_like_somebody_else_scores_nothing(classifier):
    other = clips(4.0, seed=2, flip=1)
    heard = classifier.heard(other.features)
    assert labelled.balanced_accuracy(labelled.confusion(other.labels, heard, 3)) < 0.1


def test_a_constant_answer_is_chance_however_many_clips_a_name_has():
    asked = np.array([0] * 30 + [1] * 3 + [2] * 3)
    counts = labelled.confusion(asked, np.zeros(36, dtype=np.int64), 3)
    assert labelled.balanced_accuracy(counts) == pytest.approx(1 / 3)
    assert counts.sum() == 36
    assert counts[:, 0].tolist() == [30, 3, 3]


def test_rows_of_the_confusion_table_add_up():
    made = clips(4.0, per_work=2)
    heard = np.where(np.arange(len(made)) % 2, made.labels, 0)
    rows = labelled.table(made, heard, NAMES, np.random.default_rng(0))
    for row in rows.values():
        assert sum(cell.value for cell in row.values()) == pytest.approx(1)
    assert rows["sousa"]["sousa"].value == pytest.approx(0.5)
    assert rows["sousa"]["sousa"].items == 6


def test_no_classifier_hears_a_work_that_it_learnt_from():
    training = clips(4.0)
    fold = labelled.folds(training, np.random.default_rng(0))
    for work in set(training.works):
        own = fold[[name == work for name in training.works]]
        assert len(set(own.tolist())) == 1
    alone = clips(4.0, works=1)
    assert set(labelled.folds(alone, np.random.default_rng(0)).tolist()) == {-1}


def test_the_fit_is_the_minimum_of_its_loss():
    """Shifting the learnt weights anywhere makes the penalised surprise worse."""
    training, ridge = clips(1.0), 0.03
    found = labelled.fit(training, 3, ridge)
    features = (training.features - found.mean) / found.scale

    def loss(weights):
        logits = features @ weights + found.bias
        logits = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        surprise = -logits[np.arange(len(training)), training.labels].mean()
        return surprise + ridge / 2 * np.square(weights).sum()

    draw = np.random.default_rng(0)
    least = loss(found.weights)
    for _ in range(10):
        shift = 0.02 * draw.standard_normal(found.weights.shape)
        assert loss(found.weights + shift) > least


def test_refuses_what_proves_nothing():
    training = clips(1.0)
    draw = np.random.default_rng(0)
    with pytest.raises(DataError, match="different works"):
        labelled.evaluate(training, training, clips(1.0, prefix="m"), NAMES, draw)
    with pytest.raises(DataError, match="at least two"):
        labelled.validate(training, 1)
    with pytest.raises(DataError, match="two names"):
        labelled.validate(
            LabelledClips(
                features=training.features, labels=training.labels, works=("one",) * len(training)
            ),
            3,
        )
    with pytest.raises(DataError, match="no clip"):
        labelled.fit(training.part(training.labels < 2), 3, 0.1)


def test_clips_are_taken_from_all_recordings_of_a_name(tmp_path):
    folder = tmp_path / "music"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for index in range(8):
        name, split = ("bach", "joplin")[index % 2], ("train", "valid")[index // 4]
        soundfile.write(folder / f"{index}.wav", 0.1 * draw.standard_normal(8000), 8000)
        (folder / f"{index}.json").write_text(f'{{"composer": "{name}", "split": "{split}"}}')
    corpus = scan(folder, manifest=tmp_path / "manifest.jsonl", workers=1)
    assert labelled.names_to_judge(corpus, "composer", 0.4) == ["bach", "joplin"]
    assert labelled.names_to_judge(corpus, "composer", 2.0) == []
    found = labelled.clips_by_name(
        corpus.split("train"), "composer", ("bach", "joplin"), seconds=0.4, per_name=3
    )
    assert [label for _, label, _ in found] == [0, 0, 0, 1, 1, 1]
    assert len({work for _, _, work in found}) == 4
    assert {clip.seconds for clip, _, _ in found} == {0.4}
