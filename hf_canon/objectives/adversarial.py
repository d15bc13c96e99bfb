"""An adversarial prior: what is canonicalized should look like reference data, which no pairs connect it with.

The canonicalizer plays against a critic as a generator does (Wasserstein GANs, arXiv 1701.07875): its choice among the
members of an orbit takes the place of the noise. An invariant critic compares distributions in which all poses are
equally likely (arXiv 2305.13517, Lemma 1), and would teach nothing: this one is not invariant."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..canonicalizers.thumbnails import audio_thumbnail, cell_means, inscribed_disc
from ..generative.divergences import Wasserstein, gradient_penalty
from ..generative.networks import Encoder
from ..groups import Images
from ..modeling_canonicalized import CanonicalizedModel
from .base import Objective, random_pose

RESOLUTION = 32
"""At which a critic looks where the canonicalizer looks at no thumbnail."""


class AdversarialPrior(Objective):
    """W1 between reference data and what is canonicalized, as a critic D estimates it at the canonicalizer's low
    resolution:

        E_reference[D(r)] - E_x[sum over g of p(g | x) D(g^-1 x)]

    It is differentiable through the posterior p, and nothing is chosen on the way. Each call in training mode also
    trains the critic by a few steps of its own Adam, against elements that are drawn from the posterior: with gradient
    accumulation on every part of a batch, and without gradients (evaluation) not at all. In several processes its
    gradients are averaged, so that all have the same critic; it begins with the same weights in all of them.

    Both sides are transformed at random first, and the reference is set upright again: where a group resamples, both
    are resampled alike, and the critic cannot go by that.

    Requirements: a finite group; inputs in any poses, and others of the same distribution that are as they should be.
    No labels, and no pairs.

    Relations: where there are upright examples, prefer `PriorRegularization` on them alone. Plain cross-entropy has a
    right answer for each input, takes seconds and no critic, and finds more poses on average, from as few as 200
    digits (`scripts/figure_adversarial_prior.py` has the figures). Where there is but a reference sampler, this one
    finds more than cross-entropy on its samples: what it turns are real inputs. Prefer `Distillation` where the
    checkpoint itself can say what upright is.

    Args:
        model: whose group, and whose canonicalizer's resolution.
        reference: inputs as the predictor reads them, `(n, ...)`; or batches of them, each with the lengths of its
            clips or None. They are read once, and their thumbnails kept.
        width: channels of the critic at full size.
        critic_steps: in each call.
        penalty: weight of the critic's one-sided gradient penalty.
        learning_rate: of the critic.
        seed: of the critic's first weights, and of the moves of the reference.

    Raises:
        ValueError: the group is continuous, or there is no reference.

    Example:
        >>> from transformers import ViTConfig, ViTForImageClassification
        >>> from hf_canon import CanonicalizedModel
        >>> vit = ViTForImageClassification(ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=1,
        ...     intermediate_size=16, image_size=32, patch_size=16))
        >>> model = CanonicalizedModel.wrap(vit, group="c4").train()
        >>> lit = torch.rand(8, 3, 32, 32) + torch.linspace(2, 0, 32).unsqueeze(-1)  # from above
        >>> objective = AdversarialPrior(model, lit)
        >>> model(pixel_values=lit.rot90(1, (2, 3)), objective=objective).loss.shape
        torch.Size([])
    """

    def __init__(
        self,
        model: CanonicalizedModel,
        reference: Tensor | Iterable[tuple[Tensor, Tensor | None]],
        width: int = 16,
        critic_steps: int = 2,
        penalty: float = 10.0,
        learning_rate: float = 4e-4,
        seed: int = 0,
    ):
        if not model.group.finite:
            raise ValueError(
                f"The adversarial prior compares all elements of a group, and {model.group.name} has infinitely many. "
                "Use a finite group, such as c8 or hue12, or prior='identity' on the reference data."
            )
        self.critic_steps, self.penalty = critic_steps, penalty
        self.real = torch.cat(list(upright(model, reference, torch.Generator().manual_seed(seed))) or [torch.empty(0)])
        """Thumbnails of the reference, `(n, channels, resolution, resolution)`."""
        if not len(self.real):
            raise ValueError("There are no reference data, and nothing to look like. Give some hundreds of examples.")
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            self.critic = Encoder(self.real.shape[1:], width)
        self.optimizer = torch.optim.Adam(self.critic.parameters(), learning_rate, betas=(0.0, 0.9))

    def __call__(
        self,
        model: CanonicalizedModel,
        x: Tensor,
        labels: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        transformed, _, _, lengths = random_pose(model, x, lengths)
        posterior = model.canonicalizer(transformed, lengths).float().softmax(-1)
        looks = undone(model, transformed, lengths)
        self.real = self.real.to(x.device)
        self.critic.to(x.device)
        with torch.autocast(x.device.type, enabled=False):
            if model.training and torch.is_grad_enabled():
                for _ in range(self.critic_steps):
                    self._train(looks, posterior.detach())
            with torch.no_grad():
                scores = self.critic(looks.flatten(0, 1)).view(posterior.shape)
                of_real = self.critic(self._drawn(len(x))).mean()
        return of_real - (posterior * scores).sum(1).mean()

    def _train(self, looks: Tensor, posterior: Tensor) -> None:
        """One step of the critic."""
        chosen = posterior.multinomial(1).squeeze(1)
        fake = looks[torch.arange(len(looks), device=looks.device), chosen]
        real = self._drawn(len(fake))
        of_real, of_fake = self.critic(torch.cat([real, fake])).chunk(2)
        loss = Wasserstein().critic_loss(of_real, of_fake) + self.penalty * gradient_penalty(self.critic, real, fake)
        self.optimizer.zero_grad()
        loss.backward()
        average(self.critic)
        self.optimizer.step()

    def _drawn(self, n: int) -> Tensor:
        return self.real[torch.randint(len(self.real), (n,)).to(self.real.device)]

    def state_dict(self) -> dict[str, Any]:
        """The critic and its optimizer: what a training that is resumed needs."""
        return {"critic": self.critic.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.critic.load_state_dict(state["critic"])
        self.optimizer.load_state_dict(state["optimizer"])


def undone(model: CanonicalizedModel, x: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Thumbnails of inputs with each element undone, `(batch, |G|, channels, resolution, resolution)`."""
    group, side = model.group, getattr(model.canonicalizer, "resolution", 0) or RESOLUTION
    undo = group.inverse(group.elements)
    if isinstance(group.kind, Images):
        looks = group.orbit(cell_means(x, side), undo)
        turned = group.planar is not None
        return looks * inscribed_disc(side, x.device) if turned else looks
    poses = group.orbit(x, undo, lengths).flatten(0, 1)
    again = None if lengths is None else lengths.to(x.device).repeat_interleave(len(undo))  # none is stretched
    return audio_thumbnail(poses, group.kind, again, side).unflatten(0, (len(x), -1))


@torch.no_grad()
def upright(
    model: CanonicalizedModel, reference: Tensor | Iterable[tuple[Tensor, Tensor | None]], generator: torch.Generator
) -> Iterator[Tensor]:
    """Thumbnails of reference data that were transformed at random and set upright again, batch by batch."""
    batches = ((part, None) for part in reference.split(64)) if isinstance(reference, Tensor) else reference
    for x, lengths in batches:
        transformed, element, _, lengths = random_pose(model, x, lengths, generator)
        looks = undone(model, transformed, lengths)
        yield looks[torch.arange(len(x), device=x.device), element]


def average(module: nn.Module) -> None:
    """The gradients of several processes; of one, nothing."""
    if not (dist.is_available() and dist.is_initialized()):
        return
    for parameter in module.parameters():
        assert parameter.grad is not None
        dist.all_reduce(parameter.grad)
        parameter.grad /= dist.get_world_size()
