//! `covered(A, B)`: the share of A's time that lies inside B. This is how a rule proves a cause.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::super::key::{self, KeyVal};
use super::super::logic::{Lack, Reason};
use super::super::select::{Group, hull};
use super::super::sums::Sums;
use super::super::value::{Ext, Val};
use super::super::{Engine, Thresholds};
use crate::lang::hir::{Base, Scope, Segment, Selector};
use crate::trace::catalogue::{Key, Op, Source, State};
use crate::trace::{Lane, Rows, ThreadIdx, Trace};
use crate::unit::{Interval, Num};

/// How many events a circular shift moves at most; more are thinned evenly.
const MAX_SHIFTED: usize = 512;
/// How many offsets are tried.
pub(in crate::eval) const SHIFTS: usize = 256;

/// So many intervals are rather added up than looked up.
const FEW: usize = 8;

/// Disjoint sorted intervals with running sums.
#[derive(Debug, Default)]
pub(in crate::eval) struct Union<'t> {
    start: Cow<'t, [i64]>,
    len: Cow<'t, [i64]>,
    sums: Sums,
}

impl<'t> Union<'t> {
    pub(in crate::eval) fn of(mut all: Vec<Interval>) -> Self {
        if !all.is_sorted() {
            all.sort_unstable();
        }
        let mut out = Growing::default();
        for i in all {
            out.push(i);
        }
        out.done()
    }

    /// Of all intervals of a lane: they stay where they are, unless some overlap.
    pub(in crate::eval) fn of_lane(lane: &'t Lane) -> Self {
        let ends = lane.start.iter().zip(&lane.dur).map(|(s, d)| s.saturating_add(*d));
        let apart = ends.zip(lane.start.iter().skip(1)).all(|(end, next)| end <= *next);
        if apart && lane.dur.iter().all(|d| *d >= 0) {
            Self::new(Cow::Borrowed(&lane.start), Cow::Borrowed(&lane.dur))
        } else {
            Self::of((0..lane.len()).map(|i| lane.interval(i)).collect())
        }
    }

    fn new(start: Cow<'t, [i64]>, len: Cow<'t, [i64]>) -> Self {
        Self {
            sums: Sums::new(&len),
            start,
            len,
        }
    }

    /// Without the intervals that begin inside one of these.
    fn begun_outside(&self, of: &[Interval]) -> Self {
        let kept = (0..self.start.len()).filter(|i| !of.iter().any(|w| w.contains(self.start[*i])));
        let (start, len): (Vec<i64>, Vec<i64>) = kept.map(|i| (self.start[i], self.len[i])).unzip();
        Self::new(Cow::Owned(start), Cow::Owned(len))
    }

    /// Whether it takes little memory of its own.
    fn is_small(&self) -> bool {
        matches!(self.start, Cow::Borrowed(_)) || self.start.len() < 1 << 16
    }

    /// Time covered up to `t`.
    fn upto(&self, t: i64) -> i64 {
        let n = self.start.partition_point(|s| *s <= t);
        match n.checked_sub(1) {
            Some(i) => self.sums.first(&self.len, i) + (t - self.start[i]).min(self.len[i]),
            None => 0,
        }
    }

    pub(in crate::eval) fn overlap(&self, i: Interval) -> i64 {
        // Most events meet one or none: those are added up in place.
        let first = self.start.partition_point(|s| *s <= i.start).saturating_sub(1);
        let mut sum = 0;
        for k in first..self.start.len().min(first + FEW) {
            let start = self.start[k];
            if start >= i.end {
                return sum;
            }
            sum += (start.saturating_add(self.len[k]).min(i.end) - start.max(i.start)).max(0);
        }
        if self.start.len() <= first + FEW {
            return sum;
        }
        self.upto(i.end) - self.upto(i.start)
    }
}

/// A union on its way: intervals come by start.
#[derive(Default)]
struct Growing {
    start: Vec<i64>,
    len: Vec<i64>,
    end: i64,
}

impl Growing {
    fn push(&mut self, i: Interval) {
        match self.len.last_mut() {
            Some(len) if i.start <= self.end => *len += (i.end - self.end).max(0),
            _ => {
                self.start.push(i.start);
                self.len.push(i.len());
                self.end = i.end;
            }
        }
        self.end = self.end.max(i.end);
    }

