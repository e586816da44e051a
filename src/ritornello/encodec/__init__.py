"""EnCodec: audio as a few parallel sequences of codes, a codec for systems that model tokens."""
