"""What `replay` says of audio that was not generated."""

import pytest

from ritornello.audio.io import read_audio
from ritornello.cli.main import main


@pytest.mark.parametrize("verb", ["reconstruct", "decode"])
def test_what_a_codec_wrote_is_refused_with_the_verbs_that_can_be_replayed(
    tmp_path, nano_model, capsys, verb
):
    piece, codes, out = (str(tmp_path / n) for n in ("in.wav", "in.safetensors", "out.wav"))
    assert main(["generate", str(nano_model), "-o", piece, "--seconds", "0.5"]) == 0
    if verb == "decode":
        assert main(["encode", str(nano_model), piece, "-o", codes]) == 0
        assert main(["decode", codes, "-o", out]) == 0
    else:
        assert main(["reconstruct", str(nano_model), piece, "-o", out]) == 0
    assert read_audio(out).duration_s == pytest.approx(0.5)
    capsys.readouterr()
    assert main(["replay", out]) == 1
    message = capsys.readouterr().err
    assert "only files of `generate` and `stream --to FILE` can be replayed" in message
