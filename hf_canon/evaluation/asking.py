"""What a checkpoint is asked about."""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor
from transformers import AutoFeatureExtractor, AutoImageProcessor

from ..groups import Group, Pictures
from ..modeling_canonicalized import CanonicalizedModel
from ..predictors.inputs import input_name
from .metrics import Place
from .transforms import AnyShift, Own


@dataclass(frozen=True)
class Inputs:
    """A batch, as the predictor reads it.

    Args:
        model: that is asked.
        x: `(batch, ...)`.
        lengths: `(batch,)`, how much of each is sound, where sounds are padded to one length.
        others: what the predictor is given besides.
    """

    model: CanonicalizedModel
    x: Tensor
    lengths: Tensor | None
    others: dict[str, Tensor]

    @classmethod
    def of(cls, model: CanonicalizedModel, given: dict[str, Tensor]) -> "Inputs":
        name = input_name(model.predictor)
        x = given[name].to(model.device, model.dtype)
        others = {key: value.to(model.device) for key, value in given.items() if key != name}
        lengths = model.lengths(x, others)
        if getattr(model.predictor.config, "feat_extract_norm", None) == "group":
            others.pop("attention_mask", None)  # it takes padding for silence, and was never told of it
        return cls(model, x, lengths, others)

    def moved(self, shift: AnyShift) -> "Inputs":
        assert not isinstance(shift, Own)
        x = shift(self.x, self.lengths)
        return replace(self, x=x, lengths=shift.lengths(self.lengths, x))

    def acted(self, group: Group, element: Tensor) -> "Inputs":
        """The inputs, moved by an element each, `(batch,)`."""
        x = group.act(self.x, element, self.lengths)
        return replace(
            self, x=x, lengths=None if self.lengths is None else group.moved_lengths(self.lengths, element, x)
        )

    def untouched(self, **more: Any) -> Any:
        """The predictor's own output."""
        return self.model.predictor(**self._arguments, **more)

    def canonicalized(self) -> Any:
        """The model's output."""
        return self.model(**self._arguments)

    def place(self, shift: AnyShift) -> Place:
        """Where the pictures have gone."""
        height, width = self.x.shape[-2:]
        return Place(shift.steps if isinstance(self.model.group.kind, Pictures) else (), (height, width))

    @property
    def _arguments(self) -> dict[str, Any]:
        return self.model.arguments(self.x, self.lengths, self.others)


def first(inputs: Inputs, n: int) -> Inputs:
    """Some of a batch."""
    lengths = None if inputs.lengths is None else inputs.lengths[:n]
    return replace(inputs, x=inputs.x[:n], lengths=lengths, others={key: v[:n] for key, v in inputs.others.items()})


def own_processor(model: CanonicalizedModel) -> Any:
    """The processor that was saved with the checkpoint.

    Raises:
        ValueError: there is none that can be read.
    """
    auto = AutoImageProcessor if isinstance(model.group.kind, Pictures) else AutoFeatureExtractor
    with TemporaryDirectory() as folder:
        for name, content in model.processor_files.items():
            (Path(folder) / name).write_bytes(content)
        try:
            return auto.from_pretrained(folder)
        except (OSError, ValueError, ImportError) as error:
            raise ValueError(
                f"The data set holds files and not what {type(model.predictor).__name__} reads, and no processor was "
                "saved beside that; pass the right one as processor=."
            ) from error


def name_of(model: CanonicalizedModel) -> str:
    """What a reader calls the predictor: its Hub id, its folder from here, or its class."""
    name = model.config.base_name_or_path or type(model.predictor).__name__
    folder = Path(name)
    return str(folder.relative_to(Path.cwd())) if folder.is_relative_to(Path.cwd()) else name


def shareable(name: str) -> str:
    """A name that says nothing about this machine: of a folder that is not below this one, its own name."""
    return Path(name).name if Path(name).is_absolute() else name
