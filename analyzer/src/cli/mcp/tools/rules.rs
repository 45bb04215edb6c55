//! The rules: those that were judged, and drafts of the client's.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{PAGE, PLAIN, Page, State, Tool, told};
use crate::cli::engine;
use crate::cli::rules::{find, program_of};
use crate::diagnosis::{Diagnosis, RuleResult};
use crate::eval;
use crate::eval::why::why_not;
use crate::report::json as report_json;
use crate::source::SourceFile;

/// Bytes of a draft of rules.
const DRAFT: usize = 64 << 10;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct List {}

impl Tool for List {
    const NAME: &'static str = "rules_list";
    const TITLE: &'static str = "Rules";
    const ABOUT: &'static str = "The rules that were judged: what each is about and what it came to (fired, quiet, \
                                 not_applicable, unknown) with the reason. `why_not` says more of one.";
    const PAGED: bool = true;

    fn call(&self, state: &State, page: Page) -> Result<Value, String> {
        let one = |r: &RuleResult| {
            json!({
                "rule": r.name, "id": r.id, "title": r.title, "outcome": r.status.name(), "reason": r.reason,
            })
        };
        Ok(page.of(&state.analysis.rules, one, Map::new()))
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Explain {
    /// Its name or id.
    rule: String,
}

impl Tool for Explain {
    const NAME: &'static str = "rule_explain";
    const TITLE: &'static str = "Explain a rule";
    const ABOUT: &'static str = "A rule in words: what it means, what it needs, every default that applies.";

    fn call(&self, state: &State, _: Page) -> Result<Value, String> {
        let rule = find(&state.program, &self.rule).map_err(|f| told(&f))?;
        // Our own text, and longer than what is cut out of a trace.
        let text = engine::explain(&state.program, rule);
        Ok(json!({ "data": { "rule": rule.name, "text": text }, "next_cursor": null }))
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WhyNot {
    /// Its name or id.
    rule: String,
    /// Text of rules, up to 64 KiB, to find the rule in; unless given, those that were judged.
    text: Option<String>,
    /// Only for this process.
    pid: Option<i64>,
}

impl Tool for WhyNot {
    const NAME: &'static str = "why_not";
    const TITLE: &'static str = "Why a rule does not fire";
    const ABOUT: &'static str = "What every condition of a rule came to, with its value and what it needs, for each \
                                 process or other key it was asked of; nearest to firing first.";
    const PAGED: bool = true;

    fn call(&self, state: &State, page: Page) -> Result<Value, String> {
        let draft = self.text.as_deref().map(usable).transpose()?;
        let all = draft.as_ref().map_or(&state.program, |d| &d.program);
        let rule = find(all, &self.rule).map_err(|f| told(&f))?;
        let program = program_of(all, rule);
        let analysis = engine::analyze(&program, &state.trace, self.pid, 0);
        let mut beside = Map::new();
        for r in &analysis.rules {
            beside.insert("rule".to_owned(), json!(r.name));
            beside.insert("outcome".to_owned(), json!(r.status.name()));
            beside.insert("reason".to_owned(), json!(r.reason));
        }
        let found = why_not(&program, rule, &state.trace, eval::Options { pid: self.pid });
        let one = |w: &eval::why::WhyNot| {
            let conditions = w
                .conditions
                .iter()
                .map(|c| json!({ "condition": c.text, "answer": c.answer.word(), "says": c.says, "depth": c.depth }));
            json!({
                "key": report_json::key(&w.key),
                "answer": w.answer.word(),
                "conditions_that_fail": w.misses(),
                "conditions": conditions.collect::<Vec<_>>(),
            })
        };
        Ok(page.of(&found, one, beside))
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Check {
    /// Text of one or more rules, up to 64 KiB.
    text: String,
}

impl Tool for Check {
    const NAME: &'static str = "rule_check";
    const TITLE: &'static str = "Check a draft rule";
    const ABOUT: &'static str = "Compiles the text of rules without running it and says everything that is wrong, with \
                                 place and suggestion.";

    fn call(&self, _: &State, _: Page) -> Result<Value, String> {
        let rules = draft(&self.text)?;
        let errors = rules.problems.iter().filter(|p| p.is_error).count();
        let shown = rules.problems.iter().fold(String::new(), |mut out, p| {
            let _ = writeln!(out, "{}\n", p.text.trim_end());
            out
        });
        let names: Vec<&str> = rules.program.rules.iter().map(|r| r.name.as_str()).collect();
        let data = json!({
            "usable": errors == 0 && !names.is_empty(), "errors": errors, "rules": names, "problems": shown.trim_end(),
        });
        // The client's own words and ours; nothing out of a trace.
        Ok(json!({ "data": data, "next_cursor": null }))
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Run {
    /// Text of one or more rules, up to 64 KiB.
    text: String,
}

impl Tool for Run {
    const NAME: &'static str = "rule_run";
    const TITLE: &'static str = "Run a draft rule";
    const ABOUT: &'static str = "Compiles the text of rules and judges the trace by them. Items are the diagnoses with \
                                 all evidence, worst first.";
    const PAGED: bool = true;

    fn call(&self, state: &State, page: Page) -> Result<Value, String> {
        let rules = usable(&self.text)?;
        let analysis = engine::analyze(&rules.program, &state.trace, None, 0);
        let outcomes: Vec<Value> = analysis
            .rules
            .iter()
            .map(|r| json!({ "rule": r.name, "outcome": r.status.name(), "reason": r.reason }))
            .collect();
        let near: Vec<Value> = analysis
            .near_misses
            .iter()
            .take(PAGE)
            .map(|m| json!({ "rule": m.rule, "nearness": f64::from(m.nearness) / 1000.0, "reason": m.reason }))
            .collect();
        let beside = [("rules", outcomes), ("near_misses", near)];
        let beside = beside.map(|(name, all)| (name.to_owned(), Value::Array(all)));
        let one = |d: &Diagnosis| json!(report_json::diagnosis(d, &analysis));
        Ok(page.of(&analysis.diagnoses, one, beside.into_iter().collect()))
    }
}

fn draft(text: &str) -> Result<engine::Rules, String> {
    if text.len() > DRAFT {
        return Err(format!("the text is {} bytes long; {DRAFT} are the most", text.len()));
    }
    let files = [SourceFile::new("draft.rules", text.to_owned())];
    Ok(engine::compile(&files, &[], PLAIN))
}

/// A draft that can be judged by.
fn usable(text: &str) -> Result<engine::Rules, String> {
    let rules = draft(text)?;
    if rules.problems.iter().any(|p| p.is_error) || rules.program.rules.is_empty() {
        return Err("the rules cannot be used; `rule_check` says why".to_owned());
    }
    Ok(rules)
}
