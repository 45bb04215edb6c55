//! A program with some of its rules, so that what the others need can be left out.

use crate::lang::hir::{Cond, Filter, MetricId, MetricKind, Part, Program, Rule, Segment, SegmentId, Selector, Value};
use crate::lang::walk;
use crate::trace::catalogue::TraceFact;

/// The program with the rules at these positions, and nothing that only the others speak of.
///
/// Metrics and segments keep their positions: those that are not reached are emptied.
pub fn part(program: &Program, rules: &[usize]) -> Program {
    let rules: Vec<Rule> = rules.iter().filter_map(|&i| program.rules.get(i)).cloned().collect();
    let mut reach = Reach {
        program,
        metrics: vec![false; program.metrics.len()],
        segments: vec![false; program.segments.len()],
    };
    for r in &rules {
        reach.rule(r);
    }
    let mut out = Program {
        files: program.files.clone(),
        metrics: program.metrics.clone(),
        segments: program.segments.clone(),
        rules,
        tests: Vec::new(),
    };
    for (m, _) in out.metrics.iter_mut().zip(&reach.metrics).filter(|(_, r)| !**r) {
        m.kind = MetricKind::Fact(TraceFact::Length);
    }
    for (s, _) in out.segments.iter_mut().zip(&reach.segments).filter(|(_, r)| !**r) {
        s.cond = Cond::And(Vec::new());
    }
    out
}

struct Reach<'a> {
    program: &'a Program,
    metrics: Vec<bool>,
    segments: Vec<bool>,
}

impl Reach<'_> {
    fn rule(&mut self, rule: &Rule) {
        for c in rule.conditions() {
            self.cond(c);
        }
        if let Some(v) = &rule.impact {
            self.value(v);
        }
        for (text, _) in rule.messages.iter().chain(&rule.fixes) {
            for part in &text.parts {
                if let Part::Value(v, ..) = part {
                    self.value(v);
                }
            }
        }
    }

    fn cond(&mut self, c: &Cond) {
        let mut ids = Vec::new();
        walk::cond_metrics(c, &mut ids);
        for id in ids {
            self.metric(id);
        }
    }

    fn value(&mut self, v: &Value) {
        let mut ids = Vec::new();
        walk::metrics_of_value(v, &mut ids);
        for id in ids {
            self.metric(id);
        }
    }

    fn metric(&mut self, MetricId(id): MetricId) {
        let Some(seen) = self.metrics.get_mut(id as usize) else {
            return;
        };
        if std::mem::replace(seen, true) {
            return;
        }
        let kind = &self.program.metrics[id as usize].kind;
        for s in walk::selectors_of(kind) {
            self.selector(s);
        }
        match kind {
            MetricKind::Peer { of, .. } => self.metric(*of),
            MetricKind::Stat { segment, .. }
            | MetricKind::Covered { segment, .. }
            | MetricKind::Share { segment, .. }
            | MetricKind::System { segment, .. } => self.segment(*segment),
            MetricKind::Trend { from, to, .. } => {
                self.segment(*from);
                self.segment(*to);
            }
            MetricKind::Lift { .. } | MetricKind::Fact(_) => {}
        }
    }

    fn selector(&mut self, sel: &Selector) {
        let mut ids = Vec::new();
        let filters: &[Filter] = &sel.filters;
        for f in filters {
            walk::metrics_of_filter(f, &mut ids);
        }
        for id in ids {
            self.metric(id);
        }
    }

    fn segment(&mut self, segment: Segment) {
        let (Segment::Before(SegmentId(id)) | Segment::After(SegmentId(id)) | Segment::During(SegmentId(id))) = segment
        else {
            return;
        };
        let Some(seen) = self.segments.get_mut(id as usize) else {
            return;
        };
        if !std::mem::replace(seen, true) {
            self.cond(&self.program.segments[id as usize].cond);
        }
    }
}
