//! The key of a rule, and of each of its statistics.

use super::super::ast::Name;
use super::super::diagnostic::Code;
use super::super::hir::{
    Base, Cond, Filter, Metric, MetricId, MetricKind, Part, Segment, SegmentId, Selector, Stat, Template, Value,
};
use super::Metrics;
use super::R;
use super::scope::{Checker, Term};
use crate::trace::catalogue::{Key, Op, Source};

/// Whether what is selected can be grouped by the key. Stints and gaps belong to threads and to
/// nothing finer.
pub(super) fn base_has_key(source: Source, ops: Option<&[Op]>, key: Key) -> bool {
    match ops {
        Some(_) => key.on(source),
        None => key.names_somebody() && key.on(source),
    }
}

/// The key of a rule, with what is needed to derive those of its statistics.
#[derive(Clone, Debug)]
pub(super) struct RuleKey {
    pub(super) keys: Vec<Key>,
    /// The operations that `op` ranges over.
    ops: Vec<Op>,
    /// Whether `op` was written: then it holds for every statistic that can be taken per operation.
    op_given: bool,
}

fn names(keys: impl IntoIterator<Item = Key>) -> String {
    keys.into_iter().map(Key::name).collect::<Vec<_>>().join(", ")
}

impl Checker<'_> {
    /// The key of the rule from its `per` and the terms of its condition.
    pub(super) fn rule_key(&mut self, per: &[Name]) -> R<RuleKey> {
        let terms = self.terms.clone();
        let mut keys = vec![Key::Node];
        if per.is_empty() {
            let free: Vec<&Term> = terms.iter().filter(|t| t.keys.is_none()).collect();
            let coarse = free
                .iter()
                .find(|t| !base_has_key(t.source, t.ops.as_deref(), Key::Pid));
            if !free.is_empty() && coarse.is_none() {
                keys.push(Key::Pid);
            }
            keys.extend(terms.iter().flat_map(|t| t.keys.iter().flatten().copied()));
            match coarse {
                _ if keys.contains(&Key::Pid) => self.note("judged per process (no `per` was written)".to_owned()),
                Some(t) => self.note(format!("judged per node, because `{}` knows no process", t.text)),
                None => self.note("judged per node (no `per` was written)".to_owned()),
            }
        } else {
            for n in per {
                let key = self.key_named(n)?;
                let some = terms.iter().any(|t| base_has_key(t.source, t.ops.as_deref(), key));
                if !some {
                    let supported: Vec<Key> = Key::ALL
                        .into_iter()
                        .map(|(k, _)| k)
                        .filter(|k| terms.iter().any(|t| base_has_key(t.source, t.ops.as_deref(), *k)))
                        .collect();
                    let d = self
                        .diag(
                            Code::UnsupportedKey,
                            n.span,
                            format!("nothing in this rule can be grouped by {}", n.text),
                        )
                        .help(format!("keys here are {}", names(supported)));
                    return self.fail(d);
                }
                keys.push(key);
            }
        }
        self.check_together(&terms, &keys, per)?;
        if keys.contains(&Key::Tid) {
            keys.push(Key::Pid);
        }
        let op_given = keys.contains(&Key::Op);
        let ops = self.per_op_range(&terms, op_given)?;
        if !ops.is_empty() {
            keys.push(Key::Op);
        }
        keys.sort_unstable();
        keys.dedup();
        self.check_across(&keys)?;
        let key = RuleKey { keys, ops, op_given };
        for t in &terms {
            self.inside_key(t, &key)?;
        }
        Ok(key)
    }

    /// Keys that say nothing, or two things, when they stand together.
    fn check_together(&mut self, terms: &[Term], keys: &[Key], per: &[Name]) -> R<()> {
        let place = |k: Key| {
            let given = per.iter().find(|n| Key::by_name(&n.text) == Some(k)).map(|n| n.span);
            let own = |t: &&Term| t.keys.iter().flatten().any(|o| *o == k);
            given.or_else(|| terms.iter().find(own).map(|t| t.span))
        };
        if keys.contains(&Key::Tid)
            && let (true, Some(span)) = (keys.contains(&Key::Comm), place(Key::Comm))
        {
            let d = self
                .diag(
                    Code::UnsupportedKey,
                    span,
                    "`comm` adds nothing to `tid`: a thread has one name",
                )
                .help("`comm` alone makes all threads of one name one; `[thread =~ /…/]` picks some by name");
            return self.fail(d);
        }
        let sized = |requests: bool| {
            let by_size = |t: &&Term| base_has_key(t.source, t.ops.as_deref(), Key::SizeClass);
            let mut found = terms.iter().filter(by_size);
            found.find(|t| (t.source == Source::Request) == requests)
        };
        if keys.contains(&Key::SizeClass)
            && let (Some(tokens), Some(bytes)) = (sized(true), sized(false))
        {
            let d = self
                .diag(
                    Code::UnsupportedKey,
                    place(Key::SizeClass).unwrap_or(tokens.span),
                    "size classes of requests are of tokens, the others of bytes: no two are the same",
                )
                .also(tokens.span, "this one counts tokens")
                .also(bytes.span, "this one counts bytes")
                .help("write a rule for each");
            return self.fail(d);
        }
        Ok(())
    }

    /// Peers differ in parts of the rule's key, and there must be somebody who asks for them.
    fn check_across(&mut self, keys: &[Key]) -> R<()> {
        let across = std::mem::take(&mut self.across);
        for (k, span) in &across {
            if !keys.contains(k) {
                let d = self
                    .diag(
                        Code::UnsupportedKey,
                        *span,
                        format!("the rule is not per {}, so peers cannot differ in it", k.name()),
                    )
                    .help(format!("keys of this rule are {}", names(keys.iter().copied())));
                return self.fail(d);
            }
        }
        let asked = self.protos.iter().any(|p| matches!(p.kind, MetricKind::Peer { .. }));
        if let (Some((_, span)), false) = (across.first(), asked) {
            let d = self
                .diag(Code::Across, *span, "nothing in this rule is compared with peers")
                .help("as in `cuda.sync.p99 > 2*peer_median(cuda.sync.p99)`");
            return self.fail(d);
        }
        Ok(())
    }

    fn key_named(&mut self, n: &Name) -> R<Key> {
        let Some(key) = Key::by_name(&n.text) else {
            let known = Key::ALL.map(|(_, n)| n);
            let d = self
                .diag(Code::UnknownKey, n.span, format!("`{}` is not a key", n.text))
                .suggest(n.span, &n.text, &known, "keys are");
            return self.fail(d);
        };
        Ok(key)
    }

    /// Keys by their names.
    pub(super) fn across_keys(&mut self, written: &[Name]) -> R<()> {
        for n in written {
            let key = self.key_named(n)?;
            self.across.push((key, n.span));
        }
        Ok(())
    }

    /// The operations that `op` ranges over; empty where the rule is not per operation.
    fn per_op_range(&mut self, terms: &[Term], op_given: bool) -> R<Vec<Op>> {
        let mut per_op = terms.iter().filter(|t| t.per_op);
        let Some(first) = per_op.next() else {
            let with_ops = terms.iter().find_map(|t| t.ops.clone());
            return Ok(with_ops.filter(|_| op_given).unwrap_or_default());
        };
        let mut ops = first.ops.clone().unwrap_or_default();
        for t in per_op {
            let other = t.ops.clone().unwrap_or_default();
            if !other.iter().any(|o| ops.contains(o)) {
                let d = self
                    .diag(
                        Code::TwoPerOp,
                        t.span,
                        "two sources are taken per operation, and they share none",
                    )
                    .label(format!("`{}` is per operation", t.text))
                    .also(first.span, format!("`{}` is per operation", first.text))
                    .help(format!(
                        "name an operation of one of them, or pool it: `pooled({}).…`",
                        t.source.name()
                    ));
                return self.fail(d);
            }
            ops.extend(other);
        }
        ops.sort_unstable();
        ops.dedup();
        Ok(ops)
    }

    /// Keys that the author gave a statistic must be keys of the rule.
    fn inside_key(&mut self, t: &Term, key: &RuleKey) -> R<()> {
        let missing = t.keys.iter().flatten().copied().find(|k| !key.keys.contains(k));
        if let Some(k) = missing {
            let d = self
                .diag(
                    Code::UnsupportedKey,
                    t.span,
                    format!("`{}` is grouped by {}, and the rule is not", t.text, k.name()),
                )
                .help(format!(
                    "the rule is per {}; add `{}` to its `per`, or leave it out here",
                    names(key.keys.iter().copied()),
                    k.name()
                ));
            return self.fail(d);
        }
        Ok(())
    }

    /// Moves the rule's statistics from position `from` on into the program's list; gives their new
    /// places.
    pub(super) fn settle(
        &mut self,
        key: &RuleKey,
        min_count: Option<u64>,
        done: &mut Vec<MetricId>,
        metrics: &mut Metrics,
    ) -> R<()> {
        let mut segments: Vec<SegmentId> = Vec::new();
        let protos = self.protos.clone();
        for (i, p) in protos.iter().enumerate().skip(done.len()) {
            self.inside_key(&p.term, key)?;
            // What a segment names comes before the statistics that are taken in it.
            for s in self.segments.iter().skip(segments.len()).take_while(|s| s.after <= i) {
                let mut def = s.def.clone();
                Remap(done, &segments).cond(&mut def.cond);
                segments.push(metrics.segment(def));
            }
            let mut kind = p.kind.clone();
            Remap(done, &segments).kind(&mut kind);
            let m = Metric {
                key: metric_key(&p.term, key),
                min_count: samples(&kind, min_count),
                kind,
                dim: p.dim,
                text: p.term.text.clone(),
            };
            done.push(metrics.intern(m));
        }
        Ok(())
    }
}

