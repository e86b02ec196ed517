#!/usr/bin/env bash
# SFT with sft.yaml beside this file, batch 256 whatever the number of GPUs: GPUS=8 bash train.sh [options of trl sft]
set -euo pipefail
cd "$(dirname "$0")"
gpus=${GPUS:-1}
exec accelerate launch --num_processes "$gpus" -m trl.scripts.sft --config sft.yaml --dataset_name "$PWD" \
  --gradient_accumulation_steps $((256 / gpus)) "$@"
