"""A predictor that carries LoRA or another PEFT adapter.

The adapter's weights are small, and no base checkpoint has them: they are saved beside the canonicalizer's, and their
configuration in ours. PEFT itself is imported only where there is such a predictor: that takes seconds.
"""

import sys
import warnings
from typing import Any

from torch import nn


def unwrap_peft(predictor: nn.Module) -> nn.Module:
    """The transformers model inside a `PeftModel`, with the adapter's layers in place; anything else as it is.

    Raises:
        ValueError: the adapter changes the checkpoint's own weights.
    """
    peft = sys.modules.get("peft")
    if peft is not None and isinstance(predictor, peft.PeftModel):
        model: Any = predictor.get_base_model()
        # As transformers marks a model that got its adapter by add_adapter.
        model.peft_config = predictor.peft_config
        model._hf_peft_config_loaded = True
        predictor = model
    if carries_peft(predictor):
        require_kept_apart(predictor)
    return predictor


def require_kept_apart(predictor: Any) -> None:
    """Raise ValueError where PEFT changes the checkpoint's own weights, which an adapter does not save."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    instead = "or merge it with merge_and_unload(), save the merged checkpoint, and wrap that."
    for name, config in predictor.peft_config.items():
        if getattr(config, "bias", "none") != "none":
            raise ValueError(
                f"The PEFT adapter {name!r} has bias={config.bias!r}, which trains biases of the checkpoint itself. "
                f"Make it with bias='none', {instead}"
            )
        start = getattr(config, "init_lora_weights", None)
        if isinstance(start, str) and start.startswith(("pissa", "olora", "corda", "loftq", "lora_ga")):
            raise ValueError(
                f"The PEFT adapter {name!r} began with init_lora_weights={start!r}, which changes the checkpoint's "
                f"own weights. Make it with init_lora_weights=True, {instead}"
            )
    for layer in predictor.modules():
        if isinstance(layer, BaseTunerLayer):
            if layer.merged:
                raise ValueError(f"A PEFT adapter is merged into the checkpoint's weights. Unmerge it, {instead}")
            if layer.disable_adapters:
                raise ValueError("The PEFT adapters are disabled. Enable them, or wrap the checkpoint without them.")


def carries_peft(predictor: nn.Module) -> bool:
    return bool(getattr(predictor, "_hf_peft_config_loaded", False))


def peft_names(predictor: nn.Module) -> set[str]:
    """The names, in the predictor's state dict, of what PEFT has added to it."""
    if not carries_peft(predictor):
        return set()
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import AuxiliaryTrainingWrapper

    inside: set[str] = set()
    original: set[str] = set()
    kinds: dict[Any, str] = {BaseTunerLayer: "base_layer", AuxiliaryTrainingWrapper: "original_module"}
    for path, module in predictor.named_modules():
        for kind, kept in kinds.items():
            if isinstance(module, kind):
                names = {f"{path}.{name}" for name in module.state_dict()}
                inside |= names
                original |= {name for name in names if name.startswith(f"{path}.{kept}.")}
    return inside - original


def peft_settings(predictor: nn.Module) -> dict[str, Any] | None:
    """What `add_peft` needs to make the same layers again, in what JSON can hold."""
    if not carries_peft(predictor):
        return None
    configs = {}
    for name, config in predictor.peft_config.items():  # type: ignore[union-attr, operator]
        plain = {key: sorted(value) if isinstance(value, set) else value for key, value in config.to_dict().items()}
        # Our own configuration names the base.
        configs[name] = {**plain, "base_model_name_or_path": None}
    return {"configs": configs, "active": list(predictor.active_adapters())}  # type: ignore[operator]


def add_peft(predictor: Any, settings: dict[str, Any]) -> None:
    """Give a plain predictor the layers that `peft_settings` described, with weights yet to be loaded."""
    from peft import PeftConfig

    for name, config in settings["configs"].items():
        with warnings.catch_warnings():  # that there is more than one is meant
            warnings.filterwarnings("ignore", "Already found a `peft_config` attribute")
            predictor.add_adapter(PeftConfig.from_peft_type(**config), adapter_name=name)
    predictor.set_adapter(settings["active"])
