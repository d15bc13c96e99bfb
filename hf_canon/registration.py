"""Makes AutoConfig, AutoModel and pipeline know our models, without loading torch before anybody needs it.

`import transformers` loads almost nothing; its auto classes come with their modules when first used. Registering at
once would load them, and torch with them, in every program that imports hf_canon. So each registration waits for the
module that it adds to, and happens at once where that module is loaded already.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

WAITING = {
    "transformers.models.auto.configuration_auto": "hf_canon.configuration_canonicalized",
    "transformers.models.auto.modeling_auto": "hf_canon.tasks",
}
"""The module to wait for, and the one of ours that registers itself with it when it is imported."""


def register() -> None:
    for awaited, ours in WAITING.items():
        if awaited in sys.modules:
            import_module(ours)
        else:
            sys.meta_path.insert(0, _Await(awaited, ours))


class _Await(MetaPathFinder, Loader):
    """Lets the usual machinery load one module, and imports one of ours after it."""

    def __init__(self, awaited: str, ours: str):
        self.awaited = awaited
        self.ours = ours
        self.loader: Loader | None = None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.awaited:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            self.loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        assert self.loader is not None
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert self.loader is not None and module.__spec__ is not None
        module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        import_module(self.ours)
