"""`ritornello decode`: the codec's sequence back to audio."""

from pathlib import Path

from ritornello.cli.codec_files import codec_of, read_compressed
from ritornello.cli.console import VerbParser, emit, output_path
from ritornello.cli.generate import SUFFIXES
from ritornello.cli.playing import DEFAULT_THREADS, load
from ritornello.errors import DataError


def run(argv: list[str]) -> int:
    """Decode one file that `encode` wrote, to exactly the length of its source."""
    parser = VerbParser(
        "decode",
        "Turn latents or codes that `ritornello encode` wrote back into audio.",
        ["ritornello decode in.safetensors -o out.wav"],
    )
    parser.add_argument("file", type=Path, help="a file that `ritornello encode` wrote")
    parser.add_argument("--model", help="the model, when its folder has moved (as recorded)")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--threads", type=int, default=DEFAULT_THREADS)
    options = parser.parse(argv)
    output_path(options.out, SUFFIXES)

    import torch

    from ritornello.audio.io import write_audio
    from ritornello.interfaces import Audio
    from ritornello.loading import find

    sequence, info = read_compressed(options.file)
    model = find(options.model or info.model)
    if model.weights_sha256 != info.weights_sha256:
        raise DataError(
            f"{options.file} was encoded by other weights ({info.weights_sha256[:12]}...) than "
            f"those of {model.name} ({model.weights_sha256[:12]}...); give theirs with --model"
        )
    system, _ = load(model, options.threads)
    with torch.inference_mode():
        wave = codec_of(system, model.name, info.level).decode(sequence, info.length)
    report = write_audio(
        options.out, Audio(samples=wave[0].numpy(), sample_rate=system.sample_rate)
    )
    result = {
        "path": str(options.out),
        "seconds": report.frames / system.sample_rate,
        "sample_rate": system.sample_rate,
        "gain_db": round(report.gain_db, 3),
    }
    emit(result, as_json=options.json, text=[f"{options.out}: {result['seconds']:.2f} s"])
    return 0
