"""phi(x) = rho_out(g) . p( rho_in(g)^-1 . x ), with g = canonicalizer(x): a predictor that answers in the
canonical pose."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForImageClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import ImageClassifierOutput
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES
from transformers.utils import SAFE_WEIGHTS_NAME, ModelOutput, cached_file

from .canonicalizers import Canonicalizer, OrbitCanonicalizer, PredictorCanonicalizer, build_canonicalizer
from .canonicalizers.orbit import Backbone
from .configuration_canonicalized import CanonicalizedConfig
from .groups import Group, get_group
from .outputs import Canonicalization, carry_back

if TYPE_CHECKING:
    from .objectives import Objective

HUB_ARGUMENTS = ("revision", "token", "cache_dir", "local_files_only", "subfolder", "force_download")
"""Of `from_pretrained`: where a file comes from, as opposed to what is done with it."""


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

    def __init__(
        self,
        config: CanonicalizedConfig,
        predictor: PreTrainedModel | None = None,
        canonicalizer: Canonicalizer | None = None,
    ):
        super().__init__(config)
        self.group: Group = get_group(config.group)
        self.predictor = self.auto_class.from_config(config.base_config) if predictor is None else predictor
        if canonicalizer is None:
            settings = config.canonicalizer_settings or {}
            canonicalizer = build_canonicalizer(config.canonicalizer, self.group, **settings)
        if isinstance(canonicalizer, PredictorCanonicalizer):
            canonicalizer.attach(self.predictor)
        self.canonicalizer = canonicalizer
        # An adapter's weights are the canonicalizer's: that the others are missing is no news to Trainer. It compares
        # with what load_state_dict misses, and that never misses a count of batches.
        names = (name for name in self.predictor.state_dict() if not name.endswith("num_batches_tracked"))
        self._keys_to_ignore_on_save = {f"predictor.{name}" for name in names}
        self.predictor.requires_grad_(False)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Canonicalizers initialise themselves, and the predictor is initialised already."""

    @classmethod
    def wrap(
        cls,
        checkpoint: "str | os.PathLike[str] | PreTrainedModel",
        group: str | Group = "c4",
        canonicalizer: str | nn.Module = "orbit",
        canonicalizer_settings: dict[str, Any] | None = None,
        **base_kwargs: Any,
    ) -> "CanonicalizedModel":
        """Put a new canonicalizer in front of a checkpoint, which is frozen.

        Args:
            checkpoint: a Hub id, a folder, or a live model (wrapped as it is, not copied).
            group: what happens to the inputs, as in `get_group`.
            canonicalizer: "orbit", "equivariant", "shift" or "predictor"; or a `Canonicalizer`; or any scoring
                network, a module from images `(batch, channels, height, width)` to embeddings `(batch, features)`,
                to be used on the orbit.
            canonicalizer_settings: keyword arguments of the canonicalizer.
            base_kwargs: passed to the checkpoint's `from_pretrained` (`dtype`, `device_map`, `revision`, `token`,
                ...).

        Raises:
            ValueError: the task of the checkpoint is not covered, or group and canonicalizer are unknown or disagree.
            OSError: there is no such checkpoint.
        """
        resolved = get_group(group) if isinstance(group, str) else group
        if isinstance(checkpoint, nn.Module):
            if base_kwargs:
                raise ValueError(f"{', '.join(base_kwargs)} load a checkpoint, and this predictor is loaded already.")
            predictor = checkpoint
            # A live model says what it is by its class; its configuration does so only once it was saved.
            architecture = type(predictor).__name__
            model_class = _class_for([architecture], f"This {architecture}")
        else:
            where = str(Path(checkpoint).resolve()) if Path(checkpoint).is_dir() else os.fspath(checkpoint)
            base_config = _load_config(where, {k: v for k, v in base_kwargs.items() if k in HUB_ARGUMENTS})
            model_class = _class_for(base_config.architectures, where)
            try:
                predictor = model_class.auto_class.from_pretrained(where, **base_kwargs)
            except OSError as error:
                reason = str(error).splitlines()[0]
                raise OSError(f"The weights of the checkpoint {where!r} cannot be read: {reason}") from error
            architecture = type(predictor).__name__
        channels = _input_channels(predictor.config)
        built = _make_canonicalizer(canonicalizer, resolved, channels, canonicalizer_settings or {})
        name, commit = _origin(predictor)
        config = CanonicalizedConfig(
            base_config={**predictor.config.to_dict(), "architectures": [architecture]},
            base_name_or_path=name,
            base_revision=commit,
            group=resolved.name,
            canonicalizer=built.name,
            canonicalizer_settings=built.settings,
        )
        model = model_class(config, predictor, built)
        if predictor.device.type != "meta":
            built.to(predictor.device)
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
            base_kwargs: passed to the checkpoint's `from_pretrained` (`dtype`, `device_map`,
                `attn_implementation`, ...).

        Raises:
            ValueError: what is there is not an adapter of hf_canon, or its weights do not fit its configuration.
            OSError: the adapter or its checkpoint cannot be found.
        """
        where = os.fspath(pretrained_model_name_or_path)
        hub_kwargs: dict[str, Any] = {"revision": revision, "token": token}
        hub_kwargs |= {key: base_kwargs.pop(key) for key in HUB_ARGUMENTS if key in base_kwargs}
        output_loading_info = base_kwargs.pop("output_loading_info", False)
        for consumed in ("trust_remote_code", "_from_auto", "adapter_kwargs", "_commit_hash"):
            base_kwargs.pop(consumed, None)
        if config is None:
            config = _load_config(where, hub_kwargs)
        if not isinstance(config, CanonicalizedConfig):
            raise ValueError(
                f"{where} holds a {getattr(config, 'model_type', 'different')} checkpoint, not an hf_canon adapter. "
                "Use CanonicalizedModel.wrap to put a canonicalizer in front of it."
            )
        if config.includes_predictor:
            loaded: Any = super(CanonicalizedModel, _class_of(config, where)).from_pretrained(
                where, *args, config=config, output_loading_info=output_loading_info, **hub_kwargs, **base_kwargs
            )
            # Loading has replaced the parameters, and with them what was frozen.
            full = loaded[0] if output_loading_info else loaded
            full.predictor.requires_grad_(False)
            for module in full.canonicalizer.modules():
                if isinstance(module, Backbone):
                    module.model.requires_grad_(not module.freeze)
            return loaded
        if predictor is None:
            from_hub: dict[str, Any] = {
                key: hub_kwargs[key] for key in ("cache_dir", "local_files_only") if key in hub_kwargs
            }
            predictor = _load_base(config, where, {"token": token, **from_hub, **base_kwargs})
        else:
            config.base_name_or_path, config.base_revision = _origin(predictor)
        if canonicalizer is not None:
            settings = dict(config.canonicalizer_settings or {})
            channels = settings.pop("channels", 3)
            canonicalizer = _make_canonicalizer(canonicalizer, get_group(config.group), channels, settings, again=True)
        model = _class_of(config, where)(config, predictor, canonicalizer)
        weights = str(cached_file(where, SAFE_WEIGHTS_NAME, **hub_kwargs))
        try:
            state = load_file(weights)
        except SafetensorError as error:
            raise ValueError(
                f"The adapter's weights {weights} are damaged ({error}). Save or download them again."
            ) from error
        wanted = {f"canonicalizer.{name}": value.shape for name, value in model.canonicalizer.state_dict().items()}
        found = {name: value.shape for name, value in state.items()}
        if wanted != found:
            odd = sorted(name for name in wanted | found if wanted.get(name) != found.get(name))
            raise ValueError(
                f"The weights in {where} do not fit its configuration, a {config.canonicalizer!r} canonicalizer with "
                f"{config.canonicalizer_settings}: see {', '.join(odd[:3])}. Restore the config.json that was saved "
                "with them; if the canonicalizer was a module of yours, pass it again as canonicalizer=."
            )
        model.load_state_dict(state, strict=False)
        model.canonicalizer.to(predictor.device)
        model.name_or_path = where
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
        **kwargs: Any,
    ) -> None:
        """Save the adapter: the configuration, and the weights of the canonicalizer alone.

        Args:
            save_directory: made if it does not exist.
            is_main_process: whether this process writes.
            state_dict: the model's weights, where a distributed trainer has gathered them.
            full: save the predictor as well, so that loading needs no base. By default it is saved if it is being
                trained (its parameters require gradients) or came that way: no base would have those weights.
            kwargs: passed to `PreTrainedModel.save_pretrained` when `full`.

        Raises:
            ValueError: the predictor came from no folder or Hub id that a reload could find.
        """
        came_full = self.config.includes_predictor
        if full is None:
            full = came_full or any(parameter.requires_grad for parameter in self.predictor.parameters())
        if full:
            ignored, self._keys_to_ignore_on_save = self._keys_to_ignore_on_save, None
            self.config.includes_predictor = True
            try:
                super().save_pretrained(save_directory, is_main_process, state_dict, **kwargs)
            finally:
                self._keys_to_ignore_on_save = ignored
                self.config.includes_predictor = came_full
            return
        if came_full:
            raise ValueError(
                "This model was loaded with its predictor, and no other checkpoint is known to have those weights. "
                "Save it with full=True."
            )
        if self.config.base_name_or_path is None:
            raise ValueError(
                "This predictor was never saved, so an adapter could not say which checkpoint it belongs to. "
                "Save it with predictor.save_pretrained(folder) and wrap the folder, or save with full=True."
            )
        if Path(save_directory).is_file():
            raise ValueError(f"{save_directory} is a file, and an adapter is saved in a folder. Name another place.")
        if not is_main_process:
            return
        state = self.state_dict() if state_dict is None else state_dict
        own = {name: value.contiguous() for name, value in state.items() if name.startswith("canonicalizer.")}
        Path(save_directory).mkdir(parents=True, exist_ok=True)
        self.config.architectures = [type(self).__name__]
        self.config.save_pretrained(save_directory)
        # Written beside and renamed: a killed save leaves the old weights whole.
        target = Path(save_directory) / SAFE_WEIGHTS_NAME
        partial = target.with_suffix(".partial")
        save_file(own, partial, metadata={"format": "pt"})
        partial.replace(target)

    def canonicalize(self, pixel_values: Tensor) -> Canonicalization:
        """Find which element happened to each input, and undo it. The predictor is not asked for its answer.

        Args:
            pixel_values: `(batch, channels, height, width)`, as the checkpoint's processor makes them.

        Raises:
            ValueError: the group does not fit the shape of the input.
        """
        self.group.check_shape(pixel_values.shape)
        # Decisions are made in full precision, whatever the predictor and autocast use.
        with torch.autocast(pixel_values.device.type, enabled=False):
            logits = self.canonicalizer(pixel_values).float()
        probabilities = logits.softmax(-1)
        element = self.canonicalizer.element(logits)
        if torch.is_grad_enabled() and logits.requires_grad and self.group.finite:
            canonical = self._straight_through(pixel_values, element, probabilities)
        else:
            canonical = self.group.act(pixel_values, self.group.inverse(element))
        return Canonicalization(element=element, probabilities=probabilities, canonical=canonical, logits=logits)

    def _straight_through(self, x: Tensor, element: Tensor, probabilities: Tensor) -> Tensor:
        """The canonical input, with the gradient of the posterior's average over the transformed inputs.

        One-hot forward and softmax backward, over inputs and not over angles: halfway between 315 and 0 degrees is no
        pose at all.
        """
        one_hot = F.one_hot(element, probabilities.shape[-1]).to(probabilities.dtype)
        weights = (one_hot - probabilities.detach() + probabilities).to(x.dtype)
        orbit = self.group.orbit(x, self.group.inverse(self.group.elements))
        return torch.einsum("bg,bg...->b...", weights, orbit)

    def train(self, mode: bool = True) -> "CanonicalizedModel":
        """Training mode, except for a frozen predictor: its dropout stays off and its running statistics untouched."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.predictor.parameters()):
            self.predictor.eval()
        return self

    @property
    def device(self) -> torch.device:
        return self.predictor.device

    @property
    def dtype(self) -> torch.dtype:
        return self.predictor.dtype

    def get_input_embeddings(self) -> nn.Module:
        return self.predictor.get_input_embeddings()


