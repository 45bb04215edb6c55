//! Sliding windows: `metric over 1s > x` asks for runs of windows that satisfy a bound.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::Engine;
use super::super::key::KeyVal;
use super::super::logic::{Lack, Reason, Truth};
use super::super::merge::in_order;
use super::super::select::{Group, Identity, Part, bounds, compare, exactly, hull};
use super::super::value::Val;
use super::busy::busy;
use super::moving::{Moving, Ranked, rank};
use super::stat::stddev;
use crate::lang::hir::{Base, CmpOp, Metric, MetricId, MetricKind, Segment, Selector, Stat, Value, Window};
use crate::lang::walk;
use crate::trace::Lane;
use crate::trace::catalogue::{Key, Source};
use crate::trace::coverage;
use crate::unit::{Interval, Num};

/// Windows that satisfy a comparison, merged into runs.
#[derive(Clone, Debug)]
pub(in crate::eval) struct Runs {
    /// Whether there is any.
    pub(in crate::eval) truth: Truth,
    /// Why it is unknown.
    pub(in crate::eval) why: Option<Reason>,
    /// The runs, sorted, disjoint.
    pub(in crate::eval) runs: Vec<Interval>,
    /// The best value met.
    pub(in crate::eval) best: Val,
}

/// A value for each window of a grid; `None` where there is nothing to measure.
pub(in crate::eval) type Table = Arc<[Option<Num>]>;

/// The windows of an expression over several: those of its first metric for its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::eval) struct Grid {
    segment: Segment,
    window: Window,
    on: Vec<Key>,
    key: KeyVal,
}

impl Runs {
    pub(in crate::eval) fn unknown(why: Reason) -> Self {
        Self {
            truth: Truth::Unknown,
            why: Some(why.clone()),
            runs: Vec::new(),
            best: Val::unknown(why),
        }
    }

    fn holds(&self) -> bool {
        self.truth == Truth::True
    }
}

/// Bytes of the largest block of pages that the host kernel hands out at once (order 10).
const LARGEST_PAGE: i128 = 4096 << 10;

impl<'t> Engine<'t> {
    /// Runs of windows in which `metric op bound` holds. `bound` is a point.
    pub(in crate::eval) fn runs(&self, id: MetricId, key: KeyVal, op: CmpOp, bound: Num) -> Runs {
        let metric = &self.program.metrics[id.0 as usize];
        let key = key.project(&metric.key);
        let MetricKind::Stat {
            sel,
            stat,
            segment,
            over: Some(w),
        } = &metric.kind
        else {
            return Runs::unknown(Reason::new(Lack::Partial, "not a windowed metric"));
        };
        let pieces = match self.stretches(*segment, &metric.key, key) {
            Ok(pieces) => pieces,
            Err(why) => {
                let v = Val::of_no_part(why);
                let truth = if v.empty { Truth::False } else { Truth::Unknown };
                return Runs {
                    truth,
                    why: v.why.clone(),
                    runs: Vec::new(),
                    best: v,
                };
            }
        };
        let seg = hull(&pieces);
        if sel.source == Source::Mem
            && matches!(stat, Stat::Count | Stat::Rate | Stat::Bytes)
            && pieces.len() == 1
            && let Some(found) = self.counted_runs(sel, *stat, *w, key, seg, op, bound)
        {
            return found;
        }
        let groups = self.groups(sel, &metric.key);
        let group = Self::group_of(&groups, key);
        let missing = self.missing(sel, key, seg).with_maybe(group, &[seg]);
        if let Some(why) = group.and_then(|g| g.uncertain.clone()) {
            return Runs::unknown(why);
        }
        let mut out = self
            .peak_runs(id, key, group, &pieces, (op, bound))
            .unwrap_or_else(|| self.slid(metric, (*stat, *w), group, &pieces, (op, bound)));
        // More events than the rows show can only add to a sum: a bound from below stays proven. And no
        // window holds more than all that are missing and the most that one shows.
        let additive = is_additive(*stat);
        let grows = (additive || matches!(stat, Stat::Busy | Stat::Distinct(_))) && matches!(op, CmpOp::Gt | CmpOp::Ge);
        let proven = grows && out.truth == Truth::True;
        let more = match stat {
            Stat::Count => missing.count.map(|c| Num::int(c.into())),
            Stat::Rate => missing.count.and_then(|c| Num::ratio(c.into(), w.len_ns.into())),
            Stat::Sum => missing.sum.map(Num::int),
            Stat::Busy => missing.sum.and_then(|s| Num::ratio(s, w.len_ns.into())),
            _ => None,
        };
        let most = more.and_then(|m| out.best.point().unwrap_or(Num::ZERO).plus(m));
        let refuted = grows && most.is_some_and(|m| !compare(m, op, bound));
        if !missing.is_nothing() && !proven && !refuted {
            return Runs::unknown(missing.reason());
        }
        let none = group.is_none_or(|g| g.parts.is_empty());
        if out.truth == Truth::False && (none || additive && out.best.empty) {
            out.best = if additive {
                Val::exact(Num::ZERO, 0)
            } else {
                Val::nothing()
            };
        } else if out.truth == Truth::False && out.best.empty {
            let what = format!("no window of {} holds enough events", crate::unit::show_dur(w.len_ns));
            return Runs::unknown(Reason::new(Lack::Few, what));
        }
        out
    }

