//! `ingero rules test`.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use serde::Serialize;

use super::super::args::assignment;
use super::super::console::{Console, Kind};
use super::super::engine::TestResult;
use super::super::failure::Failure;
use super::super::{Outcome, engine, sources};
use super::{compile, find, named, served};
use crate::eval::harness::Only;

/// Which tests to run, and how to say what came of them.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(in crate::cli) struct TestArgs {
    /// Rules: files, folders or names of built-in packs; without any, all packs
    #[arg(value_name = "FILE|NAME|DIR", value_hint = ValueHint::AnyPath)]
    rules: Vec<PathBuf>,
    /// Only tests of this rule
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
    /// Only tests whose text contains these words
    #[arg(long, value_name = "WORDS")]
    name: Option<String>,
    /// Set a parameter of the rules
    #[arg(long, value_name = "NAME=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    /// Text for people, one JSON document, or JUnit XML for CI
    #[arg(long, value_enum, default_value_t = TestFormat::Text)]
    format: TestFormat,
}

const HELP: &str = "\
A test that says `trace \"x.db\"` is run on that stored trace, found from the folder of its rule file.

Examples:
  ingero rules test mine.rules
  ingero rules test --rule MY_RULE --name \"just below\" mine.rules
  ingero rules test --format junit rules/ > rules.xml";

/// How to say what came of the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TestFormat {
    Text,
    Json,
    Junit,
}

pub(super) fn run(args: &TestArgs, console: &mut Console) -> Result<Outcome, Failure> {
    let rules = compile(&args.rules, &args.set, console)?;
    let rule = match &args.rule {
        Some(name) => Some(find(&rules.program, name)?.name.clone()),
        None => None,
    };
    let files = sources::load(&args.rules)?;
    let only = Only {
        rule: rule.as_deref(),
        name: args.name.as_deref(),
    };
    let results = engine::run_tests(&files, &args.set, &rules.program, only);
    if results.is_empty() && args.name.is_some() {
        return Err(Failure::NoSuchTest {
            words: args.name.clone().unwrap_or_default(),
        });
    }
    console.out(&match args.format {
        TestFormat::Text => text(&results),
        TestFormat::Json => json(&results),
        TestFormat::Junit => junit(&results),
    })?;
    let untested: Vec<&str> = rules
        .program
        .rules
        .iter()
        .filter(|r| rule.as_deref().is_none_or(|name| named(r, name)))
        .filter(|r| !rules.program.tests.iter().any(|t| t.rule == r.name))
        .map(|r| r.name.as_str())
        .collect();
    if !untested.is_empty() {
        console.say(Kind::Warning, &format!("without a test: {}", untested.join(", ")));
    }
    Ok(match served(&rules) {
        Outcome::Fine if failed(&results) > 0 => Outcome::Found,
        other => other,
    })
}

fn failed(results: &[TestResult]) -> usize {
    results.iter().filter(|r| !r.failure.is_empty()).count()
}

fn text(results: &[TestResult]) -> String {
    let mut out = String::new();
    for r in results {
        if r.failure.is_empty() {
            let _ = writeln!(out, "ok      {}: {}", r.rule, r.name);
        } else {
            let _ = writeln!(out, "FAILED  {}: {} ({}:{})", r.rule, r.name, r.file, r.line);
            for line in r.failure.lines() {
                let _ = writeln!(out, "        {line}");
            }
        }
    }
    let failed = failed(results);
    let _ = writeln!(out, "{} passed, {failed} failed", results.len() - failed);
    out
}

/// Version of the JSON format. A field may be added without a new one; none is removed or redefined.
const SCHEMA_VERSION: u32 = 1;

#[derive(Serialize)]
struct JsonTests<'a> {
    schema_version: u32,
    passed: usize,
    failed: usize,
    tests: Vec<JsonTest<'a>>,
}

#[derive(Serialize)]
struct JsonTest<'a> {
    rule: &'a str,
    name: &'a str,
    file: &'a str,
    line: usize,
    passed: bool,
    /// Expected, actual and why not; null where it passed.
    failure: Option<&'a str>,
}

fn json(results: &[TestResult]) -> String {
    let failed = failed(results);
    let tests = results.iter().map(|r| JsonTest {
        rule: &r.rule,
        name: &r.name,
        file: &r.file,
        line: r.line,
        passed: r.failure.is_empty(),
        failure: Some(r.failure.as_str()).filter(|f| !f.is_empty()),
    });
    crate::lang::render::pretty(&JsonTests {
        schema_version: SCHEMA_VERSION,
        passed: results.len() - failed,
        failed,
        tests: tests.collect(),
    })
}

/// One suite a file. No times: the same tests give the same bytes.
fn junit(results: &[TestResult]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        "<testsuites name=\"ingero rules test\" tests=\"{}\" failures=\"{}\">",
        results.len(),
        failed(results)
    );
    for suite in results.chunk_by(|a, b| a.file == b.file) {
        let file = suite.first().map_or("", |r| r.file.as_str());
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\">",
            xml(file),
            suite.len(),
            failed(suite)
        );
        for r in suite {
            let case = format!(
                "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" line=\"{}\"",
                xml(&r.rule),
                xml(&r.name),
                xml(file),
                r.line
            );
            if r.failure.is_empty() {
                let _ = writeln!(out, "{case}/>");
            } else {
                let first = r.failure.lines().next().unwrap_or("");
                let (first, all) = (xml(first), xml(&r.failure));
                let _ = writeln!(
                    out,
                    "{case}>\n      <failure message=\"{first}\">{all}</failure>\n    </testcase>"
                );
            }
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

/// A text inside an element or attribute; what XML cannot hold becomes a question mark.
fn xml(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_holds_any_text() {
        assert_eq!(
            xml("a < \"b\" & c\u{1b}[1m > d"),
            "a &lt; &quot;b&quot; &amp; c?[1m &gt; d"
        );
    }
}
