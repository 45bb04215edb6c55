//! Sliding windows: `metric over 1s > x` asks for runs of windows that satisfy a bound.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::Engine;
use super::super::key::KeyVal;
use super::super::logic::{Lack, Reason, Truth};
use super::super::merge::in_order;
use super::super::select::{Group, Identity, Part, compare, exactly, hull};
use super::super::value::Val;
use super::Union;
use super::peak::{Series, Weight};
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
        if stat == Stat::Busy {
            let busy = group.map_or_else(Union::default, Union::of_group);
            let mut out = Runs::none();
            for piece in pieces {
                out.add(slide(&[], &busy, (stat, 0), w, *piece, (op, bound)), op);
            }
            return out;
        }
        let mut codes: BTreeMap<Identity<'_>, u32> = BTreeMap::new();
        let events = in_time(group, |lane, i| {
            let Stat::Distinct(field) = stat else { return None };
            let next = u32::try_from(codes.len()).unwrap_or(u32::MAX);
            self.identity(lane, i, field).map(|v| *codes.entry(v).or_insert(next))
        });
        let busy = Union::default();
        let mut out = Runs::none();
        for piece in pieces {
            let from = events.partition_point(|e| e.start < piece.start);
            let to = events.partition_point(|e| e.start <= piece.end).max(from);
            let inside = &events[from..to];
            out.add(
                slide(inside, &busy, (stat, metric.min_count), w, *piece, (op, bound)),
                op,
            );
        }
        out
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
                let made: Table = values(group, *stat, metric.min_count, windows).into();
                if let Ok(mut all) = self.tables.lock() {
                    all.insert(of, Arc::clone(&made));
                }
                made
            });
            tables.push((id, table));
        }
        let (mut runs, mut best, mut samples) = (Vec::new(), None, 0);
        for (n, window) in grid.map_or_else(Vec::new, |g| g.1).into_iter().enumerate() {
            let of = |id: MetricId| {
                let table = tables.iter().find(|t| t.0 == id)?;
                table.1.get(n).copied().flatten()
            };
            let Some(v) = number(side, &of) else { continue };
            samples += 1;
            if best.is_none_or(|b| better(v, b, op)) {
                best = Some(v);
            }
            if compare(v, op, bound) {
                push_run(&mut runs, window);
            }
        }
        Runs {
            truth: Truth::of(!runs.is_empty()),
            why: None,
            best: best.map_or_else(Val::nothing, |b| Val::exact(b, samples)),
            runs,
        }
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

/// Windows that move in steps through a segment.
fn steps(seg: Interval, w: Window) -> Vec<Interval> {
    if seg.len() <= w.len_ns || w.every_ns <= 0 {
        return vec![seg];
    }
    let at = |k: i64| seg.start.saturating_add(k.saturating_mul(w.every_ns));
    (0..=(seg.len() - w.len_ns) / w.every_ns)
        .map(at)
        .map(|from| Interval::new(from, from.saturating_add(w.len_ns)))
        .collect()
}

/// A statistic in each window; `None` where there is nothing to measure.
fn values(group: Option<&Group<'_>>, stat: Stat, min_count: u64, windows: &[Interval]) -> Vec<Option<Num>> {
    if stat == Stat::Busy {
        let busy = group.map_or_else(Union::default, Union::of_group);
        let share = |w: &Interval| Num::ratio(busy.overlap(*w).into(), w.len().into());
        return windows.iter().map(share).collect();
    }
    if is_additive(stat) {
        let series = group.map_or_else(Series::default, |g| Series::of(g, Weight::of(stat)));
        let per = |w: &Interval| if stat == Stat::Rate { w.len().into() } else { 1 };
        return windows.iter().map(|w| Num::ratio(series.sum(*w), per(w))).collect();
    }
    let events = in_time(group, |_, _| None);
    let one = |w: &Interval| {
        let from = events.partition_point(|e| e.start < w.start);
        let to = events.partition_point(|e| e.start < w.end).max(from);
        let window = Window {
            len_ns: w.len(),
            every_ns: w.len(),
        };
        match stat {
            // Which values of a field are different is told by single statistics only.
            Stat::Distinct(_) => None,
            _ => window_stat(&events[from..to], stat, min_count, window, None),
        }
    };
    windows.iter().map(one).collect()
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

    /// Takes in those of a later piece.
    fn add(&mut self, later: Self, op: CmpOp) {
        self.truth = self.truth.or(later.truth);
        later.runs.into_iter().for_each(|r| push_run(&mut self.runs, r));
        let samples = self.best.samples + later.best.samples;
        if let Some(v) = later.best.point()
            && self.best.point().is_none_or(|b| better(v, b, op))
        {
            self.best = later.best;
        }
        self.best.samples = samples;
    }
}

pub(super) fn is_additive(stat: Stat) -> bool {
    matches!(stat, Stat::Count | Stat::Rate | Stat::Sum | Stat::Bytes)
}

