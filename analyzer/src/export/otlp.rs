//! OpenTelemetry traces as OTLP JSON, one `ExportTraceServiceRequest` a line, as OTLP file exporters
//! write and collectors read them.
//!
//! Each process is a resource with one trace: a root span for its life, its calls below, each inside
//! the call that contains it, and the diagnoses that concern it as events of the root. Each request
//! is a trace of its own, with its wait for the first token as a child, linked to its process. Ids
//! follow from what they stand for, so equal traces get equal ids.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::layout::{Step, lay_out};
use super::{is_call, process_name, states};
use crate::diagnosis::{Analysis, Diagnosis};
use crate::trace::catalogue::Source;
use crate::trace::row::{COLUMNS, Get};
use crate::trace::{Lane, ProcIdx, Process, ThreadIdx, Trace};
use crate::unit::Interval;

/// Spans of a line: what a receiver gets at a time.
const BATCH: usize = 500;
/// `SPAN_KIND_INTERNAL` and `SPAN_KIND_SERVER`.
const INTERNAL: u8 = 1;
const SERVER: u8 = 2;

/// Columns that a span says already, by its resource, name or times.
const SAID: [&str; 8] = ["node", "pid", "process", "op", "start_ns", "end_ns", "dur_ns", "name"];

/// Writes a trace and what was found in it.
///
/// # Errors
/// Whatever writing to `out` gives.
pub fn write(trace: &Trace, analysis: &Analysis, mut out: impl Write) -> io::Result<()> {
    for (p, process) in (0..).zip(&trace.processes) {
        let index = ProcIdx(p);
        let mut batch = Batch {
            resource: resource(trace, process),
            spans: Vec::new(),
            out: &mut out,
        };
        let root = Ids::of(&[1, u64::from(p)]);
        let concerns: Vec<&Diagnosis> = analysis
            .diagnoses
            .iter()
            .filter(|d| concerns(trace, index, d))
            .collect();
        // A window crops the life of a process, not the events that reach into it.
        let lanes = process
            .threads
            .iter()
            .flat_map(|&t| &trace.lanes[trace.thread(t).lanes.clone()]);
        let events = lanes
            .flat_map(|l| (0..l.len()).map(|i| l.interval(i)))
            .reduce(Interval::hull);
        let life = events.map_or(process.alive, |e| process.alive.hull(e));
        if process.pid != 0 || !concerns.is_empty() || events.is_some() {
            let mut span = span(&root, None, &process_name(trace, process), INTERNAL, life, Map::new());
            span["events"] = concerns.iter().map(|d| event(d)).collect();
            batch.push(span)?;
        }
        for &thread in &process.threads {
            requests(trace, thread, &root, &mut batch)?;
            calls(trace, thread, &root, &mut batch)?;
        }
        batch.flush()?;
    }
    out.flush()
}

/// A diagnosis goes to the life of its process in which it begins, one without a process to the span
/// of its host.
fn concerns(trace: &Trace, index: ProcIdx, d: &Diagnosis) -> bool {
    let of = |p: &Process| {
        let same = trace.node(p.node).name == d.key.node || trace.nodes.len() == 1;
        same && p.pid == d.key.pid.unwrap_or(0)
    };
    let begins = |p: &&Process| of(p) && p.alive.contains(d.when.start);
    let lives = || trace.processes.iter().filter(|p| of(p));
    let own = lives().find(begins).or_else(|| lives().next_back());
    own.is_some_and(|p| std::ptr::eq(p, trace.process(index)))
}

/// Trace and span id.
#[derive(Clone, Copy)]
struct Ids {
    trace: [u64; 2],
    span: u64,
}

impl Ids {
    /// Ids of something that these numbers tell apart from everything else.
    fn of(parts: &[u64]) -> Self {
        let hash = |seed: u64| parts.iter().fold(seed, |h, &p| mix(h ^ mix(p)));
        Self {
            trace: [hash(1), hash(2)],
            span: hash(3).max(1),
        }
    }

