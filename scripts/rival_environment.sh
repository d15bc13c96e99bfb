#!/usr/bin/env bash
# A virtual environment in which the rival, equiadapt 0.1.2, runs beside this package:
#
#     bash scripts/rival_environment.sh && build/rival-venv/bin/python scripts/compare_equiadapt.py --part cost
#
# It is kept apart from the main environment because it holds torchvision, which the main one must not have.
# PYTHON=/path/to/python3.11 chooses the interpreter; an existing build/rival-venv is completed, not rebuilt.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

environment=build/rival-venv
[ -x "$environment/bin/python" ] || "${PYTHON:-python3}" -m venv "$environment"
pip=("$environment/bin/python" -m pip install --quiet --constraint constraints.txt)

"${pip[@]}" "setuptools>=77" torch numpy scipy pillow "transformers>=5.23,<6" "datasets>=5" "accelerate>=1.15"
# What equiadapt imports: kornia turns images, e2cnn holds the group convolutions, omegaconf the hyperparameters.
"${pip[@]}" "kornia==0.9.0" "e2cnn==0.2.3" "omegaconf>=2.3"
# --no-deps: torchvision must not replace the torch that the constraints chose, and equiadapt also asks for hydra-core,
# which it never imports. Nothing has to be stubbed: lightning and torch_scatter appear in its examples only.
"${pip[@]}" --no-deps "torchvision==0.28.0" "equiadapt==0.1.2"
"${pip[@]}" --no-deps --no-build-isolation --editable .

# torchvision's compiled operators may not match this torch. It only has to be importable, so its two operators are
# declared without a body before the first import (scripts/compare_equiadapt.py does the same).
"$environment/bin/python" - <<'PYTHON'
import torch

library = torch.library.Library("torchvision", "DEF")
for operator in ("nms", "qnms"):
    library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import equiadapt  # noqa: F401
import torchvision
import transformers

print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, transformers {transformers.__version__}: ready")
PYTHON
