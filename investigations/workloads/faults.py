#!/usr/bin/env python3
"""GPU programs with one known fault each, for recording.

    faults.py NAME [--seconds 30] [--fault 10] [--log FILE] [--hold DIR]

Every program runs healthy, then faulty, then healthy again; the first two have no fault. `stage.py`
says how that is made known.

training     a vision transformer, fed by loader workers            healthy
decode       a language model answering requests, one graph a token  healthy
contention   inference at a fixed rate, its CPU wanted by others too; `neighbours` are the others,
             a program of its own, so that they are no children of the one that is recorded
throttled    the same, held to a tenth of a CPU by its cgroup
dataloader   training, its loader workers made slow
pageable     batches copied from pageable instead of pinned memory
sync         one wait at the end of a step, or one after every kernel
allocator    empty_cache() in every step, so that memory is allocated anew
recapture    one graph replayed, or captured anew for every step
smallkernels the optimizer's update in a few kernels, or in thousands
coldstart    training from the first call of the process on
stray        one kernel that writes where nothing is, after which the driver reports an XID
"""
import contextlib
import ctypes
import multiprocessing
import os
import sys
import tempfile
import time

import stage

BORN_NS = time.monotonic_ns()
# Busy loops run while this file is there.
BUSY_FILE = os.path.join(tempfile.gettempdir(), "ingero-neighbours-busy")


def neighbours(cpu, n=2):
    """Busy loops on one CPU, while they are asked for. Needs no GPU."""
    os.sched_setaffinity(0, {cpu})
    for _ in range(n - 1):
        if os.fork() == 0:
            break
    parent, x = os.getppid(), 1
    while os.getppid() == parent:
        if os.path.exists(BUSY_FILE):
            for _ in range(100000):
                x = (x * 1103515245 + 12345) & 0x7fffffff
        else:
            time.sleep(0.005)


if __name__ == "__main__" and sys.argv[1:2] == ["neighbours"]:
    neighbours(max(os.sched_getaffinity(0)))
    sys.exit()

import torch  # noqa: E402
from torch import nn  # noqa: E402

GPU = "cuda" if torch.cuda.is_available() else "cpu"
# On a machine without a GPU the programs only prove that they run.
SMALL = GPU == "cpu"


def on_gpu():
    """Tensors made within are made on the GPU, which fills them a hundred times faster."""
    return torch.device(GPU) if GPU == "cuda" else contextlib.nullcontext()


def synchronize():
    if GPU == "cuda":
        torch.cuda.synchronize()


class Vit(nn.Module):
    """Images of 64 x 64 in patches of 4: 256 tokens each."""

    def __init__(self, width=1024, layers=6):
        super().__init__()
        self.patch = nn.Conv2d(3, width, 4, 4)
        self.place = nn.Parameter(torch.randn(1, 256, width) * 0.02)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(width, width // 64, 4 * width, 0.0, "gelu",
                                       batch_first=True, norm_first=True)
            for _ in range(layers))
        self.head = nn.Linear(width, 100)

    def forward(self, images):
        x = self.patch(images).flatten(2).transpose(1, 2) + self.place
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(1))


class Images(torch.utils.data.Dataset):
    """Cheap images; while `slow` is set each costs some milliseconds of a CPU."""

    def __init__(self, slow):
        self.slow = slow
        self.base = torch.rand(64, 3, 64, 64)

    def __len__(self):
        return 10 ** 7

    def __getitem__(self, i):
        image = self.base[i % 64]
        if self.slow.value:
            end = time.perf_counter() + 0.004
            while time.perf_counter() < end:
                image = (image - image.mean()) / (image.std() + 1e-5)
        return image, i % 100