class CanonicalizedForImageClassification(CanonicalizedModel):
    """An image classifier behind a canonicalizer: the class does not move with the picture."""

    task = "image-classification"
    auto_class = AutoModelForImageClassification

    def forward(
        self,
        pixel_values: Tensor,
        labels: Tensor | None = None,
        element: Tensor | None = None,
        canonicalize: bool = True,
        objective: "Objective | None" = None,
        **kwargs: Any,
    ) -> ModelOutput:
        """The predictor's answer for the canonical input.

        Args:
            pixel_values: `(batch, channels, height, width)`.
            labels: `(batch,)`, classes; the loss is then the predictor's own.
            element: `(batch,)`, the elements that happened to the inputs; the loss then has the cross-entropy of
                the pose. With a batch that was turned at random this trains the canonicalizer without labels in
                any loop.
            canonicalize: False gives the predictor's own answer for the input as it is.
            objective: the loss to return, alone; what `CanonicalizationTrainer` trains with.
            kwargs: passed to the predictor.

        Raises:
            ValueError: the group does not fit the input, or the predictor returns a field that cannot be carried back.
        """
        kwargs.pop("return_dict", None)
        if objective is not None:
            return ImageClassifierOutput(loss=objective(self, pixel_values, labels))
        if not canonicalize:
            return self.predictor(pixel_values=pixel_values, labels=labels, **kwargs)
        if element is not None and labels is None and self.training:
            return ImageClassifierOutput(loss=self.canonicalizer.pose_loss(pixel_values, element))
        canonicalization = self.canonicalize(pixel_values)
        output = self.predictor(pixel_values=canonicalization.canonical, labels=labels, **kwargs)
        if element is not None:
            pose_loss = self.canonicalizer.pose_loss(pixel_values, element)
            output["loss"] = pose_loss if labels is None else output.loss + pose_loss
        return carry_back(output, self.task, self.group, canonicalization)


