//! Judging a condition for one key: truth, reasons, and the witnesses behind it.

use std::borrow::Cow;
use std::sync::Arc;

use super::Engine;
use super::cheap;
use super::join::{self, Companions, Place, Stints, Wit};
use super::key::{self, KeyVal};
use super::logic::{Lack, Reason, Truth};
use super::merge::in_order;
use super::metric::{Mode, Runs};
use super::select::{Group, Part, bounds, compare};
use super::value::{Ext, Val};
use crate::diagnosis::Link;
use crate::lang::hir::{Arith, Base, CmpOp, Cond, Filter, MetricId, MetricKind, Selector, Stat, Value};
use crate::lang::walk;
use crate::trace::catalogue::{Field, Key};
use crate::trace::{Rows, ThreadIdx};
use crate::unit::{Interval, Num};

/// How many anchors a circular shift moves at most; more are thinned evenly.
const MAX_MOVED: usize = 128;

/// What a condition came to for a key.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    pub(super) truth: Truth,
    /// Why it is unknown.
    pub(super) why: Option<Reason>,
}

impl Judged {
    pub(super) fn of(truth: Truth, why: Option<Reason>) -> Self {
        Self {
            truth,
            why: if truth == Truth::Unknown { why } else { None },
        }
    }
}

/// A `within` group that holds.
#[derive(Clone, Debug)]
pub(super) struct Joined<'t> {
    /// Witnesses of each term that take part, in the order of the terms.
    pub(super) terms: Vec<Vec<Wit<'t>>>,
    /// Whose time links them; `None` if no state or other thread-owned term takes part.
    pub(super) link: Option<Link>,
    /// Hulls of the incidents, sorted.
    pub(super) incidents: Vec<Interval>,
    /// Share (thousandths) of 256 shifts that join as much.
    pub(super) chance: u32,
}

impl<'t> Engine<'t> {
    /// Judges a condition of a rule for one of its keys.
    pub(super) fn judge(&self, on: &[Key], cond: &Cond, key: KeyVal) -> Judged {
        if let Some(placed) = self.placed(on, cond, key, false) {
            return placed.judged();
        }
        match cond {
            Cond::Compare { op, left, right, .. } => self.judge_compare(*op, left, right, key),
            Cond::Exists { sel, .. } => self.judge_exists(sel, &keys_of(on, sel), key),
            Cond::State { sel, op, bound, .. } => match self.stint_selector(sel, *op, bound, key) {
                Ok(sel) => self.judge_exists(&sel, &keys_of(on, &sel), key),
                Err(j) => j,
            },
            Cond::Not(inner) => {
                let j = self.judge(on, inner, key);
                Judged::of(!j.truth, j.why)
            }
            Cond::And(list) => self.fold(on, list, key, Truth::True, Truth::and),
            Cond::Or(list) => self.fold(on, list, key, Truth::False, Truth::or),
            Cond::Unless(a, guard) => {
                let (a, g) = (self.judge(on, a, key), self.judge(on, guard, key));
                Judged::of(a.truth.and(!g.truth), merge_why(a.why, g.why))
            }
            Cond::Within { terms, within_ns, .. } => self.join(on, terms, *within_ns, key, false).0,
            Cond::Then { .. } | Cond::Without { .. } | Cond::During { .. } | Cond::Lasting { .. } => {
                Judged::of(Truth::Unknown, None)
            }
        }
    }

    fn fold(&self, on: &[Key], list: &[Cond], key: KeyVal, unit: Truth, f: fn(Truth, Truth) -> Truth) -> Judged {
        let (mut truth, mut why) = (unit, None);
        for c in cheap::first(self.program, list) {
            let j = self.judge(on, c, key);
            truth = f(truth, j.truth);
            if j.truth == Truth::Unknown {
                why = merge_why(why, j.why);
            }
            if truth == !unit {
                break;
            }
        }
        Judged::of(truth, why)
    }

    fn judge_compare(&self, op: CmpOp, left: &Value, right: &Value, key: KeyVal) -> Judged {
        if let Some((side, op, bound)) = self.windowed(op, left, right) {
            let r = self.window_runs(side, op, bound, key);
            return Judged::of(r.truth, r.why.clone());
        }
        let (l, r) = (self.value(left, key, Mode::All), self.value(right, key, Mode::All));
        let truth = l.compare(op, &r);
        if truth != Truth::Unknown {
            return Judged::of(truth, None);
        }
        // What is proven inside complete windows is proven; what is not there may be elsewhere.
        let mode = self.sample_mode(left, right);
        let (lw, rw) = (self.value(left, key, mode), self.value(right, key, mode));
        if lw.compare(op, &rw) == Truth::True {
            return Judged::of(Truth::True, None);
        }
        Judged::of(Truth::Unknown, merge_why(l.why, r.why))
    }

