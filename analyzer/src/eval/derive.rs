//! Intervals that are computed when a rule asks for them: gaps between calls, slumps of a call
//! rate, busy seconds, and the parts of off-CPU time. Each becomes a lane like any stored op.

use std::sync::Arc;

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::lang::hir::{Base, Filter, Selector};
use crate::trace::catalogue::{Field, Op, Source, State};
use crate::trace::model::{UNKNOWN_TIME, flag};
use crate::trace::{Lane, ProcIdx, ThreadIdx, Trace};
use crate::unit::{Interval, SEC};

/// Fewest whole seconds of a slump.
const SLUMP_SECONDS: usize = 3;
/// A slump is at most this share (percent) of what was normal before.
const SLUMP_PERCENT: u64 = 40;
/// Busy seconds that make a normal.
const NORMAL_SECONDS: usize = 5;
/// Calls a second that a normal needs.
const NORMAL_RATE: u64 = 100;
/// Launches that make a second busy.
const BUSY_LAUNCHES: u64 = 20;
/// How many busy seconds back the normal looks.
const NORMAL_MEMORY: usize = 60;

/// Lanes by what they were derived from.
pub(super) type Derived = FxHashMap<(Source, Base), Arc<Vec<Lane>>>;

/// Computes what the selector needs and is not there yet.
pub(super) fn add(trace: &Trace, derived: &mut Derived, sel: &Selector) {
    let id = (sel.source, sel.base.clone());
    if derived.contains_key(&id) {
        return;
    }
    let lanes = match &sel.base {
        Base::Ops(_) | Base::State(State::OffCpu) => return,
        Base::State(state) => parts(trace, *state),
        Base::Gap(inner) => per_process(trace, |p| gaps(trace, p, inner, false)),
        Base::DrainedGap(inner) => per_process(trace, |p| gaps(trace, p, inner, true)),
        Base::Slump(inner) => per_process(trace, |p| slumps(trace, p, inner)),
        Base::BusySeconds => per_process(trace, |p| busy_seconds(trace, p)),
    };
    derived.insert(id, Arc::new(lanes));
}

/// The op under which derived lanes are filed. Its name is never shown.
fn nameless() -> Op {
    Op(0)
}

fn per_process(trace: &Trace, f: impl Fn(ProcIdx) -> Vec<(ThreadIdx, Interval)> + Sync) -> Vec<Lane> {
    let found: Vec<Vec<(ThreadIdx, Interval)>> = (0..trace.processes.len())
        .into_par_iter()
        .map(|i| u32::try_from(i).map(|i| f(ProcIdx(i))).unwrap_or_default())
        .collect();
    let mut lanes: Vec<Lane> = Vec::new();
    for mut one in found {
        one.sort_unstable_by_key(|(t, i)| (*t, *i));
        for (thread, interval) in one {
            if lanes.last().is_none_or(|l| l.thread != thread) {
                lanes.push(Lane::new(thread, nameless()));
            }
            if let Some(lane) = lanes.last_mut() {
                lane.start.push(interval.start);
                lane.dur.push(interval.len());
            }
        }
    }
    lanes.sort_by_key(|l| l.thread);
    lanes
}

/// The part of each off-CPU stint that was spent in one state. Stints whose state is not known are
/// left out; see [`run_state_known`].
fn parts(trace: &Trace, state: State) -> Vec<Lane> {
    let mut out = Vec::new();
    for lane in trace
        .lanes
        .iter()
        .filter(|l| l.op.is("off_cpu") && !l.runnable.is_empty())
    {
        let mut part = Lane::new(lane.thread, lane.op);
        for i in 0..lane.len() {
            let whole = lane.interval(i);
            let runnable = lane.runnable[i];
            if runnable == UNKNOWN_TIME {
                continue;
            }
            let runnable = runnable.clamp(whole.start, whole.end);
            let blocked = lane.uninterruptible.get(i).copied().unwrap_or(false);
            let piece = match state {
                State::OffCpu => whole,
                State::RunQueue => Interval::new(runnable, whole.end),
                State::Sleep if !blocked => Interval::new(whole.start, runnable),
                State::IoWait if blocked => Interval::new(whole.start, runnable),
                State::Sleep | State::IoWait => continue,
            };
            if piece.is_empty() {
                continue;
            }
            part.start.push(piece.start);
            part.dur.push(piece.len());
            part.row.extend(lane.row.get(i));
            part.preemptor.extend(lane.preemptor.get(i));
            part.prev_tid.extend(lane.prev_tid.get(i));
        }
        if part.start.is_sorted() {
            out.push(part);
        } else {
            out.push(sorted(&part));
        }
    }
    out
}

