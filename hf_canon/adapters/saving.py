"""How a canonicalized model is made, loaded, saved and shared; what it computes is in `modeling_canonicalized.py`."""

import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Self

from huggingface_hub import CommitInfo
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import SAFE_WEIGHTS_NAME, logging

from ..adaptation.attachment import attachment_settings
from ..canonicalizers import Canonicalizer, fitting
from ..canonicalizers.orbit import Backbone
from ..configuration_canonicalized import CanonicalizedConfig
from ..groups import Group, get_group
from ..hub import complete_folder, is_repository, push_folder, require_ours, staged_folder
from ..predictors.additions import added_names
from ..predictors.fingerprint import differ
from ..predictors.hub_files import HUB_ARGUMENTS, load_predictor, within_reach
from ..predictors.predictor import Predictor, Source
from ..reports.robustness import RobustnessReport
from ..selection import Calibration, chosen_rule
from .architectures import class_for, class_of
from .pairing import (
    describe_pair,
    describe_transfer,
    find_predictor,
    live_predictor,
    make_canonicalizer,
    remake_canonicalizer,
    still_holds,
)
from .saved import SavedAdapter, add_again

logger = logging.get_logger(__name__)


class AdapterModel(PreTrainedModel):
    """A model that is saved as the adapter of a checkpoint."""

    config: CanonicalizedConfig
    checkpoint: Predictor
    predictor: PreTrainedModel
    canonicalizer: Canonicalizer
    task: ClassVar[str]
    auto_class: ClassVar[Any]
    averages: ClassVar[tuple[str, ...]]

    # ---------------------------------------------------------------------------------------------- made and loaded

    @classmethod
    def wrap(
        cls,
        checkpoint: str | os.PathLike[str] | PreTrainedModel,
        group: str | Group | None = None,
        canonicalizer: str | nn.Module | None = None,
        canonicalizer_settings: dict[str, Any] | None = None,
        adapter: str | os.PathLike[str] | None = None,
        processor: Any = None,
        **base_kwargs: Any,
    ) -> Self:
        """Put a canonicalizer in front of a checkpoint, which is frozen: a new one, or that of an adapter.

        Args:
            checkpoint: a Hub id, a folder, or a live model (wrapped as it is, not copied). It may carry LoRA or
                another PEFT adapter, whose weights are then saved with the canonicalizer's.
            group: what happens to the inputs, as in `get_group`; by default "c4" for images, "speed12" for audio.
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
        predictor = find_predictor(checkpoint, base_kwargs, processor)
        model_class = class_for([predictor.architecture], "This predictor")
        if adapter is not None:
            saved = SavedAdapter.read(adapter, within_reach(base_kwargs))
            return model_class._transferred(saved, predictor, canonicalizer)
        group = predictor.bind(group)
        settings = canonicalizer_settings or {}
        built = make_canonicalizer(canonicalizer or fitting(group), group, predictor.channels, settings)
        config = describe_pair(predictor, model_class.task, group, built.name, built.settings)
        model = model_class(config, predictor, built)
        if model.device.type != "meta":
            built.to(model.device)
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
    ) -> Self:
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
        hub_kwargs: dict[str, Any] = {"revision": revision, "token": token}
        hub_kwargs |= {key: base_kwargs.pop(key) for key in HUB_ARGUMENTS if key in base_kwargs}
        with_info = base_kwargs.pop("output_loading_info", False)
        for consumed in ("_from_auto", "adapter_kwargs", "_commit_hash"):
            base_kwargs.pop(consumed, None)
        saved = SavedAdapter.read(pretrained_model_name_or_path, hub_kwargs, config)
        model_class = class_of(saved.config, saved.where)
        if decision is not None:
            known = saved.config.calibration
            calibration = None if known is None else Calibration.from_dict(known)
            saved.config.decision = chosen_rule(
                decision, calibration, bool(model_class.averages), model_class.task
            ).name
        info: dict[str, Any] = {"missing_keys": set(), "unexpected_keys": set(), "mismatched_keys": set()}
        if predictor is not None:
            model = model_class._transferred(saved, live_predictor(predictor), canonicalizer, added=True)
            if decision is not None:
                model.config.decision = model.rule(decision).name
        elif saved.config.includes_predictor:
            base_kwargs.pop("trust_remote_code", None)  # an adapter has no code that would run
            if canonicalizer is not None:
                base_kwargs["canonicalizer"] = remake_canonicalizer(canonicalizer, saved.config)
            model, info = model_class._loaded_whole(saved, *args, **base_kwargs)
        else:
            model = model_class._loaded_behind_base(saved, canonicalizer, base_kwargs)
        return (model, info) if with_info else model  # type: ignore[return-value]

    @classmethod
    def _transferred(
        cls, saved: SavedAdapter, predictor: Predictor, canonicalizer: Any = None, added: bool = False
    ) -> Self:
        """A live predictor behind the canonicalizer of an adapter; and, if `added`, with what the adapter adds to its
        own, unless something was added to this one already."""
        added = added and bool(saved.added) and not added_names(predictor.module)
        if added:
            add_again(predictor.module, saved.config)
        elif saved.added:
            logger.warning(
                f"The adapter {saved.where} also holds {saved.added} for its own checkpoint, which is left out."
            )
        config = describe_transfer(saved, predictor, cls.task)
        model = cls(config, predictor, remake_canonicalizer(canonicalizer, config))
        saved.fill(model, [name for name in model._adapter_names() if added or name.startswith("canonicalizer.")])
        return model.eval()

    @classmethod
    def _loaded_whole(cls, saved: SavedAdapter, *args: Any, **kwargs: Any) -> tuple[Self, dict[str, Any]]:
        """A model that was saved with its predictor, and what transformers says of its weights."""
        loaded: Any = super().from_pretrained(
            saved.where, *args, config=saved.config, output_loading_info=True, **saved.hub_kwargs, **kwargs
        )
        model, info = loaded
        saved.require_complete(info)
        # Loading has replaced the parameters, and with them what was frozen.
        model.predictor.requires_grad_(False)
        for module in model.canonicalizer.modules():
            if isinstance(module, Backbone):
                module.model.requires_grad_(not module.freeze)
        model.checkpoint.source = replace(model.checkpoint.source, processor=saved.processor_files)
        return model, info

    @classmethod
    def _loaded_behind_base(
        cls, saved: SavedAdapter, canonicalizer: nn.Module | None, base_kwargs: dict[str, Any]
    ) -> Self:
        """The checkpoint that an adapter names, behind it."""
        config = saved.config
        base = config.base_name_or_path
        if base is None:
            raise ValueError(f"The adapter {saved.where} names no base checkpoint. Pass the loaded one as predictor=.")
        kwargs = {"revision": config.base_revision, **within_reach(saved.hub_kwargs), **base_kwargs}
        if config.base_subfolder is not None:
            kwargs["subfolder"] = config.base_subfolder
        if kwargs.get("trust_remote_code", True) is None:
            del kwargs["trust_remote_code"]
        module = load_predictor(cls.auto_class, base, kwargs, saved.where)
        predictor = Predictor(module, Source(base, processor=saved.processor_files))
        saved.require_base(predictor)
        add_again(module, config)
        model = cls(config, predictor, remake_canonicalizer(canonicalizer, config))
        saved.fill(model, model._adapter_names())
        return model.eval()

    # ---------------------------------------------------------------------------------------------- saved and shared

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
        if not full and differ(self.checkpoint.fingerprint, self.config.base_fingerprint):
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
        require_ours(save_directory)
        with staged_folder(save_directory) as folder:
            if full:
                self._save_whole(folder, state_dict, **kwargs)
            else:
                state = self.state_dict() if state_dict is None else state_dict
                # Cloned: weights that are used twice are stored twice, and loaded into both places.
                own = {name: state[name].clone().contiguous() for name in self._adapter_names()}
                self.config.architectures = [type(self).__name__]
                self.config.save_pretrained(folder)
                save_file(own, Path(folder) / SAFE_WEIGHTS_NAME, metadata={"format": "pt"})
            complete_folder(folder, save_directory, self.checkpoint.source.processor, report, overwrite_card)

    def _save_whole(self, folder: str, state_dict: dict[str, Tensor] | None, **kwargs: Any) -> None:
        """With the predictor, in transformers' own way."""
        config, ignored = self.config, self._keys_to_ignore_on_save
        before = config.includes_predictor, config.base_name_or_path
        self._keys_to_ignore_on_save, config.includes_predictor = None, True
        if config.base_name_or_path is not None and not is_repository(config.base_name_or_path):
            config.base_name_or_path = None  # a folder that nobody needs again
        try:
            # Trainer goes on from weights by the names they have in memory; older names would be lost there.
            super().save_pretrained(folder, state_dict=state_dict, save_original_format=False, **kwargs)
        finally:
            self._keys_to_ignore_on_save = ignored
            config.includes_predictor, config.base_name_or_path = before

    @property
    def calibration(self) -> Calibration | None:
        """What `hf_canon.calibrate` found; None for a model that was not calibrated."""
        found = self.config.calibration
        return None if found is None else Calibration.from_dict(found)

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
    ) -> CommitInfo:
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
        with TemporaryDirectory() as folder:
            self.save_pretrained(folder, full=full, report=report)
            return push_folder(folder, repo_id, overwrite_card=overwrite_card, **hub_kwargs)

    def _adapter_names(self) -> list[str]:
        """The names, in the state dict, of what an adapter saves."""
        own = [f"canonicalizer.{name}" for name in self.canonicalizer.state_dict()]
        return own + sorted(f"predictor.{name}" for name in added_names(self.predictor))
