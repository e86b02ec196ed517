#!/usr/bin/env bash
# RL with grpo.yaml beside this file, 256 problems a batch whatever the number of GPUs: GPUS=8 bash train.sh [options]
set -euo pipefail
cd "$(dirname "$0")"
gpus=${GPUS:-1}
exec accelerate launch --num_processes "$gpus" -m trl.scripts.grpo --config grpo.yaml --dataset_name "$PWD" \
  --gradient_accumulation_steps $((256 / gpus)) "$@"
