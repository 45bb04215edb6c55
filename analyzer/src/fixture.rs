//! Turns the fixture of an in-file test into a trace: `at 2s cuda.cudaMalloc pid=7 dur=3ms` becomes
//! a stored row.
//!
//! The result is a file like any other, with raw timestamps, so a test also exercises the reader.
//! A fixture stands for a recording of one node that stored every event and began two seconds
//! before the first one, so its processes were seen to begin. Two facts change that: `trace.late`
//! (the processes are older than the recording, hence steady at once) and `trace.selected` (only a
//! selection of the calls became rows). What a fixture never mentions counts as not recorded where
//! the format allows it: without a `sched` event no thread is traced, and with one, all threads of
//! that process are.

use std::collections::{BTreeMap, BTreeSet};

use crate::lang::hir::{FixtureEvent, Literal, Test};
use crate::source::Span;
use crate::trace::catalogue::{Anchor, DIRECTIONS, OPEN_CALL, Op, Source};
use crate::trace::writer::{
    Annotation, Detail, Event, Lost, NcclCall, Rank, SchedDetail, Session, SnapshotRow, Task, Uncounted, WriteError,
    Writer,
};
use crate::unit::{Dim, Interval, MS, Num, SEC};

/// When the trace of a fixture begins: 2026-01-01 00:00:00 UTC. A whole minute.
pub const EPOCH: i64 = 1_767_225_600 * SEC;

/// Kernel of a launch that names none.
const KERNEL: i64 = 1;
/// Process of an event that names none.
const PID: i64 = 100;
/// Calls that a selective recorder only counted, for each one that it stored.
const NOT_STORED: i64 = 9;

/// A fixture that cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FixtureError {
    /// The event at fault.
    pub span: Span,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: String,
}

/// Words after `trace.`.
const FACTS: &[&str] = &["lost", "selected", "late", "cores", "probe"];

type Result<T> = std::result::Result<T, FixtureError>;

/// Writes the fixture of a test. Rows stand in the order of their ends, as a recorder stores them.
///
/// # Errors
/// The first event that cannot be written, with its place.
pub fn write(test: &Test, writer: &mut Writer) -> Result<()> {
    let failed = |e: WriteError| FixtureError {
        span: test.span,
        message: format!("the fixture cannot be written: {e}"),
        help: String::new(),
    };
    let mut plan = Plan::default();
    for event in &test.events {
        plan.add(event)?;
    }
    plan.write(test.span_ns, writer).map_err(failed)
}

/// A row to be, with what it owns.
#[derive(Debug)]
struct Row {
    op: Op,
    /// Process, also for sched rows.
    pid: i64,
    tid: i64,
    start: i64,
    dur: i64,
    args: (i64, i64),
    ret: i32,
    gpu: i32,
    cgroup: i64,
    rank: Option<i32>,
    comm: String,
    detail: Option<Detail>,
}

#[derive(Debug)]
struct Labelled {
    pid: i64,
    start: i64,
    end: i64,
    labels: Vec<(&'static str, String)>,
}

/// All that a fixture says.
#[derive(Debug, Default)]
struct Plan {
    rows: Vec<Row>,
    counted: Vec<Uncounted>,
    snapshots: Vec<SnapshotRow>,
    annotations: Vec<Labelled>,
    xids: Vec<(i64, String, i64, String)>,
    open_calls: Vec<(Op, i64, i64, Interval)>,
    /// Readings of the cgroup of a process, which has one of its own: when, and throttled since the one before.
    throttled: BTreeMap<i64, Vec<(i64, i64)>>,
    losses: Vec<(i64, String, i64, &'static str)>,
    probes: Vec<(String, String)>,
    /// Names of processes.
    names: BTreeMap<i64, String>,
    /// Names of threads.
    threads: BTreeMap<(i64, i64), String>,
    preemptors: BTreeSet<i64>,
    parents: BTreeMap<i64, i64>,
    cores: i64,
    late: bool,
    selected: Option<i64>,
}

/// The fields of one event; each is taken once, and what is left over is unknown.
struct Fields<'a> {
    event: &'a FixtureEvent,
    taken: BTreeSet<&'a str>,
    asked: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    fn new(event: &'a FixtureEvent) -> Self {
        Self {
            event,
            taken: BTreeSet::new(),
            asked: Vec::new(),
        }
    }

