//! The report as JUnit XML, which every CI shows: a test case for each rule.

use std::fmt::Write as _;

use super::paint::clean;
use super::{Report, words};
use crate::diagnosis::{Diagnosis, RuleResult, Severity, Status};

/// Renders the report. A rule that fired with `fail_on` or worse is a failure, one that could not be
/// judged is skipped, and what could not be served is an error.
pub fn render(report: &Report<'_>, fail_on: Severity) -> String {
    let rules = &report.analysis.rules;
    let found = |r: &RuleResult| -> Vec<&Diagnosis> {
        let all = report.analysis.diagnoses.iter();
        all.filter(|d| d.rule == r.name).collect()
    };
    let fails = |r: &RuleResult| found(r).iter().any(|d| d.severity >= fail_on);
    let count = |n: usize| n.to_string();
    let unjudged = |r: &RuleResult| matches!(r.status, Status::NotApplicable | Status::Unknown);
    let counts = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\"",
        count(rules.len() + report.problems.len()),
        count(rules.iter().filter(|r| fails(r)).count()),
        count(report.problems.len()),
    );
    let skipped = count(rules.iter().filter(|r| unjudged(r)).count());
    let traces: Vec<&str> = report.analysis.traces.iter().map(|t| t.path.as_str()).collect();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(out, "<testsuites name=\"ingero\" {counts}>");
    let suite = escape(&traces.join(" "));
    let _ = writeln!(out, "  <testsuite name=\"{suite}\" {counts} skipped=\"{skipped}\">");
    for p in report.problems {
        let (kind, path, text) = (p.kind.name(), escape(&p.path), escape(&p.message));
        let _ = writeln!(out, "    <testcase classname=\"{kind}\" name=\"{path}\">");
        let _ = writeln!(out, "      <error message=\"{text}\"/>\n    </testcase>");
    }
    for r in rules {
        let (file, name) = (escape(&r.file), escape(&r.name));
        let _ = write!(out, "    <testcase classname=\"{file}\" name=\"{name}\"");
        let found = found(r);
        if fails(r) {
            let worst = found.iter().map(|d| d.severity).max().unwrap_or_default();
            let message = found.first().map_or("", |d| d.message.as_str());
            let body: Vec<String> = found.iter().map(|d| told(d)).collect();
            let _ = writeln!(
                out,
                ">\n      <failure type=\"{}\" message=\"{}\">{}</failure>\n    </testcase>",
                worst.name(),
                escape(message),
                escape(&body.join("\n\n"))
            );
        } else if unjudged(r) {
            let _ = writeln!(
                out,
                ">\n      <skipped>{}</skipped>\n    </testcase>",
                escape(&r.reason)
            );
        } else if found.is_empty() {
            out.push_str("/>\n");
        } else {
            let body: Vec<String> = found.iter().map(|d| told(d)).collect();
            let body = escape(&body.join("\n\n"));
            let _ = writeln!(out, ">\n      <system-out>{body}</system-out>\n    </testcase>");
        }
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

fn told(d: &Diagnosis) -> String {
    let mut out = format!(
        "{} {}, {} sure\n{}",
        words::level(d.severity),
        words::place(&d.key, true),
        words::percent(d.confidence),
        d.message
    );
    for e in &d.evidence {
        let _ = write!(out, "\nmeasured {}", words::evidence(e));
    }
    for fix in &d.fixes {
        let _ = write!(out, "\nfix: {fix}");
    }
    out
}

/// Text in which nothing is XML; what XML cannot hold at all is replaced.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' => out.push_str("&#10;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
