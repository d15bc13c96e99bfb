"""`python -m hf_canon` is `hf-canon`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
