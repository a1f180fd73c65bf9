#!/bin/sh
# Trains mini-sdxl on a CUDA device, from mini-sd's VAE to the measured folder: ten minutes.
#
#     on_gpu.sh RUN    # RUN: a folder outside the repository
#
# Needs torch with CUDA, diffusers, transformers, safetensors, accelerate and pillow.
set -eu
cd "$(dirname "$0")"
python train_vae.py mini-sdxl "$1" --start ../mini-sd --steps 400 --batch 32 --device cuda
python train.py mini-sdxl "$1" --minutes 8 --device cuda --workers 1 --batch 1024 --noises 4 \
    --rate 2.5e-3 --compile
python export.py mini-sdxl "$1"
python levels.py mini-sdxl --device cuda
python evaluate.py mini-sdxl --device cuda
