//! What a trace can hold: sources, operations, fields and measures, with their numbers, units and
//! meaning. Rules are checked against this; it knows no particular trace.

use crate::unit::Dim;

/// Where events come from. The order is the order of printing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Source {
    /// CUDA runtime API calls.
    Cuda,
    /// CUDA driver API calls.
    Driver,
    /// CUDA graph calls.
    Graph,
    /// The view across cuda, driver and graph: a nested driver call is counted once.
    Gpu,
    /// Time a thread was not on a CPU, and its parts.
    Sched,
    /// Host memory events.
    Mem,
    /// Process life: exec, exit, fork, and what follows from them.
    Process,
    /// Block I/O requests.
    Io,
    /// TCP events.
    Tcp,
    /// Socket calls.
    Net,
    /// NCCL calls.
    Nccl,
    /// GPU errors reported by the driver.
    Xid,
    /// One-second snapshots of the host.
    System,
    /// Requests, from annotations.
    Request,
    /// Annotated steps and other labelled spans.
    Annotation,
    /// Facts about the recording itself.
    Trace,
}

impl Source {
    /// All sources.
    pub const ALL: [Self; 16] = [
        Self::Cuda,
        Self::Driver,
        Self::Graph,
        Self::Gpu,
        Self::Sched,
        Self::Mem,
        Self::Process,
        Self::Io,
        Self::Tcp,
        Self::Net,
        Self::Nccl,
        Self::Xid,
        Self::System,
        Self::Request,
        Self::Annotation,
        Self::Trace,
    ];

    /// The name in rules.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cuda => "cuda",
            Self::Driver => "driver",
            Self::Graph => "graph",
            Self::Gpu => "gpu",
            Self::Sched => "sched",
            Self::Mem => "mem",
            Self::Process => "process",
            Self::Io => "io",
            Self::Tcp => "tcp",
            Self::Net => "net",
            Self::Nccl => "nccl",
            Self::Xid => "xid",
            Self::System => "system",
            Self::Request => "request",
            Self::Annotation => "annotation",
            Self::Trace => "trace",
        }
    }

    /// By name, case as given.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }

    /// The layer word shown beside evidence.
    pub fn layer(self) -> &'static str {
        match self {
            Self::Cuda | Self::Gpu => "CUDA",
            Self::Driver => "DRIVER",
            Self::Graph => "GRAPH",
            Self::Sched | Self::Mem | Self::Process => "HOST",
            Self::Io => "IO",
            Self::Tcp | Self::Net => "NET",
            Self::Nccl => "NCCL",
            Self::Xid => "GPU",
            Self::System => "SYSTEM",
            Self::Request | Self::Annotation => "REQUEST",
            Self::Trace => "TRACE",
        }
    }
}

/// How a stored row's timestamp lies in its interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// The timestamp is the start: `[t, t + duration]`.
    Start,
    /// The timestamp is the end: `[t - duration, t]`.
    End,
    /// Not a stored row: the reader derives it.
    Derived,
}

/// An operation: an index into [`OPS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Op(pub u16);

/// One entry of the catalogue of operations.
#[derive(Debug)]
pub struct OpDef {
    /// The source it belongs to in rules.
    pub source: Source,
    /// `events.source`; 0 for derived operations.
    pub source_id: u8,
    /// `events.op`; 0 for derived operations.
    pub op_id: u8,
    /// The API name, as printed.
    pub name: &'static str,
    /// The families it belongs to, e.g. `launch`.
    pub families: &'static [&'static str],
    /// Where the timestamp lies.
    pub anchor: Anchor,
    /// What it is, in one sentence.
    pub about: &'static str,
}

const fn call(
    source: Source,
    source_id: u8,
    op_id: u8,
    name: &'static str,
    families: &'static [&'static str],
    about: &'static str,
) -> OpDef {
    OpDef {
        source,
        source_id,
        op_id,
        name,
        families,
        anchor: Anchor::Start,
        about,
    }
}

const fn ends(
    source: Source,
    source_id: u8,
    op_id: u8,
    name: &'static str,
    families: &'static [&'static str],
    about: &'static str,
) -> OpDef {
    OpDef {
        source,
        source_id,
        op_id,
        name,
        families,
        anchor: Anchor::End,
        about,
    }
}

const fn derived(source: Source, name: &'static str, about: &'static str) -> OpDef {
    OpDef {
        source,
        source_id: 0,
        op_id: 0,
        name,
        families: &[],
        anchor: Anchor::Derived,
        about,
    }
}

use Source as S;

/// The operation of calls that did not return, under the source of the call.
pub const OPEN_CALL: &str = "open_call";

/// The operation of stretches without sleep, under `sched`.
pub const AWAKE: &str = "awake";

/// The operations of NCCL that are found by comparing ranks.
pub const ACROSS_RANKS: [&str; 4] = ["entry", "lag", "absent", "mismatch"];

