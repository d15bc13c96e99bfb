"""Which architectures of transformers work behind a canonicalizer: every one of the covered auto-mappings, tried.

    python scripts/figure_coverage.py > docs/coverage.md

Each is built tiny and random, wrapped over an exact group, and asked about a batch of inputs transformed by each
element."""

import sys
import warnings
from pathlib import Path

import torch
import transformers

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from architectures import exactness  # noqa: E402

HEADER = f"""# What is covered

Printed by `python scripts/figure_coverage.py` with transformers {transformers.__version__}.

It builds a tiny random model of every architecture in these auto-mappings, wraps it over
{", ".join(f"`{name}` ({kind.noun})" for kind, name in exactness.GROUPS.items())}
({", ".join(f"{one}, whose maps are oblong, over `{name}`" for one, name in exactness.OBLONG.items())}), and
compares its answer to each transformed batch with the transformed answer: *violation* is the largest difference in any
number of any field, and for encoders of any hidden state. What lies on the grid has to be equal to the bit; boxes and
points are computed, and may be off by rounding. *Untouched* is the same for the checkpoint alone. Models are also
saved and loaded, run in bfloat16, and asked for gradients, by `tests/architectures`; and predictors that see where
something is, and the tokens of encoders, show there that answers land in the right place.
"""


def main() -> None:
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    print(HEADER)
    for task in exactness.MAPPINGS:
        rows = exactness.coverage(task)
        works = sum(how == "works" for how in rows.values())
        print(f"## {task.capitalize()}: {works} of {len(rows)}\n")
        print("| architecture | violation | untouched |\n|---|---|---|")
        for name, how in rows.items():
            if how != "works":
                print(f"| {name} | {how.rstrip('.')} | |")
                continue
            found = exactness.violations(name)
            untouched = found.pop("untouched")
            print(f"| {name} | {max(found.values()):.0e} | {untouched:.0e} |".replace("0e+00", "0"), flush=True)
        print()


if __name__ == "__main__":
    main()
