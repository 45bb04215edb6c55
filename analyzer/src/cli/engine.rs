//! The one file that knows how the other parts are called.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::analyze::Request;
use super::failure::Failure;
use super::time::Instant;
use crate::diagnosis::Analysis;
use crate::eval;
pub(super) use crate::eval::Judged;
use crate::eval::harness::Only;
use crate::export;
use crate::lang;
use crate::lang::diagnostic::Diagnostic;
use crate::lang::hir::{Program, Rule};
use crate::plan;
use crate::plan::budget::Group;
use crate::report;
pub(super) use crate::report::Report;
use crate::simulate;
use crate::source::SourceFile;
use crate::trace::catalogue::Op;
use crate::trace::query::{QueryError, Session};
use crate::trace::writer::Merged;
use crate::trace::{self, Count, Edge, Needs, ReadOptions, Trace, TraceError, WindowSpec};
use crate::unit::Interval;
use crate::view::{Drawing, ProcessProfile};

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
pub(super) fn compile(files: &[SourceFile], set: &[(String, String)], look: Look) -> Rules {
    let compiled = lang::compile(files, set);
    Rules {
        problems: problems(&compiled, files.len(), look),
        program: compiled.program,
    }
}

/// Problems as shown to people; the first `n_files` texts are the user's, those after them values
/// given with `--set`.
pub(super) fn problems(compiled: &lang::Compiled, n_files: usize, look: Look) -> Vec<RuleProblem> {
    let shown = &compiled.program.files;
    let one = |d: &Diagnostic| {
        let file = usize::try_from(d.file.0).unwrap_or(usize::MAX);
        RuleProblem {
            file: shown.get(file).map(|f| f.name.clone()).unwrap_or_default(),
            is_error: d.is_error(),
            in_set: file >= n_files,
            text: text_of(d, shown, look),
        }
    };
    compiled.diagnostics.iter().map(one).collect()
}

fn text_of(d: &Diagnostic, files: &[SourceFile], look: Look) -> String {
    let one = std::slice::from_ref(d);
    if look.utf8 {
        lang::render::fancy(one, files, look.width, look.color)
    } else {
        lang::render::plain(one, files)
    }
}

/// A text of rules in the one style, or what is wrong with it, as shown to people.
pub(super) fn format(source: &SourceFile, look: Look) -> Result<String, Vec<String>> {
    lang::fmt::format(source).map_err(|problems| {
        let files = std::slice::from_ref(source);
        problems.iter().map(|d| text_of(d, files, look)).collect()
    })
}

/// What to read.
pub(super) struct ReadRequest<'a> {
    /// The rules that will run.
    pub(super) program: &'a Program,
    /// Operations to read that no rule need name.
    pub(super) also: Vec<Op>,
    /// From here on.
    pub(super) from: Option<Instant>,
    /// Up to here.
    pub(super) to: Option<Instant>,
    /// 0 is one for each core.
    pub(super) threads: usize,
    /// Is told rows done and rows in all.
    pub(super) progress: Option<&'a (dyn Fn(u64, u64) + Sync)>,
}

impl<'a> ReadRequest<'a> {
    /// What a command asks for, for the rules of a program.
    pub(super) fn of(program: &'a Program, request: &Request<'_>) -> Self {
        Self {
            program,
            also: Vec::new(),
            from: request.from,
            to: request.to,
            threads: request.threads,
            progress: None,
        }
    }

    /// What has to be read of the traces.
    pub(super) fn needs(&self) -> Needs {
        let mut needs = plan::needs(self.program);
        self.also.iter().for_each(|o| needs.add(*o));
        needs
    }
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
pub(super) fn read(paths: &[PathBuf], request: &ReadRequest<'_>, needs: &Needs) -> (Option<Trace>, Vec<TraceProblem>) {
    let options = ReadOptions {
        needs: needs.clone(),
        window: window_spec(request.from, request.to),
        threads: request.threads,
        progress: request.progress,
    };
    let (trace, errors) = trace::read(paths, &options);
    (trace, errors.iter().map(problem).collect())
}

/// A window as the reader takes it; `None` is all of the time.
pub(super) fn window_spec(from: Option<Instant>, to: Option<Instant>) -> Option<WindowSpec> {
    let edge = |at| match at {
        Instant::At(ns) => Edge::At(ns),
        Instant::AfterStart(ns) => Edge::AfterStart(ns),
        Instant::BeforeEnd(ns) => Edge::BeforeEnd(ns),
    };
    let window = WindowSpec {
        from: from.map(edge),
        to: to.map(edge),
    };
    (from.is_some() || to.is_some()).then_some(window)
}

/// As [`read`], every operation and every column.
pub(super) fn read_whole(
    paths: &[PathBuf],
    from: Option<Instant>,
    to: Option<Instant>,
) -> (Option<Trace>, Vec<TraceProblem>) {
    let options = ReadOptions {
        window: window_spec(from, to),
        ..ReadOptions::default()
    };
    let (trace, errors) = trace::read(paths, &options);
    (trace, errors.iter().map(problem).collect())
}

fn problem(error: &TraceError) -> TraceProblem {
    let path = error.path().map(|p| p.display().to_string()).unwrap_or_default();
    let message = error.to_string();
    let message = message
        .strip_prefix(&format!("{path}: "))
        .unwrap_or(&message)
        .to_owned();
    let help = miette::Diagnostic::help(error).map(|h| h.to_string());
    TraceProblem { path, message, help }
}

/// Judges a trace on that many threads, 0 being one for each core.
pub(super) fn analyze(program: &Program, trace: &Trace, pid: Option<i64>, threads: usize) -> Analysis {
    on_threads(threads, || eval::analyze(program, trace, eval::Options { pid }))
}

/// Judges a trace, and draws the `top` first primary findings.
pub(super) fn analyze_and_draw(
    program: &Program,
    trace: &Trace,
    pid: Option<i64>,
    threads: usize,
    top: usize,
) -> (Analysis, Drawing) {
    let options = eval::Options { pid };
    on_threads(threads, || eval::analyze_and_draw(program, trace, options, top))
}

/// How many rows of each operation the traces hold.
pub(super) fn count(paths: &[PathBuf], threads: usize) -> Count {
    trace::count(paths, threads)
}

/// Judges some rules of a program.
pub(super) fn judge_part(judged: &mut Judged, group: &Group, trace: &Trace, request: &Request<'_>) {
    let options = eval::Options { pid: request.pid };
    on_threads(request.threads, || {
        judged.add(&group.program, &group.rules, trace, options);
    });
}

/// Puts together what all rules of a program came to.
pub(super) fn conclude(judged: Judged, program: &Program, trace: &Trace, request: &Request<'_>) -> Analysis {
    let options = eval::Options { pid: request.pid };
    on_threads(request.threads, || judged.conclude(program, trace, options))
}

/// What every process did.
pub(super) fn profile(trace: &Trace, pid: Option<i64>, threads: usize) -> Vec<ProcessProfile> {
    on_threads(threads, || eval::profile(trace, pid))
}

/// Runs on a pool of its own. Without one (no more threads can be started) the current thread does all.
fn on_threads<T: Send>(threads: usize, job: impl FnOnce() -> T + Send) -> T {
    match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
        Ok(pool) => pool.install(job),
        Err(_) => job(),
    }
}

