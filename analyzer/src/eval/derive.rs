//! Intervals that are computed when a rule asks for them: gaps between calls, slumps of a call
//! rate, busy seconds, and the parts of off-CPU time. Each becomes a lane like any stored op.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::gaps::{Gaps, Kind};
use super::merge::in_order;
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
pub(super) type Derived = FxHashMap<(Source, Base), Lanes>;

/// Derived lanes, by thread.
#[derive(Debug)]
pub(super) enum Lanes {
    /// All of them.
    Complete(Vec<Lane>),
    /// Found when somebody asks.
    Gaps(Arc<Gaps>, Kind),
}

impl Lanes {
    /// Lanes that hold every interval of at least that length.
    pub(super) fn at_least(&self, trace: &Trace, length: i64) -> Vec<&Lane> {
        match self {
            Self::Complete(lanes) => lanes.iter().collect(),
            Self::Gaps(gaps, kind) => gaps.at_least(trace, *kind, length),
        }
    }

    /// Those of one thread.
    pub(super) fn of_thread(&self, trace: &Trace, thread: ThreadIdx, length: i64) -> Vec<&Lane> {
        let all = match self {
            Self::Complete(lanes) => lanes.as_slice(),
            Self::Gaps(gaps, kind) => gaps.of_process(trace, trace.thread(thread).process, *kind, length),
        };
        let from = all.partition_point(|l| l.thread < thread);
        all[from..].iter().take_while(|l| l.thread == thread).collect()
    }
}

/// Computes what the selectors need.
pub(super) fn all(trace: &Trace, selectors: &[Selector]) -> Derived {
    let mut derived = Derived::default();
    for sel in selectors {
        let id = (sel.source, sel.base.clone());
        if derived.contains_key(&id) {
            continue;
        }
        let lanes = match &sel.base {
            Base::Ops(_) | Base::State(State::OffCpu) => continue,
            Base::State(state) => Lanes::Complete(parts(trace, *state)),
            Base::Gap(inner) | Base::DrainedGap(inner) => {
                // One pass finds both kinds.
                let gaps = Arc::new(Gaps::new(trace, inner, selectors));
                for kind in Kind::BOTH {
                    let lanes = Lanes::Gaps(Arc::clone(&gaps), kind);
                    derived.insert((sel.source, kind.of(inner)), lanes);
                }
                continue;
            }
            Base::Slump(inner) => Lanes::Complete(per_process(trace, |p| slumps(trace, p, inner))),
            Base::BusySeconds => Lanes::Complete(per_process(trace, |p| busy_seconds(trace, p))),
        };
        derived.insert(id, lanes);
    }
    derived
}

/// The op under which derived lanes are filed. Its name is never shown.
pub(super) fn nameless() -> Op {
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
            part.throttled.extend(lane.throttled.get(i));
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
        out.throttled.extend(lane.throttled.get(i));
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
        return lane.dur.iter().all(|d| *d == 0);
    }
    let (mut known, mut all) = (0i128, 0i128);
    for (dur, runnable) in lane.dur.iter().zip(&lane.runnable) {
        all += i128::from(*dur);
        known += if *runnable == UNKNOWN_TIME { 0 } else { i128::from(*dur) };
    }
    known * 1000 >= all * 999
}