TASKS: dict[str, type[CanonicalizedModel]] = {
    name: CanonicalizedForImageClassification
    for names in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES.values()
    for name in ([names] if isinstance(names, str) else names)
}


def _class_for(architectures: list[str] | None, what: str) -> type[CanonicalizedModel]:
    """The class for a checkpoint's task, found from the architecture that it was saved as."""
    for name in architectures or []:
        if name in TASKS:
            return TASKS[name]
    raise ValueError(
        f"{what} is a {', '.join(architectures or ['checkpoint that names no architecture'])}, and hf_canon wraps "
        "image classifiers (ViTForImageClassification and the like). Give it one of those."
    )


def _class_of(config: CanonicalizedConfig, where: str) -> type[CanonicalizedModel]:
    return _class_for(getattr(config.base_config, "architectures", None), where)


def _origin(predictor: PreTrainedModel) -> tuple[str | None, str | None]:
    """Where a predictor can be found again: its folder from any working directory, or its Hub id and commit."""
    name = predictor.config._name_or_path or None
    if name is not None and Path(name).is_dir():
        name = str(Path(name).resolve())
    return name, getattr(predictor.config, "_commit_hash", None)


def _load_config(where: str | os.PathLike[str], hub_kwargs: dict[str, Any]) -> PreTrainedConfig:
    try:
        return AutoConfig.from_pretrained(where, **hub_kwargs)
    except (OSError, ValueError, HFValidationError, HfHubHTTPError) as error:
        kind = "folder" if Path(where).is_dir() else "Hub id or folder"
        raise OSError(
            f"No checkpoint could be read from {os.fspath(where)!r} as a {kind}: {str(error).splitlines()[0]} "
            "Give a folder with a config.json, or the id of a repository that can be reached."
        ) from error


