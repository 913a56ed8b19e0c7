#!/usr/bin/env bash
# One run on several GPUs of a SLURM cluster:  sbatch examples/slurm_run.sh PROJECT [options of run]
#
# For example with --preset paper-voc.  The batch sizes of the recipe are those of all GPUs together, so
# that the result does not depend on how many there are; a step needs as many crops as there are GPUs.
# All nodes must see PROJECT under the same path.  Before its time is over the job is asked to save,
# which takes one step; submit it again with --resume.
#
#SBATCH --job-name=threestage
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --time=08:00:00
#SBATCH --signal=TERM@120
set -euo pipefail

project=${1:?usage: sbatch slurm_run.sh PROJECT [options of threestage run]}
shift
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)

srun torchrun \
    --nnodes "$SLURM_NNODES" \
    --nproc_per_node "${SLURM_GPUS_ON_NODE:-4}" \
    --rdzv_id "$SLURM_JOB_ID" \
    --rdzv_backend c10d \
    --rdzv_endpoint "$first:29500" \
    -m napari_threestage run "$project" "$@"