/// The stretch that was judged, for a trace read with a window.
pub(super) fn window(trace: &Trace, request: &ReadRequest<'_>) -> Option<Interval> {
    (request.from.is_some() || request.to.is_some()).then_some(())?;
    let seen = trace.nodes.iter().filter_map(|n| n.observed);
    seen.reduce(Interval::hull)
}

/// Gives a query what it sees of the analyzer: the trace, and what the rules found in it.
pub(super) fn prepare_query(session: &mut Session, program: Option<&Program>) -> Result<(), QueryError> {
    let trace = Arc::new(session.trace()?);
    if let Some(program) = program {
        for (table, rows) in report::facts::tables(&analyze(program, &trace, None, 0)) {
            session.fill(table, rows)?;
        }
    }
    session.add_trace(trace)
}

/// Merges traces into one file; each may be given a name for its node.
pub(super) fn merge(inputs: &[(PathBuf, Option<String>)], out: &Path, replace: bool) -> Result<Merged, Failure> {
    Ok(trace::writer::merge(inputs, out, replace)?)
}

/// Writes a trace for Perfetto.
pub(super) fn perfetto(report: &Report<'_>, trace: &Trace, out: impl Write) -> io::Result<()> {
    export::perfetto::write(trace, report.analysis, out)
}

/// Writes a trace as Parquet.
pub(super) fn parquet(report: &Report<'_>, trace: &Trace, out: impl Write + Send) -> io::Result<()> {
    export::parquet::write(trace, &report::json::render(report), out).map_err(io::Error::other)
}

/// Writes a trace as OTLP JSON lines.
pub(super) fn otlp(report: &Report<'_>, trace: &Trace, out: impl Write) -> io::Result<()> {
    export::otlp::write(trace, report.analysis, out)
}

/// An in-file test and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TestResult {
    /// The rule.
    pub(super) rule: String,
    /// What the test shows.
    pub(super) name: String,
    /// Its file.
    pub(super) file: String,
    /// Its first line.
    pub(super) line: usize,
    /// Expected, actual and why not; empty where it passed.
    pub(super) failure: String,
}

/// Runs tests of a program.
pub(super) fn run_tests(
    files: &[SourceFile],
    set: &[(String, String)],
    program: &Program,
    only: Only<'_>,
) -> Vec<TestResult> {
    eval::harness::run_tests(files, set, program, only)
        .into_iter()
        .map(|t| {
            let file = program.files.get(t.file.0 as usize);
            TestResult {
                file: file.map_or_else(String::new, |f| f.name.clone()),
                line: file.map_or(0, |f| f.line_col(t.span.start).0),
                rule: t.rule,
                name: t.name,
                failure: t.failure.unwrap_or_default(),
            }
        })
        .collect()
}

/// A rule in words, with its plan and its defaults.
pub(super) fn explain(program: &Program, rule: &Rule) -> String {
    lang::explain::rule(program, rule)
}

/// Every case that can be simulated: name and what it is, in one line.
pub(super) fn scenarios() -> impl Iterator<Item = (&'static str, &'static str)> {
    simulate::scenarios().iter().map(|s| (s.name, s.title))
}

/// Writes the trace of a case; returns how many events it has.
pub(super) fn simulate(name: &str, path: &Path, options: &simulate::Options, replace: bool) -> Result<u64, Failure> {
    let summary = simulate::create(name, options, path, replace)?;
    Ok(summary.events)
}

/// The cases of the labelled corpus, or those of one rule.
pub(super) fn corpus(rule: Option<&str>) -> Result<Vec<simulate::corpus::Case>, Failure> {
    let mut cases = simulate::corpus::cases();
    if let Some(rule) = rule {
        cases.retain(|c| c.rule == Some(rule));
        if cases.is_empty() {
            return Err(Failure::NoCase { rule: rule.to_owned() });
        }
    }
    Ok(cases)
}

/// Writes the trace of a case of the corpus; returns how many events it has.
pub(super) fn simulate_case(
    case: &simulate::corpus::Case,
    path: &Path,
    seed: u64,
    replace: bool,
) -> Result<u64, Failure> {
    Ok(simulate::corpus::create(case, seed, path, replace)?)
}