    fn error<T>(&self, message: impl Into<String>, help: impl Into<String>) -> Result<T> {
        Err(FixtureError {
            span: self.event.span,
            message: message.into(),
            help: help.into(),
        })
    }

    fn get(&mut self, name: &'static str) -> Option<&'a Literal> {
        self.asked.push(name);
        let (key, value) = self.event.fields.iter().find(|(k, _)| k == name)?;
        self.taken.insert(key);
        Some(value)
    }

    fn quantity(&mut self, name: &'static str, dim: Dim, example: &str) -> Result<Option<i64>> {
        match self.get(name) {
            None => Ok(None),
            Some(Literal::Num(n, d)) if *d == dim => match i64::try_from(n.floor()) {
                Ok(v) => Ok(Some(v)),
                Err(_) => self.error(format!("`{name}` is too large"), ""),
            },
            Some(_) => self.error(format!("`{name}` must be {dim}"), format!("as in `{name}={example}`")),
        }
    }

    fn time(&mut self, name: &'static str) -> Result<Option<i64>> {
        let v = self.quantity(name, Dim::TIME, "100us")?;
        if v.is_some_and(i64::is_negative) {
            return self.error(format!("`{name}` must not be negative"), "");
        }
        Ok(v)
    }

    fn number(&mut self, name: &'static str) -> Result<Option<i64>> {
        self.quantity(name, Dim::NONE, "7")
    }

    fn small(&mut self, name: &'static str) -> Result<Option<i32>> {
        match self.number(name)?.map(i32::try_from) {
            None => Ok(None),
            Some(Ok(v)) => Ok(Some(v)),
            Some(Err(_)) => self.error(format!("`{name}` is too large"), ""),
        }
    }

    /// A size: `8MiB`, or a bare number of bytes.
    fn bytes(&mut self, name: &'static str) -> Result<Option<i64>> {
        if let Some((_, Literal::Num(_, Dim::NONE))) = self.event.fields.iter().find(|(k, _)| k == name) {
            return self.number(name);
        }
        self.quantity(name, Dim::BYTES, "8MiB")
    }

    fn text(&mut self, name: &'static str) -> Option<String> {
        self.get(name).map(|v| match v {
            Literal::Text(s) | Literal::Word(s) => s.clone(),
            Literal::Num(n, _) => n.floor().to_string(),
        })
    }

    /// Position of a word in its list.
    fn word(&mut self, name: &'static str, words: &[&str]) -> Result<Option<usize>> {
        match self.text(name) {
            None => Ok(None),
            Some(w) => match words.iter().position(|k| *k == w) {
                Some(i) => Ok(Some(i)),
                None => self.error(format!("`{name}` cannot be `{w}`"), suggest(&w, words)),
            },
        }
    }

    fn fraction(&mut self, name: &'static str, dim: Dim, example: &str) -> Result<Option<Num>> {
        match self.get(name) {
            None => Ok(None),
            Some(Literal::Num(n, d)) if *d == dim => Ok(Some(*n)),
            Some(_) => self.error(format!("`{name}` must be {dim}"), format!("as in `{name}={example}`")),
        }
    }

    /// Complains about fields that nobody asked for.
    fn done(self) -> Result<()> {
        let unknown = self.event.fields.iter().find(|(k, _)| !self.taken.contains(k.as_str()));
        match unknown {
            None => Ok(()),
            Some((k, _)) => {
                let path = self.event.path.join(".");
                self.error(format!("`{path}` has no field `{k}`"), suggest(k, &self.asked))
            }
        }
    }
}

impl Plan {
    fn add(&mut self, event: &FixtureEvent) -> Result<()> {
        let mut at = event.at_ns;
        loop {
            self.one(event, EPOCH.saturating_add(at))?;
            let Some(every) = event.every_ns.filter(|e| *e > 0) else {
                return Ok(());
            };
            at += every;
            if at >= event.to_ns {
                return Ok(());
            }
        }
    }