/// Slides over events sorted by start. Additive statistics with a bound from below slide exactly: a
/// window that holds most starts at an event. Others move in steps.
fn slide(
    events: &[Ev],
    busy: &Union,
    (stat, min_count): (Stat, u64),
    w: Window,
    seg: Interval,
    (op, bound): (CmpOp, Num),
) -> Runs {
    let exact = is_additive(stat) && matches!(op, CmpOp::Gt | CmpOp::Ge) && w.slides();
    let mut runs = Vec::new();
    let mut best: Option<Num> = None;
    let mut samples = 0;
    let mut judge = |from: i64, window: &[Ev], prefix: Option<i128>| {
        let when = Interval::new(from, from.saturating_add(w.len_ns));
        let value = match stat {
            Stat::Busy => Num::ratio(busy.overlap(when).into(), w.len_ns.into()),
            _ => window_stat(window, stat, min_count, w, prefix),
        };
        let Some(v) = value else { return };
        samples += 1;
        if best.is_none_or(|b| better(v, b, op)) {
            best = Some(v);
        }
        if compare(v, op, bound) {
            push_run(&mut runs, Interval::new(from, when.end.min(seg.end)));
        }
    };
    if exact {
        let weight = |e: &Ev| match stat {
            Stat::Sum => i128::from(e.dur),
            Stat::Bytes => i128::from(e.bytes),
            _ => 1,
        };
        let (mut end, mut sum) = (0, 0i128);
        for i in 0..events.len() {
            while end < events.len() && events[end].start < events[i].start.saturating_add(w.len_ns) {
                sum += weight(&events[end]);
                end += 1;
            }
            judge(events[i].start, &events[i..end], Some(sum));
            sum -= weight(&events[i]);
        }
    } else if w.every_ns > 0 {
        let (mut a, mut b) = (0, 0);
        let mut from = seg.start;
        while from.saturating_add(w.len_ns) <= seg.end {
            while a < events.len() && events[a].start < from {
                a += 1;
            }
            b = b.max(a);
            while b < events.len() && events[b].start < from + w.len_ns {
                b += 1;
            }
            judge(from, &events[a..b], None);
            from += w.every_ns;
        }
    }
    Runs {
        truth: Truth::of(!runs.is_empty()),
        why: None,
        best: best.map_or_else(Val::nothing, |b| Val::exact(b, samples)),
        runs,
    }
}

fn window_stat(events: &[Ev], stat: Stat, min_count: u64, w: Window, sum: Option<i128>) -> Option<Num> {
    let n = events.len() as i128;
    let total = |f: fn(&Ev) -> i64| sum.unwrap_or_else(|| events.iter().map(|e| i128::from(f(e))).sum());
    let durs = || events.iter().map(|e| e.dur);
    match stat {
        Stat::Count => Some(Num::int(n)),
        Stat::Rate => Num::ratio(n, i128::from(w.len_ns)),
        Stat::Sum => Some(Num::int(total(|e| e.dur))),
        Stat::Bytes => Some(Num::int(total(|e| e.bytes))),
        Stat::Distinct(_) => {
            let codes: std::collections::BTreeSet<u32> = events.iter().filter_map(|e| e.code).collect();
            Some(Num::int(codes.len() as i128))
        }
        _ if n == 0 || n < i128::from(min_count) => None,
        Stat::Avg => Num::ratio(total(|e| e.dur), n),
        Stat::Min => durs().min().map(|v| Num::int(v.into())),
        Stat::Max => durs().max().map(|v| Num::int(v.into())),
        Stat::First => events.first().map(|e| Num::int(e.dur.into())),
        Stat::Last => events.last().map(|e| Num::int(e.dur.into())),
        Stat::Stddev => Some(Num::int(stddev(&durs().collect::<Vec<_>>()))),
        Stat::Throughput => Num::ratio(total(|e| e.bytes), events.iter().map(|e| i128::from(e.dur)).sum()),
        Stat::Pct(p, q) => {
            let mut durs: Vec<i64> = durs().collect();
            let k = (durs.len() as u64 * u64::from(p))
                .div_ceil(u64::from(q.max(1)))
                .clamp(1, durs.len() as u64);
            let k = usize::try_from(k - 1).ok()?;
            Some(Num::int((*durs.select_nth_unstable(k).1).into()))
        }
        Stat::Busy => None,
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
        let busy = Union::default();
        let w = Window {
            len_ns: 20,
            every_ns: 2,
        };
        let seg = Interval::new(0, 1000);
        let got = slide(&events, &busy, (Stat::Count, 0), w, seg, (CmpOp::Ge, Num::int(11)));
        assert_eq!(got.runs, [Interval::new(95, 115)]);
        let got = slide(&events, &busy, (Stat::Count, 0), w, seg, (CmpOp::Ge, Num::int(12)));
        assert_eq!((got.truth, got.best.point()), (Truth::False, Some(Num::int(11))));
    }
}
