//! Runs the tests that stand in rule files: each is a small trace in memory, judged by its rule.

use std::fmt::Write as _;

use rayon::prelude::*;

use super::{Engine, Options, Prepared, analyze, condition_metrics, fold, select, selectors};
use crate::diagnosis::{Diagnosis, RuleResult, Status};
use crate::fixture;
use crate::lang;
use crate::lang::hir::{CmpOp, Expect, Literal, MetricId, Outcome, Program, Rule, Test};
use crate::source::{SourceFile, SourceId, Span};
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

/// Runs every test of the program, or those of one rule, in the order of the files.
///
/// `files` and `sets` are what the program was compiled from: a test with parameters of its own
/// compiles its rules again.
pub fn run_tests(
    files: &[SourceFile],
    sets: &[(String, String)],
    program: &Program,
    rule: Option<&str>,
) -> Vec<TestOutcome> {
    program
        .tests
        .par_iter()
        .filter(|t| rule.is_none_or(|r| r == t.rule))
        .map(|test| TestOutcome {
            rule: test.rule.clone(),
            name: test.name.clone(),
            file: test.file,
            span: test.span,
            failure: run(files, sets, program, test).err(),
        })
        .collect()
}

fn run(files: &[SourceFile], sets: &[(String, String)], program: &Program, test: &Test) -> Result<(), String> {
    let program = if test.params.is_empty() {
        only(program, &test.rule)
    } else {
        let mut sets = sets.to_vec();
        sets.extend(test.params.iter().cloned());
        only(&lang::compile(files, &sets).program, &test.rule)
    };
    let Some(rule) = program.rules.first() else {
        return Err(format!("the rule {} has errors, so its test cannot run", test.rule));
    };
    let trace = trace_of(test)?;
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
    let (wanted, ok) = match expect.outcome {
        Outcome::Fires(Some(k)) => (format!("fires {k} times"), u32::try_from(n) == Ok(k)),
        Outcome::Fires(None) => ("fires".to_owned(), n > 0),
        Outcome::Quiet => ("quiet".to_owned(), result.status == Status::Quiet),
        Outcome::Unknown => ("unknown".to_owned(), result.status == Status::Unknown),
        Outcome::Skipped => ("skipped".to_owned(), result.status == Status::NotApplicable),
    };
    if !ok {
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
        other => Err(format!(
            "there is no `{other}` to expect; known are pid, tid, op, process, node, severity, link, message, incidents, impact, confidence"
        )),
    }
}

/// For each key of a rule, what each conjunct came to.
pub fn why(program: &Program, rule: &Rule, trace: &Trace) -> String {
    let sels = selectors(program);
    let prepared = Prepared::new(trace, &sels);
    let mut engine = Engine::new(program, trace, &prepared, None);
    let ids: Vec<MetricId> = condition_metrics(program);
    engine.compute(&ids);
    let mut out = String::new();
    let keys = engine.rule_keys(rule);
    if keys.is_empty() {
        out.push_str("  no process or node has any of these events\n");
    }
    for key in keys.into_iter().take(8) {
        let values = super::key::values(trace, key);
        let mut whom = format!("  node {:?}", values.node);
        if let Some(p) = values.pid {
            let _ = write!(whom, " pid {p}");
        }
        if let Some(o) = &values.op {
            let _ = write!(whom, " {o}");
        }
        let _ = writeln!(out, "{whom}:");
        for c in fold::conjuncts(&rule.cond) {
            let j = engine.judge(&rule.key, c, key);
            let reason = j.why.map(|w| format!(" ({})", w.text)).unwrap_or_default();
            let _ = writeln!(
                out,
                "    {:?}{reason}: {}",
                j.truth,
                engine.measured_words(rule, c, key)
            );
        }
    }
    out
}

impl Engine<'_> {
    /// A conjunct with the values of its two sides.
    fn measured_words(&self, rule: &Rule, c: &crate::lang::hir::Cond, key: super::key::KeyVal) -> String {
        use crate::lang::hir::Cond;
        let Cond::Compare {
            left, right, op, dim, ..
        } = c
        else {
            return self.words(rule, c);
        };
        let side = |v| {
            let v = self.value(v, key, super::metric::Mode::All);
            match v.measured() {
                _ if v.empty => "nothing".to_owned(),
                crate::diagnosis::Measured::Exact(n) => show(n, *dim, crate::unit::Style::Auto),
                crate::diagnosis::Measured::Between(a, b) => {
                    let end =
                        |n: Option<Num>| n.map_or_else(|| "?".into(), |n| show(n, *dim, crate::unit::Style::Auto));
                    format!("[{}, {}]", end(a), end(b))
                }
                crate::diagnosis::Measured::Unknown => "unknown".to_owned(),
            }
        };
        format!("{}: {} {} {}", self.words(rule, c), side(left), op.text(), side(right))
    }
}
