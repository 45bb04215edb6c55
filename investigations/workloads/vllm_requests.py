#!/usr/bin/env python3
"""Requests to a vLLM server with one known course each, for recording the server.

    vllm_requests.py NAME [--url http://127.0.0.1:8000] [--seconds 20] [--fault 7] [--log FILE]
                     [--server PID] [--cpus 0-3] [--busy 8]

Each has three parts, of which the middle one is faulty: healthy, faulty, healthy. Throughout, light
requests (128 tokens of prompt, 32 to answer) come eight times a second and heavier ones (1,024, 128
to answer) once; in `long`, `logprobs` and `choices` only light ones with 4 tokens to answer, in `sparse` only four
light ones a second, so that the recording stays small.

steady    nothing more                                                              healthy
sparse    nothing more                                                              healthy
burst     as issue vllm-project/vllm#37308: 4 requests of 2,048 tokens and 2 of 128 within 40 ms, every
          second of the middle part
long      24 prompts of 30,000 tokens at once, at the beginning of the middle part
squeezed  the server's threads are held to --cpus, where --busy loops run as well
logprobs  as issue vllm-project/vllm#37343: three requests with n=8 and logprobs=20
choices   the same three with n=8 and no logprobs
compile   twelve requests with top-p alone: a sampler that nothing has compiled yet; the last part
          repeats them, compiled
first     no middle part, and no light requests before: three bursts as the first requests of a server,
          a second apart, then three times its light requests alone
overhead  eight streams without end, and a light request ten times a second, while RECORDER is there
          for one of every two windows (--recorder RECORDER [--pairs 6] [--arguments "ITS ARGUMENTS"])

All times are of the monotonic clock, which the recorder translates; first token and end of a request are
when the client had them. What is true goes the way of stage.py; the summary is printed as JSON.
"""
import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import aiohttp

import stage

NAMES = ("steady", "sparse", "burst", "long", "squeezed", "logprobs", "choices", "compile", "first", "overhead")
# Every prompt begins with these, as prompts of one application do.
PREFIX = random.Random(0).choices(range(300, 151000), k=32)
# (kind, tokens of the prompt, tokens to answer, milliseconds after the burst's begin)
BURST = (("heavy", 2048, 128, 0), ("heavy", 2048, 256, 8), ("light", 128, 32, 16),
         ("heavy", 2048, 384, 24), ("heavy", 2048, 512, 32), ("light", 128, 64, 40))
LONG = 30000
# (kind, tokens of the prompt, tokens to answer, seconds from one to the next)
BACKGROUND = (("light", 128, 32, 0.125), ("medium", 1024, 128, 1.0))
SHORT_BACKGROUND = (("light", 128, 4, 0.125),)
BACKGROUNDS = {"long": SHORT_BACKGROUND, "logprobs": SHORT_BACKGROUND, "choices": SHORT_BACKGROUND,
               "sparse": (("light", 128, 32, 0.25),)}


# What is true is so of the server, not of this client; which of its processes, this client does not know.
SERVER = {"pid": 0, "tid": 0}


