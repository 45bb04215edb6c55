//! A trace in memory: who ran (nodes, processes, threads), what they did (lanes of intervals), and
//! how much of it the file holds (coverage).
//!
//! Every interval here is already normalised: nothing after the reader sees a raw timestamp. All
//! orders are by identity and time, never by hash, so equal files give equal traces whatever the
//! number of reader threads.

use std::path::PathBuf;

use super::catalogue::{Op, SystemField};
use crate::unit::Interval;

/// Position in [`Trace::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeIdx(pub u16);
/// Position in [`Trace::processes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcIdx(pub u32);
/// Position in [`Trace::threads`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ThreadIdx(pub u32);

/// One or several trace files as one fleet, keyed by node.
#[derive(Debug, Default)]
pub struct Trace {
    /// The files, in the order given.
    pub files: Vec<FileInfo>,
    /// Hosts, by name.
    pub nodes: Vec<Node>,
    /// Processes, by (node, pid, life).
    pub processes: Vec<Process>,
    /// Threads, by (process, tid).
    pub threads: Vec<Thread>,
    /// Intervals, by (thread, op). At most one lane for each pair.
    pub lanes: Vec<Lane>,
    /// Verdicts that another tool stored in the files.
    pub chains: Vec<StoredChain>,
    /// What is true, where the file says so.
    pub truth: Vec<Truth>,
    /// Rows that were only counted, as they were not needed, and that several lives of a process id share: pid,
    /// tid and operation as stored. All of them count for the first of these lives.
    pub torn: Vec<(i64, i64, Op)>,
}

/// What is known of one file.
#[derive(Clone, Debug, Default)]
pub struct FileInfo {
    /// As the user gave it.
    pub path: PathBuf,
    /// Bytes on disk.
    pub size_bytes: u64,
    /// Detected from its tables and columns: `0.8`, `0.9`, `0.10`, `0.10 + ours`, `0.8 migrated`.
    pub generation: String,
    /// Rows of `events`.
    pub rows: u64,
    /// Smallest rowid of `events`; [`Lane::row`] counts from it.
    pub first_row: u64,
    /// Rows whose (source, op) the catalogue does not know.
    pub unknown_rows: u64,
    /// Node names in it.
    pub nodes: Vec<String>,
    /// First start to last end, inside the requested window.
    pub observed: Option<Interval>,
    /// Which reader ran and why.
    pub reader: String,
    /// Things a user should know (a bucket overwritten, a table missing, …), one sentence each.
    pub notes: Vec<String>,
}

/// A host.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Node {
    /// Its name; files older than 0.9 have none, then it is the stem of the file if several files
    /// are read, else empty.
    pub name: String,
    /// First start to last end of any event inside the requested window; `None` without events.
    pub observed: Option<Interval>,
    /// First start to last end of the recording that it is part of, whatever window was requested.
    /// Nodes that were recorded at overlapping times are one recording; offsets count within it.
    pub recording: Option<Interval>,
    /// Which rows became rows.
    pub stored: Stored,
    /// What was counted, stored or not. By (owner, op).
    pub counted: Vec<Counted>,
    /// One-second snapshots, by time. The first row's `cpu` is dropped where it is the 0 artefact.
    pub snapshots: Vec<Snapshot>,
    /// Losses that the recorder counted, by (source name, time); `None` where it did not count.
    pub losses: Option<Vec<Loss>>,
    /// CPU cores of the host, where the file says.
    pub cores: Option<u32>,
    /// Whether off-CPU stints know when the thread became runnable.
    pub run_state: bool,
    /// Whether sched rows know who ran before.
    pub preemptor: bool,
    /// Wanted probes that were not attached: (probe, reason). Empty where the file does not say.
    pub probes_missing: Vec<(String, String)>,
    /// Whether the file lists its probes; if so, a source without any attached probe is missing
    /// rather than silent.
    pub probes_known: bool,
    /// Sources (by catalogue name) that had at least one attached probe; only with `probes_known`.
    pub sources_attached: Vec<String>,
    /// Recording sessions: start to stop (or to the last event).
    pub sessions: Vec<Interval>,
    /// Rows that aggregates call stored but that are not in `events`.
    pub rows_missing: u64,
    /// Calls counted but deliberately not stored.
    pub not_stored: u64,
    /// Operations that this node has rows of (anywhere, not only in the window), sorted; derived ones
    /// too, where the trace can show them at all.
    pub ops: Vec<Op>,
    /// Whether our recorder or simulator wrote it.
    pub ours: bool,
}

