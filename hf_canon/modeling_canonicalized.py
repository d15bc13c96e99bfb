"""phi(x) = rho_out(g) . p( rho_in(g)^-1 . x ), with g = canonicalizer(x): a predictor that answers in the
canonical pose."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutput
from transformers.utils import SAFE_WEIGHTS_NAME, ModelOutput, logging

from .adaptation import ATTACHMENTS
from .adaptation.attachment import attachment_settings, attachments_of
from .adapters.architectures import class_for, class_of
from .adapters.pairing import (
    Source,
    bound_group,
    describe_move,
    describe_pair,
    fill,
    find_predictor,
    live_predictor,
    make_canonicalizer,
    remake_canonicalizer,
    require_adapter,
    require_complete,
    require_same_base,
    still_holds,
)
from .canonicalizers import Canonicalizer, PredictorCanonicalizer, build_canonicalizer, fitting
from .canonicalizers.orbit import Backbone
from .configuration_canonicalized import CanonicalizedConfig
from .groups import Group, Planar, Product, get_group
from .groups.kinds import kind_from
from .groups.planar import centre
from .outputs import PLACED, UNPLACED, Canonicalization, Members, Move, Rows, averaged, carry_back, moved, scale_of
from .predictors.additions import added_names, freeze_statistics
from .predictors.fingerprint import differ, fingerprint
from .predictors.hub_files import (
    HUB_ARGUMENTS,
    load_predictor,
    pinned,
    processor_files,
    saved_files,
    where_of,
    within_reach,
)
from .predictors.inputs import input_channels, input_name
from .predictors.peft import add_peft
from .reports.robustness import RobustnessReport
from .selection import Calibration, DecisionRule, chosen_rule, decide, rank

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo


logger = logging.get_logger(__name__)

Objective = Callable[..., Tensor]
"""A loss `(model, x, labels, lengths)`, as `hf_canon.objectives` has them."""


class CanonicalizedModel(PreTrainedModel):
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
    config: CanonicalizedConfig
    main_input_name = "pixel_values"
    base_model_prefix = "predictor"
    accepts_loss_kwargs = False
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _keep_in_fp32_modules_strict: ClassVar[list[str]] = ["canonicalizer"]  # type: ignore[misc]

    task: ClassVar[str]
    auto_class: ClassVar[Any]
    rows: ClassVar[Rows]
    """How each field of the predictor's output moves with the picture."""
    averages: ClassVar[tuple[str, ...]] = ()
    """Its fields that can be averaged over poses; the others are those of the likeliest one."""

    def __init__(
        self,
        config: CanonicalizedConfig,
        predictor: PreTrainedModel | None = None,
        canonicalizer: Canonicalizer | None = None,
    ):
        super().__init__(config)
        self.group: Group = get_group(config.group).on(kind_from(config.input_kind))
        made_before = [] if predictor is None else list(predictor.modules())
        if predictor is None:
            predictor = self.auto_class.from_config(config.base_config)
            add_again(predictor, config)
        self.predictor = predictor
        if canonicalizer is None:
            settings = config.canonicalizer_settings or {}
            canonicalizer = build_canonicalizer(config.canonicalizer, self.group, **settings)
        if made_before:  # and not on the way to weights that are loaded next
            made_before += canonicalizer.modules()
        if isinstance(canonicalizer, PredictorCanonicalizer):
            canonicalizer.attach(predictor, self.arguments)
        learned = config.canonicalizer_input or {"scale": Canonicalizer.scale, "shift": Canonicalizer.shift}
        canonicalizer.scale, canonicalizer.shift = tuple(learned["scale"]), tuple(learned["shift"])
        canonicalizer.group = self.group
        self.canonicalizer = canonicalizer
        self.processor_files: dict[str, bytes] = {}  # of the predictor's processor, to be saved with an adapter
        # An adapter's weights are the canonicalizer's, and what was added: that the others are missing is no news to
        # Trainer. It compares with what load_state_dict misses, and that never misses a count of batches.
        names = predictor.state_dict().keys() - added_names(predictor)
        self._keys_to_ignore_on_save = {
            f"predictor.{name}" for name in names if not name.endswith("num_batches_tracked")
        }
        predictor.requires_grad_(False)
        # post_init gives new weights to whatever transformers itself has not loaded: a new head, LoRA.
        for module in made_before:
            module._is_hf_initialized = True  # type: ignore[assignment]
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Canonicalizers initialise themselves, and the predictor is initialised already."""

    @classmethod
    def wrap(
        cls,
        checkpoint: "str | os.PathLike[str] | PreTrainedModel",
        group: str | Group | None = None,
        canonicalizer: str | nn.Module | None = None,
        canonicalizer_settings: dict[str, Any] | None = None,
        adapter: str | os.PathLike[str] | None = None,
        processor: Any = None,
        **base_kwargs: Any,
    ) -> "CanonicalizedModel":
        """Put a canonicalizer in front of a checkpoint, which is frozen: a new one, or that of an adapter.

        Args:
            checkpoint: a Hub id, a folder, or a live model (wrapped as it is, not copied). It may carry LoRA or
                another PEFT adapter, whose weights are then saved with the canonicalizer's.
            group: what happens to the inputs, as in `get_group`; by default "c4" for pictures, "speed12" for sound.
            canonicalizer: "orbit", "equivariant", "shift", "moment" or "predictor", by default the one that fits the
                group; or a `Canonicalizer`; or any scoring network, a module from images `(batch, channels, height,
                width)` to embeddings `(batch, features)`, to be used on the orbit.
            canonicalizer_settings: keyword arguments of the canonicalizer.
            adapter: Hub id or folder of an adapter that was trained with this or another checkpoint of the same input
                kind. Its canonicalizer is taken over, and told if this checkpoint's processor normalizes otherwise.
            processor: the checkpoint's processor, for a live model that was not loaded from a folder that has it
                beside it. It says what the numbers mean that the checkpoint reads.
            base_kwargs: passed to the checkpoint's `from_pretrained` (`dtype`, `device_map`, `revision`, `token`,
                ...).

        Raises:
            ValueError: the task of the checkpoint is not covered, group and canonicalizer are unknown or disagree, or
                the adapter does not fit the checkpoint.
            OSError: there is no such checkpoint or adapter.
        """
        if adapter is not None and (group is not None or isinstance(canonicalizer, str) or canonicalizer_settings):
            raise ValueError(
                f"The adapter {os.fspath(adapter)} has its own group and canonicalizer. "
                "Leave out group, canonicalizer and canonicalizer_settings, or leave out adapter."
            )
        group = get_group(group) if isinstance(group, str) else group
        predictor, source = find_predictor(checkpoint, base_kwargs)
        if processor is not None:
            source = replace(source, processor=saved_files(processor))
        model_class = class_for([type(predictor).__name__], "This predictor")
        if adapter is not None:
            where = where_of(adapter)
            hub_kwargs = pinned(where, within_reach(base_kwargs))
            config = require_adapter(where, None, hub_kwargs)
            module = None if isinstance(canonicalizer, str) else canonicalizer
            return model_class._with_adapter(predictor, source, where, config, hub_kwargs, module)
        group = bound_group(group, predictor, source)
        channels = input_channels(predictor.config)
        built = make_canonicalizer(canonicalizer or fitting(group), group, channels, canonicalizer_settings or {})
        config = describe_pair(predictor, source, model_class.task, group, built.name, built.settings)
        model = model_class(config, predictor, built)
        model.processor_files = source.processor
        if predictor.device.type != "meta":
            built.to(predictor.device)
        return model.eval()

    @classmethod
    def _with_adapter(
        cls,
        predictor: PreTrainedModel,
        source: Source,
        where: str,
        config: CanonicalizedConfig,
        hub_kwargs: dict[str, Any],
        canonicalizer: nn.Module | None,
        added: bool = False,
    ) -> "CanonicalizedModel":
        """A live predictor behind the canonicalizer of an adapter; and, if `added`, with what the adapter adds to its
        own, unless something was added to this one already."""
        attached = [f"a {ATTACHMENTS[kind].noun}" for kind in config.predictor_attachments or {}]
        held = " and ".join((["PEFT weights"] if config.predictor_peft is not None else []) + attached)
        added = added and bool(held) and not added_names(predictor)
        if added:
            add_again(predictor, config)
        elif held:
            logger.warning(f"The adapter {where} also holds {held} for its own checkpoint, which is left out.")
        config = describe_move(predictor, source, cls.task, where, config, hub_kwargs)
        model = cls(config, predictor, remake_canonicalizer(canonicalizer, config))
        names = [name for name in model._adapter_names() if added or name.startswith("canonicalizer.")]
        fill(model, names, where, hub_kwargs)
        model.processor_files = source.processor
        return model.eval()

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *args: Any,
        config: PreTrainedConfig | None = None,
        revision: str = "main",
        token: str | bool | None = None,
        predictor: PreTrainedModel | None = None,
        canonicalizer: nn.Module | None = None,
        decision: str | None = None,
        **base_kwargs: Any,
    ) -> "CanonicalizedModel":
        """Load an adapter and the checkpoint that it was trained for.

        Args:
            pretrained_model_name_or_path: Hub id or folder of the adapter.
            config: replaces the saved configuration.
            revision: of the adapter; the checkpoint's commit is pinned in the configuration.
            token: for private repositories.
            predictor: a live model to use in place of the recorded checkpoint.
            canonicalizer: the canonicalizer, or the scoring network of an `orbit`, that `wrap` was given as a module;
                the saved weights are loaded into it.
            decision: the rule in `hf_canon.selection` by which the model decides from then on, in place of the one
                that the adapter was saved with.
            base_kwargs: passed to the checkpoint's `from_pretrained` (`dtype`, `device_map`,
                `attn_implementation`, `trust_remote_code`, ...).

        Raises:
            ValueError: what is there is not an adapter of hf_canon, its weights do not fit its configuration, or it
                cannot decide by that rule.
            OSError: the adapter or its checkpoint cannot be found.
        """
        where = where_of(pretrained_model_name_or_path)
        hub_kwargs: dict[str, Any] = {"revision": revision, "token": token}
        hub_kwargs |= {key: base_kwargs.pop(key) for key in HUB_ARGUMENTS if key in base_kwargs}
        hub_kwargs = pinned(where, hub_kwargs)
        output_loading_info = base_kwargs.pop("output_loading_info", False)
        trust_remote_code = base_kwargs.pop("trust_remote_code", None)  # an adapter has no code that would run
        for consumed in ("_from_auto", "adapter_kwargs", "_commit_hash"):
            base_kwargs.pop(consumed, None)
        config = require_adapter(where, config, hub_kwargs)
        model_class = class_of(config, where)
        if decision is not None:
            calibration = None if config.calibration is None else Calibration.from_dict(config.calibration)
            config.decision = chosen_rule(decision, calibration, bool(model_class.averages), model_class.task).name
        if predictor is not None:
            predictor, source = live_predictor(predictor)
            found = model_class._with_adapter(predictor, source, where, config, hub_kwargs, canonicalizer, added=True)
            if decision is not None:
                found.config.decision = found.rule(decision).name
            return found
        if config.includes_predictor:
            if canonicalizer is not None:
                base_kwargs["canonicalizer"] = remake_canonicalizer(canonicalizer, config)
            loaded: Any = super(CanonicalizedModel, model_class).from_pretrained(
                where, *args, config=config, output_loading_info=True, **hub_kwargs, **base_kwargs
            )
            full, info = loaded
            require_complete(info, config, where)
            # Loading has replaced the parameters, and with them what was frozen.
            full.predictor.requires_grad_(False)
            for module in full.canonicalizer.modules():
                if isinstance(module, Backbone):
                    module.model.requires_grad_(not module.freeze)
            full.processor_files = processor_files(where, hub_kwargs)
            return loaded if output_loading_info else full
        base = config.base_name_or_path
        if base is None:
            raise ValueError(f"The adapter {where} names no base checkpoint. Pass the loaded one as predictor=.")
        kwargs = {"revision": config.base_revision, **within_reach(hub_kwargs), **base_kwargs}
        if config.base_subfolder is not None:
            kwargs["subfolder"] = config.base_subfolder
        if trust_remote_code is not None:
            kwargs["trust_remote_code"] = trust_remote_code
        predictor = load_predictor(model_class.auto_class, base, kwargs, where)
        require_same_base(predictor, config, where)
        add_again(predictor, config)
        model = model_class(config, predictor, remake_canonicalizer(canonicalizer, config))
        fill(model, model._adapter_names(), where, hub_kwargs)
        model.processor_files = processor_files(where, hub_kwargs)
        model.eval()
        if output_loading_info:
            nothing: dict[str, set[str]] = {"missing_keys": set(), "unexpected_keys": set(), "mismatched_keys": set()}
            return model, nothing  # type: ignore[return-value]
        return model

    def save_pretrained(  # type: ignore[override]
        self,
        save_directory: str | os.PathLike[str],
        is_main_process: bool = True,
        state_dict: dict[str, Tensor] | None = None,
        full: bool | None = None,
        report: RobustnessReport | None = None,
        overwrite_card: bool = False,
        **kwargs: Any,
    ) -> None:
        """Save the adapter: configuration, the canonicalizer's weights, the processor's configuration, and a card.

        Everything is written beside and moved into place when it is whole: a full disk leaves what was there before.

        Args:
            save_directory: made if it does not exist.
            is_main_process: whether this process writes.
            state_dict: the model's weights, where a distributed trainer has gathered them.
            full: save the predictor as well, so that loading needs no base. By default it is saved if it is being
                trained (its own parameters require gradients) or came that way: no base would have those weights.
            report: what `evaluate_robustness` found, to be shown on the card.
            overwrite_card: replace a README.md that somebody has edited. One that nobody edited is always renewed.
            kwargs: passed to `PreTrainedModel.save_pretrained` when `full`.

        Raises:
            ValueError: the predictor came from no folder or Hub id that a reload could find, or has other weights by
                now; or `save_directory` is a file, or the folder of another checkpoint.
            OSError: the folder cannot be written.
        """
        came_full = self.config.includes_predictor
        if full is None:
            added = added_names(self.predictor)
            full = came_full or any(p.requires_grad and n not in added for n, p in self.predictor.named_parameters())
        if came_full and not full:
            raise ValueError(
                "This model was loaded with its predictor, and no other checkpoint is known to have those weights. "
                "Save it with full=True."
            )
        if not full and self.config.base_name_or_path is None:
            raise ValueError(
                "This predictor was never saved, so an adapter could not say which checkpoint it belongs to. "
                "Save it with predictor.save_pretrained(folder) and wrap the folder, or save with full=True."
            )
        if Path(save_directory).is_file():
            raise ValueError(f"{save_directory} is a file, and an adapter is saved in a folder. Name another place.")
        if not full and differ(fingerprint(self.predictor), self.config.base_fingerprint):
            raise ValueError(
                f"The predictor no longer has the weights of {self.config.base_name_or_path}, which the adapter would "
                "name. Save both with full=True."
            )
        if not full and kwargs:
            raise ValueError(
                f"{', '.join(kwargs)} mean nothing for an adapter, which is one small file. Leave them out."
            )
        if kwargs.get("push_to_hub"):
            raise ValueError(
                "push_to_hub=True would upload without a card. Call model.push_to_hub(repo_id, full=True)."
            )
        if not is_main_process:
            return
        self._forget_stale_calibration()
        # Which may have come or gone since it was wrapped.
        self.config.predictor_attachments = attachment_settings(self.predictor)
        from .hub import complete_folder, is_repository, require_ours, staged_folder

        require_ours(save_directory)
        with staged_folder(save_directory) as folder:
            if full:
                ignored, self._keys_to_ignore_on_save = self._keys_to_ignore_on_save, None
                base = self.config.base_name_or_path
                self.config.includes_predictor = True
                if base is not None and not is_repository(base):
                    self.config.base_name_or_path = None  # a folder that nobody needs again
                try:
                    # Trainer goes on from weights by the names they have in memory; older names would be lost there.
                    super().save_pretrained(folder, state_dict=state_dict, save_original_format=False, **kwargs)
                finally:
                    self._keys_to_ignore_on_save = ignored
                    self.config.includes_predictor = came_full
                    self.config.base_name_or_path = base
            else:
                state = self.state_dict() if state_dict is None else state_dict
                # Cloned: weights that are used twice are stored twice, and loaded into both places.
                own = {name: state[name].clone().contiguous() for name in self._adapter_names()}
                self.config.architectures = [type(self).__name__]
                self.config.save_pretrained(folder)
                save_file(own, Path(folder) / SAFE_WEIGHTS_NAME, metadata={"format": "pt"})
            complete_folder(folder, save_directory, self.processor_files, report, overwrite_card)

    def _forget_stale_calibration(self) -> None:
        """A calibration holds for the weights that it was made with, and for no others."""
        calibration = self.calibration
        if calibration is not None and not still_holds(calibration, self.canonicalizer, self.predictor):
            logger.warning(
                "The canonicalizer or the predictor was trained on since they were calibrated, and what the "
                "calibration promised no longer holds: it is left out, and the rule is 'argmax' again. Call "
                "hf_canon.calibrate once more."
            )
            self.config.calibration, self.config.decision = None, "argmax"

    def push_to_hub(  # type: ignore[override]
        self,
        repo_id: str,
        *,
        report: RobustnessReport | None = None,
        full: bool | None = None,
        overwrite_card: bool = False,
        **hub_kwargs: Any,
    ) -> "CommitInfo":
        """Save the adapter as `save_pretrained` does, and upload it in one commit.

        Args:
            repo_id: `owner/name`; made if it does not exist.
            report: what `evaluate_robustness` found, to be shown on the card.
            full: as in `save_pretrained`.
            overwrite_card: replace a card on the Hub that somebody has edited.
            hub_kwargs: `private`, `token`, `revision`, `commit_message` and `create_pr`, as in `push_folder`.

        Raises:
            ValueError: the checkpoint is a folder of this machine, where nobody else could load it.
            OSError: the Hub cannot be reached, or does not let you.
        """
        from .hub import push_folder

        with TemporaryDirectory() as folder:
            self.save_pretrained(folder, full=full, report=report)
            return push_folder(folder, repo_id, overwrite_card=overwrite_card, **hub_kwargs)

    def _adapter_names(self) -> list[str]:
        """The names, in the state dict, of what an adapter saves."""
        own = [f"canonicalizer.{name}" for name in self.canonicalizer.state_dict()]
        return own + sorted(f"predictor.{name}" for name in added_names(self.predictor))

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

    @property
    def calibration(self) -> Calibration | None:
        """What `hf_canon.calibrate` found; None for a model that was not calibrated."""
        found = self.config.calibration
        return None if found is None else Calibration.from_dict(found)

    def rule(self, name: str | None = None) -> DecisionRule:
        """The decision rule of that name, by default the adapter's own. Training goes by the likeliest element.

        Raises:
            ValueError: there is no such rule, it needs a calibration that this model does not have, or it averages
                answers that cannot be averaged.
        """
        name = "argmax" if self.training else name or self.config.decision
        return chosen_rule(name, self.calibration, bool(self.averages), self.task)

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
            lengths: `(batch,)`, how much of each is sound, where sounds are padded to one length; pictures have none.
            crop: of pictures with a margin, height and width (or the side) of the centre that the predictor is to see.
            decision: the name of a rule in `hf_canon.selection`, in place of the adapter's own.

        Raises:
            ValueError: the group does not fit the shape of the input, or its numbers are whole ones, or none; or there
                is no such rule, or not for this model.
        """
        if not x.is_floating_point():
            raise ValueError(
                f"These inputs are whole numbers ({x.dtype}), as files have them, and {type(self.predictor).__name__} "
                "reads what its own processor makes of them. Use that one."
            )
        rule, calibration = self.rule(decision), self.calibration
        inner = x if crop is None else centre(x, crop)
        self.group.check_shape(inner.shape)
        # Decisions are made in full precision, whatever the predictor and autocast use.
        with torch.autocast(x.device.type, enabled=False):
            logits = self.canonicalizer(inner, lengths).float()
        if not torch.compiler.is_compiling():
            require_finite(logits)
        probabilities = (logits if calibration is None else logits / calibration.temperature).softmax(-1)
        decided = decide(probabilities, self.canonicalizer.element(logits), self.group, rule, calibration)
        element = decided.decision.element
        # Outside of training, a caller without no_grad would pay for the whole orbit.
        if self.training and torch.is_grad_enabled() and logits.requires_grad and self.group.finite:
            canonical = self._straight_through(x, element, probabilities, lengths, crop)
        else:
            canonical = self._move(x, self.group.inverse(element), lengths, crop)
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

    def _move(self, x: Tensor, element: Tensor, lengths: Tensor | None, crop: int | tuple[int, int] | None) -> Tensor:
        """Each input moved by its own element; of pictures with a margin the centre, into which a turn brings what
        was there."""
        if crop is None:
            return self.group.act(x, element, lengths)
        if isinstance(self.group, Planar | Product) and self.group.planar_part(element) is not None:
            return self.group.act(x, element, crop=crop)
        return self.group.act(centre(x, crop), element)

    def _straight_through(
        self,
        x: Tensor,
        element: Tensor,
        probabilities: Tensor,
        lengths: Tensor | None,
        crop: int | tuple[int, int] | None,
    ) -> Tensor:
        """The canonical input, with the gradient of the posterior's average over the transformed inputs.

        One-hot forward and softmax backward, over inputs and not over angles: halfway between 315 and 0 degrees is no
        pose at all.
        """
        one_hot = F.one_hot(element, probabilities.shape[-1]).to(probabilities.dtype)
        weights = (one_hot - probabilities.detach() + probabilities).to(x.dtype)
        undo = self.group.inverse(self.group.elements)
        if crop is None:
            orbit = self.group.orbit(x, undo, lengths)
        else:
            copies = x.repeat_interleave(len(undo), 0)
            orbit = self._move(copies, undo.to(x.device).repeat(len(x)), None, crop).unflatten(0, (len(x), -1))
        return torch.einsum("bg,bg...->b...", weights, orbit)

    def train(self, mode: bool = True) -> "CanonicalizedModel":
        """Training mode, except for what is frozen: a frozen predictor's dropout stays off, and running statistics
        that would not be saved stay what they are."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.predictor.parameters()):
            self.predictor.eval()
        elif added_names(self.predictor):
            freeze_statistics(self.predictor)
        return self

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
            pixel_values: `(batch, channels, height, width)`, for predictors that look at pictures.
            labels: as the predictor takes them, for the input as it is; the loss is then the predictor's own, and
                maps and boxes are moved to the canonical pose first.
            element: `(batch,)`, the elements that happened to the inputs; the loss then has the cross-entropy of
                the pose. With a batch that was turned at random this trains the canonicalizer without labels in
                any loop.
            canonicalize: False gives the predictor's own answer for the input as it is.
            objective: the loss to return, alone; what `CanonicalizationTrainer` trains with.
            crop: of pictures with a margin, height and width (or the side) of the centre that the predictor is to
                see: turned by 45 degrees, its corners then hold what was there, in one resampling. Answers are for
                that centre.
            input_values: `(batch, samples)`, or a spectrogram, for predictors that listen.
            input_features: a spectrogram, for predictors that call it so.
            decision: the name of a rule in `hf_canon.selection`, in place of the adapter's own. Where it asks about
                several elements, the loss and the fields that are not averaged are those of the likeliest.
            kwargs: passed to the predictor.

        Raises:
            ValueError: the group does not fit the input, the pictures are padded, an argument has places in the
                picture that cannot be moved, the predictor returns a field that cannot be carried back, or there is no
                such decision rule, or not for this model.
        """
        kwargs.pop("return_dict", None)
        given = _given(pixel_values=pixel_values, input_values=input_values, input_features=input_features)
        x = self._input(given)
        lengths = self.lengths(x, kwargs)
        inner = x if crop is None else centre(x, crop)
        if objective is not None:
            return ImageClassifierOutput(loss=objective(self, inner, labels, lengths))
        if not canonicalize:
            return self.predictor(**{input_name(self.predictor): inner}, **_given(labels=labels), **kwargs)
        if element is not None and labels is None and self.training:
            return ImageClassifierOutput(loss=self.canonicalizer.pose_loss(inner, element, lengths=lengths))
        canonicalization = self.canonicalize(x, lengths, crop, decision)
        assert canonicalization.canonical is not None
        undo = self.group.inverse(canonicalization.element)
        given_besides = kwargs
        if labels is not None:
            kwargs = {**kwargs, "labels": self.canonical_labels(labels, undo)}
        kwargs = self.canonical_arguments(kwargs, undo)
        canonical = canonicalization.canonical.to(self.dtype)
        canonical_lengths = None if lengths is None else self.group.moved_lengths(lengths, undo, canonical)
        output = self.predictor(**self.arguments(canonical, canonical_lengths, kwargs))
        if element is not None:
            pose_loss = self.canonicalizer.pose_loss(inner, element, lengths=lengths)
            output["loss"] = pose_loss if labels is None else output.loss + pose_loss
        frames = None if canonical_lengths is None else self.frames(x, canonical_lengths)
        answer = carry_back(output, self.rows, self.group, canonicalization, self.predictor.config, frames)
        if self.rule(decision).averages:
            self._average(answer, canonicalization, x, lengths, crop, given_besides)
        return answer

    def _average(
        self,
        answer: ModelOutput,
        found: Canonicalization,
        x: Tensor,
        lengths: Tensor | None,
        crop: int | tuple[int, int] | None,
        arguments: dict[str, Any],
    ) -> None:
        """Ask the predictor about the other elements of a decision, all in one batch, and average them into `answer`:
        the weighted frames of Dym et al. (arXiv 2402.16077), sum over g of p(g | x) rho_out(g) p(rho_in(g)^-1 x)."""
        assert found.probabilities is not None and found.passes is not None
        ranking = rank(found.probabilities, self.group, found.element)
        asked = torch.arange(ranking.element.shape[1], device=x.device) < found.passes.unsqueeze(1)
        weight = ranking.probability * asked
        weight = weight / weight.sum(1, keepdim=True)
        item, place = asked[:, 1:].nonzero(as_tuple=True)
        if not len(item):
            return
        place = place + 1
        element = ranking.element[item, place]
        undo = self.group.inverse(element)
        before = None if lengths is None else lengths[item]
        canonical = self._move(x[item], undo, before, crop).to(self.dtype)
        after = None if before is None else self.group.moved_lengths(before, undo, canonical)
        others = self.canonical_arguments(self.arguments_of(arguments, item, len(x)), undo)
        output = self.predictor(**self.arguments(canonical, after, others))
        frames = None if after is None else self.frames(x, after)
        height, width = canonical.shape[-2:]
        move = Move(self.group, element, (height, width), self.predictor.config, frames)
        fields = {name: output[name] for name in self.averages if isinstance(output.get(name), Tensor)}
        members = Members(weight[:, 0], item, weight[item, place])
        for name, further in moved(fields, self.rows, move).items():
            answer[name] = averaged(answer[name], further, members, scale_of(name, further, self.predictor.config))

    def arguments_of(self, arguments: dict[str, Any], item: Tensor, batch: int) -> dict[str, Any]:
        """The predictor's other arguments for some of the inputs of a batch."""
        return {
            name: value[item] if isinstance(value, Tensor) and value.ndim and len(value) == batch else value
            for name, value in arguments.items()
        }

    def _input(self, given: dict[str, Tensor]) -> Tensor:
        """What the predictor is to look at or listen to, of the inputs that were given."""
        wanted = input_name(self.predictor)
        if list(given) != [wanted]:
            raise ValueError(
                f"{type(self.predictor).__name__} reads {wanted}, and was given {', '.join(given) or 'none of it'}. "
                f"Pass {wanted}, as its own processor makes it."
            )
        return given[wanted]

    def arguments(
        self, x: Tensor, lengths: Tensor | None = None, others: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """The predictor's arguments for inputs of those lengths; `others` were given with the inputs."""
        return {**(others or {}), input_name(self.predictor): x}

    def lengths(self, x: Tensor, arguments: dict[str, Any]) -> Tensor | None:
        """How much of each sound is no padding, `(batch,)`; None for pictures, and for sounds of one length."""
        return None

    def frames(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor] | None:
        """How many frames the predictor answers with: for canonical sounds of those lengths, `(batch,)`; for `x`,
        `()`."""
        return None

    def canonical_arguments(self, arguments: dict[str, Any], undo: Tensor) -> dict[str, Any]:
        """The predictor's other arguments, for the canonical input.

        Raises:
            ValueError: one of them says something about the input as it is that cannot be moved.
        """
        unplaced = [name for name in UNPLACED if arguments.get(name) is not None]
        if unplaced:
            raise ValueError(
                f"{', '.join(unplaced)} were found for a picture in another pose than the canonical one, and cannot "
                "be moved. Leave them out, or pass canonicalize=False."
            )
        mask = arguments.get("pixel_mask")
        if mask is not None and not bool(mask.all()):
            raise ValueError(
                "The pictures are padded to one size, and padding does not move with a picture: a turned one has it "
                "elsewhere, and a tinted one in the same colour. Resize them to one size: "
                "processor(..., do_pad=False, size={'height': 640, 'width': 640})."
            )
        turned = self.group.planar_part(undo)
        if turned is None:
            return arguments
        placed = {name: value for name, value in arguments.items() if name in PLACED and value is not None}
        moved = {name: PLACED[name](*turned, value, self.predictor.config) for name, value in placed.items()}
        return {**arguments, **moved}

    def canonical_labels(self, labels: Any, undo: Tensor) -> Any:
        """The labels for the canonical input: `undo` happens to them as it did to the picture."""
        return labels

    @property
    def device(self) -> torch.device:
        return self.predictor.device

    @property
    def dtype(self) -> torch.dtype:
        return self.predictor.dtype

    def get_input_embeddings(self) -> nn.Module:
        return self.predictor.get_input_embeddings()


def require_finite(logits: Tensor) -> None:
    """Raise ValueError if an input had numbers in it that are none: they reach the canonicalizer's scores."""
    finite = logits.isfinite().all(-1)
    if not bool(finite.all()):
        odd = (~finite).nonzero().flatten().tolist()
        raise ValueError(
            f"Of the inputs in this batch, {odd} hold NaN or infinite values (or the canonicalizer's weights do), and "
            "have no pose. Look at what the processor made of them, and leave them out."
        )


def add_again(predictor: PreTrainedModel, config: CanonicalizedConfig) -> None:
    """Give a plain predictor what was added to it before it was saved, with weights yet to be loaded."""
    if config.predictor_peft is not None:
        add_peft(predictor, config.predictor_peft)
    for kind, settings in (config.predictor_attachments or {}).items():
        ATTACHMENTS[kind].again(predictor, settings)


def _given(**arguments: Any) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}