class Client:
    """Sends requests and keeps what became of them."""

    def __init__(self, http, url, log, seed):
        self.http, self.url, self.log = http, url, log
        self.random = random.Random(seed)
        self.rows = []
        self.number = 0

    def body(self, prompt, answer, **more):
        """What is sent for a prompt of so many tokens, of which all but the first are random."""
        tokens = PREFIX + self.random.choices(range(300, 151000), k=prompt - len(PREFIX))
        return json.dumps({
            "model": "local", "prompt": tokens, "max_tokens": answer, "ignore_eos": True,
            "temperature": 0.8, "stream": True, "stream_options": {"include_usage": True}, **more})

    async def ask(self, kind, prompt, answer, after=0.0, **more):
        await asyncio.sleep(after)
        await self.send(kind, prompt, self.body(prompt, answer, **more), **more)

    async def send(self, kind, prompt, body, n=1, logprobs=0, **_):
        """One request, streamed; a span with its sizes, what it asks for, and its time to first token."""
        self.number += 1
        name = f"{kind}-{self.number}"
        sent, chunks, answered = time.monotonic_ns(), [], 0
        async with self.http.post(f"{self.url}/v1/completions", data=body,
                                  headers={"Content-Type": "application/json"}) as reply:
            if reply.status != 200:
                raise SystemExit(f"{name}: {reply.status} {(await reply.text())[:300]}")
            async for line in reply.content:
                if not line.startswith(b"data: {"):
                    continue
                part = json.loads(line[6:])
                if part.get("usage"):
                    answered = part["usage"]["completion_tokens"]
                if part["choices"]:
                    chunks.append(time.monotonic_ns())
        end = time.monotonic_ns()
        row = {"kind": kind, "sent": sent, "ttft_ms": (chunks[0] - sent) / 1e6, "end": end,
               "tokens": answered,
               "gap_ms": max((b - a for a, b in zip(chunks, chunks[1:])), default=0) / 1e6}
        self.rows.append(row)
        self.log.send({"labels": {"request_id": name, "prompt_tokens": str(prompt),
                                  "output_tokens": str(answered), "ttft_ms": f"{row['ttft_ms']:.3f}",
                                  "n": str(n), "logprobs": str(logprobs)},
                       "pid": 0, "start": sent, "end": end})

    async def burst(self, kinds=("heavy", "light"), name="{}"):
        await asyncio.gather(*[self.ask(name.format(kind), prompt, answer, at / 1e3)
                               for kind, prompt, answer, at in BURST if kind in kinds])

    async def background(self, seconds, kinds):
        """Requests of each kind at its pace, whatever becomes of them."""
        pace = random.Random(2)
        jobs = []
        for kind, prompt, answer, every in kinds:
            at = pace.random() * every
            while at < seconds:
                jobs.append(self.ask(kind, prompt, answer, at))
                at += every * (0.7 + 0.6 * pace.random())
        await asyncio.gather(*jobs)


def cpu_list(text):
    out = set()
    for part in text.split(","):
        low, _, high = part.partition("-")
        out.update(range(int(low), int(high or low) + 1))
    return out


def family(pid):
    """A process and all that descend from it."""
    out = [pid]
    for p in out:
        try:
            for task in os.listdir(f"/proc/{p}/task"):
                with open(f"/proc/{p}/task/{task}/children") as f:
                    out += [int(c) for c in f.read().split()]
        except OSError:
            pass
    return out


def hold_to(pid, cpus):
    """Every thread of a process tree may run on `cpus` only. How many threads there are."""
    n = 0
    for p in family(pid):
        try:
            for task in os.listdir(f"/proc/{p}/task"):
                os.sched_setaffinity(int(task), cpus)
                n += 1
        except OSError:
            pass
    return n


LOOP = """
import os
os.sched_setaffinity(0, {cpus})
parent, x = os.getppid(), 1
while os.getppid() == parent:
    for _ in range(100000): x = (x * 1103515245 + 12345) & 0x7fffffff
"""


def waited(pid):
    """Seconds that the threads of a process tree have run, and were ready and had no CPU."""
    ran = ready = 0
    for p in family(pid):
        try:
            for task in os.listdir(f"/proc/{p}/task"):
                with open(f"/proc/{p}/task/{task}/schedstat") as f:
                    a, b, _ = f.read().split()
                ran, ready = ran + int(a), ready + int(b)
        except OSError:
            pass
    return ran / 1e9, ready / 1e9


async def squeeze(a, seconds):
    """Holds the server to few busy CPUs for so long; what its threads waited."""
    everywhere = os.sched_getaffinity(0)
    cpus = cpu_list(a.cpus)
    loops = [subprocess.Popen([sys.executable, "-c", LOOP.format(cpus=cpus)]) for _ in range(a.busy)]
    try:
        threads = hold_to(a.server, cpus)
        os.sched_setaffinity(0, everywhere - cpus)
        before = waited(a.server)
        await asyncio.sleep(seconds)
        ran, ready = (e - b for e, b in zip(waited(a.server), before))
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
        hold_to(a.server, everywhere)
        os.sched_setaffinity(0, everywhere)
    return (f"{threads} threads of the server held to CPUs {a.cpus} beside {a.busy} busy loops; "
            f"they ran {ran:.2f} s and were ready without a CPU {ready:.2f} s")


