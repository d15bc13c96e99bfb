"""An adapter as it was saved, in a folder or on the Hub: its configuration, and the weights that belong to it."""

import os
from dataclasses import dataclass
from typing import Any, Self

from transformers import PreTrainedConfig

from ..adaptation import ATTACHMENTS
from ..configuration_canonicalized import CanonicalizedConfig
from ..predictors.fingerprint import differ
from ..predictors.hub_files import load_config, load_weights, pinned, processor_files, where_of
from ..predictors.peft import add_peft
from ..predictors.predictor import Predictor


@dataclass(frozen=True)
class SavedAdapter:
    """Where an adapter is, and what its configuration says.

    Args:
        where: a folder from any working directory, or a Hub id.
        hub_kwargs: where its files come from, pinned to one commit.
        config: of the adapter.
    """

    where: str
    hub_kwargs: dict[str, Any]
    config: CanonicalizedConfig

    @classmethod
    def read(
        cls, name: str | os.PathLike[str], hub_kwargs: dict[str, Any], config: PreTrainedConfig | None = None
    ) -> Self:
        """Find an adapter, and read its configuration unless it is given.

        Raises:
            ValueError: what is there is a checkpoint of another kind.
            OSError: there is nothing that can be read.
        """
        where = where_of(name)
        hub_kwargs = pinned(where, hub_kwargs)
        config = load_config(where, hub_kwargs) if config is None else config
        if not isinstance(config, CanonicalizedConfig):
            raise ValueError(
                f"{where} holds a {getattr(config, 'model_type', 'different')} checkpoint, not an hf_canon adapter. "
                "Use CanonicalizedModel.wrap to put a canonicalizer in front of it."
            )
        return cls(where, hub_kwargs, config)

    @property
    def processor_files(self) -> dict[str, bytes]:
        """The files, by name, that describe the processor that was saved with it."""
        return processor_files(self.where, self.hub_kwargs)

    @property
    def added(self) -> str:
        """What else it holds for its predictor, in words; empty where there is nothing."""
        peft = [] if self.config.predictor_peft is None else ["PEFT weights"]
        return " and ".join(peft + [f"a {ATTACHMENTS[kind].noun}" for kind in self.config.predictor_attachments or {}])

    def fill(self, model: Any, names: list[str]) -> None:
        """Load the weights of those names into a model. What else came with it is of no use here.

        Raises:
            ValueError: they are not the ones that the configuration describes.
            OSError: they cannot be read.
        """
        state = model.state_dict()
        wanted = {name: state[name].shape for name in names}
        saved = {
            name: value
            for name, value in load_weights(self.where, self.hub_kwargs).items()
            if name in wanted or name.startswith("canonicalizer.")
        }
        found = {name: value.shape for name, value in saved.items()}
        if wanted != found:
            raise self.misfit(sorted(name for name in wanted | found if wanted.get(name) != found.get(name)))
        model.load_state_dict(saved, strict=False)
        model.canonicalizer.to(model.device)
        model.name_or_path = self.where

    def require_base(self, predictor: Predictor) -> None:
        """Raise ValueError if a checkpoint has other weights than the one that the adapter was saved for."""
        if differ(predictor.fingerprint, self.config.base_fingerprint):
            base = self.config.base_name_or_path
            raise ValueError(
                f"The adapter {self.where} was saved for other weights than those that are in {base} now. Bring the "
                f"old ones back; or put it on the new ones with CanonicalizedModel.wrap({base!r}, "
                f"adapter={self.where!r})."
            )

    def require_complete(self, loading: dict[str, Any]) -> None:
        """Raise ValueError if a checkpoint that came with its predictor had not all weights, or had others."""
        kinds = ("missing_keys", "unexpected_keys", "mismatched_keys")
        odd = sorted(str(name) for kind in kinds for name in loading.get(kind) or ())
        if odd:
            raise self.misfit(odd)

    def misfit(self, odd: list[str]) -> ValueError:
        return ValueError(
            f"The weights in {self.where} do not fit its configuration, a {self.config.canonicalizer!r} canonicalizer "
            f"with {self.config.canonicalizer_settings}: see {', '.join(odd[:3])}. Restore the config.json that was "
            "saved with them; if the canonicalizer was a module of yours, pass it again as canonicalizer=."
        )


def add_again(predictor: Any, config: CanonicalizedConfig) -> None:
    """Give a plain predictor what was added to it before it was saved, with weights yet to be loaded."""
    if config.predictor_peft is not None:
        add_peft(predictor, config.predictor_peft)
    for kind, settings in (config.predictor_attachments or {}).items():
        ATTACHMENTS[kind].again(predictor, settings)
