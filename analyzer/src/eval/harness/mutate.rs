//! Which small changes to a rule its tests do not notice.

use rayon::prelude::*;

use super::super::{Verdict, verdicts};
use super::{Stored, as_expected, program_of, severity_as_expected};
use crate::lang::hir::{Program, Rule, Test};
use crate::lang::mutate::{Mutants, mutants};
use crate::source::SourceFile;
use crate::trace::Trace;

/// A rule, how often it was changed, and the changes that no test noticed.
#[derive(Clone, Debug)]
pub struct Survival {
    /// The rule.
    pub rule: String,
    /// Number of mutants.
    pub mutants: usize,
    /// Changes that no test noticed, in words.
    pub survivors: Vec<String>,
}

/// Changes each rule of the program and runs its tests on every change.
///
/// A test notices a change by the status of the rule, by how often it fires, and by the severities. With `corpus` only
/// those survivors count that change a verdict on one of these traces. All changes of a rule are
/// judged together, so a trace is made once and equal parts are computed once.
pub fn survivors(
    files: &[SourceFile],
    sets: &[(String, String)],
    program: &Program,
    corpus: Option<&[Trace]>,
) -> Vec<Survival> {
    let all: Vec<&Test> = program.tests.iter().collect();
    let stored = Stored::read(program, &all);
    program
        .rules
        .par_iter()
        .map(|rule| {
            let found = mutants(program, rule);
            let tests = program.tests.iter().filter(|t| t.rule == rule.name);
            let tests: Vec<&Test> = tests.collect();
            let killed: Vec<Vec<bool>> = tests
                .par_iter()
                .map(|test| noticed(files, sets, program, test, &stored).unwrap_or_default())
                .collect();
            let lives = |i: usize| !killed.iter().any(|k| k.get(i).copied().unwrap_or(false));
            let alive: Vec<usize> = (0..found.list.len()).filter(|i| lives(*i)).collect();
            let counts: Vec<usize> = match corpus {
                None => alive,
                Some(traces) => telling(program, rule, &found, alive, traces),
            };
            Survival {
                rule: rule.name.clone(),
                mutants: found.list.len(),
                survivors: counts.into_iter().map(|i| found.list[i].what.clone()).collect(),
            }
        })
        .collect()
}

/// For each mutant of a test's rule, whether the test fails on it; `None` where it cannot run.
fn noticed(
    files: &[SourceFile],
    sets: &[(String, String)],
    program: &Program,
    test: &Test,
    stored: &Stored,
) -> Option<Vec<bool>> {
    let trace = stored.trace(program, test).ok()?;
    // Parameters change numbers, not the shape of a rule: the mutants are the same ones.
    let program = program_of(files, sets, program, test);
    let found = mutants(&program, program.rules.first()?);
    let judged = verdicts(&together(&program, &found, 0..found.list.len()), &trace);
    let as_all_expect = |v: &Verdict| {
        let all = &mut test.expects.iter();
        all.all(|e| as_expected(e.outcome, v.status, v.severities.len()) && severity_as_expected(e, &v.severities))
    };
    Some(judged.iter().map(|v| !as_all_expect(v)).collect())
}

/// Those mutants that come to another verdict than the rule on some trace.
fn telling(program: &Program, rule: &Rule, found: &Mutants, mut alive: Vec<usize>, traces: &[Trace]) -> Vec<usize> {
    let mut out = Vec::new();
    let own = Program {
        rules: vec![rule.clone()],
        tests: Vec::new(),
        ..program.clone()
    };
    for trace in traces {
        let usual = verdicts(&own, trace);
        let judged = verdicts(&together(program, found, alive.iter().copied()), trace);
        let differs: Vec<bool> = judged.iter().map(|v| usual.first() != Some(v)).collect();
        out.extend(alive.iter().zip(&differs).filter(|(_, d)| **d).map(|(i, _)| *i));
        alive = alive
            .iter()
            .zip(&differs)
            .filter(|(_, d)| !**d)
            .map(|(i, _)| *i)
            .collect();
    }
    out.sort_unstable();
    out
}

/// A program of mutants only.
fn together(program: &Program, found: &Mutants, which: impl Iterator<Item = usize>) -> Program {
    Program {
        metrics: found.metrics.clone(),
        rules: which.map(|i| found.list[i].rule.clone()).collect(),
        tests: Vec::new(),
        ..program.clone()
    }
}
