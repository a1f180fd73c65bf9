#!/bin/bash
# Slurm: submits one task for each part, and the job that merges and quantizes after all of them
# succeeded; if one fails, Slurm cancels this job. Options are for it, such as --mail-type=END:
#     bash submit.sh [OPTION...]
set -euo pipefail
cd "$(dirname "$0")"
. ./settings.sh

array=$(sbatch --parsable "${REQUEST[@]}" --array="1-$PARTS" calibrate.sbatch)
sbatch "${REQUEST[@]}" --dependency="afterok:${array%;*}" --kill-on-invalid-dep=yes "$@" merge.sbatch