    fn done(self) -> Union<'static> {
        Union::new(Cow::Owned(self.start), Cow::Owned(self.len))
    }
}

/// What a union is of: the selection, and the thread, process or node by number.
pub(in crate::eval) type Whose = (Selector, Scope, u64);

/// Time in which some request was open, by node.
pub(in crate::eval) fn open_requests(trace: &Trace) -> Vec<Union<'static>> {
    let open = Op::by_name(Source::Request, "open");
    (0u16..)
        .take(trace.nodes.len())
        .map(|n| {
            let lanes = trace
                .lanes
                .iter()
                .filter(|l| Some(l.op) == open && trace.process_of(l).node.0 == n);
            Union::of(lanes.flat_map(|l| (0..l.len()).map(|i| l.interval(i))).collect())
        })
        .collect()
}

/// All off-CPU time of a thread.
pub(in crate::eval) fn union_of_off_cpu<'t>(engine: &Engine<'t>, thread: ThreadIdx) -> Union<'t> {
    let lanes = &engine.trace.lanes[engine.trace.thread(thread).lanes.clone()];
    let mut stints = lanes.iter().filter(|l| l.op.is("off_cpu"));
    stints.next().map_or_else(Union::default, Union::of_lane)
}

/// A's events and B's unions, ready for sums and shifts.
pub(in crate::eval) struct Proof<'t> {
    /// (interval, which union).
    events: Vec<(Interval, usize)>,
    unions: Vec<Arc<Union<'t>>>,
    life: Interval,
    unobserved: Vec<bool>,
    windows: Vec<Option<Vec<Interval>>>,
}

/// How much is covered when the events are moved along the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::eval) struct Shifted {
    /// How many of [`SHIFTS`] offsets explain as much.
    pub(in crate::eval) as_good: usize,
}