    fn one(&mut self, event: &FixtureEvent, at: i64) -> Result<()> {
        let mut f = Fields::new(event);
        let path: Vec<&str> = event.path.iter().map(String::as_str).collect();
        let Some(source) = path.first().and_then(|s| Source::by_name(s)) else {
            let known: Vec<&str> = Source::ALL.iter().map(|s| s.name()).collect();
            let word = path.first().copied().unwrap_or_default();
            return f.error(format!("there are no `{word}` events"), suggest(word, &known));
        };
        let op = path.get(1).copied().unwrap_or_default();
        match source {
            Source::Sched => self.off_cpu(&mut f, op, at)?,
            Source::Process => self.process(&mut f, op, at)?,
            Source::Mem => self.memory(&mut f, op, at)?,
            Source::Request => self.request(&mut f, op, at)?,
            Source::Annotation => self.step(&mut f, op, at)?,
            Source::System => self.system(&mut f, at)?,
            Source::Xid => self.xid(&mut f, at)?,
            Source::Trace => self.fact(&mut f, op, at)?,
            Source::Gpu => return f.error("`gpu` is a view", "name the layer: `cuda`, `driver` or `graph`"),
            Source::Cuda | Source::Driver | Source::Graph | Source::Io | Source::Tcp | Source::Net | Source::Nccl => {
                self.call(&mut f, source, op, at)?;
            }
        }
        f.done()
    }

    /// Process and thread; the main thread if none is named.
    fn owner(&mut self, f: &mut Fields<'_>) -> Result<(i64, i64)> {
        let pid = f.number("pid")?.unwrap_or(PID);
        let tid = f.number("tid")?.unwrap_or(pid);
        if let Some(name) = f.text("process") {
            self.names.insert(pid, name);
        }
        if let Some(name) = f.text("thread") {
            self.threads.insert((pid, tid), name);
        }
        Ok((pid, tid))
    }

    fn open_call(&mut self, f: &mut Fields<'_>, source: Source, at: i64) -> Result<()> {
        let (pid, tid) = self.owner(f)?;
        let layers: &[Source] = match source {
            Source::Nccl => &[Source::Nccl],
            _ => &[Source::Cuda, Source::Driver, Source::Graph],
        };
        let name = f.text("op").unwrap_or_default();
        let named = layers.iter().find_map(|s| Op::by_name(*s, &name));
        let (Some(op), Some(dur)) = (named.filter(|o| o.def().source_id != 0), f.time("dur")?) else {
            return f.error(
                "a call that did not return needs its `op` and `dur`",
                "as in `cuda.open_call op=cudaStreamSync dur=30s`",
            );
        };
        self.open_calls
            .push((op, pid, tid, Interval::new(at, at.saturating_add(dur))));
        Ok(())
    }

    fn call(&mut self, f: &mut Fields<'_>, source: Source, word: &str, at: i64) -> Result<()> {
        if word == OPEN_CALL && matches!(source, Source::Cuda | Source::Nccl) {
            return self.open_call(f, source, at);
        }
        let op = operation(f, source, word)?;
        let def = op.def();
        let (pid, tid) = self.owner(f)?;
        let dur = f.time("dur")?.unwrap_or(0);
        let mut row = Row {
            dur,
            ..Row::new(op, pid, tid, at)
        };
        if source == Source::Io {
            row.args.0 = (f.bytes("bytes")?.unwrap_or(4096) + 511) / 512;
        } else if source == Source::Net {
            row.args = (f.number("fd")?.unwrap_or(3), f.bytes("bytes")?.unwrap_or(0));
        } else if source == Source::Nccl {
            let comm = f.number("comm")?;
            row.detail = Some(Detail::Nccl(NcclCall {
                comm: comm.unwrap_or(1),
                seq: f.number("seq")?.unwrap_or(0),
                count: f.number("count")?.unwrap_or(0),
                dtype: 7,
                bytes: f.bytes("bytes")?.unwrap_or(0),
                peer: f.number("peer")?.unwrap_or(-1),
                rank: -1,
                nranks: f.number("nranks")?.unwrap_or(-1),
                // Ranks that name one communicator are its members.
                comm_id: comm.unwrap_or(0),
            }));
        } else if op.is("launch") && source != Source::Graph {
            row.args.0 = f.number("kernel")?.unwrap_or(KERNEL);
            row.args.1 = f.number("stream")?.unwrap_or(0);
        } else if source == Source::Graph {
            let (stream, handle) = (f.number("stream")?, f.number("handle")?);
            row.detail = (stream.is_some() || handle.is_some()).then(|| Detail::Call {
                stream: stream.unwrap_or(0),
                handle: handle.unwrap_or(0),
            });
        } else if op.is("memcpy") {
            row.args.0 = f.bytes("bytes")?.unwrap_or(0);
            if source == Source::Cuda {
                let direction = f.word("direction", DIRECTIONS)?.unwrap_or(4);
                row.args.1 = i64::try_from(direction).unwrap_or(4);
            }
            row.detail = f.number("stream")?.map(|stream| Detail::Call { stream, handle: 0 });
        } else if op.is("sync") {
            row.args.0 = f.number("stream")?.unwrap_or(0);
        } else if op.is("free") {
            row.args.1 = f.bytes("bytes")?.unwrap_or(0);
        } else if op.is("malloc") || op.is("host_alloc") || op.is("memset") {
            row.args.0 = f.bytes("bytes")?.unwrap_or(0);
        }
        if matches!(source, Source::Cuda | Source::Driver | Source::Graph | Source::Nccl) {
            row.ret = match f.event.fields.iter().find(|(k, _)| k == "ret") {
                Some((_, Literal::Word(w))) if w == "success" => {
                    f.get("ret");
                    0
                }
                _ => f.small("ret")?.unwrap_or(0),
            };
            row.gpu = f.small("gpu")?.unwrap_or(0);
            row.rank = f.small("rank")?;
            row.cgroup = f.number("cgroup")?.unwrap_or(0);
        }
        if let (Some(rank), Some(Detail::Nccl(n))) = (row.rank, &mut row.detail) {
            n.rank = rank.into();
        }
        if source != Source::Nccl
            && let Some(comm) = f.text("comm")
        {
            row.comm = comm;
        }
        debug_assert!(def.anchor != Anchor::Derived);
        self.rows.push(row);
        Ok(())
    }

