# What to change. The other scripts read it.

# The program and the model, at the same paths on all machines.
DECANT=decant
MODEL=/models/sd-v1-5

# Options of `decant calibrate`, the same for every part. --prompts FILE takes an absolute path.
CALIBRATE=(--effort standard --measure sensitivity)

# The output, and the options of `decant quantize`. --memory must leave some of the job's memory free.
OUTPUT=sd-v1-5-int8.decant
QUANTIZE=(--type int8 --memory 4GB)

# If the processors differ: the instruction set that all of them have.
# export DECANT_SIMD=avx2

# Slurm: the number of parts, from 2 to the number of images (prompts times seeds; 4 without
# --prompts), and what each job asks for, such as --partition=NAME.
PARTS=4
REQUEST=(--cpus-per-task=8 --mem=16G --time=4:00:00)

# ssh: the hosts, from 2 to the number of images, and a folder on each of them for its part, in the home
# folder or with an absolute path. ssh must log in without asking for a password.
HOSTS=(host1 host2)
FOLDER=decant-parts
