//! What every process and thread did: calls by operation, time off the CPU, memory allocated.
//!
//! The same selections and statistics as in rules, so the same bounds where rows were dropped.

use rayon::prelude::*;

use super::key::KeyVal;
use super::{Engine, Prepared};
use crate::diagnosis::Measured;
use crate::lang::hir::{Base, Program, Segment, Selector, Stat};
use crate::trace::catalogue::{Anchor, Key, OPEN_CALL, Op, Source, State};
use crate::trace::coverage;
use crate::trace::model::{Bucket, Counted, Process, flag};
use crate::trace::{Lane, ProcIdx, Rows, ThreadIdx, Trace};
use crate::unit::{Interval, Num};
use crate::view::{OffCpu, OffCpuParts, OpProfile, ProcessProfile, ThreadProfile, Unfinished};

/// With the samples that each needs.
const STATS: [(Stat, u64); 7] = [
    (Stat::Count, 0),
    (Stat::Sum, 0),
    (Stat::Avg, 1),
    (Stat::Pct(50, 100), 1),
    (Stat::Pct(99, 100), 1),
    (Stat::Max, 1),
    (Stat::Bytes, 0),
];

/// Profiles of all processes that did anything, or of those with one id. Those that use the GPU come
/// first, then those with most call time.
///
/// Runs on the current rayon pool; the result does not depend on the number of its threads.
pub fn profile(trace: &Trace, pid: Option<i64>) -> Vec<ProcessProfile> {
    let program = Program::default();
    let states = [State::RunQueue, State::Sleep, State::IoWait].map(state);
    let prepared = Prepared::new(trace, &states);
    let engine = Engine::new(&program, trace, &prepared, pid);
    let all: Vec<ProcIdx> = (0u32..)
        .zip(&trace.processes)
        .filter(|(_, p)| p.pid != 0 && pid.is_none_or(|want| want == p.pid))
        .map(|(i, _)| ProcIdx(i))
        .collect();
    let mut out: Vec<(u32, ProcessProfile)> = all
        .par_iter()
        .filter_map(|&p| Some((p.0, engine.process(p)?)))
        .collect();
    out.sort_by_key(|(i, p)| (!p.uses_gpu, std::cmp::Reverse(call_time(&p.ops)), *i));
    out.into_iter().map(|(_, p)| p).collect()
}

fn state(state: State) -> Selector {
    Selector {
        source: Source::Sched,
        base: Base::State(state),
        filters: Vec::new(),
    }
}

/// Whether calls of an operation are listed. Time off the CPU is told apart from calls.
fn is_call(op: Op) -> bool {
    let d = op.def();
    d.anchor != Anchor::Derived && !matches!(d.source, Source::Sched | Source::Process)
}

/// Sums of aggregates.
#[derive(Clone, Copy, Default)]
struct Totals {
    count: u64,
    sum: i128,
    bytes: i128,
    max: i64,
}

fn exact(n: i128) -> Measured {
    Measured::Exact(Num::int(n))
}

fn call_time(ops: &[OpProfile]) -> Num {
    let least = |m: &Measured| match m {
        Measured::Exact(n) | Measured::Between(Some(n), _) => *n,
        _ => Num::ZERO,
    };
    ops.iter()
        .fold(Num::ZERO, |sum, o| sum.plus(least(&o.total)).unwrap_or(sum))
}