/// Every operation known, stored ones first. Positions are not stable across versions; ids are.
pub const OPS: &[OpDef] = &[
    call(S::Cuda, 1, 1, "cudaMalloc", &["malloc"], "allocates device memory"),
    call(
        S::Cuda,
        1,
        2,
        "cudaFree",
        &["free"],
        "frees device memory; waits for the device",
    ),
    call(
        S::Cuda,
        1,
        3,
        "cudaLaunchKernel",
        &["launch"],
        "queues a kernel; the time is that of queueing, not of the kernel",
    ),
    call(
        S::Cuda,
        1,
        4,
        "cudaMemcpy",
        &["memcpy"],
        "copies and waits for the copy",
    ),
    call(
        S::Cuda,
        1,
        5,
        "cudaStreamSync",
        &["sync"],
        "cudaStreamSynchronize: waits for one stream",
    ),
    call(
        S::Cuda,
        1,
        6,
        "cudaDeviceSync",
        &["sync"],
        "cudaDeviceSynchronize: waits for the whole device",
    ),
    call(
        S::Cuda,
        1,
        7,
        "cudaMemcpyAsync",
        &["memcpy"],
        "queues a copy; from pageable memory it waits for it",
    ),
    call(
        S::Cuda,
        1,
        8,
        "cudaMallocManaged",
        &["malloc"],
        "allocates memory that host and device share",
    ),
    call(
        S::Cuda,
        1,
        9,
        "cudaMemcpy2D",
        &["memcpy"],
        "copies a rectangle and waits for it",
    ),
    call(
        S::Cuda,
        1,
        10,
        "cudaMemcpy2DAsync",
        &["memcpy"],
        "queues the copy of a rectangle",
    ),
    call(
        S::Cuda,
        1,
        11,
        "cudaMemcpyPeer",
        &["memcpy"],
        "copies between two devices and waits for it",
    ),
    call(
        S::Cuda,
        1,
        12,
        "cudaMemcpyPeerAsync",
        &["memcpy"],
        "queues a copy between two devices",
    ),
    call(
        S::Cuda,
        1,
        101,
        "cudaLaunchKernelExC",
        &["launch"],
        "queues a kernel with launch attributes",
    ),
    call(
        S::Cuda,
        1,
        102,
        "cudaLaunchCooperativeKernel",
        &["launch"],
        "queues a kernel whose blocks can wait for each other",
    ),
    call(S::Cuda, 1, 103, "cudaEventSynchronize", &["sync"], "waits for an event"),
    call(
        S::Cuda,
        1,
        104,
        "cudaMallocAsync",
        &["malloc"],
        "allocates from a pool, in the order of a stream",
    ),
    call(
        S::Cuda,
        1,
        105,
        "cudaFreeAsync",
        &["free"],
        "gives memory back to a pool, in the order of a stream",
    ),
    call(
        S::Cuda,
        1,
        106,
        "cudaHostAlloc",
        &["host_alloc"],
        "allocates pinned host memory",
    ),
    call(
        S::Cuda,
        1,
        107,
        "cudaMallocHost",
        &["host_alloc"],
        "allocates pinned host memory",
    ),
    call(
        S::Cuda,
        1,
        108,
        "cudaFreeHost",
        &["host_free"],
        "frees pinned host memory",
    ),
    call(
        S::Cuda,
        1,
        109,
        "cudaHostRegister",
        &["host_alloc"],
        "pins host memory that is there already",
    ),
    call(
        S::Cuda,
        1,
        110,
        "cudaHostUnregister",
        &["host_free"],
        "unpins host memory",
    ),
    call(S::Cuda, 1, 111, "cudaMemset", &["memset"], "fills device memory"),
    call(
        S::Cuda,
        1,
        112,
        "cudaMemsetAsync",
        &["memset"],
        "queues the filling of device memory",
    ),
    call(
        S::Cuda,
        1,
        113,
        "cudaEventQuery",
        &["query"],
        "asks whether an event has come, without waiting",
    ),
    call(
        S::Cuda,
        1,
        114,
        "cudaStreamQuery",
        &["query"],
        "asks whether a stream is done, without waiting",
    ),
    call(
        S::Cuda,
        1,
        115,
        "cudaStreamIsCapturing",
        &["query"],
        "asks whether a stream is being captured into a graph",
    ),
    call(
        S::Cuda,
        1,
        116,
        "cudaStreamWaitEvent",
        &[],
        "makes a stream wait for an event; the caller does not",
    ),
    call(
        S::Cuda,
        1,
        117,
        "cudaMallocPitch",
        &["malloc"],
        "allocates rows of device memory, aligned",
    ),
    call(S::Driver, 4, 1, "cuLaunchKernel", &["launch"], "queues a kernel"),
    call(
        S::Driver,
        4,
        2,
        "cuMemcpy",
        &["memcpy"],
        "copies and waits for the copy",
    ),
    call(S::Driver, 4, 3, "cuMemcpyAsync", &["memcpy"], "queues a copy"),
    call(
        S::Driver,
        4,
        4,
        "cuCtxSynchronize",
        &["sync"],
        "waits for all work of a context",
    ),
    call(S::Driver, 4, 5, "cuMemAlloc", &["malloc"], "allocates device memory"),
    call(
        S::Driver,
        4,
        6,
        "cuMemAllocManaged",
        &["malloc"],
        "allocates memory that host and device share",
    ),
    call(
        S::Driver,
        4,
        101,
        "cuLaunchKernelEx",
        &["launch"],
        "queues a kernel with launch attributes",
    ),
    call(
        S::Driver,
        4,
        102,
        "cuLaunchCooperativeKernel",
        &["launch"],
        "queues a kernel whose blocks can wait for each other",
    ),
    call(
        S::Driver,
        4,
        103,
        "cuStreamSynchronize",
        &["sync"],
        "waits for one stream",
    ),
    call(S::Driver, 4, 104, "cuEventSynchronize", &["sync"], "waits for an event"),
    call(
        S::Driver,
        4,
        105,
        "cuMemFree",
        &["free"],
        "frees device memory; waits for the device",
    ),
    call(
        S::Driver,
        4,
        106,
        "cuMemAllocAsync",
        &["malloc"],
        "allocates from a pool, in the order of a stream",
    ),
    call(
        S::Driver,
        4,
        107,
        "cuMemFreeAsync",
        &["free"],
        "gives memory back to a pool, in the order of a stream",
    ),
    call(
        S::Driver,
        4,
        108,
        "cuMemHostAlloc",
        &["host_alloc"],
        "allocates pinned host memory",
    ),
    call(
        S::Driver,
        4,
        109,
        "cuMemFreeHost",
        &["host_free"],
        "frees pinned host memory",
    ),
    call(
        S::Driver,
        4,
        110,
        "cuMemHostRegister",
        &["host_alloc"],
        "pins host memory that is there already",
    ),
    call(
        S::Driver,
        4,
        111,
        "cuMemHostUnregister",
        &["host_free"],
        "unpins host memory",
    ),
    call(
        S::Driver,
        4,
        112,
        "cuMemcpyHtoD",
        &["memcpy"],
        "copies from the host to the device and waits for it",
    ),
    call(
        S::Driver,
        4,
        113,
        "cuMemcpyDtoH",
        &["memcpy"],
        "copies from the device to the host and waits for it",
    ),
    call(
        S::Driver,
        4,
        114,
        "cuMemcpyHtoDAsync",
        &["memcpy"],
        "queues a copy from the host to the device",
    ),
    call(
        S::Driver,
        4,
        115,
        "cuMemcpyDtoHAsync",
        &["memcpy"],
        "queues a copy from the device to the host",
    ),
    call(
        S::Driver,
        4,
        116,
        "cuMemcpyDtoD",
        &["memcpy"],
        "copies within or between devices",
    ),
    call(
        S::Driver,
        4,
        117,
        "cuMemcpyDtoDAsync",
        &["memcpy"],
        "queues a copy within or between devices",
    ),
    call(
        S::Driver,
        4,
        118,
        "cuMemcpyPeer",
        &["memcpy"],
        "copies between two devices and waits for it",
    ),
    call(
        S::Driver,
        4,
        119,
        "cuMemcpyPeerAsync",
        &["memcpy"],
        "queues a copy between two devices",
    ),
    call(
        S::Driver,
        4,
        120,
        "cuMemcpy2D",
        &["memcpy"],
        "copies a rectangle and waits for it",
    ),
    call(
        S::Driver,
        4,
        121,
        "cuMemcpy2DAsync",
        &["memcpy"],
        "queues the copy of a rectangle",
    ),
    call(S::Driver, 4, 122, "cuMemset", &["memset"], "fills device memory"),
    call(
        S::Driver,
        4,
        123,
        "cuMemsetAsync",
        &["memset"],
        "queues the filling of device memory",
    ),
    call(
        S::Driver,
        4,
        124,
        "cuModuleLoadData",
        &["module_load"],
        "loads the code of a module",
    ),
    call(
        S::Driver,
        4,
        125,
        "cuLibraryLoadData",
        &["module_load"],
        "loads the code of a library",
    ),
    call(
        S::Driver,
        4,
        126,
        "cuEventQuery",
        &["query"],
        "asks whether an event has come, without waiting",
    ),
    call(
        S::Driver,
        4,
        127,
        "cuStreamQuery",
        &["query"],
        "asks whether a stream is done, without waiting",
    ),
    call(
        S::Driver,
        4,
        128,
        "cuStreamIsCapturing",
        &["query"],
        "asks whether a stream is being captured into a graph",
    ),
    call(
        S::Driver,
        4,
        129,
        "cuStreamWaitEvent",
        &[],
        "makes a stream wait for an event; the caller does not",
    ),
    call(
        S::Graph,
        8,
        1,
        "graphBeginCapture",
        &["begin_capture", "capture"],
        "begins to capture a stream into a graph",
    ),
    call(
        S::Graph,
        8,
        2,
        "graphEndCapture",
        &["end_capture", "capture"],
        "ends a capture",
    ),
    call(
        S::Graph,
        8,
        3,
        "graphInstantiate",
        &["instantiate"],
        "makes a graph ready to run",
    ),
    call(S::Graph, 8, 4, "graphLaunch", &["launch"], "queues a whole graph"),
    call(S::Graph, 8, 5, "graphDestroy", &[], "destroys a graph"),
    call(
        S::Graph,
        8,
        6,
        "graphExecUpdate",
        &["exec_update"],
        "puts new parameters into a graph that is ready to run",
    ),
    call(
        S::Graph,
        8,
        7,
        "graphExecDestroy",
        &[],
        "destroys a graph that was ready to run",
    ),
    ends(
        S::Sched,
        3,
        1,
        "sched_switch",
        &["off_cpu"],
        "a stint of a thread off its CPU, from leaving it to coming back",
    ),
    ends(
        S::Sched,
        3,
        2,
        "sched_wakeup",
        &["wakeup"],
        "a thread is made ready to run",
    ),
    ends(
        S::Mem,
        3,
        3,
        "mm_page_alloc",
        &["page_alloc"],
        "the kernel hands out pages; mostly known as counts",
    ),
    ends(
        S::Mem,
        3,
        4,
        "oom_kill",
        &["oom"],
        "the kernel kills a process for want of memory",
    ),
    ends(
        S::Process,
        3,
        5,
        "process_exec",
        &["exec"],
        "a process starts a program",
    ),
    ends(S::Process, 3, 6, "process_exit", &["exit"], "a process ends"),
    ends(S::Process, 3, 7, "process_fork", &["fork"], "a process makes a child"),
    ends(S::Process, 3, 10, "pod_restart", &[], "a pod of the host restarted"),
    ends(
        S::Process,
        3,
        11,
        "pod_eviction",
        &[],
        "a pod was evicted from the host",
    ),
    ends(
        S::Process,
        3,
        12,
        "pod_oom_kill",
        &[],
        "a container was killed at its memory limit",
    ),
    ends(
        S::Mem,
        3,
        20,
        "mm_page_alloc_summary",
        &[],
        "page allocations of some time, summed",
    ),
    ends(
        S::Sched,
        3,
        21,
        "sched_switch_summary",
        &[],
        "switches of some time, summed",
    ),
    ends(
        S::Io,
        5,
        1,
        "block_read",
        &["read"],
        "a read request of a block device, from issue to completion",
    ),
    ends(
        S::Io,
        5,
        2,
        "block_write",
        &["write"],
        "a write request of a block device, from issue to completion",
    ),
    ends(
        S::Io,
        5,
        3,
        "block_discard",
        &["discard"],
        "a discard request of a block device",
    ),
    ends(
        S::Tcp,
        6,
        1,
        "tcp_retransmit",
        &["retransmit"],
        "a TCP segment is sent again",
    ),
    ends(S::Net, 7, 1, "net_send", &["send"], "a call that sends on a socket"),
    ends(
        S::Net,
        7,
        2,
        "net_recv",
        &["recv"],
        "a call that receives from a socket; waiting is part of it",
    ),
    call(
        S::Nccl,
        9,
        1,
        "ncclCommInitRank",
        &["init"],
        "makes one rank of a communicator",
    ),
    call(S::Nccl, 9, 2, "ncclCommDestroy", &[], "destroys a communicator"),
    call(
        S::Nccl,
        9,
        3,
        "ncclAllReduce",
        &["collective"],
        "queues a sum over all ranks",
    ),
    call(
        S::Nccl,
        9,
        4,
        "ncclAllGather",
        &["collective"],
        "queues a gathering by all ranks",
    ),
    call(
        S::Nccl,
        9,
        5,
        "ncclReduceScatter",
        &["collective"],
        "queues a sum that is spread over the ranks",
    ),
    call(
        S::Nccl,
        9,
        6,
        "ncclBroadcast",
        &["collective"],
        "queues a copy from one rank to all",
    ),
    call(S::Nccl, 9, 7, "ncclSend", &["p2p"], "queues a send to another rank"),
    call(
        S::Nccl,
        9,
        8,
        "ncclRecv",
        &["p2p"],
        "queues a receive from another rank",
    ),
    call(
        S::Nccl,
        9,
        9,
        "ncclCommInitAll",
        &["init"],
        "makes all ranks of a communicator in one process",
    ),
    call(
        S::Nccl,
        9,
        101,
        "ncclReduce",
        &["collective"],
        "queues a sum at one rank",
    ),
    call(
        S::Nccl,
        9,
        102,
        "ncclCommInitRankConfig",
        &["init"],
        "makes one rank of a communicator, with options",
    ),
    call(
        S::Nccl,
        9,
        103,
        "ncclCommInitRankScalable",
        &["init"],
        "makes one rank of a communicator of many, with several meeting points",
    ),
    call(
        S::Nccl,
        9,
        104,
        "ncclCommSplit",
        &["init"],
        "makes communicators of parts of the ranks of one",
    ),
    // Derived by the reader; each is one more kind of interval, owned by a thread.
    derived(
        S::Cuda,
        OPEN_CALL,
        "a call of the CUDA runtime, the driver or a graph that did not return: its thread ended in it, or the recording did; as long as it was seen",
    ),
    derived(
        S::Nccl,
        OPEN_CALL,
        "a call of NCCL that did not return: its thread ended in it, or the recording did; as long as it was seen",
    ),
    derived(
        S::Nccl,
        "entry",
        "a collective with all its ranks in the trace, on each of them: from when half of the others had entered the call to when this one did; no time where it was earlier",
    ),
    derived(
        S::Nccl,
        "lag",
        "an entry that was the last of all ranks, by more than twice what their clocks may be apart",
    ),
    derived(
        S::Nccl,
        "absent",
        "a collective that others entered and this rank did not: from their last entry to the end of its recording",
    ),
    derived(
        S::Nccl,
        "mismatch",
        "a collective whose operation, elements, type or root are not those of most ranks",
    ),
    derived(
        S::Process,
        "run",
        "a program in a process, from exec to the next exec, its exit or the end of the trace",
    ),
    derived(
        S::Process,
        "child",
        "a run of a program in a child process, owned by the parent's main thread",
    ),
    derived(
        S::Process,
        "child_working",
        "time in which the main thread of a child process was not asleep (on a CPU, waiting for one, or for a device), owned by the parent's main thread",
    ),
    derived(
        S::Process,
        "warmup",
        "from the first CUDA call of a process to its steady state (or the end of the trace)",
    ),
    derived(
        S::Sched,
        AWAKE,
        "10 ms or more in which a thread did not sleep: it was on a CPU, or waited for one or for a device",
    ),
    derived(S::Request, "wait", "from the arrival of a request to its first token"),
    derived(S::Request, "open", "from the arrival of a request to its last token"),
    derived(S::Annotation, "step", "an annotated step"),
    derived(S::Xid, "xid", "an error number that the GPU driver reported"),
];

