//! The report as SARIF 2.1.0, for code scanning. Findings are results; what could not be judged or
//! served is a notification of the run, so that nobody takes silence for health.

use serde_json::{Value, json};

use super::{Report, words};
use crate::diagnosis::{Diagnosis, Severity, Status};

/// Renders the report, indented, ending with a line feed.
pub fn render(report: &Report<'_>) -> String {
    let a = report.analysis;
    let rules: Vec<Value> = a
        .rules
        .iter()
        .map(|r| {
            let title = if r.title.is_empty() { &r.name } else { &r.title };
            json!({
                "id": r.id,
                "name": r.name,
                "shortDescription": { "text": title },
                "properties": { "status": r.status.name(), "file": r.file },
            })
        })
        .collect();
    let index = |d: &Diagnosis| a.rules.iter().position(|r| r.name == d.rule);
    let results: Vec<Value> = a.diagnoses.iter().map(|d| result(report, d, index(d))).collect();
    let served = report.problems.iter().map(|p| {
        json!({
            "level": "error",
            "message": { "text": format!("{} {}: {}", p.kind.name(), p.path, p.message) },
        })
    });
    let unjudged = a.rules.iter().zip(0usize..).filter_map(|(r, i)| {
        let what = match r.status {
            Status::Unknown => "the trace cannot tell",
            Status::NotApplicable => "the trace lacks what it needs",
            Status::Fired | Status::Quiet => return None,
        };
        Some(json!({
            "level": "note",
            "message": { "text": format!("{}: {what}: {}", r.name, r.reason) },
            "associatedRule": { "id": r.id, "index": i },
        }))
    });
    let notifications: Vec<Value> = served.chain(unjudged).collect();
    let artifacts: Vec<Value> = a
        .traces
        .iter()
        .map(|t| json!({ "location": { "uri": uri(&t.path) }, "description": { "text": words::coverage(t, report.window) } }))
        .collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "ingero", "version": report.version, "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "artifacts": artifacts,
            "invocations": [{
                "executionSuccessful": report.problems.is_empty(),
                "toolExecutionNotifications": notifications,
            }],
            "results": results,
        }],
    });
    let mut text = super::json::pretty(&log);
    text.push('\n');
    text
}

fn result(report: &Report<'_>, d: &Diagnosis, rule: Option<usize>) -> Value {
    let mut text = format!("{}: {}", words::place(&d.key, true), d.message);
    for fix in &d.fixes {
        text.push_str("\nFix: ");
        text.push_str(fix);
    }
    let rank = |i: &usize| report.analysis.diagnoses.get(*i).map(|d| d.rank);
    let mut out = json!({
        "ruleId": d.rule_id,
        "level": level(d.severity),
        "message": { "text": text },
        "locations": locations(report, d),
        // The same problem of the same process name in the next recording is the same alert.
        "partialFingerprints": { "ingero/v1": fingerprint(d) },
        "properties": {
            "rank": d.rank,
            "severity": d.severity.name(),
            "confidence": f64::from(d.confidence) / 1000.0,
            "impact_ns": d.impact_ns,
            "start_ns": d.when.start,
            "end_ns": d.when.end,
            "explained_by": d.explained_by.as_ref().and_then(rank),
        },
    });
    if let (Some(i), Some(fields)) = (rule, out.as_object_mut()) {
        fields.insert("ruleIndex".to_owned(), json!(i));
    }
    out
}

fn locations(report: &Report<'_>, d: &Diagnosis) -> Vec<Value> {
    let traces = &report.analysis.traces;
    let holds = |t: &&crate::diagnosis::TraceSummary| traces.len() == 1 || t.nodes.contains(&d.key.node);
    let place = words::place(&d.key, true);
    traces
        .iter()
        .filter(holds)
        .map(|t| {
            json!({
                "physicalLocation": { "artifactLocation": { "uri": uri(&t.path) } },
                "logicalLocations": [{ "fullyQualifiedName": place }],
            })
        })
        .collect()
}

fn fingerprint(d: &Diagnosis) -> String {
    let process = d.key.process.as_deref().unwrap_or("");
    let op = d.key.op.as_deref().unwrap_or("");
    let more: Vec<String> = d
        .key
        .more
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    [d.rule_id.as_str(), process, op, &more.join(",")].join("/")
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "note",
    }
}

/// A path as a URI reference: what would mean something else in one is escaped.
fn uri(path: &str) -> String {
    let mut out = String::new();
    for b in path.bytes() {
        match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(b)),
            b => {
                use std::fmt::Write as _;
                let _ = write!(out, "%{b:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_uri_references() {
        assert_eq!(uri("traces/a b#1.db"), "traces/a%20b%231.db");
    }
}
