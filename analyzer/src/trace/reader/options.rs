//! What a caller wants to have read.

use std::collections::BTreeSet;

use crate::trace::catalogue::{AWAKE, OPS, Op, Source};

const WORDS: usize = OPS.len().div_ceil(64);

/// The operations and the optional columns that are needed. Reading less takes less memory and,
/// for columns, less time; it never changes what is read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent columns")]
pub struct Needs {
    ops: [u64; WORDS],
    /// Return codes.
    pub ret: bool,
    /// Stream handles.
    pub stream: bool,
    /// GPU numbers.
    pub gpu: bool,
    /// Ranks.
    pub rank: bool,
    /// cgroup ids.
    pub cgroup: bool,
    /// Rows to keep of operations that are not needed, by pid, tid and operation as stored: see
    /// [`Trace::torn`](crate::trace::Trace::torn).
    pub lanes: BTreeSet<(i64, i64, Op)>,
}

impl Needs {
    /// No operation and no optional column; processes, aggregates and facts about the recording
    /// are read all the same.
    pub const fn nothing() -> Self {
        Self {
            ops: [0; WORDS],
            ret: false,
            stream: false,
            gpu: false,
            rank: false,
            cgroup: false,
            lanes: BTreeSet::new(),
        }
    }

    /// All there is.
    pub const fn everything() -> Self {
        Self {
            ops: [u64::MAX; WORDS],
            ret: true,
            stream: true,
            gpu: true,
            rank: true,
            cgroup: true,
            lanes: BTreeSet::new(),
        }
    }

    /// Adds an operation.
    pub fn add(&mut self, op: Op) {
        self.ops[usize::from(op.0) / 64] |= 1 << (op.0 % 64);
    }

    /// Whether an operation is needed.
    pub fn has(&self, op: Op) -> bool {
        self.ops[usize::from(op.0) / 64] >> (op.0 % 64) & 1 == 1
    }

    /// Adds all that others need.
    pub fn merge(&mut self, others: &Self) {
        for (mine, theirs) in self.ops.iter_mut().zip(others.ops) {
            *mine |= theirs;
        }
        self.ret |= others.ret;
        self.stream |= others.stream;
        self.gpu |= others.gpu;
        self.rank |= others.rank;
        self.cgroup |= others.cgroup;
        self.lanes.extend(&others.lanes);
    }

    /// Whether collectives are to be looked at across their ranks.
    pub(crate) fn collectives(&self) -> bool {
        Op::all().any(|o| o.is_across_ranks() && self.has(o))
    }

    /// What has to be in memory to derive what is needed: a nested driver call is found by its
    /// runtime call, a run-queue wait by its wake-up, a life by exec and exit, the steady state by
    /// launches and captures, a late rank by the calls of all.
    pub fn closure(&self) -> Self {
        let mut all = self.clone();
        let driver_or_graph =
            Op::all().any(|o| self.has(o) && matches!(o.def().source, Source::Driver | Source::Graph));
        let awake = Op::by_name(Source::Sched, AWAKE).is_some_and(|o| self.has(o));
        let across_ranks = self.collectives();
        let sched = awake || Op::by_ids(3, 1).is_some_and(|o| self.has(o));
        for op in Op::all() {
            let d = op.def();
            let keep = match d.source {
                Source::Cuda if driver_or_graph => true,
                Source::Cuda | Source::Driver | Source::Graph => {
                    op.is("launch") || op.is("capture") || op.is("instantiate") || op.is("malloc")
                }
                Source::Process => true,
                Source::Mem => op.is("oom"),
                Source::Nccl => across_ranks && d.source_id != 0,
                Source::Sched => sched && (op.is("wakeup") || op.is("off_cpu")),
                _ => false,
            };
            if keep {
                all.add(op);
            }
        }
        all
    }
}

impl Default for Needs {
    fn default() -> Self {
        Self::everything()
    }
}

/// One end of a window. Nodes recorded at overlapping times are one recording; each recording of a
/// fleet has its own start and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Nanoseconds since the Unix epoch.
    At(i64),
    /// This long after the first start of any event of the recording.
    AfterStart(i64),
    /// This long before the last end of any event of the recording.
    BeforeEnd(i64),
}

/// The part of the trace to look at. Events that reach into it are kept whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowSpec {
    /// First instant; none: from the start.
    pub from: Option<Edge>,
    /// Last instant; none: to the end.
    pub to: Option<Edge>,
}

/// Is told how far reading is: rows done and rows in all (an estimate from row numbers).
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// How to read.
#[derive(Clone, Default)]
pub struct ReadOptions<'a> {
    /// What is needed.
    pub needs: Needs,
    /// Which part; none: all of it.
    pub window: Option<WindowSpec>,
    /// Threads to use; 0: one for each core. The trace is the same for any number.
    pub threads: usize,
    /// Called some times a second from the calling thread.
    pub progress: Option<Progress<'a>>,
}

impl std::fmt::Debug for ReadOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadOptions")
            .field("needs", &self.needs)
            .field("window", &self.window)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

impl ReadOptions<'_> {
    pub(crate) fn worker_count(&self) -> usize {
        if self.threads > 0 {
            return self.threads;
        }
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
    }
}
