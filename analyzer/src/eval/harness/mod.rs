//! Runs the tests that stand in rule files: each is a small trace in memory, or a stored one, judged
//! by its rule. The only part of the evaluation that opens files.

pub mod coverage;
pub mod mutate;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::why::why_not;
use super::{Options, analyze, select};
use crate::diagnosis::{Diagnosis, RuleResult, Severity, Status};
use crate::fixture;
use crate::lang;
use crate::lang::hir::{CmpOp, Expect, Literal, Outcome, Program, Rule, Test};
use crate::plan;
use crate::source::{SourceFile, SourceId, Span};
use crate::trace::catalogue::Key;
use crate::trace::writer::Writer;
use crate::trace::{Needs, ReadOptions, Trace, read_connection};
use crate::unit::{Num, show};

/// What came of one test.
#[derive(Clone, Debug)]
pub struct TestOutcome {
    /// The rule it is for.
    pub rule: String,
    /// What it shows.
    pub name: String,
    /// File of the test.
    pub file: SourceId,
    /// Where it stands.
    pub span: Span,
    /// Expected, actual and why not, several lines; `None` where it passed.
    pub failure: Option<String>,
}

/// Which tests to run: all, those of a rule, those whose text contains some words.
#[derive(Clone, Copy, Debug, Default)]
pub struct Only<'a> {
    /// Name of the rule.
    pub rule: Option<&'a str>,
    /// Part of what the test shows, in any case.
    pub name: Option<&'a str>,
}

impl Only<'_> {
    fn has(self, test: &Test) -> bool {
        let named = |words: &str| test.name.to_lowercase().contains(&words.to_lowercase());
        self.rule.is_none_or(|r| r == test.rule) && self.name.is_none_or(named)
    }
}

/// Runs the tests of the program, in the order of the files.
///
/// `files` and `sets` are what the program was compiled from: a test with parameters of its own
/// compiles its rules again.
pub fn run_tests(
    files: &[SourceFile],
    sets: &[(String, String)],
    program: &Program,
    only: Only<'_>,
) -> Vec<TestOutcome> {
    let tests: Vec<&Test> = program.tests.iter().filter(|t| only.has(t)).collect();
    let stored = Stored::read(program, &tests);
    tests
        .par_iter()
        .map(|test| TestOutcome {
            rule: test.rule.clone(),
            name: test.name.clone(),
            file: test.file,
            span: test.span,
            failure: run(files, sets, program, test, &stored).err(),
        })
        .collect()
}

/// Traces that tests name, each read once.
struct Stored {
    traces: BTreeMap<PathBuf, Result<Arc<Trace>, String>>,
}

impl Stored {
    fn read(program: &Program, tests: &[&Test]) -> Self {
        let options = ReadOptions {
            needs: plan::needs(program),
            window: None,
            threads: 0,
            progress: None,
        };
        let paths: BTreeSet<PathBuf> = tests.iter().filter_map(|t| stored_path(program, t)).collect();
        let open = |path: PathBuf| {
            let (trace, errors) = crate::trace::read(std::slice::from_ref(&path), &options);
            let failed = || errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            let found = trace.filter(|_| errors.is_empty()).map(Arc::new).ok_or_else(failed);
            (path, found)
        };
        Self {
            traces: paths.into_iter().map(open).collect(),
        }
    }

    /// The trace of a test: the stored one that it names, or the one that it describes.
    fn trace(&self, program: &Program, test: &Test) -> Result<Arc<Trace>, String> {
        match stored_path(program, test) {
            None => trace_of(test).map(Arc::new),
            Some(path) => {
                let unread = || Err(format!("{} was not read", path.display()));
                self.traces.get(&path).cloned().unwrap_or_else(unread)
            }
        }
    }
}

/// Where the stored trace of a test is: its path is relative to the file of the test.
fn stored_path(program: &Program, test: &Test) -> Option<PathBuf> {
    let path = test.trace.as_ref()?;
    let file = program.files.get(test.file.0 as usize);
    let folder = file.and_then(|f| Path::new(&f.name).parent()).unwrap_or(Path::new(""));
    Some(folder.join(path))
}

