//! From judged keys to diagnoses: severity, message, proof, factors, and what nearly fired.

use rayon::prelude::*;

use super::Engine;
use super::cheap;
use super::cond::{Joined, Judged, keys_of};
use super::join::{self, Wit};
use super::key::{self, KeyVal};
use super::logic::{Lack, Reason, Truth};
use super::metric::{Mode, Proof, SHIFTS};
use super::rank;
use super::select::whom;
use super::value::{Ext, Val};
use crate::diagnosis::{
    Diagnosis, Evidence, Factors, GpuProcess, Link, MAX_WITNESSES, Measured, NearMiss, Recording, RuleResult, Severity,
    Status, TraceSummary, Witness,
};
use crate::lang::hir::{
    Base, CmpOp, Cond, Except, Filter, Metric, MetricKind, Part, Rule, Scope, Selector, Side, Stat, Template, Value,
};
use crate::lang::walk;
use crate::trace::catalogue::{Anchor, DIRECTIONS, Field, Key, Op, Source, SystemField};
use crate::trace::model::{Stored, flag, preemptor};
use crate::trace::{Lane, Trace};
use crate::unit::{DAY, Dim, Interval, Num, Style, show, show_day, show_dur};

/// Symptoms shown where causes are shown as well.
const SYMPTOMS: usize = 3;
/// Nearer than this (thousandths) counts as a near miss.
const NEAR: u32 = 500;

/// Whether a part of a condition is a term of a `within` group in it.
fn grouped(whole: &Cond, part: &Cond) -> bool {
    match whole {
        Cond::Within { terms, .. } => terms.iter().any(|t| std::ptr::eq(t, part)),
        other => other.parts().into_iter().any(|p| grouped(p, part)),
    }
}

/// What a rule came to.
pub(super) struct Outcome {
    pub(super) result: RuleResult,
    pub(super) diagnoses: Vec<Diagnosis>,
    pub(super) near: Option<NearMiss>,
}

/// Whether a rule holds, and for whom.
pub(super) struct Verdict {
    /// Whom it was judged for.
    pub(super) keys: Vec<KeyVal>,
    /// Those for which it holds and no exception does.
    pub(super) fired: Vec<KeyVal>,
    /// For how many the trace cannot tell.
    pub(super) n_unknown: usize,
    pub(super) status: Status,
    /// Why it is unknown or not applicable.
    pub(super) reason: String,
}

impl<'t> Engine<'t> {
    /// Judges a rule for all its keys, without saying more than whether it holds.
    pub(super) fn verdict(&self, rule: &Rule) -> Verdict {
        let all = self.rule_keys(rule);
        let judged: Vec<(KeyVal, Truth, Option<Reason>)> = all
            .par_iter()
            .map(|&key| {
                let j = self.judge_rule(rule, key);
                (key, j.truth, j.why)
            })
            .filter(|(key, truth, _)| *truth != Truth::False || !key.is_of_unstored())
            .collect();
        let keys = judged.iter().map(|(key, ..)| *key).collect();
        let fired: Vec<KeyVal> = judged
            .par_iter()
            .filter(|(_, t, _)| *t == Truth::True)
            .map(|(key, _, _)| *key)
            .filter(|key| self.excepted(rule, *key).iter().all(|e| self.is_over(e, *key)))
            .collect();
        let unknown: Vec<&Reason> = judged
            .iter()
            .filter(|(_, t, _)| *t == Truth::Unknown)
            .filter_map(|(_, _, w)| w.as_ref())
            .collect();
        let n_unknown = judged.iter().filter(|(_, t, _)| *t == Truth::Unknown).count();
        let few = unknown.iter().filter(|r| r.lack == Lack::Few).count();
        let decided = judged.len() - n_unknown;
        let (status, reason) = if !fired.is_empty() {
            (Status::Fired, String::new())
        } else if all.is_empty() {
            self.nothing_to_judge(rule)
        } else if n_unknown > few || (decided == 0 && n_unknown > 0) {
            let worst = unknown.iter().min().map_or("", |r| &r.text);
            let missing = unknown.iter().any(|r| r.lack == Lack::Missing);
            let of = if judged.len() > 1 {
                format!(" (unknown for {n_unknown} of {})", judged.len())
            } else {
                String::new()
            };
            (
                if missing {
                    Status::NotApplicable
                } else {
                    Status::Unknown
                },
                format!("{worst}{of}"),
            )
        } else {
            (Status::Quiet, String::new())
        };
        Verdict {
            keys,
            fired,
            n_unknown,
            status,
            reason,
        }
    }

    /// Judges a rule for one of its keys. Of calls that were not stored it can only be said that it does not
    /// hold for them.
    pub(super) fn judge_rule(&self, rule: &Rule, key: KeyVal) -> Judged {
        let found = self.judge(&rule.key, &rule.cond, key);
        let told = found.why.as_ref().is_some_and(|r| r.lack != Lack::Partial);
        if !key.is_of_unstored() || found.truth == Truth::False || told {
            return found;
        }
        let open: Vec<&str> = key::by_event(&rule.key).map(Key::name).collect();
        let text = format!(
            "some calls were only counted, and counts do not tell their {}",
            open.join(" and ")
        );
        Judged::of(Truth::Unknown, Some(Reason::new(Lack::Partial, text)))
    }

