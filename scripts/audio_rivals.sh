#!/usr/bin/env bash
# librosa and torchaudio, whose pitch shifters the figures about audio compare with and test with:
#
#     bash scripts/audio_rivals.sh && .venv/bin/python scripts/figure_audio_cost.py
#
# They lie in build/audio-rivals, out of sight of the environment: transformers behaves differently where it finds them.
# An existing folder is left as it is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder=build/audio-rivals
[ ! -d "$folder" ] || exit 0
mkdir -p build
scratch=$(mktemp -d build/.audio-rivals-XXXX)
trap 'rm -rf "$scratch"' EXIT
"${PYTHON:-.venv/bin/python}" -m pip install --quiet --constraint constraints.txt --no-deps --target "$scratch" \
    librosa==0.11.0 torchaudio==2.11.0 soxr numba llvmlite msgpack pooch audioread decorator lazy_loader platformdirs \
    requests urllib3 certifi charset-normalizer idna
# torchaudio has no build for this torch. Its compiled part has to go, and its pitch shifter, all Python, does not need it.
rm -f "$scratch"/torchaudio/lib/*.so
mv "$scratch" "$folder"