fn run(
    files: &[SourceFile],
    sets: &[(String, String)],
    program: &Program,
    test: &Test,
    stored: &Stored,
) -> Result<(), String> {
    let program = program_of(files, sets, program, test);
    let Some(rule) = program.rules.first() else {
        return Err(format!("the rule {} has errors, so its test cannot run", test.rule));
    };
    let trace = stored.trace(&program, test)?;
    let analysis = analyze(&program, &trace, Options::default());
    let Some(result) = analysis.rules.first() else {
        return Err("the rule was not judged".into());
    };
    for expect in &test.expects {
        if let Err(what) = met(expect, result, &analysis.diagnoses) {
            return Err(format!("{what}\n{}", why(&program, rule, &trace)));
        }
    }
    Ok(())
}

/// The trace that a test describes, written and read like any other.
///
/// # Errors
/// What is wrong with a fixture, for people.
pub fn trace_of(test: &Test) -> Result<Trace, String> {
    let mut writer = Writer::in_memory("test").map_err(|e| e.to_string())?;
    fixture::write(test, &mut writer).map_err(|e| format!("{}\n  {}", e.message, e.help))?;
    let conn = writer.into_connection().map_err(|e| e.to_string())?;
    let options = ReadOptions {
        needs: Needs::everything(),
        window: None,
        threads: 1,
        progress: None,
    };
    read_connection(&conn, &options).map_err(|e| e.to_string())
}

/// The rule of a test with the parameters that the test sets.
fn program_of(files: &[SourceFile], sets: &[(String, String)], program: &Program, test: &Test) -> Program {
    if test.params.is_empty() {
        return only(program, &test.rule);
    }
    let mut sets = sets.to_vec();
    sets.extend(test.params.iter().cloned());
    only(&lang::compile(files, &sets).program, &test.rule)
}

/// The program with one rule only.
fn only(program: &Program, rule: &str) -> Program {
    Program {
        files: program.files.clone(),
        metrics: program.metrics.clone(),
        segments: program.segments.clone(),
        rules: program.rules.iter().filter(|r| r.name == rule).cloned().collect(),
        tests: Vec::new(),
    }
}

fn met(expect: &Expect, result: &RuleResult, diagnoses: &[Diagnosis]) -> Result<(), String> {
    let n = diagnoses.len();
    let actual = || match result.status {
        Status::Fired => format!("it fires {n} times"),
        Status::Quiet => "it is quiet".to_owned(),
        Status::NotApplicable => format!("it is skipped: {}", result.reason),
        Status::Unknown => format!("it is unknown: {}", result.reason),
    };
    let wanted = match expect.outcome {
        Outcome::Fires(Some(k)) => format!("fires {k} times"),
        Outcome::Fires(None) => "fires".to_owned(),
        Outcome::Quiet => "quiet".to_owned(),
        Outcome::Unknown => "unknown".to_owned(),
        Outcome::Skipped => "skipped".to_owned(),
    };
    if !as_expected(expect.outcome, result.status, n) {
        return Err(format!("expected: {wanted}\n  actual: {}", actual()));
    }
    if expect.checks.is_empty() {
        return Ok(());
    }
    let mut misses = Vec::new();
    for d in diagnoses {
        let failed: Vec<String> = expect.checks.iter().filter_map(|c| check(d, c).err()).collect();
        if failed.is_empty() {
            return Ok(());
        }
        misses.push(failed.join(", "));
    }
    Err(format!(
        "expected: a diagnosis with these values\n  actual: {}",
        misses.join("; or ")
    ))
}

/// Whether a rule came to what is expected, as far as its status and its number of diagnoses tell.
fn as_expected(expected: Outcome, status: Status, n: usize) -> bool {
    match expected {
        Outcome::Fires(Some(k)) => u32::try_from(n) == Ok(k),
        Outcome::Fires(None) => n > 0,
        Outcome::Quiet => status == Status::Quiet,
        Outcome::Unknown => status == Status::Unknown,
        Outcome::Skipped => status == Status::NotApplicable,
    }
}