/// Samples that a statistic needs unless the rule says otherwise.
pub(super) const MIN_COUNT: u64 = 10;

/// How many samples a statistic needs. What describes a distribution, or compares two parts of one,
/// says nothing about a few; a number or a sum is right for any, also for none: a hang is a rate of
/// zero, not an unknown one.
fn samples(kind: &MetricKind, given: Option<u64>) -> u64 {
    match kind {
        MetricKind::Trend { .. }
        | MetricKind::Stat {
            stat: Stat::Pct(..) | Stat::Avg | Stat::Stddev,
            ..
        } => given.unwrap_or(MIN_COUNT),
        MetricKind::Covered { .. }
        | MetricKind::Lift { .. }
        | MetricKind::Share { .. }
        | MetricKind::Stat {
            stat: Stat::Min | Stat::Max | Stat::Throughput,
            ..
        } => given.unwrap_or(1),
        MetricKind::System { .. }
        | MetricKind::Stat {
            stat: Stat::First | Stat::Last,
            ..
        } => 1,
        MetricKind::Stat { .. } | MetricKind::Fact(_) | MetricKind::Peer { .. } => 0,
    }
}

fn metric_key(t: &Term, rule: &RuleKey) -> Vec<Key> {
    rule.keys
        .iter()
        .copied()
        .filter(|k| {
            let on_op = || {
                let shares = t
                    .ops
                    .as_ref()
                    .is_some_and(|ops| ops.iter().any(|o| rule.ops.contains(o)));
                t.per_op || rule.op_given && shares
            };
            match (k, &t.keys) {
                (Key::Node, _) => true,
                (Key::Op, _) if t.per_op => true,
                (k, Some(given)) => given.contains(k) || *k == Key::Pid && given.contains(&Key::Tid),
                (Key::Op, None) => on_op(),
                (k, None) => base_has_key(t.source, t.ops.as_deref(), *k),
            }
        })
        .collect()
}

