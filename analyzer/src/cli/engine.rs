//! The one file that knows how the other parts are called.

use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::time::Instant;
use crate::diagnosis::Analysis;
use crate::lang::hir::Program;
use crate::source::SourceFile;
use crate::trace::Trace;
use crate::unit::Interval;

/// Compiled rules and what is wrong with their texts.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// The rules and tests that can be used.
    pub(super) program: Program,
    /// Errors and lints, by file and place.
    pub(super) problems: Vec<RuleProblem>,
}

/// An error or a lint in a text of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RuleProblem {
    /// Name of the file.
    pub(super) file: String,
    /// Whether the rule cannot be used.
    pub(super) is_error: bool,
    /// Whether it concerns a value given with `--set`.
    pub(super) in_set: bool,
    /// As shown to people, several lines.
    pub(super) text: String,
}

/// How to show problems.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Columns.
    pub(super) width: usize,
    /// With colour.
    pub(super) color: bool,
    /// More than ASCII.
    pub(super) utf8: bool,
}

/// Compiles texts of rules.
pub(super) fn compile(files: &[SourceFile], set: &[(String, String)], look: Look) -> Result<Rules, Failure> {
    let _ = (files, set, look.width, look.color, look.utf8);
    Err(Failure::NotBuiltIn("the rule language"))
}

/// What to read.
pub(super) struct ReadRequest<'a> {
    /// The rules that will run.
    pub(super) program: &'a Program,
    /// From here on.
    pub(super) from: Option<Instant>,
    /// Up to here.
    pub(super) to: Option<Instant>,
    /// 0 is one for each core.
    pub(super) threads: usize,
    /// Is told rows done and rows in all.
    pub(super) progress: Option<&'a (dyn Fn(u64, u64) + Sync)>,
}

/// A file that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TraceProblem {
    /// As the user gave it.
    pub(super) path: String,
    /// What is wrong.
    pub(super) message: String,
    /// The way out.
    pub(super) help: Option<String>,
}

/// Reads traces; those that cannot be read do not stop the others.
pub(super) fn read(
    paths: &[PathBuf],
    request: &ReadRequest<'_>,
) -> Result<(Option<Trace>, Vec<TraceProblem>), Failure> {
    let _ = (paths, request.program, request.from, request.to, request.threads);
    let _ = request.progress.is_some();
    Err(Failure::NotBuiltIn("reading traces"))
}

/// Judges a trace.
pub(super) fn analyze(program: &Program, trace: &Trace, pid: Option<i64>, threads: usize) -> Result<Analysis, Failure> {
    let _ = (program, trace, pid, threads);
    Err(Failure::NotBuiltIn("the evaluator"))
}

/// The stretch that was judged, for a trace read with a window.
pub(super) fn window(trace: &Trace, request: &ReadRequest<'_>) -> Option<Interval> {
    (request.from.is_some() || request.to.is_some()).then_some(())?;
    let seen = trace.nodes.iter().filter_map(|n| n.observed);
    seen.reduce(Interval::hull)
}

/// An in-file test and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TestResult {
    /// The rule.
    pub(super) rule: String,
    /// What the test shows.
    pub(super) name: String,
    /// File and line: `rules/vllm.rules:42`.
    pub(super) place: String,
    /// Expected, actual and why not; empty where it passed.
    pub(super) failure: String,
}

/// Runs the tests of a program.
pub(super) fn run_tests(
    files: &[SourceFile],
    program: &Program,
    rule: Option<&str>,
) -> Result<Vec<TestResult>, Failure> {
    let _ = (files, program, rule);
    Err(Failure::NotBuiltIn("the evaluator"))
}

/// A rule in words, with its plan and its defaults.
pub(super) fn explain(program: &Program, rule: &str) -> Result<String, Failure> {
    let _ = (program, rule);
    Err(Failure::NotBuiltIn("explaining rules"))
}

/// A case that can be simulated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scenario {
    /// Its name.
    pub(super) name: &'static str,
    /// One line.
    pub(super) title: &'static str,
}

/// Every case.
pub(super) fn scenarios() -> Result<Vec<Scenario>, Failure> {
    Err(Failure::NotBuiltIn("the simulator"))
}

/// Writes the trace of a case; returns how many events it has.
pub(super) fn simulate(name: &str, path: &Path, events: Option<u64>, seed: u64, replace: bool) -> Result<u64, Failure> {
    let _ = (name, path, events, seed, replace);
    Err(Failure::NotBuiltIn("the simulator"))
}