def _load_base(config: CanonicalizedConfig, adapter: str, base_kwargs: dict[str, Any]) -> PreTrainedModel:
    base = config.base_name_or_path
    model_class = _class_of(config, adapter)
    if base is None:
        raise ValueError(f"The adapter {adapter} names no base checkpoint. Pass the loaded one as predictor=.")
    try:
        return model_class.auto_class.from_pretrained(base, revision=config.base_revision, **base_kwargs)
    except OSError as error:
        raise OSError(
            f"The adapter {adapter} belongs to the checkpoint {base!r}, which cannot be read: "
            f"{str(error).splitlines()[0]} Bring it there, or pass the loaded checkpoint as predictor=."
        ) from error


def _make_canonicalizer(
    canonicalizer: str | nn.Module, group: Group, channels: int, settings: dict[str, Any], again: bool = False
) -> Canonicalizer:
    """A canonicalizer from its name, a scoring network, or itself; `again` when its settings were saved."""
    if isinstance(canonicalizer, str):
        return build_canonicalizer(canonicalizer, group, **{"channels": channels, **settings})
    if not isinstance(canonicalizer, Canonicalizer):
        return OrbitCanonicalizer(group, network=canonicalizer, **{"channels": channels, **settings})
    if canonicalizer.group != group:
        raise ValueError(
            f"This canonicalizer was made for {canonicalizer.group.name}, and the group asked for is {group.name}."
        )
    if settings and not again:
        raise ValueError(f"This canonicalizer is made already, and {', '.join(settings)} would change nothing.")
    return canonicalizer


def _input_channels(config: Any) -> int:
    """Channels of the picture that a vision configuration describes; three unless it says otherwise."""
    for holder in (config, getattr(config, "backbone_config", None)):
        channels = getattr(holder, "num_channels", None)
        if isinstance(channels, int):
            return channels
    return 3


AutoModelForImageClassification.register(CanonicalizedConfig, CanonicalizedForImageClassification, exist_ok=True)
