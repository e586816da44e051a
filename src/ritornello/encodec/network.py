"""EnCodec's networks in a row: encoder, residual quantiser, decoder (figure 1)."""

from torch import nn

from ritornello.encodec.config import EncodecConfig
from ritornello.encodec.rvq import Levels, Quantised, ResidualQuantiser, Vectors
from ritornello.encodec.seanet import Decoder, Encoder, Hidden
from ritornello.shapes import Waveform


class EncodecNetwork(nn.Module):
    """Encoder, quantiser, decoder.

    Deviation: where `code_dim` is given, queries are projected to fewer values before they are
    quantised: codebooks in a space of few dimensions are used more evenly after short training.
    """

    def __init__(self, config: EncodecConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quantizer = ResidualQuantiser(config)
        self.decoder = Decoder(config)
        dim, code_dim = config.dim, config.code_dim
        self.narrow = nn.Identity() if code_dim is None else nn.Conv1d(dim, code_dim, 1)
        self.widen = nn.Identity() if code_dim is None else nn.Conv1d(code_dim, dim, 1)
        self.context_frames = self.encoder.context_frames

    def fast(self, wave: Waveform) -> Hidden:
        """What is seen at the frame rate; every frame sees `context_frames` to either side."""
        return self.encoder.fast(wave)

    def queries(self, seen: Hidden) -> Vectors:
        """What is quantised."""
        return self.narrow(self.encoder.slow(seen)).transpose(1, 2)

    def forward(self, wave: Waveform, levels: Levels | None = None) -> tuple[Waveform, Quantised]:
        """The audio through the bottleneck; its length is a multiple of the hop.

        Args:
            wave: The audio.
            levels: How many levels of every excerpt are decoded; None for all.
        """
        found = self.quantizer(self.queries(self.fast(wave)), levels)
        return self.decoder(self.widen(found.vectors.transpose(1, 2))), found