/// Whether a stored row repeats what the table `xids` says in full.
pub(crate) fn told_by_xids(source_id: i64, op_id: i64) -> bool {
    (source_id, op_id) == (2, 1)
}

impl Op {
    /// Its catalogue entry.
    pub fn def(self) -> &'static OpDef {
        &OPS[self.0 as usize]
    }

    /// Every operation.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the catalogue has about a hundred entries"
    )]
    pub fn all() -> impl Iterator<Item = Self> {
        (0..OPS.len()).map(|i| Self(i as u16))
    }

    /// By the ids of a stored row.
    pub fn by_ids(source_id: i64, op_id: i64) -> Option<Self> {
        Self::all().find(|o| {
            let d = o.def();
            d.source_id != 0 && i64::from(d.source_id) == source_id && i64::from(d.op_id) == op_id
        })
    }

    /// By name within a source, in any case. For `gpu`, in any of its three layers.
    pub fn by_name(source: Source, name: &str) -> Option<Self> {
        Self::all().find(|o| source.holds(o.def().source) && o.def().name.eq_ignore_ascii_case(name))
    }

    /// All operations of a family within a source (or, for `gpu`, across its layers).
    pub fn family(source: Source, family: &str) -> Vec<Self> {
        Self::all()
            .filter(|o| source.holds(o.def().source) && o.def().families.contains(&family))
            .collect()
    }

    /// Whether it takes the calls of several ranks to find it.
    pub fn is_across_ranks(self) -> bool {
        let d = self.def();
        d.source == Source::Nccl && d.anchor == Anchor::Derived && ACROSS_RANKS.contains(&d.name)
    }

    /// Whether it is in the family.
    pub fn is(self, family: &str) -> bool {
        self.def().families.contains(&family)
    }
}