/// Calls of one process that a selector of stored ops names, with the flags that it asks for.
pub(super) fn calls<'t>(trace: &'t Trace, process: ProcIdx, sel: &Selector) -> Vec<(&'t Lane, Keep)> {
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
pub(super) struct Keep {
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

    pub(super) fn takes(self, lane: &Lane, i: usize) -> bool {
        let flags = lane.flags_at(i);
        (self.nested || flags & flag::NESTED == 0)
            && self.first_use.is_none_or(|want| (flags & flag::FIRST_USE != 0) == want)
    }

    /// How many of a range it takes.
    fn count(self, lane: &Lane, range: Range<usize>) -> usize {
        if lane.flags.is_empty() {
            return if self.first_use == Some(true) { 0 } else { range.len() };
        }
        range.filter(|&i| self.takes(lane, i)).count()
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
        let mut at = lane.start.partition_point(|s| *s < from);
        while let Some((second, count)) = lane
            .start
            .get(at)
            .and_then(|s| usize::try_from((s - from) / SEC).ok())
            .and_then(|second| Some((second, counts.get_mut(second)?)))
        {
            let until = seconds_from(from, second + 1);
            let next = at + lane.start[at..].partition_point(|s| *s < until);
            *count += keep.count(lane, at..next) as u64;
            at = next;
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
    Interval::new(seconds_from(from, a), seconds_from(from, b))
}

fn seconds_from(from: i64, n: usize) -> i64 {
    from + i64::try_from(n).unwrap_or(i64::MAX / SEC) * SEC
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
            let of = |family| lanes.iter().filter(move |l| l.op.is(family));
            let mut syncs: Vec<i64> = of("sync").flat_map(|l| l.start.iter().copied()).collect();
            #[expect(
                clippy::stable_sort_primitive,
                reason = "sorted columns one behind the other are only merged"
            )]
            syncs.sort();
            // All launches of the thread in one order; a nested driver call is its runtime call.
            let launches: Vec<&Lane> = of("launch").collect();
            let starts: Vec<&[i64]> = launches.iter().map(|l| l.start.as_slice()).collect();
            let mut columns: Vec<Vec<u32>> = launches.iter().map(|l| Vec::with_capacity(l.len())).collect();
            let (mut s, mut n) = (0, 0u32);
            in_order(&starts, |l, i| {
                let lane = launches[l];
                while syncs.get(s).is_some_and(|sync| *sync <= lane.start[i]) {
                    (s, n) = (s + 1, 0);
                }
                if lane.flags_at(i) & flag::NESTED != 0 {
                    columns[l].push(n.saturating_sub(1));
                } else {
                    columns[l].push(n);
                    n = n.saturating_add(1);
                }
            });
            let keys = launches.iter().map(|l| (l.thread, l.op));
            keys.zip(columns).collect()
        })
        .collect();
    per_thread.into_iter().flatten().collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::trace::{Node, NodeIdx, Process, Rows, Thread};

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

    /// A process of three threads with random calls, some nested, some first uses.
    pub(in crate::eval) fn scene(seed: u64, calls: u64) -> Trace {
        let mut state = seed;
        let mut draw = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((state >> 33) % n).cast_signed()
        };
        let ops = [
            (Source::Cuda, "cudaLaunchKernel"),
            (Source::Cuda, "cudaMemcpyAsync"),
            (Source::Cuda, "cudaStreamSync"),
            (Source::Driver, "cuLaunchKernel"),
        ];
        let mut ops = ops.map(|(s, n)| Op::by_name(s, n).unwrap());
        ops.sort_unstable();
        let whole = Interval::new(0, 12 * SEC);
        let mut trace = Trace {
            nodes: vec![Node {
                observed: Some(whole),
                ..Node::default()
            }],
            ..Trace::default()
        };
        trace.processes.push(Process {
            node: NodeIdx(0),
            pid: 1,
            life: 0,
            name: String::new(),
            alive: whole,
            start_seen: true,
            exit_seen: true,
            parent: None,
            threads: (0..3).map(ThreadIdx).collect(),
            launcher: Some(ThreadIdx(0)),
            gpu: Some(Interval::new(3, whole.end)),
            steady_from: None,
            late: false,
            limits_known: false,
            frontend: None,
        });
        for t in 0..3 {
            let from = trace.lanes.len();
            for op in ops {
                let mut lane = Lane::new(ThreadIdx(t), op);
                let n = draw(calls);
                lane.start = (0..n).map(|_| draw(12_000) * (SEC / 1000)).collect();
                lane.start.sort_unstable();
                lane.dur = (0..n).map(|_| draw(3) * draw(4) * SEC / 2000).collect();
                if draw(3) > 0 {
                    lane.flags = (0..n).map(|_| u8::try_from(draw(4) & draw(4)).unwrap()).collect();
                }
                trace.lanes.push(lane);
            }
            trace.threads.push(Thread {
                process: ProcIdx(0),
                tid: t.into(),
                name: String::new(),
                lanes: from..trace.lanes.len(),
                sched: Rows::Unobserved,
            });
        }
        trace
    }

    pub(in crate::eval) fn calls_of(source: Source, ops: Vec<Op>, first_use: Option<bool>) -> Selector {
        let flag = Filter::Flag(Field::FirstUse);
        Selector {
            source,
            base: Base::Ops(ops),
            filters: first_use
                .map(|f| if f { flag.clone() } else { Filter::Not(Box::new(flag)) })
                .into_iter()
                .collect(),
        }
    }

    #[test]
    fn launches_are_counted_from_the_last_sync_on() {
        for seed in 0..40 {
            let trace = scene(seed, 150);
            let counts = since_sync(&trace);
            for thread in &trace.threads {
                let lanes = &trace.lanes[thread.lanes.clone()];
                let mut launches: Vec<(i64, usize, usize)> = Vec::new();
                for (li, lane) in lanes.iter().enumerate().filter(|(_, l)| l.op.is("launch")) {
                    launches.extend((0..lane.len()).map(|i| (lane.start[i], li, i)));
                }
                launches.sort_unstable();
                for (n, &(start, li, i)) in launches.iter().enumerate() {
                    let syncs = lanes.iter().filter(|l| l.op.is("sync")).flat_map(|l| &l.start);
                    let sync = syncs.copied().filter(|s| *s <= start).max().unwrap_or(i64::MIN);
                    let own =
                        |(at, l, k): &&(i64, usize, usize)| *at >= sync && lanes[*l].flags_at(*k) & flag::NESTED == 0;
                    let before = launches[..n].iter().filter(own).count();
                    let nested = lanes[li].flags_at(i) & flag::NESTED != 0;
                    let want = before - usize::from(nested && before > 0);
                    let got = counts[&(lanes[li].thread, lanes[li].op)][i];
                    assert_eq!(got as usize, want, "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn seconds_are_counted_by_halving() {
        for seed in 0..40 {
            let trace = scene(seed, 300);
            for first_use in [None, Some(true), Some(false)] {
                let sel = calls_of(Source::Gpu, Op::family(Source::Gpu, "launch"), first_use);
                let (from, counts, _) = per_second(&trace, ProcIdx(0), &sel).unwrap();
                let mut want = vec![0; counts.len()];
                for (lane, keep) in calls(&trace, ProcIdx(0), &sel) {
                    for i in (0..lane.len()).filter(|&i| keep.takes(lane, i)) {
                        let second = (lane.start[i] - from).div_euclid(SEC);
                        if let Some(n) = usize::try_from(second).ok().and_then(|s| want.get_mut(s)) {
                            *n += 1;
                        }
                    }
                }
                assert_eq!(counts, want, "seed {seed} {first_use:?}");
            }
        }
    }
}
