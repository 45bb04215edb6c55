//! The result of a run: what every rule came to, the diagnoses with their proof, and what could
//! not be judged. Reports render this and compute nothing.

use crate::unit::{Dim, Interval, Num, Style};

/// How bad a diagnosis is. The order is the order of badness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing, no harm shown.
    Info,
    /// Little harm.
    Low,
    /// Harm that users may notice. The default.
    #[default]
    Medium,
    /// Harm that users notice.
    High,
    /// The service is not doing its job.
    Critical,
}

impl Severity {
    /// All, from harmless to worst, with their names in rules.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Info, "info"),
        (Self::Low, "low"),
        (Self::Medium, "medium"),
        (Self::High, "high"),
        (Self::Critical, "critical"),
    ];

    /// By name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, n)| *n == name).map(|(s, _)| s)
    }

    /// The name in rules.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(s, _)| *s == self).map_or("", |(_, n)| n)
    }
}

/// Everything one run found.
#[derive(Clone, Debug, Default)]
pub struct Analysis {
    /// The files, in the order given.
    pub traces: Vec<TraceSummary>,
    /// What was recorded at a time, by time; files without events are in none.
    pub recordings: Vec<Recording>,
    /// Every rule, in the order given.
    pub rules: Vec<RuleResult>,
    /// Ranked, worst first; folded ones (`explained_by`) directly after the one that explains them.
    pub diagnoses: Vec<Diagnosis>,
    /// Rules that nearly fired, nearest first.
    pub near_misses: Vec<NearMiss>,
    /// Verdicts stored in the files beside what the evidence says.
    pub stored: Vec<StoredVerdict>,
}

/// Nodes that were recorded at overlapping times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// Their names.
    pub nodes: Vec<String>,
    /// First start to last end of all its events. Offsets count from its start.
    pub whole: Interval,
    /// What of it was judged; `None` where the requested window holds none of it.
    pub judged: Option<Interval>,
}

/// One file.
#[derive(Clone, Debug, Default)]
pub struct TraceSummary {
    /// As the user gave it.
    pub path: String,
    /// Nodes in it.
    pub nodes: Vec<String>,
    /// `0.8`, `0.10 + ours`, …
    pub generation: String,
    /// Rows of `events`.
    pub events: u64,
    /// Observed time.
    pub observed: Option<Interval>,
    /// One line on what became rows: `every event`, `selected rows: …`.
    pub stored: String,
    /// Calls counted but not stored.
    pub not_stored: u64,
    /// Events lost, where counted.
    pub lost: Option<u64>,
    /// GPU processes: (pid, name, first CUDA call seen, steady time in ns).
    pub gpu_processes: Vec<GpuProcess>,
    /// What a reader should know, one sentence each.
    pub notes: Vec<String>,
    /// Which reader ran and why (for `--verbose`).
    pub reader: String,
}

/// A process that uses the GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GpuProcess {
    /// Node.
    pub node: String,
    /// Process id.
    pub pid: i64,
    /// Name.
    pub name: String,
    /// Launches in rows.
    pub launches: u64,
    /// Steady time, ns.
    pub steady_ns: i64,
}

/// What a rule came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// At least one diagnosis.
    Fired,
    /// Everything it needs was seen, and its condition is false.
    Quiet,
    /// A source, operation or column that it needs is not in the trace.
    NotApplicable,
    /// It was evaluated and the trace cannot tell.
    Unknown,
}

impl Status {
    /// As in JSON: `fired`, `quiet`, `not_applicable`, `unknown`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::Quiet => "quiet",
            Self::NotApplicable => "not_applicable",
            Self::Unknown => "unknown",
        }
    }
}

/// A rule and its outcome.
#[derive(Clone, Debug)]
pub struct RuleResult {
    /// Stable id.
    pub id: String,
    /// Name.
    pub name: String,
    /// One line.
    pub title: String,
    /// File it came from.
    pub file: String,
    /// Outcome.
    pub status: Status,
    /// Why, for the last two; empty otherwise.
    pub reason: String,
    /// How many keys were judged, and for how many the answer was unknown.
    pub keys: (usize, usize),
}

/// Whose time proves the diagnosis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Link {
    /// Cause and symptom lie on the same thread.
    Thread,
    /// On different threads of one process.
    Process,
    /// Somewhere on the same node.
    Node,
}

impl Link {
    /// As in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Thread => "thread",
            Self::Process => "process",
            Self::Node => "node",
        }
    }
}

/// Every factor of the rank. Shares are in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Factors {
    /// Weight of the severity.
    pub severity: u32,
    /// Were all rows there (1000), selected (less), lost some (less still)?
    pub data_quality: u32,
    /// Enough samples for the statistics used?
    pub support: u32,
    /// Cause and symptom on the same thread 1000, in the same process 500, on the same node 250; 1000 where no
    /// cause is named.
    pub link: u32,
    /// 1000 minus the share of 256 circular shifts that explain as much by chance; 1000 where
    /// nothing is joined in time.
    pub evidence: u32,
    /// Share of the key's life that was lost.
    pub time_lost: u32,
}