def training(slow=None):
    torch.set_float32_matmul_precision("high")
    slow = slow or multiprocessing.Value("b", 0)
    batch = 4 if SMALL else 256
    model = Vit(64, 1).to(GPU) if SMALL else Vit().to(GPU)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    loader = iter(torch.utils.data.DataLoader(
        Images(slow), batch, num_workers=3, prefetch_factor=2, pin_memory=not SMALL))

    def step(faulty):
        slow.value = faulty
        x, y = next(loader)
        x, y = x.to(GPU, non_blocking=True), y.to(GPU, non_blocking=True)
        with torch.autocast(GPU, torch.bfloat16):
            loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def dataloader():
    return training(multiprocessing.Value("b", 0))


class Decoder(nn.Module):
    """One token for each of a few sequences, with a cache of fixed size: fit for a CUDA graph."""

    def __init__(self, width, layers, length, batch):
        super().__init__()
        self.width, self.length = width, length
        kind = torch.bfloat16
        self.embed = nn.Embedding(1000, width, dtype=kind)
        self.layers = nn.ModuleList()
        for _ in range(layers):
            self.layers.append(nn.ModuleDict({
                "norm1": nn.LayerNorm(width, dtype=kind), "norm2": nn.LayerNorm(width, dtype=kind),
                "qkv": nn.Linear(width, 3 * width, dtype=kind),
                "out": nn.Linear(width, width, dtype=kind),
                "up": nn.Linear(width, 4 * width, dtype=kind),
                "down": nn.Linear(4 * width, width, dtype=kind)}))
        shape = (layers, batch, length, width)
        self.register_buffer("keys", torch.zeros(shape, dtype=kind))
        self.register_buffer("values", torch.zeros(shape, dtype=kind))
        self.register_buffer("place", torch.arange(length))

    def forward(self, tokens, at):
        batch, heads = tokens.shape[0], self.width // 64
        x = self.embed(tokens)
        seen = (self.place <= at).view(1, 1, 1, -1)
        for i, layer in enumerate(self.layers):
            q, k, v = layer["qkv"](layer["norm1"](x)).chunk(3, -1)
            self.keys[i].index_copy_(1, at, k.unsqueeze(1))
            self.values[i].index_copy_(1, at, v.unsqueeze(1))
            split = lambda t: t.view(batch, -1, heads, 64).transpose(1, 2)  # noqa: E731
            y = nn.functional.scaled_dot_product_attention(
                split(q), split(self.keys[i]), split(self.values[i]), attn_mask=seen)
            x = x + layer["out"](y.transpose(1, 2).reshape(batch, -1))
            x = x + layer["down"](nn.functional.gelu(layer["up"](layer["norm2"](x))))
        return (x @ self.embed.weight.T).argmax(-1)


def decode(log=None):
    width, layers, batch = (64, 2, 2) if SMALL else (2560, 24, 8)
    prompt, answer = (4, 8) if SMALL else (32, 128)
    with on_gpu():
        model = Decoder(width, layers, 256, batch).eval()
    tokens = torch.zeros(batch, dtype=torch.long, device=GPU)
    at = torch.zeros(1, dtype=torch.long, device=GPU)
    host = torch.zeros(batch, dtype=torch.long)
    graph = None

    @torch.no_grad()
    def eager():
        tokens.copy_(model(tokens, at))
        at.add_(1)

    if GPU == "cuda":
        host = host.pin_memory()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            eager()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            eager()
        done = torch.cuda.Event()
    number = 0

    def step(_faulty):
        nonlocal number
        number += 1
        start = time.monotonic_ns()
        at.zero_()
        for _ in range(prompt):
            graph.replay() if graph else eager()
        first = 0
        for i in range(answer):
            graph.replay() if graph else eager()
            host.copy_(tokens, non_blocking=True)
            if graph:
                done.record()
                done.synchronize()
            if i == 0:
                first = time.monotonic_ns()
        if log:
            log.span(start, time.monotonic_ns(), request_id=f"r{number}", prompt_tokens=prompt,
                     output_tokens=answer, ttft_ms=round((first - start) / 1e6, 3))

    return step


