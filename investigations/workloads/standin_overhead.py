#!/usr/bin/env python3
"""What one probed call costs here, on a library with nothing behind its functions.

    standin_overhead.py RECORDER [--calls 300000] [--pairs 7]

Builds the stand-in libraries of the recorder's tests and lets their program call cudaLaunchKernel
in a loop, alone and under each tool in turn, the order changing from pair to pair. Prints one line
a tool: nanoseconds of the calling thread's CPU time that a call costs more than alone, median and
spread, and what was lost. (CPU time, so that other programs on the machine do not count.) bpftrace is
measured too where it is installed: first only counting and summing durations, as it is mostly
used, then printing one line a call, which is its way of keeping every call.
"""
import argparse
import os
import shutil
import sqlite3
import statistics
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.join(HERE, "../../recorder/tests/standin")


def build(folder):
    for define, name in (("CUDART", "libcudart.so.13"), ("CUDA", "libcuda.so.1"),
                         ("NCCL", "libnccl.so.2")):
        subprocess.check_call(["cc", "-w", "-O0", "-shared", "-fPIC", f"-D{define}",
                               f"{SOURCE}/standin.c", "-o", f"{folder}/{name}"])
    subprocess.check_call(["cc", "-w", "-O1", f"{SOURCE}/program.c", "-o", f"{folder}/program",
                           "-ldl", "-lpthread"])


def main():
    p = argparse.ArgumentParser()
    p.add_argument("recorder")
    p.add_argument("--calls", type=int, default=300000)
    p.add_argument("--pairs", type=int, default=7)
    a = p.parse_args()
    recorder = os.path.abspath(a.recorder)
    with tempfile.TemporaryDirectory() as d:
        build(d)
        env = dict(os.environ, STANDIN=d, LD_LIBRARY_PATH=d)
        loop = [f"{d}/program", "burst", str(a.calls)]
        db = f"{d}/t.db"
        calls_only = [x for area in ("sched", "mem", "io", "net", "tcp")
                      for x in ("--without", area)]

        def record(*args):
            return [recorder, "-o", db, "--force", "--ring-size", "256", *args, "--", *loop]

        script = (f"uprobe:{d}/libcudart.so.13:cudaLaunchKernel "
                  "{ @start[tid] = nsecs; @stream[tid] = arg5; @f[tid] = arg0; } "
                  f"uretprobe:{d}/libcudart.so.13:cudaLaunchKernel /@start[tid]/ {{ %s "
                  "delete(@start[tid]); delete(@stream[tid]); delete(@f[tid]); }")
        keep = ('printf("%d %d %lu %lu %lu %d\\n", pid, tid, @start[tid], nsecs - @start[tid], '
                '@f[tid], retval);')
        tools = {
            "recorder": record(),
            "recorder, calls only": record(*calls_only),
            "recorder, calls only, multi pair": record(*calls_only, "--attach", "pair"),
            "recorder, calls only, plain pair": record(*calls_only, "--attach", "plain",
                                                       "--without", "driver", "--without", "nccl",
                                                       "--without", "graph"),
            "recorder, no calls": record("--without", "cuda", "--without", "driver",
                                         "--without", "graph", "--without", "nccl"),
        }
        if shutil.which("bpftrace"):
            command = " ".join(loop)
            tools["bpftrace, sums only"] = [
                "bpftrace", "-q", "-e", script % "@n = count(); @ns = sum(nsecs - @start[tid]);",
                "-c", command]
            tools["bpftrace, a line a call"] = [
                "bpftrace", "-q", "-o", f"{d}/lines", "-e", script % keep, "-c", command]

        def run(command):
            out = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
            line = next(x for x in out.stdout.splitlines() if x.startswith("burst"))
            return int(line.split()[3]) / a.calls

        for name, command in tools.items():
            more, alone, kept = [], [], []
            for i in range(a.pairs):
                both = {}
                for which in ((0, 1) if i % 2 == 0 else (1, 0)):
                    both[which] = run(command if which else loop)
                alone.append(both[0])
                more.append(both[1] - both[0])
                if command[0] == recorder:
                    c = sqlite3.connect(db)
                    kept.append(c.execute("select count(*) from events where source=1").fetchone()[0])
                elif "lines" in command[3]:
                    with open(f"{d}/lines") as f:
                        kept.append(sum(1 for x in f if len(x.split()) == 6))
            print(f"{name:34} alone {statistics.median(alone):6.1f} ns; more: median "
                  f"{statistics.median(more):7.0f}, {min(more):.0f} to {max(more):.0f} ns; calls kept "
                  f"{min(kept) if kept else '-'} of {a.calls}", flush=True)


if __name__ == "__main__":
    main()