/// One diagnosis.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// From 1.
    pub rank: usize,
    /// Rule name.
    pub rule: String,
    /// Rule id.
    pub rule_id: String,
    /// One line about the rule.
    pub title: String,
    /// How bad.
    pub severity: Severity,
    /// Thousandths: severity x confidence x (a half + a half x time lost), see `factors`.
    pub score: u32,
    /// Thousandths: data quality x support x link x evidence.
    pub confidence: u32,
    /// What the score and the confidence are made of.
    pub factors: Factors,
    /// Time lost, ns.
    pub impact_ns: i64,
    /// Whom it concerns.
    pub key: KeyValues,
    /// How closely what the finding joins is tied: on one thread, in one process, or only on one node
    /// (requests and the GPU work of a host); `None` where nothing is joined.
    pub link: Option<Link>,
    /// From the first to the last witness.
    pub when: Interval,
    /// How many separate incidents were merged into this one.
    pub incidents: usize,
    /// The rule's message, values filled in.
    pub message: String,
    /// The rule's documentation.
    pub explanation: String,
    /// What observation would refute it.
    pub refuted_by: String,
    /// Ordered advice.
    pub fixes: Vec<String>,
    /// One entry per conjunct.
    pub evidence: Vec<Evidence>,
    /// Positions in [`Analysis::diagnoses`] of those folded under this one.
    pub explains: Vec<usize>,
    /// Position of the one that explains it.
    pub explained_by: Option<usize>,
    /// References of the rule.
    pub refs: Vec<String>,
}

/// Whom a diagnosis concerns. Fields outside the rule's key are filled where they follow from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyValues {
    /// Host; empty where the file has no name for it.
    pub node: String,
    /// Process id.
    pub pid: Option<i64>,
    /// Process name.
    pub process: Option<String>,
    /// Thread id.
    pub tid: Option<i64>,
    /// Operation.
    pub op: Option<String>,
    /// Further parts of the key: (name, value).
    pub more: Vec<(String, String)>,
}

impl KeyValues {
    /// `python[4211] cudaMalloc on gpu-3`: whom it concerns, in one phrase.
    pub fn words(&self, with_node: bool) -> String {
        let mut parts = Vec::new();
        match (&self.process, self.pid) {
            (Some(name), Some(pid)) => parts.push(format!("{name}[{pid}]")),
            (Some(name), None) => parts.push(name.clone()),
            (None, Some(pid)) => parts.push(format!("pid {pid}")),
            (None, None) => {}
        }
        // The main thread has the number of its process.
        if let Some(tid) = self.tid.filter(|t| self.pid != Some(*t)) {
            parts.push(format!("tid {tid}"));
        }
        parts.extend(self.op.clone());
        parts.extend(self.more.iter().map(|(name, value)| format!("{name} {value}")));
        if !self.node.is_empty() && (with_node || parts.is_empty()) {
            parts.push(if parts.is_empty() {
                self.node.clone()
            } else {
                format!("on {}", self.node)
            });
        }
        if parts.is_empty() {
            "the whole trace".to_owned()
        } else {
            parts.join(" ")
        }
    }
}

/// What one conjunct of a rule saw.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// `CUDA`, `HOST`, `IO`, `REQUEST`, `SYSTEM`, …
    pub layer: &'static str,
    /// The conjunct as written.
    pub text: String,
    /// The measured side.
    pub metric: String,
    /// Its value or bounds.
    pub value: Measured,
    /// Dimension of both sides.
    pub dim: Dim,
    /// How to print them.
    pub style: Style,
    /// The relation: `>`, `>=`, `exists`, …
    pub relation: String,
    /// The other side, if any.
    pub threshold: Option<Measured>,
    /// Samples behind the value.
    pub samples: u64,
    /// How many witnesses there were in all.
    pub n_witnesses: u64,
    /// Up to [`MAX_WITNESSES`] of them, the longest, in time order.
    pub witnesses: Vec<Witness>,
}

/// Witnesses shown per conjunct.
pub const MAX_WITNESSES: usize = 5;

/// A value that the trace determines, or bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measured {
    /// Exact.
    Exact(Num),
    /// Between these, either end open where `None`.
    Between(Option<Num>, Option<Num>),
    /// Not known at all.
    Unknown,
}

/// An event (or a derived interval) that a conjunct rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// `CUDA`, `HOST`, `REQUEST`, …: whose event it is, which need not be the layer of the conjunct.
    pub layer: &'static str,
    /// Where.
    pub when: Interval,
    /// Thread id; `None` for what has no thread.
    pub tid: Option<i64>,
    /// Thread name, or empty.
    pub thread: String,
    /// What: an op, `off_cpu`, `gap`, …
    pub op: String,
    /// More, in words: `64 MiB h2d`, `first use`, `ran before: stress`; may be empty.
    pub detail: String,
    /// rowid in `events`, where it is one row.
    pub row: Option<u64>,
}

/// A rule that nearly fired.
#[derive(Clone, Debug)]
pub struct NearMiss {
    /// Rule name.
    pub rule: String,
    /// For whom.
    pub key: KeyValues,
    /// How near: thousandths of the way for the conjunct that failed (1000 would have fired).
    pub nearness: u32,
    /// `cuda.p99 = 4.1x p50 (needs > 5x)`.
    pub reason: String,
}

/// A verdict stored in a file, and what the evidence says of it.
#[derive(Clone, Debug)]
pub struct StoredVerdict {
    /// File.
    pub path: String,
    /// Node, or empty.
    pub node: String,
    /// Severity as stored.
    pub severity: String,
    /// Summary as stored.
    pub summary: String,
    /// How often the file repeats it.
    pub repeats: u64,
    /// The op it blames or names.
    pub op: String,
    /// Share (thousandths) of the time of the slowest 1 % of that op's calls that lies inside
    /// off-CPU time of the same thread; `None` where it cannot be measured.
    pub overlap: Option<u32>,
    /// What our rules say, one line.
    pub ours: String,
    /// `confirmed`, `contradicted`, `not proven`, `cannot be judged`.
    pub verdict: &'static str,
}
