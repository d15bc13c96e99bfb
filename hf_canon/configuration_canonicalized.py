"""What is saved of a canonicalized model."""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig


@strict
class CanonicalizedConfig(PreTrainedConfig):
    """The configuration of a `CanonicalizedModel`.

    Args:
        base_config: the predictor's own configuration.
        base_name_or_path: Hub id or folder of the predictor.
        base_revision: the commit of the predictor that the canonicalizer was trained for; None for a folder.
        base_subfolder: where it is in its repository, if not at the top.
        base_fingerprint: of its weights, as `fingerprint` takes it.
        input_kind: what the numbers that the predictor reads mean, as `describe_kind` says it.
        group: name of the group, as in `get_group`.
        canonicalizer: name of the canonicalizer.
        canonicalizer_settings: the keyword arguments that build it.
        canonicalizer_input: `scale` and `offset`, one number for each channel, that turn this predictor's inputs into
            those that the canonicalizer was trained on; None where they are the same.
        includes_predictor: whether the saved weights hold the predictor too, so that no base is needed.
        predictor_peft: the PEFT adapters that the predictor carries, and which of them are active.
        predictor_attachments: by kind, the settings of what else is attached to the predictor: a quadratic lift, a
            comodulation.
        task: what the predictor is for, as `pipeline` calls it.
        training: what the canonicalizer was trained on and how, as far as it is known.
        calibration: what `hf_canon.calibrate` found, as `Calibration` has it; None for an adapter that was not.
        decision: the rule by which a posterior becomes a decision, unless a call names another.
    """

    model_type = "canonicalized"
    keys_to_ignore_at_inference = ["canonicalization"]

    base_config: dict[str, Any] | PreTrainedConfig | None = None
    base_name_or_path: str | None = None
    base_revision: str | None = None
    base_subfolder: str | None = None
    base_fingerprint: str | None = None
    input_kind: dict[str, Any] | None = None
    group: str = "c4"
    canonicalizer: str = "orbit"
    canonicalizer_settings: dict[str, Any] | None = None
    canonicalizer_input: dict[str, Any] | None = None
    includes_predictor: bool = False
    predictor_peft: dict[str, Any] | None = None
    predictor_attachments: dict[str, Any] | None = None
    task: str | None = None
    training: dict[str, Any] | None = None
    calibration: dict[str, Any] | None = None
    decision: str = "argmax"

    def __post_init__(self, **kwargs: Any) -> None:
        lift = kwargs.pop("predictor_lift", None)  # as adapters were saved before there were other attachments
        if lift is not None:
            self.predictor_attachments = {"quadratic_lift": lift}
        if self.canonicalizer_input is not None and "shift" in self.canonicalizer_input:  # as 0.1 called it
            self.canonicalizer_input["offset"] = self.canonicalizer_input.pop("shift")
        if isinstance(self.base_config, dict):
            # A sub-configuration given as a dict keeps its labels only if its own class reads it.
            model_type = str(self.base_config.get("model_type"))
            if model_type not in CONFIG_MAPPING:
                raise ValueError(
                    f"The base configuration names the model type {model_type!r}, unknown to transformers."
                )
            self.base_config = CONFIG_MAPPING[model_type].from_dict(self.base_config)
        if self.base_config is not None:
            # Pipelines and Trainer read these on the outer configuration, where they may have been renamed.
            for name in ("id2label", "label2id", "problem_type"):
                if kwargs.get(name) is None and getattr(self, name, None) is None:
                    kwargs[name] = getattr(self.base_config, name, None)
        self.canonicalizer_settings = dict(self.canonicalizer_settings or {})
        super().__post_init__(**kwargs)


AutoConfig.register(CanonicalizedConfig.model_type, CanonicalizedConfig, exist_ok=True)
