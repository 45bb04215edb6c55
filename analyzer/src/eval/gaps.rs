//! Gaps between the calls of a process: found by process, when a rule asks for gaps of that length.
//!
//! Short ones are as many as the calls, and most rules ask for long ones only.

use std::sync::OnceLock;

use rayon::prelude::*;

use super::derive::{calls, nameless};
use super::merge::in_order;
use super::select::least_duration;
use crate::lang::hir::{Base, Selector};
use crate::trace::catalogue::Op;
use crate::trace::{Lane, ProcIdx, ThreadIdx, Trace};
use crate::unit::Interval;

/// Which gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// All of them.
    Every,
    /// Those behind a sync that emptied the queue.
    Drained,
}

impl Kind {
    pub(super) const BOTH: [Self; 2] = [Self::Every, Self::Drained];

    /// What rules call those between the calls of a selection.
    pub(super) fn of(self, calls: &Selector) -> Base {
        match self {
            Self::Every => Base::Gap(Box::new(calls.clone())),
            Self::Drained => Base::DrainedGap(Box::new(calls.clone())),
        }
    }
}

/// Gaps between the calls of a selection.
#[derive(Debug)]
pub(super) struct Gaps {
    calls: Selector,
    tiers: Vec<Tier>,
}

/// Gaps from a length on, by process.
#[derive(Debug)]
struct Tier {
    /// By kind: the length, or that there are none.
    least: [Option<i64>; 2],
    /// By kind, then by thread. Of a thread that has only shorter ones its longest: so it can be told of whom
    /// there are any.
    found: Vec<OnceLock<[Vec<Lane>; 2]>>,
}

impl Gaps {
    /// Nothing is looked for yet: only what lengths the selectors will ask for.
    pub(super) fn new(trace: &Trace, calls: &Selector, selectors: &[Selector]) -> Self {
        let lengths = |kind: Kind| {
            let base = kind.of(calls);
            let asked = selectors.iter().filter(move |s| s.base == base);
            asked.map(|s| least_duration(&s.filters)).collect::<Vec<_>>()
        };
        let asked = Kind::BOTH.map(lengths);
        let any = Some(i64::MIN);
        let tiers = [
            [0, 1].map(|k| asked[k].iter().copied().flatten().min()),
            [0, 1].map(|k| any.filter(|_| asked[k].contains(&None))),
            // What nobody said that they would ask for.
            [any, None],
            [None, any],
        ];
        let tier = |least| Tier {
            least,
            found: trace.processes.iter().map(|_| OnceLock::new()).collect(),
        };
        Self {
            calls: calls.clone(),
            tiers: tiers.map(tier).into(),
        }
    }

    /// Lanes of a process that hold every gap of at least that length, by thread.
    pub(super) fn of_process(&self, trace: &Trace, process: ProcIdx, kind: Kind, length: i64) -> &[Lane] {
        let at = process.0 as usize;
        let (kind, mut holding) = (kind as usize, self.tiers.iter());
        let holds = |t: &&Tier| t.least[kind].is_some_and(|least| length >= least);
        let known = holding.clone().filter(holds).find(|t| t.found[at].get().is_some());
        // Nothing in here may wait for other tasks of the pool: they may wait for this.
        known.or_else(|| holding.find(holds)).map_or(&[], |tier| {
            let found = tier.found[at].get_or_init(|| gaps_of(trace, process, &self.calls, tier.least));
            &found[kind]
        })
    }

    /// Lanes that hold every gap of at least that length, by thread.
    pub(super) fn at_least(&self, trace: &Trace, kind: Kind, length: i64) -> Vec<&Lane> {
        let processes = (0u32..).take(trace.processes.len()).map(ProcIdx).collect::<Vec<_>>();
        let found: Vec<&[Lane]> = processes
            .into_par_iter()
            .map(|p| self.of_process(trace, p, kind, length))
            .collect();
        found.into_iter().flatten().collect()
    }
}