async def fault(a, client, long):
    """The middle part; what was wrong in it."""
    if a.name == "burst":
        jobs = []
        for second in range(int(a.fault)):
            jobs.append(asyncio.create_task(client.burst()))
            await asyncio.sleep(1)
        await asyncio.gather(*jobs)
        return f"{len(jobs)} bursts of 4 x 2048 and 2 x 128 tokens within 40 ms, a second apart"
    if a.name == "long":
        await asyncio.gather(*[client.send("long", LONG, body) for body in long])
        return f"{len(long)} prompts of {LONG} tokens at once"
    if a.name == "squeezed":
        return await squeeze(a, a.fault)
    if a.name == "logprobs":
        await asyncio.gather(*[client.ask("wide", 128, 384, n=8, logprobs=20) for _ in range(3)])
        return "three requests with n=8 and logprobs=20"
    if a.name == "choices":
        await asyncio.gather(*[client.ask("wide", 128, 384, n=8) for _ in range(3)])
        return "three requests with n=8"
    if a.name == "compile":
        await top_p_alone(client)
        return "twelve requests with top-p alone, whose sampler was not compiled yet"
    await asyncio.sleep(a.fault)
    return None


async def top_p_alone(client):
    few = [client.ask("stream", 128, 192, top_p=0.9, top_k=-1) for _ in range(4)]
    more = [client.ask("stream", 128, 32, 0.3, top_p=0.9, top_k=-1) for _ in range(8)]
    await asyncio.gather(*few, *more)


async def three_parts(a, log, client):
    edge = (a.seconds - a.fault) / 2
    # Made beforehand: it takes this client so long that light requests would seem to wait.
    long = [client.body(LONG, 16) for _ in range(24 if a.name == "long" else 0)]
    light = asyncio.create_task(client.background(a.seconds, BACKGROUNDS.get(a.name, BACKGROUND)))
    begin = time.monotonic_ns()
    await asyncio.sleep(edge)
    wrong = time.monotonic_ns()
    log.truth("healthy", begin, wrong, "healthy", **SERVER)
    note = await fault(a, client, long)
    right = time.monotonic_ns()
    log.truth("cause" if note else "healthy", wrong, right, note or "healthy", **SERVER)
    if a.name == "compile":
        await top_p_alone(client)
    await light
    log.truth("healthy", right, time.monotonic_ns(), "healthy", **SERVER)
    return {"healthy, before": (begin, wrong), "the middle part": (wrong, right),
            "healthy, after": (right, time.monotonic_ns())}


async def first(log, client):
    begin = time.monotonic_ns()
    rounds = {}
    for i in range(3):
        start = time.monotonic_ns()
        await client.burst()
        rounds[f"burst {i + 1}"] = (start, time.monotonic_ns())
        await asyncio.sleep(1)
    log.truth("cause", begin, time.monotonic_ns(), "the first requests of this server: three bursts of "
              "4 x 2048 and 2 x 128 tokens within 40 ms", **SERVER)
    begin = time.monotonic_ns()
    for i in range(3):
        start = time.monotonic_ns()
        await client.burst(("light",), "alone")
        rounds[f"alone {i + 1}"] = (start, time.monotonic_ns())
        await asyncio.sleep(1)
    log.truth("healthy", begin, time.monotonic_ns(), "the light requests of the bursts alone",
              **SERVER)
    return rounds


def times(rows):
    """Of each kind of request: how many, median and longest time to first token, longest gap."""
    out = {}
    for kind in sorted({r["kind"] for r in rows}):
        some = [r for r in rows if r["kind"] == kind]
        first = sorted(r["ttft_ms"] for r in some)
        out[kind] = {"requests": len(some), "ttft_p50_ms": round(statistics.median(first), 1),
                     "ttft_max_ms": round(first[-1], 1),
                     "gap_max_ms": round(max(r["gap_ms"] for r in some), 1)}
    return out


class Recorder:
    """Attached to the server from here to `stop`."""

    def __init__(self, a, db):
        self.process = subprocess.Popen(
            [a.recorder, "-o", db, "--force", "--pid", str(a.server), *a.arguments.split()],
            stdout=subprocess.DEVNULL)

    def check(self):
        if self.process.poll() is not None:
            raise SystemExit(f"the recorder ended by itself with {self.process.returncode}")

    async def stop(self):
        self.process.send_signal(signal.SIGTERM)
        while self.process.poll() is None:
            await asyncio.sleep(0.05)