    fn off_cpu(&mut self, f: &mut Fields<'_>, word: &str, at: i64) -> Result<()> {
        if word == "throttled" {
            let (pid, _) = self.owner(f)?;
            let time = f.time("time")?.unwrap_or(0);
            self.throttled.entry(pid).or_default().push((at, time));
            return Ok(());
        }
        if word != "off_cpu" {
            let path = f.event.path.join(".");
            return f.error(
                format!("`{path}` cannot be written"),
                "write `sched.off_cpu`; with `state` and `woken_after` it has parts. `sched.throttled` is a \
                 reading of the cgroup's limit",
            );
        }
        let (pid, tid) = self.owner(f)?;
        let Some(dur) = f.time("dur")? else {
            return f.error("an off-CPU stint needs `dur`", "as in `dur=10ms`");
        };
        let state = f.word("state", &["runnable", "sleep", "io"])?;
        let woken_after = f.time("woken_after")?;
        let prev = f.number("prev")?;
        if woken_after.is_some_and(|w| w > dur) {
            return f.error("`woken_after` is longer than the stint", "it counts from its start");
        }
        // A thread that was woken slept before; else somebody took its CPU.
        let state = state.or(woken_after.map(|_| 1)).or(prev.map(|_| 0));
        let end = at.saturating_add(dur);
        let (mut detail, mut before) = (None, tid);
        if let Some(state) = state {
            let state = i64::try_from(state).unwrap_or(0);
            if state == 0 && woken_after.is_some() {
                return f.error(
                    "a runnable thread is not woken",
                    "leave out `woken_after`, or say `state=sleep`",
                );
            }
            detail = Some(Detail::Sched(SchedDetail {
                state,
                cpu: -1,
                // A sleep that says nothing of a wait ended when it was woken.
                woken_at: if state == 0 {
                    0
                } else {
                    woken_after.map_or(end, |w| at + w)
                },
                waker: 0,
                preemptor: if state == 0 { prev.unwrap_or(0) } else { 0 },
            }));
            if state != 0 {
                before = 0;
            }
        }
        // Without a word about it, who ran before is not known: old files say that with the
        // thread itself.
        before = prev.unwrap_or(before);
        self.preemptors.extend(prev.filter(|p| *p != 0));
        let op = operation(f, Source::Sched, "off_cpu")?;
        self.rows.push(Row {
            dur,
            args: (0, before),
            detail,
            ..Row::new(op, pid, tid, at)
        });
        Ok(())
    }

    fn process(&mut self, f: &mut Fields<'_>, word: &str, at: i64) -> Result<()> {
        let op = operation(f, Source::Process, word)?;
        let (pid, tid) = self.owner(f)?;
        let mut row = Row::new(op, pid, tid, at);
        if let Some(name) = f.text("name") {
            if !op.is("fork") {
                self.names.insert(pid, name.clone());
            }
            row.comm = name;
        }
        if op.is("fork") {
            let Some(child) = f.number("child")? else {
                return f.error("a fork needs its `child`", "as in `process.fork pid=7 child=9`");
            };
            row.args.1 = child;
            self.parents.insert(child, pid);
        } else if let Some(parent) = f.number("parent")? {
            self.parents.insert(pid, parent);
        }
        self.rows.push(row);
        Ok(())
    }