/// Which events of a node became rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stored {
    /// Every event that was seen (`record-all`, or our recorder).
    #[default]
    Everything,
    /// Everything in these windows (the first 10 s of each session), then the slow tail, all
    /// synchronisations and process events. Sorted, disjoint. May be empty (a trimmed file).
    Selected(Vec<Interval>),
    /// Our recorder with thresholds: calls of an op shorter than `min_dur_ns` are only counted,
    /// from `since` on. Sorted by op.
    Thresholds(Vec<(Op, i64, i64)>),
}

/// How completely the rows of one (op, thread) tell the story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Every event is a row.
    Complete,
    /// Every event inside these windows is a row; outside, the slow ones.
    Windows(Vec<Interval>),
    /// Events at least this long are rows.
    AtLeast(i64),
    /// The trace does not observe this at all; no rows means nothing.
    Unobserved,
}

/// Aggregates of one (owner, op): the owner is a process, or a thread for sched rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// pid as stored (thread id for sched rows).
    pub pid: i64,
    /// The process it belongs to, where known.
    pub process: Option<ProcIdx>,
    /// The operation.
    pub op: Op,
    /// One-minute buckets, by time.
    pub minutes: Vec<Bucket>,
    /// Five-second buckets, by time; may be missing or cover only the last ten minutes.
    pub fives: Vec<Bucket>,
}

/// One aggregate row. Durations and counts are over all events seen, stored or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Start of the bucket, ns.
    pub start: i64,
    /// Length, ns.
    pub len: i64,
    /// Events seen; never less than the rows found.
    pub count: u64,
    /// Rows the recorder says it stored.
    pub stored: u64,
    /// Rows found in the file.
    pub rows: u64,
    /// Sum of durations, ns.
    pub sum: i128,
    /// Shortest, ns.
    pub min: i64,
    /// Longest, ns.
    pub max: i64,
    /// Sum of bytes, where arg0 is a size (I/O sectors already times 512).
    pub bytes: i128,
    /// False where the bucket was overwritten by a late event: it then counts too little.
    pub reliable: bool,
}

/// One `/proc` snapshot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Snapshot {
    /// When.
    pub at: i64,
    /// In thousandths of a percent (100 % = 100,000); `None` for the start artefact.
    pub cpu_milli_pct: Option<i64>,
    /// Likewise.
    pub mem_milli_pct: i64,
    /// Bytes.
    pub mem_avail: i64,
    /// Bytes.
    pub swap: i64,
    /// In thousandths.
    pub load_milli: i64,
}

impl Snapshot {
    /// The raw number behind a system field and the divisor that gives base units.
    pub fn field(&self, field: SystemField, cores: Option<u32>) -> Option<(i64, i64)> {
        match field {
            SystemField::CpuPct => self.cpu_milli_pct.map(|v| (v, 100_000)),
            SystemField::MemPct => Some((self.mem_milli_pct, 100_000)),
            SystemField::MemAvail => Some((self.mem_avail, 1)),
            SystemField::Swap => Some((self.swap, 1)),
            SystemField::LoadAvg => Some((self.load_milli, 1000)),
            SystemField::LoadPerCore => cores.filter(|&c| c > 0).map(|c| (self.load_milli, 1000 * i64::from(c))),
        }
    }
}

/// Events lost in a second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Catalogue name of the source (`cuda`, `sched`, …).
    pub source: String,
    /// The second.
    pub when: Interval,
    /// How many.
    pub lost: u64,
    /// `ring_full`, `queue_full`, …
    pub reason: String,
}

