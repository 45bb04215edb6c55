//! Which answers the tests of a rule have seen from each of its predicates.

use rayon::prelude::*;

use super::super::truths;
use super::{Stored, program_of};
use crate::lang::hir::{Program, Rule, Test};
use crate::lang::walk;
use crate::source::SourceFile;

/// A rule and what its tests saw.
#[derive(Clone, Debug)]
pub struct RuleCoverage {
    /// The rule.
    pub rule: String,
    /// How many tests it has.
    pub tests: usize,
    /// Its predicates in the order written.
    pub predicates: Vec<Seen>,
}

/// The answers of a predicate over all tests and keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// As written.
    pub text: String,
    /// Some test finds it true.
    pub yes: bool,
    /// Some test finds it false.
    pub no: bool,
    /// Some test cannot tell.
    pub unknown: bool,
}

/// What the tests of each rule saw, in the order of the program. Tests whose trace cannot be made
/// see nothing.
pub fn coverage(files: &[SourceFile], sets: &[(String, String)], program: &Program) -> Vec<RuleCoverage> {
    let all: Vec<&Test> = program.tests.iter().collect();
    let stored = Stored::read(program, &all);
    let one = |rule: &Rule| {
        let tests: Vec<&Test> = program.tests.iter().filter(|t| t.rule == rule.name).collect();
        let seen: Vec<Vec<[bool; 3]>> = tests
            .par_iter()
            .filter_map(|test| {
                let trace = stored.trace(program, test).ok()?;
                let program = program_of(files, sets, program, test);
                Some(truths(&program, program.rules.first()?, &trace))
            })
            .collect();
        let any = |predicate: usize, answer: usize| seen.iter().any(|s| s.get(predicate).is_some_and(|s| s[answer]));
        RuleCoverage {
            rule: rule.name.clone(),
            tests: tests.len(),
            predicates: walk::leaves(&rule.cond)
                .into_iter()
                .enumerate()
                .map(|(i, leaf)| Seen {
                    text: walk::words(program, rule, leaf),
                    no: any(i, 0),
                    unknown: any(i, 1),
                    yes: any(i, 2),
                })
                .collect(),
        }
    };
    program.rules.par_iter().map(one).collect()
}
