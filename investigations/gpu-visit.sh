#!/usr/bin/env bash
# One visit to a GPU machine, ten minutes at most: gpu-visit.sh RECORDER OUT
#
# Records the programs of workloads/faults.py one after another, each with its truth. All are started
# together and warm up at once; then each waits for its turn, so that the recorder comes to a process
# that has long been running, except for the cold start, which is recorded from its first call.
# With the time that is left: what recording costs training and decoding (OVERHEAD names them), in pairs of
# windows with and without; at the very end, with XID=1, one stray write, for the driver's report.
#
# OUT gets at most four parts of 15 MiB of one tar (cat OUT/visit.tar.* | tar x), which holds every
# trace as NAME.db.xz, the programs' own logs, and what the recorder said.
# ONLY="name name" limits the recordings; SECONDS_EACH, FAULT, PAIRS and LIMIT shorten a trial;
# FAULTS is another program with the arguments of faults.py.
set -u
recorder=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
here=$(cd "$(dirname "$0")" && pwd)
faults=${FAULTS:-$here/workloads/faults.py}
work=$(mktemp -d)
hold=$work/hold
mkdir "$hold"
began=$SECONDS
export PYTHONUNBUFFERED=1
python=${PYTHON:-python3}
limit=${LIMIT:-555}
each=${SECONDS_EACH:-28}
fault=${FAULT:-10.5}
pack_time=45
warm_after=31
names=(${ONLY-training decode contention dataloader sync allocator pageable recapture smallkernels throttled})
started=()
declare -A pids

now() { echo $((SECONDS - began)); }
left() { echo $((limit - pack_time - (SECONDS - began))); }
say() { printf '%4d s  %s\n' "$(now)" "$*"; }

finish() {
  local pid
  for pid in "${started[@]}"; do kill -9 "$pid" 2>/dev/null; done
  rm -f /tmp/ingero-neighbours-busy
  rm -rf "$work"
}
trap finish EXIT

facts() {
  {
    uname -a
    ldd --version | head -1
    nproc
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv
    mount | grep -E 'tracefs|debugfs|cgroup'
    cat /proc/sys/kernel/perf_event_paranoid
  } >"$work/machine.txt" 2>&1
  timeout 60 "$recorder" --check -- "$python" >"$work/check.txt" 2>&1
  say "check: exit $?, $(grep -cE ' attached( |$)' "$work/check.txt") attached, $(head -1 "$work/check.txt")"
  grep -E ' (failed|missing) |single-stepped' "$work/check.txt" | head -40
}

# Of the process just started; the shell is not to say how it ended.
keep_pid() {
  pids[$1]=$!
  started+=($!)
  disown $!
}

# Starts a program that waits for its turn after the warm-up.
start_held() {
  local name=$1
  INGERO_ANNOTATIONS=$work/$name.sock "$python" "$faults" "$name" --seconds "$each" --fault "$fault" \
    --log "$work/$name.truth.jsonl" --hold "$hold" >"$work/$name.out" 2>&1 &
  keep_pid "$name"
}

start_overhead() {
  local name=$1
  (cd "$here/workloads" && exec "$python" overhead.py "$recorder" "$name" --pairs "${PAIRS:-8}" \
    --seconds "${WINDOW:-2}" --hold "$hold" >"$work/overhead.$name.json" 2>"$work/overhead.$name.err") &
  keep_pid "overhead-$name"
}

# Waits until the program NAME has come to WHAT, for so many seconds at most and while it lives.
await() {
  local end=$((SECONDS + $3))
  until [ -e "$hold/$1.$2" ]; do
    if [ $SECONDS -ge $end ] || ! kill -0 "${pids[$1]}" 2>/dev/null; then return 1; fi
    sleep 0.1
  done
}

