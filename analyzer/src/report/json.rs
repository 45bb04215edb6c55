//! The report for programs. Types of its own, only converted to; documented by a JSON Schema.
//!
//! Times are integers in nanoseconds (since the Unix epoch for instants), sizes are integers in
//! bytes, shares and ratios decimal numbers. Lists come in the order of the model.

use schemars::JsonSchema;
use serde::Serialize;

use super::Report;
use crate::diagnosis as model;
use crate::unit::{Dim, Interval, Num};

/// Version of this format. A field may be added without a new one; none is removed or redefined.
pub const SCHEMA_VERSION: u32 = 1;

/// One run of `ingero analyze`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "Ingero report")]
pub struct JsonReport {
    /// Version of this format: 1.
    #[schemars(extend("const" = SCHEMA_VERSION))]
    pub schema_version: u32,
    /// Who wrote it.
    pub tool: Tool,
    /// The stretch of time that was asked for; null for all of it.
    pub window: Option<Window>,
    /// What could not be served while the rest was: rule files with errors, unreadable traces.
    pub problems: Vec<JsonProblem>,
    /// The files, in the order given.
    pub traces: Vec<JsonTrace>,
    /// Every rule with its outcome, in the order given.
    pub rules: Vec<JsonRule>,
    /// Ranked, worst first.
    pub diagnoses: Vec<JsonDiagnosis>,
    /// Rules that nearly fired, nearest first.
    pub near_misses: Vec<JsonNearMiss>,
    /// Verdicts that the files hold, and what the evidence says of them.
    pub stored_verdicts: Vec<JsonStoredVerdict>,
}

/// The program that wrote a report.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Tool {
    /// `ingero`.
    pub name: String,
    /// Its version; `golden` in golden files, which outlive versions.
    pub version: String,
}

/// A stretch of time.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Window {
    /// First nanosecond, since the Unix epoch.
    pub start_ns: i64,
    /// Last nanosecond, since the Unix epoch.
    pub end_ns: i64,
}

impl From<Interval> for Window {
    fn from(i: Interval) -> Self {
        Self {
            start_ns: i.start,
            end_ns: i.end,
        }
    }
}

