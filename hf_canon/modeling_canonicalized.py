"""phi(x) = rho_out(g) . p( rho_in(g)^-1 . x ), with g = canonicalizer(x): a predictor that answers in the
canonical pose."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutput
from transformers.utils import ModelOutput

from .adaptation.attachment import attachments_of
from .adapters.saved import add_again
from .adapters.saving import AdapterModel
from .canonicalizers import Canonicalizer, PredictorCanonicalizer, build_canonicalizer
from .configuration_canonicalized import CanonicalizedConfig
from .groups import Group, get_group
from .groups.base import centre
from .groups.kinds import kind_from
from .outputs import (
    LABELS,
    Canonicalization,
    Inputs,
    Move,
    Rows,
    averaged,
    canonical_prompts,
    carry_back,
    further_members,
    require_finite,
    scale_of,
    with_canonicalization,
)
from .predictors.additions import added_names, freeze_statistics
from .predictors.predictor import Predictor
from .selection import DecisionRule, chosen_rule, decide

Objective = Callable[..., Tensor]
"""A loss `(model, x, labels, lengths)`, as `hf_canon.objectives` has them."""


class CanonicalizedModel(AdapterModel):
    """A frozen checkpoint behind a canonicalizer.

    Make one with `wrap`, or load one with `from_pretrained`; both return the class of the checkpoint's task.

    Example:
        >>> from transformers import ViTConfig, ViTForImageClassification
        >>> from hf_canon import CanonicalizedModel
        >>> vit = ViTForImageClassification(
        ...     ViTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=32)
        ... )
        >>> model = CanonicalizedModel.wrap(vit, group="d4", canonicalizer="orbit")
        >>> out = model(pixel_values=torch.rand(2, 3, 32, 32))
        >>> out.logits.shape, out.canonicalization.probabilities.shape
        (torch.Size([2, 2]), torch.Size([2, 8]))
    """

    config_class = CanonicalizedConfig
    main_input_name = "pixel_values"
    base_model_prefix = "predictor"
    accepts_loss_kwargs = False
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _keep_in_fp32_modules_strict: ClassVar[list[str]] = ["canonicalizer"]  # type: ignore[misc]

    task: ClassVar[str]
    """What the predictor is for, as `pipeline` calls it."""
    auto_class: ClassVar[Any]
    architectures: ClassVar[Mapping[str, Any]] = {}
    """The architectures of transformers that it wraps, by type of model."""
    rows: ClassVar[Rows]
    """How each field of the predictor's output transforms with the image."""
    labels: ClassVar[str | None] = None
    """The labels that transform with the input, of `hf_canon.outputs.labels`; None where they do not."""
    averages: ClassVar[tuple[str, ...]] = ()
    """Its fields that can be averaged over poses; the others are those of the likeliest one."""
    metric: ClassVar[str | None] = None
    """How answers are scored, of `hf_canon.evaluation.metrics`; None where nobody has said how."""

    def __init__(
        self,
        config: CanonicalizedConfig,
        checkpoint: Predictor | None = None,
        canonicalizer: Canonicalizer | None = None,
    ):
        super().__init__(config)
        self.group: Group = get_group(config.group).on(kind_from(config.input_kind))
        made_before = [] if checkpoint is None else list(checkpoint.module.modules())
        if checkpoint is None:
            checkpoint = Predictor(self.auto_class.from_config(config.base_config))
            add_again(checkpoint.module, config)
        self.checkpoint = checkpoint
        self.predictor: PreTrainedModel = checkpoint.module
        if canonicalizer is None:
            settings = config.canonicalizer_settings or {}
            canonicalizer = build_canonicalizer(config.canonicalizer, self.group, **settings)
        if made_before:  # and not on the way to weights that are loaded next
            made_before += canonicalizer.modules()
        if isinstance(canonicalizer, PredictorCanonicalizer):
            canonicalizer.attach(self.predictor, self.arguments)
        learned = config.canonicalizer_input or {"scale": Canonicalizer.scale, "offset": Canonicalizer.offset}
        canonicalizer.scale, canonicalizer.offset = tuple(learned["scale"]), tuple(learned["offset"])
        canonicalizer.group = self.group
        self.canonicalizer = canonicalizer
        # An adapter's weights are the canonicalizer's, and what was added: that the others are missing is no news to
        # Trainer. It compares with what load_state_dict misses, and that never misses a count of batches.
        names = self.predictor.state_dict().keys() - added_names(self.predictor)
        self._keys_to_ignore_on_save = {
            f"predictor.{name}" for name in names if not name.endswith("num_batches_tracked")
        }
        self.predictor.requires_grad_(False)
        # post_init gives new weights to whatever transformers itself has not loaded: a new head, LoRA.
        for module in made_before:
            module._is_hf_initialized = True
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Canonicalizers initialise themselves, and the predictor is initialised already."""

    # ------------------------------------------------------------------------------------------------- the equation

    def forward(
        self,
        pixel_values: Tensor | None = None,
        labels: Any = None,
        element: Tensor | None = None,
        canonicalize: bool = True,
        objective: Objective | None = None,
        crop: int | tuple[int, int] | None = None,
        input_values: Tensor | None = None,
        input_features: Tensor | None = None,
        decision: str | None = None,
        **kwargs: Any,
    ) -> ModelOutput:
        """The predictor's answer for the canonical input, carried back to the pose of the input.

        Args:
            pixel_values: `(batch, channels, height, width)`, for predictors that read images.
            labels: as the predictor takes them, for the input as it is; the loss is then the predictor's own, and
                maps and boxes are moved to the canonical pose first.
            element: `(batch,)`, the elements that happened to the inputs; the loss then has the cross-entropy of
                the pose. With a batch that was turned at random this trains the canonicalizer without labels in
                any loop.
            canonicalize: False gives the predictor's own answer for the input as it is.
            objective: the loss to return, alone; what `CanonicalizationTrainer` trains with.
            crop: of images with a margin, height and width (or the side) of the centre that the predictor is to
                see: turned by 45 degrees, its corners then hold what was there, in one resampling. Answers are for
                that centre.
            input_values: `(batch, samples)`, or a spectrogram, for predictors that read audio.
            input_features: a spectrogram, for predictors that call it so.
            decision: the name of a rule in `hf_canon.selection`, in place of the adapter's own. Where it asks about
                several elements, the loss and the fields that are not averaged are those of the likeliest.
            kwargs: passed to the predictor.

        Raises:
            ValueError: the group does not fit the input, the images are padded, an argument has places in the
                image that cannot be transformed, the predictor returns a field that cannot be carried back, or there
                is no such decision rule, or not for this model.
        """
        kwargs.pop("return_dict", None)
        x = self._input(pixel_values=pixel_values, input_values=input_values, input_features=input_features)
        inputs = Inputs(x, self.lengths(x, kwargs), kwargs, crop)
        if objective is not None:
            return ImageClassifierOutput(loss=objective(self, inputs.inner, labels, inputs.lengths))
        labelled = inputs
        if labels is not None:
            labels = centre(labels, crop) if self.labels == "maps" and crop is not None else labels
            labelled = replace(inputs, others={**kwargs, "labels": labels})
        if not canonicalize:
            return self.predictor(**{**labelled.others, self.checkpoint.input_name: inputs.inner})
        pose_loss = None
        if element is not None:
            pose_loss = self.canonicalizer.pose_loss(inputs.inner, element, lengths=inputs.lengths)
            if labels is None and self.training:
                return ImageClassifierOutput(loss=pose_loss)
        found = self.canonicalize(x, inputs.lengths, crop, decision)
        answer = self.ask(labelled, found.element, found.canonical)
        if pose_loss is not None:
            answer["loss"] = pose_loss if labels is None else answer["loss"] + pose_loss
        if self.rule(decision).averages:
            self._average(answer, found, inputs)
        return with_canonicalization(answer, found)

    def canonicalize(
        self,
        x: Tensor,
        lengths: Tensor | None = None,
        crop: int | tuple[int, int] | None = None,
        decision: str | None = None,
    ) -> Canonicalization:
        """Find which element happened to each input, and undo it. The predictor is not asked for its answer.

        In training mode the choice among the elements of a finite group has a gradient too.

        Args:
            x: `(batch, ...)`, as the checkpoint's processor makes it.
            lengths: `(batch,)`, how much of each is audio, where clips are padded to one length; images have none.
            crop: of images with a margin, height and width (or the side) of the centre that the predictor is to see.
            decision: the name of a rule in `hf_canon.selection`, in place of the adapter's own.

        Raises:
            ValueError: the group does not fit the shape of the input, or its numbers are whole ones, or none; or there
                is no such rule, or not for this model.
        """
        if not x.is_floating_point():
            raise ValueError(
                f"These inputs are whole numbers ({x.dtype}), as files have them, and {self.checkpoint.architecture} "
                "reads what its own processor makes of them. Use that one."
            )
        inputs, rule, calibration = Inputs(x, lengths, crop=crop), self.rule(decision), self.calibration
        self.group.check_shape(inputs.inner.shape)
        # Decisions are made in full precision, whatever the predictor and autocast use.
        with torch.autocast(x.device.type, enabled=False):
            logits = self.canonicalizer(inputs.inner, lengths).float()
        if not torch.compiler.is_compiling():
            require_finite(logits)
        probabilities = (logits if calibration is None else logits / calibration.temperature).softmax(-1)
        decided = decide(probabilities, self.canonicalizer.element(logits), self.group, rule, calibration)
        element = decided.decision.element
        # Outside of training, a caller without no_grad would pay for the whole orbit.
        if self.training and torch.is_grad_enabled() and logits.requires_grad and self.group.finite:
            canonical = self._straight_through(inputs, element, probabilities)
        else:
            canonical = inputs.transformed(self.group, self.group.inverse(element)).x
        return Canonicalization(
            element=element,
            probabilities=probabilities,
            canonical=canonical,
            logits=logits,
            confidence=decided.ranking.confidence,
            set=decided.members,
            size=decided.size,
            passes=decided.decision.passes,
            action=decided.decision.action,
        )

    def ask(
        self,
        inputs: Inputs,
        element: Tensor,
        canonical: Tensor | None = None,
        predict: Callable[..., Any] | None = None,
        read: Callable[[Any], dict[str, Any]] | None = None,
    ) -> Any:
        """rho_out(g) . p( rho_in(g)^-1 . x ): undo, predict, carry back.

        Args:
            inputs: as they came.
            element: `(batch,)`, what happened to each.
            canonical: the inputs with it undone, where they are at hand already.
            predict: what answers, by default the predictor.
            read: what of its output to carry back, by default all of it.

        Returns:
            What the predictor returns, for the inputs as they came; or of `read`, those fields.

        Raises:
            ValueError: an argument has places in the input that cannot be transformed, or the output a field that
                cannot be carried back.
        """
        undo = self.group.inverse(element)
        undone = inputs.transformed(self.group, undo, canonical)
        undone = replace(undone, x=undone.x.to(self.dtype), others=self.canonical_arguments(inputs.others, undo))
        output = self.predict(undone, predict)
        if not isinstance(output, Mapping):
            return output
        frames = None if undone.lengths is None else self.frames(inputs.x, undone.lengths)
        height, width = undone.x.shape[-2:]
        move = Move(self.group, element, (height, width), self.predictor.config, frames)
        if read is not None:
            return carry_back(read(output), self.rows, move)
        return type(output)(**carry_back(output, self.rows, move))

    def predict(self, inputs: Inputs, predict: Callable[..., Any] | None = None) -> Any:
        """What the predictor, or another of its methods, says of inputs as they are."""
        call = self.predictor if predict is None else predict
        return call(**self.arguments(inputs.x, inputs.lengths, inputs.others))

    def _average(self, answer: ModelOutput, found: Canonicalization, inputs: Inputs) -> None:
        """Ask the predictor about the other elements of a decision, all in one batch, and average them into `answer`:
        the weighted frames of Dym et al. (arXiv 2402.16077), sum over g of p(g | x) rho_out(g) p(rho_in(g)^-1 x)."""
        element, members = further_members(found, self.group)
        if not len(element):
            return
        further = self.ask(self.some_of(inputs, members.item), element, read=self._averaged_fields)
        for name, value in further.items():
            answer[name] = averaged(answer[name], value, members, scale_of(name, value, self.predictor.config))

    def _averaged_fields(self, output: ModelOutput) -> dict[str, Tensor]:
        return {name: output[name] for name in self.averages if isinstance(output.get(name), Tensor)}

    def _straight_through(self, inputs: Inputs, element: Tensor, probabilities: Tensor) -> Tensor:
        """The canonical input, with the gradient of the posterior's average over the transformed inputs.

        One-hot forward and softmax backward, over inputs and not over angles: halfway between 315 and 0 degrees is no
        pose at all.
        """
        one_hot = F.one_hot(element, probabilities.shape[-1]).to(probabilities.dtype)
        weights = (one_hot - probabilities.detach() + probabilities).to(inputs.x.dtype)
        undo = self.group.inverse(self.group.elements).to(inputs.x.device)
        item = torch.arange(len(inputs), device=inputs.x.device).repeat_interleave(len(undo))
        orbit = inputs[item].transformed(self.group, undo.repeat(len(inputs))).x.unflatten(0, (len(inputs), -1))
        return torch.einsum("bg,bg...->b...", weights, orbit)

    # --------------------------------------------------------------------- what a kind of input, or a task, may change

    def _input(self, **given: Tensor | None) -> Tensor:
        """What the predictor is to look at or listen to, of the inputs that were given."""
        wanted, given = self.checkpoint.input_name, {name: x for name, x in given.items() if x is not None}
        if list(given) != [wanted]:
            raise ValueError(
                f"{self.checkpoint.architecture} reads {wanted}, and was given {', '.join(given) or 'none of it'}. "
                f"Pass {wanted}, as its own processor makes it."
            )
        x = given[wanted]
        assert x is not None
        return x

    def inputs(self, given: Mapping[str, Tensor]) -> Inputs:
        """What a processor or a collator made, on the model's device and in its precision."""
        name = self.checkpoint.input_name
        others = {key: value.to(self.device) for key, value in given.items() if key != name}
        x = given[name].to(self.device, self.dtype)
        return Inputs(x, self.lengths(x, others), others)

    def some_of(self, inputs: Inputs, item: Tensor) -> Inputs:
        """Some of a batch, `(n,)`, with the arguments that belong to them."""
        return inputs[item]

    def arguments(
        self, x: Tensor, lengths: Tensor | None = None, others: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """The predictor's arguments for inputs of those lengths; `others` were given with the inputs."""
        return {**(others or {}), self.checkpoint.input_name: x}

    def lengths(self, x: Tensor, arguments: dict[str, Any]) -> Tensor | None:
        """How much of each clip is no padding, `(batch,)`; None for images, and for clips of one length."""
        return None

    def frames(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor] | None:
        """How many frames the predictor answers with: for canonical clips of those lengths, `(batch,)`; for `x`,
        `()`."""
        return None

    def canonical_arguments(self, arguments: dict[str, Any], undo: Tensor) -> dict[str, Any]:
        """The predictor's other arguments, for the canonical input.

        Raises:
            ValueError: one of them says something about the input as it is that cannot be transformed.
        """
        if arguments.get("labels") is not None:
            arguments = {**arguments, "labels": self.canonical_labels(arguments["labels"], undo)}
        return canonical_prompts(arguments, self.group, undo, self.predictor.config)

    def canonical_labels(self, labels: Any, undo: Tensor) -> Any:
        """The labels for the canonical input: `undo` happens to them as it did to the input."""
        return labels if self.labels is None else LABELS[self.labels](self.group, undo, labels)

    # --------------------------------------------------------------------------------------- decisions, modes, devices

    def rule(self, name: str | None = None) -> DecisionRule:
        """The decision rule of that name, by default the adapter's own. Training goes by the likeliest element.

        Raises:
            ValueError: there is no such rule, it needs a calibration that this model does not have, or it averages
                answers that cannot be averaged.
        """
        name = "argmax" if self.training else name or self.config.decision
        return chosen_rule(name, self.calibration, bool(self.averages), self.task)

    def train_predictor(self, trained: bool = True) -> None:
        """Let gradients reach the predictor: what was added to it (PEFT, an attachment), or else all of it. False
        freezes it again.

        A predictor that was trained as a whole is saved with the canonicalizer from then on: no base has its weights.
        """
        added = added_names(self.predictor)
        self.config.includes_predictor = self.config.includes_predictor or (trained and not added)
        for name, parameter in self.predictor.named_parameters():
            parameter.requires_grad_(trained and (not added or name in added))
        for attachment in attachments_of(self.predictor).values():
            attachment.train_again(trained)

    def train(self, mode: bool = True) -> "CanonicalizedModel":
        """Training mode, except for what is frozen: a frozen predictor's dropout stays off, and running statistics
        that would not be saved stay what they are."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.predictor.parameters()):
            self.predictor.eval()
        elif added_names(self.predictor):
            freeze_statistics(self.predictor)
        return self

    @property
    def device(self) -> torch.device:
        return self.predictor.device

    @property
    def dtype(self) -> torch.dtype:
        return self.predictor.dtype

    def get_input_embeddings(self) -> nn.Module:
        return self.predictor.get_input_embeddings()
