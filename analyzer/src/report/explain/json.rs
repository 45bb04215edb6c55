//! The explanation for programs. Shares its types with the report of `analyze`.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Chain, Parts};
use crate::diagnosis::Measured;
use crate::report::json::{
    JsonDiagnosis, JsonProblem, JsonStoredVerdict, JsonTrace, JsonWitness, Quantity, Tool, Window, pretty, quantity,
};
use crate::report::{Report, words};
use crate::unit::Dim;
use crate::view;

/// Version of this format. A field may be added without a new one; none is removed or redefined.
const SCHEMA_VERSION: u32 = 1;

/// One run of `ingero explain`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "Ingero explanation")]
struct JsonExplanation {
    /// Version of this format: 1.
    #[schemars(extend("const" = SCHEMA_VERSION))]
    schema_version: u32,
    /// Who wrote it.
    tool: Tool,
    /// The stretch of time that was asked for; null for all of it.
    window: Option<Window>,
    /// What could not be served while the rest was.
    problems: Vec<JsonProblem>,
    /// The files, in the order given.
    traces: Vec<JsonTrace>,
    /// Causal chains, worst first; null where not asked for.
    chains: Option<Vec<JsonChain>>,
    /// What every process did; null where not asked for.
    processes: Option<Vec<JsonProcess>>,
    /// Verdicts that the files hold, and what the evidence says of them; null where not asked for.
    stored_verdicts: Option<Vec<JsonStoredVerdict>>,
}

/// A finding that no other explains, and what follows from it.
#[derive(Debug, Serialize, JsonSchema)]
struct JsonChain {
    /// Of its root.
    #[schemars(extend("enum" = ["info", "low", "medium", "high", "critical"]))]
    severity: String,
    /// The finding at its beginning.
    root: JsonDiagnosis,
    /// What it explains, in the order of a walk.
    effects: Vec<JsonDiagnosis>,
    /// The events that all of these rest on, each once, by time.
    timeline: Vec<JsonWitness>,
}

/// What a process did.
#[derive(Debug, Serialize, JsonSchema)]
struct JsonProcess {
    /// Host; empty where the file has no name for it.
    node: String,
    /// Process id.
    pid: i64,
    /// Process name, or empty.
    name: String,
    /// Begin of its life within the observed time.
    start_ns: i64,
    /// End of its life within the observed time.
    end_ns: i64,
    /// Whether it made CUDA, driver or graph calls.
    uses_gpu: bool,
    /// By operation.
    ops: Vec<JsonOp>,
    /// Calls that did not return, by their start; they are in no count of calls.
    unfinished: Vec<JsonUnfinished>,
    /// Most call time first.
    threads: Vec<JsonThread>,
}

/// A call that did not return.
#[derive(Debug, Serialize, JsonSchema)]
struct JsonUnfinished {
    /// The API name.
    op: String,
    /// Thread id.
    tid: i64,
    /// When it began.
    start_ns: i64,
    /// When it was last seen open.
    seen_ns: i64,
}

/// What a thread did.
#[derive(Debug, Serialize, JsonSchema)]
struct JsonThread {
    /// Thread id.
    tid: i64,
    /// Thread name, or empty.
    name: String,
    /// By operation. Calls that were not stored are counted by process, so these are bounds where
    /// rows were dropped.
    ops: Vec<JsonOp>,
    /// Time off the CPU; null where it is not in the file.
    off_cpu: Option<JsonOffCpu>,
}

/// Calls of an operation. A value is a number, bounds, or null where it is not known.
#[derive(Debug, Serialize, JsonSchema)]
struct JsonOp {
    /// `CUDA`, `DRIVER`, `HOST`, …
    layer: String,
    /// The API name.
    op: String,
    /// Rows in the file.
    stored: u64,
    /// Calls, stored or not.
    calls: Option<Quantity>,
    /// Summed duration.
    total_ns: Option<Quantity>,
    /// Mean duration.
    avg_ns: Option<Quantity>,
    /// Median.
    p50_ns: Option<Quantity>,
    /// 99th percentile.
    p99_ns: Option<Quantity>,
    /// Longest.
    max_ns: Option<Quantity>,
    /// Bytes moved or allocated; null for operations without a size.
    bytes: Option<Quantity>,
    /// Of the stored calls, those inside a runtime call of the same thread: the time of that call holds theirs.
    inside: u64,
    /// Whether it allocates memory.
    allocates: bool,
    /// Why values are not exact; null where they are.
    reason: Option<String>,
}

