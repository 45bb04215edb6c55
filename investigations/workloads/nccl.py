#!/usr/bin/env python3
"""One rank of a job that trains with DistributedDataParallel over NCCL, with one known fault.

    nccl.py NAME --rank R --world W --hold DIR [--seconds 60] [--warm 32] [--log FILE]

All ranks are started with the same DIR. Each warms up for `--warm` seconds and then runs three parts of
equal length: healthy, faulty, healthy. Ranks stay in step by the collectives themselves: a part ends at a
step whose number rank 0 announced. NAMEs:

  healthy     nothing is wrong
  cpu         the last rank is held to one CPU, and in the middle part busy loops share it
  input       the last rank's data loader needs 30 ms more for each batch in the middle part
  mismatch    at the end the last rank reduces fewer elements than the others; the job's time-out ends it
  hang        at the end the last rank does not enter a collective and sleeps until the job is ended
  small       one all-reduce of 32 KiB for every chunk of a parameter in the middle part, instead of DDP's buckets
  overhead    steps for as long as DIR/overhead.go has not ended, for measuring from outside

With `--world 1` everything is as with more, only that there is nobody to wait for: `cpu` and `input` are slow
and no straggler, `mismatch` and `hang` are left out. What is true is written to FILE and told to a recorder
(see stage.py). With `--standin DIR` there is neither torch nor a GPU: stand-in libraries are called, and
files in the place of a barrier keep the ranks in step.
"""
import argparse
import ctypes
import json
import multiprocessing
import os
import sys
import threading
import time
from datetime import timedelta

import stage

NAMES = ["healthy", "cpu", "input", "mismatch", "hang", "small", "overhead"]
BUSY = 4
INPUT_DELAY = 0.03
TIMEOUT_S = 25
HANG_S = 70
SMALL_ELEMENTS = 8192  # 32 KiB of float32


def busy_loop(cpu):
    os.sched_setaffinity(0, {cpu})
    parent = os.getppid()
    while os.getppid() == parent:
        for _ in range(1_000_000):
            pass


class Batches:
    """What a data loader's worker makes; slow when it is told so."""

    def __init__(self, slow):
        self.slow = slow

    def __len__(self):
        return 1 << 30

    def __getitem__(self, i):
        import torch
        if self.slow.value:
            end = time.monotonic() + INPUT_DELAY
            while time.monotonic() < end:
                pass
        return torch.full((64,), i % 97, dtype=torch.float32)


class Torch:
    """The job as it is: DDP on one GPU a rank."""

    def __init__(self, a):
        import torch
        import torch.distributed as dist
        from torch import nn
        self.torch, self.dist, self.a = torch, dist, a
        os.environ.setdefault("NCCL_NVLS_ENABLE", "0")
        torch.cuda.set_device(a.rank)
        torch.set_float32_matmul_precision("high")
        dist.init_process_group(
            "nccl", init_method=f"file://{os.path.abspath(a.hold)}/{a.name}.store", rank=a.rank,
            world_size=a.world, timeout=timedelta(seconds=HANG_S + 30 if a.name == "hang" else TIMEOUT_S))
        torch.manual_seed(1)
        width = 256 if a.tiny else 4096
        layers = [m for _ in range(12) for m in (nn.Linear(width, width), nn.GELU())]
        self.model = nn.Sequential(*layers).cuda()
        # With one rank DDP reduces all the same: the calls are made, nobody is waited for.
        self.ddp = nn.parallel.DistributedDataParallel(self.model, device_ids=[a.rank])
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 1e-5, fused=True)
        self.width, self.batch = width, 256 if a.tiny else 4096
        self.slow = multiprocessing.Value("b", 0)
        self.loader = iter(torch.utils.data.DataLoader(Batches(self.slow), batch_size=None, num_workers=1,
                                                       prefetch_factor=2))
        self.flag = torch.zeros(1, device="cuda")

    def step(self, faulty, small=False):
        torch = self.torch
        seed = next(self.loader).cuda(non_blocking=True)
        x = torch.randn(self.batch, self.width, device="cuda") + seed[0] * 1e-6
        self.optimizer.zero_grad(set_to_none=True)
        if small:
            loss = self.model(x).square().mean()
            loss.backward()
            for p in self.model.parameters():
                for piece in p.grad.view(-1).split(SMALL_ELEMENTS)[:30]:
                    self.dist.all_reduce(piece)
        else:
            loss = self.ddp(x).square().mean()
            loss.backward()
        self.optimizer.step()
        return loss.item()

    def agree(self, value):
        """What rank 0 says, to all."""
        self.flag.fill_(value)
        self.dist.broadcast(self.flag, 0)
        return self.flag.item()

    def mismatch(self):
        n = 1025 if self.a.rank == self.a.world - 1 else 262_144
        x = self.torch.ones(n, device="cuda")
        self.dist.all_reduce(x)
        self.torch.cuda.synchronize()

    def enter(self):
        self.dist.all_reduce(self.torch.ones(1024, device="cuda"))
        self.torch.cuda.synchronize()


