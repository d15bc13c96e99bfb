"""A low-rank quadratic part for the frozen layers of a checkpoint: ReLinear (arXiv 2110.06081) as fine-tuning.

    y = (W x + b) * (1 + G_up G_down x) + S_up S_down (x * x)

with quadratic neurons (2303.06316) whose weights of second order have rank r. Both `up` start at zero, so that the
checkpoint's answers stay its own to the bit until something is learned. A layer of n inputs and m outputs gets
2 r (n + m) parameters, as many as from LoRA (2106.09685) of rank 2 r; for a convolution n is channels x kernel size.
LoRA is linear and can be merged into the weights; this is not, and never is.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..predictors.additions import LIFT, added_names
from ..quadratic.neuron import SecondOrder
from .attachment import Attachment, Part
from .targets import Layer, layers_of_names, plain_name, target_layers


class LowRankQuadratic(SecondOrder, Part):
    """The quadratic part of one layer, to be called as its forward hook: the layer itself stays what it is."""

    def __init__(self, layer: Layer, rank: int):
        super().__init__()
        out_features, *inputs = layer.weight.shape
        for name in ("gain", "square"):
            down = nn.Parameter(torch.empty(rank, *inputs, device=layer.weight.device))
            nn.init.kaiming_uniform_(down, a=5**0.5)  # as LoRA begins
            up = nn.Parameter(torch.zeros(out_features, rank, device=layer.weight.device))
            self.register_parameter(f"{name}_down", down)
            self.register_parameter(f"{name}_up", up)

    def forward(self, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> Tensor:
        """What the layer answers once its quadratic part is there, in the layer's own precision; float32 between."""
        if not self.enabled:
            return output
        self.require_original(layer)
        x = args[0] if args else kwargs["input"]
        precision = torch.promote_types(output.dtype, torch.float32)
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(precision)
            gain = 1 + project(layer, x, self.gain_down, self.gain_up)
            squares = project(layer, x * x, self.square_down, self.square_up)
            return (output.to(precision) * gain + squares).to(output.dtype)

    def second_order(self) -> Iterator[nn.Parameter]:
        return self.parameters(recurse=False)


def project(layer: Any, x: Tensor, down: Any, up: Any) -> Tensor:
    """What the layer would answer if `up` times `down` were its weights, and it had no bias."""
    down, up = down.to(x.dtype), up.to(x.dtype)
    if isinstance(layer, nn.Linear):
        return F.linear(F.linear(x, down), up)
    narrow = layer._conv_forward(x, down, None)  # strided and padded as the layer is
    if isinstance(layer, nn.Conv1d):
        return F.conv1d(narrow, up[:, :, None])
    return F.conv2d(narrow, up[:, :, None, None])


class QuadraticLift(Attachment):
    """What `quadratic_lift` has attached to a model.

    Attributes:
        rank: of the weights of second order.
        layers: the names of the layers that are lifted, in the checkpoint.
    """

    kind, noun, made_by = LIFT, "quadratic lift", "quadratic_lift(model)"

    def __init__(self, model: nn.Module, layers: dict[str, Layer], rank: int):
        super().__init__()
        self.rank = rank
        self.layers = tuple(map(plain_name, layers))
        self.parts = nn.ModuleList(LowRankQuadratic(layer, rank) for layer in layers.values())
        pairs = zip(layers.values(), self.parts, strict=True)
        self._attach(model, [layer.register_forward_hook(part, with_kwargs=True) for layer, part in pairs])

    def settings(self) -> dict[str, Any]:
        return {"rank": self.rank, "layers": list(self.layers)}

    @classmethod
    def again(cls, model: nn.Module, settings: dict[str, Any]) -> "QuadraticLift":
        rank, layers = settings["rank"], settings["layers"]
        cls.require_none(model)
        require_rank(rank)
        return cls(model, layers_of_names(model, layers), rank)

    @staticmethod
    def describe(settings: dict[str, Any]) -> str:
        return f"rank {settings['rank']} on {len(settings['layers'])} layers of the predictor"


def quadratic_lift(
    model: nn.Module, rank: int = 4, target_modules: Sequence[str] | str | None = None
) -> QuadraticLift:
    """Freeze a model, and give its Linear and Conv layers a low-rank quadratic part, which alone is trained.

    The model goes on as it is, in any trainer: its answers are the checkpoint's to the bit until something is learned,
    and again after `remove()`. Running statistics stay the checkpoint's as well. LoRA of rank 2 r has as many
    parameters: compare them. Layers whose weights a model reads without calling them (the attention of WavLM) learn
    nothing.

    Args:
        model: any transformers model, or a `CanonicalizedModel`, whose predictor is lifted, and whose adapter then
            holds the lift.
        rank: of the weights of second order.
        target_modules: ends of layers' names (`["q_proj", "fc1"]`), or one regular expression that the whole name
            matches, as in PEFT; every Linear, and every Conv1d and Conv2d that is not in groups, if None.

    Returns:
        The lift, to be saved (`save_pretrained`), switched off (`with lift.disabled():`) or taken off (`remove()`).

    Raises:
        ValueError: the model carries a lift already or is offloaded, there is no such layer or one that cannot be
            lifted, or the rank is not positive.
        RuntimeError: in a forward pass, if the model was copied by `nn.DataParallel`.

    Example:
        >>> from transformers import ViTConfig, ViTForImageClassification
        >>> from hf_canon.adaptation import quadratic_lift
        >>> vit = ViTForImageClassification(ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=1,
        ...     intermediate_size=16, image_size=16, patch_size=8)).eval()
        >>> x = torch.randn(1, 3, 16, 16)
        >>> before = vit(x).logits
        >>> lift = quadratic_lift(vit, rank=2, target_modules=["fc1", "fc2"])
        >>> lift.print_trainable_parameters()
        trainable params: 256 || all params: 5,202 || trainable%: 4.9212
        >>> torch.equal(vit(x).logits, before)
        True
    """
    require_rank(rank)
    model = QuadraticLift.ready(model)
    return QuadraticLift(model, target_layers(model, target_modules, added_names(model)), rank)


def require_rank(rank: Any) -> None:
    """Raise ValueError if that is no rank."""
    if not isinstance(rank, int) or rank < 1:
        raise ValueError(f"A quadratic lift has a whole rank of 1 or more, and this is {rank!r}. Give rank=4, say.")