impl Source {
    /// Whether operations stored under `other` belong to this source.
    pub fn holds(self, other: Self) -> bool {
        self == other || (self == Self::Gpu && matches!(other, Self::Cuda | Self::Driver | Self::Graph))
    }

    /// Operations that a bare source name stands for: real calls, not polling and not derived ones.
    pub fn bare_ops(self) -> Vec<Op> {
        Op::all()
            .filter(|o| {
                let d = o.def();
                self.holds(d.source)
                    && d.anchor != Anchor::Derived
                    && !d.families.contains(&"query")
                    && !(self == Self::Sched && d.op_id != 1)
            })
            .collect()
    }
}

/// A part of off-CPU time, or another measure derived from a stored one when it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Not on a CPU, for whatever reason: the whole stint.
    OffCpu,
    /// Runnable and waiting for a CPU: from the last wake-up (or from the start, if it was
    /// preempted) to the end of the stint.
    RunQueue,
    /// Asleep by its own will: the part before the wake-up.
    Sleep,
    /// Uninterruptible, mostly waiting for a device: the part before the wake-up.
    IoWait,
}

impl State {
    /// All, with their names in rules.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::OffCpu, "off_cpu"),
        (Self::RunQueue, "runq"),
        (Self::Sleep, "sleep"),
        (Self::IoWait, "io_wait"),
    ];

    /// By name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, n)| *n == name).map(|(s, _)| s)
    }

    /// The name in rules.
    pub fn name(self) -> &'static str {
        match self {
            Self::OffCpu => "off_cpu",
            Self::RunQueue => "runq",
            Self::Sleep => "sleep",
            Self::IoWait => "io_wait",
        }
    }
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldType {
    /// A number of a dimension.
    Num(Dim),
    /// An identity: compares with `=`, `!=` and `in` against integers.
    Id,
    /// One of a fixed set of words.
    Enum(&'static [&'static str]),
    /// A text: `=`, `!=`, `=~`, `!~`, `in`.
    Text,
    /// Yes or no: stands alone in a filter.
    Flag,
}

