"""Contrastive uniqueness: only one member of an orbit should look canonical (Panigrahi & Mondal, arXiv 2405.14089)."""

import torch
from torch import Tensor

from ..canonicalizers import OrbitCanonicalizer
from ..modeling_canonicalized import CanonicalizedModel
from .base import Objective


class ContrastiveUniqueness(Objective):
    """Pushes the embeddings of different members of one orbit apart: the mean of their squared positive cosines.

    The embeddings are unit vectors, so the loss cannot be met by shrinking them, and no row is dropped.

    Requirements: the `orbit` canonicalizer; no labels, and no assumption about the poses of the training images.

    Relations: it says that one member must stand out, not which; add it to `PriorRegularization` or `Distillation`.
    """

    def __call__(
        self,
        model: CanonicalizedModel,
        x: Tensor,
        labels: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        if not isinstance(model.canonicalizer, OrbitCanonicalizer):
            raise ValueError(
                "Contrastive uniqueness compares the embeddings of an orbit, and "
                f"{model.canonicalizer.name!r} has none. Use canonicalizer='orbit', or contrastive_weight=0."
            )
        embeddings = model.canonicalizer.embed(x, lengths)
        cosines = embeddings @ embeddings.transpose(1, 2)
        looks = cosines.shape[-1]
        others = ~torch.eye(looks, dtype=torch.bool, device=cosines.device)
        if looks == 1:
            return cosines.sum() * 0
        return cosines[:, others].clamp(min=0).square().mean()