    /// Runs of windows over the events themselves.
    fn slid(
        &self,
        metric: &Metric,
        (stat, w): (Stat, Window),
        group: Option<&Group<'t>>,
        pieces: &[Interval],
        (op, bound): (CmpOp, Num),
    ) -> Runs {
        let MetricKind::Stat { sel, .. } = &metric.kind else {
            return Runs::none();
        };
        let windows = || pieces.iter().flat_map(|p| stepped(*p, w));
        let mut met = Met::new(op, bound);
        // A window that holds most starts at an event.
        let at_events = is_additive(stat) && matches!(op, CmpOp::Gt | CmpOp::Ge) && w.slides();
        if at_events || is_ordered(stat) {
            let mut codes: BTreeMap<Identity<'_>, u32> = BTreeMap::new();
            let events = in_time(group, |lane, i| {
                let Stat::Distinct(field) = stat else { return None };
                let next = u32::try_from(codes.len()).unwrap_or(u32::MAX);
                self.identity(lane, i, field).map(|v| *codes.entry(v).or_insert(next))
            });
            for piece in pieces {
                let from = events.partition_point(|e| e.start < piece.start);
                let to = events.partition_point(|e| e.start <= piece.end).max(from);
                let inside = &events[from..to];
                if at_events {
                    slide(inside, stat, w, *piece, &mut met);
                } else {
                    step(inside, (stat, metric.min_count), w, *piece, &mut met);
                }
            }
        } else if stat == Stat::Busy {
            let windows: Vec<Interval> = windows().collect();
            for (window, time) in windows.iter().zip(busy(self.trace, &sel.base, group, &windows)) {
                met.take(*window, Num::ratio(time.into(), w.len_ns.into()));
            }
        } else if let Some(range) = bounds(op, bound).filter(|_| rank(stat, 1).is_some() && op != CmpOp::Eq) {
            let ranked = Ranked {
                stat,
                min_count: metric.min_count,
                most: matches!(op, CmpOp::Gt | CmpOp::Ge),
            };
            let (best, samples) = ranked.best(group, windows());
            met.best = best.map(|v| Num::int(v.into()));
            met.samples = samples;
            if met.best.is_some_and(|v| compare(v, op, bound)) {
                ranked.reaching(group, windows(), range, |window| push_run(&mut met.runs, window));
            }
        } else {
            let mut events = Moving::new(group);
            for window in windows() {
                events.to(window);
                met.take(window, events.value(stat, metric.min_count, w.len_ns));
            }
        }
        met.runs()
    }

