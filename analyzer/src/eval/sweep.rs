//! What a rule finds with each of its thresholds a little lower or higher.

use super::{Options, analyze};
use crate::diagnosis::Diagnosis;
use crate::lang::hir::{Program, Rule};
use crate::lang::mutate::thresholds;
use crate::trace::Trace;
use crate::unit::Num;

/// A rule with one threshold changed, and what it finds.
#[derive(Clone, Debug)]
pub struct Shifted {
    /// The change in words; unique within the rule.
    pub what: String,
    /// Its diagnoses, ranked.
    pub diagnoses: Vec<Diagnosis>,
}

/// Judges a trace by a rule, for each of its thresholds times `factor`, in an order that only depends on the
/// rule.
pub fn sweep(program: &Program, rule: &Rule, factor: Num, trace: &Trace) -> Vec<Shifted> {
    let changed = thresholds(program, rule, factor);
    // One name each, to know them apart afterwards.
    let named = |(i, r): (usize, &Rule)| Rule {
        name: i.to_string(),
        ..r.clone()
    };
    let together = Program {
        metrics: changed.metrics,
        rules: changed.list.iter().map(|m| &m.rule).enumerate().map(named).collect(),
        tests: Vec::new(),
        ..program.clone()
    };
    let mut out: Vec<Shifted> = changed
        .list
        .into_iter()
        .map(|m| Shifted {
            what: m.what,
            diagnoses: Vec::new(),
        })
        .collect();
    for mut d in analyze(&together, trace, Options::default()).diagnoses {
        let at = d.rule.parse::<usize>().ok();
        d.rule.clone_from(&rule.name);
        if let Some(of) = at.and_then(|i| out.get_mut(i)) {
            of.diagnoses.push(d);
        }
    }
    out
}
