//! Which events a selector means for a key, and how many more there may have been.

use std::borrow::Cow;
use std::sync::Arc;

use rayon::prelude::*;
use regex::Regex;
use rustc_hash::FxHashMap;

use super::derive::Lanes;
use super::key::{self, KeyVal, Keying};
use super::logic::{Lack, Reason};
use super::sift::{Test, every, largest, sift};
use super::value::Ext;
use super::{Engine, Thresholds};
use crate::lang::hir::{Arith, Base, CmpOp, Filter, Selector, Value};
use crate::lang::walk;
use crate::trace::catalogue::{Anchor, Field, Key, Op, Source, State};
use crate::trace::coverage;
use crate::trace::model::{Bucket, NodeIdx, Stored, flag, preemptor};
use crate::trace::{Lane, ProcIdx, Rows, ThreadIdx};
use crate::unit::{Interval, Num};

/// Selected events of one lane.
#[derive(Clone, Debug)]
pub(super) struct Part<'t> {
    /// The lane.
    pub(super) lane: &'t Lane,
    /// Positions in it, ascending; `None` is all.
    pub(super) idx: Option<Arc<[u32]>>,
}

impl<'t> Part<'t> {
    /// When its events start.
    pub(super) fn starts(&self) -> Cow<'t, [i64]> {
        match &self.idx {
            None => Cow::Borrowed(&self.lane.start),
            Some(idx) => idx.iter().map(|i| self.lane.start[*i as usize]).collect(),
        }
    }

    /// Where its `i`-th event is in the lane.
    pub(super) fn position(&self, i: usize) -> usize {
        self.idx.as_ref().map_or(i, |idx| idx[i] as usize)
    }

    /// Positions, ascending.
    pub(super) fn iter(&self) -> Positions<'_> {
        match &self.idx {
            None => Positions::All(0..self.lane.len()),
            Some(idx) => Positions::Some(idx.iter()),
        }
    }

    /// Number of events.
    pub(super) fn len(&self) -> usize {
        self.idx.as_ref().map_or(self.lane.len(), |i| i.len())
    }
}

/// See [`Part::iter`].
pub(super) enum Positions<'p> {
    All(std::ops::Range<usize>),
    Some(std::slice::Iter<'p, u32>),
}

impl Iterator for Positions<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        match self {
            Self::All(r) => r.next(),
            Self::Some(i) => i.next().map(|&i| i as usize),
        }
    }
}

/// Selected events of one key.
#[derive(Clone, Debug)]
pub(super) struct Group<'t> {
    /// The key.
    pub(super) key: KeyVal,
    /// By (thread, op) of the lane.
    pub(super) parts: Vec<Part<'t>>,
    /// Events that may pass the filters or not, and why that is not known.
    pub(super) maybe: Vec<Part<'t>>,
    pub(super) doubt: Option<Reason>,
    /// A filter of the selection depends on a value that is not known.
    pub(super) uncertain: Option<Reason>,
}

/// Positions of a lane that pass the filters, and those that may.
pub(super) struct Chosen {
    /// `None` is all.
    pub(super) sure: Option<Arc<[u32]>>,
    /// Empty where everything is known.
    pub(super) maybe: Arc<[u32]>,
}

/// Most values of filters that are known only within bounds; each doubles the work.
const MAX_UNSURE: usize = 3;

/// All groups of a selector, by key.
pub(super) type Groups<'t> = Arc<Vec<Group<'t>>>;

/// What a selection may lack because it was not stored, lost or not observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    /// How many events at most; `None`: any number.
    pub(super) count: Option<u64>,
    /// How many at least.
    pub(super) least: u64,
    /// Their summed duration at most, ns; `None`: any.
    pub(super) sum: Option<i128>,
    /// None of them is longer, ns.
    pub(super) max_dur: Option<i64>,
    /// Events seen (stored or not) and their exact sums over the segment, where aggregates tell
    /// them without filters.
    pub(super) whole: Option<Whole>,
    /// Inside these windows every event is a row.
    pub(super) windows: Vec<Interval>,
    /// Why.
    pub(super) why: Option<Reason>,
}

/// Calls that are no rows, over processes and operations. What is not known of one of them is not known
/// of all.
struct Absent {
    /// How many at most.
    count: Option<u64>,
    /// Their summed duration at most, ns.
    sum: Option<i128>,
    /// None of them is longer, ns.
    longest: Option<i64>,
    /// All calls, rows or not.
    whole: Whole,
    whole_known: bool,
    why: Option<Reason>,
}

impl Default for Absent {
    fn default() -> Self {
        Self {
            count: Some(0),
            sum: Some(0),
            longest: Some(0),
            whole: Whole {
                min: i64::MAX,
                ..Whole::default()
            },
            whole_known: true,
            why: None,
        }
    }
}

/// Totals from aggregates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) count: u64,
    pub(super) sum: i128,
    pub(super) bytes: i128,
    /// The aggregates of some operation do not sum its bytes.
    pub(super) bytes_unknown: bool,
    pub(super) min: i64,
    pub(super) max: i64,
}

impl Missing {
    /// Nothing is missing.
    pub(super) fn nothing() -> Self {
        Self {
            count: Some(0),
            least: 0,
            sum: Some(0),
            max_dur: None,
            whole: None,
            windows: Vec::new(),
            why: None,
        }
    }

    fn anything(why: Reason) -> Self {
        Self {
            count: None,
            sum: None,
            why: Some(why),
            ..Self::nothing()
        }
    }

    /// Whether every event is a row.
    pub(super) fn is_nothing(&self) -> bool {
        self.count == Some(0)
    }

    /// Whether every event that starts in that time is a row: it lies in complete windows, with room
    /// for the longest that was left out to end in them.
    pub(super) fn tells(&self, when: Interval) -> bool {
        let room = |longest: i64| {
            let end = when.end.saturating_add(longest);
            self.windows.iter().any(|w| w.start <= when.start && end <= w.end)
        };
        self.max_dur.is_some_and(room)
    }

    /// The same, with events of the group that start in the segment and may belong to it or not.
    #[must_use]
    pub(super) fn with_maybe(mut self, group: Option<&Group<'_>>, segments: &[Interval]) -> Self {
        let Some(group) = group.filter(|g| !g.maybe.is_empty()) else {
            return self;
        };
        let (mut n, mut sum, mut longest) = (0u64, 0i128, 0i64);
        for part in &group.maybe {
            for i in part.iter() {
                if segments.iter().any(|s| s.contains(part.lane.start[i])) {
                    n += 1;
                    sum += i128::from(part.lane.dur[i]);
                    longest = longest.max(part.lane.dur[i]);
                }
            }
        }
        if n == 0 {
            return self;
        }
        self.max_dur = if self.is_nothing() {
            Some(longest)
        } else {
            self.max_dur.map(|m| m.max(longest))
        };
        self.count = self.count.map(|c| c + n);
        self.sum = self.sum.map(|s| s + sum);
        self.whole = None;
        self.least = 0;
        self.why = self.why.or_else(|| group.doubt.clone());
        self
    }