    /// How to compare inside of complete windows: sums and counts only with one another, for a part is
    /// smaller than the whole, but in proportion it is not.
    pub(super) fn sample_mode(&self, left: &Value, right: &Value) -> Mode {
        match (self.degree(left), self.degree(right)) {
            (Some(a), Some(b)) if a == b && a > 0 => Mode::Portions,
            _ => Mode::Windows,
        }
    }

    /// How often sums and counts are multiplied in an expression; `None` where its parts differ in that.
    fn degree(&self, v: &Value) -> Option<i32> {
        match v {
            Value::Num(_) | Value::Field(_) => Some(0),
            Value::Metric(id) => Some(match &self.program.metrics[id.0 as usize].kind {
                MetricKind::Stat {
                    stat: Stat::Count | Stat::Sum | Stat::Bytes,
                    over: None,
                    ..
                } => 1,
                MetricKind::Stat {
                    stat: Stat::Rate | Stat::Busy | Stat::Distinct(_) | Stat::Min | Stat::Max,
                    ..
                } => return None,
                _ => 0,
            }),
            Value::Neg(v) => self.degree(v),
            Value::Arith(Arith::Mul, a, b) => Some(self.degree(a)? + self.degree(b)?),
            Value::Arith(Arith::Div, a, b) => Some(self.degree(a)? - self.degree(b)?),
            Value::Arith(Arith::Add | Arith::Sub, a, b) => self.degree(a).filter(|d| self.degree(b) == Some(*d)),
        }
    }