/// Both kinds of gaps, each from a length on, or not at all.
fn gaps_of(trace: &Trace, process: ProcIdx, sel: &Selector, least: [Option<i64>; 2]) -> [Vec<Lane>; 2] {
    let lanes = calls(trace, process, sel);
    let kinds: Vec<Role> = lanes.iter().map(|(l, _)| Role::of(l.op)).collect();
    let mut threads: Vec<ThreadIdx> = lanes.iter().map(|(l, _)| l.thread).collect();
    threads.dedup();
    let slots: Vec<usize> = lanes
        .iter()
        .map(|(l, _)| threads.iter().position(|t| *t == l.thread).unwrap_or(0))
        .collect();
    let mut out =
        least.map(|least| least.map(|least| threads.iter().map(|t| Ended::new(*t, least)).collect::<Vec<_>>()));
    // The end of the call that ends last so far, its kind and start, and the start of the last launch.
    let mut last: Option<(i64, Role, i64)> = None;
    let mut launched = i64::MIN;
    let starts: Vec<&[i64]> = lanes.iter().map(|(l, _)| l.start.as_slice()).collect();
    in_order(&starts, |n, i| {
        let (lane, keep) = lanes[n];
        if !keep.takes(lane, i) {
            return;
        }
        let (start, kind) = (lane.start[i], kinds[n]);
        let stop = lane.interval(i).end;
        let (end, kind_before, start_before) = last.unwrap_or((i64::MAX, kind, start));
        if start > end {
            let gap = Interval::new(end, start);
            let drained = kind_before == Role::Sync && launched <= start_before;
            let [every, emptied] = &mut out;
            for list in [every.as_mut(), emptied.as_mut().filter(|_| drained)]
                .into_iter()
                .flatten()
            {
                list[slots[n]].push(gap);
            }
        }
        if last.is_none() || stop >= end {
            last = Some((stop, kind, start));
        }
        if kind == Role::Launch {
            launched = launched.max(start);
        }
    });
    out.map(|list| list.into_iter().flatten().filter_map(Ended::into_lane).collect())
}

/// Gaps that a call of one thread ended.
struct Ended {
    lane: Lane,
    least: i64,
    /// The longest one, while all are too short.
    short: Option<Interval>,
}

impl Ended {
    fn new(thread: ThreadIdx, least: i64) -> Self {
        Self {
            lane: Lane::new(thread, nameless()),
            least,
            short: None,
        }
    }

    fn push(&mut self, gap: Interval) {
        let len = gap.len();
        if len >= self.least {
            self.lane.start.push(gap.start);
            self.lane.dur.push(len);
        } else if self.short.is_none_or(|s| s.len() < len) {
            self.short = Some(gap);
        }
    }

    fn into_lane(mut self) -> Option<Lane> {
        if let Some(gap) = self.short.filter(|_| self.lane.is_empty()) {
            self.lane.start.push(gap.start);
            self.lane.dur.push(gap.len());
        }
        self.lane.start.shrink_to_fit();
        self.lane.dur.shrink_to_fit();
        Some(self.lane).filter(|l| !l.is_empty())
    }
}

/// What a call does to the queue of the GPU.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Launch,
    Sync,
    Other,
}

impl Role {
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

#[cfg(test)]
mod tests {
    use super::super::derive::tests::{calls_of, scene};
    use super::*;
    use crate::lang::hir::{CmpOp, Filter, Value};
    use crate::trace::catalogue::{Field, Source};
    use crate::unit::{Num, SEC};

    /// (thread, gap) as defined, from all calls in one list.
    fn gaps_simply(trace: &Trace, sel: &Selector, drained: bool) -> Vec<(ThreadIdx, Interval)> {
        let mut all: Vec<(i64, i64, ThreadIdx, Role)> = Vec::new();
        for (lane, keep) in calls(trace, ProcIdx(0), sel) {
            for i in (0..lane.len()).filter(|&i| keep.takes(lane, i)) {
                let when = lane.interval(i);
                all.push((when.start, when.end, lane.thread, Role::of(lane.op)));
            }
        }
        all.sort_by_key(|c| c.0);
        let mut out = Vec::new();
        for (n, &(start, _, thread, _)) in all.iter().enumerate().skip(1) {
            let before = &all[..n];
            let end = before.iter().map(|c| c.1).max().unwrap();
            let last = before.iter().rfind(|c| c.1 == end).unwrap();
            let launched = before.iter().filter(|c| c.3 == Role::Launch).map(|c| c.0).max();
            let emptied = last.3 == Role::Sync && launched.is_none_or(|l| l <= last.0);
            if start > end && (emptied || !drained) {
                out.push((thread, Interval::new(end, start)));
            }
        }
        out.sort_unstable();
        out
    }