class StandIn:
    """The same calls without a GPU; `barrier` takes the place of what the GPUs would wait for."""

    def __init__(self, a):
        self.a, self.round = a, 0
        self.slow = multiprocessing.Value("b", 0)
        self.cuda = ctypes.CDLL(f"{a.standin}/libcudart.so.13")
        self.nccl = ctypes.CDLL(f"{a.standin}/libnccl.so.2")

        class UniqueId(ctypes.Structure):
            _fields_ = [("internal", ctypes.c_char * 128)]

        self.comm = ctypes.c_void_p()
        self.nccl.ncclCommInitRankConfig(ctypes.byref(self.comm), ctypes.c_int(a.world), UniqueId(a.name.encode()),
                                         ctypes.c_int(a.rank), None)
        self.dir = f"{a.hold}/{a.name}.barrier"
        os.makedirs(self.dir, exist_ok=True)
        self.barrier()

    def barrier(self):
        self.round += 1
        with open(f"{self.dir}/{self.round}.{self.a.rank}", "w"):
            pass
        for other in range(self.a.world):
            while not os.path.exists(f"{self.dir}/{self.round}.{other}"):
                time.sleep(0.0005)

    def reduce(self, count):
        self.nccl.ncclAllReduce(None, None, ctypes.c_size_t(count), ctypes.c_int(7), ctypes.c_int(0), self.comm, None)

    def step(self, faulty, small=False):
        if self.slow.value:
            time.sleep(INPUT_DELAY)
        for _ in range(20):
            self.cuda.cudaLaunchKernel(ctypes.c_void_p(1), *[ctypes.c_uint64(1)] * 4, None, ctypes.c_size_t(0), None)
            end = time.thread_time() + 0.0002
            while time.thread_time() < end:
                pass
        for _ in range(360 if small else 4):
            self.reduce(SMALL_ELEMENTS if small else 6_553_600)
        self.barrier()
        self.cuda.cudaDeviceSynchronize()

    def agree(self, value):
        path = f"{self.dir}/agreed.{self.round}"
        if self.a.rank == 0:
            with open(path + ".new", "w") as f:
                f.write(str(int(value)))
            os.rename(path + ".new", path)
        while not os.path.exists(path):
            time.sleep(0.0005)
        self.barrier()
        with open(path) as f:
            return float(f.read())

    def mismatch(self):
        self.reduce(1025 if self.a.rank == self.a.world - 1 else 262_144)
        time.sleep(1)

    def enter(self):
        self.reduce(1024)
        self.barrier()