/// Time off the CPU.
#[derive(Debug, Serialize, JsonSchema)]
struct JsonOffCpu {
    /// How often the thread left the CPU.
    switches: Option<Quantity>,
    /// How long it was away.
    total_ns: Option<Quantity>,
    /// Part of the stored stints: ready to run, waiting for a CPU.
    run_queue_ns: i64,
    /// Part of the stored stints: asleep by its own will.
    sleep_ns: i64,
    /// Part of the stored stints: waiting for a device.
    io_wait_ns: i64,
    /// Part of the stored stints: the file does not say.
    unknown_ns: i64,
    /// Why values are not exact; null where they are.
    reason: Option<String>,
}

/// Renders the explanation, indented, ending with a line feed.
pub fn render(report: &Report<'_>, parts: &Parts<'_>) -> String {
    let a = report.analysis;
    let explanation = JsonExplanation {
        schema_version: SCHEMA_VERSION,
        tool: Tool::new(report),
        window: report.window.map(Window::from),
        problems: report.problems.iter().map(JsonProblem::from).collect(),
        traces: a.traces.iter().map(JsonTrace::from).collect(),
        chains: parts.chains.then(|| {
            let chain = |c: Chain<'_>| JsonChain {
                severity: c.root.severity.name().to_owned(),
                root: JsonDiagnosis::new(c.root, a),
                effects: c.effects.iter().map(|(_, d)| JsonDiagnosis::new(d, a)).collect(),
                timeline: words::timeline_of(&c.members())
                    .iter()
                    .map(|(_, w)| JsonWitness::from(*w))
                    .collect(),
            };
            Chain::all(a).into_iter().map(chain).collect()
        }),
        processes: parts.processes.map(|all| all.iter().map(JsonProcess::from).collect()),
        stored_verdicts: parts
            .stored
            .then(|| a.stored.iter().map(JsonStoredVerdict::from).collect()),
    };
    let mut text = pretty(&explanation);
    text.push('\n');
    text
}

/// The JSON Schema of the explanation, indented, ending with a line feed.
pub fn schema() -> String {
    let mut text = pretty(&schemars::schema_for!(JsonExplanation));
    text.push('\n');
    text
}

fn reason(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// What one process did, as the explanation has it.
pub fn process(p: &view::ProcessProfile) -> impl Serialize + use<> {
    JsonProcess::from(p)
}

impl From<&view::ProcessProfile> for JsonProcess {
    fn from(p: &view::ProcessProfile) -> Self {
        Self {
            node: p.node.clone(),
            pid: p.pid,
            name: p.name.clone(),
            start_ns: p.alive.start,
            end_ns: p.alive.end,
            uses_gpu: p.uses_gpu,
            ops: p.ops.iter().map(JsonOp::from).collect(),
            unfinished: p.unfinished.iter().map(JsonUnfinished::from).collect(),
            threads: p.threads.iter().map(JsonThread::from).collect(),
        }
    }
}

impl From<&view::Unfinished> for JsonUnfinished {
    fn from(u: &view::Unfinished) -> Self {
        Self {
            op: u.op.clone(),
            tid: u.tid,
            start_ns: u.when.start,
            seen_ns: u.when.end,
        }
    }
}

impl From<&view::ThreadProfile> for JsonThread {
    fn from(t: &view::ThreadProfile) -> Self {
        Self {
            tid: t.tid,
            name: t.name.clone(),
            ops: t.ops.iter().map(JsonOp::from).collect(),
            off_cpu: t.off_cpu.as_ref().map(|o| JsonOffCpu {
                switches: quantity(o.switches, Dim::NONE),
                total_ns: quantity(o.total, Dim::TIME),
                run_queue_ns: o.parts.runq,
                sleep_ns: o.parts.sleep,
                io_wait_ns: o.parts.io_wait,
                unknown_ns: o.parts.unknown,
                reason: reason(&o.reason),
            }),
        }
    }
}

impl From<&view::OpProfile> for JsonOp {
    fn from(o: &view::OpProfile) -> Self {
        let time = |m: Measured| quantity(m, Dim::TIME);
        Self {
            layer: o.layer.to_owned(),
            op: o.op.to_owned(),
            stored: o.stored,
            calls: quantity(o.calls, Dim::NONE),
            total_ns: time(o.total),
            avg_ns: time(o.avg),
            p50_ns: time(o.p50),
            p99_ns: time(o.p99),
            max_ns: time(o.max),
            bytes: o.bytes.and_then(|b| quantity(b, Dim::BYTES)),
            inside: o.inside,
            allocates: o.allocates,
            reason: reason(&o.reason),
        }
    }
}