    /// A span of the same trace.
    fn child(&self, parts: &[u64]) -> Self {
        Self {
            trace: self.trace,
            span: Self::of(parts).span,
        }
    }

    fn trace_hex(&self) -> String {
        format!("{:016x}{:016x}", self.trace[0], self.trace[1])
    }

    fn span_hex(&self) -> String {
        format!("{:016x}", self.span)
    }
}

/// The finaliser of SplitMix64: every bit of the input moves every bit of the output.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

struct Batch<'a, W> {
    resource: Value,
    spans: Vec<Value>,
    out: &'a mut W,
}

impl<W: Write> Batch<'_, W> {
    fn push(&mut self, span: Value) -> io::Result<()> {
        self.spans.push(span);
        if self.spans.len() == BATCH {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.spans.is_empty() {
            return Ok(());
        }
        let spans = std::mem::take(&mut self.spans);
        let line = json!({ "resourceSpans": [{
            "resource": self.resource,
            "scopeSpans": [{
                "scope": { "name": "ingero", "version": env!("CARGO_PKG_VERSION") },
                "spans": spans,
            }],
        }]});
        serde_json::to_writer(&mut *self.out, &line)?;
        self.out.write_all(b"\n")
    }
}

fn attribute(key: &str, value: Value) -> Value {
    let value = match value {
        Value::String(s) => json!({ "stringValue": s }),
        Value::Bool(b) => json!({ "boolValue": b }),
        // OTLP writes 64-bit integers as texts.
        Value::Number(n) if n.is_f64() => json!({ "doubleValue": n }),
        other => json!({ "intValue": other.to_string() }),
    };
    json!({ "key": key, "value": value })
}

fn attributes(all: Map<String, Value>) -> Vec<Value> {
    all.into_iter().map(|(k, v)| attribute(&k, v)).collect()
}

fn resource(trace: &Trace, process: &Process) -> Value {
    let mut all = Map::new();
    let node = &trace.node(process.node).name;
    all.insert("service.name".into(), json!(process_name(trace, process)));
    if !node.is_empty() {
        all.insert("host.name".into(), json!(node));
    }
    if process.pid != 0 {
        all.insert("process.pid".into(), json!(process.pid));
    }
    json!({ "attributes": attributes(all) })
}

fn nanos(at: i64) -> Value {
    json!(at.max(0).to_string())
}

fn span(ids: &Ids, parent: Option<&Ids>, name: &str, kind: u8, when: Interval, attrs: Map<String, Value>) -> Value {
    json!({
        "traceId": ids.trace_hex(),
        "spanId": ids.span_hex(),
        "parentSpanId": parent.map_or_else(String::new, Ids::span_hex),
        "name": name,
        "kind": kind,
        "startTimeUnixNano": nanos(when.start),
        "endTimeUnixNano": nanos(when.end),
        "attributes": attributes(attrs),
    })
}

fn event(d: &Diagnosis) -> Value {
    let mut all = Map::new();
    for (key, value) in [
        ("ingero.rank", json!(d.rank)),
        ("ingero.severity", json!(d.severity.name())),
        ("ingero.message", json!(d.message)),
        ("ingero.confidence", json!(f64::from(d.confidence) / 1000.0)),
        ("ingero.lost_ns", json!(d.impact_ns)),
        ("ingero.end_ns", json!(d.when.end)),
        ("ingero.fix", json!(d.fixes.join("\n"))),
        ("ingero.refuted_by", json!(d.refuted_by)),
    ] {
        all.insert(key.into(), value);
    }
    json!({ "timeUnixNano": nanos(d.when.start), "name": d.rule, "attributes": attributes(all) })
}