impl Loss {
    /// Whether only pages are missing: the page counter skips an allocation that interrupts it. Nothing
    /// of another operation was lost then, although the area `mem` holds others too.
    pub fn is_of_pages(&self) -> bool {
        self.source == "mem" && self.reason == "recursion" || self.source == "pages"
    }

    /// Whether events of the operation may be among those lost.
    pub fn concerns(&self, op: Op) -> bool {
        if self.is_of_pages() {
            return op.is("page_alloc");
        }
        self.source == op.def().source.name()
    }
}

/// One life of a process id on a node.
#[derive(Debug, Clone)]
pub struct Process {
    /// Host.
    pub node: NodeIdx,
    /// Process id (tgid). 0 stands for the node itself (requests without a process).
    pub pid: i64,
    /// 0 for the first life of that pid; one more after each exec, and after exit and re-use.
    pub life: u32,
    /// Name: `comm` of its rows, else `process_names`, else empty.
    pub name: String,
    /// From its exec or fork if seen, else its first event, to its exit if seen, else to the end of
    /// the observed time if the trace records exits, else to its last event.
    pub alive: Interval,
    /// Whether its begin was seen (exec or fork).
    pub start_seen: bool,
    /// Whether its exit was seen.
    pub exit_seen: bool,
    /// The process that forked it, where seen.
    pub parent: Option<ProcIdx>,
    /// Its threads.
    pub threads: Vec<ThreadIdx>,
    /// The thread with most launches (smallest tid on a tie).
    pub launcher: Option<ThreadIdx>,
    /// The thread with most rows of `net_send` (smallest tid on a tie) of a process without GPU calls, where
    /// another process of its tree makes some.
    pub frontend: Option<ThreadIdx>,
    /// First and last CUDA, driver or graph call; `None` if it never touches the GPU.
    pub gpu: Option<Interval>,
    /// Start of its steady state: 30 s after its first CUDA call (at once if the recorder attached
    /// later than that, see `late`), and 5 s without capture, instantiate, compiler child, or a
    /// first-use launch of 1 ms or more. `None` if it is never reached.
    pub steady_from: Option<i64>,
    /// The process was already using CUDA when the recording began, as far as the trace can tell.
    pub late: bool,
    /// Whether the CPU limits of its cgroup and of those around it were read while it was recorded.
    pub limits_known: bool,
}

/// A thread.
#[derive(Debug, Clone)]
pub struct Thread {
    /// Its process. Threads seen only in sched rows and without a known process are processes of
    /// their own.
    pub process: ProcIdx,
    /// Thread id.
    pub tid: i64,
    /// Name, where known; else empty.
    pub name: String,
    /// Range of its lanes in [`Trace::lanes`].
    pub lanes: std::ops::Range<usize>,
    /// Whether its off-CPU time is observed.
    pub sched: Rows,
}

/// Who had the CPU while a thread waited for it: for most of a long wait where the turns on that CPU are known,
/// else who took it or had it last. Codes of [`Lane::preemptor`].
pub mod preemptor {
    /// A thread of the same process or of its process tree.
    pub const OWN: u8 = 0;
    /// A thread outside its process tree.
    pub const OTHER: u8 = 1;
    /// Nobody.
    pub const IDLE: u8 = 2;
    /// Not recorded.
    pub const UNKNOWN: u8 = 3;
}

/// Bits of [`Lane::flags`].
pub mod flag {
    /// First launch of that kernel in that process' life to return, as far as the rows show.
    pub const FIRST_USE: u8 = 1;
    /// Beside [`FIRST_USE`]: an earlier launch of the kernel may have happened and be no row.
    pub const FIRST_UNSURE: u8 = 4;
    /// A driver or graph call that lies inside a runtime call of the same thread.
    pub const NESTED: u8 = 2;
}

/// `runnable` where it is not known.
pub const UNKNOWN_TIME: i64 = i64::MIN;