/// A part of the request that could not be served.
#[derive(Debug, Serialize, JsonSchema)]
pub struct JsonProblem {
    /// `rules` or `trace`.
    pub kind: String,
    /// The file.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

/// A trace file.
#[derive(Debug, Serialize, JsonSchema)]
pub struct JsonTrace {
    /// As the user gave it.
    pub path: String,
    /// Its node, where it holds exactly one with a name.
    pub node: Option<String>,
    /// All its nodes.
    pub nodes: Vec<String>,
    /// Which generation of the format.
    pub format: String,
    /// Rows of events.
    pub events: u64,
    /// First event; null without events.
    pub start_ns: Option<i64>,
    /// First start to last end.
    pub span_ns: Option<i64>,
    /// How much of what happened is in the file.
    pub coverage: Coverage,
    /// Processes that use the GPU.
    pub gpu_processes: Vec<JsonGpuProcess>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// How much of what happened is in a file.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Coverage {
    /// Which events became rows, in words.
    pub stored: String,
    /// Calls that were counted and not stored.
    pub not_stored: u64,
    /// Events lost; null where nobody counted.
    pub lost: Option<u64>,
}

/// A process that uses the GPU.
#[derive(Debug, Serialize, JsonSchema)]
pub struct JsonGpuProcess {
    /// Host.
    pub node: String,
    /// Process id.
    pub pid: i64,
    /// Name.
    pub name: String,
    /// Launches that are rows.
    pub launches: u64,
    /// Time in its steady state.
    pub steady_ns: i64,
}

/// A rule and its outcome.
#[derive(Debug, Serialize, JsonSchema)]
pub struct JsonRule {
    /// Stable id.
    pub id: String,
    /// Name.
    pub name: String,
    /// One line about it.
    pub title: String,
    /// File it came from.
    pub file: String,
    /// Outcome.
    #[schemars(extend("enum" = ["fired", "quiet", "not_applicable", "unknown"]))]
    pub status: String,
    /// Why it could not be judged; null where it was.
    pub reason: Option<String>,
    /// Keys that were judged.
    pub keys_judged: usize,
    /// Keys among them for which the trace cannot tell.
    pub keys_unknown: usize,
}

/// A diagnosis with its proof.
#[derive(Debug, Serialize, JsonSchema)]
pub struct JsonDiagnosis {
    /// From 1.
    pub rank: usize,
    /// Rule name.
    pub rule: String,
    /// Rule id.
    pub rule_id: String,
    /// One line about the rule.
    pub title: String,
    /// How bad.
    #[schemars(extend("enum" = ["info", "low", "medium", "high", "critical"]))]
    pub severity: String,
    /// 0 to 1: what the rank is made by.
    pub score: f64,
    /// 0 to 1: data quality x support x link x evidence.
    pub confidence: f64,
    /// What score and confidence are made of.
    pub factors: JsonFactors,
    /// Time lost.
    pub impact_ns: i64,
    /// Whom it concerns.
    pub key: JsonKey,
    /// How closely what the finding joins is tied: on one thread, in one process, or only on one node
    /// (requests and the GPU work of a host); null where nothing is joined.
    #[schemars(extend("enum" = ["thread", "process", "node", null]))]
    pub link: Option<String>,
    /// First witness.
    pub start_ns: i64,
    /// End of the last witness.
    pub end_ns: i64,
    /// Separate incidents merged into this one.
    pub incidents: usize,
    /// What happened, with values.
    pub message: String,
    /// The rule's documentation.
    pub explanation: String,
    /// What observation would refute it.
    pub refuted_by: String,
    /// Advice, in order.
    pub fix: Vec<String>,
    /// One entry per conjunct of the rule.
    pub evidence: Vec<JsonEvidence>,
    /// Ranks of the diagnoses that this one explains.
    pub explains: Vec<usize>,
    /// Rank of the diagnosis that explains this one.
    pub explained_by: Option<usize>,
    /// References of the rule.
    pub refs: Vec<String>,
}

/// Factors of a rank, each 0 to 1.
#[derive(Debug, Serialize, JsonSchema)]
pub struct JsonFactors {
    /// Weight of the severity.
    pub severity: f64,
    /// 1 where every row was there.
    pub data_quality: f64,
    /// 1 where there were enough samples.
    pub support: f64,
    /// Cause and symptom on the same thread 1, in the same process 0.5, on the same node 0.25; 1 where no
    /// cause is named.
    pub link: f64,
    /// 1 minus the share of shifts in time that explain as much by chance.
    pub evidence: f64,
    /// Share of the key's life that was lost.
    pub time_lost: f64,
}

/// Whom a diagnosis concerns.
#[derive(Debug, Serialize, JsonSchema)]
pub struct JsonKey {
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
    /// Further parts.
    pub more: Vec<KeyPart>,
}

/// A further part of a key.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KeyPart {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// What one conjunct of a rule saw.
#[derive(Debug, Serialize, JsonSchema)]
pub struct JsonEvidence {
    /// Where it was seen: `CUDA`, `HOST`, …
    pub layer: String,
    /// The conjunct as written.
    pub text: String,
    /// What was measured.
    pub metric: String,
    /// Its value; null where it is not known.
    pub value: Option<Quantity>,
    /// Of value and threshold: `ns`, `bytes`, `1/s`, `bytes/s`, or `1` for counts and ratios.
    pub unit: String,
    /// The relation that held.
    pub relation: String,
    /// The other side; null where there is none.
    pub threshold: Option<Quantity>,
    /// Samples behind the value.
    pub samples: u64,
    /// Witnesses in all.
    pub n_witnesses: u64,
    /// The longest of them, in time order.
    pub witnesses: Vec<JsonWitness>,
}

/// A number, or what it lies between.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Quantity {
    /// A whole number.
    Integer(i64),
    /// A number with decimals.
    Decimal(f64),
    /// Bounds.
    Bounds {
        /// No less than this; null where open.
        min: Option<Number>,
        /// No more than this; null where open.
        max: Option<Number>,
    },
}

/// A number.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Number {
    /// A whole one.
    Integer(i64),
    /// With decimals.
    Decimal(f64),
}

/// An event, or a derived interval, that a conjunct rests on.
#[derive(Debug, Serialize, JsonSchema)]
pub struct JsonWitness {
    /// Whose event it is.
    pub layer: String,
    /// Its start.
    pub start_ns: i64,
    /// Its length.
    pub dur_ns: i64,
    /// Thread id; null for what has no thread.
    pub tid: Option<i64>,
    /// Thread name, or empty.
    pub thread: String,
    /// What it is.
    pub op: String,
    /// More, in words.
    pub detail: String,
    /// rowid in `events`, where it is one row.
    pub row: Option<u64>,
}

/// A rule that nearly fired.
#[derive(Debug, Serialize, JsonSchema)]
pub struct JsonNearMiss {
    /// Rule name.
    pub rule: String,
    /// For whom.
    pub key: JsonKey,
    /// 0 to 1; 1 would have fired.
    pub nearness: f64,
    /// What was missing.
    pub reason: String,
}

