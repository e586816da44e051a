"""The table of systems: name, module, one line of help. Strings only: help needs no torch."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SystemEntry:
    """Where a system lives and what it is.

    Attributes:
        package: Package whose `generate` module has the System class, `config` the configuration,
            `presets` the preset functions and `train` the stages.
        system_class: Name of the System class in `package.generate`.
        summary: One line for help texts.
        capabilities: What it can do, in the words of `interfaces.CAPABILITIES`.
    """

    package: str
    system_class: str
    summary: str
    capabilities: frozenset[str]


SYSTEMS: dict[str, SystemEntry] = {
    "musika": SystemEntry(
        package="ritornello.musika",
        system_class="Musika",
        summary="inverting spectrogram autoencoders and a GAN on latent coordinates",
        capabilities=frozenset({"controls", "form", "stream", "reconstruct"}),
    ),
    "ada": SystemEntry(
        package="ritornello.ada",
        system_class="AdaStack",
        summary="autoregressive discrete autoencoders, stacked under a WaveNet",
        capabilities=frozenset({"continue", "stream", "reconstruct"}),
    ),
    "jukebox": SystemEntry(
        package="ritornello.jukebox",
        system_class="Jukebox",
        summary="three VQ-VAEs, a transformer prior and upsamplers; artists, genres, lyrics",
        capabilities=frozenset({"continue", "labels", "lyrics", "form", "stream", "reconstruct"}),
    ),
    "encodec": SystemEntry(
        package="ritornello.encodec",
        system_class="Encodec",
        summary="a codec alone: residual vector quantisation between convolutions",
        capabilities=frozenset({"reconstruct"}),
    ),
    "stemgen": SystemEntry(
        package="ritornello.stemgen",
        system_class="StemGen",
        summary="a masked transformer that listens to a mix and answers with a stem",
        capabilities=frozenset({"accompany", "reconstruct"}),
    ),
}


def names_with(capability: str) -> list[str]:
    """Names of the systems that have `capability`."""
    return [name for name, entry in SYSTEMS.items() if capability in entry.capabilities]
