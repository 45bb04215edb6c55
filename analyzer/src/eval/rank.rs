//! Order, and what explains what. Ranking never suppresses.

use std::cmp::Reverse;

use crate::diagnosis::{Analysis, Diagnosis, Factors, Severity};
use crate::lang::hir::Program;

/// Weight of a severity, thousandths.
pub(super) fn weight(s: Severity) -> u32 {
    match s {
        Severity::Info => 100,
        Severity::Low => 250,
        Severity::Medium => 500,
        Severity::High => 800,
        Severity::Critical => 1000,
    }
}

/// Product of the factors that say how sure, thousandths.
pub(super) fn confidence(f: &Factors) -> u32 {
    [f.support, f.link, f.evidence].iter().fold(f.data_quality, |acc, x| acc * x / 1000)
}

/// Severity x confidence x (a half + a half x time lost), thousandths.
pub(super) fn score(f: &Factors) -> u32 {
    f.severity * confidence(f) / 1000 * (500 + f.time_lost / 2) / 1000
}

/// Sorts, folds what other rules explain, and numbers.
pub(super) fn rank(program: &Program, analysis: &mut Analysis) {
    let all = &mut analysis.diagnoses;
    all.sort_by(|a, b| {
        (Reverse(a.severity), Reverse(a.score), &a.rule, &a.key, a.when)
            .cmp(&(Reverse(b.severity), Reverse(b.score), &b.rule, &b.key, b.when))
    });
    let explains = |name: &str| program.rules.iter().find(|r| r.name == name).map(|r| r.explains.as_slice());
    let n = all.len();
    let mut by: Vec<Option<usize>> = vec![None; n];
    for cause in 0..n {
        let Some(names) = explains(&all[cause].rule) else { continue };
        for effect in 0..n {
            let fits = cause != effect
                && by[effect].is_none()
                && names.contains(&all[effect].rule)
                && same_place(&all[cause], &all[effect])
                && all[cause].when.distance(all[effect].when) == 0;
            // No circles: what already explains the cause is not explained by it.
            if fits && !chain(&by, cause).contains(&effect) {
                by[effect] = Some(cause);
            }
        }
    }
    // Causes in order, each followed by what it explains.
    let mut order = Vec::with_capacity(n);
    for i in (0..n).filter(|i| by[*i].is_none()) {
        push(i, &by, &mut order);
    }
    let mut place = vec![0; n];
    for (to, from) in order.iter().enumerate() {
        place[*from] = to;
    }
    let mut slots: Vec<Option<Diagnosis>> = all.drain(..).map(Some).collect();
    for (to, from) in order.iter().enumerate() {
        if let Some(mut d) = slots[*from].take() {
            d.rank = to + 1;
            d.explained_by = by[*from].map(|c| place[c]);
            all.push(d);
        }
    }
    for i in 0..all.len() {
        if let Some(cause) = all[i].explained_by {
            all[cause].explains.push(i);
        }
    }
    analysis.near_misses.sort_by(|a, b| {
        (Reverse(a.nearness), &a.rule, &a.key).cmp(&(Reverse(b.nearness), &b.rule, &b.key))
    });
}

fn chain(by: &[Option<usize>], from: usize) -> Vec<usize> {
    std::iter::successors(by[from], |i| by[*i]).collect()
}

fn push(i: usize, by: &[Option<usize>], order: &mut Vec<usize>) {
    order.push(i);
    for (j, cause) in by.iter().enumerate() {
        if *cause == Some(i) {
            push(j, by, order);
        }
    }
}

/// The same node, and the same process where both name one.
fn same_place(a: &Diagnosis, b: &Diagnosis) -> bool {
    a.key.node == b.key.node && (a.key.pid.is_none() || b.key.pid.is_none() || a.key.pid == b.key.pid)
}