    /// Runs of windows in which an expression over several windowed statistics satisfies a bound. All
    /// look at the same windows, which move in steps; a segment shorter than one is a window by itself.
    pub(in crate::eval) fn runs_of(&self, side: &Value, key: KeyVal, op: CmpOp, bound: Num) -> Runs {
        let mut ids = Vec::new();
        walk::metrics_of_value(side, &mut ids);
        let mut tables: Vec<(MetricId, Table)> = Vec::new();
        let mut grid: Option<(Grid, Vec<Interval>)> = None;
        for id in ids {
            let metric = &self.program.metrics[id.0 as usize];
            let key = key.project(&metric.key);
            let MetricKind::Stat {
                sel,
                stat,
                segment,
                over: Some(w),
            } = &metric.kind
            else {
                return Runs::unknown(Reason::new(Lack::Partial, "windows and the whole trace in one sum"));
            };
            let pieces = match self.stretches(*segment, &metric.key, key) {
                Ok(pieces) => pieces,
                Err(None) => return Runs::none(),
                Err(Some(why)) => return Runs::unknown(why),
            };
            let groups = self.groups(sel, &metric.key);
            let group = Self::group_of(&groups, key);
            let missing = self.missing(sel, key, hull(&pieces)).with_maybe(group, &pieces);
            if let Some(why) = Self::doubt(group, &missing) {
                return Runs::unknown(why);
            }
            let (grid, windows) = grid.get_or_insert_with(|| {
                let grid = Grid {
                    segment: *segment,
                    window: *w,
                    on: metric.key.clone(),
                    key,
                };
                (grid, pieces.iter().flat_map(|p| steps(*p, *w)).collect())
            });
            let of = (id, key, grid.clone());
            let known = self.tables.lock().ok().and_then(|t| t.get(&of).cloned());
            let table = known.unwrap_or_else(|| {
                let made: Table = self.values(sel, group, (*stat, metric.min_count), windows).into();
                if let Ok(mut all) = self.tables.lock() {
                    all.insert(of, Arc::clone(&made));
                }
                made
            });
            tables.push((id, table));
        }
        let mut met = Met::new(op, bound);
        for (n, window) in grid.map_or_else(Vec::new, |g| g.1).into_iter().enumerate() {
            let of = |id: MetricId| {
                let table = tables.iter().find(|t| t.0 == id)?;
                table.1.get(n).copied().flatten()
            };
            met.take(window, number(side, &of));
        }
        met.runs()
    }

    /// A statistic in each window; `None` where there is nothing to measure.
    fn values(
        &self,
        sel: &Selector,
        group: Option<&Group<'t>>,
        (stat, min_count): (Stat, u64),
        windows: &[Interval],
    ) -> Vec<Option<Num>> {
        if stat == Stat::Busy {
            let time = busy(self.trace, &sel.base, group, windows);
            let share = |(w, time): (&Interval, i64)| Num::ratio(time.into(), w.len().into());
            return windows.iter().zip(time).map(share).collect();
        }
        if is_ordered(stat) {
            let events = in_time(group, |_, _| None);
            let one = |w: &Interval| {
                let from = events.partition_point(|e| e.start < w.start);
                let to = events.partition_point(|e| e.start < w.end).max(from);
                match stat {
                    // Which values of a field are different is told by single statistics only.
                    Stat::Distinct(_) => None,
                    _ => ordered_stat(&events[from..to], stat, min_count),
                }
            };
            return windows.iter().map(one).collect();
        }
        let mut events = Moving::new(group);
        let one = |w: &Interval| {
            events.to(*w);
            events.value(stat, min_count, w.len())
        };
        windows.iter().map(one).collect()
    }

