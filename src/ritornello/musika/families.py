"""Which generator and critic a configuration means: as published, or this project's own."""

from ritornello.musika.config import MusikaConfig
from ritornello.musika.local_critic import LocalCritic
from ritornello.musika.model import CoordinateGenerator, Critic, Generator
from ritornello.musika.paper_gan import PaperCritic, PaperGenerator


def build_generator(config: MusikaConfig) -> CoordinateGenerator:
    """The generator of the configuration's family, not yet initialised."""
    cls = PaperGenerator if config.family == "paper" else Generator
    return cls(config.generator)


def build_critic(config: MusikaConfig) -> Critic | PaperCritic:
    """The critic of the configuration's family, not yet initialised."""
    critics = {"light": LocalCritic, "release": Critic, "paper": PaperCritic}
    return critics[config.family](config.critic)