/// Replaces the rule's own numbering of statistics and segments by the program's.
pub(super) struct Remap<'a>(pub(super) &'a [MetricId], pub(super) &'a [SegmentId]);

impl Remap<'_> {
    pub(super) fn value(&self, v: &mut Value) {
        match v {
            Value::Metric(id) => {
                if let Some(new) = self.0.get(id.0 as usize) {
                    *id = *new;
                }
            }
            Value::Neg(a) => self.value(a),
            Value::Arith(_, a, b) => {
                self.value(a);
                self.value(b);
            }
            Value::Num(_) | Value::Field(_) => {}
        }
    }

    fn filter(&self, f: &mut Filter) {
        match f {
            Filter::Cmp(a, _, b) => {
                self.value(a);
                self.value(b);
            }
            Filter::Not(a) => self.filter(a),
            Filter::All(list) | Filter::Any(list) => {
                for f in list {
                    self.filter(f);
                }
            }
            Filter::Enum { .. }
            | Filter::Text { .. }
            | Filter::Match { .. }
            | Filter::OneOf { .. }
            | Filter::Flag(_) => {}
        }
    }

    fn selector(&self, s: &mut Selector) {
        for f in &mut s.filters {
            self.filter(f);
        }
        match &mut s.base {
            Base::Gap(inner) | Base::DrainedGap(inner) | Base::Slump(inner) => self.selector(inner),
            Base::Ops(_) | Base::State(_) | Base::BusySeconds => {}
        }
    }

    fn segment(&self, s: &mut Segment) {
        if let Segment::Before(id) | Segment::After(id) | Segment::During(id) = s
            && let Some(new) = self.1.get(id.0 as usize)
        {
            *id = *new;
        }
    }

    fn kind(&self, k: &mut MetricKind) {
        match k {
            MetricKind::Stat { segment, .. }
            | MetricKind::Share { segment, .. }
            | MetricKind::Covered { segment, .. }
            | MetricKind::System { segment, .. } => self.segment(segment),
            MetricKind::Trend { from, to, .. } => {
                self.segment(from);
                self.segment(to);
            }
            MetricKind::Peer { of, .. } => {
                if let Some(new) = self.0.get(of.0 as usize) {
                    *of = *new;
                }
            }
            MetricKind::Lift { .. } | MetricKind::Fact(_) => {}
        }
        match k {
            MetricKind::Stat { sel, .. } | MetricKind::Share { sel, .. } | MetricKind::Trend { sel, .. } => {
                self.selector(sel);
            }
            MetricKind::Covered { a, b, .. } | MetricKind::Lift { a, b, .. } => {
                self.selector(a);
                self.selector(b);
            }
            MetricKind::System { .. } | MetricKind::Fact(_) | MetricKind::Peer { .. } => {}
        }
    }

    pub(super) fn cond(&self, c: &mut Cond) {
        match c {
            Cond::Compare { left, right, .. } => {
                self.value(left);
                self.value(right);
            }
            Cond::Exists { sel, .. } => self.selector(sel),
            Cond::State { sel, bound, .. } => {
                self.selector(sel);
                self.value(bound);
            }
            other => {
                for part in other.parts_mut() {
                    self.cond(part);
                }
            }
        }
    }

    pub(super) fn template(&self, t: &mut Template) {
        for p in &mut t.parts {
            if let Part::Value(v, ..) = p {
                self.value(v);
            }
        }
    }
}