impl<'t> Engine<'t> {
    /// Gathers A and B for a key.
    pub(in crate::eval) fn proof(
        &self,
        a: &Group<'t>,
        b: &Selector,
        scope: Scope,
        seg: &[Interval],
        key: KeyVal,
    ) -> Result<Proof<'t>, Reason> {
        let life = key::life(self.trace, key).unwrap_or_else(|| hull(seg));
        let (thresholds, doubt) = self.thresholds(&b.filters, key)?;
        let mut unsure = false;
        let mut slots: BTreeMap<u64, usize> = BTreeMap::new();
        let mut proof = Proof {
            events: Vec::new(),
            unions: Vec::new(),
            life,
            unobserved: Vec::new(),
            windows: Vec::new(),
        };
        let mut slot_of: FxHashMap<ThreadIdx, usize> = FxHashMap::default();
        for (lane, i) in Self::inside(a, seg) {
            let slot = *slot_of.entry(lane.thread).or_insert_with(|| {
                let p = self.trace.thread(lane.thread).process;
                let (id, threads): (u64, Vec<ThreadIdx>) = match scope {
                    Scope::Thread => (lane.thread.0.into(), vec![lane.thread]),
                    Scope::Process => (p.0.into(), self.trace.process(p).threads.clone()),
                    Scope::Node => (0, Vec::new()),
                };
                *slots.entry(id).or_insert_with(|| {
                    let whose = (
                        b.clone(),
                        scope,
                        if scope == Scope::Node { key.node().0.into() } else { id },
                    );
                    let lanes = || -> Vec<&'t Lane> {
                        if scope == Scope::Node {
                            let here = |l: &&Lane| self.trace.process_of(l).node == key.node();
                            self.lanes(b).into_iter().filter(here).collect()
                        } else {
                            threads.iter().flat_map(|t| self.lanes_of_thread(b, *t)).collect()
                        }
                    };
                    let (union, sure) = self.union(whose, lanes, &thresholds);
                    unsure |= !sure;
                    let rows = self.b_rows(b, scope, &threads, key, hull(seg));
                    proof.unobserved.push(rows == Rows::Unobserved);
                    proof.windows.push(match rows {
                        // What ends in a window is a row. After the last of one thread another may have
                        // begun that ended later; with several threads that may be so at any time.
                        Rows::Windows(w) if scope == Scope::Thread && b.filters.is_empty() => {
                            Some(known(&w, &self.chosen(b, &lanes(), &thresholds).0))
                        }
                        Rows::Windows(_) | Rows::AtLeast(_) => Some(Vec::new()),
                        _ => None,
                    });
                    proof.unions.push(union);
                    proof.unions.len() - 1
                })
            });
            proof.events.push((lane.interval(i), slot));
        }
        if unsure {
            let why = || Reason::new(Lack::Partial, "which intervals the filter takes is not known");
            return Err(doubt.unwrap_or_else(why));
        }
        Ok(proof)
    }

    /// The intervals of a selection in some lanes, and whether it is sure which they are.
    fn chosen(&self, sel: &Selector, lanes: &[&'t Lane], thresholds: &[Thresholds]) -> (Vec<Interval>, bool) {
        let (mut all, mut sure) = (Vec::new(), true);
        for lane in lanes {
            let chosen = self.select(sel, lane, thresholds, None);
            sure &= chosen.maybe.is_empty();
            match chosen.sure {
                None => all.extend((0..lane.len()).map(|i| lane.interval(i))),
                Some(idx) => all.extend(idx.iter().map(|&i| lane.interval(i as usize))),
            }
        }
        (all, sure)
    }

    /// When B was there, and whether that is sure. Kept for other rules where its filters do not depend
    /// on the key.
    fn union(
        &self,
        whose: Whose,
        lanes: impl Fn() -> Vec<&'t Lane>,
        thresholds: &[Thresholds],
    ) -> (Arc<Union<'t>>, bool) {
        let shared = thresholds.iter().all(|t| t.values.is_empty());
        let known = || self.unions.lock().ok().and_then(|u| u.get(&whose).cloned());
        if let Some(found) = shared.then(known).flatten() {
            return (found, true);
        }
        let lanes = lanes();
        let whole = |l: &&'t Lane| whose.0.filters.is_empty() && (whose.0.source != Source::Gpu || l.flags.is_empty());
        let (made, sure) = match lanes.as_slice() {
            [lane] if whole(lane) => (Union::of_lane(lane), true),
            _ => {
                let (all, sure) = self.chosen(&whose.0, &lanes, thresholds);
                (Union::of(all), sure)
            }
        };
        let made = Arc::new(made);
        if let (true, Ok(mut unions)) = (shared && sure && made.is_small(), self.unions.lock()) {
            unions.insert(whose, Arc::clone(&made));
        }
        (made, sure)
    }

    /// How completely B is known for the threads of a slot.
    fn b_rows(&self, b: &Selector, scope: Scope, threads: &[ThreadIdx], key: KeyVal, seg: Interval) -> Rows {
        if let (Base::State(state), Scope::Thread) = (&b.base, scope) {
            return threads
                .first()
                .map_or(Rows::Unobserved, |t| self.sched_rows(*t, *state));
        }
        // B is not grouped by the key of A: its operation, stream and the like say nothing of B.
        let whom = match (scope, threads.first()) {
            (Scope::Node, _) | (_, None) => KeyVal::of_node(key.node()),
            (Scope::Thread, Some(t)) => KeyVal::of_thread(self.trace, *t),
            (Scope::Process, Some(t)) => KeyVal::of_process(self.trace, self.trace.thread(*t).process),
        };
        // What began before the segment may reach into it.
        let life = key::life(self.trace, whom).unwrap_or(seg);
        let m = self.missing(b, whom, life);
        if m.is_nothing() {
            Rows::Complete
        } else if m.reason().lack == Lack::Missing || !b.base.grows() {
            Rows::Unobserved
        } else {
            Rows::Windows(m.windows)
        }
    }

    pub(super) fn covered(
        &self,
        a: &Selector,
        b: &Selector,
        scope: Scope,
        (segment, on): (Segment, &[Key]),
        key: KeyVal,
        group: Option<&Group<'t>>,
    ) -> Val {
        let seg = match self.stretches(segment, on, key) {
            Ok(seg) => seg,
            Err(why) => return Val::of_no_part(why),
        };
        let missing = self.missing(a, key, hull(&seg)).with_maybe(group, &seg);
        if let Some(why) = group.and_then(|g| g.uncertain.clone()) {
            return Val::unknown(why);
        }
        let Some(group) = group.filter(|g| Self::inside(g, &seg).next().is_some()) else {
            return Self::doubt(None, &missing).map_or_else(Val::nothing, Val::unknown);
        };
        let proof = match self.proof(group, b, scope, &seg, key) {
            Ok(p) => p,
            Err(why) => return Val::unknown(why),
        };
        let n = proof.events.len() as u64;
        let (mut total, mut lo, mut hi, mut blind) = (0i128, 0i128, 0i128, 0i128);
        for (when, slot) in &proof.events {
            let len = i128::from(when.len());
            let covered = i128::from(proof.unions[*slot].overlap(*when));
            total += len;
            if proof.unobserved[*slot] {
                blind += len;
                hi += len;
                continue;
            }
            lo += covered;
            hi += match &proof.windows[*slot] {
                // Outside the complete windows more of B may have been.
                Some(w) => {
                    let seen: i128 = w.iter().map(|w| i128::from(w.overlap(*when))).sum();
                    (covered + len - seen).clamp(covered, len)
                }
                None => covered,
            };
        }
        let what = || match &b.base {
            Base::State(State::OffCpu) => "off-CPU time of the thread".to_owned(),
            Base::State(s) => format!("when the thread was in state {}", s.name()),
            _ => format!("all {} intervals", b.source.name()),
        };
        if blind == total && total > 0 {
            let text = match &b.base {
                Base::State(_) => format!("{} is not in this trace", what()),
                _ => format!("no {} intervals in this trace", b.source.name()),
            };
            return Val::unknown(Reason::new(Lack::Missing, text));
        }
        // Missing events of A may lie wholly inside or wholly outside of B.
        let more = match missing.sum {
            _ if missing.is_nothing() => 0,
            Some(s) => s,
            None => return Val::unknown(missing.reason()),
        };
        let share = |part: i128| Num::ratio(part, total + more).map(Ext::Fin);
        match (share(lo), share(hi + more)) {
            (Some(lo), Some(hi)) => {
                let why = missing
                    .why
                    .unwrap_or_else(|| Reason::new(Lack::Partial, format!("{} was recorded only in part", what())));
                Val::between(lo, hi, n, why)
            }
            // Events without length cannot be covered.
            _ => Val::nothing(),
        }
    }

    pub(super) fn lift(&self, a: &Selector, b: &Selector, scope: Scope, key: KeyVal, group: Option<&Group<'t>>) -> Val {
        let covered = self.covered(a, b, scope, (Segment::Trace, &[]), key, group);
        let (Some(group), Some(life)) = (group, key::life(self.trace, key)) else {
            return covered;
        };
        if covered.empty {
            return covered;
        }
        if covered.point().is_none() {
            let why = covered.why.clone();
            return Val::unknown(
                why.unwrap_or_else(|| Reason::new(Lack::Partial, "how much is covered is not known exactly")),
            );
        }
        let proof = match self.proof(group, b, scope, &[life], key) {
            Ok(p) => p,
            Err(why) => return Val::unknown(why),
        };
        // Events without length meet nothing, whatever was not seen of their thread.
        let counts = |(when, slot): &(Interval, usize)| {
            !when.is_empty() && (proof.windows[*slot].is_some() || proof.unobserved[*slot])
        };
        if proof.events.iter().any(counts) {
            let text = format!("{} intervals were recorded only in part", b.source.name());
            return Val::unknown(Reason::new(Lack::Partial, text));
        }
        // What A's events would meet by chance: each thread's share of life inside B, by A's time.
        let mut expected = 0i128;
        let mut total = 0i128;
        for (when, slot) in &proof.events {
            expected += i128::from(when.len()) * i128::from(proof.unions[*slot].overlap(life));
            total += i128::from(when.len());
        }
        let chance =
            Num::ratio(expected, total.saturating_mul(i128::from(life.len()))).map(|v| Val::exact(v, covered.samples));
        match chance {
            Some(c) if c.point() != Some(Num::ZERO) => covered.arith(crate::lang::hir::Arith::Div, &c),
            _ => Val::nothing(),
        }
    }
}

