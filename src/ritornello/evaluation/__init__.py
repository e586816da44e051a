"""Judging: how close, how wide, how seamless, how varied, how obedient, how fast.

One file per question. Each opens with its conventions and metrics, refuses what it cannot judge
(`validate`), has pure functions on arrays, and `evaluate`, which gives all its figures by name. No
file here knows any system: benchmarks and the command line bring the audio.

Material
    clips, sets      which places of which recordings are judged; can two sets be compared?
    embedding        what turns clips into points: musicnn, a codec, a user's ONNX file
    patches          embedded clips as one set
    spectra, onsets, excerpts, notes, harmony, rhythm   what the metrics measure with
    degradations     audio spoilt by known amounts

Is it near real music?
    fad, kid         distance of a generated set from a real one, embedded
    frechet          the same without embedding
    descriptors      MIRDD-open: notes, keys, chords and rhythm of two sets

How good is it?
    reconstruction, codec_judgement, codebook   a codec's output against its input
    likelihood, predictability                  how surprised a model is
    structure, self_similarity, stability, long_pieces   what returns, and what drifts
    adherence, controls                         whether it listens, whether it obeys
    diversity, stereo, seams                    variety, width, joints
    originality, nearness, fingerprint          nearness to the music it learnt from
    ratings                                     what listeners said
    speed                                       time, memory, machine

Saying so
    intervals        bootstrap intervals, which every figure over clips carries
    judgement        all metrics on two sets
    reading, report, *_page, *_pictures, pictures   tables, pages and pictures
    sanity           whether the metrics see what they should
"""