    /// The side of a comparison that looks at windows, with the comparison turned so that it stands left.
    pub(super) fn windowed<'c>(
        &self,
        op: CmpOp,
        left: &'c Value,
        right: &'c Value,
    ) -> Option<(&'c Value, CmpOp, &'c Value)> {
        if self.looks_at_windows(left) {
            return Some((left, op, right));
        }
        self.looks_at_windows(right).then(|| (right, op.turned(), left))
    }

    /// Whether an expression has a value for each window rather than one.
    pub(super) fn looks_at_windows(&self, v: &Value) -> bool {
        let mut ids = Vec::new();
        walk::metrics_of_value(v, &mut ids);
        let over = |id: &MetricId| {
            matches!(
                &self.program.metrics[id.0 as usize].kind,
                MetricKind::Stat { over: Some(_), .. }
            )
        };
        ids.iter().any(over)
    }

    /// Found once for all that ask: verdict, witnesses, evidence, and other rules.
    pub(super) fn window_runs(&self, side: &Value, op: CmpOp, bound: &Value, key: KeyVal) -> Arc<Runs> {
        let bound = self.value(bound, key, Mode::All);
        let Some(b) = bound.point() else {
            let why = bound
                .why
                .unwrap_or_else(|| Reason::new(Lack::Few, "the bound is not known"));
            return Arc::new(Runs::unknown(why));
        };
        let id = (side.clone(), op, b, key);
        if let Some(found) = self.runs.lock().ok().and_then(|r| r.get(&id).cloned()) {
            return found;
        }
        let made = Arc::new(match side {
            Value::Metric(id) => self.runs(*id, key, op, b),
            expression => self.runs_of(expression, key, op, b),
        });
        if let Ok(mut all) = self.runs.lock() {
            all.insert(id, Arc::clone(&made));
        }
        made
    }

    /// The value of an expression for a key.
    pub(super) fn value(&self, v: &Value, key: KeyVal, mode: Mode) -> Val {
        match v {
            Value::Num(n) => Val {
                samples: 0,
                ..Val::exact(*n, 0)
            },
            Value::Metric(id) => {
                let cell = self.cell(*id, key);
                match mode {
                    Mode::Windows => cell.window.unwrap_or(cell.all),
                    Mode::Portions => cell.portion.or(cell.window).unwrap_or(cell.all),
                    Mode::All => cell.all,
                }
            }
            Value::Field(_) => Val::unknown(Reason::new(Lack::Partial, "a field outside of a filter")),
            Value::Neg(v) => self.value(v, key, mode).negated(),
            Value::Arith(op, a, b) => self.value(a, key, mode).arith(*op, &self.value(b, key, mode)),
        }
    }

    fn judge_exists(&self, sel: &Selector, keys: &[Key], key: KeyVal) -> Judged {
        let key = key.project(keys);
        let groups = self.groups(sel, keys);
        let group = Self::group_of(&groups, key);
        if let Some(g) = group.filter(|g| !g.parts.is_empty()) {
            return match &g.uncertain {
                Some(why) => Judged::of(Truth::Unknown, Some(why.clone())),
                None => Judged::of(Truth::True, None),
            };
        }
        let Some(life) = key::life(self.trace, key) else {
            return Judged::of(
                Truth::Unknown,
                Some(Reason::new(Lack::Missing, "the trace holds no events")),
            );
        };
        let m = self.missing(sel, key, life).with_maybe(group, &[life]);
        if m.is_nothing() {
            Judged::of(Truth::False, None)
        } else {
            Judged::of(Truth::Unknown, Some(m.reason()))
        }
    }

    /// The selector of single stints that satisfy a state predicate.
    pub(super) fn stint_selector(
        &self,
        sel: &Selector,
        op: CmpOp,
        bound: &Value,
        key: KeyVal,
    ) -> Result<Selector, Judged> {
        let bound = self.value(bound, key, Mode::All);
        let Some(b) = bound.point() else {
            let why = bound
                .why
                .unwrap_or_else(|| Reason::new(Lack::Few, "the bound is not known"));
            return Err(Judged::of(
                if bound.empty { Truth::False } else { Truth::Unknown },
                Some(why),
            ));
        };
        let mut sel = sel.clone();
        sel.filters.push(lasting(op, b));
        Ok(sel)
    }

    /// Witnesses of a condition, sorted by start; `None` for a gate, which has no position.
    pub(super) fn witnesses(&self, on: &[Key], cond: &Cond, key: KeyVal) -> Option<Vec<Wit<'t>>> {
        if let Some(placed) = self.placed(on, cond, key, false) {
            return Some(placed.hits);
        }
        match cond {
            Cond::Compare { op, left, right, .. } => self.compare_witnesses(*op, left, right, key),
            Cond::Exists { sel, .. } => Some(self.events(sel, &keys_of(on, sel), key, None)),
            Cond::State { sel, op, bound, .. } => {
                let sel = self.stint_selector(sel, *op, bound, key).ok()?;
                Some(self.events(&sel, &keys_of(on, &sel), key, None))
            }
            Cond::Not(_) | Cond::Then { .. } | Cond::Without { .. } | Cond::During { .. } | Cond::Lasting { .. } => {
                None
            }
            Cond::Unless(a, _) => self.witnesses(on, a, key),
            Cond::And(list) | Cond::Or(list) => {
                let mut all: Vec<Wit<'t>> = list
                    .iter()
                    .filter(|c| self.judge(on, c, key).truth == Truth::True)
                    .filter_map(|c| self.witnesses(on, c, key))
                    .flatten()
                    .collect();
                all.sort_by_key(|w| (w.when, w.thread));
                (!all.is_empty()).then_some(all)
            }
            Cond::Within { terms, within_ns, .. } => {
                let joined = self.join(on, terms, *within_ns, key, false).1?;
                let mut all: Vec<Wit<'t>> = joined.terms.into_iter().flatten().collect();
                all.sort_by_key(|w| (w.when, w.thread));
                Some(all)
            }
        }
    }

    fn compare_witnesses(&self, op: CmpOp, left: &Value, right: &Value, key: KeyVal) -> Option<Vec<Wit<'t>>> {
        if let Some((side, op, bound)) = self.windowed(op, left, right) {
            let runs = self.window_runs(side, op, bound, key);
            return Some(
                runs.runs
                    .iter()
                    .map(|when| Wit {
                        when: *when,
                        thread: None,
                        event: None,
                    })
                    .collect(),
            );
        }
        let (metric, op, bound) = match (left.first_metric(), right.first_metric()) {
            (Some(m), _) => (m, op, right),
            (None, Some(m)) => (m, op.turned(), left),
            _ => return None,
        };
        let lone = matches!(left, Value::Metric(_)) || matches!(right, Value::Metric(_));
        let metric = &self.program.metrics[metric.0 as usize];
        match &metric.kind {
            MetricKind::Stat { sel, stat, segment, .. } if stat.is_distribution() => {
                let seg = self.stretches(*segment, &metric.key, key.project(&metric.key)).ok();
                // Beyond the bound wherever it lies between its ends.
                let far = |v: Val| match (op, v.lo, v.hi) {
                    (CmpOp::Gt | CmpOp::Ge, _, Ext::Fin(b)) | (CmpOp::Lt | CmpOp::Le, Ext::Fin(b), _) => Some(b),
                    _ => v.point(),
                };
                let bound = far(self.value(bound, key, Mode::All))
                    .or_else(|| far(self.value(bound, key, Mode::Windows)))
                    .filter(|_| lone && *stat != Stat::Throughput);
                let range = bound.and_then(|b| bounds(op, b));
                let single = matches!(stat, Stat::Pct(..) | Stat::Max | Stat::Min | Stat::Avg);
                Some(self.events_within(sel, &metric.key, key, seg.as_deref(), range.filter(|_| single)))
            }
            MetricKind::Covered { a, segment, .. } => Some(
                self.events(
                    a,
                    &metric.key,
                    key,
                    self.stretches(*segment, &metric.key, key.project(&metric.key))
                        .ok()
                        .as_deref(),
                ),
            ),
            MetricKind::Lift { a, .. } => Some(self.events(a, &metric.key, key, None)),
            _ => None,
        }
    }

    /// Events of a selector for a key, as witnesses sorted by start.
    pub(super) fn events(&self, sel: &Selector, keys: &[Key], key: KeyVal, seg: Option<&[Interval]>) -> Vec<Wit<'t>> {
        self.events_within(sel, keys, key, seg, None)
    }

    /// Those whose duration lies in a range.
    fn events_within(
        &self,
        sel: &Selector,
        keys: &[Key],
        key: KeyVal,
        seg: Option<&[Interval]>,
        range: Option<(i64, i64)>,
    ) -> Vec<Wit<'t>> {
        let groups = self.groups(sel, keys);
        let Some(group) = Self::group_of(&groups, key.project(keys)) else {
            return Vec::new();
        };
        let parts: Cow<'_, [Part<'t>]> = match range {
            None => Cow::Borrowed(&group.parts),
            Some(range) => group.parts.iter().map(|p| self.part_lasting(p, range)).collect(),
        };
        let starts: Vec<Cow<'t, [i64]>> = parts.iter().map(Part::starts).collect();
        let mut all: Vec<Wit<'t>> = Vec::new();
        let always = [Interval::new(i64::MIN, i64::MAX)];
        // By part: those before it are of an earlier stretch.
        let mut from = vec![0; parts.len()];
        for stretch in seg.unwrap_or(&always) {
            let mut inside: Vec<&[i64]> = Vec::with_capacity(parts.len());
            for (starts, from) in starts.iter().zip(&mut from) {
                *from += starts[*from..].partition_point(|s| *s < stretch.start);
                let n = starts[*from..].partition_point(|s| *s <= stretch.end);
                inside.push(&starts[*from..*from + n]);
            }
            in_order(&inside, |p, i| {
                let (lane, i) = (parts[p].lane, parts[p].position(from[p] + i));
                all.push(Wit {
                    when: lane.interval(i),
                    thread: Some(lane.thread),
                    event: Some((lane, i)),
                });
            });
            for (from, inside) in from.iter_mut().zip(&inside) {
                *from += inside.len();
            }
        }
        if parts.len() > 1 {
            for at_once in all.chunk_by_mut(|a, b| a.when.start == b.when.start) {
                at_once.sort_by_key(|w| (w.when, w.thread));
            }
        }
        all
    }

    /// Judges a `within` group and, if it holds, joins it. `full` asks for the chance as well.
    pub(super) fn join(
        &self,
        on: &[Key],
        terms: &[Cond],
        within: i64,
        key: KeyVal,
        full: bool,
    ) -> (Judged, Option<Joined<'t>>) {
        let no = |truth, why| (Judged::of(truth, why), None);
        // A state measure takes its place from the other terms; where there is no other place, its
        // stints are events like any other.
        let is_state = |c: &Cond| matches!(c, Cond::State { .. });
        let (mut states, others): (Vec<usize>, Vec<usize>) = (0..terms.len()).partition(|n| is_state(&terms[*n]));
        let (mut truth, mut why) = (Truth::True, None);
        for c in cheap::first(self.program, others.iter().map(|n| &terms[*n])) {
            let j = self.judge(on, c, key);
            if j.truth == Truth::False {
                return no(Truth::False, None);
            }
            truth = truth.and(j.truth);
            why = merge_why(why, j.why);
        }
        let mut placed: Vec<(usize, Vec<Wit<'t>>)> = Vec::new();
        if truth == Truth::True {
            let place = |n: usize| Some((n, self.witnesses(on, &terms[n], key)?));
            placed.extend(others.into_iter().filter_map(place));
        }
        if placed.is_empty() && truth == Truth::True {
            for n in std::mem::take(&mut states) {
                let j = self.judge(on, &terms[n], key);
                if j.truth != Truth::True {
                    return no(j.truth, j.why);
                }
                if let Some(w) = self.witnesses(on, &terms[n], key) {
                    placed.push((n, w));
                }
            }
        }
        if truth == Truth::Unknown {
            // A state that cannot hold anywhere still refutes the group.
            for &n in &states {
                if self.state_is_impossible(on, &terms[n], key) {
                    return no(Truth::False, None);
                }
            }
            return no(Truth::Unknown, why);
        }
        let lists: Vec<Vec<Interval>> = placed.iter().map(|(_, l)| l.iter().map(|w| w.when).collect()).collect();
        let regions = join::common(&lists, within);
        let all_placed = states.is_empty();
        let refuted = || {
            let unseen = terms.iter().filter(|c| !is_state(c) || all_placed);
            match unseen.filter_map(|c| self.unseen(on, c, key)).min() {
                Some(why) => no(Truth::Unknown, Some(why)),
                None => no(Truth::False, None),
            }
        };
        if regions.is_empty() && !lists.is_empty() {
            return refuted();
        }
        let mut anchors: Vec<Wit<'t>> = match placed.as_slice() {
            [(_, only)] => only.clone(),
            _ => placed
                .first()
                .map(|(_, first)| join::taking_part(first, &regions, within))
                .unwrap_or_default(),
        };
        let mut state_terms: Vec<(usize, Near<'t>)> = Vec::new();
        // Those that were seen wholly first: they refute, whatever the others hide.
        states.sort_by_key(|n| self.state_lacks(on, &terms[*n], &anchors, key).is_some());
        let place = Placing {
            companions: Companions::new(lists.get(1..).unwrap_or_default()),
            within,
        };
        for &n in &states {
            match self.near(on, &terms[n], &anchors, &place, &state_terms, key) {
                Ok((near, kept)) => {
                    anchors = kept;
                    state_terms.push((n, near));
                }
                // Anchors that are not known of may have such stints around them.
                Err(j) if j.truth == Truth::False => return refuted(),
                Err(j) => return (j, None),
            }
        }
        let mut regions = regions;
        let link = if state_terms.is_empty() {
            self.link_of(&placed)
        } else {
            let link = self.prefer(&mut anchors, &mut state_terms, &place);
            if placed.len() > 1 {
                // Those of the other terms that stand near the anchors that are left.
                let mut left = vec![anchors.iter().map(|w| w.when).collect::<Vec<_>>()];
                left.extend_from_slice(&lists[1..]);
                regions = join::common(&left, within);
            }
            Some(link)
        };
        let mut out: Vec<Vec<Wit<'t>>> = vec![Vec::new(); terms.len()];
        for (k, (n, list)) in placed.iter().enumerate() {
            out[*n] = match (k, states.is_empty()) {
                (0, false) => anchors.clone(),
                _ if placed.len() == 1 => list.clone(),
                _ => join::taking_part(list, &regions, within),
            };
        }
        for (n, near) in &state_terms {
            out[*n].clone_from(&near.stints);
        }
        let incidents = join::merge(out.iter().flatten().map(|w| w.when).collect(), within);
        let matched = placed.first().map_or(0, |(n, _)| out[*n].len());
        let chance = if full {
            self.chance(&place, key, &placed, &state_terms, matched)
        } else {
            0
        };
        (
            Judged::of(Truth::True, None),
            Some(Joined {
                terms: out,
                link,
                incidents,
                chance,
            }),
        )
    }

    /// Whether thread-owned terms lie on one thread, one process, or only on one node.
    pub(super) fn link_of(&self, placed: &[(usize, Vec<Wit<'t>>)]) -> Option<Link> {
        // Windows belong to the key, not to a thread: they tie nothing.
        let owned = |l: &[Wit<'t>]| l.iter().any(|w| w.thread.is_some());
        if placed.iter().filter(|(_, l)| owned(l)).count() < 2 {
            return None;
        }
        let owners = |f: fn(&Self, ThreadIdx) -> u32| {
            let sets: Vec<std::collections::BTreeSet<u32>> = placed
                .iter()
                .filter(|(_, l)| owned(l))
                .map(|(_, l)| l.iter().filter_map(|w| w.thread).map(|t| f(self, t)).collect())
                .collect();
            sets.iter()
                .skip(1)
                .fold(sets[0].clone(), |a, b| a.intersection(b).copied().collect())
                .is_empty()
        };
        Some(if !owners(|_, t| t.0) {
            Link::Thread
        } else if !owners(|e, t| e.trace.thread(t).process.0) {
            Link::Process
        } else {
            Link::Node
        })
    }

    fn state_is_impossible(&self, on: &[Key], cond: &Cond, key: KeyVal) -> bool {
        let Cond::State { sel, op, bound, .. } = cond else {
            return false;
        };
        let Some(bound) = self.value(bound, key, Mode::All).point() else {
            return false;
        };
        let keys = keys_of(on, sel);
        let Some(life) = key::life(self.trace, key) else {
            return false;
        };
        let groups = self.groups(sel, &keys);
        let group = Self::group_of(&groups, key.project(&keys));
        let m = self.missing(sel, key.project(&keys), life).with_maybe(group, &[life]);
        if !m.is_nothing() {
            return false;
        }
        let total: i128 = group
            .into_iter()
            .flat_map(|g| &g.parts)
            .map(|p| p.iter().map(|i| i128::from(p.lane.dur[i])).sum::<i128>())
            .max()
            .unwrap_or(0);
        !compare(Num::int(total), *op, bound)
    }

    /// Running sums of a part; those of whole lanes are kept for other rules.
    fn stints_of(&self, part: &Part<'t>) -> Arc<Stints<'t>> {
        if part.idx.is_some() {
            return Arc::new(Stints::new(part.iter().map(|i| part.lane.interval(i))));
        }
        let id = std::ptr::from_ref(part.lane).addr();
        if let Some(found) = self.stints.lock().ok().and_then(|s| s.get(&id).cloned()) {
            return found;
        }
        let made = Arc::new(Stints::of_lane(part.lane));
        if let Ok(mut all) = self.stints.lock() {
            all.insert(id, Arc::clone(&made));
        }
        made
    }

    /// A state term, and the anchors around which one thread's whole stints sum to more than its bound,
    /// in a place that suits the state terms `before` it as well.
    fn near(
        &self,
        on: &[Key],
        cond: &Cond,
        anchors: &[Wit<'t>],
        place: &Placing,
        before: &[(usize, Near<'t>)],
        key: KeyVal,
    ) -> Result<(Near<'t>, Vec<Wit<'t>>), Judged> {
        let Cond::State { sel, op, bound, .. } = cond else {
            return Err(Judged::of(Truth::Unknown, None));
        };
        let bound = self.value(bound, key, Mode::All);
        let Some(limit) = bound.point().and_then(|b| bounds(*op, b)) else {
            return Err(Judged::of(Truth::Unknown, bound.why));
        };
        let keys = keys_of(on, sel);
        // Gaps need not be looked for where the trace lacks what they are asked for.
        if !sel.base.grows() {
            let life = key::life(self.trace, key).unwrap_or_default();
            let why = self.missing(sel, key.project(&keys), life).why;
            if why.as_ref().is_some_and(|r| r.lack == Lack::Missing) {
                return Err(Judged::of(Truth::Unknown, why));
            }
        }
        let groups = self.groups(sel, &keys);
        let group = Self::group_of(&groups, key.project(&keys));
        if let Some(why) = group.and_then(|g| g.uncertain.clone()) {
            return Err(Judged::of(Truth::Unknown, Some(why)));
        }
        let mut threads: Vec<StintsOf<'t>> = group
            .into_iter()
            .flat_map(|g| &g.parts)
            .map(|p| StintsOf {
                thread: p.lane.thread,
                stints: self.stints_of(p),
                part: p.clone(),
            })
            .collect();
        threads.retain(|t| t.stints.total() >= limit.0);
        let near = Near {
            stints: Vec::new(),
            threads,
            link: Link::Node,
            least: limit.0,
        };
        let holds = |n: &Near<'t>, p: Place| n.threads.iter().any(|t| n.ok(t, p, place.within));
        let kept: Vec<Wit<'t>> = anchors
            .iter()
            .filter(|a| {
                let mut places = place.of(a.when).into_iter();
                places.any(|p| holds(&near, p) && before.iter().all(|(_, n)| holds(n, p)))
            })
            .copied()
            .collect();
        if kept.is_empty() {
            return Err(match self.state_lacks(on, cond, anchors, key) {
                Some(why) => Judged::of(Truth::Unknown, Some(why)),
                None => Judged::of(Truth::False, None),
            });
        }
        Ok((near, kept))
    }

    /// Why there may have been more stints of a state than are known of: threads that were not
    /// watched may have been off CPU.
    fn state_lacks(&self, on: &[Key], cond: &Cond, anchors: &[Wit<'t>], key: KeyVal) -> Option<Reason> {
        let Cond::State { sel, .. } = cond else { return None };
        let keys = keys_of(on, sel);
        let life = key::life(self.trace, key).unwrap_or_default();
        let groups = self.groups(sel, &keys);
        let group = Self::group_of(&groups, key.project(&keys));
        let m = self.missing(sel, key.project(&keys), life).with_maybe(group, &[life]);
        if !m.is_nothing() {
            return Some(m.reason());
        }
        let Base::State(state) = sel.base else { return None };
        let blind = |t| self.sched_rows(t, state) == Rows::Unobserved;
        anchors
            .iter()
            .filter_map(|a| a.thread)
            .any(blind)
            .then(|| Reason::new(Lack::Partial, "off-CPU time of the calling thread was not recorded"))
    }

    /// Keeps the anchors that prove most, and gathers the stints around them: the thread that owns
    /// the anchor first; another thread of its process proves less, and one of its node still less.
    fn prefer(&self, anchors: &mut Vec<Wit<'t>>, states: &mut [(usize, Near<'t>)], place: &Placing) -> Link {
        let within = place.within;
        let linked = |link: Link, t: &StintsOf<'t>, a: &Wit<'t>| match (link, a.thread) {
            (Link::Thread, owner) => owner == Some(t.thread),
            (Link::Process, Some(o)) => self.trace.thread(o).process == self.trace.thread(t.thread).process,
            // What belongs to nobody, such as a window, lies in whatever process is judged.
            (Link::Process, None) | (Link::Node, _) => true,
        };
        let mut best = Link::Node;
        let mut places: Vec<(usize, Place)> = Vec::new();
        for link in [Link::Thread, Link::Process, Link::Node] {
            let holds = |n: &Near<'t>, a: &Wit<'t>, p: Place| {
                n.threads.iter().any(|t| linked(link, t, a) && n.ok(t, p, within))
            };
            places = anchors
                .iter()
                .enumerate()
                .flat_map(|(k, a)| place.of(a.when).into_iter().map(move |p| (k, p)))
                .filter(|(k, p)| states.iter().all(|(_, n)| holds(n, &anchors[*k], *p)))
                .collect();
            if !places.is_empty() {
                best = link;
                break;
            }
        }
        for (_, near) in states {
            near.link = best;
            let mut stints: Vec<Wit<'t>> = Vec::new();
            for t in &near.threads {
                let mut taken = vec![false; t.part.len()];
                for (_, p) in places
                    .iter()
                    .filter(|(k, p)| linked(best, t, &anchors[*k]) && near.ok(t, *p, within))
                {
                    taken[t.stints.near(*p, within)].iter_mut().for_each(|x| *x = true);
                }
                stints.extend(t.part.iter().zip(&taken).filter(|(_, x)| **x).map(|(i, _)| Wit {
                    when: t.part.lane.interval(i),
                    thread: Some(t.thread),
                    event: Some((t.part.lane, i)),
                }));
            }
            stints.sort_by_key(|w| (w.when, w.thread));
            near.stints = stints;
        }
        places.dedup_by_key(|(k, _)| *k);
        *anchors = places.into_iter().map(|(k, _)| anchors[k]).collect();
        best
    }

    /// Whether every witness of a condition that starts in that time is known of, though elsewhere some
    /// are not: the rows there are complete, and what began there had ended while they were.
    pub(super) fn told_there(&self, on: &[Key], cond: &Cond, key: KeyVal, when: Interval) -> bool {
        let known = |c: &Cond| self.unseen_in(on, c, key, Some(when)).is_none();
        match cond {
            Cond::Exists { .. } => known(cond),
            Cond::State { sel, op, bound, .. } => self.stint_selector(sel, *op, bound, key).is_ok() && known(cond),
            Cond::Compare { .. } => self.judge(on, cond, key).truth == Truth::True && known(cond),
            Cond::Or(l) => l.iter().all(|c| self.told_there(on, c, key, when)),
            _ => false,
        }
    }

    /// Why there may be witnesses of a term that are not known of.
    pub(super) fn unseen(&self, on: &[Key], cond: &Cond, key: KeyVal) -> Option<Reason> {
        self.unseen_in(on, cond, key, None)
    }

    fn unseen_in(&self, on: &[Key], cond: &Cond, key: KeyVal, when: Option<Interval>) -> Option<Reason> {
        if let Some(placed) = self.placed(on, cond, key, false) {
            return placed.doubt;
        }
        let lacks = |sel: &Selector, more: Option<Filter>, keys: &[Key]| {
            let key = key.project(keys);
            let life = key::life(self.trace, key)?;
            let mut narrow = sel.clone();
            narrow.filters.extend(more);
            // Where nothing is in doubt without the last filter, it is not with it either.
            let sure = |g: &Group<'_>| g.maybe.is_empty() && g.uncertain.is_none();
            let mut groups = self.groups(sel, keys);
            if !Self::group_of(&groups, key).is_none_or(sure) {
                groups = self.groups(&narrow, keys);
            }
            let group = Self::group_of(&groups, key);
            let m = self.missing(&narrow, key, life).with_maybe(group, &[life]);
            let uncertain = group.and_then(|g| g.uncertain.clone());
            let sure = group.is_none_or(|g| g.maybe.is_empty());
            let told = sure && when.is_some_and(|w| m.tells(w));
            uncertain.or_else(|| (!m.is_nothing() && !told).then(|| m.reason()))
        };
        match cond {
            Cond::Compare { op, left, right, .. } => {
                let (m, op, bound) = match (left.first_metric(), right.first_metric()) {
                    (Some(m), _) => (m, *op, right),
                    (None, Some(m)) => (m, op.turned(), left),
                    _ => return None,
                };
                let metric = &self.program.metrics[m.0 as usize];
                let (sel, spread) = match &metric.kind {
                    MetricKind::Stat { sel, stat, over, .. } => (sel, over.is_some() || stat.is_distribution()),
                    MetricKind::Covered { a, .. } | MetricKind::Lift { a, .. } => (a, true),
                    _ => return None,
                };
                if !spread {
                    return None;
                }
                let bound = self.value(bound, key, Mode::All);
                let Some(b) = bound.point() else {
                    return Some(
                        bound
                            .why
                            .unwrap_or_else(|| Reason::new(Lack::Partial, "the bound is not known")),
                    );
                };
                let alone = matches!(&metric.kind, MetricKind::Stat { over: None, .. });
                lacks(sel, alone.then(|| lasting(op, b)), &metric.key)
            }
            Cond::Exists { sel, .. } => lacks(sel, None, &keys_of(on, sel)),
            Cond::State { sel, op, bound, .. } => {
                let bound = self.value(bound, key, Mode::All).point()?;
                lacks(sel, Some(lasting(*op, bound)), &keys_of(on, sel))
            }
            Cond::And(l) | Cond::Or(l) | Cond::Within { terms: l, .. } => l
                .iter()
                .filter_map(|c| {
                    let j = self.judge(on, c, key);
                    if j.truth == Truth::Unknown {
                        j.why
                    } else {
                        self.unseen(on, c, key)
                    }
                })
                .min(),
            Cond::Unless(a, _) => self.unseen(on, a, key),
            Cond::Not(_) | Cond::Then { .. } | Cond::Without { .. } | Cond::During { .. } | Cond::Lasting { .. } => {
                None
            }
        }
    }

    /// How often the anchors, moved together along the life of the key, join as much by chance.
    fn chance(
        &self,
        place: &Placing,
        key: KeyVal,
        placed: &[(usize, Vec<Wit<'t>>)],
        states: &[(usize, Near<'t>)],
        matched: usize,
    ) -> u32 {
        let Some((_, first)) = placed.first() else { return 0 };
        // Windows are no events: that one is near another explains nothing that chance could.
        if states.is_empty() && placed.iter().flat_map(|(_, l)| l).all(|w| w.event.is_none()) {
            return 0;
        }
        let within = place.within;
        let others: Vec<Vec<Interval>> = placed[1..]
            .iter()
            .map(|(_, l)| l.iter().map(|w| w.when).collect())
            .collect();
        if others.is_empty() && states.is_empty() {
            return 0;
        }
        let regions = (!others.is_empty()).then(|| join::common(&others, within));
        self.shifted(key, first, matched, |moved| {
            moved
                .iter()
                .filter(|(when, thread)| {
                    regions.as_ref().is_none_or(|r| join::touched(r, *when, within))
                        && (states.is_empty()
                            || place
                                .of(*when)
                                .into_iter()
                                .any(|p| states.iter().all(|(_, n)| n.joins(p, *thread, within))))
                })
                .count()
        })
    }

    /// How often witnesses, moved, match one by one as often as they do in place.
    pub(super) fn by_chance(
        &self,
        key: KeyVal,
        list: &[Wit<'t>],
        matched: usize,
        matches: impl Fn(Interval) -> bool,
    ) -> u32 {
        self.shifted(key, list, matched, |moved| {
            moved.iter().filter(|(w, _)| matches(*w)).count()
        })
    }

    /// Share (thousandths) of 256 even offsets at which the score of a thinned list, moved around the life
    /// of the key, is as good as `matched` is for the whole list.
    fn shifted(
        &self,
        key: KeyVal,
        list: &[Wit<'t>],
        matched: usize,
        score: impl Fn(&[(Interval, Option<ThreadIdx>)]) -> usize,
    ) -> u32 {
        let Some(life) = key::life(self.trace, key).filter(|l| !l.is_empty()) else {
            return 1000;
        };
        let step = list.len().div_ceil(MAX_MOVED).max(1);
        let anchors: Vec<Wit<'t>> = list.iter().step_by(step).copied().collect();
        let shift = |w: &Wit<'t>, by: i64| {
            let start = life.start + (w.when.start - life.start + by).rem_euclid(life.len());
            Interval::new(start, start.saturating_add(w.when.len()))
        };
        let as_good = (1..=256i64)
            .filter(|k| {
                let by = i64::try_from(i128::from(life.len()) * i128::from(*k) / 257).unwrap_or(0);
                let moved: Vec<_> = anchors.iter().map(|w| (shift(w, by), w.thread)).collect();
                // The share of all that match where they are, against that of the moved ones.
                score(&moved) * list.len() >= matched * anchors.len()
            })
            .count();
        u32::try_from(as_good * 1000 / 256).unwrap_or(1000)
    }
}

/// Stints of one thread in a `within` group.
#[derive(Debug)]
struct StintsOf<'t> {
    thread: ThreadIdx,
    stints: Arc<Stints<'t>>,
    part: Part<'t>,
}

/// Where anchors of the first placed term stand together with witnesses of the others.
struct Placing {
    companions: Companions,
    within: i64,
}

impl Placing {
    fn of(&self, anchor: Interval) -> Vec<Place> {
        self.companions.places(anchor, self.within)
    }
}

/// A state term that holds.
struct Near<'t> {
    stints: Vec<Wit<'t>>,
    threads: Vec<StintsOf<'t>>,
    link: Link,
    /// State terms ask for more than something (the language takes no other comparison).
    least: i64,
}

impl<'t> Near<'t> {
    /// Whether an anchor at that place joins: on its own thread where that is the link.
    fn joins(&self, place: Place, owner: Option<ThreadIdx>, within: i64) -> bool {
        if self.link == Link::Thread {
            return self
                .threads
                .iter()
                .find(|t| Some(t.thread) == owner)
                .is_some_and(|t| self.ok(t, place, within));
        }
        self.threads.iter().any(|t| self.ok(t, place, within))
    }

    /// Whether the stints of a thread near a place sum to what is asked for.
    fn ok(&self, t: &StintsOf<'t>, place: Place, within: i64) -> bool {
        t.stints.sum_reaches(place, within, self.least)
    }
}

/// The filter on a duration.
fn lasting(op: CmpOp, bound: Num) -> Filter {
    Filter::Cmp(Value::Field(Field::Duration), op, Value::Num(bound))
}

/// Keys of a selector in a rule: those of the rule that its source knows.
pub(super) fn keys_of(on: &[Key], sel: &Selector) -> Vec<Key> {
    on.iter()
        .copied()
        .filter(|k| {
            k.on(sel.source)
                && (*k != Key::Op
                    || matches!(sel.base, Base::Ops(_)) && sel.source != crate::trace::catalogue::Source::Sched)
        })
        .collect()
}

fn merge_why(a: Option<Reason>, b: Option<Reason>) -> Option<Reason> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