    /// Events that never become rows: the buckets of the aggregates are the windows.
    #[expect(clippy::too_many_arguments, reason = "one call site")]
    fn counted_runs(
        &self,
        sel: &Selector,
        stat: Stat,
        w: Window,
        key: KeyVal,
        seg: Interval,
        op: CmpOp,
        bound: Num,
    ) -> Option<Runs> {
        let Base::Ops(ops) = &sel.base else { return None };
        if !sel.filters.is_empty() || key.op().is_some() || key.thread().is_some() {
            return None;
        }
        let mut buckets: std::collections::BTreeMap<(i64, i64), (u64, i128)> = std::collections::BTreeMap::new();
        let (mut any, mut hidden) = (false, false);
        let skipped: u64 = {
            let losses = self.trace.node(key.node()).losses.iter().flatten();
            losses
                .filter(|l| ops.iter().any(|o| l.concerns(*o)))
                .map(|l| l.lost)
                .sum()
        };
        for p in self.names.members(self.trace, key) {
            for &o in ops {
                let Some(c) = coverage::counted(self.trace, p, o) else {
                    continue;
                };
                any = true;
                // Fine buckets if the window can hold them and they are there, else minutes.
                let list = if c.fives.is_empty() { &c.minutes } else { &c.fives };
                for b in list {
                    hidden |= !b.reliable;
                    let slot = buckets.entry((b.start, b.len)).or_default();
                    slot.0 += b.count;
                    slot.1 += b.bytes;
                }
            }
        }
        if !any {
            // Counted for others on this node: here it is zero, not unknown.
            let counted = self.trace.node(key.node()).counted.iter().any(|c| ops.contains(&c.op));
            return counted.then(|| Runs {
                truth: Truth::of(compare(Num::ZERO, op, bound)),
                why: None,
                runs: if compare(Num::ZERO, op, bound) {
                    vec![seg]
                } else {
                    Vec::new()
                },
                best: Val::exact(Num::ZERO, 0),
            });
        }
        let coarse = buckets.keys().map(|k| k.1).max().unwrap_or(0);
        if coarse > w.len_ns {
            let text = format!("counted in steps of {} only", crate::unit::show_dur(coarse));
            let why = Reason::new(Lack::Partial, text);
            return Some(Runs::unknown(why));
        }
        // Each bucket is one event of its weight; a window is as many buckets as it holds.
        let list: Vec<((i64, i64), (u64, i128))> = buckets.into_iter().collect();
        let mut runs: Vec<Interval> = Vec::new();
        let mut best: Option<Num> = None;
        for (i, ((start, _), _)) in list.iter().enumerate() {
            let end = start.saturating_add(w.len_ns);
            let inside = list[i..].iter().take_while(|((s, l), _)| s + l <= end);
            let (n, bytes) = inside.fold((0u64, 0i128), |acc, (_, (n, b))| (acc.0 + n, acc.1 + b));
            let raw = if stat == Stat::Bytes { bytes } else { i128::from(n) };
            let value = if stat == Stat::Rate {
                Num::ratio(raw, i128::from(w.len_ns))
            } else {
                Some(Num::int(raw))
            };
            let Some(value) = value else { continue };
            let window = Interval::new(*start, end);
            if window.overlap(seg) == 0 {
                continue;
            }
            if best.is_none_or(|b| better(value, b, op)) {
                best = Some(value);
            }
            if compare(value, op, bound) {
                push_run(
                    &mut runs,
                    Interval::new(window.start.max(seg.start), window.end.min(seg.end)),
                );
            }
        }
        let mut out = Runs {
            truth: Truth::of(!runs.is_empty()),
            why: None,
            runs,
            best: best.map_or_else(Val::nothing, |b| Val::exact(b, list.len() as u64)),
        };
        // The skipped ones may all lie in one window, each as large as a page allocation can be.
        let each = if stat == Stat::Bytes { LARGEST_PAGE } else { 1 };
        let per = if stat == Stat::Rate { i128::from(w.len_ns) } else { 1 };
        let most =
            Num::ratio(i128::from(skipped) * each, per).and_then(|m| out.best.point().unwrap_or(Num::ZERO).plus(m));
        let grows = matches!(op, CmpOp::Gt | CmpOp::Ge);
        let certain = !hidden && (skipped == 0 || most.is_some_and(|m| compare(m, op, bound) == out.holds()));
        let proven = grows && out.holds();
        if !(certain || proven) {
            out.truth = Truth::Unknown;
            out.why = Some(Reason::new(Lack::Partial, "some pages were not counted"));
        }
        Some(out)
    }
}

