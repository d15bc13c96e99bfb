"""Where a data set came from, as far as it says so itself."""

import re
from contextlib import suppress
from typing import Any

HUB_FILE = re.compile(r"^hf://datasets/(?P<id>[^/@]+/[^/@]+|[^/@]+)@(?P<revision>[^/]+)/")
"""How `datasets` remembers a file that it read from the Hub."""


def describe_dataset(dataset: Any) -> dict[str, Any]:
    """`id` and `revision` on the Hub, `split`, and `examples`; what is not known is left out.

    Example:
        >>> from datasets import Dataset
        >>> describe_dataset(Dataset.from_dict({"label": [0, 1, 1]}))
        {'examples': 3}
    """
    facts: dict[str, Any] = {}
    info = getattr(dataset, "info", None)
    for source in getattr(info, "download_checksums", None) or {}:
        found = HUB_FILE.match(source)
        if found:
            facts |= found.groupdict()
            break
    split = getattr(dataset, "split", None)
    if split is not None:
        facts["split"] = str(split)
    with suppress(TypeError):  # a stream
        facts["examples"] = len(dataset)
    return facts