    /// The reason, or a general one.
    pub(super) fn reason(&self) -> Reason {
        self.why
            .clone()
            .unwrap_or_else(|| Reason::new(Lack::Partial, "not every event was stored"))
    }
}

impl<'t> Engine<'t> {
    /// Lanes of a selector, before filters, by (thread, op).
    pub(super) fn lanes(&self, sel: &Selector) -> Vec<&'t Lane> {
        match &sel.base {
            Base::Ops(ops) => self
                .trace
                .lanes
                .iter()
                .filter(|l| ops.binary_search(&l.op).is_ok())
                .collect(),
            Base::State(State::OffCpu) => self.trace.lanes.iter().filter(|l| l.op.is("off_cpu")).collect(),
            _ => {
                let derived = self.derived(sel);
                derived.map_or_else(Vec::new, |d| d.at_least(self.trace, length(sel)))
            }
        }
    }

    fn derived(&self, sel: &Selector) -> Option<&'t Lanes> {
        self.prepared.derived.get(&(sel.source, sel.base.clone()))
    }

    /// Lanes of a selector that belong to one thread.
    pub(super) fn lanes_of_thread(&self, sel: &Selector, thread: ThreadIdx) -> Vec<&'t Lane> {
        let stored = |want: &dyn Fn(Op) -> bool| {
            let range = self.trace.thread(thread).lanes.clone();
            self.trace.lanes[range].iter().filter(|l| want(l.op)).collect()
        };
        match &sel.base {
            Base::Ops(ops) => stored(&|op| ops.binary_search(&op).is_ok()),
            Base::State(State::OffCpu) => stored(&|op| op.is("off_cpu")),
            _ => {
                let derived = self.derived(sel);
                derived.map_or_else(Vec::new, |d| d.of_thread(self.trace, thread, length(sel)))
            }
        }
    }

    /// The selector's events, grouped. `thresholds` gives the values of metrics in filters.
    pub(super) fn groups(&self, sel: &Selector, key: &[Key]) -> Groups<'t> {
        let id = (sel.clone(), key.to_vec());
        if let Some(found) = self.cache.lock().ok().and_then(|c| c.get(&id).cloned()) {
            return found;
        }
        let keying = Keying::new(key);
        let mut by_key: FxHashMap<KeyVal, Vec<&'t Lane>> = FxHashMap::default();
        for lane in self.lanes(sel) {
            by_key
                .entry(keying.of_lane(&self.names, self.trace, lane))
                .or_default()
                .push(lane);
        }
        let mut lanes: Vec<(KeyVal, Vec<&'t Lane>)> = by_key.into_iter().collect();
        lanes.sort_by_key(|(k, _)| *k);
        let groups: Vec<Vec<Group<'t>>> = lanes
            .into_par_iter()
            .map(|(k, lanes)| {
                if keying.by_event() {
                    self.split(sel, &keying, k, &lanes)
                } else {
                    vec![self.group(sel, k, &lanes)]
                }
            })
            .collect();
        let any = |g: &Group<'t>| !g.parts.is_empty() || !g.maybe.is_empty();
        let groups: Groups<'t> = Arc::new(groups.into_iter().flatten().filter(any).collect());
        if let Ok(mut cache) = self.cache.lock() {
            cache.insert(id, Arc::clone(&groups));
        }
        groups
    }

    /// Keys of the groups of a selector that looks at no single event (see [`whom`]).
    pub(super) fn keys(&self, sel: &Selector, key: &[Key]) -> Vec<KeyVal> {
        let gaps = match &sel.base {
            Base::Gap(_) | Base::DrainedGap(_) => self.derived(sel),
            _ => None,
        };
        let keying = Keying::new(key);
        let Some(gaps) = gaps.filter(|_| !keying.by_event()) else {
            return self.groups(sel, key).iter().map(|g| g.key).collect();
        };
        // Whose gaps there are is known without looking at all of them: one of a thread speaks for all.
        let any = |lane: &&'t Lane| {
            let idx = self.pass(sel, lane, &Thresholds::default(), None);
            idx.is_none_or(|idx| !idx.is_empty())
        };
        let lanes = gaps.at_least(self.trace, i64::MAX).into_iter().filter(any);
        lanes.map(|l| keying.of_lane(&self.names, self.trace, l)).collect()
    }

    /// The selected events of one key, if any.
    pub(super) fn group_of<'g>(groups: &'g Groups<'t>, key: KeyVal) -> Option<&'g Group<'t>> {
        groups.binary_search_by_key(&key, |g| g.key).ok().map(|i| &groups[i])
    }

    /// Why the derived intervals of a key may not be there: a call that was not stored ends a gap.
    fn shaky(&self, sel: &Selector, key: KeyVal) -> Option<Reason> {
        if sel.base.grows() {
            return None;
        }
        let m = self.missing(sel, key, key::life(self.trace, key)?);
        (!m.is_nothing()).then(|| m.reason())
    }

    fn group(&self, sel: &Selector, key: KeyVal, lanes: &[&'t Lane]) -> Group<'t> {
        match self.thresholds(&sel.filters, key) {
            Ok((thresholds, why)) => {
                let (mut parts, mut maybe) = (Vec::new(), Vec::new());
                for &lane in lanes {
                    let chosen = self.select(sel, lane, &thresholds, None);
                    parts.push(Part { lane, idx: chosen.sure });
                    maybe.push(Part {
                        lane,
                        idx: Some(chosen.maybe),
                    });
                }
                parts.retain(|p| p.len() > 0);
                maybe.retain(|p| p.len() > 0);
                Group {
                    key,
                    parts,
                    doubt: (!maybe.is_empty()).then(|| why.unwrap_or_else(no_first_use)),
                    maybe,
                    uncertain: self.shaky(sel, key),
                }
            }
            // The group stays, with what the other filters leave, so that nobody reads "none".
            Err(why) => {
                let parts = lanes
                    .iter()
                    .map(|&lane| Part { lane, idx: None })
                    .filter(|p| p.len() > 0)
                    .collect();
                Group {
                    key,
                    parts,
                    maybe: Vec::new(),
                    doubt: None,
                    uncertain: Some(why),
                }
            }
        }
    }

    /// Groups by parts of the key that single events decide.
    fn split(&self, sel: &Selector, keying: &Keying, key: KeyVal, lanes: &[&'t Lane]) -> Vec<Group<'t>> {
        let mut out: std::collections::BTreeMap<KeyVal, Group<'t>> = std::collections::BTreeMap::new();
        for &lane in lanes {
            let mut by: std::collections::BTreeMap<[i64; 5], Vec<u32>> = std::collections::BTreeMap::new();
            for i in 0..lane.len() {
                if let Ok(position) = u32::try_from(i) {
                    by.entry(keying.of_event(lane, i)).or_default().push(position);
                }
            }
            for (extra, idx) in by {
                let k = key.with_extra(extra);
                let group = out.entry(k).or_insert_with(|| Group {
                    key: k,
                    parts: Vec::new(),
                    maybe: Vec::new(),
                    doubt: None,
                    uncertain: None,
                });
                match self.thresholds(&sel.filters, k) {
                    Ok((thresholds, why)) => {
                        let chosen = self.select(sel, lane, &thresholds, Some(&idx.into()));
                        if !chosen.maybe.is_empty() {
                            group.doubt = why.or_else(|| Some(no_first_use()));
                        }
                        group.parts.push(Part { lane, idx: chosen.sure });
                        group.maybe.push(Part {
                            lane,
                            idx: Some(chosen.maybe),
                        });
                    }
                    Err(why) => {
                        group.uncertain = Some(why);
                        group.parts.push(Part {
                            lane,
                            idx: Some(idx.into()),
                        });
                    }
                }
            }
        }
        let mut groups: Vec<Group<'t>> = out.into_values().collect();
        for g in &mut groups {
            g.parts.retain(|p| p.len() > 0);
            g.maybe.retain(|p| p.len() > 0);
        }
        groups
    }

    /// Values of the metrics that filters name, for one key: every combination of the ends of those that
    /// are only known to lie between two, and why they are not exact.
    ///
    /// An event that passes with all combinations passes whatever the values are, for a comparison that
    /// is linear in each of them changes its mind at most once in between.
    pub(super) fn thresholds(
        &self,
        filters: &[Filter],
        key: KeyVal,
    ) -> Result<(Vec<Thresholds>, Option<Reason>), Reason> {
        let mut ids = Vec::new();
        for f in filters {
            walk::metrics_of_filter(f, &mut ids);
        }
        ids.sort_unstable();
        ids.dedup();
        let (mut out, mut doubt, mut unsure) = (vec![Thresholds::default()], None, 0);
        for id in ids {
            let value = self.metric_value(id, key);
            let ends = match (value.lo, value.hi) {
                _ if value.empty => vec![None],
                (Ext::Fin(a), Ext::Fin(b)) if a == b => vec![Some(a)],
                (Ext::Fin(a), Ext::Fin(b)) if unsure < MAX_UNSURE && filters.iter().all(|f| linear_in(f, id)) => {
                    unsure += 1;
                    doubt = doubt.or(value.why);
                    vec![Some(a), Some(b)]
                }
                _ => {
                    return Err(value.why.unwrap_or_else(|| {
                        Reason::new(
                            Lack::Partial,
                            format!("{} is not known", self.program.metrics[id.0 as usize].text),
                        )
                    }));
                }
            };
            let with = |t: &Thresholds, end: Option<Num>| {
                let mut t = t.clone();
                t.values.insert(id, end);
                t
            };
            out = out.iter().flat_map(|t| ends.iter().map(move |e| with(t, *e))).collect();
        }
        Ok((out, doubt))
    }

    /// Positions of a lane that pass the selector's filters for certain, and those that may.
    pub(super) fn select(
        &self,
        sel: &Selector,
        lane: &'t Lane,
        thresholds: &[Thresholds],
        from: Option<&Arc<[u32]>>,
    ) -> Chosen {
        let doubted = sel.filters.iter().any(|f| uses(f, Field::FirstUse))
            && lane.flags.iter().any(|f| f & flag::FIRST_UNSURE != 0);
        let mut cases: Vec<Thresholds> = thresholds.to_vec();
        if doubted {
            cases.extend(thresholds.iter().map(|t| Thresholds {
                doubted_first: true,
                ..t.clone()
            }));
        }
        let mut found = cases.iter().map(|t| self.pass(sel, lane, t, from.cloned()));
        let mut sure = found.next().flatten();
        if cases.len() == 1 {
            return Chosen {
                sure,
                maybe: Arc::from([]),
            };
        }
        let list = |idx: Option<Arc<[u32]>>| idx.unwrap_or_else(|| every(lane.len()));
        let mut common: Vec<u32> = list(sure.take()).to_vec();
        let mut any = common.clone();
        for idx in found {
            let idx = list(idx);
            common.retain(|i| idx.binary_search(i).is_ok());
            any.extend_from_slice(&idx);
        }
        any.sort_unstable();
        any.dedup();
        any.retain(|i| common.binary_search(i).is_err());
        Chosen {
            sure: Some(common.into()),
            maybe: any.into(),
        }
    }

    /// Positions of a lane that pass the selector's filters, were these the thresholds.
    fn pass(
        &self,
        sel: &Selector,
        lane: &'t Lane,
        thresholds: &Thresholds,
        from: Option<Arc<[u32]>>,
    ) -> Option<Arc<[u32]>> {
        let mut tests = Vec::new();
        if sel.source == Source::Gpu && matches!(sel.base, Base::Ops(_)) && !lane.flags.is_empty() {
            tests.push(Test::Flags {
                flags: &lane.flags,
                mask: flag::NESTED,
                want: 0,
                equal: true,
            });
        }
        if sel.filters.iter().all(|f| self.tests(f, lane, thresholds, &mut tests)) {
            // Those of whole columns leave few events to look at one by one.
            tests.sort_by_key(|t| matches!(t, Test::Other(_)));
            sift(lane.len(), from, &tests)
        } else {
            Some(Arc::from([]))
        }
    }

    /// Adds what a filter asks of each event. False where no event can pass.
    fn tests<'e>(
        &'e self,
        filter: &'e Filter,
        lane: &'t Lane,
        thresholds: &'e Thresholds,
        tests: &mut Vec<Test<'e>>,
    ) -> bool {
        match filter {
            Filter::All(list) => return list.iter().all(|f| self.tests(f, lane, thresholds, tests)),
            Filter::Flag(Field::FirstUse) if lane.flags.is_empty() => return false,
            Filter::Flag(Field::FirstUse) => tests.push(first_uses(lane, thresholds, true)),
            Filter::Not(inner) if **inner == Filter::Flag(Field::FirstUse) => {
                if !lane.flags.is_empty() {
                    tests.push(first_uses(lane, thresholds, false));
                }
            }
            _ => {
                if let Some(same) = self.lane_wide(filter, lane) {
                    return same;
                }
                let test = self.within(filter, lane, thresholds);
                tests.push(test.unwrap_or_else(|| self.other(filter, lane, thresholds)));
            }
        }
        true
    }

    /// A comparison of a whole column with a constant.
    fn within<'e>(&'e self, filter: &Filter, lane: &'t Lane, thresholds: &Thresholds) -> Option<Test<'e>> {
        let Filter::Cmp(Value::Field(field), op, rhs) = filter else {
            return None;
        };
        let range = bounds(*op, constant(rhs, thresholds)?)?;
        let values = match field {
            Field::Duration => &lane.dur,
            Field::Bytes => &lane.bytes,
            Field::SinceSync => {
                let values = self.prepared.since_sync.get(&(lane.thread, lane.op))?;
                return Some(Test::CountWithin { values, range });
            }
            _ => return None,
        };
        // Most thresholds are longer than most calls.
        let most = (*field == Field::Duration && range.0 > 0).then(|| self.longest_by_block(lane));
        (!values.is_empty()).then_some(Test::Within { values, range, most })
    }

    /// The events of a part whose duration lies in a range.
    pub(super) fn part_lasting(&self, part: &Part<'t>, range: (i64, i64)) -> Part<'t> {
        let values = &part.lane.dur;
        let most = part.idx.is_none().then(|| self.longest_by_block(part.lane));
        Part {
            lane: part.lane,
            idx: sift(
                part.lane.len(),
                part.idx.clone(),
                &[Test::Within { values, range, most }],
            ),
        }
    }

    /// The longest duration of each block of a lane.
    fn longest_by_block(&self, lane: &'t Lane) -> Arc<[i64]> {
        let id = std::ptr::from_ref(lane).addr();
        if let Some(found) = self.longest.lock().ok().and_then(|l| l.get(&id).cloned()) {
            return found;
        }
        let made = largest(&lane.dur);
        if let Ok(mut all) = self.longest.lock() {
            all.insert(id, Arc::clone(&made));
        }
        made
    }

    fn other<'e>(&'e self, filter: &'e Filter, lane: &'e Lane, thresholds: &'e Thresholds) -> Test<'e> {
        if let Filter::Cmp(a, op, b) = filter
            && let Some(linear) = Linear::of(a, b, thresholds)
        {
            let op = *op;
            return Test::Other(Box::new(move |i| {
                linear.at(|f| self.field(lane, i, f)).is_some_and(|sum| holds(sum, op))
            }));
        }
        Test::Other(Box::new(move |i| self.test(filter, lane, i, thresholds)))
    }

    /// The answer, where it is the same for all events of a lane.
    fn lane_wide(&self, filter: &Filter, lane: &Lane) -> Option<bool> {
        let thread = self.trace.thread(lane.thread);
        let process = self.trace.process(thread.process);
        let id = |field: &Field| match field {
            Field::Pid => Some(process.pid),
            Field::Tid => Some(thread.tid),
            _ => None,
        };
        let text = |field: &Field| match field {
            Field::Process if lane.name.is_empty() => Some(process.name.as_str()),
            Field::Thread => Some(thread.name.as_str()),
            Field::Op => Some(lane.op.def().name),
            _ => None,
        };
        match filter {
            Filter::Cmp(Value::Field(f), op, Value::Num(n)) => {
                let v = Num::int(id(f)?.into());
                Some(compare(v, *op, *n))
            }
            Filter::OneOf { field, any_of } => Some(any_of.contains(&id(field)?)),
            Filter::Text { field, any_of, negated } => {
                let t = text(field)?;
                Some(any_of.iter().any(|a| matches_text(*field, a, t)) != *negated)
            }
            Filter::Match {
                field,
                pattern,
                negated,
            } => Some(pattern.0.is_match(text(field)?) != *negated),
            Filter::Flag(Field::Launcher) => Some(process.launcher == Some(lane.thread)),
            Filter::Flag(Field::Frontend) => Some(process.frontend == Some(lane.thread)),
            Filter::Flag(Field::MainThread) => Some(self.trace.thread(lane.thread).tid == process.pid),
            Filter::Not(inner) => self.lane_wide(inner, lane).map(|b| !b),
            _ => None,
        }
    }

    fn test(&self, filter: &Filter, lane: &Lane, i: usize, thresholds: &Thresholds) -> bool {
        if let Some(answer) = self.lane_wide(filter, lane) {
            return answer;
        }
        let name = || lane.name.get(i).map_or("", String::as_str);
        match filter {
            Filter::Cmp(left, op, right) => {
                match (
                    self.number(left, lane, i, thresholds),
                    self.number(right, lane, i, thresholds),
                ) {
                    (Some(a), Some(b)) => compare(a, *op, b),
                    _ => false,
                }
            }
            Filter::Enum { field, word, negated } => {
                let code = match field {
                    Field::Direction => lane.direction.get(i).copied().unwrap_or(5),
                    _ => lane.preemptor.get(i).copied().unwrap_or(preemptor::UNKNOWN),
                };
                (code == *word) != *negated
            }
            Filter::Text { field, any_of, negated } => {
                any_of.iter().any(|a| matches_text(*field, a, name())) != *negated
            }
            Filter::Match { pattern, negated, .. } => Regex::is_match(&pattern.0, name()) != *negated,
            Filter::OneOf { field, any_of } => self.field(lane, i, *field).is_some_and(|v| any_of.contains(&v)),
            Filter::Flag(Field::FirstUse) => first_use(lane, i, thresholds),
            Filter::Flag(_) => false,
            Filter::Not(inner) => !self.test(inner, lane, i, thresholds),
            Filter::All(list) => list.iter().all(|f| self.test(f, lane, i, thresholds)),
            Filter::Any(list) => list.iter().any(|f| self.test(f, lane, i, thresholds)),
        }
    }

    fn field(&self, lane: &Lane, i: usize, field: Field) -> Option<i64> {
        match field {
            Field::SinceSync => self
                .prepared
                .since_sync
                .get(&(lane.thread, lane.op))
                .and_then(|c| c.get(i))
                .map(|v| i64::from(*v)),
            Field::Pid => Some(self.trace.process_of(lane).pid),
            Field::Tid => Some(self.trace.thread(lane.thread).tid),
            Field::InRequest => {
                let node = self.trace.process_of(lane).node;
                self.prepared
                    .requests
                    .get(usize::from(node.0))
                    .map(|u| u.overlap(lane.interval(i)))
            }
            _ => key::field(lane, i, field),
        }
    }

    /// What a field says of one event, to be told apart from others; `None` where it was not recorded.
    pub(super) fn identity<'l>(&'l self, lane: &'l Lane, i: usize, field: Field) -> Option<Identity<'l>> {
        let thread = self.trace.thread(lane.thread);
        let name = lane.name.get(i).map(String::as_str);
        Some(match field {
            Field::Op => Identity::Name(lane.op.def().name),
            Field::Process => {
                let owner = &self.trace.process(thread.process).name;
                Identity::Name(name.unwrap_or(owner))
            }
            Field::Thread => Identity::Name(&self.trace.thread(lane.thread).name),
            Field::Direction => Identity::Number(lane.direction.get(i).copied()?.into()),
            Field::FirstUse => Identity::Number(i64::from(lane.flags_at(i) & flag::FIRST_USE)),
            Field::Launcher => {
                let launcher = self.trace.process(thread.process).launcher;
                Identity::Number((launcher == Some(lane.thread)).into())
            }
            Field::Frontend => {
                let frontend = self.trace.process(thread.process).frontend;
                Identity::Number((frontend == Some(lane.thread)).into())
            }
            Field::MainThread => Identity::Number((thread.tid == self.trace.process(thread.process).pid).into()),
            _ => match self.field(lane, i, field) {
                Some(v) => Identity::Number(v),
                None => Identity::Name(name?),
            },
        })
    }

    fn number(&self, v: &Value, lane: &Lane, i: usize, thresholds: &Thresholds) -> Option<Num> {
        match v {
            Value::Num(n) => Some(*n),
            Value::Metric(id) => thresholds.values.get(id).copied().flatten(),
            Value::Field(f) => self.field(lane, i, *f).map(|v| Num::int(v.into())),
            Value::Neg(v) => self.number(v, lane, i, thresholds)?.negated(),
            Value::Arith(op, a, b) => {
                let (a, b) = (
                    self.number(a, lane, i, thresholds)?,
                    self.number(b, lane, i, thresholds)?,
                );
                exactly(*op, a, b)
            }
        }
    }

    /// What the rows of a selector may lack for a key within a segment.
    pub(super) fn missing(&self, sel: &Selector, key: KeyVal, segment: Interval) -> Missing {
        let node = self.trace.node(key.node());
        let open = Op::by_name(Source::Request, "open");
        if sel.filters.iter().any(|f| uses(f, Field::InRequest)) && !open.is_some_and(|o| node.ops.contains(&o)) {
            return Missing::anything(Reason::new(Lack::Missing, "no request annotations in this trace"));
        }
        if let Some(text) = self.unnamed(sel, key.node()) {
            return Missing::anything(Reason::new(Lack::Missing, text));
        }
        match &sel.base {
            Base::Ops(ops) => self.missing_calls(sel, ops, key, segment),
            Base::State(state) => self.missing_sched(sel, *state, key),
            Base::Gap(inner) | Base::DrainedGap(inner) | Base::Slump(inner) => {
                if !inner.filters.iter().all(simple) || !matches!(inner.base, Base::Ops(_)) {
                    return Missing::anything(Reason::new(
                        Lack::Partial,
                        "inside gap(), drained_gap() and slump() only `first_use` can be filtered",
                    ));
                }
                let mut m = self.missing(inner, key, segment);
                if !inner.filters.is_empty() && self.doubts_first_use(inner, key) {
                    m = Missing::anything(no_first_use());
                }
                if !m.is_nothing() {
                    m = Missing {
                        count: None,
                        sum: None,
                        max_dur: None,
                        whole: None,
                        ..m
                    };
                }
                m
            }
            Base::BusySeconds => {
                let ops = Op::family(Source::Gpu, "launch");
                let launches = Selector {
                    source: Source::Gpu,
                    base: Base::Ops(ops.clone()),
                    filters: Vec::new(),
                };
                let m = self.missing_calls(&launches, &ops, key, segment);
                if m.is_nothing() {
                    m
                } else {
                    Missing {
                        count: None,
                        sum: None,
                        max_dur: None,
                        whole: None,
                        ..m
                    }
                }
            }
        }
    }

    /// What a filter asks that nothing on the node tells.
    fn unnamed(&self, sel: &Selector, node: NodeIdx) -> Option<String> {
        let asks = |f: Field| sel.filters.iter().any(|x| uses(x, f));
        let mut here = self.trace.processes.iter().filter(|p| p.node == node);
        if asks(Field::Frontend) && here.all(|p| p.frontend.is_none()) {
            return Some("which thread answers clients is not known".to_owned());
        }
        let requests = || {
            let lanes = self.trace.lanes.iter();
            lanes.filter(|l| l.op.def().source == Source::Request && self.trace.process_of(l).node == node)
        };
        let unsaid = |f: Field| {
            requests().next().is_some() && requests().all(|l| (0..l.len()).all(|i| key::field(l, i, f).is_none()))
        };
        let mut told = [Field::Choices, Field::Logprobs].into_iter();
        let field = told.find(|f| asks(*f) && unsaid(*f))?;
        Some(format!("no request says its `{}`", field.def().name))
    }

    /// Whether some launch of the key may be the first of its kernel or not.
    fn doubts_first_use(&self, sel: &Selector, key: KeyVal) -> bool {
        let here = |l: &&&Lane| key.process().is_none_or(|p| self.trace.thread(l.thread).process == p);
        let doubted = |l: &Lane| l.flags.iter().any(|f| f & flag::FIRST_UNSURE != 0);
        self.lanes(sel).iter().filter(here).any(|l| doubted(l))
    }

    fn missing_calls(&self, sel: &Selector, ops: &[Op], key: KeyVal, segment: Interval) -> Missing {
        let mut absent = Absent::default();
        let (mut observed, mut selected) = (false, false);
        let mut windows: Option<Vec<Interval>> = None;
        let ops: Vec<Op> = ops
            .iter()
            .copied()
            .filter(|o| key.op().is_none_or(|k| k == *o))
            .collect();
        // Complete rows are their own total, and only needed beside incomplete ones.
        let mut complete: Vec<&Lane> = Vec::new();
        for p in self.names.members(self.trace, key) {
            let process = self.trace.process(p);
            for &op in &ops {
                let threads = process.threads.iter().filter(|t| self.names.has_thread(key, **t));
                let mut incomplete: Option<Rows> = None;
                let from = complete.len();
                for t in threads {
                    let rows = coverage::rows(self.trace, *t, op);
                    observed |= rows != Rows::Unobserved;
                    if !matches!(rows, Rows::Complete | Rows::Unobserved) && incomplete.is_none() {
                        incomplete = Some(rows);
                    }
                    complete.extend(self.trace.lane(*t, op));
                }
                let Some(state) = incomplete else { continue };
                // Aggregates are by process: they tell of all its threads.
                complete.truncate(from);
                selected = true;
                if let Rows::Windows(w) = &state {
                    windows = Some(windows.map_or_else(|| w.clone(), |old| intersect(&old, w)));
                }
                self.count_missing(p, op, &state, segment, &mut absent);
            }
        }
        if !observed {
            return Missing::anything(Reason::new(
                Lack::Missing,
                format!("{} in this trace", nothing_of(sel, &ops)),
            ));
        }
        if !selected {
            return Missing::nothing();
        }
        for lane in complete {
            add_rows(&mut absent.whole, lane, segment);
        }
        let plain = sel.filters.is_empty() && sel.source != Source::Gpu && !key.is_finer_than_counts();
        let whole = (absent.whole_known && plain).then_some(absent.whole);
        let mut out = Missing {
            count: absent.count,
            least: whole.and(absent.count).unwrap_or(0),
            sum: absent.sum,
            max_dur: absent.longest.filter(|_| absent.count != Some(0)),
            whole,
            windows: windows.unwrap_or_default(),
            why: absent.why,
        };
        if out.why.is_none() && !out.is_nothing() {
            let text = format!(
                "only slow {} events were stored after the first seconds",
                sel.source.layer()
            );
            out.why = Some(Reason::new(Lack::Partial, text));
        }
        // A filter that only takes calls longer than any missing one loses nothing.
        if let (Some(longest), Some(least)) = (out.max_dur, least_duration(&sel.filters))
            && least > longest
        {
            return Missing {
                windows: Vec::new(),
                ..Missing::nothing()
            };
        }
        out
    }

    /// Adds what is known of the calls of one process and operation that are no rows.
    ///
    /// Only what the file proves: the threshold of our recorder, and what the aggregates count, sum and
    /// bound beyond the rows. That other recorders keep calls longer than 3 times the median of the last
    /// thousand bounds nothing, for those are not in the file.
    fn count_missing(&self, p: ProcIdx, op: Op, state: &Rows, segment: Interval, out: &mut Absent) {
        let process = self.trace.process(p);
        let node = self.trace.node(process.node);
        // No call at least this long was left out on purpose.
        let cap = match state {
            Rows::AtLeast(least) => Some(least.saturating_sub(1).max(0)),
            _ => None,
        };
        // Counted when they ended: a call of the segment may have been lost after it.
        let losses = node.losses.iter().flatten();
        let lost: u64 = losses
            .filter(|l| l.concerns(op) && l.when.end >= segment.start)
            .map(|l| l.lost)
            .sum();
        if lost > 0 {
            // What was lost can have been calls of any length, and nothing counted them by process.
            out.count = out.count.map(|c| c + lost);
            (out.sum, out.longest, out.whole_known) = (None, None, false);
            out.why = Some(Reason::new(
                Lack::Partial,
                format!("{lost} {} events were lost", op.def().source.name()),
            ));
        }
        if node.stored == Stored::Everything && !coverage::only_counted(op) {
            out.whole_known = false;
            return;
        }
        let Some(counted) = coverage::counted(self.trace, p, op) else {
            let rows_here = process.threads.iter().any(|t| self.trace.lane(*t, op).is_some());
            // Aggregates that count other calls and none of these say that there was none.
            if rows_here || node.counted.is_empty() {
                (out.count, out.sum, out.whole_known) = (None, None, false);
                out.longest = out.longest.zip(cap).map(|(a, b)| a.max(b));
            }
            return;
        };
        let rows: Vec<&Lane> = process.threads.iter().filter_map(|t| self.trace.lane(*t, op)).collect();
        let late = op.def().anchor == Anchor::End;
        out.whole.bytes_unknown |= !sums_bytes(op);
        for b in &counted.minutes {
            let span = Interval::new(b.start, b.start + b.len);
            if span.distance(segment) > 0 {
                continue;
            }
            if !b.reliable {
                // Overwritten by a late event: it hides how many calls there were and how long.
                (out.count, out.sum, out.whole_known) = (None, None, false);
                out.longest = out.longest.zip(cap).map(|(a, b)| a.max(b));
                continue;
            }
            let inside = segment.start <= span.start && span.end <= segment.end;
            let edge = !inside && (self.bucket_is_cut(p, span, segment));
            out.whole_known &= !edge;
            let stored: i128 = rows.iter().map(|l| sum_between(l, span, late)).sum();
            let (count, sum) = (b.count.saturating_sub(b.rows), (b.sum - stored).max(0));
            out.count = out.count.map(|c| c + count);
            out.sum = out.sum.map(|s| s + sum);
            add_bucket(&mut out.whole, b);
            if count > 0 {
                // One of them has at most what the others leave of their sum.
                let others = i128::from(count - 1).saturating_mul(b.min.into());
                let most = i64::try_from((sum - others).max(0)).unwrap_or(i64::MAX).min(b.max);
                let most = cap.map_or(most, |c| most.min(c));
                out.longest = out.longest.map(|l| l.max(most));
            }
        }
    }

    /// Whether the segment cuts a bucket in the middle of what the process did, rather than before
    /// its first or after its last event.
    pub(super) fn bucket_is_cut(&self, p: ProcIdx, bucket: Interval, segment: Interval) -> bool {
        let alive = self.trace.process(p).alive;
        let used = Interval::new(bucket.start.max(alive.start), bucket.end.min(alive.end));
        !(segment.start <= used.start && used.end <= segment.end)
    }

    fn missing_sched(&self, sel: &Selector, state: State, key: KeyVal) -> Missing {
        let mut out = Missing::nothing();
        let (mut seen, mut unseen) = (0, 0);
        let mut windows: Option<Vec<Interval>> = None;
        for p in self.names.members(self.trace, key) {
            let process = self.trace.process(p);
            for &t in &process.threads {
                if !self.names.has_thread(key, t) || !self.thread_passes(sel, t) {
                    continue;
                }
                if !process.limits_known && sel.filters.iter().any(|f| uses(f, Field::Throttled)) {
                    return Missing::anything(Reason::new(
                        Lack::Missing,
                        "the CPU limits of this process are not in this trace",
                    ));
                }
                match self.sched_rows(t, state) {
                    Rows::Complete => seen += 1,
                    Rows::Unobserved => unseen += 1,
                    Rows::Windows(w) => {
                        seen += 1;
                        windows = Some(windows.map_or_else(|| w.clone(), |old| intersect(&old, &w)));
                    }
                    Rows::AtLeast(min) => {
                        seen += 1;
                        out.max_dur = Some(out.max_dur.unwrap_or(0).max(min));
                        (out.count, out.sum) = (None, None);
                    }
                }
            }
        }
        if seen == 0 {
            let what = if state == State::OffCpu {
                "off-CPU time of these threads"
            } else {
                "the run state of these threads (runnable or asleep)"
            };
            return Missing::anything(Reason::new(Lack::Missing, format!("{what} is not in this trace")));
        }
        if let Some(w) = windows {
            out.windows = w;
            (out.count, out.sum) = (None, None);
            out.why = Some(Reason::new(Lack::Partial, "off-CPU time was recorded only in part"));
        }
        if let (Some(longest), Some(least), None) = (out.max_dur, least_duration(&sel.filters), &out.why) {
            // Only shorter stints than the filters ask for were left out.
            if least > longest && self.sched_losses(key) == 0 {
                out = Missing::nothing();
            }
        }
        if unseen > 0 && key.thread().is_none() && !pins_thread(sel) {
            (out.count, out.sum) = (None, None);
            out.why = Some(Reason::new(
                Lack::Partial,
                format!("off-CPU time of {unseen} threads was not recorded"),
            ));
        }
        out
    }

    /// Scheduling events that the node of the key lost.
    fn sched_losses(&self, key: KeyVal) -> u64 {
        let losses = self.trace.node(key.node()).losses.iter().flatten();
        losses
            .filter(|l| l.source == Source::Sched.name())
            .map(|l| l.lost)
            .sum()
    }

    /// Keys of processes that have calls of the selection in aggregates that are no rows. Parts of a key that
    /// only single events decide are left open.
    pub(super) fn counted_keys(&self, sel: &Selector, key: &[Key]) -> Vec<KeyVal> {
        let switch: Vec<Op> = Op::by_ids(3, 1).into_iter().collect();
        let ops = match &sel.base {
            Base::Ops(ops) => ops,
            Base::State(_) => &switch,
            Base::Gap(inner) | Base::DrainedGap(inner) => return self.counted_keys(inner, key),
            Base::Slump(_) | Base::BusySeconds => return Vec::new(),
        };
        let keying = Keying::new(key);
        let mut out = Vec::new();
        for node in &self.trace.nodes {
            for c in node.counted.iter().filter(|c| ops.binary_search(&c.op).is_ok()) {
                let dropped = c.minutes.iter().any(|b| b.count > b.rows);
                let Some(p) = c.process.filter(|_| dropped) else {
                    continue;
                };
                // Those of off-CPU time are by thread.
                let by_thread = matches!(sel.base, Base::State(_));
                for &t in &self.trace.process(p).threads {
                    if (!by_thread || self.trace.thread(t).tid == c.pid) && self.thread_passes(sel, t) {
                        out.push(keying.of_unstored(&self.names, self.trace, &Lane::new(t, c.op)));
                    }
                }
            }
        }
        out
    }

    /// How completely a part of off-CPU time is known for a thread.
    pub(super) fn sched_rows(&self, thread: ThreadIdx, state: State) -> Rows {
        if state != State::OffCpu && !self.prepared.run_state.get(thread.0 as usize).copied().unwrap_or(false) {
            return Rows::Unobserved;
        }
        self.trace.thread(thread).sched.clone()
    }

    /// Whether filters on the thread itself let it through.
    pub(super) fn thread_passes(&self, sel: &Selector, thread: ThreadIdx) -> bool {
        let probe = Lane::new(thread, Op(0));
        sel.filters.iter().all(|f| self.lane_wide(f, &probe).unwrap_or(true))
    }
}

/// The selection without the filters that look at single events: whom it speaks of.
pub(super) fn whom(sel: &Selector) -> Selector {
    fn identity(f: &Filter) -> bool {
        let of = |f: &Field| {
            matches!(
                f,
                Field::Pid
                    | Field::Tid
                    | Field::Process
                    | Field::Thread
                    | Field::Op
                    | Field::Launcher
                    | Field::Frontend
                    | Field::MainThread
            )
        };
        match f {
            Filter::Cmp(Value::Field(f), _, Value::Num(_))
            | Filter::OneOf { field: f, .. }
            | Filter::Text { field: f, .. }
            | Filter::Match { field: f, .. }
            | Filter::Enum { field: f, .. }
            | Filter::Flag(f) => of(f),
            Filter::Cmp(..) => false,
            Filter::Not(f) => identity(f),
            Filter::All(l) | Filter::Any(l) => l.iter().all(identity),
        }
    }
    Selector {
        filters: sel.filters.iter().filter(|f| identity(f)).cloned().collect(),
        ..sel.clone()
    }
}

/// Filters that name a single thread: then other threads do not matter.
fn pins_thread(sel: &Selector) -> bool {
    sel.filters.iter().any(|f| {
        matches!(
            f,
            Filter::Flag(Field::Launcher | Field::Frontend | Field::MainThread)
                | Filter::Cmp(Value::Field(Field::Tid), CmpOp::Eq, _)
        )
    })
}

/// Whether a filter changes its mind at most once as the value of the metric grows: not with `=`, and not
/// where it divides.
fn linear_in(f: &Filter, id: crate::lang::hir::MetricId) -> bool {
    fn names(v: &Value, id: crate::lang::hir::MetricId) -> bool {
        let mut ids = Vec::new();
        walk::metrics_of_value(v, &mut ids);
        ids.contains(&id)
    }
    fn linear(v: &Value, id: crate::lang::hir::MetricId) -> bool {
        match v {
            Value::Num(_) | Value::Field(_) | Value::Metric(_) => true,
            Value::Neg(v) => linear(v, id),
            Value::Arith(Arith::Div, a, b) => linear(a, id) && !names(b, id),
            Value::Arith(Arith::Mul, a, b) => linear(a, id) && linear(b, id) && !(names(a, id) && names(b, id)),
            Value::Arith(_, a, b) => linear(a, id) && linear(b, id),
        }
    }
    match f {
        Filter::Cmp(a, op, b) => {
            let free = !names(a, id) && !names(b, id);
            free || !matches!(op, CmpOp::Eq | CmpOp::Ne) && linear(a, id) && linear(b, id)
        }
        Filter::Not(inner) => linear_in(inner, id),
        Filter::All(list) | Filter::Any(list) => list.iter().all(|f| linear_in(f, id)),
        _ => true,
    }
}

fn no_first_use() -> Reason {
    Reason::new(
        Lack::Partial,
        "which launches were the first of their kernel is not known: earlier ones may be no rows",
    )
}

/// Whether a launch was the first of its kernel, as far as that is taken for granted.
fn first_use(lane: &Lane, i: usize, thresholds: &Thresholds) -> bool {
    let flags = lane.flags_at(i);
    flags & flag::FIRST_USE != 0 && !(thresholds.doubted_first && flags & flag::FIRST_UNSURE != 0)
}

/// Asks each launch whether it was the first of its kernel, as [`first_use`] does.
fn first_uses<'e>(lane: &'e Lane, thresholds: &Thresholds, equal: bool) -> Test<'e> {
    let unsure = if thresholds.doubted_first {
        flag::FIRST_UNSURE
    } else {
        0
    };
    Test::Flags {
        flags: &lane.flags,
        mask: flag::FIRST_USE | unsure,
        want: flag::FIRST_USE,
        equal,
    }
}

fn simple(f: &Filter) -> bool {
    match f {
        Filter::Flag(Field::FirstUse) => true,
        Filter::Not(inner) => **inner == Filter::Flag(Field::FirstUse),
        _ => false,
    }
}

/// No interval of the selector is shorter.
fn length(sel: &Selector) -> i64 {
    least_duration(&sel.filters).unwrap_or(i64::MIN)
}

/// The least duration that the filters ask for, where it is a constant.
pub(super) fn least_duration(filters: &[Filter]) -> Option<i64> {
    filters
        .iter()
        .filter_map(|f| match f {
            Filter::Cmp(Value::Field(Field::Duration), op @ (CmpOp::Gt | CmpOp::Ge), Value::Num(n)) => {
                bounds(*op, *n).map(|b| b.0)
            }
            Filter::All(list) => least_duration(list),
            _ => None,
        })
        .max()
}

/// The difference of two expressions that are linear in the fields of an event, times a common
/// denominator: `bytes >= 200MB/s * duration` in integers.
struct Linear {
    terms: Vec<(Field, i128)>,
    constant: i128,
}

impl Linear {
    fn of(left: &Value, right: &Value, thresholds: &Thresholds) -> Option<Self> {
        let (mut terms, mut constant) = (Vec::new(), Num::ZERO);
        gather(left, Num::ONE, thresholds, &mut terms, &mut constant)?;
        gather(right, Num::int(-1), thresholds, &mut terms, &mut constant)?;
        // Small enough that no sum of fields can overflow.
        let fits = |n: i128| (n.unsigned_abs() < 1 << 60).then_some(n);
        let mut common: i128 = constant.denom();
        for (_, n) in &terms {
            common = fits(Num::ratio(common, n.denom())?.numer().checked_mul(n.denom())?)?;
        }
        let scaled = |n: Num| {
            n.times(Num::int(common))
                .filter(|n| n.denom() == 1)
                .and_then(|n| fits(n.numer()))
        };
        let terms = terms
            .into_iter()
            .map(|(f, n)| Some((f, scaled(n)?)))
            .collect::<Option<_>>()?;
        Some(Self {
            terms,
            constant: scaled(constant)?,
        })
    }

    /// The value for one event; `None` where a field is not known.
    fn at(&self, field: impl Fn(Field) -> Option<i64>) -> Option<i128> {
        self.terms
            .iter()
            .try_fold(self.constant, |sum, (f, k)| Some(sum + k * i128::from(field(*f)?)))
    }
}

fn gather(v: &Value, by: Num, thresholds: &Thresholds, terms: &mut Vec<(Field, Num)>, sum: &mut Num) -> Option<()> {
    if let Some(n) = constant(v, thresholds) {
        *sum = sum.plus(n.times(by)?)?;
        return Some(());
    }
    match v {
        Value::Field(f) => terms.push((*f, by)),
        Value::Neg(v) => gather(v, by.negated()?, thresholds, terms, sum)?,
        Value::Arith(op @ (Arith::Add | Arith::Sub), a, b) => {
            gather(a, by, thresholds, terms, sum)?;
            gather(
                b,
                if *op == Arith::Add { by } else { by.negated()? },
                thresholds,
                terms,
                sum,
            )?;
        }
        Value::Arith(Arith::Mul, a, b) => match (constant(a, thresholds), constant(b, thresholds)) {
            (Some(k), _) => gather(b, by.times(k)?, thresholds, terms, sum)?,
            (_, Some(k)) => gather(a, by.times(k)?, thresholds, terms, sum)?,
            _ => return None,
        },
        Value::Arith(Arith::Div, a, b) => gather(a, by.over(constant(b, thresholds)?)?, thresholds, terms, sum)?,
        Value::Num(_) | Value::Metric(_) => return None,
    }
    Some(())
}

/// Whether `n op 0`.
fn holds(n: i128, op: CmpOp) -> bool {
    match op {
        CmpOp::Gt => n > 0,
        CmpOp::Ge => n >= 0,
        CmpOp::Lt => n < 0,
        CmpOp::Le => n <= 0,
        CmpOp::Eq => n == 0,
        CmpOp::Ne => n != 0,
    }
}

pub(super) fn constant(v: &Value, thresholds: &Thresholds) -> Option<Num> {
    match v {
        Value::Num(n) => Some(*n),
        Value::Metric(id) => thresholds.values.get(id).copied().flatten(),
        Value::Field(_) => None,
        Value::Neg(v) => constant(v, thresholds)?.negated(),
        Value::Arith(op, a, b) => {
            let (a, b) = (constant(a, thresholds)?, constant(b, thresholds)?);
            exactly(*op, a, b)
        }
    }
}

/// Arithmetic on points; `None` on overflow and on division by zero.
pub(super) fn exactly(op: Arith, a: Num, b: Num) -> Option<Num> {
    match op {
        Arith::Add => a.plus(b),
        Arith::Sub => a.minus(b),
        Arith::Mul => a.times(b),
        Arith::Div => a.over(b),
    }
}

/// `x op n` for integers `x` as an inclusive range; `None` for `!=`.
pub(super) fn bounds(op: CmpOp, n: Num) -> Option<(i64, i64)> {
    let clip = |v: i128| i64::try_from(v).unwrap_or(if v < 0 { i64::MIN } else { i64::MAX });
    let floor = n.floor();
    let whole = n.denom() == 1;
    let ceil = if whole { floor } else { floor + 1 };
    Some(match op {
        CmpOp::Gt => (clip(floor.saturating_add(1)), i64::MAX),
        CmpOp::Ge => (clip(ceil), i64::MAX),
        CmpOp::Lt => (i64::MIN, clip(ceil.saturating_sub(1))),
        CmpOp::Le => (i64::MIN, clip(floor)),
        CmpOp::Eq if whole => (clip(floor), clip(floor)),
        CmpOp::Eq => (1, 0),
        CmpOp::Ne => return None,
    })
}

pub(super) fn compare(a: Num, op: CmpOp, b: Num) -> bool {
    match op {
        CmpOp::Gt => a > b,
        CmpOp::Ge => a >= b,
        CmpOp::Lt => a < b,
        CmpOp::Le => a <= b,
        CmpOp::Eq => a == b,
        CmpOp::Ne => a != b,
    }
}

fn matches_text(field: Field, want: &str, have: &str) -> bool {
    if field == Field::Op {
        want.eq_ignore_ascii_case(have)
    } else {
        want == have
    }
}

fn add_rows(whole: &mut Whole, lane: &Lane, segment: Interval) {
    for i in 0..lane.len() {
        if segment.contains(lane.start[i]) {
            whole.count += 1;
            whole.sum += i128::from(lane.dur[i]);
            whole.bytes += lane.bytes.get(i).map_or(0, |b| i128::from(*b));
            whole.min = whole.min.min(lane.dur[i]);
            whole.max = whole.max.max(lane.dur[i]);
        }
    }
}

/// Whether the format sums arg0 of this operation, because it is bytes or sectors.
fn sums_bytes(op: Op) -> bool {
    let d = op.def();
    matches!(
        (d.source_id, d.op_id),
        (1, 1 | 4 | 7 | 8) | (3, 3) | (4, 2 | 3 | 5 | 6) | (5, _)
    )
}

fn add_bucket(whole: &mut Whole, b: &Bucket) {
    whole.count += b.count;
    whole.sum += b.sum;
    whole.bytes += b.bytes;
    whole.min = whole.min.min(b.min);
    whole.max = whole.max.max(b.max);
}

fn sum_between(lane: &Lane, when: Interval, late: bool) -> i128 {
    if late {
        // Counted in the bucket in which they ended.
        let ends = (0..lane.len()).map(|i| (lane.start[i].saturating_add(lane.dur[i]), lane.dur[i]));
        let here = ends.filter(|(end, _)| when.start <= *end && *end < when.end);
        return here.map(|(_, d)| i128::from(d)).sum();
    }
    let from = lane.start.partition_point(|s| *s < when.start);
    let to = lane.start.partition_point(|s| *s < when.end);
    lane.dur[from..to.max(from)].iter().map(|d| i128::from(*d)).sum()
}

/// From the begin of the first to the end of the last.
pub(super) fn hull(pieces: &[Interval]) -> Interval {
    pieces.iter().copied().reduce(Interval::hull).unwrap_or_default()
}

/// Sorted disjoint windows that lie in both.
pub(super) fn intersect(a: &[Interval], b: &[Interval]) -> Vec<Interval> {
    let mut out = Vec::new();
    for x in a {
        for y in b {
            let (start, end) = (x.start.max(y.start), x.end.min(y.end));
            if start < end {
                out.push(Interval::new(start, end));
            }
        }
    }
    out
}

/// "no request events", "no cudaMalloc events".
fn nothing_of(sel: &Selector, ops: &[Op]) -> String {
    match ops {
        _ if sel.source == Source::Request => "no request annotations".to_owned(),
        [one] if one.is_across_ranks() => "no NCCL collective of several ranks".to_owned(),
        [one] => format!("no {} events", one.def().name),
        _ => format!("no {} events of this kind", sel.source.name()),
    }
}

/// The value of a field, for counting different ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Identity<'a> {
    Number(i64),
    Name(&'a str),
}

/// Whether a filter names a field.
pub(super) fn uses(f: &Filter, field: Field) -> bool {
    fn value(v: &Value, field: Field) -> bool {
        match v {
            Value::Field(f) => *f == field,
            Value::Neg(v) => value(v, field),
            Value::Arith(_, a, b) => value(a, field) || value(b, field),
            _ => false,
        }
    }
    match f {
        Filter::Cmp(a, _, b) => value(a, field) || value(b, field),
        Filter::Flag(f) => *f == field,
        Filter::Not(inner) => uses(inner, field),
        Filter::All(list) | Filter::Any(list) => list.iter().any(|f| uses(f, field)),
        _ => false,
    }
}
