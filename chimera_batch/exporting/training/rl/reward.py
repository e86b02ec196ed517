"""The reward of this folder's problems, for trainers that take a file: pip install chimera-batch.

TRL: reward_funcs: [chimera_batch.rewards.solved]    verl: compute_score of this file, or of pkg://chimera_batch.rewards

    python reward.py 'Half of it: \\boxed{1/2}' '0.5'      prints 1.0

Rules decide; what they leave open counts as wrong, unless CHIMERA_JUDGE_URL and CHIMERA_JUDGE_MODEL name a judge.
"""

import sys

from chimera_batch.rewards import compute_score, solved

__all__ = ["compute_score", "solved"]

if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.stdout.write(f"{compute_score('', sys.argv[1], sys.argv[2])}\n")