    fn memory(&mut self, f: &mut Fields<'_>, word: &str, at: i64) -> Result<()> {
        let op = operation(f, Source::Mem, word)?;
        if op.is("page_alloc") {
            let (pid, _) = self.owner(f)?;
            let (bytes, count) = (f.bytes("bytes")?, f.number("count")?);
            let count = count.unwrap_or_else(|| (bytes.unwrap_or(4096) / 4096).max(1));
            self.counted.push(Uncounted {
                op,
                pid,
                at,
                count,
                sum_dur: 0,
                min_dur: 0,
                max_dur: 0,
                sum_arg0: bytes.unwrap_or(count.saturating_mul(4096)),
            });
            return Ok(());
        }
        let (pid, tid) = self.owner(f)?;
        let victim = f.number("victim")?.unwrap_or(pid);
        self.rows.push(Row {
            args: (0, victim),
            ..Row::new(op, pid, tid, at)
        });
        Ok(())
    }

    fn request(&mut self, f: &mut Fields<'_>, word: &str, at: i64) -> Result<()> {
        if word != "open" {
            return f.error(
                format!("`request.{word}` cannot be written"),
                "write `request.open` with `ttft` for the wait",
            );
        }
        let pid = f.number("pid")?.unwrap_or(0);
        let ttft = f.time("ttft")?;
        let Some(dur) = f.time("dur")?.or(ttft) else {
            return f.error("a request needs `dur` or `ttft`", "as in `dur=2s ttft=40ms`");
        };
        let id = f
            .text("id")
            .unwrap_or_else(|| format!("r{}", self.annotations.len() + 1));
        let mut labels = vec![("request_id", id)];
        let known = [
            ("prompt_tokens", "prompt_tokens"),
            ("output_tokens", "output_tokens"),
            ("choices", "n"),
            ("logprobs", "logprobs"),
        ];
        for (name, label) in known {
            if let Some(n) = f.number(name)? {
                labels.push((label, n.to_string()));
            }
        }
        if let Some(ttft) = ttft {
            labels.push(("ttft_ms", millis(ttft)));
        }
        self.annotations.push(Labelled {
            pid,
            start: at,
            end: at.saturating_add(dur),
            labels,
        });
        Ok(())
    }

    fn step(&mut self, f: &mut Fields<'_>, word: &str, at: i64) -> Result<()> {
        if word != "step" {
            return f.error(
                format!("`annotation.{word}` cannot be written"),
                "write `annotation.step`",
            );
        }
        let pid = f.number("pid")?.unwrap_or(0);
        let Some(dur) = f.time("dur")? else {
            return f.error("a step needs `dur`", "as in `dur=100ms`");
        };
        let name = f.text("step").unwrap_or_else(|| self.annotations.len().to_string());
        self.annotations.push(Labelled {
            pid,
            start: at,
            end: at.saturating_add(dur),
            labels: vec![("step", name)],
        });
        Ok(())
    }

    fn system(&mut self, f: &mut Fields<'_>, at: i64) -> Result<()> {
        let mib = |b: i64| b >> 20;
        let percent = |n: Option<Num>, or: f64| n.map_or(or, |n| n.to_f64() * 100.0);
        // What is not said is a quiet host.
        let row = SnapshotRow {
            at,
            cpu_pct: percent(f.fraction("cpu", Dim::NONE, "95%")?, 10.0),
            mem_pct: percent(f.fraction("mem", Dim::NONE, "40%")?, 30.0),
            mem_avail_mib: f.bytes("mem_avail")?.map_or(64 << 10, mib),
            swap_mib: f.bytes("swap")?.map_or(0, mib),
            load: f.fraction("load", Dim::NONE, "12")?.map_or(0.5, Num::to_f64),
        };
        self.snapshots.push(row);
        Ok(())
    }

    fn xid(&mut self, f: &mut Fields<'_>, at: i64) -> Result<()> {
        let Some(xid) = f.number("xid")? else {
            return f.error("an XID event needs its number", "as in `xid xid=79`");
        };
        let device = f.text("device").unwrap_or_else(|| "0000:01:00.0".to_owned());
        let message = f.text("message").unwrap_or_default();
        self.xids.push((at, device, xid, message));
        Ok(())
    }

