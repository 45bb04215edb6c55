#!/usr/bin/env bash
# One visit to a GPU machine for NCCL: nccl-visit.sh RECORDER OUT [NAME…]
#
# Trains with DDP, one rank for each GPU there is (WORLD=N for fewer; one is enough to see the real calls),
# and records each rank into a trace of its own, from before its communicator is made: a recorder that comes later
# cannot tell which ranks belong together. NAMEs are those of workloads/nccl.py; overhead measures the step time
# with and without NCCL's probes, in PAIRS (5) pairs of windows whose order alternates. Without NAMEs: as many of
# them as there is time for.
#
# OUT gets parts of 15 MiB of one tar (cat OUT/nccl.tar.* | tar x): NAME.rankR.db.xz, the ranks' own truth and
# words, and what the recorder said. `ingero merge` puts the traces of a NAME together.
# LIMIT is the seconds there are, BUDGET the MiB; SECONDS_EACH and WARM shorten a trial; STANDIN=DIR (a folder of
# stand-in libraries) makes do without torch and GPU.
set -u
recorder=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
shift 2
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
began=$SECONDS
python=${PYTHON:-python3}
limit=${LIMIT:-570}
pack_time=${PACK:-60}
each=${SECONDS_EACH:-60}
warm=${WARM:-32}
hang=80
# Multicast over NVLink can take a host's GPUs out of service for all who share them.
export NCCL_NVLS_ENABLE=0 TORCH_SYMM_MEM_DISABLE_MULTICAST=1 NVSHMEM_DISABLE_NVLS=1
export NCCL_DEBUG=${NCCL_DEBUG:-VERSION} PYTHONUNBUFFERED=1
gpus=$(nvidia-smi -L 2>/dev/null | wc -l)
world=${WORLD:-$gpus}
[ "$world" -ge 1 ] || { echo "no GPU here: WORLD=2 STANDIN=DIR for a trial" >&2; exit 1; }
names=("$@")
if [ $# -eq 0 ]; then
  names=(healthy cpu input small overhead)
  [ "$world" -gt 1 ] && names=(healthy cpu input mismatch hang small overhead)
fi
more=()
if [ -n "${STANDIN:-}" ]; then
  STANDIN=$(realpath "$STANDIN")
  # Where the recorder looks for libraries before the program is there.
  export LD_LIBRARY_PATH=$STANDIN
  more+=(--standin "$STANDIN")
fi
[ -n "${TINY:-}" ] && more+=(--tiny)
started=()

now() { echo $((SECONDS - began)); }
left() { echo $((limit - pack_time - (SECONDS - began))); }
say() { printf '%4d s  %s\n' "$(now)" "$*"; }

finish() {
  local pid
  for pid in "${started[@]}"; do kill -9 "$pid" 2>/dev/null; done
  rm -rf "$work"
}
trap finish EXIT

facts() {
  {
    uname -a
    nproc
    nvidia-smi --query-gpu=index,name,driver_version --format=csv
    nvidia-smi topo -m
    "$python" -c 'import torch; print(torch.__version__, torch.cuda.nccl.version())'
    "$python" -c 'import nvidia.nccl, glob; print(glob.glob(list(nvidia.nccl.__path__)[0] + "/lib/*"))'
  } >"$work/machine.txt" 2>&1
  timeout 60 "$recorder" --check -- "$python" >"$work/check.txt" 2>&1
  say "check: exit $?"
  grep -i nccl "$work/check.txt" | head -30
}

# Starts rank R of NAME; with a recorder, if there is one.
start_rank() {
  local name=$1 rank=$2 seconds=$3 under=()
  shift 3
  [ $# -gt 0 ] && under=("$@")
  INGERO_ANNOTATIONS=$work/$name.rank$rank.db.sock "${under[@]}" "$python" "$here/workloads/nccl.py" "$name" \
    --rank "$rank" --world "$world" --hold "$work/hold" --seconds "$seconds" --warm "$warm" \
    --log "$work/$name.rank$rank.truth.jsonl" "${more[@]}" >"$work/$name.rank$rank.out" 2>&1 &
  started+=($!)
}

# Rows of NCCL in the traces of NAME, so that one can see at once whether the probes worked.
look() {
  "$python" - "$work"/"$1".rank*.db <<'SQL'
import sqlite3, sys
for path in sys.argv[1:]:
    d = sqlite3.connect(path)
    one = lambda q: d.execute(q).fetchall()
    print(path.rsplit("/", 1)[1], one("select count(*) from events")[0][0], "events; lost:",
          one("select probe, sum(lost) from recording_losses group by 1"), "; clock:",
          one("select max(offset_ns)-min(offset_ns), max(error_ns), max(wall_error_ns) from clock_offsets")[0])
    for row in one("select name, count(*), sum(comm_id<>0), count(distinct comm_id), min(n.rank), max(nranks), min(seq), "
                   "max(seq), max(bytes), cast(avg(duration) as int), max(duration) from nccl_calls n join events e on "
                   "e.rowid=event join ops on source_id=source and op_id=op group by 1"):
        print("  ", *row)
    print("   probes:", one("select status, count(*) from recording_probes where probe like 'nccl%' group by 1"))
SQL
}

record() {
  local name=$1 rank pids=() code=() need=$((warm + each + 25)) pid
  [ "$name" = hang ] && need=$((need + hang))
  [ "$name" = mismatch ] && need=$((need + 40))
  if [ "$(left)" -lt "$need" ]; then
    say "$name: no time left ($need s needed)"
    return
  fi
  mkdir -p "$work/hold"
  for rank in $(seq 0 $((world - 1))); do
    start_rank "$name" "$rank" "$each" "$recorder" -o "$work/$name.rank$rank.db" --force --node "rank$rank" --
    pids+=($!)
  done
  local end=$((SECONDS + need))
  for pid in "${pids[@]}"; do
    while kill -0 "$pid" 2>/dev/null && [ $SECONDS -lt $end ]; do sleep 0.3; done
    kill -TERM "$pid" 2>/dev/null
    wait "$pid"
    code+=($?)
  done
  rm -rf "$work/hold"
  say "$name: exits ${code[*]}"
  tail -n 4 "$work/$name".rank*.out | cut -c1-300
  look "$name"
}

# Alternating windows with and without NCCL's probes. The rest is not recorded, so that what is measured is theirs.
overhead() {
  local pairs=${PAIRS:-5} window=${WINDOW:-8} rank i mode order recs=() pid
  if [ "$(left)" -lt $((warm + 30 + pairs * 2 * (window + 4))) ]; then
    say "overhead: no time left"
    return
  fi
  mkdir -p "$work/hold"
  touch "$work/hold/overhead.go"
  local ranks=()
  for rank in $(seq 0 $((world - 1))); do
    start_rank overhead "$rank" 1
    ranks+=($!)
  done
  local end=$((SECONDS + warm + 60))
  until [ -e "$work/hold/overhead.$((world - 1)).ready" ] || [ $SECONDS -ge $end ]; do sleep 0.3; done
  sleep 2
  for i in $(seq "$pairs"); do
    order=(off on)
    [ $((i % 2)) -eq 0 ] && order=(on off)
    for mode in "${order[@]}"; do
      recs=()
      if [ "$mode" = on ]; then
        for rank in "${!ranks[@]}"; do
          "$recorder" -o "$work/overhead.db$rank" --force --node "rank$rank" --pid "${ranks[$rank]}" --without cuda \
            --without driver --without graph --without sched --without mem --without io --without net --without tcp \
            --without xid >"$work/overhead.recorder$rank" 2>&1 &
          recs+=($!)
        done
      fi
      sleep 3
      echo "$i $mode $("$python" -c 'import time; print(time.monotonic_ns())')" >>"$work/overhead.windows"
      sleep "$window"
      echo "$i end $("$python" -c 'import time; print(time.monotonic_ns())')" >>"$work/overhead.windows"
      for pid in "${recs[@]}"; do kill -TERM "$pid"; wait "$pid"; done
    done
  done
  rm "$work/hold/overhead.go"
  for pid in "${ranks[@]}"; do wait "$pid"; done
  cp "$work"/hold/overhead.[0-9]* "$work/" 2>/dev/null
  "$python" - "$work" <<'PAIRS' | tee "$work/overhead.json"
import glob, json, sqlite3, statistics, sys
work = sys.argv[1]
steps = [tuple(map(int, l.split())) for l in open(f"{work}/overhead.0")]
marks = [l.split() for l in open(f"{work}/overhead.windows")]
pairs = {}
for (i, mode, begin), (_, _, end) in zip(marks[::2], marks[1::2]):
    inside = [b - a for a, b in steps if int(begin) <= a and b <= int(end)]
    pairs.setdefault(i, {})[mode] = statistics.median(inside) / 1e6
    pairs[i][mode + "_steps"] = len(inside)
ratios = [p["on"] / p["off"] - 1 for p in pairs.values()]
calls = [sqlite3.connect(d).execute("select count(*) from events where source=9").fetchone()[0]
         for d in sorted(glob.glob(f"{work}/overhead.db[0-9]"))]
print(json.dumps({"pairs": pairs, "slower_median": statistics.median(ratios), "slower_min": min(ratios),
                  "slower_max": max(ratios), "nccl_rows_of_last_window": calls}))
PAIRS
  rm -rf "$work/hold"
}

facts
say "$world ranks on $gpus GPUs: ${names[*]}"
for name in "${names[@]}"; do
  if [ "$name" = overhead ]; then overhead; else record "$name"; fi
done
say "packing"
rm -f "$work"/overhead.db*
"$python" "$here/workloads/pack.py" "$work" "${BUDGET:-50}"
(cd "$work" && tar cf - --exclude='*.db' --exclude='*.db-*' --exclude='*.sock' --exclude='*.reserve' --exclude=hold .) |
  split -b 15M -d - "$out/nccl.tar."
ls -l "$out"
say "done"