/// The parts of the windows in which everything of a thread is known: up to the end of the last interval
/// that ends in them.
fn known(windows: &[Interval], rows: &[Interval]) -> Vec<Interval> {
    let cut = |w: &Interval| {
        let ends = rows.iter().map(|r| r.end).filter(|e| w.contains(*e));
        ends.max().map(|end| Interval::new(w.start, end))
    };
    windows.iter().filter_map(cut).collect()
}

impl Proof<'_> {
    /// How much of A's time lies inside B, ns.
    pub(in crate::eval) fn overlap(&self) -> i128 {
        let of = |(when, slot): &(Interval, usize)| i128::from(self.unions[*slot].overlap(*when));
        self.events.iter().map(of).sum()
    }

    /// Moves the events together around the life of the key and counts how often as much of them is
    /// covered as where they are. Deterministic: offsets are even, events are thinned evenly.
    ///
    /// `started`: A's thread starts B's intervals itself. One that begins inside an event of A is there because
    /// of it, so what chance may offer are the others.
    pub(in crate::eval) fn shifted(&self, started: bool) -> Shifted {
        let others: Option<Vec<Union<'_>>> = started.then(|| {
            let of = |slot: usize| -> Vec<Interval> {
                self.events
                    .iter()
                    .filter(|(_, s)| *s == slot)
                    .map(|(w, _)| *w)
                    .collect()
            };
            let unions = self.unions.iter().enumerate();
            unions.map(|(slot, u)| u.begun_outside(&of(slot))).collect()
        });
        let step = self.events.len().div_ceil(MAX_SHIFTED).max(1);
        let events: Vec<&(Interval, usize)> = self.events.iter().step_by(step).collect();
        let actual: i128 = events
            .iter()
            .map(|(w, s)| i128::from(self.unions[*s].overlap(*w)))
            .sum();
        let len = self.life.len();
        if len == 0 || actual == 0 {
            return Shifted { as_good: SHIFTS };
        }
        let moved = |w: &Interval, slot: usize, by: i64| {
            let from = self.life.start + (w.start - self.life.start + by).rem_euclid(len);
            let to = from.saturating_add(w.len().min(len));
            let union = others.as_ref().map_or(&*self.unions[slot], |o| &o[slot]);
            let wrapped = (to - self.life.end).max(0);
            let head = union.overlap(Interval::new(from, to.min(self.life.end)));
            let tail = union.overlap(Interval::new(self.life.start, self.life.start + wrapped));
            i128::from(head + tail)
        };
        let as_good = (1..=SHIFTS)
            .filter(|&k| {
                let by = i64::try_from(i128::from(len) * k as i128 / (SHIFTS as i128 + 1)).unwrap_or(0);
                let sum: i128 = events.iter().map(|(w, s)| moved(w, *s, by)).sum();
                sum >= actual
            })
            .count();
        Shifted { as_good }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unions_merge_and_sum() {
        let u = Union::of(vec![
            Interval::new(10, 20),
            Interval::new(15, 30),
            Interval::new(30, 35),
            Interval::new(50, 60),
        ]);
        assert_eq!((u.start.to_vec(), u.len.to_vec()), (vec![10, 50], vec![25, 10]));
        for (a, b, want) in [
            (0, 100, 35),
            (0, 12, 2),
            (12, 20, 8),
            (34, 51, 2),
            (40, 45, 0),
            (60, 90, 0),
        ] {
            assert_eq!(u.overlap(Interval::new(a, b)), want, "{a}..{b}");
        }
    }
    #[test]
    fn a_lane_is_its_own_union() {
        for (stints, apart) in [
            (vec![(3, 4), (7, 0), (9, 5), (14, 2)], true),
            (vec![(3, 4), (5, 1), (6, 9), (20, 1)], false),
            (Vec::new(), true),
        ] {
            let mut lane = Lane::new(ThreadIdx(0), Op(0));
            lane.start = stints.iter().map(|s| s.0).collect();
            lane.dur = stints.iter().map(|s| s.1).collect();
            let kept = Union::of_lane(&lane);
            assert_eq!(matches!(kept.start, Cow::Borrowed(_)), apart);
            let made = Union::of((0..lane.len()).map(|i| lane.interval(i)).collect());
            for a in 0..25 {
                for b in a..25 {
                    let when = Interval::new(a, b);
                    assert_eq!(kept.overlap(when), made.overlap(when), "{a}..{b}");
                }
            }
        }
    }
}