    fn fact(&mut self, f: &mut Fields<'_>, word: &str, at: i64) -> Result<()> {
        match word {
            "lost" => {
                let sources: Vec<&str> = Source::ALL.iter().map(|s| s.name()).collect();
                let Some(i) = f.word("source", &sources)? else {
                    return f.error(
                        "lost events need their `source`",
                        "as in `trace.lost source=sched count=12000`",
                    );
                };
                let count = f.number("count")?.unwrap_or(1);
                let reasons = ["ring_full", "queue_full", "recursion"];
                let reason = reasons[f.word("reason", &reasons)?.unwrap_or(0)];
                self.losses.push((at, sources[i].to_owned(), count, reason));
            }
            "selected" => self.selected = Some(f.number("not_stored")?.unwrap_or(NOT_STORED)),
            "late" => self.late = true,
            "cores" => self.cores = f.number("count")?.unwrap_or(1),
            "probe" => {
                let sources: Vec<&str> = Source::ALL.iter().map(|s| s.name()).collect();
                let source = f.word("source", &sources)?.unwrap_or(0);
                let status = f.word("status", &["attached", "missing", "failed"])?.unwrap_or(0);
                let status = ["attached", "missing", "failed"][status].to_owned();
                self.probes.push((sources[source].to_owned(), status));
            }
            _ => {
                return f.error(format!("there is no fact `trace.{word}`"), suggest(word, FACTS));
            }
        }
        Ok(())
    }

    /// Collectives that say no number get the next one on their communicator.
    fn number_collectives(&mut self) {
        let mut next: BTreeMap<(i64, i64), i64> = BTreeMap::new();
        self.rows.sort_by_key(|r| r.start);
        for r in self.rows.iter_mut().filter(|r| !r.op.is("init")) {
            if let Some(Detail::Nccl(n)) = &mut r.detail {
                let next = next.entry((r.pid, n.comm)).or_insert(1);
                if n.seq == 0 {
                    n.seq = *next;
                }
                *next = n.seq + 1;
            }
        }
    }