fn sorted(lane: &Lane) -> Lane {
    let mut order: Vec<usize> = (0..lane.len()).collect();
    order.sort_by_key(|&i| (lane.start[i], i));
    let mut out = Lane::new(lane.thread, lane.op);
    for i in order {
        out.start.push(lane.start[i]);
        out.dur.push(lane.dur[i]);
        out.row.extend(lane.row.get(i));
        out.preemptor.extend(lane.preemptor.get(i));
        out.prev_tid.extend(lane.prev_tid.get(i));
    }
    out
}

/// Whether nearly all (99.9 %) off-CPU time of a thread has a known state.
pub(super) fn run_state_known(trace: &Trace, thread: ThreadIdx) -> bool {
    let Some(lane) = trace.lanes[trace.thread(thread).lanes.clone()]
        .iter()
        .find(|l| l.op.is("off_cpu"))
    else {
        return true;
    };
    if lane.runnable.is_empty() {
        return lane.is_empty();
    }
    let (mut known, mut all) = (0i128, 0i128);
    for (dur, runnable) in lane.dur.iter().zip(&lane.runnable) {
        all += i128::from(*dur);
        known += if *runnable == UNKNOWN_TIME { 0 } else { i128::from(*dur) };
    }
    known * 1000 >= all * 999
}

/// Calls of one process that a selector of stored ops names, with the flags that it asks for.
fn calls<'t>(trace: &'t Trace, process: ProcIdx, sel: &Selector) -> Vec<(&'t Lane, Keep)> {
    let Base::Ops(ops) = &sel.base else { return Vec::new() };
    let keep = Keep::of(sel);
    let p = trace.process(process);
    p.threads
        .iter()
        .flat_map(|t| &trace.lanes[trace.thread(*t).lanes.clone()])
        .filter(|l| ops.binary_search(&l.op).is_ok())
        .map(|l| (l, keep))
        .collect()
}

/// Filters that the inner selection of a gap or slump may carry.
#[derive(Clone, Copy)]
struct Keep {
    nested: bool,
    first_use: Option<bool>,
}

impl Keep {
    fn of(sel: &Selector) -> Self {
        let mut keep = Self {
            nested: sel.source != Source::Gpu,
            first_use: None,
        };
        for f in &sel.filters {
            match f {
                Filter::Flag(Field::FirstUse) => keep.first_use = Some(true),
                Filter::Not(inner) if **inner == Filter::Flag(Field::FirstUse) => keep.first_use = Some(false),
                _ => {}
            }
        }
        keep
    }

    fn takes(self, lane: &Lane, i: usize) -> bool {
        let flags = lane.flags_at(i);
        (self.nested || flags & flag::NESTED == 0)
            && self.first_use.is_none_or(|want| (flags & flag::FIRST_USE != 0) == want)
    }
}