/// Whether some of these severities is what an expectation asks for, as far as it asks for one.
fn severity_as_expected(expect: &Expect, severities: &[Severity]) -> bool {
    let asked = || expect.checks.iter().filter(|(field, ..)| field == "severity");
    let fits = |s: &Severity| {
        asked().all(|(_, op, literal)| match literal {
            Literal::Word(word) | Literal::Text(word) => (word == s.name()) == (*op == CmpOp::Eq),
            Literal::Num(..) => false,
        })
    };
    asked().next().is_none() || severities.iter().any(fits)
}

fn check(d: &Diagnosis, (field, op, literal): &(String, CmpOp, Literal)) -> Result<(), String> {
    let number = |have: Num| match literal {
        Literal::Num(want, dim) => {
            if select::compare(have, *op, *want) {
                Ok(())
            } else {
                Err(format!("{field} is {}", show(have, *dim, crate::unit::Style::Auto)))
            }
        }
        _ => Err(format!("{field} is a number")),
    };
    let text = |have: &str| {
        let want = match literal {
            Literal::Text(t) | Literal::Word(t) => t.as_str(),
            Literal::Num(..) => return Err(format!("{field} is a text")),
        };
        let same = if field == "op" {
            want.eq_ignore_ascii_case(have)
        } else {
            want == have
        };
        match (op, same) {
            (CmpOp::Eq, true) | (CmpOp::Ne, false) => Ok(()),
            (CmpOp::Eq | CmpOp::Ne, _) => Err(format!("{field} is \"{have}\"")),
            _ => Err(format!("{field} can only be compared with = and !=")),
        }
    };
    let id = |v: Option<i64>| {
        v.map_or_else(
            || Err(format!("{field} is not part of the diagnosis")),
            |v| number(Num::int(v.into())),
        )
    };
    match field.as_str() {
        "pid" => id(d.key.pid),
        "tid" => id(d.key.tid),
        "op" => text(d.key.op.as_deref().unwrap_or("")),
        "process" => text(d.key.process.as_deref().unwrap_or("")),
        "node" => text(&d.key.node),
        "severity" => text(d.severity.name()),
        "link" => text(d.link.map_or("", |l| l.name())),
        "message" => text(&d.message),
        "incidents" => number(Num::int(d.incidents as i128)),
        "impact" => number(Num::int(d.impact_ns.into())),
        "confidence" => number(Num::ratio(d.confidence.into(), 1000).unwrap_or(Num::ZERO)),
        other => match (d.key.more.iter().find(|(name, _)| name == other), Key::by_name(other)) {
            (Some((_, have)), _) => have
                .parse()
                .map_or_else(|_| text(have), |n: i64| number(Num::int(n.into()))),
            (None, Some(_)) => Err(format!("{field} is not part of the diagnosis")),
            (None, None) => Err(format!(
                "there is no `{other}` to expect; known are severity, link, message, incidents, impact, confidence and the keys"
            )),
        },
    }
}

/// Why a rule came to what it did: for the nearest keys, what each condition came to.
fn why(program: &Program, rule: &Rule, trace: &Trace) -> String {
    let found = why_not(program, rule, trace, Options::default());
    let mut out = String::new();
    if found.is_empty() {
        out.push_str("  no process or node has any of these events\n");
    }
    for w in found.into_iter().take(8) {
        let _ = writeln!(out, "  {}:", w.key.words(true));
        for c in &w.conditions {
            let says = if c.says.is_empty() {
                String::new()
            } else {
                format!(": {}", c.says)
            };
            let _ = writeln!(
                out,
                "    {:7} {}{}{says}",
                c.answer.word(),
                "  ".repeat(c.depth),
                c.text
            );
        }
    }
    out
}
