//! `ingero rules needs`.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::super::Outcome;
use super::super::console::Console;
use super::super::failure::Failure;
use super::{compile, find, served};
use crate::plan::{self, RuleNeeds};
use crate::report::wrap;
use crate::trace::catalogue::Source;

/// Which rules.
#[derive(Debug, Args)]
pub(in crate::cli) struct NeedsArgs {
    /// Rules: files, folders or names of built-in packs; without any, all packs
    #[arg(value_name = "FILE|NAME|DIR", value_hint = ValueHint::AnyPath)]
    rules: Vec<PathBuf>,
    /// Only this rule
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
}

pub(super) fn run(args: &NeedsArgs, console: &mut Console) -> Result<Outcome, Failure> {
    let rules = compile(&args.rules, &[], console)?;
    let program = &rules.program;
    let only = match &args.rule {
        Some(name) => Some(find(program, name)?.name.clone()),
        None => None,
    };
    let width = console.layout(false).width.saturating_sub(12);
    let mut out = String::new();
    for rule in program
        .rules
        .iter()
        .filter(|r| only.as_ref().is_none_or(|n| *n == r.name))
    {
        let needs = plan::of_rule(program, rule);
        let gap = if out.is_empty() { "" } else { "\n" };
        let _ = writeln!(out, "{gap}{}", rule.name);
        for (head, text) in lines(&needs) {
            for (i, line) in wrap(&text, width, width).iter().enumerate() {
                let _ = writeln!(out, "  {:8}  {line}", if i == 0 { head } else { "" });
            }
        }
    }
    console.out(&out)?;
    Ok(served(&rules))
}

/// Heads and texts.
fn lines(needs: &RuleNeeds) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    for (source, ops) in &needs.ops {
        let all = source.bare_ops();
        let every = all.len() > 1 && all.iter().all(|o| ops.contains(o.def().name));
        let extra = ops
            .iter()
            .filter(|n| !every || !all.iter().any(|o| o.def().name == **n));
        let names: Vec<&str> = every
            .then_some("every call")
            .into_iter()
            .chain(extra.copied())
            .collect();
        out.push((source.name(), names.join(", ")));
    }
    let joined = |list: Vec<&str>| list.join(", ");
    if !needs.system.is_empty() {
        out.push(("system", joined(needs.system.iter().copied().collect())));
    }
    if !needs.facts.is_empty() {
        out.push(("trace", joined(needs.facts.iter().copied().collect())));
    }
    if !needs.fields.is_empty() {
        out.push(("fields", joined(needs.fields.iter().map(|f| f.def().name).collect())));
    }
    out.push(("recorder", recorder(needs)));
    out
}

/// How to record what a rule needs.
fn recorder(needs: &RuleNeeds) -> String {
    let mut parts = Vec::new();
    let areas: Vec<&str> = needs
        .ops
        .keys()
        .filter(|s| {
            !matches!(
                s,
                Source::Process | Source::Request | Source::Annotation | Source::Trace
            )
        })
        .map(|s| s.name())
        .collect();
    if !areas.is_empty() {
        parts.push(format!("not --without {}", areas.join(", ")));
    }
    if needs.every_event && !areas.is_empty() {
        parts.push("no --min-duration for these operations".to_owned());
    }
    if needs.run_state {
        parts.push("run states, which files of our recorder have".to_owned());
    }
    let annotated = [Source::Request, Source::Annotation]
        .iter()
        .any(|s| needs.ops.contains_key(s));
    if annotated {
        parts.push("annotations through --annotations".to_owned());
    }
    if parts.is_empty() {
        "any recording".to_owned()
    } else {
        parts.join("; ")
    }
}