record_held() {
  local name=$1 pid rec code
  if [ "$(left)" -lt $((each + 6)) ]; then
    say "$name: no time left"
    return
  fi
  if ! await "$name" ready 5; then
    say "$name: not ready: $(tail -c 300 "$work/$name.out")"
    return
  fi
  pid=$(cat "$hold/$name.ready")
  # It is at work when the recorder comes, as a server is.
  touch "$hold/$name.go"
  sleep 1
  "$recorder" -o "$work/$name.db" --force --node gpu --pid "$pid" --annotations "$work/$name.sock" \
    >"$work/$name.recorder" 2>&1 &
  rec=$!
  await "$name" done $((each + 15)) || say "$name: did not end in time"
  kill -TERM $rec
  wait $rec
  code=$?
  touch "$hold/$name.end"
  say "$name: exit $code, $(stat -c %s "$work/$name.db" 2>/dev/null) bytes, $(tail -c 400 "$work/$name.out")"
  tail -3 "$work/$name.recorder"
}

record_cold() {
  timeout -s TERM 60 "$recorder" -o "$work/coldstart.db" --force --node gpu -- "$python" "$faults" coldstart \
    --seconds 9 --fault 3 --log "$work/coldstart.truth.jsonl" >"$work/coldstart.out" 2>"$work/coldstart.recorder"
  say "coldstart: exit $?, $(stat -c %s "$work/coldstart.db" 2>/dev/null) bytes, $(tail -c 400 "$work/coldstart.out")"
}

measure() {
  local name=$1 seconds=$2
  if [ "$seconds" -lt 20 ] || ! [ -e "$hold/overhead-$name.ready" ]; then
    say "overhead of $name: no time left, or not ready: $(tail -c 300 "$work/overhead.$name.err")"
    return
  fi
  echo "$((seconds - 4))" >"$work/go"
  mv "$work/go" "$hold/overhead-$name.go"
  await "overhead-$name" done $((seconds + 5))
  say "overhead: $(cut -c1-420 "$work/overhead.$name.json")"
}

# The stray write loses the context of its own process; others and the GPU go on.
record_stray() {
  timeout -s TERM 40 "$recorder" -o "$work/stray.db" --force --node gpu -- "$python" "$faults" stray \
    --log "$work/stray.truth.jsonl" >"$work/stray.out" 2>&1
  say "stray: exit $?, $(tail -c 600 "$work/stray.out")"
  dmesg 2>/dev/null | grep -i xid | tail -3
  nvidia-smi --query-gpu=name,temperature.gpu --format=csv,noheader
  (cd "$work" && tar cJf "$out/stray.tar.xz" stray.db stray.truth.jsonl stray.out)
}

for name in "${names[@]}"; do start_held "$name"; done
overheads=(${OVERHEAD-training decode})
for name in "${overheads[@]}"; do start_overhead "$name"; done
facts
ready_by=$((SECONDS + 150))
for name in "${names[@]}"; do
  await "$name" ready $((ready_by - SECONDS)) || say "$name is not ready: $(tail -c 300 "$work/$name.out")"
done
for name in "${overheads[@]}"; do await "overhead-$name" ready $((ready_by - SECONDS)); done
say "all are warm"
warm=$SECONDS
[ -n "${COLD-1}" ] && record_cold
until [ ${#names[@]} -eq 0 ] || [ $((SECONDS - warm)) -ge $warm_after ]; do sleep 0.2; done
for name in "${names[@]}"; do
  if [ "$name" = contention ]; then
    "$python" "$faults" neighbours &
    keep_pid neighbours
  fi
  record_held "$name"
  if [ "$name" = contention ]; then
    kill "${pids[neighbours]}"
    rm -f /tmp/ingero-neighbours-busy
  fi
done
n=${#overheads[@]}
for name in "${overheads[@]}"; do
  measure "$name" $(($(left) / n))
  n=$((n - 1))
done
for pid in "${started[@]}"; do kill -9 "$pid" 2>/dev/null; done
say "packing"
"$python" "$here/workloads/pack.py" "$work" 56
(cd "$work" && tar cf - --exclude='*.db' --exclude='*.db-*' --exclude='*.sock' --exclude='*.reserve' --exclude=hold .) |
  split -b 15M -d - "$out/visit.tar."
ls -l "$out"
if [ "${XID:-0}" = 1 ] && [ "$(now)" -lt $((limit - 5)) ]; then record_stray; fi
say "done"