def part(a, log, job, seconds, note=None, small=False):
    """Steps for so long by the clock of rank 0; the first one undoes what the part before did."""
    begin, took, going = time.monotonic_ns(), [], True
    while going:
        for _ in range(10):
            start = time.monotonic_ns()
            job.step(note is not None, small)
            end = time.monotonic_ns()
            took.append(end - start)
            log.span(start, end, step=len(took), rank=a.rank)
        going = job.agree(time.monotonic_ns() - begin < seconds * 1e9) > 0
    took.sort()
    here = {"rank": a.rank, "faulty": note is not None, "small": small, "steps": len(took),
            "p50_ms": took[len(took) // 2] / 1e6, "max_ms": took[-1] / 1e6}
    print(json.dumps(here), flush=True)
    return begin, time.monotonic_ns()


def measured(a, log, job):
    """Steps for as long as DIR/overhead.go is there; says how long each took to DIR/overhead.RANK."""
    stage.wait_for(f"{a.hold}/overhead.go")
    with open(f"{a.hold}/overhead.{a.rank}", "a") as f:
        going = True
        while going:
            for _ in range(10):
                start = time.monotonic_ns()
                job.step(False)
                f.write(f"{start} {time.monotonic_ns()}\n")
            f.flush()
            going = job.agree(os.path.exists(f"{a.hold}/overhead.go")) > 0


def main():
    born = time.monotonic_ns()
    p = argparse.ArgumentParser()
    p.add_argument("name", choices=NAMES)
    p.add_argument("--rank", type=int, required=True)
    p.add_argument("--world", type=int, required=True)
    p.add_argument("--hold", required=True)
    p.add_argument("--seconds", type=float, default=60)
    p.add_argument("--warm", type=float, default=32)
    p.add_argument("--log")
    p.add_argument("--tiny", action="store_true", help="a small model, for a trial")
    p.add_argument("--standin", metavar="DIR")
    a = p.parse_args()
    log = stage.Log(f"nccl-{a.name}", a.log)
    last = a.rank == a.world - 1
    peers = a.world > 1
    if a.name == "cpu" and last:
        cpu = max(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cpu})
    begin = time.monotonic_ns()
    job = StandIn(a) if a.standin else Torch(a)
    log.truth("note", begin, time.monotonic_ns(), "the communicator and the model are made", rank=a.rank)
    part(a, log, job, a.warm)
    log.truth("note", born, time.monotonic_ns(), "warm-up, not part of the experiment", rank=a.rank)
    stage.mark(a.hold, f"{a.name}.{a.rank}", "ready")
    if a.name == "overhead":
        measured(a, log, job)
        return

    third = a.seconds / 3
    healthy = part(a, log, job, third)
    log.truth("healthy", *healthy, "healthy", rank=a.rank)
    neighbours, note, rule, small = [], None, "", False
    if a.name == "cpu" and last:
        neighbours = [multiprocessing.Process(target=busy_loop, args=(cpu,), daemon=True) for _ in range(BUSY)]
        for n in neighbours:
            n.start()
        note, rule = f"{BUSY} busy loops share the CPU of this rank", "NCCL_STRAGGLER"
    elif a.name == "input" and last:
        job.slow.value = 1
        note, rule = f"each batch of this rank takes {INPUT_DELAY * 1000:.0f} ms more to make", "NCCL_STRAGGLER"
    elif a.name == "small":
        small, note, rule = True, f"all-reduces of {SMALL_ELEMENTS * 4 // 1024} KiB", "NCCL_SMALL_MESSAGES"
    faulty = part(a, log, job, third, note, small)
    if note is None:
        log.truth("healthy", *faulty, "nothing of this rank's own", rank=a.rank)
    elif rule == "NCCL_STRAGGLER" and not peers:
        log.truth("note", *faulty, f"{note}; nobody waits for it", rank=a.rank)
    else:
        log.truth("cause", *faulty, note, rank=a.rank, rule=rule)
    for n in neighbours:
        n.kill()
    job.slow.value = 0
    if a.name not in ("mismatch", "hang"):
        end = part(a, log, job, third)
        log.truth("healthy", *end, "healthy", rank=a.rank)
    elif peers:
        begin = time.monotonic_ns()
        if a.name == "mismatch":
            note = "1025 elements, the others 262144" if last else "262144 elements, the last rank 1025"
            log.truth("cause", begin, begin + TIMEOUT_S * 10**9, note, rank=a.rank, rule="NCCL_MISMATCH")
            try:
                job.mismatch()
            except Exception as e:  # the job's time-out, in whatever form this version throws it
                print(f"rank {a.rank}: {type(e).__name__}: {e}"[:400], flush=True)
        elif last:
            log.truth("cause", begin, begin + int(HANG_S * 1e9), "this rank does not enter", rank=a.rank,
                      rule="NCCL_ABSENT_RANK")
            time.sleep(HANG_S)
        else:
            log.truth("note", begin, begin + int(HANG_S * 1e9), "waits for the last rank", rank=a.rank)
            threading.Timer(HANG_S + 2, os._exit, [0]).start()
            job.enter()
    print(json.dumps({"rank": a.rank, "pid": os.getpid(), "done": a.name}), flush=True)
    if a.name in ("mismatch", "hang"):
        # Nothing of the job can be taken down in order any more.
        sys.stdout.flush()
        os._exit(0)


if __name__ == "__main__":
    main()