/// An attribute of an event that a filter may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Field {
    /// Process id.
    Pid,
    /// Thread id.
    Tid,
    /// Process name.
    Process,
    /// Thread name.
    Thread,
    /// Operation name.
    Op,
    /// Length of the interval.
    Duration,
    /// Bytes of a copy, an allocation, an I/O request or a socket call.
    Bytes,
    /// Direction of a copy.
    Direction,
    /// Return code.
    Ret,
    /// Stream handle.
    Stream,
    /// GPU number as recorded.
    Gpu,
    /// Rank as recorded.
    Rank,
    /// cgroup id as recorded.
    Cgroup,
    /// Log2 of the bytes.
    SizeClass,
    /// The first launch of that kernel in that process.
    FirstUse,
    /// Launches of the same thread since its last synchronisation.
    SinceSync,
    /// The thread that makes most launches of its process.
    Launcher,
    /// The thread that sends most over the network in a process without GPU calls that has one with
    /// them in its tree.
    Frontend,
    /// The first thread of its process: it ends with it.
    MainThread,
    /// Whose thread ran on the CPU during a run-queue wait.
    Preemptor,
    /// Prompt length.
    PromptTokens,
    /// Output length.
    OutputTokens,
    /// Answers that a request asks for.
    Choices,
    /// Log probabilities that a request asks for with each token.
    Logprobs,
    /// Time of a request's wait in which a request with at least four times its prompt, that
    /// arrived no later, had not yet got its first token.
    BehindHeavier,
    /// How many such requests there were.
    NHeavier,
    /// Time of the interval in which a request was open on the node.
    InRequest,
    /// Error number of an XID.
    Xid,
    /// Of a call that did not return: the longest call of the same operation by its process that did.
    LongestReturned,
    /// As much of a wait for a CPU as throttling of the thread's cgroup can explain.
    Throttled,
}