/// All intervals of one op on one thread, as columns of equal length, sorted by (start, order of
/// insertion). A column that the op does not have, or that no rule needs, is empty.
#[derive(Clone, Debug)]
pub struct Lane {
    /// The thread; for derived ops, the owner as the catalogue says.
    pub thread: ThreadIdx,
    /// The operation.
    pub op: Op,
    /// Start, ns since the epoch.
    pub start: Vec<i64>,
    /// Length, ns.
    pub dur: Vec<i64>,
    /// rowid of the event minus the smallest rowid of its file; empty for derived ops.
    pub row: Vec<u32>,
    /// Bytes (I/O: sectors times 512).
    pub bytes: Vec<i64>,
    /// Direction of a copy: position in `DIRECTIONS`.
    pub direction: Vec<u8>,
    /// Bits of [`flag`]; empty means none set.
    pub flags: Vec<u8>,
    /// Return codes; empty means all 0.
    pub ret: Vec<i32>,
    /// Stream handles.
    pub stream: Vec<i64>,
    /// GPU numbers.
    pub gpu: Vec<i32>,
    /// Ranks; -1 for none.
    pub rank: Vec<i32>,
    /// cgroup ids.
    pub cgroup: Vec<i64>,
    /// sched: when the thread became runnable (its start if it was preempted), ns since the epoch,
    /// or [`UNKNOWN_TIME`]. From there to the end it waited for a CPU.
    pub runnable: Vec<i64>,
    /// sched: true where the part before `runnable` was an uninterruptible wait.
    pub uninterruptible: Vec<bool>,
    /// sched: codes of [`preemptor`].
    pub preemptor: Vec<u8>,
    /// sched: thread id of who ran before, 0 idle, -1 not known, -2 threads that are not recorded.
    pub prev_tid: Vec<i64>,
    /// Derived ops: name of the program (runs, children), request id or step label, XID message.
    pub name: Vec<String>,
    /// Derived request ops: prompt tokens, -1 not known.
    pub prompt_tokens: Vec<i64>,
    /// Derived request ops: output tokens, -1 not known.
    pub output_tokens: Vec<i64>,
    /// Derived request ops: answers asked for, -1 not known.
    pub choices: Vec<i64>,
    /// Derived request ops: log probabilities asked for with each token, -1 not known.
    pub logprobs: Vec<i64>,
    /// Derived `request.wait`: see the field `behind_heavier`; -1 not known (no sizes).
    pub behind_heavier: Vec<i64>,
    /// Derived `request.wait`: how many such requests.
    pub n_heavier: Vec<i64>,
    /// Derived XID rows: the number.
    pub xid: Vec<i64>,
    /// Derived `open_call`: the longest call of the same op by the process that returned, -1 for none.
    pub longest_returned: Vec<i64>,
    /// sched: as much of the time from `runnable` to the end as throttling can explain; empty where the
    /// cgroup of the process was not read.
    pub throttled: Vec<i64>,
}

impl Lane {
    /// An empty lane.
    pub fn new(thread: ThreadIdx, op: Op) -> Self {
        Self {
            thread,
            op,
            start: Vec::new(),
            dur: Vec::new(),
            row: Vec::new(),
            bytes: Vec::new(),
            direction: Vec::new(),
            flags: Vec::new(),
            ret: Vec::new(),
            stream: Vec::new(),
            gpu: Vec::new(),
            rank: Vec::new(),
            cgroup: Vec::new(),
            runnable: Vec::new(),
            uninterruptible: Vec::new(),
            preemptor: Vec::new(),
            prev_tid: Vec::new(),
            name: Vec::new(),
            prompt_tokens: Vec::new(),
            output_tokens: Vec::new(),
            choices: Vec::new(),
            logprobs: Vec::new(),
            behind_heavier: Vec::new(),
            n_heavier: Vec::new(),
            xid: Vec::new(),
            longest_returned: Vec::new(),
            throttled: Vec::new(),
        }
    }

    /// Number of intervals.
    pub fn len(&self) -> usize {
        self.start.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.start.is_empty()
    }

    /// The `i`-th interval.
    pub fn interval(&self, i: usize) -> Interval {
        Interval::new(self.start[i], self.start[i].saturating_add(self.dur[i]))
    }

