"""Songs whose words and tunes are in the public domain everywhere, written down for the recipe.

Music: letters are keys of the octave from middle C, `'` and `,` an octave up and down, `#` and `b`
accidentals; a figure is the note's part of a whole note and holds until the next one, a dot
lengthens it by half; `|` ends a bar. Words: a hyphen joins syllables, `_` stays on
the last one, `‿` joins two on one note.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Tune:
    """A song in writing.

    Attributes:
        title: For people.
        origin: Who wrote words and tune, and when.
        key: "C", "F" or "G": a major key.
        tempo: Quarters a minute.
        parts: The music of each section by its letter.
        form: (letter, words) of each section, in order.
    """

    title: str
    origin: str
    key: str
    tempo: float
    parts: dict[str, str]
    form: tuple[tuple[str, str], ...]


TUNES = (
    Tune(
        title="Twinkle, Twinkle, Little Star",
        origin="Jane Taylor, 1806; French tune, before 1761",
        key="C",
        tempo=96,
        parts={
            "A": "c4 c g g | a a g2 | f4 f e e | d d c2",
            "B": "g4 g f f | e e d2 | g4 g f f | e e d2",
        },
        form=(
            ("A", "Twin-kle, twin-kle, lit-tle star, How I won-der what you are!"),
            ("B", "Up a-bove the world so high, Like a dia-mond in the sky."),
            ("A", "Twin-kle, twin-kle, lit-tle star, How I won-der what you are!"),
            ("A", "When the blaz-ing sun is gone, When he noth-ing shines up-on,"),
            ("B", "Then you show your lit-tle light, Twin-kle, twin-kle, all the night."),
            ("A", "Twin-kle, twin-kle, lit-tle star, How I won-der what you are!"),
        ),
    ),
    Tune(
        title="Mary Had a Little Lamb",
        origin="Sarah Josepha Hale, 1830; Lowell Mason, before 1838",
        key="C",
        tempo=116,
        parts={
            "A": "e4 d c d | e e e2 | d4 d d2 | e4 g g2 | e4 d c d | e e e e | d d e d | c1",
        },
        form=(
            (
                "A",
                "Ma-ry had a lit-tle lamb, lit-tle lamb, lit-tle lamb, "
                "Ma-ry had a lit-tle lamb, its fleece was white as snow.",
            ),
            (
                "A",
                "Fol-lowed her to school one day, school one day, school one day, "
                "Fol-lowed her to school one day, that was a-gainst the rule.",
            ),
        ),
    ),
    Tune(
        title="Row, Row, Row Your Boat",
        origin="anonymous, 1852; Eliphalet Oram Lyte, 1881",
        key="C",
        tempo=108,
        parts={
            "A": "c4. c | c4 d8 e4. | e4 d8 e4 f8 | g2. | "
            "c'8 c' c' g g g | e e e c c c | g4 f8 e4 d8 | c2.",
        },
        form=(
            (
                "A",
                "Row, row, row your boat, Gent-ly down the stream. Mer-ri-ly, mer-ri-ly, "
                "mer-ri-ly, mer-ri-ly, Life is but a dream.",
            ),
        )
        * 2,
    ),
    Tune(
        title="London Bridge",
        origin="traditional, in print by 1744; tune by 1879",
        key="C",
        tempo=120,
        parts={
            "A": "g4. a8 g4 f | e f g2 | d4 e f2 | e4 f g2 | g4. a8 g4 f | e f g2 | d2 g | e4 c2.",
        },
        form=(
            (
                "A",
                "Lon-don Bridge is fall-ing down, fall-ing down, fall-ing down, "
                "Lon-don Bridge is fall-ing down, my fair la-dy.",
            ),
            (
                "A",
                "Build it up with i-ron bars, i-ron bars, i-ron bars, "
                "Build it up with i-ron bars, my fair la-dy.",
            ),
        ),
    ),
    Tune(
        title="Baa, Baa, Black Sheep",
        origin="traditional, in print by 1744; French tune, before 1761",
        key="C",
        tempo=104,
        parts={
            "A": "c4 c g g | a8 a a a g2 | f4 f e e | d d c2",
            "B": "g4 g8 g f4 f | e e8 e d2 | g4 g8 g f f f f | e4 e8 e d2",
        },
        form=(
            (
                "A",
                "Baa, baa, black sheep, have you a-ny wool? Yes, sir, yes, sir, three bags full;",
            ),
            (
                "B",
                "One for the mas-ter, one for the dame, And one for the lit-tle boy "
                "lives down the lane.",
            ),
            (
                "A",
                "Baa, baa, black sheep, have you a-ny wool? Yes, sir, yes, sir, three bags full.",
            ),
        ),
    ),
    Tune(
        title="Hot Cross Buns",
        origin="traditional, in print by 1798",
        key="C",
        tempo=100,
        parts={"A": "e4 d c2 | e4 d c2 | c8 c c c d d d d | e4 d c2"},
        form=(
            ("A", "Hot cross buns, hot cross buns, One a pen-ny, two a pen-ny, hot cross buns."),
            (
                "A",
                "Hot cross buns, hot cross buns, If you have no daugh-ters, "
                "give them to your sons.",
            ),
        ),
    ),
    Tune(
        title="Amazing Grace",
        origin="John Newton, 1779; New Britain, 1829",
        key="G",
        tempo=84,
        parts={
            "A": "d4 | g2 b8 g | b2 a4 | g2 e4 | d2 d4 | g2 b8 g | b2 a4 | d'2 b4 | "
            "d'4. b8 d' b | g2 d4 | e4. g8 g e | d2 d4 | g2 b8 g | b2 a4 | g2",
        },
        form=(
            (
                "A",
                "A-maz-ing _ grace! how sweet the sound, That saved a _ wretch like me! "
                "I once _ was _ lost, but now _ am _ found, Was blind, but _ now I see.",
            ),
            (
                "A",
                "'Twas grace that _ taught my heart to fear, And grace my _ fears re-lieved; "
                "How pre- _ cious _ did that grace _ ap- _ pear, The hour I _ first be-lieved.",
            ),
        ),
    ),
    Tune(
        title="Oh! Susanna",
        origin="Stephen Foster, 1848",
        key="C",
        tempo=168,
        parts={
            "A": "c8 d | e4 g g4. a8 | g4 e c4. d8 | e4 e d c | d2. c8 d | "
            "e4 g g4. a8 | g4 e c4. d8 | e4 e d2 | c2.",
            "B": "r4 | f2 f | a4 a2 a4 | g g e c | d2. c8 d | "
            "e4 g g4. a8 | g4 e c4. d8 | e4 e d d | c2.",
        },
        form=(
            (
                "A",
                "Oh, I come from A-la-ba-ma with my ban-jo on my knee, "
                "I'm go-ing to Lou'-si-an-a, my true love for to see.",
            ),
            (
                "B",
                "Oh! Su-san-na, oh, don't you cry for me, "
                "For I come from A-la-ba-ma with my ban-jo on my knee.",
            ),
            (
                "A",
                "It _ rained all night the day I left, the wea-ther it was dry, "
                "The sun so hot I froze to death, Su-san-na, don't you cry.",
            ),
            (
                "B",
                "Oh! Su-san-na, oh, don't you cry for me, "
                "For I come from A-la-ba-ma with my ban-jo on my knee.",
            ),
        ),
    ),
    Tune(
        title="Auld Lang Syne",
        origin="Robert Burns, 1788; Scottish tune, 1799",
        key="F",
        tempo=92,
        parts={
            "A": "c4 | f4. f8 f4 a | g4. f8 g4 a | f4. f8 a4 c' | d'2. d'4 | "
            "c'4. a8 a4 f | g4. f8 g4 a | f4. d8 d4 c | f2.",
            "B": "d'4 | c'4. a8 a4 f | g4. f8 g4 d' | c'4. a8 a4 c' | d'2. d'4 | "
            "c'4. a8 a4 f | g4. f8 g4 a | f4. d8 d4 c | f2.",
        },
        form=(
            (
                "A",
                "Should auld ac-quaint-ance be for-got, And nev-er brought to mind? "
                "Should auld ac-quaint-ance be for-got, And auld _ lang _ syne!",
            ),
            (
                "B",
                "For auld _ lang _ syne, my dear, For auld _ lang _ syne, "
                "We'll take a cup of kind-ness yet, For auld _ lang _ syne.",
            ),
            (
                "A",
                "We two have run a-bout the slopes, And picked the dai-sies fine; "
                "But we've wan-dered man-y‿a wea-ry foot, Since auld lang _ syne.",
            ),
            (
                "B",
                "For auld _ lang _ syne, my dear, For auld _ lang _ syne, "
                "We'll take a cup of kind-ness yet, For auld _ lang _ syne.",
            ),
        ),
    ),
    Tune(
        title="Jingle Bells",
        origin="James Lord Pierpont, 1857",
        key="C",
        tempo=176,
        parts={
            "A": "g,4 e d c | g,2. g,8 g, | g,4 e d c | a,1 | a,4 f e d | b,1 | g4 g f d | e1 | "
            "g,4 e d c | g,1 | g,4 e d c | a,2. a,4 | a, f e d | g g g g | a g f d | c1",
            "B": "e4 e e2 | e4 e e2 | e4 g c4. d8 | e1 | f4 f f4. f8 | f4 e e e8 e | "
            "e4 d d e | d2 g | e4 e e2 | e4 e e2 | e4 g c4. d8 | e1 | f4 f f4. f8 | "
            "f4 e e e8 e | g4 g f d | c1",
        },
        form=(
            (
                "A",
                "Dash-ing through the snow, In a one horse o-pen sleigh, "
                "O'er the fields we go, Laugh-ing all the way; Bells on bob-tail ring, "
                "Mak-ing spir-its bright, What fun it is to ride and sing "
                "A sleigh-ing song to-night.",
            ),
            (
                "B",
                "Jin-gle bells, jin-gle bells, jin-gle all the way; "
                "Oh what fun it is to ride in a one horse o-pen sleigh, oh, "
                "Jin-gle bells, jin-gle bells, jin-gle all the way; "
                "Oh what fun it is to ride in a one horse o-pen sleigh.",
            ),
        )
        * 2,
    ),
    Tune(
        title="Yankee Doodle",
        origin="traditional, before 1775",
        key="C",
        tempo=132,
        parts={
            "A": "c4 c d e | c e d g, | c c d e | c2 b, | c4 c d e | f e d c | b, g, a, b, | c2 c",
            "B": "a,4. b,8 a,4 g, | a, b, c2 | g,4. a,8 g,4 f, | e,2 g, | "
            "a,4. b,8 a,4 g, | a, b, c a, | g, c b, d | c2 c",
        },
        form=(
            (
                "A",
                "Yan-kee Doo-dle went to town, A-rid-ing on a po-ny, "
                "Stuck a feath-er in his cap And called it mac-a-ro-ni.",
            ),
            (
                "B",
                "Yan-kee Doo-dle, keep it up, Yan-kee Doo-dle dan-dy, "
                "Mind the mu-sic and the step, And with the girls be han-dy.",
            ),
            (
                "A",
                "Fath'r and I went down to camp, A-long with Cap-tain Good-ing, "
                "There we saw the men and boys As thick as has-ty pud-ding.",
            ),
            (
                "B",
                "Yan-kee Doo-dle, keep it up, Yan-kee Doo-dle dan-dy, "
                "Mind the mu-sic and the step, And with the girls be han-dy.",
            ),
        ),
    ),
    Tune(
        title="Clementine",
        origin="Percy Montrose, 1884; Barker Bradford, 1880s",
        key="F",
        tempo=108,
        parts={
            "A": "f8 f | f4 c a8 a | a4 f f8 a | c'4 c' bb8 a | g2 g8 a | "
            "bb4 bb a8 g | a4 f f8 a | g4 c e8 g | f2",
        },
        form=(
            (
                "A",
                "In a cav-ern, in a can-yon, ex-ca-vat-ing for a mine, "
                "Dwelt a min-er, for-ty nin-er, and his daugh-ter, Clem-en-tine.",
            ),
            (
                "A",
                "Oh my dar-ling, oh my dar-ling, oh my dar-ling Clem-en-tine, "
                "You are lost and gone for-ev-er, dread-ful sor-ry, Clem-en-tine.",
            ),
            (
                "A",
                "Light she was and like a fair-y, and her shoes were num-ber nine, "
                "Her-ring box-es with-out top-ses, san-dals were for Clem-en-tine.",
            ),
        ),
    ),
    Tune(
        title="Silent Night",
        origin="Joseph Mohr and Franz Xaver Gruber, 1818; in English by John Freeman Young, 1859",
        key="C",
        tempo=92,
        parts={
            "A": "g4. a8 g4 | e2. | g4. a8 g4 | e2. | d'2 d'4 | b2. | c'2 c'4 | g2. | "
            "a2 a4 | c'4. b8 a4 | g4. a8 g4 | e2. | a2 a4 | c'4. b8 a4 | g4. a8 g4 | e2. | "
            "d'2 d'4 | f'4. d'8 b4 | c'2. | e'2. | c'4 g e | g4. f8 d4 | c2.",
        },
        form=(
            (
                "A",
                "Si- _ lent night, ho- _ ly night, All is calm, all is bright, "
                "Round yon vir- _ gin moth-er and child, Ho-ly in-fant so ten-der and mild, "
                "Sleep in heav-en-ly peace, _ Sleep _ in heav-en-ly peace.",
            ),
        )
        * 2,
    ),
    Tune(
        title="Good King Wenceslas",
        origin="John Mason Neale, 1853; Tempus adest floridum, 1582",
        key="F",
        tempo=126,
        parts={
            "A": "f4 f f g | f f c2 | d4 c d e | f2 f | f4 f f g | f f c2 | d4 c d e | f2 f",
            "B": "c'4 bb a g | a g f2 | d4 c d e | f2 f | c4 c d e | f f g2 | c'4 bb a g | "
            "f2 bb | f1",
        },
        form=(
            (
                "A",
                "Good King Wen-ces-las looked out, On the feast of Ste-phen, "
                "When the snow lay round a-bout, Deep and crisp and e-ven;",
            ),
            (
                "B",
                "Bright-ly shone the moon that night, Though the frost was cru-el, "
                "When a poor man came in sight, Gath-ering win-ter fu- _ el.",
            ),
            (
                "A",
                "Hith-er, page, and stand by me, If thou know'st it, tell-ing, "
                "Yon-der peas-ant, who is he? Where and what his dwell-ing?",
            ),
            (
                "B",
                "Sire, he lives a good league hence, Un-der-neath the moun-tain, "
                "Right a-gainst the for-est fence, By Saint Ag-nes' foun- _ tain.",
            ),
        ),
    ),
    Tune(
        title="Pop! Goes the Weasel",
        origin="traditional, in print by 1853",
        key="C",
        tempo=126,
        parts={
            "A": "c4 c8 d4 d8 | e g e c4 g,8 | c4 c8 d4 d8 | e4. c4 g,8 | "
            "c4 c8 d4 d8 | e g e c4. | a4. d4 f8 | e4. c",
        },
        form=(
            (
                "A",
                "All a-round the cob-bl-er's bench, The mon-key chased the wea-sel, "
                "The mon-key thought 'twas all in fun, _ Pop! goes the wea-sel.",
            ),
        )
        * 2,
    ),
)
