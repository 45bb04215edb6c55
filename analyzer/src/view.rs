//! What people look at beside a diagnosis: who did how much (profiles), when (timelines), and how
//! long single calls took (histograms). Computed by `eval`; reports render it and compute nothing.

use crate::diagnosis::Measured;
use crate::unit::Interval;

/// What one process did.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessProfile {
    /// Host; empty where the file has no name for it.
    pub node: String,
    /// Process id.
    pub pid: i64,
    /// Process name, or empty.
    pub name: String,
    /// Its life within the observed time.
    pub alive: Interval,
    /// Whether it made CUDA, driver or graph calls.
    pub uses_gpu: bool,
    /// By source and operation; stored calls and those that were only counted.
    pub ops: Vec<OpProfile>,
    /// Calls that did not return, by their start.
    pub unfinished: Vec<Unfinished>,
    /// Most call time first.
    pub threads: Vec<ThreadProfile>,
}

/// A call that did not return: it is in no count of calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The API name.
    pub op: String,
    /// Whose.
    pub tid: i64,
    /// From its start to when it was last seen open.
    pub when: Interval,
}

/// What one thread did.
#[derive(Clone, Debug, PartialEq)]
pub struct ThreadProfile {
    /// Thread id.
    pub tid: i64,
    /// Thread name, or empty.
    pub name: String,
    /// By source and operation. Counts of calls that were not stored are kept by process, so
    /// these are bounds where rows were dropped.
    pub ops: Vec<OpProfile>,
    /// Its time off the CPU; `None` where that is not in the file.
    pub off_cpu: Option<OffCpu>,
}

/// The calls of one operation. Durations in ns; every value is exact, bounds, or unknown.
#[derive(Clone, Debug, PartialEq)]
pub struct OpProfile {
    /// `CUDA`, `DRIVER`, `HOST`, …
    pub layer: &'static str,
    /// The API name.
    pub op: &'static str,
    /// Rows in the file.
    pub stored: u64,
    /// Calls, stored or not.
    pub calls: Measured,
    /// Summed duration.
    pub total: Measured,
    /// Mean duration.
    pub avg: Measured,
    /// Median.
    pub p50: Measured,
    /// 99th percentile.
    pub p99: Measured,
    /// Longest.
    pub max: Measured,
    /// Bytes moved or allocated; `None` for operations without a size.
    pub bytes: Option<Measured>,
    /// Of the stored calls, those inside a runtime call of the same thread, whose duration holds theirs.
    pub inside: u64,
    /// Whether the operation allocates memory, on the device or on the host.
    pub allocates: bool,
    /// Why values are not exact; empty where they are.
    pub reason: String,
}

/// Time of one thread off the CPU, and what it is known to have been.
#[derive(Clone, Debug, PartialEq)]
pub struct OffCpu {
    /// How often it left the CPU.
    pub switches: Measured,
    /// How long it was away in all, ns.
    pub total: Measured,
    /// The parts of the stored stints.
    pub parts: OffCpuParts,
    /// Why `switches` and `total` are not exact; empty where they are.
    pub reason: String,
}

/// Stored off-CPU time by state, ns. The four add up to the stored stints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OffCpuParts {
    /// Ready to run, waiting for a CPU.
    pub runq: i64,
    /// Asleep by its own will.
    pub sleep: i64,
    /// Waiting for a device.
    pub io_wait: i64,
    /// The file does not say.
    pub unknown: i64,
}

/// A diagnosis drawn: what happened around it on one time axis, and the distributions that it
/// speaks of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// Position in [`crate::diagnosis::Analysis::diagnoses`].
    pub diagnosis: usize,
    /// The time axis.
    pub window: Interval,
    /// From requests down to the devices.
    pub tracks: Vec<Track>,
    /// Where a cause lies inside its symptom on the same thread.
    pub joins: Vec<Join>,
    /// Of the operations that the diagnosis measures; may be empty.
    pub histograms: Vec<Histogram>,
}

/// A line of a timeline.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Track {
    /// Whose: `4211 VLLM::EngineCor`, a node, or empty.
    pub owner: String,
    /// What is drawn: `proof`, `requests`, `CUDA calls`, `off CPU`, `block I/O`.
    pub what: &'static str,
    /// Events in the window.
    pub events: u64,
    /// For each of equally long slices of the window, the share of it (thousandths) in which at
    /// least one event is in progress.
    pub busy: Vec<u16>,
    /// The longest events, and the longest of each part of the window, in time order.
    pub bars: Vec<Bar>,
    /// In part of the window events may be missing from the file.
    pub partial: bool,
}

/// An event of a [`Track`] that is drawn by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Where.
    pub when: Interval,
    /// What it is.
    pub kind: BarKind,
    /// In words.
    pub what: String,
}

/// What a [`Bar`] is, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarKind {
    /// A call.
    Call,
    /// A synchronisation.
    Sync,
    /// Waiting for a CPU.
    RunQueue,
    /// Asleep.
    Sleep,
    /// Waiting for a device.
    IoWait,
    /// Off the CPU, the file does not say why.
    OffCpu,
    /// A block I/O request.
    Io,
    /// A request to the server.
    Request,
    /// What the diagnosis rests on.
    Proof,
}

/// A stretch in which a cause and its symptom overlap on one thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// The time in common.
    pub when: Interval,
    /// In words.
    pub what: String,
}

/// How long the calls of a selection took.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// The operation, or the measure.
    pub what: String,
    /// Events by duration, ns: `[from, to)`, ascending, without holes.
    pub bins: Vec<Bin>,
    /// Events in all.
    pub events: u64,
    /// Events beyond the threshold.
    pub beyond: u64,
    /// The bound of the rule, ns; `None` where it is not one duration.
    pub threshold: Option<i64>,
    /// Not every event is in the file.
    pub partial: bool,
}

/// A bin of a [`Histogram`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bin {
    /// Shortest, ns.
    pub from: i64,
    /// Longer than all of them, ns.
    pub to: i64,
    /// Events.
    pub events: u64,
}

/// What a node's part of the trace covers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Coverage {
    /// Host, or empty.
    pub node: String,
    /// Observed time.
    pub observed: Interval,
    /// Where every event of the GPU layers became a row; sorted, disjoint.
    pub complete: Vec<Interval>,
    /// Where events were lost, merged; with how many.
    pub losses: Vec<(Interval, u64)>,
    /// What was seen, by layer, over the whole observed time.
    pub tracks: Vec<Track>,
}

/// Everything drawn for a report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drawing {
    /// Of the first diagnoses, in their order.
    pub pictures: Vec<Picture>,
    /// By node.
    pub coverage: Vec<Coverage>,
}