    fn listed<'l>(lanes: impl IntoIterator<Item = &'l Lane>) -> Vec<(ThreadIdx, Interval)> {
        let of = |l: &Lane| (0..l.len()).map(|i| (l.thread, l.interval(i))).collect::<Vec<_>>();
        lanes.into_iter().flat_map(of).collect()
    }

    #[test]
    fn one_pass_finds_the_gaps_of_the_definition() {
        for seed in 0..60 {
            let trace = scene(seed, if seed % 2 == 0 { 30 } else { 200 });
            let mut ops: Vec<Op> = trace.lanes.iter().map(|l| l.op).collect();
            ops.sort_unstable();
            ops.dedup();
            let source = if seed % 3 == 0 { Source::Cuda } else { Source::Gpu };
            let sel = calls_of(
                source,
                ops,
                [None, Some(true), Some(false)][usize::try_from(seed % 3).unwrap()],
            );
            let [every, drained] = gaps_of(&trace, ProcIdx(0), &sel, [Some(i64::MIN), Some(i64::MIN)]);
            for (found, drained) in [(every, false), (drained, true)] {
                let want = gaps_simply(&trace, &sel, drained);
                assert_eq!(listed(&found), want, "seed {seed}, drained {drained}");
                // Long ones are all there, and nobody who has a gap is left out.
                let least = SEC / 100;
                let wanted = if drained {
                    [None, Some(least)]
                } else {
                    [Some(least), None]
                };
                let [every, emptied] = gaps_of(&trace, ProcIdx(0), &sel, wanted);
                let long = if drained { emptied } else { every };
                let is_long = |g: &(ThreadIdx, Interval)| g.1.len() >= least;
                let keep = |all: &[(ThreadIdx, Interval)]| all.iter().copied().filter(is_long).collect::<Vec<_>>();
                assert_eq!(keep(&listed(&long)), keep(&want));
                let whose = |lanes: &[Lane]| lanes.iter().map(|l| l.thread).collect::<Vec<_>>();
                assert_eq!(whose(&long), whose(&found));
            }
        }
    }

    #[test]
    fn whatever_length_is_asked_for_is_there() {
        let trace = scene(5, 200);
        let mut ops: Vec<Op> = trace.lanes.iter().map(|l| l.op).collect();
        ops.sort_unstable();
        ops.dedup();
        let sel = calls_of(Source::Gpu, ops, None);
        let lasting = |least: i64| {
            Filter::Cmp(
                Value::Field(Field::Duration),
                CmpOp::Ge,
                Value::Num(Num::int(least.into())),
            )
        };
        let asked = |kind: Kind, least: Option<i64>| Selector {
            source: Source::Gpu,
            base: kind.of(&sel),
            filters: least.map(lasting).into_iter().collect(),
        };
        let long = SEC / 100;
        let some = [asked(Kind::Every, Some(long)), asked(Kind::Drained, None)];
        for selectors in [&some[..], &some[..1], &[]] {
            for (kind, drained) in [(Kind::Every, false), (Kind::Drained, true)] {
                let gaps = Gaps::new(&trace, &sel, selectors);
                let all = gaps_simply(&trace, &sel, drained);
                for least in [SEC / 50, long, i64::MIN] {
                    let found = gaps.at_least(&trace, kind, least);
                    let mut found = listed(found);
                    found.retain(|g| g.1.len() >= least);
                    let want: Vec<_> = all.iter().copied().filter(|g| g.1.len() >= least).collect();
                    assert_eq!(found, want, "{kind:?} of at least {least}");
                }
            }
        }
    }
}
