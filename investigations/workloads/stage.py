"""The course of a program with one known fault: warm-up, healthy, faulty, healthy.

What is true at any moment the program itself says: as one JSON line each into a log, and into the
trace, if a recorder listens at INGERO_ANNOTATIONS (truth rows, and a span for every step).
"""
import argparse
import json
import os
import socket
import threading
import time


class Log:
    """What is true, told to a file and to the recorder."""

    def __init__(self, name, path):
        self.name = name
        self.file = open(path, "a") if path else None
        self.where = os.environ.get("INGERO_ANNOTATIONS")
        self.socket = None
        self.tried = 0

    def connect(self):
        """Connects once a recorder listens; it may come later than this program."""
        if self.socket or not self.where or time.monotonic() < self.tried + 0.5:
            return
        self.tried = time.monotonic()
        try:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(self.where)
        except OSError:
            self.socket = None

    def send(self, row):
        row = {"clock": "monotonic", "pid": os.getpid(), **row}
        line = json.dumps(row)
        if self.file:
            self.file.write(line + "\n")
            self.file.flush()
        self.connect()
        if self.socket:
            try:
                self.socket.sendall(line.encode() + b"\n")
            except OSError:
                self.socket = None

    def truth(self, kind, start, end, note, **whose):
        """Of this thread, unless `whose` names another process (pid, tid; 0 is not known)."""
        self.send({"truth": kind, "start": start, "end": end, "note": note,
                   "tid": threading.get_native_id(), "workload": self.name, **whose})

    def span(self, start, end, **labels):
        labels = {k: str(v) for k, v in labels.items()}
        self.send({"labels": labels, "start": start, "end": end})


def arguments(names):
    p = argparse.ArgumentParser()
    p.add_argument("name", choices=names)
    p.add_argument("--seconds", type=float, default=30, help="length of all three parts")
    p.add_argument("--fault", type=float, help="length of the middle one [a third]")
    p.add_argument("--log", help="what is true, one JSON object a line")
    p.add_argument("--hold", metavar="DIR",
                   help="after the warm-up make DIR/NAME.ready and wait for DIR/NAME.go; at the end "
                        "make DIR/NAME.done and wait to be ended")
    a = p.parse_args()
    a.fault = a.fault or a.seconds / 3
    return a


def mark(folder, name, what):
    with open(os.path.join(folder, f"{name}.{what}"), "w") as f:
        f.write(str(os.getpid()))


def wait_for(path):
    parent = os.getppid()
    while not os.path.exists(path):
        if os.getppid() != parent:
            raise SystemExit("nobody is there any more")
        time.sleep(0.02)


def warm_up(log, step, born_ns):
    """Runs healthy steps for two seconds."""
    began = time.monotonic()
    for i in range(100):
        step(False)
        if i > 4 and time.monotonic() - began > 2:
            break
    log.truth("note", born_ns, time.monotonic_ns(), "warm-up, not part of the experiment")


def perform(a, log, step, note=None, rate=0, spans=True):
    """Runs the three parts; without `note` the middle one is as healthy as the others."""
    if a.hold:
        mark(a.hold, a.name, "ready")
        wait_for(os.path.join(a.hold, f"{a.name}.go"))
    period = 1 / rate if rate else 0
    begin = time.monotonic_ns()
    fault = int(a.fault * 1e9)
    edge = (int(a.seconds * 1e9) - fault) // 2
    begins = [begin, begin + edge, begin + edge + fault, begin + 2 * edge + fault]
    summary, n = [], 0
    due = time.monotonic()
    for phase in range(3):
        faulty = phase == 1 and note is not None
        took, phase_start = [], time.monotonic_ns()
        while time.monotonic_ns() < begins[phase + 1]:
            start = time.monotonic_ns()
            step(faulty)
            end = time.monotonic_ns()
            took.append(end - start)
            n += 1
            if spans:
                log.span(start, end, step=n)
            if period:
                due = max(due + period, time.monotonic() - period)
                time.sleep(max(0, due - time.monotonic()))
        # The first healthy step of the next part undoes the fault, so it ends with this part.
        log.truth("cause" if faulty else "healthy", phase_start, time.monotonic_ns(),
                  note if faulty else "healthy")
        took.sort()
        summary.append({"phase": phase, "faulty": faulty, "steps": len(took),
                        "p50_ms": took[len(took) // 2] / 1e6 if took else None,
                        "max_ms": took[-1] / 1e6 if took else None})
    step(False)
    print(json.dumps({"workload": a.name, "pid": os.getpid(), "phases": summary}), flush=True)
    if a.hold:
        mark(a.hold, a.name, "done")
        wait_for(os.path.join(a.hold, f"{a.name}.end"))
