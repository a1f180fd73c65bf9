#!/bin/bash
# What `make cluster` runs: calibrates and quantizes a miniature model on one machine, as a job array
# of a real Slurm with two nodes on this machine, and through a stand-in for ssh, and compares the
# results byte by byte. DECANT is the program, by default that of `make build`:
#     [DECANT=PROGRAM] bash Tests/Cluster/run.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
model=$(cd "$here/../../Fixtures/mini-sd" && pwd)
decant=$(realpath "${DECANT:-$here/../../.build/release/decant}")
PATH=$PATH:/usr/sbin

work=$(mktemp -d)
chmod 755 "$work" # munged wants a folder that everyone may enter.
export SLURM_CONF=$work/slurm.conf
mkdir "$work"/{state,node1,node2,one,slurm,ssh,hosts}
passed=
reason=

# Ends the jobs, then the daemons by the process numbers in their files, whatever happened before.
finish() {
  set +e
  trap - EXIT
  if [ -z "$passed" ]; then tail -n 20 "$work"/*.log "$work"/{slurm,ssh}/*.log >&2 2>/dev/null; fi
  if [ -f "$work/slurmctld.pid" ]; then
    timeout 20 scancel --user="$(id -un)"
    timeout 40 bash -c 'while [ -n "$(squeue --noheader)" ]; do sleep 1; done'
  fi
  local file pid
  for file in "$work"/*.pid; do
    pid=$(cat "$file" 2>/dev/null) || continue
    kill "$pid"
    timeout 20 tail --pid="$pid" -f /dev/null || kill -KILL "$pid"
  done
  rm -rf "$work"
  if [ -z "$passed" ]; then
    echo "cluster: failed${reason:+: $reason}" >&2
    exit 1
  fi
  echo "cluster: passed in $SECONDS seconds"
}
trap finish EXIT

fail() {
  reason=$*
  exit 1
}

# Submits the scripts and waits 15 minutes at most for the last job. The result is its state.
run_jobs() {
  local job state limit=$((SECONDS + 900))
  job=$(bash "$work/slurm/submit.sh" --parsable) || return
  while
    state=$(scontrol show job "$job" | grep -o 'JobState=[A-Z]*' | cut -d = -f 2)
    [[ $state =~ PENDING|RUNNING|COMPLETING && $SECONDS -lt $limit ]]
  do
    sleep 1
  done
  echo "$state"
}

# Whether a folder has the results of one machine.
compare() {
  local name
  for name in whole.calibration whole.calibration.sensitivity.json mini.decant; do
    cmp "$work/one/$name" "$1/$name" || fail "$name differs from that of one machine"
  done
}

# A folder with the scripts and settings for the miniature model, as a user would edit them.
prepare() {
  cp "$here"/{settings.sh,calibrate.sbatch,merge.sbatch,submit.sh,ssh.sh} "$1"
  cat >>"$1/settings.sh" <<SETTINGS
DECANT=${decant@Q}
MODEL=${model@Q}
CALIBRATE+=(--prompts ${model@Q}/calibration.txt)
OUTPUT=mini.decant
REQUEST=(--cpus-per-task=1 --mem=1G --time=30)
HOSTS=(first second third)
${DECANT_SIMD:+export DECANT_SIMD=$DECANT_SIMD}
SETTINGS
}

# A TCP port that no program listens on.
free_port() {
  local port
  while port=$((10000 + RANDOM % 20000)); (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
  echo "$port"
}

start_slurm() {
  local user host memory node
  user=$(id -un)
  host=$(hostname -s)
  memory=$(slurmd -C | grep -o 'RealMemory=[0-9]*')
  cat >"$SLURM_CONF" <<CONF
ClusterName=decant
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$work/munge.socket
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/%n
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd-%n.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SchedulerParameters=batch_sched_delay=0,sched_interval=5
ReturnToService=2
NodeName=node1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$(free_port) CPUs=1 $memory
NodeName=node2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$(free_port) CPUs=1 $memory
PartitionName=all Nodes=ALL Default=YES
CONF
  (umask 077 && head -c 1024 /dev/urandom >"$work/munge.key")
  munged --socket="$work/munge.socket" --key-file="$work/munge.key" --pid-file="$work/munged.pid" \
    --log-file="$work/munged.log" --seed-file="$work/munged.seed"
  slurmctld -f "$SLURM_CONF"
  for node in node1 node2; do slurmd -f "$SLURM_CONF" -N "$node"; done
  timeout 60 bash -c 'until [ "$(sinfo --noheader --states=idle --format=%D)" = 2 ]; do sleep 1; done' ||
    fail "the nodes are not idle after 60 seconds: $(sinfo --noheader --format='%N %T %E')"
}

echo "one machine"
prepare "$work/one"
(
  cd "$work/one"
  . ./settings.sh
  "$DECANT" calibrate "$MODEL" -o whole.calibration "${CALIBRATE[@]}"
  "$DECANT" quantize "$MODEL" -o "$OUTPUT" --calibration whole.calibration "${QUANTIZE[@]}"
) >"$work/one.log" 2>&1

echo "Slurm: $(slurmctld -V), 2 nodes"
prepare "$work/slurm"
start_slurm

# Part 2 fails, because its output is a folder. The other parts are finished, and nothing is merged.
mkdir "$work/slurm/part-2.calibration"
state=$(run_jobs)
[ "$state" = CANCELLED ] || fail "without part 2, the job that merges is $state"
for part in 1 3 4; do [ -f "$work/slurm/part-$part.calibration" ] || fail "no part $part"; done
[ ! -e "$work/slurm/whole.calibration" ] || fail "an incomplete calibration was merged"

# Submitted again, only part 2 is calibrated.
rmdir "$work/slurm/part-2.calibration"
state=$(run_jobs)
[ "$state" = COMPLETED ] || fail "the job that merges is $state"
[ "$(cat "$work"/slurm/calibrate-*.log | grep -c 'is used again')" = 3 ] ||
  fail "finished parts were calibrated again"
compare "$work/slurm"

# ssh: the stand-in runs the command in the home folder of the host, without this shell's variables.
echo "ssh: 3 hosts"
prepare "$work/ssh"
mkdir "$work"/hosts/{first,second,third}
cat >"$work/ssh-stand-in" <<STAND_IN
#!/bin/bash
cd "$work/hosts/\$1" && shift && exec env -i HOME="\$PWD" PATH="$PATH" sh -c "\$*"
STAND_IN
chmod +x "$work/ssh-stand-in"
SSH=$work/ssh-stand-in bash "$work/ssh/ssh.sh" >"$work/ssh/ssh.log" 2>&1
compare "$work/ssh"

passed=yes
