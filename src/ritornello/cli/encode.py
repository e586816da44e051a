"""`ritornello encode`: audio to the codec's slow sequence, in a safetensors file."""

from pathlib import Path

from ritornello.cli.codec_files import CompressedInfo, add_level, codec_of, write_compressed
from ritornello.cli.console import VerbParser, emit, output_path
from ritornello.cli.playing import add_model, load


def run(argv: list[str]) -> int:
    """Encode one audio file."""
    parser = VerbParser(
        "encode",
        "Compress an audio file to the model's latents or codes; `decode` turns them back.",
        [
            "ritornello encode piano in.wav -o in.safetensors",
            "ritornello encode ada-piano in.wav -o codes.safetensors --level 1",
        ],
    )
    add_model(parser)
    add_level(parser)
    parser.add_argument("file", type=Path, help="an audio file")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FILE.safetensors")
    options = parser.parse(argv)
    output_path(options.out, (".safetensors",))

    import torch

    from ritornello.audio.io import read_audio
    from ritornello.interfaces import TokenCodec
    from ritornello.loading import find

    model = find(options.model)
    system, _ = load(model, options.threads)
    codec = codec_of(system, model.name, options.level)
    audio = read_audio(options.file, sample_rate=system.sample_rate, channels=system.channels)
    with torch.inference_mode():
        sequence = codec.encode(torch.from_numpy(audio.samples)[None])
    kind = "codes" if isinstance(codec, TokenCodec) else "latents"
    info = CompressedInfo(
        model=model.name,
        weights_sha256=model.weights_sha256,
        sample_rate=system.sample_rate,
        channels=system.channels,
        length=audio.samples.shape[1],
        source=options.file.name,
        level=options.level,
    )
    write_compressed(options.out, kind, sequence, info)
    values_per_s = sequence[0].numel() / audio.duration_s
    result = {
        "path": str(options.out),
        "kind": kind,
        "shape": list(sequence.shape),
        "seconds": audio.duration_s,
        "values_per_second": round(values_per_s, 3),
        "times_fewer_values": round(system.sample_rate * system.channels / values_per_s, 2),
    }
    text = (
        f"{options.out}: {kind} {tuple(sequence.shape)} of {audio.duration_s:.2f} s, "
        f"{result['times_fewer_values']:.1f} times fewer values than samples"
    )
    emit(result, as_json=options.json, text=[text])
    return 0