    /// Keeps the events whose entry is true.
    pub fn retain(&mut self, keep: &[bool]) {
        fn column<T>(column: &mut Vec<T>, keep: &[bool]) {
            let mut i = 0;
            column.retain(|_| {
                i += 1;
                keep.get(i - 1).copied().unwrap_or(false)
            });
        }
        if keep.iter().all(|&k| k) {
            return;
        }
        column(&mut self.start, keep);
        column(&mut self.dur, keep);
        column(&mut self.row, keep);
        column(&mut self.bytes, keep);
        column(&mut self.direction, keep);
        column(&mut self.flags, keep);
        column(&mut self.ret, keep);
        column(&mut self.stream, keep);
        column(&mut self.gpu, keep);
        column(&mut self.rank, keep);
        column(&mut self.cgroup, keep);
        column(&mut self.runnable, keep);
        column(&mut self.uninterruptible, keep);
        column(&mut self.preemptor, keep);
        column(&mut self.prev_tid, keep);
        column(&mut self.name, keep);
        column(&mut self.prompt_tokens, keep);
        column(&mut self.output_tokens, keep);
        column(&mut self.choices, keep);
        column(&mut self.logprobs, keep);
        column(&mut self.behind_heavier, keep);
        column(&mut self.n_heavier, keep);
        column(&mut self.xid, keep);
        column(&mut self.longest_returned, keep);
        column(&mut self.throttled, keep);
    }

    /// Flag bits of the `i`-th event.
    pub fn flags_at(&self, i: usize) -> u8 {
        self.flags.get(i).copied().unwrap_or(0)
    }
}

/// A verdict stored in the file by the tool that recorded it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredChain {
    /// Index of its file.
    pub file: usize,
    /// Node, or empty.
    pub node: String,
    /// As stored.
    pub id: String,
    /// Last time it was detected.
    pub detected_at: i64,
    /// `HIGH`, `MEDIUM`, `LOW`.
    pub severity: String,
    /// One line.
    pub summary: String,
    /// Causes as stored.
    pub root_cause: String,
    /// The CUDA op it speaks of.
    pub cuda_op: String,
    /// Rows that say the same thing (old files repeat one finding every second).
    pub repeats: u64,
}

/// A row of the `truth` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// Index of its file.
    pub file: usize,
    /// `cause`, `symptom`, `healthy`, `twin`, `note`.
    pub kind: String,
    /// The rule that should name it, or must not.
    pub rule: String,
    /// Process.
    pub pid: i64,
    /// Thread.
    pub tid: i64,
    /// Where.
    pub when: Interval,
    /// A number, by kind.
    pub value: i64,
    /// In words.
    pub note: String,
}

impl Trace {
    /// The process of a lane.
    pub fn process_of(&self, lane: &Lane) -> &Process {
        &self.processes[self.threads[lane.thread.0 as usize].process.0 as usize]
    }

    /// A thread.
    pub fn thread(&self, t: ThreadIdx) -> &Thread {
        &self.threads[t.0 as usize]
    }

    /// A process.
    pub fn process(&self, p: ProcIdx) -> &Process {
        &self.processes[p.0 as usize]
    }

    /// A node.
    pub fn node(&self, n: NodeIdx) -> &Node {
        &self.nodes[n.0 as usize]
    }

    /// The lane of an op on a thread.
    pub fn lane(&self, t: ThreadIdx, op: Op) -> Option<&Lane> {
        let range = self.thread(t).lanes.clone();
        let lanes = &self.lanes[range];
        lanes.binary_search_by_key(&op, |l| l.op).ok().map(|i| &lanes[i])
    }

    /// Number of the first row of the file that a lane comes from; its rows count from there.
    pub fn first_row(&self, lane: &Lane) -> Option<u64> {
        let node = &self.node(self.process_of(lane).node).name;
        let file = self.files.iter().find(|f| f.nodes.contains(node));
        file.or(self.files.first()).map(|f| f.first_row)
    }

    /// Events in all lanes, derived ones included.
    pub fn events(&self) -> usize {
        self.lanes.iter().map(Lane::len).sum()
    }
}