/// Words of [`Field::Direction`]; the position is the stored code.
pub const DIRECTIONS: &[&str] = &["h2h", "h2d", "d2h", "d2d", "default", "unknown"];
/// Words of [`Field::Preemptor`].
pub const PREEMPTORS: &[&str] = &["own", "other", "idle", "unknown"];

/// One entry of the catalogue of fields.
#[derive(Debug)]
pub struct FieldDef {
    /// The field.
    pub field: Field,
    /// Its name in filters.
    pub name: &'static str,
    /// What it holds.
    pub ty: FieldType,
    /// What it is, in one sentence.
    pub about: &'static str,
}

const fn fd(field: Field, name: &'static str, ty: FieldType, about: &'static str) -> FieldDef {
    FieldDef { field, name, ty, about }
}

/// Every field.
pub const FIELDS: &[FieldDef] = &[
    fd(Field::Pid, "pid", FieldType::Id, "process id"),
    fd(Field::Tid, "tid", FieldType::Id, "thread id"),
    fd(Field::Process, "process", FieldType::Text, "process name"),
    fd(Field::Thread, "thread", FieldType::Text, "thread name"),
    fd(Field::Op, "op", FieldType::Text, "operation name"),
    fd(
        Field::Duration,
        "duration",
        FieldType::Num(Dim::TIME),
        "length of the interval",
    ),
    fd(
        Field::Bytes,
        "bytes",
        FieldType::Num(Dim::BYTES),
        "bytes moved, allocated or requested",
    ),
    fd(
        Field::Direction,
        "direction",
        FieldType::Enum(DIRECTIONS),
        "direction of a copy",
    ),
    fd(Field::Ret, "ret", FieldType::Id, "return code; `success` is 0"),
    fd(Field::Stream, "stream", FieldType::Id, "stream handle"),
    fd(Field::Gpu, "gpu", FieldType::Id, "GPU number as recorded"),
    fd(Field::Rank, "rank", FieldType::Id, "rank as recorded"),
    fd(Field::Cgroup, "cgroup", FieldType::Id, "cgroup id as recorded"),
    fd(Field::SizeClass, "size_class", FieldType::Id, "log2 of the bytes"),
    fd(
        Field::FirstUse,
        "first_use",
        FieldType::Flag,
        "first launch of that kernel in that process",
    ),
    fd(
        Field::SinceSync,
        "since_sync",
        FieldType::Num(Dim::NONE),
        "launches of the thread since its last sync",
    ),
    fd(
        Field::Launcher,
        "launcher",
        FieldType::Flag,
        "the thread that makes most launches of its process",
    ),
    fd(
        Field::Frontend,
        "frontend",
        FieldType::Flag,
        "the thread that sends most over the network in a process that makes no GPU calls, where another process of its tree does",
    ),
    fd(
        Field::MainThread,
        "main_thread",
        FieldType::Flag,
        "the first thread of its process, whose exit is that of the process",
    ),
    fd(
        Field::Preemptor,
        "preemptor",
        FieldType::Enum(PREEMPTORS),
        "whose thread had that CPU meanwhile, for most of the wait as far as is known",
    ),
    fd(
        Field::PromptTokens,
        "prompt_tokens",
        FieldType::Num(Dim::NONE),
        "prompt length of a request",
    ),
    fd(
        Field::OutputTokens,
        "output_tokens",
        FieldType::Num(Dim::NONE),
        "output length of a request",
    ),
    fd(
        Field::Choices,
        "choices",
        FieldType::Num(Dim::NONE),
        "how many answers a request asks for (label `n`; 1 for a request without it, where others have it)",
    ),
    fd(
        Field::Logprobs,
        "logprobs",
        FieldType::Num(Dim::NONE),
        "how many log probabilities a request asks for with each token (label `logprobs`; 0 for a request without it, where others have it)",
    ),
    fd(
        Field::BehindHeavier,
        "behind_heavier",
        FieldType::Num(Dim::TIME),
        "time of the wait in which a request with at least four times the prompt, arrived no later, was still without its first token",
    ),
    fd(
        Field::NHeavier,
        "n_heavier",
        FieldType::Num(Dim::NONE),
        "how many such heavier requests there were",
    ),
    fd(
        Field::InRequest,
        "in_request",
        FieldType::Num(Dim::TIME),
        "time of the interval in which a request was open on the node",
    ),
    fd(Field::Xid, "xid", FieldType::Id, "XID error number"),
    fd(
        Field::LongestReturned,
        "longest_returned",
        FieldType::Num(Dim::TIME),
        "of a call that did not return: the longest call of the same operation by its process that did",
    ),
    fd(
        Field::Throttled,
        "throttled",
        FieldType::Num(Dim::TIME),
        "as much of the wait for a CPU as the CPU limit of the thread's cgroup can explain: the time it was throttled between two readings, over all CPUs, shared out among the waits between them",
    ),
];

