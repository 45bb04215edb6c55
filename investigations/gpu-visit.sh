#!/usr/bin/env bash
# One visit to a GPU machine: gpu-visit.sh RECORDER OUT STAGE...
#
# Stages, each fit for ten minutes:
#   record    records the programs of workloads/faults.py, 24 s each, truth included (7 minutes)
#   overhead  measures what recording costs a launch loop, training and decoding (6 minutes)
#
# OUT gets at most four parts of 15 MiB of one tar (cat OUT/STAGE.tar.* | tar x), which holds
# every trace as NAME.db.xz, the programs' own logs, and what the recorder said.
# ONLY="name name" limits the recordings; SECONDS_EACH and PAIRS shorten a trial.
set -u
recorder=$(realpath "$1")
out=$(realpath "$2")
shift 2
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
began=$SECONDS
export PYTHONUNBUFFERED=1
python=${PYTHON:-python3}
limit=${LIMIT:-570}

say() { printf '%4d s  %s\n' $((SECONDS - began)) "$*"; }

facts() {
  {
    uname -a
    ldd --version | head -1
    nproc
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv
    "$python" -c 'import torch; print(torch.__version__, torch.version.cuda)'
    mount | grep -E 'tracefs|debugfs'
    cat /proc/sys/kernel/perf_event_paranoid
  } >"$work/machine.txt" 2>&1
  mount | grep -q tracefs || mount -t tracefs nodev /sys/kernel/tracing 2>>"$work/machine.txt"
  "$recorder" --check -- "$python" >"$work/check.txt" 2>&1
  say "check: exit $?, $(grep -cE ' attached( |$)' "$work/check.txt") attached, $(head -1 "$work/check.txt")"
  grep -E ' (failed|missing) |single-stepped' "$work/check.txt" | head -40
}

# The first run on a bare machine reads gigabytes of libraries from disk; that is not the cold start
# of a process, so it is got over before.
warm_disk() {
  timeout 120 "$python" -c 'import torch; x = torch.randn(64, 64, device="cuda"); (x @ x).sum().item()' \
    >"$work/warm.txt" 2>&1
  say "libraries read once: exit $?"
}

record_one() {
  local name=$1 seconds=${SECONDS_EACH:-24}
  shift
  [ "$name" = coldstart ] && seconds=$((seconds / 2))
  timeout -s INT $((seconds + 50)) "$recorder" -o "$work/$name.db" --force --node gpu "$@" -- \
    "$python" "$here/workloads/faults.py" "${name%%.*}" --seconds "$seconds" \
    --log "$work/$name.truth.jsonl" >"$work/$name.out" 2>"$work/$name.err"
  say "$name: exit $?, $(stat -c %s "$work/$name.db" 2>/dev/null) bytes, $(tail -c 400 "$work/$name.out")"
  tail -3 "$work/$name.err"
}

record() {
  local name
  for name in ${ONLY:-coldstart training decode contention dataloader pageable sync allocator recapture smallkernels}; do
    if [ $((SECONDS - began)) -gt $((limit - 110)) ]; then
      say "no time left for $name"
      continue
    fi
    record_one "$name"
  done
  # Both layers of a short run: which driver calls each runtime call makes.
  if [ -z "${ONLY:-}" ] && [ $((SECONDS - began)) -lt $((limit - 100)) ]; then
    SECONDS_EACH=6 record_one training.nested --nested
  fi
}

measure() {
  local name=$1 args=("${@:2}") left=$((limit - 20 - (SECONDS - began)))
  [ "$left" -lt 30 ] && { say "no time left for $name ${args[*]}"; return; }
  (cd "$here/workloads" && timeout "$left" "$python" overhead.py "$recorder" "$name" \
    --pairs "${PAIRS:-6}" --seconds "${WINDOW:-3}" -- "${args[@]}") \
    >>"$work/overhead.jsonl" 2>>"$work/overhead.err"
  say "$name ${args[*]}: exit $?"
  tail -1 "$work/overhead.jsonl" | cut -c1-420
}

overhead() {
  measure launch
  measure training
  measure decode
  # Where it goes: calls alone, one layer alone, and both layers in full.
  local calls=(--without sched --without mem --without io --without net --without tcp)
  PAIRS=3 measure launch "${calls[@]}"
  PAIRS=3 measure launch "${calls[@]}" --without driver
  PAIRS=3 measure launch "${calls[@]}" --nested
  PAIRS=3 measure launch --without cuda --without driver --without graph --without nccl
  PAIRS=3 measure launch --attach pair
}

mkdir -p "$out"
facts
for stage in "$@"; do
  case $stage in
    record) warm_disk; record ;;
    overhead) overhead ;;
    *) say "unknown stage $stage" ;;
  esac
done
say "packing"
"$python" "$here/workloads/pack.py" "$work" 56
(cd "$work" && tar cf - --exclude='*.db' --exclude='*.db-*' --exclude='*.sock' --exclude='*.reserve' .) |
  split -b 15M -d - "$out/$1.tar."
ls -l "$out"
say "done"