/// What is known of an event beside its place, name and times.
fn known(trace: &Trace, lane: &Lane, i: usize) -> Map<String, Value> {
    let mut all = Map::new();
    for c in COLUMNS.iter().filter(|c| !SAID.contains(&c.name)) {
        let value = match c.get {
            Get::Int(get) => get(trace, lane, i)
                .filter(|v| c.name != "ret" || *v != 0)
                .map(|v| json!(v)),
            Get::Flag(get) => get(trace, lane, i).filter(|v| *v).map(|v| json!(v)),
            Get::Text(get) => get(trace, lane, i).map(|v| json!(v)),
        };
        if let Some(value) = value {
            all.insert(format!("ingero.{}", c.name), value);
        }
    }
    all
}

fn requests<W: Write>(trace: &Trace, thread: ThreadIdx, process: &Ids, batch: &mut Batch<'_, W>) -> io::Result<()> {
    let lanes = &trace.lanes[trace.thread(thread).lanes.clone()];
    let of = |name: &str| {
        lanes
            .iter()
            .find(|l| l.op.def().source == Source::Request && l.op.def().name == name)
    };
    let waits = of("wait");
    let Some(open) = of("open") else { return Ok(()) };
    for i in 0..open.len() {
        let ids = Ids::of(&[2, thread.0.into(), i as u64]);
        let name = open.name.get(i).map_or("", String::as_str);
        let mut one = span(&ids, None, "request", SERVER, open.interval(i), known(trace, open, i));
        if let Some(attributes) = one["attributes"].as_array_mut() {
            attributes.push(attribute("request_id", json!(name)));
        }
        one["links"] = json!([{ "traceId": process.trace_hex(), "spanId": process.span_hex() }]);
        batch.push(one)?;
        let wait = waits.and_then(|w| {
            let from = w.start.partition_point(|&s| s < open.start[i]);
            let mut same = (from..w.len()).take_while(|&k| w.start[k] == open.start[i]);
            same.find(|&k| w.name.get(k).map(String::as_str) == Some(name))
                .map(|k| (w, k))
        });
        if let Some((w, k)) = wait {
            let child = ids.child(&[3, thread.0.into(), k as u64]);
            batch.push(span(
                &child,
                Some(&ids),
                "wait for first token",
                INTERNAL,
                w.interval(k),
                Map::new(),
            ))?;
        }
    }
    Ok(())
}

/// Calls, off-CPU stints with their states and block I/O of a thread, each below what contains it.
fn calls<W: Write>(trace: &Trace, thread: ThreadIdx, root: &Ids, batch: &mut Batch<'_, W>) -> io::Result<()> {
    let lanes = &trace.lanes[trace.thread(thread).lanes.clone()];
    let wanted = |l: &&Lane| is_call(l) || l.op.is("off_cpu") || l.op.def().source == Source::Io;
    let items: Vec<(&Lane, usize)> = lanes
        .iter()
        .filter(wanted)
        .flat_map(|l| (0..l.len()).map(move |i| (l, i)))
        .collect();
    let when: Vec<Interval> = items.iter().map(|&(l, i)| l.interval(i)).collect();
    let ids = |i: usize| root.child(&[4, thread.0.into(), i as u64]);
    // The open spans of each line; a line of its own begins at the root.
    let mut open: Vec<Vec<usize>> = Vec::new();
    lay_out(&when, |step| {
        match step {
            Step::Begin(i, line) => {
                if line == open.len() {
                    open.push(Vec::new());
                }
                let parent = open[line].last().map_or(*root, |&p| ids(p));
                open[line].push(i);
                let (lane, at) = items[i];
                let name = if lane.op.is("off_cpu") {
                    "off CPU"
                } else {
                    lane.op.def().name
                };
                let mut one = span(&ids(i), Some(&parent), name, INTERNAL, when[i], known(trace, lane, at));
                one["events"] = if lane.op.is("off_cpu") {
                    let state =
                        |(name, when): (&str, Interval)| json!({ "timeUnixNano": nanos(when.start), "name": name });
                    states(lane, at).into_iter().map(state).collect()
                } else {
                    json!([])
                };
                batch.push(one)?;
            }
            Step::End(i, line) => {
                if let Some(stack) = open.get_mut(line) {
                    stack.retain(|&o| o != i);
                }
            }
        }
        Ok(())
    })
}