def launching():
    """Inference on one CPU: a step costs the host some 30 ms, so that it outlasts time slices."""
    # Most of it is the host's own work, for a thousand launches a step make a trace of 80 MB a minute.
    model = nn.Sequential(*[m for _ in range(2 if SMALL else 40)
                            for m in (nn.Linear(512, 512), nn.GELU(), nn.LayerNorm(512))]).to(GPU)
    x = torch.randn(64, 512, device=GPU)

    @torch.no_grad()
    def step():
        sum(i & 7 for i in range(400_000))
        model(x).sum().item()

    return step


def contention():
    work = launching()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

    def step(faulty):
        if faulty != os.path.exists(BUSY_FILE):
            if faulty:
                open(BUSY_FILE, "w").close()
            else:
                os.remove(BUSY_FILE)
        work()

    return step


class Quota:
    """A cgroup of this process's own with a limit on CPU time, by version 2 or 1 of the interface."""

    PERIOD_US = 100_000

    def __init__(self):
        mounts = [line.split() for line in open("/proc/self/mounts")]
        self.v2 = self.folder = None
        for _, at, kind, options, *_ in mounts:
            if kind == "cgroup2" and "cpu" in open(f"{at}/cgroup.controllers").read().split():
                with open(f"{at}/cgroup.subtree_control", "w") as f:
                    f.write("+cpu")
                self.v2, self.folder = True, at
            elif kind == "cgroup" and "cpu" in options.split(",") and not self.folder:
                self.v2, self.folder = False, at
        if not self.folder:
            raise SystemExit("no cgroup here can limit CPU time")
        self.folder += "/ingero-throttled"
        os.makedirs(self.folder, exist_ok=True)
        with open(f"{self.folder}/cgroup.procs", "w") as f:
            f.write(str(os.getpid()))
        self.share = None

    def set(self, share):
        if share == self.share:
            return
        self.share = share
        us = int(share * self.PERIOD_US) if share else None
        if self.v2:
            path, text = "cpu.max", f"{us or 'max'} {self.PERIOD_US}"
        else:
            path, text = "cpu.cfs_quota_us", str(us or -1)
        with open(f"{self.folder}/{path}", "w") as f:
            f.write(text)


def throttled():
    work, quota = launching(), Quota()

    def step(faulty):
        quota.set(0.1 if faulty else None)
        work()

    return step


def stray():
    """Writes to an address that no allocation has; the context of this process is lost by it."""
    code = b""".version 7.0
.target sm_80
.address_size 64
.visible .entry stray() {
    .reg .u64 %a;
    mov.u64 %a, 0x10;
    st.global.u64 [%a], %a;
    ret;
}
"""
    torch.zeros(1, device=GPU)
    cuda = ctypes.CDLL("libcuda.so.1")
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    done = [cuda.cuModuleLoadData(ctypes.byref(module), code),
            cuda.cuModuleGetFunction(ctypes.byref(function), module, b"stray"),
            cuda.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, None, None, None),
            cuda.cuCtxSynchronize()]
    print("loaded, found, launched, waited:", done, flush=True)


def pageable():
    rows = 64 if SMALL else 32768
    pinned = [torch.rand(rows, 1024) for _ in range(2)]
    ordinary = [torch.rand(rows, 1024) for _ in range(2)]
    if not SMALL:
        pinned = [t.pin_memory() for t in pinned]
    weights = torch.randn(1024, 1024, device=GPU)
    target = torch.empty(rows, 1024, device=GPU)
    turn = 0

    def step(faulty):
        nonlocal turn
        turn += 1
        source = (ordinary if faulty else pinned)[turn % 2]
        target.copy_(source, non_blocking=True)
        y = target
        for _ in range(10):
            y = torch.relu(y @ weights * 0.03)
        synchronize()

    return step