/// Windows that move in steps through a segment; a segment shorter than one is a window by itself.
fn steps(seg: Interval, w: Window) -> Vec<Interval> {
    if seg.len() <= w.len_ns || w.every_ns <= 0 {
        return vec![seg];
    }
    stepped(seg, w).collect()
}

/// Whole windows that move in steps through a segment.
fn stepped(seg: Interval, w: Window) -> impl Iterator<Item = Interval> {
    let window = move |from: i64| Interval::new(from, from.saturating_add(w.len_ns));
    std::iter::successors((w.every_ns > 0).then_some(seg.start), move |from| {
        from.checked_add(w.every_ns)
    })
    .map(window)
    .take_while(move |window| window.end <= seg.end)
}

/// The value of an expression; `None` where a part of it has none.
fn number(v: &Value, of: &impl Fn(MetricId) -> Option<Num>) -> Option<Num> {
    Some(match v {
        Value::Num(n) => *n,
        Value::Metric(id) => of(*id)?,
        Value::Field(_) => return None,
        Value::Neg(v) => number(v, of)?.negated()?,
        Value::Arith(op, a, b) => exactly(*op, number(a, of)?, number(b, of)?)?,
    })
}

fn better(a: Num, b: Num, op: CmpOp) -> bool {
    if matches!(op, CmpOp::Lt | CmpOp::Le) {
        a < b
    } else {
        a > b
    }
}

pub(super) fn push_run(runs: &mut Vec<Interval>, w: Interval) {
    match runs.last_mut() {
        Some(last) if w.start <= last.end => last.end = last.end.max(w.end),
        _ => runs.push(w),
    }
}

/// An event as windows see it. Orders by start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ev {
    start: i64,
    dur: i64,
    bytes: i64,
    /// Equal for equal values of the field whose different ones are counted.
    code: Option<u32>,
}

/// The events of a group in their order.
fn in_time<'t>(group: Option<&Group<'t>>, mut code: impl FnMut(&'t Lane, usize) -> Option<u32>) -> Vec<Ev> {
    let parts = group.map_or(&[][..], |g| &g.parts);
    let starts: Vec<Cow<'t, [i64]>> = parts.iter().map(Part::starts).collect();
    let starts: Vec<&[i64]> = starts.iter().map(|s| &**s).collect();
    let mut events = Vec::with_capacity(starts.iter().map(|s| s.len()).sum());
    in_order(&starts, |p, i| {
        let (lane, i) = (parts[p].lane, parts[p].position(i));
        events.push(Ev {
            start: lane.start[i],
            dur: lane.dur[i],
            bytes: lane.bytes.get(i).copied().unwrap_or(0),
            code: code(lane, i),
        });
    });
    for at_once in events.chunk_by_mut(|a, b| a.start == b.start) {
        at_once.sort_unstable();
    }
    events
}

impl Runs {
    fn none() -> Self {
        Self {
            truth: Truth::False,
            why: None,
            runs: Vec::new(),
            best: Val::nothing(),
        }
    }
}

/// What windows come to, one after the other.
struct Met {
    op: CmpOp,
    bound: Num,
    runs: Vec<Interval>,
    best: Option<Num>,
    samples: u64,
}

impl Met {
    fn new(op: CmpOp, bound: Num) -> Self {
        Self {
            op,
            bound,
            runs: Vec::new(),
            best: None,
            samples: 0,
        }
    }