impl Engine<'_> {
    fn process(&self, p: ProcIdx) -> Option<ProcessProfile> {
        let process = self.trace.process(p);
        let mut ops: Vec<Op> = self.lanes_of(process).map(|l| l.op).collect();
        let counted = &self.trace.node(process.node).counted;
        ops.extend(counted.iter().filter(|c| c.process == Some(p)).map(|c| c.op));
        let key = KeyVal::of_process(self.trace, p);
        let ops = self.ops(ops, key, &[Key::Node, Key::Pid]);
        let mut threads: Vec<ThreadProfile> = process.threads.iter().filter_map(|t| self.thread(p, *t)).collect();
        let unfinished = self.unfinished(process);
        if ops.is_empty() && threads.is_empty() && unfinished.is_empty() {
            return None;
        }
        threads.sort_by_key(|t| (std::cmp::Reverse(call_time(&t.ops)), t.tid));
        Some(ProcessProfile {
            node: self.trace.node(process.node).name.clone(),
            pid: process.pid,
            name: process.name.clone(),
            alive: super::key::life(self.trace, key)?,
            uses_gpu: process.gpu.is_some(),
            ops,
            unfinished,
            threads,
        })
    }

    fn unfinished(&self, process: &Process) -> Vec<Unfinished> {
        let open = self.lanes_of(process).filter(|l| l.op.def().name == OPEN_CALL);
        let mut out: Vec<Unfinished> = open
            .flat_map(|l| {
                (0..l.len()).map(|i| Unfinished {
                    op: l.name.get(i).cloned().unwrap_or_default(),
                    tid: self.trace.thread(l.thread).tid,
                    when: l.interval(i),
                })
            })
            .collect();
        out.sort_by(|a, b| (a.when, a.tid, &a.op).cmp(&(b.when, b.tid, &b.op)));
        out
    }

    fn lanes_of<'p>(&'p self, process: &'p Process) -> impl Iterator<Item = &'p Lane> + 'p {
        let range = |t: &ThreadIdx| self.trace.thread(*t).lanes.clone();
        process.threads.iter().flat_map(move |t| &self.trace.lanes[range(t)])
    }

    fn thread(&self, p: ProcIdx, t: ThreadIdx) -> Option<ThreadProfile> {
        let thread = self.trace.thread(t);
        let lanes = &self.trace.lanes[thread.lanes.clone()];
        let key = KeyVal::of_thread(self.trace, t);
        let ops = self.ops(
            lanes.iter().map(|l| l.op).collect(),
            key,
            &[Key::Node, Key::Pid, Key::Tid],
        );
        let off_cpu = self.off_cpu(p, t);
        let away = off_cpu
            .as_ref()
            .is_some_and(|o| o.switches != Measured::Exact(Num::ZERO));
        (away || !ops.is_empty()).then(|| ThreadProfile {
            tid: thread.tid,
            name: thread.name.clone(),
            ops,
            off_cpu,
        })
    }

    /// Profiles of these operations that are calls, in the order of the catalogue.
    fn ops(&self, mut ops: Vec<Op>, key: KeyVal, keys: &[Key]) -> Vec<OpProfile> {
        ops.sort_unstable();
        ops.dedup();
        ops.into_iter()
            .filter(|op| is_call(*op))
            .filter_map(|op| self.op(op, key, keys))
            .collect()
    }

    fn op(&self, op: Op, key: KeyVal, keys: &[Key]) -> Option<OpProfile> {
        let sel = Selector {
            source: op.def().source,
            base: Base::Ops(vec![op]),
            filters: Vec::new(),
        };
        let groups = self.groups(&sel, keys);
        let group = Self::group_of(&groups, key);
        let cells = self.stats(&sel, key, group, (Segment::Trace, &[]), &STATS);
        let reason = cells.iter().find_map(|c| c.all.why.as_ref());
        let reason = reason.map(|r| r.text.to_string()).unwrap_or_default();
        let values: Vec<Measured> = cells.iter().map(|c| c.all.measured()).collect();
        let &[mut calls, mut total, avg, p50, p99, mut max, mut bytes] = values.as_slice() else {
            return None;
        };
        // What never becomes a row is still counted, by process.
        let whole = key
            .process()
            .filter(|_| calls == Measured::Unknown && key.thread().is_none());
        let counted = whole.and_then(|p| self.totals(p, coverage::counted(self.trace, p, op)?));
        if let Some(t) = counted {
            (calls, total, bytes) = (exact(t.count.into()), exact(t.sum), exact(t.bytes));
            max = exact(t.max.into());
        }
        let sized = |m: &Measured| matches!(m, Measured::Exact(n) | Measured::Between(Some(n), _) if *n > Num::ZERO);
        (calls != Measured::Exact(Num::ZERO)).then(|| OpProfile {
            layer: op.def().source.layer(),
            op: op.def().name,
            stored: group.map_or(0, |g| g.parts.iter().map(|p| p.len() as u64).sum()),
            inside: self.nested(op, key),
            calls,
            total,
            avg,
            p50,
            p99,
            max,
            bytes: Some(bytes).filter(sized),
            allocates: op.is("malloc") || op.is("host_alloc") || op.is("page_alloc"),
            reason: if counted.is_some() { String::new() } else { reason },
        })
    }

    /// Stored calls that lie inside runtime calls.
    fn nested(&self, op: Op, key: KeyVal) -> u64 {
        let own = key.thread();
        let all = key.process().map_or(&[][..], |p| &self.trace.process(p).threads);
        let threads = own.as_ref().map_or(all, std::slice::from_ref);
        let lanes = threads.iter().filter_map(|t| self.trace.lane(*t, op));
        let flags = lanes.flat_map(|l| &l.flags);
        flags.filter(|f| *f & flag::NESTED != 0).count() as u64
    }

    fn off_cpu(&self, p: ProcIdx, t: ThreadIdx) -> Option<OffCpu> {
        let rows = &self.trace.thread(t).sched;
        if *rows == Rows::Unobserved {
            return None;
        }
        let switch = Op::by_ids(3, 1)?;
        let lane = self.trace.lane(t, switch);
        let stored = lane.map_or(0, Lane::len) as u64;
        let sum: i128 = lane.map_or(0, |l| l.dur.iter().map(|d| i128::from(*d)).sum());
        let (switches, total, reason) = if *rows == Rows::Complete {
            (exact(stored.into()), exact(sum), String::new())
        } else if let Some(c) = coverage::counted_of_thread(self.trace, t, switch).and_then(|c| self.totals(p, c)) {
            (exact(c.count.max(stored).into()), exact(c.sum.max(sum)), String::new())
        } else {
            let least = |n: i128| Measured::Between(Some(Num::int(n)), None);
            let reason = match rows {
                Rows::AtLeast(_) => "short stints were not stored",
                _ => "off-CPU time was recorded only in part",
            };
            (least(stored.into()), least(sum), reason.to_owned())
        };
        Some(OffCpu {
            switches,
            total,
            parts: self.parts(t, i64::try_from(sum).unwrap_or(i64::MAX)),
            reason,
        })
    }

    /// Totals of aggregates, where they cover the life of their process.
    fn totals(&self, p: ProcIdx, counted: &Counted) -> Option<Totals> {
        let life = super::key::life(self.trace, KeyVal::of_process(self.trace, p))?;
        let whole = counted.minutes.iter().all(|b| {
            let span = Interval::new(b.start, b.start.saturating_add(b.len));
            b.reliable && span.distance(life) == 0 && !self.bucket_is_cut(p, span, life)
        });
        let add = |t: Totals, b: &Bucket| Totals {
            count: t.count + b.count,
            sum: t.sum + b.sum,
            bytes: t.bytes + b.bytes,
            max: t.max.max(b.max),
        };
        (whole && !counted.minutes.is_empty()).then(|| counted.minutes.iter().fold(Totals::default(), add))
    }

    fn parts(&self, t: ThreadIdx, all: i64) -> OffCpuParts {
        let of = |s: State| -> i64 {
            let lanes = self.lanes_of_thread(&state(s), t);
            lanes
                .iter()
                .flat_map(|l| &l.dur)
                .fold(0i64, |a, d| a.saturating_add(*d))
        };
        let (runq, sleep, io_wait) = (of(State::RunQueue), of(State::Sleep), of(State::IoWait));
        OffCpuParts {
            runq,
            sleep,
            io_wait,
            unknown: (all - runq - sleep - io_wait).max(0),
        }
    }
}