    /// The exceptions that hold for a key; one for which it fires all the same has ended.
    fn excepted<'r>(&self, rule: &'r Rule, key: KeyVal) -> Vec<&'r Except> {
        let holds = |e: &&Except| self.judge(&rule.key, &e.cond, key).truth == Truth::True;
        rule.excepts.iter().filter(holds).collect()
    }

    /// Judges a rule for all its keys and says what was found.
    pub(super) fn outcome(&self, rule: &Rule) -> Outcome {
        let verdict = self.verdict(rule);
        let diagnose = |key: &KeyVal| {
            let mut d = self.diagnosis(rule, *key);
            d.fixes.extend(self.excepted(rule, *key).into_iter().map(overdue));
            d
        };
        let diagnoses: Vec<Diagnosis> = verdict.fired.par_iter().map(diagnose).collect();
        let near = if diagnoses.is_empty() {
            let stored = verdict.keys.iter().filter(|k| !k.is_of_unstored());
            let candidates = stored.filter_map(|key| self.near_miss(rule, *key));
            candidates.max_by(|a, b| a.nearness.cmp(&b.nearness).then_with(|| b.key.cmp(&a.key)))
        } else {
            None
        };
        let result = RuleResult {
            id: rule.id.clone(),
            name: rule.name.clone(),
            title: rule.title.clone(),
            file: self
                .program
                .files
                .get(rule.file.0 as usize)
                .map(|f| f.name.clone())
                .unwrap_or_default(),
            status: verdict.status,
            reason: verdict.reason,
            keys: (verdict.keys.len(), verdict.n_unknown),
        };
        Outcome {
            result,
            diagnoses,
            near,
        }
    }

    /// Whether an exception had ended when the recording did. The trace decides, never the clock.
    fn is_over(&self, e: &Except, key: KeyVal) -> bool {
        let end = self.trace.node(key.node()).observed.map_or(i64::MIN, |o| o.end);
        e.until.is_some_and(|until| end.div_euclid(DAY) > until)
    }

    /// Keys for which the rule has something to judge, sorted.
    pub(super) fn rule_keys(&self, rule: &Rule) -> Vec<KeyVal> {
        let trace = self.trace;
        let mut keys: Vec<KeyVal> = Vec::new();
        if rule.key == [Key::Node] {
            for (n, node) in (0u16..).zip(&trace.nodes) {
                if node.observed.is_some() {
                    keys.push(KeyVal::of_node(crate::trace::NodeIdx(n)));
                }
            }
            return keys;
        }
        // Without filters: a key whose events all fail them is judged too, and found quiet.
        let mut ids = Vec::new();
        walk::cond_metrics(&rule.cond, &mut ids);
        let metrics = ids.iter().map(|id| &self.program.metrics[id.0 as usize]);
        let measured = metrics.filter(|m| m.key == rule.key).filter_map(selector_of);
        let mut named = Vec::new();
        walk::cond_selectors(&rule.cond, &mut named);
        named.retain(|sel| keys_of(&rule.key, sel) == rule.key);
        // A count of zero is a number too: filters on events do not decide whom to judge.
        let sels: Vec<Selector> = measured.chain(&named).map(whom).collect();
        for (n, sel) in sels.iter().enumerate() {
            let mut others = sels.iter().enumerate().filter(|(k, _)| *k != n);
            if !sels[..n].contains(sel) && !others.any(|(_, other)| speaks_for(other, sel, &rule.key)) {
                keys.extend(self.keys(sel, &rule.key));
                keys.extend(self.counted_keys(sel, &rule.key));
            }
        }
        keys.sort_unstable();
        keys.dedup();
        if let Some(pid) = self.pid {
            keys.retain(|k| k.process().is_none_or(|p| trace.process(p).pid == pid));
        }
        keys
    }

    /// No key at all: is that because nothing was observed, or because nothing happened?
    fn nothing_to_judge(&self, rule: &Rule) -> (Status, String) {
        if self.trace.nodes.iter().all(|n| n.observed.is_none()) {
            return (Status::NotApplicable, "the trace holds no events".into());
        }
        let mut ids = Vec::new();
        walk::cond_metrics(&rule.cond, &mut ids);
        let mut sels: Vec<Selector> = Vec::new();
        walk::cond_selectors(&rule.cond, &mut sels);
        sels.extend(
            ids.iter()
                .filter_map(|id| selector_of(&self.program.metrics[id.0 as usize]))
                .cloned(),
        );
        let mut why: Option<Reason> = None;
        for (n, node) in (0u16..).zip(&self.trace.nodes) {
            let Some(observed) = node.observed else { continue };
            // A selection of rows in which nothing is counted either: what is not there may have been left out.
            if matches!(node.stored, Stored::Selected(_)) && node.counted.is_empty() {
                let text = "no such call is in this file, and nothing tells how many were left out of it";
                let r = Reason::new(Lack::Partial, text);
                why = Some(match why {
                    Some(w) => w.min(r),
                    None => r,
                });
            }
            for sel in &sels {
                let m = self.missing(sel, KeyVal::of_node(crate::trace::NodeIdx(n)), observed);
                if !m.is_nothing() {
                    let r = m.reason();
                    why = Some(match why {
                        Some(w) => w.min(r),
                        None => r,
                    });
                }
            }
        }
        match why {
            Some(r) if r.lack == Lack::Missing => (Status::NotApplicable, r.text.to_string()),
            Some(r) => (Status::Unknown, r.text.to_string()),
            None => (Status::Quiet, String::new()),
        }
    }

    /// The first level whose condition holds.
    pub(super) fn severity(&self, rule: &Rule, key: KeyVal) -> Severity {
        let holds = |c: &Cond| self.judge(&rule.key, c, key).truth == Truth::True;
        let mut arms = rule.severity.iter();
        arms.find(|(_, c)| c.as_ref().is_none_or(holds))
            .map_or(Severity::Medium, |(s, _)| *s)
    }

    fn diagnosis(&self, rule: &Rule, key: KeyVal) -> Diagnosis {
        let trace = self.trace;
        let severity = self.severity(rule, key);
        let joins = self.joins(rule, &rule.cond, key);
        let life = key::life(trace, key).unwrap_or_default();
        let mut evidence = Vec::new();
        let mut hulls: Vec<Interval> = Vec::new();
        let (mut low_support, mut inexact) = (false, false);
        for c in walk::conjuncts(&rule.cond) {
            let wits = joins
                .iter()
                .find_map(|(terms, j)| {
                    terms
                        .iter()
                        .position(|t| std::ptr::eq(*t, c))
                        .map(|n| j.terms[n].clone())
                })
                .or_else(|| self.witnesses(&rule.key, c, key))
                .or_else(|| self.summed(c, key));
            if let Some(w) = &wits {
                hulls.extend(w.iter().map(|w| w.when));
            }
            let e = self.evidence(rule, c, key, wits, &mut low_support, &mut inexact);
            evidence.extend(e);
        }
        let incidents = if joins.is_empty() {
            1
        } else {
            joins.iter().map(|(_, j)| j.incidents.len()).max().unwrap_or(1)
        };
        let when = hulls.iter().copied().reduce(Interval::hull).unwrap_or(life);
        let (impact_ns, time_lost) = self.impact(rule, key, life);
        let joined = joins.iter().filter_map(|(_, j)| j.link).max();
        // A cause elsewhere proves less; a setting, such as an open request, is of the whole node.
        let cause = joined.or_else(|| self.covered_link(&rule.cond, true, key));
        let link = cause.or_else(|| self.covered_link(&rule.cond, false, key));
        let chance = joins
            .iter()
            .map(|(_, j)| j.chance)
            .max()
            .unwrap_or(0)
            .max(self.covered_chance(&rule.cond, key));
        let node = trace.node(key.node());
        let lost = node.losses.iter().flatten().any(|l| l.lost > 0 && !l.is_of_pages());
        let factors = Factors {
            severity: rank::weight(severity),
            data_quality: match (&node.stored, inexact) {
                (_, true) => 700,
                (Stored::Selected(_), false) => 850,
                _ if lost => 900,
                _ => 1000,
            },
            support: if low_support { 700 } else { 1000 },
            link: match cause {
                None | Some(Link::Thread) => 1000,
                Some(Link::Process) => 500,
                Some(Link::Node) => 250,
            },
            evidence: 1000 - chance.min(1000),
            time_lost,
        };
        let texts = |list: &[(Template, Option<Cond>)]| -> Vec<String> {
            list.iter()
                .filter(|(_, c)| {
                    c.as_ref()
                        .is_none_or(|c| self.judge(&rule.key, c, key).truth == Truth::True)
                })
                .map(|(t, _)| self.render(t, key))
                .collect()
        };
        let message = texts(&rule.messages)
            .into_iter()
            .next()
            .unwrap_or_else(|| said(&evidence));
        Diagnosis {
            rank: 0,
            rule: rule.name.clone(),
            rule_id: rule.id.clone(),
            title: rule.title.clone(),
            severity,
            score: rank::score(&factors),
            confidence: rank::confidence(&factors),
            factors,
            impact_ns,
            key: key::values(trace, key),
            link,
            when: Interval::new(when.start.max(life.start.min(when.start)), when.end),
            incidents,
            message,
            explanation: rule.about.clone(),
            refuted_by: rule.refuted_by.clone(),
            fixes: texts(&rule.fixes),
            evidence,
            explains: Vec::new(),
            explained_by: None,
            refs: rule.refs.clone(),
        }
    }

    /// Events behind a sum or a share that is at least something: they have no say in the verdict, but
    /// show where its time lies.
    fn summed(&self, c: &Cond, key: KeyVal) -> Option<Vec<Wit<'t>>> {
        let Cond::Compare {
            op: CmpOp::Gt | CmpOp::Ge,
            left,
            ..
        } = c
        else {
            return None;
        };
        let m = &self.program.metrics[left.first_metric()?.0 as usize];
        match &m.kind {
            MetricKind::Stat {
                sel,
                stat: Stat::Sum | Stat::Busy,
                segment,
                over: None,
            } => {
                let seg = self.stretches(*segment, &m.key, key.project(&m.key)).ok()?;
                Some(self.events(sel, &m.key, key, Some(&seg)))
            }
            _ => None,
        }
    }

    /// The groups and chains of a condition that hold, with their terms; outer ones first.
    fn joins<'c>(&self, rule: &Rule, c: &'c Cond, key: KeyVal) -> Vec<(Vec<&'c Cond>, Joined<'t>)> {
        let whole = match c {
            Cond::Within {
                terms,
                within_ns,
                side: Side::Around,
                ..
            } => self.join(&rule.key, terms, *within_ns, key, true).1,
            other => self.ordered(&rule.key, other, key),
        };
        let parts = match c {
            Cond::Not(_) => Vec::new(),
            Cond::Unless(a, _) | Cond::Without { cond: a, .. } => vec![&**a],
            other => other.parts(),
        };
        let inner = parts.into_iter().flat_map(|c| self.joins(rule, c, key));
        whole.map(|j| (c.parts(), j)).into_iter().chain(inner).collect()
    }

    /// `covered(A, B) > x` and `>= x` of a condition: these name a cause.
    fn proofs<'c>(&'c self, c: &'c Cond) -> Vec<&'c Metric> {
        match c {
            Cond::Compare {
                op: CmpOp::Gt | CmpOp::Ge,
                left,
                ..
            } => left
                .first_metric()
                .map(|m| &self.program.metrics[m.0 as usize])
                .filter(|m| matches!(m.kind, MetricKind::Covered { .. }))
                .into_iter()
                .collect(),
            Cond::And(l) | Cond::Within { terms: l, .. } | Cond::Then { terms: l, .. } => {
                l.iter().flat_map(|c| self.proofs(c)).collect()
            }
            Cond::Unless(a, _) => self.proofs(a),
            _ => Vec::new(),
        }
    }

    /// How closely `covered` ties its two sides; `causes`: only where the second names a cause.
    fn covered_link(&self, c: &Cond, causes: bool, key: KeyVal) -> Option<Link> {
        let scopes = self.proofs(c).into_iter().filter_map(|m| match &m.kind {
            MetricKind::Covered { b, scope, .. } if !causes || names_a_cause(b.source) => {
                let closer = *scope == Scope::Process && self.same_thread_covers(m, key);
                Some(if closer { Scope::Thread } else { *scope })
            }
            _ => None,
        });
        scopes.max().map(|s| match s {
            Scope::Thread => Link::Thread,
            Scope::Process => Link::Process,
            Scope::Node => Link::Node,
        })
    }

    /// A and B of a `covered` for a key, B looked for in `scope`.
    fn proof_of(&self, m: &Metric, scope: Scope, key: KeyVal) -> Option<Proof<'t>> {
        let MetricKind::Covered { a, b, segment, .. } = &m.kind else {
            return None;
        };
        let k = key.project(&m.key);
        let groups = self.groups(a, &m.key);
        let group = Self::group_of(&groups, k)?;
        let seg = self.stretches(*segment, &m.key, k).ok()?;
        self.proof(group, b, scope, &seg, k).ok()
    }

    /// Whether B on the thread of A alone covers nearly all (90 %) of what B in its process does. What a child
    /// does is on the thread of its parent that started it.
    fn same_thread_covers(&self, m: &Metric, key: KeyVal) -> bool {
        let by = |scope| self.proof_of(m, scope, key).map(|p| p.overlap());
        match (by(Scope::Thread), by(Scope::Process)) {
            (Some(own), Some(all)) => all > 0 && own * 10 >= all * 9,
            _ => false,
        }
    }

    /// How often a circular shift covers as much, thousandths; the worst of all proofs.
    fn covered_chance(&self, c: &Cond, key: KeyVal) -> u32 {
        let child = Op::by_name(Source::Process, "child");
        let one = |m: &Metric| -> Option<u32> {
            let MetricKind::Covered { b, scope, .. } = &m.kind else {
                return None;
            };
            if !names_a_cause(b.source) {
                return None;
            }
            let started = matches!(&b.base, Base::Ops(ops) if ops.iter().all(|o| Some(*o) == child));
            let shifted = self.proof_of(m, *scope, key)?.shifted(started);
            u32::try_from(shifted.as_good * 1000 / SHIFTS).ok()
        };
        self.proofs(c).into_iter().filter_map(one).max().unwrap_or(0)
    }

    /// Time lost and its share of the key's life (thousandths).
    fn impact(&self, rule: &Rule, key: KeyVal, life: Interval) -> (i64, u32) {
        let lost = match &rule.impact {
            Some(v) => match self.value(v, key, Mode::All).lo {
                Ext::Fin(n) => i64::try_from(n.floor()).unwrap_or(i64::MAX).max(0),
                _ => 0,
            },
            None => {
                let conj = walk::conjuncts(&rule.cond);
                let first = conj.iter().find_map(|c| {
                    let sel = self.symptom(c)?;
                    Some((sel, self.witnesses(&rule.key, c, key)?))
                });
                first.map_or(0, |((sel, keys), wits)| {
                    let usual = self.usual(&sel, key.project(&keys), &keys);
                    wits.iter()
                        .map(|w| (w.when.overlap(life) - usual).max(0))
                        .fold(0i64, i64::saturating_add)
                })
            }
        };
        let lost = lost.min(life.len());
        let share = if life.is_empty() {
            0
        } else {
            i128::from(lost) * 1000 / i128::from(life.len())
        };
        (lost, u32::try_from(share).unwrap_or(1000))
    }

    /// The selection that a conjunct speaks of, if its events last.
    fn symptom(&self, c: &Cond) -> Option<(Selector, Vec<Key>)> {
        match c {
            Cond::Exists { sel, .. } | Cond::State { sel, .. } => Some((sel.clone(), vec![Key::Node, Key::Pid])),
            Cond::Compare { left, .. } => {
                let m = &self.program.metrics[left.first_metric()?.0 as usize];
                match &m.kind {
                    MetricKind::Stat {
                        sel, stat, over: None, ..
                    } if stat.is_distribution() => Some((sel.clone(), m.key.clone())),
                    MetricKind::Covered { a, .. } => Some((a.clone(), m.key.clone())),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn evidence(
        &self,
        rule: &Rule,
        c: &Cond,
        key: KeyVal,
        wits: Option<Vec<Wit<'t>>>,
        low_support: &mut bool,
        inexact: &mut bool,
    ) -> Vec<Evidence> {
        let n_witnesses = wits.as_ref().map_or(0, |w| w.len() as u64);
        let shown = wits.unwrap_or_default();
        match c {
            Cond::Compare {
                op, left, right, dim, ..
            } => {
                let windowed = self.windowed(*op, left, right);
                let (l, r) = match windowed {
                    Some((m, op, bound)) => (
                        self.window_runs(m, op, bound, key).best.clone(),
                        self.value(bound, key, Mode::All),
                    ),
                    None => {
                        let (l, r) = (self.value(left, key, Mode::All), self.value(right, key, Mode::All));
                        if l.compare(*op, &r) == Truth::Unknown {
                            *inexact = true;
                            let mode = self.sample_mode(left, right);
                            (self.value(left, key, mode), self.value(right, key, mode))
                        } else {
                            *inexact |= l.point().is_none() || r.point().is_none();
                            (l, r)
                        }
                    }
                };
                *low_support |= l.low_support || r.low_support;
                let metric = left
                    .first_metric()
                    .or_else(|| right.first_metric())
                    .map(|m| &self.program.metrics[m.0 as usize]);
                let layer = metric.map_or("TRACE", |m| source_of(m).layer());
                let sel = metric.and_then(selector_of);
                let witnesses = match metric.map(|m| &m.kind) {
                    Some(MetricKind::Covered { a, b, scope, .. }) if names_a_cause(b.source) => {
                        self.pick_with_cause(shown, a, b, *scope, key)
                    }
                    _ => self.pick(shown, sel, MAX_WITNESSES),
                };
                vec![Evidence {
                    layer,
                    text: self.words(rule, c),
                    metric: self.words_of(left),
                    value: l.measured(),
                    dim: *dim,
                    style: metric.map_or(Style::Auto, style_of),
                    relation: op.text().into(),
                    threshold: Some(r.measured()),
                    samples: l.samples,
                    n_witnesses,
                    witnesses,
                }]
            }
            Cond::Exists { sel, .. } => vec![Evidence {
                layer: sel.source.layer(),
                text: self.words(rule, c),
                metric: words_of_sel(sel),
                value: Measured::Exact(Num::int(n_witnesses.into())),
                dim: Dim::NONE,
                style: Style::Auto,
                relation: "exists".into(),
                threshold: None,
                samples: n_witnesses,
                n_witnesses,
                witnesses: self.pick(shown, Some(sel), MAX_WITNESSES),
            }],
            Cond::State { sel, op, bound, .. } => {
                // Near the others of a group they count together, alone each for itself.
                let lengths = shown.iter().map(|w| i128::from(w.when.len()));
                let measured = if grouped(&rule.cond, c) {
                    lengths.sum()
                } else {
                    lengths.max().unwrap_or(0)
                };
                vec![Evidence {
                    layer: sel.source.layer(),
                    text: self.words(rule, c),
                    metric: words_of_sel(sel),
                    value: Measured::Exact(Num::int(measured)),
                    dim: Dim::TIME,
                    style: Style::Auto,
                    relation: op.text().into(),
                    threshold: Some(self.value(bound, key, Mode::All).measured()),
                    samples: n_witnesses,
                    n_witnesses,
                    witnesses: self.pick(shown, Some(sel), MAX_WITNESSES),
                }]
            }
            Cond::Or(list) => {
                let held = list.iter().find(|c| self.judge(&rule.key, c, key).truth == Truth::True);
                let parts = held.map(walk::conjuncts).unwrap_or_default();
                let one = |c: &Cond, low: &mut bool, inexact: &mut bool| {
                    self.evidence(rule, c, key, self.witnesses(&rule.key, c, key), low, inexact)
                };
                parts.into_iter().flat_map(|c| one(c, low_support, inexact)).collect()
            }
            Cond::Not(inner) => {
                let mut all = self.evidence(rule, inner, key, None, low_support, inexact);
                for e in &mut all {
                    e.text = format!("not {}", e.text);
                    e.relation = format!("not {}", e.relation);
                }
                all
            }
            Cond::Without { absent, .. } => vec![Evidence {
                layer: self.layer_of(absent),
                text: self.words(rule, c),
                metric: self.words(rule, absent),
                value: Measured::Exact(Num::ZERO),
                dim: Dim::NONE,
                style: Style::Auto,
                relation: "absent".into(),
                threshold: None,
                samples: 0,
                n_witnesses,
                witnesses: self.pick(shown, None, MAX_WITNESSES),
            }],
            Cond::Lasting { cond, at_least_ns, .. } => {
                let longest = shown.iter().map(|w| w.when.len()).max().unwrap_or(0);
                vec![Evidence {
                    layer: self.layer_of(cond),
                    text: self.words(rule, c),
                    metric: self.words(rule, cond),
                    value: Measured::Exact(Num::int(longest.into())),
                    dim: Dim::TIME,
                    style: Style::Auto,
                    relation: ">=".into(),
                    threshold: Some(Measured::Exact(Num::int((*at_least_ns).into()))),
                    samples: 0,
                    n_witnesses,
                    witnesses: self.pick(shown, None, MAX_WITNESSES),
                }]
            }
            Cond::And(_) | Cond::Within { .. } | Cond::Then { .. } | Cond::During { .. } | Cond::Unless(..) => {
                Vec::new()
            }
        }
    }

    /// The layer that the first part of a condition speaks of.
    fn layer_of(&self, c: &Cond) -> &'static str {
        match c {
            Cond::Exists { sel, .. } | Cond::State { sel, .. } => sel.source.layer(),
            Cond::Compare { left, right, .. } => left
                .first_metric()
                .or_else(|| right.first_metric())
                .map_or("TRACE", |id| source_of(&self.program.metrics[id.0 as usize]).layer()),
            other => other.parts().first().map_or("TRACE", |c| self.layer_of(c)),
        }
    }

    /// The longest witnesses, in time order.
    fn pick(&self, wits: Vec<Wit<'t>>, sel: Option<&Selector>, most: usize) -> Vec<Witness> {
        longest(wits, most).into_iter().map(|w| self.witness(&w, sel)).collect()
    }

    /// The longest symptoms, and for the longest of them the cause that covers most of each.
    fn pick_with_cause(
        &self,
        wits: Vec<Wit<'t>>,
        a: &Selector,
        b: &Selector,
        scope: Scope,
        key: KeyVal,
    ) -> Vec<Witness> {
        let Ok((thresholds, _)) = self.thresholds(&b.filters, key) else {
            return self.pick(wits, Some(a), MAX_WITNESSES);
        };
        let symptoms = longest(wits, SYMPTOMS);
        let mut by_length: Vec<&Wit<'t>> = symptoms.iter().collect();
        by_length.sort_by_key(|w| (std::cmp::Reverse(w.when.len()), w.when));
        let mut causes: Vec<Wit<'t>> = Vec::new();
        for w in by_length {
            let Some(thread) = w.thread.filter(|_| causes.len() < MAX_WITNESSES - SYMPTOMS) else {
                continue;
            };
            let threads = match scope {
                Scope::Thread => vec![thread],
                _ => self.trace.process(self.trace.thread(thread).process).threads.clone(),
            };
            let cause = threads
                .into_iter()
                .flat_map(|t| self.lanes_of_thread(b, t))
                .flat_map(|lane| {
                    let part = super::select::Part {
                        lane,
                        idx: self.select(b, lane, &thresholds, None).sure,
                    };
                    part.iter().map(|i| (lane, i)).collect::<Vec<_>>()
                })
                .filter(|(lane, i)| lane.interval(*i).overlap(w.when) > 0)
                .max_by_key(|(lane, i)| (lane.interval(*i).overlap(w.when), std::cmp::Reverse(lane.start[*i])));
            let wit = cause.map(|(lane, i)| Wit {
                when: lane.interval(i),
                thread: Some(lane.thread),
                event: Some((lane, i)),
            });
            causes.extend(wit.filter(|c| !causes.iter().any(|o| o.when == c.when)));
        }
        let mut all: Vec<Witness> = symptoms.iter().map(|w| self.witness(w, Some(a))).collect();
        all.extend(causes.iter().map(|w| self.witness(w, Some(b))));
        all.sort_by(|x, y| (x.when, x.tid, &x.op).cmp(&(y.when, y.tid, &y.op)));
        all
    }

    fn witness(&self, w: &Wit<'t>, sel: Option<&Selector>) -> Witness {
        let thread = w.thread.map(|t| self.trace.thread(t));
        let op = match (sel.map(|s| &s.base), w.event) {
            (_, None) => "window".to_owned(),
            (Some(Base::State(s)), _) => s.name().to_owned(),
            (Some(Base::Gap(_)), _) => "no call".to_owned(),
            (Some(Base::DrainedGap(_)), _) => "queue empty".to_owned(),
            (Some(Base::Slump(_)), _) => "slump".to_owned(),
            (Some(Base::BusySeconds), _) => "busy".to_owned(),
            (_, Some((lane, _))) => match lane.op.def().anchor {
                Anchor::Derived => format!("{}.{}", lane.op.def().source.name(), lane.op.def().name),
                _ => lane.op.def().name.to_owned(),
            },
        };
        let single = self.trace.files.len() == 1;
        let row = w
            .event
            .and_then(|(l, i)| l.row.get(i))
            .filter(|_| single)
            .map(|r| u64::from(*r) + self.row_base());
        // Requests and the like belong to a node, not to a thread.
        let real = thread.filter(|t| self.trace.process(t.process).pid != 0);
        Witness {
            layer: layer_of(w, sel),
            when: w.when,
            tid: real.map(|t| t.tid),
            thread: real.map(|t| t.name.clone()).unwrap_or_default(),
            op,
            detail: w.event.map(|(l, i)| self.detail(l, i)).unwrap_or_default(),
            row,
        }
    }

    fn row_base(&self) -> u64 {
        self.trace.files.first().map_or(0, |f| f.first_row)
    }

    pub(super) fn detail(&self, lane: &Lane, i: usize) -> String {
        let mut out: Vec<String> = Vec::new();
        if let Some(name) = lane.name.get(i).filter(|n| !n.is_empty()) {
            out.push(name.clone());
        }
        if let Some(b) = lane.bytes.get(i).filter(|b| **b > 0) {
            out.push(show(Num::int((*b).into()), Dim::BYTES, Style::Auto));
        }
        if let Some(d) = lane
            .direction
            .get(i)
            .and_then(|d| DIRECTIONS.get(usize::from(*d)))
            .filter(|d| **d != "unknown")
        {
            out.push((*d).to_owned());
        }
        if lane.flags_at(i) & flag::FIRST_USE != 0 {
            out.push("first use".into());
        }
        if let Some(r) = lane.ret.get(i).filter(|r| **r != 0) {
            out.push(format!("returned {r}"));
        }
        if let Some(t) = lane.prompt_tokens.get(i).filter(|t| **t >= 0) {
            out.push(format!("{t} prompt tokens"));
        }
        if let Some(x) = lane.xid.get(i) {
            out.push(format!("XID {x}"));
        }
        match (lane.preemptor.get(i).copied(), lane.prev_tid.get(i).copied()) {
            (Some(preemptor::IDLE), _) => out.push("the CPU was idle before".into()),
            (Some(preemptor::OWN | preemptor::OTHER), Some(tid)) if tid > 0 => {
                let name = self.thread_name(tid).map(|n| format!(" {n}")).unwrap_or_default();
                out.push(format!("ran before: thread {tid}{name}"));
            }
            (Some(preemptor::OTHER), _) => out.push("ran before: threads that are not recorded".into()),
            _ => {}
        }
        out.join(", ")
    }

    fn thread_name(&self, tid: i64) -> Option<&'t str> {
        let t = self.trace.threads.iter().find(|t| t.tid == tid)?;
        let name = if t.name.is_empty() {
            &self.trace.process(t.process).name
        } else {
            &t.name
        };
        (!name.is_empty()).then_some(name.as_str())
    }

    /// A template with its values filled in.
    pub(super) fn render(&self, t: &Template, key: KeyVal) -> String {
        let values = key::values(self.trace, key);
        let mut out = String::new();
        let mut sampled = false;
        for part in &t.parts {
            match part {
                Part::Text(s) => out.push_str(s),
                Part::Key(k) => {
                    let text = match k {
                        Key::Node => {
                            if values.node.is_empty() {
                                "this host".into()
                            } else {
                                values.node.clone()
                            }
                        }
                        Key::Pid => values.pid.map_or_else(|| "?".into(), |p| p.to_string()),
                        Key::Process => values.process.clone().unwrap_or_else(|| "process".into()),
                        Key::Tid => values
                            .tid
                            .or_else(|| {
                                let p = self.trace.process(key.process()?);
                                p.launcher.map(|t| self.trace.thread(t).tid)
                            })
                            .map_or_else(|| "?".into(), |t| t.to_string()),
                        Key::Op => values.op.clone().unwrap_or_else(|| "?".into()),
                        other => values
                            .more
                            .iter()
                            .find(|(n, _)| n == other.name())
                            .map_or_else(|| "?".into(), |(_, v)| v.clone()),
                    };
                    out.push_str(&text);
                }
                Part::Value(v, dim, style) => {
                    let val = match v {
                        v if self.looks_at_windows(v) => {
                            self.window_runs(v, CmpOp::Gt, &Value::Num(Num::ZERO), key).best.clone()
                        }
                        _ => {
                            let all = self.value(v, key, Mode::All);
                            if all.point().is_some() {
                                all
                            } else {
                                let w = self.value(v, key, Mode::Portions);
                                let exact = w.point().is_some();
                                sampled |= exact;
                                if exact { w } else { all }
                            }
                        }
                    };
                    out.push_str(&shown(&val, *dim, *style));
                }
            }
        }
        if sampled {
            out.push_str(" (in the stretches in which every call was kept)");
        }
        out
    }

    /// The conjunct that failed, if it alone did, and by how much. `None` also where that is not near.
    fn near_miss(&self, rule: &Rule, key: KeyVal) -> Option<NearMiss> {
        let mut failed: Option<(u32, String)> = None;
        for c in cheap::first(self.program, walk::conjuncts(&rule.cond)) {
            let j = self.judge(&rule.key, c, key);
            match j.truth {
                Truth::True => {}
                Truth::Unknown => return None,
                Truth::False => {
                    if failed.is_some() {
                        return None;
                    }
                    failed = Some(self.margin(c, key).filter(|m| m.0 >= NEAR)?);
                }
            }
        }
        let (nearness, reason) = match failed {
            Some(f) => f,
            None => self.distance_miss(rule, &rule.cond, key).filter(|m| m.0 >= NEAR)?,
        };
        Some(NearMiss {
            rule: rule.name.clone(),
            key: key::values(self.trace, key),
            nearness,
            reason,
        })
    }

    /// The values of a comparison; of windows the best one, turned so that it stands left.
    pub(super) fn sides(&self, left: &Value, op: CmpOp, right: &Value, key: KeyVal) -> (Val, CmpOp, Val) {
        let all = |v| self.value(v, key, Mode::All);
        match self.windowed(op, left, right) {
            Some((m, op, bound)) => (self.window_runs(m, op, bound, key).best.clone(), op, all(bound)),
            None => (all(left), op, all(right)),
        }
    }

    /// How near a comparison came, in thousandths, and in words.
    pub(super) fn margin(&self, c: &Cond, key: KeyVal) -> Option<(u32, String)> {
        let Cond::Compare {
            op, left, right, dim, ..
        } = c
        else {
            return None;
        };
        let (l, op, r) = self.sides(left, *op, right, key);
        let (a, b) = (l.point()?, r.point()?);
        let (part, whole) = match op {
            CmpOp::Gt | CmpOp::Ge => (a, b),
            CmpOp::Lt | CmpOp::Le => (b, a),
            _ => return None,
        };
        if whole.numer() <= 0 || part.numer() < 0 {
            return None;
        }
        let near = part.times(Num::int(1000))?.over(whole)?.floor();
        let metric = left.first_metric().map(|m| &self.program.metrics[m.0 as usize]);
        let style = metric.map_or(Style::Auto, style_of);
        let text = format!(
            "{} = {} (needs {} {})",
            self.words_of(left),
            show(a, *dim, style),
            op.text(),
            show(b, *dim, style)
        );
        Some((u32::try_from(near.clamp(0, 999)).unwrap_or(0), text))
    }

    /// All terms of a `within` group hold, but not near each other.
    fn distance_miss(&self, rule: &Rule, c: &Cond, key: KeyVal) -> Option<(u32, String)> {
        let (terms, within) = match c {
            Cond::Within {
                terms,
                within_ns,
                side: Side::Around,
                ..
            } => (terms, *within_ns),
            Cond::And(l) => return l.iter().find_map(|c| self.distance_miss(rule, c, key)),
            _ => return None,
        };
        let lists: Vec<Vec<Wit<'t>>> = terms.iter().filter_map(|t| self.witnesses(&rule.key, t, key)).collect();
        let [first, second, ..] = lists.as_slice() else {
            return None;
        };
        let best = closest(first, second)?;
        if best <= within {
            return None;
        }
        let near = i128::from(within) * 1000 / i128::from(best);
        let text = format!(
            "both were seen, {} apart at the closest (needs at most {})",
            show_dur(best),
            show_dur(within)
        );
        Some((u32::try_from(near).unwrap_or(0), text))
    }

    /// A condition in the author's words.
    pub(super) fn words(&self, rule: &Rule, c: &Cond) -> String {
        walk::words(self.program, rule, c)
    }

    fn words_of(&self, v: &Value) -> String {
        match v {
            Value::Num(n) => {
                if n.denom() == 1 {
                    n.numer().to_string()
                } else {
                    show(*n, Dim::NONE, Style::Auto)
                }
            }
            Value::Metric(id) => self.program.metrics[id.0 as usize].text.clone(),
            Value::Field(f) => f.def().name.into(),
            Value::Neg(v) => format!("-{}", self.words_of(v)),
            Value::Arith(op, a, b) => {
                let sign = match op {
                    crate::lang::hir::Arith::Add => "+",
                    crate::lang::hir::Arith::Sub => "-",
                    crate::lang::hir::Arith::Mul => "*",
                    crate::lang::hir::Arith::Div => "/",
                };
                format!("{} {sign} {}", self.words_of(a), self.words_of(b))
            }
        }
    }
}

/// Whether whoever has gaps of one selection has calls of the other: then gaps need not be looked for.
fn speaks_for(calls: &Selector, gaps: &Selector, key: &[Key]) -> bool {
    let (Base::Ops(all), Base::Gap(of) | Base::DrainedGap(of)) = (&calls.base, &gaps.base) else {
        return false;
    };
    let Base::Ops(some) = &of.base else { return false };
    let whose = key::by_event(key).next().is_none() && !key.contains(&Key::Op);
    let same = calls.filters.is_empty() && (calls.source == of.source || calls.source != Source::Gpu);
    whose && same && some.iter().all(|op| all.contains(op))
}

/// Why a finding is shown that used to be excepted.
fn overdue(e: &Except) -> String {
    let until = e.until.map(show_day).unwrap_or_default();
    format!(
        "An exception for this ended on {until} ({}): renew it, or remove the cause.",
        e.why
    )
}

/// A selection in short.
pub(super) fn words_of_sel(sel: &Selector) -> String {
    let base = match &sel.base {
        Base::State(s) => format!("sched.{}", s.name()),
        Base::Gap(inner) => format!("gap({})", inner.source.name()),
        Base::DrainedGap(inner) => format!("drained_gap({})", inner.source.name()),
        Base::Slump(inner) => format!("slump({})", inner.source.name()),
        Base::BusySeconds => "gpu.busy_seconds".into(),
        Base::Ops(ops) => match ops.as_slice() {
            [one] => format!("{}.{}", sel.source.name(), one.def().name),
            _ => sel.source.name().into(),
        },
    };
    let launcher = sel.filters.contains(&Filter::Flag(Field::Launcher));
    if launcher { format!("{base}[launcher]") } else { base }
}

/// Whether time inside intervals of this source explains other time. Open requests and a busy GPU are
/// the setting in which something is slow: that they are always there refutes nothing.
fn names_a_cause(source: Source) -> bool {
    matches!(
        source,
        Source::Sched | Source::Io | Source::Net | Source::Process | Source::Mem
    )
}

/// The longest, in time order.
fn longest(mut wits: Vec<Wit<'_>>, most: usize) -> Vec<Wit<'_>> {
    wits.sort_by_key(|w| (std::cmp::Reverse(w.when.len()), w.when.start, w.thread));
    wits.truncate(most);
    wits.sort_by_key(|w| (w.when, w.thread));
    wits
}

/// The layer of a witness: of its own event, or of what it was selected from.
fn layer_of(w: &Wit<'_>, sel: Option<&Selector>) -> &'static str {
    match (sel.map(|s| &s.base), w.event) {
        (Some(Base::Ops(_)) | None, Some((lane, _))) => lane.op.def().source.layer(),
        (Some(Base::State(_)), _) => Source::Sched.layer(),
        (Some(_), _) => sel.map_or("TRACE", |s| s.source.layer()),
        (None, None) => "TRACE",
    }
}

pub(super) fn closest(a: &[Wit<'_>], b: &[Wit<'_>]) -> Option<i64> {
    let b = join::merge(b.iter().map(|w| w.when).collect(), 0);
    a.iter()
        .filter_map(|w| {
            let k = b.partition_point(|i| i.end < w.when.start);
            let near = b[k.saturating_sub(1)..(k + 1).min(b.len())].iter();
            near.map(|i| i.distance(w.when)).min()
        })
        .min()
}

/// The source that a metric speaks of.
fn source_of(m: &Metric) -> Source {
    match &m.kind {
        MetricKind::Stat { sel, .. } | MetricKind::Share { sel, .. } | MetricKind::Trend { sel, .. } => sel.source,
        MetricKind::Covered { b, .. } | MetricKind::Lift { b, .. } => b.source,
        MetricKind::System { .. } => Source::System,
        MetricKind::Fact(_) | MetricKind::Peer { .. } => Source::Trace,
    }
}

fn selector_of(m: &Metric) -> Option<&Selector> {
    match &m.kind {
        MetricKind::Stat { sel, .. } | MetricKind::Share { sel, .. } | MetricKind::Trend { sel, .. } => Some(sel),
        MetricKind::Covered { a, .. } | MetricKind::Lift { a, .. } => Some(a),
        _ => None,
    }
}

fn style_of(m: &Metric) -> Style {
    match &m.kind {
        MetricKind::Covered { .. }
        | MetricKind::Share { .. }
        | MetricKind::Trend { .. }
        | MetricKind::Stat { stat: Stat::Busy, .. }
        | MetricKind::System {
            field: SystemField::CpuPct | SystemField::MemPct,
            ..
        } => Style::Percent,
        MetricKind::Lift { .. } => Style::Times,
        _ => Style::Auto,
    }
}

fn shown(v: &Val, dim: Dim, style: Style) -> String {
    match v.measured() {
        Measured::Exact(n) => show(n, dim, style),
        Measured::Between(Some(a), Some(b)) => format!("{} to {}", show(a, dim, style), show(b, dim, style)),
        Measured::Between(Some(a), None) => format!("at least {}", show(a, dim, style)),
        Measured::Between(None, Some(b)) => format!("at most {}", show(b, dim, style)),
        _ => "unknown".into(),
    }
}

/// A message from the evidence, for rules without one.
fn said(evidence: &[Evidence]) -> String {
    let one = |e: &Evidence| {
        let value = |m: &Measured| match m {
            Measured::Exact(n) => show(*n, e.dim, e.style),
            Measured::Between(Some(a), _) => format!("at least {}", show(*a, e.dim, e.style)),
            Measured::Between(None, Some(b)) => format!("at most {}", show(*b, e.dim, e.style)),
            _ => "unknown".into(),
        };
        match &e.threshold {
            Some(t) => format!("{} is {} ({} {})", e.metric, value(&e.value), e.relation, value(t)),
            None => format!("{}: {}", e.metric, value(&e.value)),
        }
    };
    evidence.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// What was recorded together, by time.
pub(super) fn recordings(trace: &Trace) -> Vec<Recording> {
    let mut out: Vec<Recording> = Vec::new();
    for node in &trace.nodes {
        let Some(whole) = node.recording else { continue };
        let judged = node.observed;
        match out.iter_mut().find(|r| r.whole == whole) {
            Some(r) => {
                r.nodes.push(node.name.clone());
                r.judged = r.judged.into_iter().chain(judged).reduce(Interval::hull);
            }
            None => out.push(Recording {
                nodes: vec![node.name.clone()],
                whole,
                judged,
            }),
        }
    }
    out.sort_by_key(|r| r.whole);
    out
}

/// Facts about the files.
pub(super) fn summaries(engine: &Engine<'_>) -> Vec<TraceSummary> {
    let trace: &Trace = engine.trace;
    trace
        .files
        .iter()
        .map(|f| {
            let nodes = || {
                (0u16..)
                    .zip(&trace.nodes)
                    .filter(|(_, n)| f.nodes.contains(&n.name) || trace.files.len() == 1)
            };
            let stored: Vec<String> = nodes()
                .map(|(_, n)| match &n.stored {
                    Stored::Everything => "every event that was seen".to_owned(),
                    Stored::Selected(w) if w.is_empty() => {
                        "selected rows only (slow calls, syncs, process events)".to_owned()
                    }
                    Stored::Selected(w) => {
                        let len: i64 = w.iter().map(|w| w.len()).sum();
                        format!("everything in the first {}, then selected rows only", show_dur(len))
                    }
                    Stored::Thresholds(t) => {
                        format!("all but short calls of {} operations, which are counted", t.len())
                    }
                })
                .collect();
            let mut stored = stored;
            stored.dedup();
            TraceSummary {
                path: f.path.display().to_string(),
                nodes: f.nodes.clone(),
                generation: f.generation.clone(),
                events: f.rows,
                observed: f.observed,
                stored: stored.join("; "),
                not_stored: nodes().map(|(_, n)| n.not_stored).sum(),
                lost: nodes()
                    .map(|(_, n)| {
                        let losses = n.losses.as_ref()?.iter().filter(|l| !l.is_of_pages());
                        Some(losses.map(|l| l.lost).sum::<u64>())
                    })
                    .sum::<Option<u64>>(),
                gpu_processes: nodes()
                    .flat_map(|(i, n)| {
                        let here = trace.processes.iter().filter(move |p| p.node.0 == i && p.gpu.is_some());
                        here.map(|p| GpuProcess {
                            node: n.name.clone(),
                            pid: p.pid,
                            name: p.name.clone(),
                            launches: launches(trace, p),
                            steady_ns: engine.steady_ns(p),
                        })
                    })
                    .collect(),
                notes: f.notes.clone(),
                reader: f.reader.clone(),
            }
        })
        .collect()
}

/// Launches in rows, nested driver calls counted once.
fn launches(trace: &Trace, p: &crate::trace::Process) -> u64 {
    p.threads
        .iter()
        .flat_map(|t| &trace.lanes[trace.thread(*t).lanes.clone()])
        .filter(|l| l.op.is("launch"))
        .map(|l| (0..l.len()).filter(|&i| l.flags_at(i) & flag::NESTED == 0).count() as u64)
        .sum()
}