impl Field {
    /// Its catalogue entry.
    pub fn def(self) -> &'static FieldDef {
        FIELDS
            .iter()
            .find(|d| d.field == self)
            .expect("every field is in FIELDS (tested)")
    }

    /// By name.
    pub fn by_name(name: &str) -> Option<Self> {
        FIELDS.iter().find(|d| d.name == name).map(|d| d.field)
    }

    /// Whether events of the source carry it.
    pub fn on(self, source: Source) -> bool {
        use Field as F;
        match self {
            F::Pid | F::Tid | F::Process | F::Thread | F::Op | F::Duration | F::MainThread => {
                !matches!(source, Source::System | Source::Trace)
            }
            F::Bytes | F::SizeClass => {
                matches!(source, S::Cuda | S::Driver | S::Gpu | S::Io | S::Net | S::Nccl)
            }
            F::Direction | F::Ret | F::Stream | F::Gpu => {
                matches!(source, S::Cuda | S::Driver | S::Graph | S::Gpu | S::Nccl)
            }
            F::FirstUse | F::SinceSync => matches!(source, S::Cuda | S::Driver | S::Graph | S::Gpu),
            F::Launcher => matches!(source, S::Cuda | S::Driver | S::Graph | S::Gpu | S::Sched),
            F::Rank | F::Cgroup => matches!(source, S::Cuda | S::Driver | S::Graph | S::Gpu | S::Nccl | S::Net),
            F::Preemptor | F::Throttled => source == S::Sched,
            F::Frontend => matches!(source, S::Sched | S::Net),
            F::PromptTokens | F::OutputTokens | F::Choices | F::Logprobs | F::BehindHeavier | F::NHeavier => {
                source == S::Request
            }
            F::InRequest => !matches!(source, S::System | S::Trace | S::Request),
            F::Xid => source == S::Xid,
            F::LongestReturned => matches!(source, S::Cuda | S::Gpu | S::Nccl),
        }
    }
}

/// What diagnoses are grouped by. `node` is always part of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// Host.
    Node,
    /// Process (one life of a process id).
    Pid,
    /// Thread.
    Tid,
    /// Operation.
    Op,
    /// Stream handle.
    Stream,
    /// GPU number.
    Gpu,
    /// Rank.
    Rank,
    /// cgroup.
    Cgroup,
    /// Process name: several processes of one name are one.
    Process,
    /// Log2 of the bytes.
    SizeClass,
    /// A process with all that it forked, as far as the trace shows: they are one.
    Tree,
    /// Thread name, as the host kernel has it: several threads of one name are one.
    Comm,
}

impl Key {
    /// All, with their names in rules.
    pub const ALL: [(Self, &'static str); 12] = [
        (Self::Node, "node"),
        (Self::Pid, "pid"),
        (Self::Tid, "tid"),
        (Self::Op, "op"),
        (Self::Stream, "stream"),
        (Self::Gpu, "gpu"),
        (Self::Rank, "rank"),
        (Self::Cgroup, "cgroup"),
        (Self::Process, "process"),
        (Self::SizeClass, "size_class"),
        (Self::Tree, "tree"),
        (Self::Comm, "comm"),
    ];

    /// Whether it says who acts, rather than what single acts have in common.
    pub fn names_somebody(self) -> bool {
        matches!(
            self,
            Self::Node | Self::Pid | Self::Tid | Self::Process | Self::Tree | Self::Comm
        )
    }

    /// By name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, n)| *n == name).map(|(k, _)| k)
    }

    /// The name in rules.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(k, _)| *k == self).map_or("", |(_, n)| n)
    }

    /// Whether events of the source can be grouped by it. What knows only a coarser identity
    /// (`system` and `trace` know the node, requests know no process) is read at that one.
    pub fn on(self, source: Source) -> bool {
        match self {
            Self::Node => true,
            Self::Pid | Self::Process | Self::Tid | Self::Tree | Self::Comm => {
                !matches!(source, S::System | S::Trace | S::Request | S::Tcp | S::Xid)
            }
            Self::Op => !matches!(source, S::System | S::Trace),
            Self::Stream => Field::Stream.on(source),
            Self::Gpu => Field::Gpu.on(source),
            Self::Rank => Field::Rank.on(source),
            Self::Cgroup => Field::Cgroup.on(source),
            Self::SizeClass => Field::SizeClass.on(source) || source == S::Request,
        }
    }
}

