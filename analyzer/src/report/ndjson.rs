//! The report as one JSON object a line, for log pipelines. The objects are those of
//! [`super::json`], each with a `type` beside its fields.

use serde::Serialize;

use super::Report;
use super::json::{
    JsonDiagnosis, JsonNearMiss, JsonProblem, JsonRule, JsonStoredVerdict, JsonTrace, SCHEMA_VERSION, Tool, Window,
};

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    Run {
        schema_version: u32,
        tool: Tool,
        window: Option<Window>,
    },
    Problem(JsonProblem),
    Trace(JsonTrace),
    Rule(JsonRule),
    Diagnosis(Box<JsonDiagnosis>),
    NearMiss(JsonNearMiss),
    StoredVerdict(JsonStoredVerdict),
}

/// Renders the report: first `run`, then problems, traces, rules, diagnoses, near misses and
/// stored verdicts.
pub fn render(report: &Report<'_>) -> String {
    let a = report.analysis;
    let head = Line::Run {
        schema_version: SCHEMA_VERSION,
        tool: Tool::new(report),
        window: report.window.map(Window::from),
    };
    let lines = std::iter::once(head)
        .chain(report.problems.iter().map(|p| Line::Problem(p.into())))
        .chain(a.traces.iter().map(|t| Line::Trace(t.into())))
        .chain(a.rules.iter().map(|r| Line::Rule(r.into())))
        .chain(
            a.diagnoses
                .iter()
                .map(|d| Line::Diagnosis(Box::new(JsonDiagnosis::new(d, a)))),
        )
        .chain(a.near_misses.iter().map(|m| Line::NearMiss(m.into())))
        .chain(a.stored.iter().map(|v| Line::StoredVerdict(v.into())));
    let mut out = String::new();
    for line in lines {
        out.push_str(&serde_json::to_string(&line).expect("plain data: string keys, no failing Serialize"));
        out.push('\n');
    }
    out
}