/// Stretches between the end of one call and the start of the next, per process.
fn gaps(trace: &Trace, process: ProcIdx, sel: &Selector, drained: bool) -> Vec<(ThreadIdx, Interval)> {
    let lanes = calls(trace, process, sel);
    let total: usize = lanes.iter().map(|(l, _)| l.len()).sum();
    if total < 2 {
        return Vec::new();
    }
    // (start, end, thread, kind): a stable sort merges the sorted runs of the lanes.
    let mut all: Vec<(i64, i64, ThreadIdx, Kind)> = Vec::with_capacity(total);
    for (lane, keep) in lanes {
        let kind = Kind::of(lane.op);
        all.extend((0..lane.len()).filter(|&i| keep.takes(lane, i)).map(|i| {
            let when = lane.interval(i);
            (when.start, when.end, lane.thread, kind)
        }));
    }
    all.sort_by_key(|c| c.0);
    let mut out = Vec::new();
    let Some(&(_, mut end, _, first)) = all.first() else {
        return out;
    };
    // The call that ends last so far, and the start of the last launch.
    let mut last = (first, all[0].0);
    let mut launched = if first == Kind::Launch { all[0].0 } else { i64::MIN };
    for &(start, stop, thread, kind) in &all[1..] {
        if start > end {
            let emptied = last.0 == Kind::Sync && launched <= last.1;
            if !drained || emptied {
                out.push((thread, Interval::new(end, start)));
            }
        }
        if stop >= end {
            (end, last) = (stop, (kind, start));
        }
        if kind == Kind::Launch {
            launched = launched.max(start);
        }
    }
    out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Launch,
    Sync,
    Other,
}

impl Kind {
    fn of(op: Op) -> Self {
        if op.is("launch") {
            Self::Launch
        } else if op.is("sync") {
            Self::Sync
        } else {
            Self::Other
        }
    }
}

/// Calls per whole second of a process, seconds counted from the observed start of its node.
fn per_second(trace: &Trace, process: ProcIdx, sel: &Selector) -> Option<(i64, Vec<u64>, ThreadIdx)> {
    let p = trace.process(process);
    let owner = p.launcher?;
    let observed = trace.node(p.node).observed?;
    let gpu = p.gpu?;
    // Whole seconds of the process' life, from its first call on.
    let from = gpu.start.max(observed.start);
    let seconds = usize::try_from((p.alive.end.min(observed.end) - from) / SEC).ok()?;
    if seconds == 0 || seconds > 10_000_000 {
        return None;
    }
    let mut counts = vec![0u64; seconds];
    for (lane, keep) in calls(trace, process, sel) {
        for i in (0..lane.len()).filter(|&i| keep.takes(lane, i)) {
            if let Some(n) = usize::try_from((lane.start[i] - from).div_euclid(SEC))
                .ok()
                .and_then(|s| counts.get_mut(s))
            {
                *n += 1;
            }
        }
    }
    Some((from, counts, owner))
}

fn slumps(trace: &Trace, process: ProcIdx, sel: &Selector) -> Vec<(ThreadIdx, Interval)> {
    let Some((from, counts, owner)) = per_second(trace, process, sel) else {
        return Vec::new();
    };
    slump_runs(&counts)
        .into_iter()
        .map(|(a, b)| (owner, seconds(from, a, b)))
        .collect()
}

fn seconds(from: i64, a: usize, b: usize) -> Interval {
    let at = |s: usize| from + i64::try_from(s).unwrap_or(i64::MAX / SEC) * SEC;
    Interval::new(at(a), at(b))
}

/// Runs `[a, b)` of seconds far below what was normal before them.
fn slump_runs(counts: &[u64]) -> Vec<(usize, usize)> {
    let mut out = Vec::new();
    let mut busy: Vec<u64> = Vec::new();
    let mut i = 0;
    while i < counts.len() {
        let normal = if busy.len() >= NORMAL_SECONDS {
            let mut recent = busy[busy.len().saturating_sub(NORMAL_MEMORY)..].to_vec();
            let middle = (recent.len() - 1) / 2;
            *recent.select_nth_unstable(middle).1
        } else {
            0
        };
        let low = |c: u64| normal >= NORMAL_RATE && c.saturating_mul(100) <= normal.saturating_mul(SLUMP_PERCENT);
        if low(counts[i]) {
            let end = counts[i..]
                .iter()
                .position(|&c| !low(c))
                .map_or(counts.len(), |n| i + n);
            if end - i >= SLUMP_SECONDS {
                out.push((i, end));
            }
            i = end;
        } else {
            if counts[i] >= BUSY_LAUNCHES {
                busy.push(counts[i]);
            }
            i += 1;
        }
    }
    out
}