/// A column of the one-second snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SystemField {
    /// CPU use of the whole host, a share of 1.
    CpuPct,
    /// Memory in use, a share of 1.
    MemPct,
    /// Memory available.
    MemAvail,
    /// Swap in use.
    Swap,
    /// One-minute load average.
    LoadAvg,
    /// Load average divided by the number of cores.
    LoadPerCore,
}

impl SystemField {
    /// All, with names, dimensions and meaning.
    pub const ALL: [(Self, &'static str, Dim, &'static str); 6] = [
        (
            Self::CpuPct,
            "cpu",
            Dim::NONE,
            "CPU use of the whole host, 0 % to 100 %",
        ),
        (Self::MemPct, "mem", Dim::NONE, "memory in use, 0 % to 100 %"),
        (Self::MemAvail, "mem_avail", Dim::BYTES, "memory available"),
        (Self::Swap, "swap", Dim::BYTES, "swap in use"),
        (Self::LoadAvg, "load", Dim::NONE, "one-minute load average"),
        (
            Self::LoadPerCore,
            "load_per_core",
            Dim::NONE,
            "one-minute load average for each core",
        ),
    ];

    /// By name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|e| e.1 == name).map(|e| e.0)
    }

    /// Name in rules and dimension.
    pub fn def(self) -> (&'static str, Dim) {
        Self::ALL
            .into_iter()
            .find(|e| e.0 == self)
            .map_or(("", Dim::NONE), |e| (e.1, e.2))
    }
}

/// A fact about the recording, per node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TraceFact {
    /// Events known to be lost.
    Lost,
    /// Rows that the aggregates call stored and that are not there.
    RowsMissing,
    /// Calls that were counted but deliberately not stored.
    NotStored,
    /// Losses were not counted by the recorder (0 or 1).
    LossesUnknown,
    /// Longest hole between two snapshots.
    SnapshotGap,
    /// Observed time: first start to last end of any event.
    Length,
    /// Longest steady time of any process that uses the GPU.
    Steady,
    /// Processes that use the GPU.
    GpuProcesses,
    /// Processes whose first CUDA call is not in the trace, as far as the trace can tell.
    LateAttached,
    /// Wanted probes that were not attached.
    ProbesMissing,
}

impl TraceFact {
    /// All, with names, dimensions and meaning.
    pub const ALL: [(Self, &'static str, Dim, &'static str); 10] = [
        (Self::Lost, "lost", Dim::NONE, "events that the recorder knows it lost"),
        (
            Self::RowsMissing,
            "rows_missing",
            Dim::NONE,
            "rows that the aggregates call stored and that are not there",
        ),
        (
            Self::NotStored,
            "not_stored",
            Dim::NONE,
            "calls counted but deliberately not stored",
        ),
        (
            Self::LossesUnknown,
            "losses_unknown",
            Dim::NONE,
            "1 where the recorder did not count its losses",
        ),
        (
            Self::SnapshotGap,
            "snapshot_gap",
            Dim::TIME,
            "longest hole between two snapshots while events were recorded",
        ),
        (Self::Length, "length", Dim::TIME, "from the first event to the last"),
        (
            Self::Steady,
            "steady",
            Dim::TIME,
            "longest steady time of any process that uses the GPU",
        ),
        (
            Self::GpuProcesses,
            "gpu_processes",
            Dim::NONE,
            "processes that use the GPU",
        ),
        (
            Self::LateAttached,
            "late_attached",
            Dim::NONE,
            "GPU processes older than the recording",
        ),
        (
            Self::ProbesMissing,
            "probes_missing",
            Dim::NONE,
            "wanted probes that were not attached",
        ),
    ];

    /// By name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|e| e.1 == name).map(|e| e.0)
    }

    /// Name in rules and dimension.
    pub fn def(self) -> (&'static str, Dim) {
        Self::ALL
            .into_iter()
            .find(|e| e.0 == self)
            .map_or(("", Dim::NONE), |e| (e.1, e.2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_listed_once() {
        for d in FIELDS {
            assert_eq!(
                FIELDS.iter().filter(|e| e.field == d.field || e.name == d.name).count(),
                1,
                "{}",
                d.name
            );
            assert_eq!(d.field.def().name, d.name);
        }
    }

    #[test]
    fn ops_match_the_lookup_tables_written_to_files() {
        let conn = rusqlite::Connection::open_in_memory().unwrap();
        conn.execute_batch(include_str!("schema.sql")).unwrap();
        conn.execute_batch(include_str!("ops.sql")).unwrap();
        let mut stmt = conn
            .prepare("SELECT source_id, op_id, name FROM ops WHERE source_id != 2")
            .unwrap();
        let rows: Vec<(i64, i64, String)> = stmt
            .query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        for (s, o, name) in &rows {
            assert_eq!(
                Op::by_ids(*s, *o).map(|op| op.def().name),
                Some(name.as_str()),
                "{s}/{o}"
            );
        }
        assert_eq!(Op::all().filter(|o| o.def().source_id != 0).count(), rows.len());
    }
}