/// A verdict stored in a file.
#[derive(Debug, Serialize, JsonSchema)]
pub struct JsonStoredVerdict {
    /// The file.
    pub path: String,
    /// Host, or empty.
    pub node: String,
    /// As stored.
    pub severity: String,
    /// As stored.
    pub summary: String,
    /// How often the file repeats it.
    pub repeats: u64,
    /// The operation it speaks of.
    pub op: String,
    /// Share of the time of the slowest 1 % of that operation's calls that lies in off-CPU time of
    /// the same thread; null where it cannot be measured.
    pub overlap: Option<f64>,
    /// What the rules say.
    pub ours: String,
    /// What the evidence says of it.
    #[schemars(extend("enum" = ["confirmed", "contradicted", "not proven", "cannot be judged"]))]
    pub verdict: String,
}

/// Renders the report, indented, ending with a line feed.
pub fn render(report: &Report<'_>) -> String {
    let mut text = pretty(&JsonReport::from(report));
    text.push('\n');
    text
}

/// The files of an analysis, as the report has them.
pub fn traces(analysis: &model::Analysis) -> Vec<JsonTrace> {
    analysis.traces.iter().map(JsonTrace::from).collect()
}

/// One diagnosis with its proof, as the report has it.
pub fn diagnosis(d: &model::Diagnosis, analysis: &model::Analysis) -> JsonDiagnosis {
    JsonDiagnosis::new(d, analysis)
}

/// Whom something concerns, as the report has it.
pub fn key(key: &model::KeyValues) -> JsonKey {
    JsonKey::from(key)
}

/// The JSON Schema of [`JsonReport`], indented, ending with a line feed.
pub fn schema() -> String {
    let mut text = pretty(&schemars::schema_for!(JsonReport));
    text.push('\n');
    text
}

pub(super) fn pretty(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("plain data: string keys, no failing Serialize")
}

fn share(thousandths: u32) -> f64 {
    f64::from(thousandths) / 1000.0
}

fn unit(dim: Dim) -> String {
    match dim {
        Dim::NONE => "1".to_owned(),
        Dim::TIME => "ns".to_owned(),
        Dim::BYTES => "bytes".to_owned(),
        Dim::RATE => "1/s".to_owned(),
        Dim::THROUGHPUT => "bytes/s".to_owned(),
        Dim { time, bytes } => format!("ns^{time} bytes^{bytes}"),
    }
}

fn number(n: Num, dim: Dim) -> Number {
    // Rates are per nanosecond inside, and nobody reads those.
    let per_second = matches!(dim, Dim::RATE | Dim::THROUGHPUT);
    let n = if per_second {
        n.times(Num::int(1_000_000_000)).unwrap_or(n)
    } else {
        n
    };
    match i64::try_from(n.numer()) {
        Ok(whole) if n.denom() == 1 => Number::Integer(whole),
        _ => Number::Decimal(n.to_f64()),
    }
}

pub(super) fn quantity(value: model::Measured, dim: Dim) -> Option<Quantity> {
    match value {
        model::Measured::Exact(n) => Some(match number(n, dim) {
            Number::Integer(i) => Quantity::Integer(i),
            Number::Decimal(d) => Quantity::Decimal(d),
        }),
        model::Measured::Between(None, None) | model::Measured::Unknown => None,
        model::Measured::Between(min, max) => Some(Quantity::Bounds {
            min: min.map(|n| number(n, dim)),
            max: max.map(|n| number(n, dim)),
        }),
    }
}

impl From<&Report<'_>> for JsonReport {
    fn from(r: &Report<'_>) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            tool: Tool::new(r),
            window: r.window.map(Window::from),
            problems: r.problems.iter().map(JsonProblem::from).collect(),
            traces: r.analysis.traces.iter().map(JsonTrace::from).collect(),
            rules: r.analysis.rules.iter().map(JsonRule::from).collect(),
            diagnoses: r
                .analysis
                .diagnoses
                .iter()
                .map(|d| JsonDiagnosis::new(d, r.analysis))
                .collect(),
            near_misses: r.analysis.near_misses.iter().map(JsonNearMiss::from).collect(),
            stored_verdicts: r.analysis.stored.iter().map(JsonStoredVerdict::from).collect(),
        }
    }
}

impl Tool {
    pub(super) fn new(r: &Report<'_>) -> Self {
        Self {
            name: "ingero".to_owned(),
            version: r.version.to_owned(),
        }
    }
}

impl From<&super::Problem> for JsonProblem {
    fn from(p: &super::Problem) -> Self {
        Self {
            kind: p.kind.name().to_owned(),
            path: p.path.clone(),
            message: p.message.clone(),
        }
    }
}