    fn write(mut self, span_ns: i64, writer: &mut Writer) -> std::result::Result<(), WriteError> {
        self.number_collectives();
        self.rows.sort_by_key(|r| r.start.saturating_add(r.dur));
        let sched: BTreeSet<i64> = self
            .rows
            .iter()
            .filter(|r| r.op.def().source == Source::Sched)
            .map(|r| r.pid)
            .collect();
        let threads: BTreeSet<(i64, i64)> = self.rows.iter().map(|r| (r.pid, r.tid)).collect();
        for (pid, tid) in &threads {
            let own = self.threads.get(&(*pid, *tid)).or(self.names.get(pid));
            writer.task(&Task {
                tid: *tid,
                pid: *pid,
                ppid: self.parents.get(pid).copied().unwrap_or(0),
                comm: own.map_or("", String::as_str),
                traced: sched.contains(pid),
                ..Task::default()
            })?;
        }
        // Who took a CPU and is nobody of the fixture is a process of its own.
        for tid in self
            .preemptors
            .iter()
            .filter(|p| !threads.iter().any(|(_, tid)| tid == *p))
        {
            writer.task(&Task {
                tid: *tid,
                pid: *tid,
                ..Task::default()
            })?;
        }
        for (pid, name) in &self.names {
            writer.process_name(*pid, name, EPOCH)?;
        }
        for r in &self.rows {
            let owner = if r.op.is("off_cpu") { r.tid } else { r.pid };
            let mut event = Event::new(r.op, owner, r.tid, r.start, r.dur)
                .args(r.args.0, r.args.1)
                .comm(&r.comm);
            (event.ret, event.gpu, event.cgroup) = (r.ret, r.gpu, r.cgroup);
            if event.cgroup == 0 && self.throttled.contains_key(&r.pid) {
                event.cgroup = r.pid;
            }
            event.rank = r.rank.map(|rank| Rank {
                rank,
                local: rank,
                world: rank + 1,
            });
            writer.event_with(&event, r.detail)?;
            if let Some(n) = self
                .selected
                .filter(|_| !r.op.is("sync") && r.op.def().source != Source::Process)
            {
                writer.not_stored(&Uncounted {
                    op: r.op,
                    pid: owner,
                    at: event.timestamp(),
                    count: n,
                    sum_dur: r.dur.saturating_mul(n) / 2,
                    min_dur: r.dur / 2,
                    max_dur: r.dur,
                    sum_arg0: 0,
                });
            }
        }
        for u in &self.counted {
            writer.not_stored(u);
        }
        for s in &self.snapshots {
            writer.snapshot(s)?;
        }
        for a in &self.annotations {
            let labels: Vec<(&str, &str)> = a.labels.iter().map(|(k, v)| (*k, v.as_str())).collect();
            writer.annotation(&Annotation {
                pid: a.pid,
                start: a.start,
                end: a.end,
                labels: &labels,
            })?;
        }
        for (at, device, xid, message) in &self.xids {
            writer.xid(*at, device, *xid, message)?;
        }
        for (op, pid, tid, when) in &self.open_calls {
            writer.open_call(*op, *pid, *tid, *when)?;
        }
        for (pid, readings) in &mut self.throttled {
            let (path, mut sum) = (format!("/{pid}"), 0);
            writer.cgroup(*pid, &path)?;
            readings.sort_unstable();
            for (at, time) in readings {
                sum += *time;
                writer.cgroup_cpu(*at, &path, sum)?;
            }
        }
        for (at, source, lost, reason) in &self.losses {
            writer.loss(&Lost {
                source,
                cpu: -1,
                at: *at,
                lost: *lost,
                reason,
            })?;
        }
        for (source, status) in &self.probes {
            writer.probe(source, "", status, "")?;
        }
        if self.selected.is_none() {
            writer.recording("record_all", "1")?;
        }
        if self.cores > 0 {
            writer.recording("host_cores", &self.cores.to_string())?;
        }
        writer.recording("recorder", "fixture")?;
        let last = self
            .rows
            .iter()
            .map(|r| r.start.saturating_add(r.dur))
            .max()
            .unwrap_or(EPOCH);
        // The first ten seconds of a selective recording are complete: begin long before.
        let before = match (self.late, self.selected) {
            (true, _) => 0,
            (false, Some(_)) => 60 * SEC,
            (false, None) => 2 * SEC,
        };
        writer.session(&Session {
            started_at: EPOCH - before,
            stopped_at: last.max(EPOCH.saturating_add(span_ns)),
            cpu_cores: self.cores,
            recorder: "fixture",
            flags: if self.selected.is_none() { "record-all" } else { "" },
            ..Session::default()
        })
    }
}

impl Row {
    fn new(op: Op, pid: i64, tid: i64, start: i64) -> Self {
        Self {
            op,
            pid,
            tid,
            start,
            dur: 0,
            args: (0, 0),
            ret: 0,
            gpu: 0,
            cgroup: 0,
            rank: None,
            comm: String::new(),
            detail: None,
        }
    }
}

/// A stored operation by its API name, or the first of a family.
fn operation(f: &Fields<'_>, source: Source, word: &str) -> Result<Op> {
    let found = Op::by_name(source, word).or_else(|| Op::family(source, word).first().copied());
    if let Some(op) = found.filter(|o| o.def().anchor != Anchor::Derived) {
        return Ok(op);
    }
    let stored = Op::all().filter(|o| o.def().source == source && o.def().anchor != Anchor::Derived);
    let known: Vec<&str> = stored
        .flat_map(|o| std::iter::once(o.def().name).chain(o.def().families.iter().copied()))
        .collect();
    f.error(
        format!("`{}` has no operation `{word}` that can be written", source.name()),
        suggest(word, &known),
    )
}

/// Milliseconds with as many decimals as there are.
fn millis(ns: i64) -> String {
    let text = format!("{}.{:06}", ns / MS, ns % MS);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The known words, nearest first.
fn suggest(word: &str, known: &[&str]) -> String {
    let mut known: Vec<&str> = known.to_vec();
    known.sort_unstable();
    known.dedup();
    known.sort_by_key(|k| strsim::osa_distance(&word.to_ascii_lowercase(), &k.to_ascii_lowercase()));
    known.truncate(8);
    match known.as_slice() {
        [] => String::new(),
        [first, ..] if strsim::osa_distance(word, first) <= 1 + word.len() / 3 => format!("did you mean `{first}`?"),
        _ => format!("known are {}", known.join(", ")),
    }
}
