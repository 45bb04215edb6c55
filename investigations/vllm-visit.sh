#!/usr/bin/env bash
# One visit to a GPU machine with vLLM: vllm-visit.sh RECORDER OUT MODEL [NAME…]
#
# Starts `vllm serve MODEL` (random weights), sends it the requests of workloads/vllm_requests.py one course
# after another and records the server, each course into a trace of its own. NAMEs are courses as that
# file has them; squeezed-CPUS-BUSY holds the server to so many CPUs beside so many busy loops, overhead
# measures what recording costs (overhead:"--without net" with these arguments), PAIRS times; eager starts
# the server anew without CUDA graphs, fronts with four front ends instead of one.
#
# OUT gets parts of 15 MiB of one tar (cat OUT/vllm.tar.* | tar x) with every trace as NAME.db.xz, the
# truth of each, the server's log, and what the recorder said. LIMIT is the seconds there are, BUDGET the MiB.
set -u
recorder=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
model=$3
shift 3
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
began=$SECONDS
python=${PYTHON:-python3}
limit=${LIMIT:-560}
pack_time=${PACK:-70}
courses=("$@")
[ $# -gt 0 ] || courses=(first steady burst long squeezed-4-8 squeezed-2-16 logprobs compile overhead eager steady burst)
export PYTHONUNBUFFERED=1
server=
mode=

now() { echo $((SECONDS - began)); }
left() { echo $((limit - pack_time - (SECONDS - began))); }
say() { printf '%4d s  %s\n' "$(now)" "$*"; }

stop() {
  [ -n "$server" ] || return
  # The server is the leader of its own process group: its engine goes with it.
  kill -TERM -- "-$server" 2>/dev/null
  for _ in $(seq 40); do
    kill -0 -- "-$server" 2>/dev/null || break
    sleep 0.25
  done
  kill -KILL -- "-$server" 2>/dev/null
  server=
}

finish() {
  stop
  rm -rf "$work"
}
trap finish EXIT

serve() {
  setsid "$python" -m vllm.entrypoints.cli.main serve "$model" --served-model-name local --load-format dummy \
    --host 127.0.0.1 --port 8000 --gpu-memory-utilization 0.95 --max-model-len 32768 \
    --enable-prefix-caching "$@" >"$work/server${mode}.log" 2>&1 &
  server=$!
  disown
  local end=$((SECONDS + 260))
  until "$python" -c 'import urllib.request as u; u.urlopen("http://127.0.0.1:8000/health", timeout=2)' 2>/dev/null; do
    if [ $SECONDS -ge $end ] || ! kill -0 $server 2>/dev/null; then
      say "no server: $(tail -c 3000 "$work/server${mode}.log")"
      return 1
    fi
    sleep 0.5
  done
  say "the server is ready: $*"
}

course() {
  local name=$1 kind=$1 more=() rec code
  case $name in
    squeezed-*)
      kind=squeezed
      IFS=- read -r _ cpus busy <<<"$name"
      more=(--cpus "0-$((cpus - 1))" --busy "$busy") ;;
  esac
  name=$name$mode
  if [ "$(left)" -lt 34 ]; then
    say "$name: no time left"
    return
  fi
  "$recorder" -o "$work/$name.db" --force --node gpu --pid "$server" --annotations "$work/$name.sock" \
    >"$work/$name.recorder" 2>&1 &
  rec=$!
  for _ in $(seq 80); do
    [ -S "$work/$name.sock" ] && break
    sleep 0.1
  done
  sleep 2
  INGERO_ANNOTATIONS=$work/$name.sock timeout 60 "$python" "$here/workloads/vllm_requests.py" "$kind" \
    --server "$server" --log "$work/$name.truth.jsonl" "${more[@]}" >"$work/$name.out" 2>&1
  code=$?
  sleep 0.5
  kill -TERM $rec
  wait $rec
  say "$name: requests $code, recorder $?, $(stat -c %s "$work/$name.db") bytes, $(tail -c 900 "$work/$name.out")"
  tail -2 "$work/$name.recorder"
  "$python" - "$work/$name.db" <<'SQL'
import sqlite3, sys
d = sqlite3.connect(sys.argv[1])
print(d.execute("select count(*) from events").fetchone()[0], "events,",
      d.execute("select coalesce(sum(lost), 0) from recording_losses").fetchone()[0], "lost,",
      d.execute("select count(*) from annotations").fetchone()[0], "annotations")
SQL
}

overhead() {
  local pairs=${PAIRS:-8} arguments=$1 file
  file=overhead$mode$(tr -cd 'a-z' <<<"$arguments")
  if [ "$(left)" -lt $((pairs * 18 + 12)) ]; then
    say "overhead $arguments: no time left"
    return
  fi
  timeout $((pairs * 20 + 20)) "$python" "$here/workloads/vllm_requests.py" overhead --server "$server" \
    --recorder "$recorder" --pairs "$pairs" --arguments="$arguments" >"$work/$file.json" 2>"$work/$file.err"
  say "overhead: $? $(tail -c 300 "$work/$file.err") $(tail -c 600 "$work/$file.json")"
}

{ uname -a; nproc; nvidia-smi --query-gpu=name,driver_version --format=csv; "$python" -m pip list 2>/dev/null; } \
  >"$work/machine.txt"
serve ${SERVE_ARGS:-} || exit 1
cp "/proc/$server/status" "$work/server.status"
for name in "${courses[@]}"; do
  case $name in
    eager)
      stop
      mode=-eager
      serve --enforce-eager || break ;;
    fronts)
      stop
      mode=-fronts
      serve --api-server-count 4 || break ;;
    overhead) overhead "" ;;
    overhead:*) overhead "${name#overhead:}" ;;
    *) course "$name" ;;
  esac
done
stop
say "packing"
"$python" "$here/workloads/pack.py" "$work" "${BUDGET:-56}"
(cd "$work" && tar cf - --exclude='*.db' --exclude='*.db-*' --exclude='*.sock' --exclude='*.reserve' .) |
  split -b 15M -d - "$out/vllm.tar."
ls -l "$out"
say "done"