    /// The next window, and its value where it has one.
    fn take(&mut self, window: Interval, value: Option<Num>) {
        let Some(v) = value else { return };
        self.samples += 1;
        if self.best.is_none_or(|b| better(v, b, self.op)) {
            self.best = Some(v);
        }
        if compare(v, self.op, self.bound) {
            push_run(&mut self.runs, window);
        }
    }

    fn runs(self) -> Runs {
        Runs {
            truth: Truth::of(!self.runs.is_empty()),
            why: None,
            best: self.best.map_or_else(Val::nothing, |b| Val::exact(b, self.samples)),
            runs: self.runs,
        }
    }
}

pub(super) fn is_additive(stat: Stat) -> bool {
    matches!(stat, Stat::Count | Stat::Rate | Stat::Sum | Stat::Bytes)
}

/// Whether a statistic depends on the order of the events, or needs more than start and duration.
fn is_ordered(stat: Stat) -> bool {
    // Rounding depends on the order in which a spread is summed.
    matches!(stat, Stat::First | Stat::Last | Stat::Distinct(_) | Stat::Stddev)
}

/// Sums in the windows that start at an event.
fn slide(events: &[Ev], stat: Stat, w: Window, seg: Interval, met: &mut Met) {
    let weight = |e: &Ev| match stat {
        Stat::Sum => i128::from(e.dur),
        Stat::Bytes => i128::from(e.bytes),
        _ => 1,
    };
    let (mut end, mut sum) = (0, 0i128);
    for e in events {
        let until = e.start.saturating_add(w.len_ns);
        while end < events.len() && events[end].start < until {
            sum += weight(&events[end]);
            end += 1;
        }
        let value = match stat {
            Stat::Rate => Num::ratio(sum, w.len_ns.into()),
            _ => Some(Num::int(sum)),
        };
        met.take(Interval::new(e.start, until.min(seg.end)), value);
        sum -= weight(e);
    }
}

/// Statistics of events in order, in windows that move in steps.
fn step(events: &[Ev], (stat, min_count): (Stat, u64), w: Window, seg: Interval, met: &mut Met) {
    let (mut a, mut b) = (0, 0);
    for window in stepped(seg, w) {
        a += events[a..].iter().take_while(|e| e.start < window.start).count();
        b = b.max(a);
        b += events[b..].iter().take_while(|e| e.start < window.end).count();
        met.take(window, ordered_stat(&events[a..b], stat, min_count));
    }
}

fn ordered_stat(events: &[Ev], stat: Stat, min_count: u64) -> Option<Num> {
    if let Stat::Distinct(_) = stat {
        let codes: std::collections::BTreeSet<u32> = events.iter().filter_map(|e| e.code).collect();
        return Some(Num::int(codes.len() as i128));
    }
    if (events.len() as u64) < min_count {
        return None;
    }
    match stat {
        Stat::First => events.first().map(|e| Num::int(e.dur.into())),
        Stat::Last => events.last().map(|e| Num::int(e.dur.into())),
        _ if events.is_empty() => None,
        _ => Some(Num::int(stddev(&events.iter().map(|e| e.dur).collect::<Vec<_>>()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn additive_windows_slide_exactly() {
        // Eleven events within 10 ns, but never eleven in a window aligned to steps of 10.
        let event = |start| Ev {
            start,
            dur: 1,
            bytes: 0,
            code: None,
        };
        let events: Vec<Ev> = (95..106).map(event).collect();
        let w = Window {
            len_ns: 20,
            every_ns: 2,
        };
        let seg = Interval::new(0, 1000);
        let slid = |least: i128| {
            let mut met = Met::new(CmpOp::Ge, Num::int(least));
            slide(&events, Stat::Count, w, seg, &mut met);
            met.runs()
        };
        assert_eq!(slid(11).runs, [Interval::new(95, 115)]);
        let got = slid(12);
        assert_eq!((got.truth, got.best.point()), (Truth::False, Some(Num::int(11))));
    }
}