async def overhead(a, client):
    """Windows with and without the recorder in turns, on a server that is never idle."""
    stop = asyncio.Event()

    async def stream():
        while not stop.is_set():
            await client.ask("stream", 256, 256)

    async def lights():
        jobs = []
        while not stop.is_set():
            jobs.append(asyncio.create_task(client.ask("light", 128, 8)))
            await asyncio.sleep(0.1)
        await asyncio.gather(*jobs)

    load = [asyncio.create_task(stream()) for _ in range(8)] + [asyncio.create_task(lights())]
    await asyncio.sleep(4)
    pairs = []
    with tempfile.TemporaryDirectory() as scratch:
        for i in range(a.pairs):
            pair = {}
            for on in ((False, True) if i % 2 == 0 else (True, False)):
                recorder = Recorder(a, f"{scratch}/{i}.db") if on else None
                # Attaching is over by then; without the recorder the same pause.
                await asyncio.sleep(4)
                if recorder:
                    recorder.check()
                begin = time.monotonic_ns()
                await asyncio.sleep(a.window)
                end = time.monotonic_ns()
                if recorder:
                    await recorder.stop()
                pair["on" if on else "off"] = (begin, end)
            pairs.append(pair)
        stop.set()
        await asyncio.gather(*load)

    def of(window):
        begin, end = window
        light = [r["ttft_ms"] for r in client.rows if r["kind"] == "light" and begin <= r["sent"] < end]
        # Tokens of a stream are spread evenly over its life, which is much shorter than a window.
        tokens = sum(r["tokens"] * max(0, min(r["end"], end) - max(r["sent"], begin)) / (r["end"] - r["sent"])
                     for r in client.rows)
        return {"ttft_p50_ms": statistics.median(light), "tokens_per_s": tokens / ((end - begin) / 1e9)}

    measured = [{k: of(w) for k, w in pair.items()} for pair in pairs]
    ttft = [100 * (p["on"]["ttft_p50_ms"] / p["off"]["ttft_p50_ms"] - 1) for p in measured]
    rate = [100 * (p["on"]["tokens_per_s"] / p["off"]["tokens_per_s"] - 1) for p in measured]
    print(json.dumps({"pairs": measured, "window_s": a.window, "recorder_arguments": a.arguments,
                      "ttft_change_percent": {"median": statistics.median(ttft), "least": min(ttft),
                                              "most": max(ttft)},
                      "tokens_per_s_change_percent": {"median": statistics.median(rate),
                                                      "least": min(rate), "most": max(rate)}}), flush=True)


async def run(a):
    log = stage.Log(a.name, a.log)
    limits = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120), connector=limits,
                                     read_bufsize=2 ** 22) as http:
        client = Client(http, a.url, log, 1)
        if a.name == "overhead":
            await overhead(a, client)
            return
        parts = await (first(log, client) if a.name == "first" else three_parts(a, log, client))
    summary = {name: times([r for r in client.rows if begin <= r["sent"] < end])
               for name, (begin, end) in parts.items()}
    print(json.dumps({"workload": a.name, "parts": summary}), flush=True)


def main():
    p = argparse.ArgumentParser(description="Requests to a vLLM server, for recording it.")
    p.add_argument("name", choices=NAMES)
    p.add_argument("--url", default="http://127.0.0.1:8000")
    p.add_argument("--seconds", type=float, default=20, help="length of all three parts")
    p.add_argument("--fault", type=float, default=7, help="length of the middle one")
    p.add_argument("--log", help="what is true, one JSON object a line")
    p.add_argument("--server", type=int, help="process id of the server")
    p.add_argument("--cpus", default="0-3")
    p.add_argument("--busy", type=int, default=8)
    p.add_argument("--recorder", help="for overhead: the recorder's path")
    p.add_argument("--arguments", default="", help="for overhead: more arguments of the recorder")
    p.add_argument("--pairs", type=int, default=6)
    p.add_argument("--window", type=float, default=4, help="for overhead: seconds of one window")
    a = p.parse_args()
    if a.name in ("squeezed", "overhead") and not a.server:
        p.error(f"{a.name} needs --server")
    asyncio.run(run(a))


if __name__ == "__main__":
    main()
