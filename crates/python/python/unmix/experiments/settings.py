"""What the numbers of a steering experiment depend on, beside the model and the corpus."""

from __future__ import annotations

import dataclasses
from typing import Any


def _field(default: Any, meaning: str) -> Any:
    """A field with what `--help` says about it."""
    return dataclasses.field(default=default, metadata={"help": meaning})


@dataclasses.dataclass(frozen=True)
class Settings:
    """Divergences at which directions are compared, and sizes.

    Parameters
    ----------
    targets : tuple of float
        Mean KL divergences on neutral prompts, in nats a token, at which directions are compared.
    generate_at : tuple of float
        The targets at which text is written.
    n_components : int
        Features of a fit, and latents of the smaller autoencoder.
    neutral_prompts : int
        Held-out neutral prompts on which the divergence is measured.
    prompts : int
        Held-out prompts of each concept on which it is scored.
    texts, text_tokens : int
        Texts of each direction and target, and tokens of each.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    targets: tuple[float, ...] = _field(
        (0.05, 0.1, 0.2, 0.5, 1.0), "divergences in nats a token, at which directions are compared"
    )
    generate_at: tuple[float, ...] = _field((0.2, 0.5), "the divergences at which text is written")
    n_components: int = _field(100, "features of a fit, and latents of the smaller autoencoder")
    neutral_prompts: int = _field(30, "held-out neutral prompts on which the divergence is measured")
    prompts: int = _field(8, "held-out prompts of each concept on which it is scored")
    texts: int = _field(3, "texts of each direction and divergence")
    text_tokens: int = _field(20, "tokens of each text")

    def __post_init__(self) -> None:
        for name in ("n_components", "neutral_prompts", "prompts", "texts", "text_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give at least 1")
        if not self.targets or min(self.targets) <= 0:
            raise ValueError(f"targets are {self.targets}; give at least one divergence, each above 0 nats a token")
        if not set(self.generate_at) <= set(self.targets):
            raise ValueError(
                f"texts are wanted at {self.generate_at}, but the targets are {self.targets}; choose among the targets"
            )
