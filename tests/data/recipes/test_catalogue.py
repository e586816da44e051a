import pytest

from ritornello.data.recipes.catalogue import (
    Entry,
    catalogue,
    composer_buckets,
    slug,
    work_key,
)
from ritornello.errors import DataError


@pytest.mark.parametrize(
    ("composer", "performance", "score", "key"),
    [
        ("Beethoven", "Beethoven-Piano-Sonata-No-3-Op-2-No-3-midi", "BeethovenLv/O2", "op2"),
        ("Bach", "Bach-Prelude-and-Fugue-in-A-flat-major-BWV862", "BachJS/BWV862", "bwv862"),
        ("Mozart", "Sonata K. 331, mov 2", "MozartWA/KV331", "k331"),
        ("Schubert", "Schubert-Impromptus-D899-no-4", "SchubertF/D899", "d899"),
        ("Haydn", "Haydn-Keyboard-Sonata-Hob-XVI-20-mov-1", "HaydnFJ/HOB-XVI-20", "hobxvi-20"),
        ("Chopin", "Chopin, Études, Op.10", "ChopinFF/O10", "op10"),
        ("Czerny", "Opus 821 no 3", "CzernyC/Op-821", "op821"),
        ("Debussy", "Debussy-Suite-bergamasque-no-3", "DebussyC/L75", "l75"),
    ],
)
def test_performance_and_score_of_a_work_share_its_key(composer, performance, score, key):
    assert work_key(composer, [performance]) == f"{slug(composer)}-{key}"
    assert work_key(composer, [score]) == f"{slug(composer)}-{key}"


def test_movements_without_a_catalogue_number_stay_together():
    first, second = "Debussy-Images-no-1", "Debussy-Images-no-2"
    assert work_key("Debussy", [first]) == work_key("Debussy", [second]) == "debussy-images"


def test_words_that_only_look_like_catalogues_are_no_numbers():
    assert work_key("Joplin", ["Solace 1909"]) == "joplin-solace-1909"
    assert work_key("Sousa", ["The Liberty Bell"]) == "sousa-the-liberty-bell"


def test_slugs_are_safe_file_names():
    assert slug("Frédéric “Chopin”: Étude / Op. 10") == "frederic-chopin-etude-op-10"
    assert slug("???") == "unnamed"


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def test_an_index_is_believed(tmp_path):
    touch(tmp_path / "x" / "1.mid")
    (tmp_path / "index.csv").write_text(
        "file,composer,work,title,seconds,notes,licence\n"
        "x/1.mid,Satie,SatieE/gymnopedie-1,Gymnopédie 1,180,300,public domain\n",
        encoding="utf-8",
    )
    (entry,) = catalogue(tmp_path)
    assert (entry.composer, entry.title, entry.licence) == (
        "Satie",
        "Gymnopédie 1",
        "public domain",
    )
    assert entry.work == "satie-satiee-gymnopedie-1"


def test_an_index_in_the_manner_of_maestro_is_believed(tmp_path):
    touch(tmp_path / "2004" / "a.midi")
    (tmp_path / "maestro-v3.0.0.csv").write_text(
        "canonical_composer,canonical_title,split,year,midi_filename\n"
        "Franz Schubert,Impromptu Op. 90 No. 4,train,2004,2004/a.midi\n",
        encoding="utf-8",
    )
    (entry,) = catalogue(tmp_path)
    assert (entry.composer, entry.work) == ("Franz Schubert", "franz-schubert-op90")


def test_without_an_index_names_come_from_the_path(tmp_path):
    for name in ("Satie/trois.mid", "Grieg - Wedding Day.mid", "take 7.MID"):
        touch(tmp_path / name)
    found = {entry.title: entry.composer for entry in catalogue(tmp_path)}
    assert found == {"trois": "Satie", "Grieg - Wedding Day": "Grieg", "take 7": "unknown"}


def test_a_folder_without_midi_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="--midi"):
        catalogue(tmp_path)
    with pytest.raises(DataError, match="not a folder"):
        catalogue(tmp_path / "missing")


def test_a_bucket_needs_hours_in_several_works(tmp_path):
    def entry(composer, work):
        path = tmp_path / composer / work
        return Entry(
            path=path,
            relative=str(path),
            composer=composer,
            work=work,
            title=work,
            source="s",
            licence="l",
        )

    entries = [entry("Bach", "1"), entry("Bach", "2"), entry("Long", "1"), entry("Short", "1")]
    entries += [entry("Short", "2"), entry("unknown", "1"), entry("unknown", "2")]
    seconds = {item.path: 60.0 if item.composer == "Short" else 700.0 for item in entries}
    assert composer_buckets(entries, seconds) == {
        "Bach": "bach",
        "Long": "other",
        "Short": "other",
        "unknown": "other",
    }
