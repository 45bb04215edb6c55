//! An [`Analysis`] as rows of the tables `diagnoses`, `evidence`, `witnesses` and `rules`.

use super::words::measured;
use crate::diagnosis::{Analysis, Diagnosis, Evidence};
use crate::trace::query::Value;

/// Rows by table, values in the order of its columns.
pub type Tables = Vec<(&'static str, Vec<Vec<Value>>)>;

/// Everything one run found, as rows.
pub fn tables(analysis: &Analysis) -> Tables {
    let (mut evidence, mut witnesses) = (Vec::new(), Vec::new());
    for d in &analysis.diagnoses {
        for (part, e) in (1_i64..).zip(&d.evidence) {
            evidence.push(part_of(d, part, e));
            witnesses.extend(e.witnesses.iter().map(|w| {
                vec![
                    count(d.rank),
                    Value::Integer(part),
                    text(w.layer),
                    text(&w.op),
                    maybe(w.tid),
                    text(&w.thread),
                    Value::Integer(w.when.start),
                    Value::Integer(w.when.end),
                    Value::Integer(w.when.len()),
                    text(&w.detail),
                    maybe(w.row.and_then(|r| i64::try_from(r).ok())),
                ]
            }));
        }
    }
    let rules = analysis.rules.iter().map(|r| {
        let words = [&r.id, &r.name, &r.title, &r.file].map(|w| text(w));
        words
            .into_iter()
            .chain([text(r.status.name()), text(&r.reason)])
            .collect()
    });
    vec![
        (
            "diagnoses",
            analysis.diagnoses.iter().map(|d| diagnosis(d, analysis)).collect(),
        ),
        ("evidence", evidence),
        ("witnesses", witnesses),
        ("rules", rules.collect()),
    ]
}

fn diagnosis(d: &Diagnosis, all: &Analysis) -> Vec<Value> {
    let more: Vec<String> = d
        .key
        .more
        .iter()
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    let explained_by = d
        .explained_by
        .and_then(|i| all.diagnoses.get(i))
        .map(|by| count(by.rank));
    vec![
        count(d.rank),
        text(&d.rule),
        text(&d.rule_id),
        text(&d.title),
        text(d.severity.name()),
        Value::Real(f64::from(d.score) / 1000.0),
        Value::Real(f64::from(d.confidence) / 1000.0),
        Value::Text(d.key.node.clone()),
        maybe(d.key.pid),
        d.key.process.as_deref().map_or(Value::Null, text),
        maybe(d.key.tid),
        d.key.op.as_deref().map_or(Value::Null, text),
        text(&more.join(", ")),
        d.link.map_or(Value::Null, |l| text(l.name())),
        Value::Integer(d.when.start),
        Value::Integer(d.when.end),
        Value::Integer(d.impact_ns),
        count(d.incidents),
        text(&d.message),
        text(&d.fixes.join("\n")),
        text(&d.refuted_by),
        explained_by.unwrap_or(Value::Null),
    ]
}

fn part_of(d: &Diagnosis, part: i64, e: &Evidence) -> Vec<Value> {
    vec![
        count(d.rank),
        Value::Integer(part),
        text(e.layer),
        text(&e.text),
        text(&e.metric),
        text(&measured(e.value, e.dim, e.style)),
        text(&e.relation),
        e.threshold.map_or(Value::Null, |t| text(&measured(t, e.dim, e.style))),
        maybe(i64::try_from(e.samples).ok()),
        maybe(i64::try_from(e.n_witnesses).ok()),
    ]
}

fn text(t: &str) -> Value {
    if t.is_empty() {
        Value::Null
    } else {
        Value::Text(t.to_owned())
    }
}

fn count(n: usize) -> Value {
    i64::try_from(n).map_or(Value::Null, Value::Integer)
}

fn maybe(n: Option<i64>) -> Value {
    n.map_or(Value::Null, Value::Integer)
}
