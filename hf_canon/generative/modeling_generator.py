"""A generator as it is saved, shared and drawn from."""

import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from ..groups import Group, get_group
from ..hub import require_ours
from .configuration_generator import GeneratorConfig
from .generator import generator_of
from .sharing import add_card, push


@dataclass
class GeneratorOutput(ModelOutput):
    """
    Args:
        samples: `(batch, *shape)`.
        element: `(batch,)`, the group element of each.
    """

    samples: Tensor | None = None
    element: Tensor | None = None


class InvariantGenerator(PreTrainedModel):
    """Draws from a distribution that a group leaves as it is, learned from few samples.

    Example:
        >>> from hf_canon.generative import GeneratorConfig, InvariantGenerator
        >>> generator = InvariantGenerator(GeneratorConfig(group="d4", shape=(1, 16, 16), width=4))
        >>> x = generator.sample(5)
        >>> x.shape, bool((x >= 0).all() and (x <= 1).all())
        (torch.Size([5, 1, 16, 16]), True)
    """

    config_class = GeneratorConfig
    config: GeneratorConfig
    main_input_name = "noise"
    base_model_prefix = "generator"

    def __init__(self, config: GeneratorConfig):
        super().__init__(config)
        self.generator = generator_of(config.symmetry, self.group, config.latent_size, config.shape, config.width)
        self.post_init()

    def _init_weights(self, module: Any) -> None:
        """As each layer does by itself; of a file that lacks one, its numbers would be whatever was in memory."""
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()

    @property
    def group(self) -> Group:
        return get_group(self.config.group).on(self.config.sample_kind)

    @property
    def latent_size(self) -> int:
        return self.config.latent_size

    def forward(self, noise: Tensor, element: Tensor | None = None) -> GeneratorOutput:
        """Samples from noise.

        Args:
            noise: `(batch, latent_size)`, standard normal.
            element: `(batch,)`, the poses; drawn uniformly by default.
        """
        if self.config.symmetry == "none":
            element = torch.zeros(len(noise)).to(self.group.elements.dtype if self.group.finite else noise.dtype)
        elif element is None:
            element = self.group.sample(len(noise))
        element = element.to(noise.device)
        return GeneratorOutput(samples=self.generator(noise, element), element=element)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None, batch_size: int = 64) -> Tensor:
        """Draw `n` samples, `(n, *shape)`: images from 0 for black to 1 for white, waveforms from -1 to 1.

        Args:
            n: how many.
            generator: of the machine's processor, for samples that can be drawn again.
            batch_size: how many at a time.

        Raises:
            ValueError: fewer than one is asked for.
        """
        if n < 1 or batch_size < 1:
            raise ValueError(f"{n} samples in batches of {batch_size} cannot be drawn. Ask for one or more.")
        noise = torch.randn(n, self.latent_size, generator=generator)
        element = self.group.sample(n, generator)
        parts = zip(noise.split(batch_size), element.split(batch_size), strict=True)
        drawn = [self(part.to(self.device, self.dtype), one).samples for part, one in parts]
        return torch.cat(drawn)

    def save_pretrained(self, save_directory: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        """As of any transformers model; beside the weights a grid of samples, and a card.

        Raises:
            ValueError: another checkpoint is there, which this would overwrite; or it should be uploaded too.
        """
        if kwargs.get("push_to_hub"):
            raise ValueError("push_to_hub=True would upload without a card. Call generator.push_to_hub(repo_id).")
        require_ours(save_directory, GeneratorConfig.model_type, "a generator")
        super().save_pretrained(save_directory, *args, **kwargs)
        add_card(self, Path(save_directory), Path(save_directory).resolve().name)

    def push_to_hub(  # type: ignore[override]
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        commit_message: str | None = None,
        create_pr: bool = False,
    ) -> Any:
        """Save, and upload in one commit: weights, configuration, samples and card.

        Args:
            repo_id: `owner/name`, or `name` in your own namespace; made if it does not exist.
            private: whether a new repository is private; the namespace's default if None.
            token: of somebody who may write there; the one of `hf auth login` if None.
            revision: the branch, made if it does not exist; main if None.
            commit_message: of the one commit.
            create_pr: open a pull request in place of a commit.

        Returns:
            The `CommitInfo` of the upload.

        Raises:
            ValueError: the repository holds another kind of checkpoint.
            OSError: the Hub cannot be reached, or does not let you write there.
        """
        with TemporaryDirectory() as folder:
            super().save_pretrained(folder)
            add_card(self, Path(folder), repo_id)
            options = {"private": private, "token": token, "revision": revision, "create_pr": create_pr}
            return push(folder, repo_id, commit_message=commit_message, **options)  # type: ignore[arg-type]
