"""Which split an item is in, and data sets in splits."""

import hashlib
from pathlib import Path

import datasets


def hash_fraction(name: str) -> float:
    """A number in [0, 1) that depends on the name only, so that an item never changes its split."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 2**32


def save_splits(rows: dict[str, list[dict]], features: datasets.Features, folder: Path) -> None:
    """Write `{split: rows}` as a `datasets.DatasetDict` and print the sizes."""
    splits = {split: datasets.Dataset.from_list(items, features=features) for split, items in rows.items()}
    datasets.DatasetDict(splits).save_to_disk(folder)
    print("  " + ", ".join(f"{split} {len(items)}" for split, items in rows.items()))
