#!/usr/bin/env python3
"""What recording costs a program: the same loop with and without the recorder, in turns.

    overhead.py RECORDER {launch,training,decode} [--pairs 6] [--seconds 3] [-- RECORDER-ARGS]

One process runs the loop; the recorder is attached to it for one window of every pair and is not
there for the other, which of them comes first changing from pair to pair. Printed as JSON: the
steps per second of each window, the median slowdown and the spread over the pairs, the events that
were stored and lost, the recorder's own CPU time, and for `launch` the cost of one probed call.
"""
import argparse
import json
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

import faults
import stage
import torch

LAUNCHES = 1000


def launch():
    """As many small kernels as the host can launch: nothing but launch overhead."""
    x = torch.zeros(1, device=faults.GPU)

    def step(_faulty):
        for _ in range(LAUNCHES):
            x.add_(1)
        faults.synchronize()

    return step


def window(step, seconds):
    """(steps, seconds) of a loop of about that long."""
    for _ in range(2):
        step(False)
    faults.synchronize()
    begin, n = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        step(False)
        n += 1
    faults.synchronize()
    return n, time.perf_counter() - begin


class Recorder:
    def __init__(self, program, extra, db):
        self.db = db
        args = [program, "-o", db, "--force", "--pid", str(os.getpid()), *extra]
        self.process = subprocess.Popen(args, stdout=subprocess.DEVNULL)
        end = time.monotonic() + 20
        # The socket is there, then probes are attached; rows of libraries say that they are.
        while time.monotonic() < end:
            time.sleep(0.1)
            try:
                d = sqlite3.connect(f"file:{db}?mode=ro", uri=True)
                if d.execute("select count(*) from recording_probes where target!=''").fetchone()[0]:
                    break
            except sqlite3.Error:
                pass
        time.sleep(0.3)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        _, status, usage = os.wait4(self.process.pid, 0)
        d = sqlite3.connect(self.db)
        stored = {f"{s}/{o}": n for s, o, n in d.execute(
            "select source,op,count(*) from events group by 1,2")}
        lost = d.execute("select coalesce(sum(lost),0) from recording_losses").fetchone()[0]
        nested = d.execute("select value from recording where key='nested_driver_calls_left_out'")
        seconds = d.execute("select (stopped_at-started_at)/1e9 from sessions").fetchone()[0]
        polls = d.execute("select coalesce(sum(count-stored),0) from event_aggregates "
                          "where source in (1,4)").fetchone()[0]
        return {"status": status, "stored": stored, "lost": lost,
                "nested": int((nested.fetchone() or [0])[0]), "polls": polls, "seconds": seconds,
                "cpu_s": usage.ru_utime + usage.ru_stime}


def main():
    argv = sys.argv[1:]
    extra = []
    if "--" in argv:
        cut = argv.index("--")
        argv, extra = argv[:cut], argv[cut + 1:]
    p = argparse.ArgumentParser()
    p.add_argument("recorder")
    p.add_argument("workload", choices=["launch", "training", "decode"])
    p.add_argument("--pairs", type=int, default=6)
    p.add_argument("--seconds", type=float, default=3)
    p.add_argument("--hold", metavar="DIR", help="as of faults.py; the .go file may hold a number of "
                   "seconds after which no further pair is begun")
    a = p.parse_args(argv)
    step = launch() if a.workload == "launch" else getattr(faults, a.workload)()
    window(step, 3)
    end = None
    name = f"overhead-{a.workload}"
    if a.hold:
        stage.mark(a.hold, name, "ready")
        stage.wait_for(f"{a.hold}/{name}.go")
        with open(f"{a.hold}/{name}.go") as f:
            end = time.monotonic() + float(f.read())
        window(step, 1)
    pairs, runs = [], []
    with tempfile.TemporaryDirectory() as scratch:
        for i in range(a.pairs):
            begun, pair = time.monotonic(), {}
            for on in ((False, True) if i % 2 == 0 else (True, False)):
                recorder = Recorder(a.recorder, extra, f"{scratch}/{i}.db") if on else None
                n, took = window(step, a.seconds)
                pair["on" if on else "off"] = took / n
                if recorder:
                    run = recorder.stop()
                    run["steps"] = n + 2
                    runs.append(run)
            pairs.append(pair)
            if end and 2 * time.monotonic() - begun > end:
                break
    slower = [p["on"] / p["off"] - 1 for p in pairs]
    report = {
        "workload": a.workload, "recorder_args": extra, "pairs": len(pairs),
        "step_ms_off": statistics.median(p["off"] for p in pairs) * 1e3,
        "step_ms_on": statistics.median(p["on"] for p in pairs) * 1e3,
        "slowdown_percent_median": 100 * statistics.median(slower),
        "slowdown_percent_min": 100 * min(slower), "slowdown_percent_max": 100 * max(slower),
        "stored_per_s": statistics.median(sum(r["stored"].values()) / r["seconds"] for r in runs),
        "recorder_cpu_percent": statistics.median(100 * r["cpu_s"] / r["seconds"] for r in runs),
        "lost": sum(r["lost"] for r in runs),
        "last_run": runs[-1], "all_pairs": pairs,
    }
    if a.workload == "launch":
        extra_ns = statistics.median((p["on"] - p["off"]) * 1e9 / LAUNCHES for p in pairs)
        report["extra_ns_per_launch"] = extra_ns
    print(json.dumps(report), flush=True)
    if a.hold:
        stage.mark(a.hold, name, "done")


if __name__ == "__main__":
    main()