fn busy_seconds(trace: &Trace, process: ProcIdx) -> Vec<(ThreadIdx, Interval)> {
    let launches = |source, ops: Vec<Op>| Selector {
        source,
        base: Base::Ops(ops),
        filters: Vec::new(),
    };
    let all = launches(Source::Gpu, Op::family(Source::Gpu, "launch"));
    let graphs = launches(Source::Graph, Op::family(Source::Graph, "launch"));
    let Some((from, counts, owner)) = per_second(trace, process, &all) else {
        return Vec::new();
    };
    let graph_counts = per_second(trace, process, &graphs).map(|g| g.1).unwrap_or_default();
    let busy = |s: usize| counts[s] >= BUSY_LAUNCHES || graph_counts.get(s).is_some_and(|&c| c > 0);
    let mut out = Vec::new();
    let mut s = 0;
    while s < counts.len() {
        if busy(s) {
            let end = (s..counts.len()).find(|&e| !busy(e)).unwrap_or(counts.len());
            out.push((owner, seconds(from, s, end)));
            s = end;
        } else {
            s += 1;
        }
    }
    out
}

/// For every launch lane of the trace, launches of its thread since that thread's last sync.
pub(super) fn since_sync(trace: &Trace) -> FxHashMap<(ThreadIdx, Op), Vec<u32>> {
    type Counts = Vec<((ThreadIdx, Op), Vec<u32>)>;
    let per_thread: Vec<Counts> = trace
        .threads
        .par_iter()
        .map(|thread| {
            let lanes = &trace.lanes[thread.lanes.clone()];
            let mut syncs: Vec<i64> = lanes
                .iter()
                .filter(|l| l.op.is("sync"))
                .flat_map(|l| l.start.iter().copied())
                .collect();
            syncs.sort_unstable();
            // All launches of the thread in one order; a nested driver call is its runtime call.
            let mut launches: Vec<(i64, usize, usize)> = Vec::new();
            for (li, lane) in lanes.iter().enumerate().filter(|(_, l)| l.op.is("launch")) {
                launches.extend((0..lane.len()).map(|i| (lane.start[i], li, i)));
            }
            launches.sort_unstable();
            let mut out: FxHashMap<usize, Vec<u32>> = FxHashMap::default();
            let (mut s, mut n) = (0, 0u32);
            for (start, li, i) in launches {
                while s < syncs.len() && syncs[s] <= start {
                    (s, n) = (s + 1, 0);
                }
                let column = out.entry(li).or_insert_with(|| vec![0; lanes[li].len()]);
                if lanes[li].flags_at(i) & flag::NESTED != 0 {
                    column[i] = n.saturating_sub(1);
                } else {
                    column[i] = n;
                    n = n.saturating_add(1);
                }
            }
            let mut out: Vec<_> = out
                .into_iter()
                .map(|(li, c)| ((lanes[li].thread, lanes[li].op), c))
                .collect();
            out.sort_unstable_by_key(|(k, _)| *k);
            out
        })
        .collect();
    per_thread.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slump_needs_a_normal_and_three_seconds() {
        let steady = [1051; 10];
        let with = |tail: &[u64]| [&steady[..], tail].concat();
        assert_eq!(slump_runs(&with(&[208, 210, 207, 206, 1051])), [(10, 14)]);
        assert_eq!(slump_runs(&with(&[208, 210, 1051])), []);
        assert_eq!(slump_runs(&with(&[500, 500, 500, 500])), []);
        assert_eq!(slump_runs(&with(&[0; 5])), [(10, 15)]);
        assert_eq!(slump_runs(&[90, 90, 90, 90, 90, 90, 5, 5, 5, 5]), []);
        assert_eq!(slump_runs(&[0, 0, 0, 1000, 1000, 1000]), []);
    }
}