impl From<&model::TraceSummary> for JsonTrace {
    fn from(t: &model::TraceSummary) -> Self {
        let node = match t.nodes.as_slice() {
            [one] if !one.is_empty() => Some(one.clone()),
            _ => None,
        };
        Self {
            path: t.path.clone(),
            node,
            nodes: t.nodes.clone(),
            format: t.generation.clone(),
            events: t.events,
            start_ns: t.observed.map(|i| i.start),
            span_ns: t.observed.map(Interval::len),
            coverage: Coverage {
                stored: t.stored.clone(),
                not_stored: t.not_stored,
                lost: t.lost,
            },
            gpu_processes: t
                .gpu_processes
                .iter()
                .map(|p| JsonGpuProcess {
                    node: p.node.clone(),
                    pid: p.pid,
                    name: p.name.clone(),
                    launches: p.launches,
                    steady_ns: p.steady_ns,
                })
                .collect(),
            notes: t.notes.clone(),
        }
    }
}

impl From<&model::RuleResult> for JsonRule {
    fn from(r: &model::RuleResult) -> Self {
        Self {
            id: r.id.clone(),
            name: r.name.clone(),
            title: r.title.clone(),
            file: r.file.clone(),
            status: r.status.name().to_owned(),
            reason: (!r.reason.is_empty()).then(|| r.reason.clone()),
            keys_judged: r.keys.0,
            keys_unknown: r.keys.1,
        }
    }
}

impl JsonDiagnosis {
    pub(super) fn new(d: &model::Diagnosis, all: &model::Analysis) -> Self {
        let rank = |i: &usize| all.diagnoses.get(*i).map(|d| d.rank);
        Self {
            rank: d.rank,
            rule: d.rule.clone(),
            rule_id: d.rule_id.clone(),
            title: d.title.clone(),
            severity: d.severity.name().to_owned(),
            score: share(d.score),
            confidence: share(d.confidence),
            factors: JsonFactors {
                severity: share(d.factors.severity),
                data_quality: share(d.factors.data_quality),
                support: share(d.factors.support),
                link: share(d.factors.link),
                evidence: share(d.factors.evidence),
                time_lost: share(d.factors.time_lost),
            },
            impact_ns: d.impact_ns,
            key: JsonKey::from(&d.key),
            link: d.link.map(|l| l.name().to_owned()),
            start_ns: d.when.start,
            end_ns: d.when.end,
            incidents: d.incidents,
            message: d.message.clone(),
            explanation: d.explanation.clone(),
            refuted_by: d.refuted_by.clone(),
            fix: d.fixes.clone(),
            evidence: d.evidence.iter().map(JsonEvidence::from).collect(),
            explains: d.explains.iter().filter_map(rank).collect(),
            explained_by: d.explained_by.as_ref().and_then(rank),
            refs: d.refs.clone(),
        }
    }
}

impl From<&model::KeyValues> for JsonKey {
    fn from(k: &model::KeyValues) -> Self {
        Self {
            node: k.node.clone(),
            pid: k.pid,
            process: k.process.clone(),
            tid: k.tid,
            op: k.op.clone(),
            more: k
                .more
                .iter()
                .map(|(name, value)| KeyPart {
                    name: name.clone(),
                    value: value.clone(),
                })
                .collect(),
        }
    }
}

impl From<&model::Evidence> for JsonEvidence {
    fn from(e: &model::Evidence) -> Self {
        Self {
            layer: e.layer.to_owned(),
            text: e.text.clone(),
            metric: e.metric.clone(),
            value: quantity(e.value, e.dim),
            unit: unit(e.dim),
            relation: e.relation.clone(),
            threshold: e.threshold.and_then(|t| quantity(t, e.dim)),
            samples: e.samples,
            n_witnesses: e.n_witnesses,
            witnesses: e.witnesses.iter().map(JsonWitness::from).collect(),
        }
    }
}

impl From<&model::Witness> for JsonWitness {
    fn from(w: &model::Witness) -> Self {
        Self {
            layer: w.layer.to_owned(),
            start_ns: w.when.start,
            dur_ns: w.when.len(),
            tid: w.tid,
            thread: w.thread.clone(),
            op: w.op.clone(),
            detail: w.detail.clone(),
            row: w.row,
        }
    }
}

impl From<&model::NearMiss> for JsonNearMiss {
    fn from(m: &model::NearMiss) -> Self {
        Self {
            rule: m.rule.clone(),
            key: JsonKey::from(&m.key),
            nearness: share(m.nearness),
            reason: m.reason.clone(),
        }
    }
}

impl From<&model::StoredVerdict> for JsonStoredVerdict {
    fn from(v: &model::StoredVerdict) -> Self {
        Self {
            path: v.path.clone(),
            node: v.node.clone(),
            severity: v.severity.clone(),
            summary: v.summary.clone(),
            repeats: v.repeats,
            op: v.op.clone(),
            overlap: v.overlap.map(share),
            ours: v.ours.clone(),
            verdict: v.verdict.to_owned(),
        }
    }
}