def sync():
    # Kernels of some 85 us: waiting for each leaves the GPU idle for a quarter of the time.
    size = 64 if SMALL else 3072
    kind = torch.float32 if SMALL else torch.bfloat16
    weights = torch.randn(size, size, device=GPU, dtype=kind) / size ** 0.5
    state = [torch.randn(size, size, device=GPU, dtype=kind) for _ in range(2)]

    @torch.no_grad()
    def step(faulty):
        for i in range(10 if SMALL else 100):
            torch.mm(state[i % 2], weights, out=state[1 - i % 2])
            if faulty:
                state[1 - i % 2][0, 0].item()
        synchronize()

    return step


def allocator():
    width = 64 if SMALL else 4096
    weights = torch.randn(width, width, device=GPU, dtype=torch.bfloat16)
    turn = 0

    def step(faulty):
        nonlocal turn
        turn += 1
        x = torch.randn(512 * (1 + turn * 5 % 8), width, device=GPU, dtype=torch.bfloat16)
        held = []
        for i in range(6):
            x = torch.relu(x @ weights * 0.02)
            held.append(torch.empty(x.shape[0] * width * (i + 1), device=GPU))
        del x, held
        if faulty and GPU == "cuda":
            torch.cuda.empty_cache()
        synchronize()

    return step


def recapture():
    model = nn.Sequential(*[nn.Sequential(nn.Linear(1024, 1024), nn.GELU())
                            for _ in range(2 if SMALL else 24)]).to(GPU).eval()
    turn = 0

    @torch.no_grad()
    def capture(rows):
        x = torch.randn(rows, 1024, device=GPU)
        if GPU != "cuda":
            return lambda: model(x)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            model(x)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            model(x)
        return graph.replay

    known = capture(64)

    def step(faulty):
        nonlocal turn
        turn += 1
        replay = capture(8 + turn % 100) if faulty else known
        replay()
        synchronize()

    return step


def smallkernels():
    count = 8 if SMALL else 300
    def parameters():
        made = [nn.Parameter(torch.randn(256, 256, device=GPU)) for _ in range(count)]
        for p in made:
            p.grad = torch.randn_like(p)
        return made
    few = torch.optim.Adam(parameters(), 1e-4, foreach=True)
    many = torch.optim.Adam(parameters(), 1e-4, foreach=False)

    def step(faulty):
        (many if faulty else few).step()
        synchronize()

    return step


# Steps a second, so that every recording stays small; others run as fast as they go.
RATES = {"contention": 10, "throttled": 10, "recapture": 25, "smallkernels": 8, "allocator": 40}
NOTES = {
    "contention": "two busy loops share the one CPU of the launching thread",
    "throttled": "the cgroup may use a tenth of a CPU",
    "dataloader": "each image costs its loader worker 4 ms of CPU",
    "pageable": "128 MiB a step are copied from pageable memory",
    "sync": "the host waits after every kernel",
    "allocator": "empty_cache() at the end of every step",
    "recapture": "a CUDA graph is captured anew for every step",
    "smallkernels": "the optimizer updates 300 tensors one by one",
}


def main():
    a = stage.arguments(["training", "decode", "coldstart", "stray", *NOTES])
    log = stage.Log(a.name, a.log)
    if a.name == "stray":
        start = time.monotonic_ns()
        stray()
        log.truth("cause", start, time.monotonic_ns(), "a kernel wrote where nothing is")
        return
    if a.name == "coldstart":
        step = training()
        for _ in range(3):
            step(False)
        synchronize()
        log.truth("cause", BORN_NS, time.monotonic_ns(),
                  "first calls of the process: contexts made, code loaded, memory first allocated")
    else:
        step = decode(log) if a.name == "decode" else globals()[a.name]()
        stage.warm_up(log, step, BORN_NS)
        synchronize()
    stage.perform(a, log, step, NOTES.get(a.name), RATES.get(a.name, 0), spans=a.name != "decode")


if __name__ == "__main__":
    main()
