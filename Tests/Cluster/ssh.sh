#!/bin/bash
# ssh: calibrates one part on each of HOSTS at the same time, fetches the parts, and merges and
# quantizes on this machine. SSH is the command if it needs options, such as "ssh -p 2222":
#     [SSH=COMMAND] bash ssh.sh
set -euo pipefail
cd "$(dirname "$0")"
. ./settings.sh
SSH=${SSH:-ssh}
count=${#HOSTS[@]}

# Calibrates and fetches one part: the host, and the number of the part.
calibrate() {
  $SSH "$1" "cd $FOLDER && bash calibrate.sbatch $2/$count" </dev/null >"calibrate-$2.log" 2>&1
  $SSH "$1" "cd $FOLDER && tar -cf - part-$2.calibration*" </dev/null | tar -C fetched -xf -
}

for host in "${HOSTS[@]}"; do
  tar -cf - settings.sh calibrate.sbatch | $SSH "$host" "mkdir -p $FOLDER && tar -C $FOLDER -xf -"
done
mkdir -p fetched
tasks=()
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
for index in "${!HOSTS[@]}"; do
  calibrate "${HOSTS[index]}" $((index + 1)) &
  tasks+=($!)
done
failed=0
for index in "${!HOSTS[@]}"; do
  if ! wait "${tasks[index]}"; then
    echo "${HOSTS[index]}: failed; see calibrate-$((index + 1)).log" >&2
    failed=1
  fi
done
if ((failed)); then exit 1; fi
mv fetched/* .
rmdir fetched
bash merge.sbatch "$count"
