//! What was found, and the proof of it.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Page, State, Tool, answer, seconds};
use crate::diagnosis::{Diagnosis, Severity};
use crate::report::json as report_json;
use crate::unit::show_utc;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Overview {}

impl Tool for Overview {
    const NAME: &'static str = "overview";
    const TITLE: &'static str = "Overview";
    const ABOUT: &'static str = "What was recorded and what was found: traces, their coverage, counts of diagnoses and \
                                 of rules by outcome. Start here.";

    fn call(&self, state: &State, _: Page) -> Result<Value, String> {
        let analysis = &state.analysis;
        let found = |level| analysis.diagnoses.iter().filter(|d| d.severity == level).count();
        let severities: Map<String, Value> = Severity::ALL
            .iter()
            .map(|(level, name)| ((*name).to_owned(), json!(found(*level))))
            .collect();
        let mut outcomes: Map<String, Value> = Map::new();
        for name in ["fired", "quiet", "not_applicable", "unknown"] {
            let n = analysis.rules.iter().filter(|r| r.status.name() == name).count();
            outcomes.insert(name.to_owned(), json!(n));
        }
        let data = json!({
            "start": state.observed().map(|o| show_utc(o.start)),
            "length_s": state.observed().map(|o| seconds(o.len())),
            "traces": report_json::traces(analysis),
            "diagnoses_by_severity": severities,
            "rules_by_outcome": outcomes,
        });
        Ok(answer(data, None))
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Diagnoses {
    /// Only those at least this severe: info, low, medium, high, critical.
    severity: Option<String>,
}

impl Tool for Diagnoses {
    const NAME: &'static str = "diagnoses";
    const TITLE: &'static str = "Diagnoses";
    const ABOUT: &'static str = "The ranked diagnoses in short, worst first. Ask `diagnosis` for the proof of one.";
    const PAGED: bool = true;

    fn call(&self, state: &State, page: Page) -> Result<Value, String> {
        let least = match &self.severity {
            None => Severity::Info,
            Some(name) => Severity::by_name(name).ok_or_else(|| {
                let names = Severity::ALL.map(|s| s.1).join(", ");
                format!("there is no severity `{name}`: it is one of {names}")
            })?,
        };
        let all = state.analysis.diagnoses.iter();
        let found: Vec<&Diagnosis> = all.filter(|d| d.severity >= least).collect();
        Ok(page.of(&found, |d| short(state, d), Map::new()))
    }
}

fn short(state: &State, d: &Diagnosis) -> Value {
    let by = d.explained_by.and_then(|i| state.analysis.diagnoses.get(i));
    json!({
        "rank": d.rank,
        "rule": d.rule,
        "severity": d.severity.name(),
        "confidence": f64::from(d.confidence) / 1000.0,
        "message": d.message,
        "node": d.key.node,
        "process": d.key.process,
        "pid": d.key.pid,
        "start_ns": d.when.start,
        "start_offset_s": state.offset(d.when.start, &d.key.node),
        "length_ns": d.when.len(),
        "lost_ns": d.impact_ns,
        "explained_by": by.map(|by| by.rank),
    })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OneDiagnosis {
    /// Its rank, as `diagnoses` gives it.
    rank: usize,
}

impl Tool for OneDiagnosis {
    const NAME: &'static str = "diagnosis";
    const TITLE: &'static str = "One diagnosis";
    const ABOUT: &'static str = "One diagnosis with all its evidence: values against thresholds, events, advice, what \
                                 would refute it.";

    fn call(&self, state: &State, _: Page) -> Result<Value, String> {
        let all = &state.analysis.diagnoses;
        let d = all
            .iter()
            .find(|d| d.rank == self.rank)
            .ok_or_else(|| match all.len() {
                0 => "there are no diagnoses; `rules_list` says why".to_owned(),
                n => format!("there is no diagnosis of rank {}: they are 1 to {n}", self.rank),
            })?;
        Ok(answer(json!(report_json::diagnosis(d, &state.analysis)), None))
    }
}
