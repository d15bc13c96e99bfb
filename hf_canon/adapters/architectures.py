"""Which of our classes wraps which architecture of transformers. `hf_canon.tasks` fills the table, from above."""

from typing import Any

from ..configuration_canonicalized import CanonicalizedConfig
from ..outputs import CANNOT

TASKS: dict[str, Any] = {}
"""The class for each architecture of transformers."""


def class_for(architectures: list[str] | None, what: str) -> Any:
    """The class for a checkpoint's task, found from the architecture that it was saved as.

    Raises:
        ValueError: there is none.
    """
    # transformers' auto classes bring `hf_canon.tasks` along when they are first used (`registration.py`).
    from transformers import AutoModel

    for name in architectures or []:
        if name in TASKS:
            return TASKS[name]
        if name in CANNOT:
            raise ValueError(f"{what} is a {name}, which cannot be wrapped: {CANNOT[name]}")
        # What somebody has registered with AutoModel as well is asked for its answers first.
        for model_class in sorted(dict.fromkeys(TASKS.values()), key=lambda one: one.auto_class is AutoModel):
            if name in registered(model_class.auto_class):
                return model_class
    raise ValueError(
        f"{what} is a {', '.join(architectures or ['checkpoint that names no architecture'])}{reads(architectures)}; "
        "hf_canon wraps what reads images or audio, such as ViTForImageClassification, "
        "SegformerForSemanticSegmentation, CLIPModel or Wav2Vec2ForCTC. Give it one of those."
    )


def reads(architectures: list[str] | None) -> str:
    """What a checkpoint that is not wrapped reads, in words, where that is why."""
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING_NAMES

    for name in architectures or []:
        if name in MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING_NAMES.values():
            return ", which reads videos"
        try:
            main = getattr(transformers, name).main_input_name
        except (AttributeError, ImportError):
            continue
        if main == "input_ids":
            return ", which reads text (input_ids)"
    return ""


def registered(auto_class: Any) -> set[str]:
    """The architectures that users have registered with an auto class: `AutoModelFor....register(Config, Model)`."""
    added = auto_class._model_mapping._extra_content.values()
    classes = [one for entry in added for one in (entry if isinstance(entry, tuple) else (entry,))]
    return {one.__name__ for one in classes if one.config_class is not CanonicalizedConfig}


def class_of(config: CanonicalizedConfig, where: str) -> Any:
    return class_for(getattr(config.base_config, "architectures", None), where)
