"""What all records share: to JSON and back, as the types of their fields say."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Self, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class Record:
    """A dataclass of numbers, words, other dataclasses, and tuples and dictionaries of them.

    Example:
        >>> @dataclass(frozen=True)
        ... class Weather(Record):
        ...     place: str
        ...     degrees: tuple[float, ...] = ()
        >>> Weather.from_dict({"place": "Rome", "degrees": [12.5, 17.0]})
        Weather(place='Rome', degrees=(12.5, 17.0))
    """

    foreign: ClassVar[str] = "This was saved by another version of hf_canon, or is no report of its. Make it again"
    """What is said of data that do not fit the fields."""

    def to_dict(self) -> dict[str, Any]:
        """Everything, in what JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What `to_dict` made.

        Raises:
            ValueError: another version of hf_canon made it, or somebody else.
        """
        try:
            made: Self = typed(cls, data)
        except (TypeError, AttributeError) as error:
            raise ValueError(f"{cls.foreign} ({error}).") from error
        return made

    def save(self, path: str | Path) -> None:
        """Write a JSON file that `load` reads."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a JSON file that `save` wrote.

        Raises:
            ValueError: another version of hf_canon wrote it, or somebody else.
        """
        return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))


fields_of = cache(get_type_hints)

RENAMED = {"told": "oracle", "moved_before": "transformed_before", "moved_after": "transformed_after"}
"""What fields were called in files of versions up to 0.1."""
UNITS = {"pictures": "images", "sounds": "clips"}
"""And what was counted."""


def typed(kind: Any, value: Any) -> Any:
    """What JSON made of a value of some type, as that type again."""
    origin, inner = get_origin(kind), get_args(kind)
    if value is None:
        return None
    if origin is UnionType:  # with None, which comes last
        return typed(inner[0], value)
    if origin is tuple:
        return tuple(typed(inner[0], one) for one in value)
    if origin is dict:
        return {name: typed(inner[1], one) for name, one in value.items()}
    if isinstance(kind, type) and is_dataclass(kind):
        types = fields_of(kind)
        named = {name if name in types else RENAMED.get(name, name): one for name, one in value.items()}
        if "unit" in named:
            named["unit"] = UNITS.get(named["unit"], named["unit"])
        return kind(**{name: typed(types.get(name), one) for name, one in named.items()})
    return value
