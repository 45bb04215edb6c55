//! `ingero rules`.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::args::{RuleArgs, RulesCommand};
use super::console::{Console, Kind};
use super::engine::{self, Rules};
use super::failure::Failure;
use super::{Outcome, analyze, sources};
use crate::lang::hir::{Program, Rule};

pub(super) fn run(command: &RulesCommand, console: &mut Console) -> Result<Outcome, Failure> {
    match command {
        RulesCommand::List { rules } => list(rules, console),
        RulesCommand::Check { rules, set } => check(rules, set, console),
        RulesCommand::Test { rules, rule } => test(rules, rule.as_deref(), console),
        RulesCommand::Explain { rule, rules } => explain(rule, rules, console),
    }
}

fn compile(names: &[PathBuf], console: &mut Console) -> Result<Rules, Failure> {
    let args = RuleArgs {
        rules: names.to_vec(),
        set: Vec::new(),
    };
    analyze::compile(&args, console)
}

fn served(rules: &Rules) -> Outcome {
    if rules.problems.iter().any(|p| p.is_error) {
        Outcome::Partial
    } else {
        Outcome::Fine
    }
}

fn list(names: &[PathBuf], console: &mut Console) -> Result<Outcome, Failure> {
    let rules = compile(names, console)?;
    let program = &rules.program;
    let mut out = String::new();
    let name_width = program.rules.iter().map(|r| r.name.len()).max().unwrap_or(0);
    let level_width = program.rules.iter().map(|r| levels(r).len()).max().unwrap_or(0);
    for (i, file) in program.files.iter().enumerate() {
        let of_file = |r: &&Rule| usize::try_from(r.file.0) == Ok(i);
        let mut any = false;
        for rule in program.rules.iter().filter(of_file) {
            if !any {
                let gap = if out.is_empty() { "" } else { "\n" };
                let _ = writeln!(out, "{gap}{}", file.name);
                any = true;
            }
            let line = format!(
                "  {:name_width$}  {:level_width$}  {}",
                rule.name,
                levels(rule),
                rule.title
            );
            let _ = writeln!(out, "{}", line.trim_end());
        }
    }
    console.out(&out)?;
    Ok(served(&rules))
}

/// `critical, high`: the severities that a rule can have.
fn levels(rule: &Rule) -> String {
    let mut levels: Vec<_> = rule.severity.iter().map(|(s, _)| *s).collect();
    levels.sort();
    levels.dedup();
    if levels.is_empty() {
        levels.push(crate::lang::hir::Severity::default());
    }
    let names: Vec<&str> = levels.iter().rev().map(|s| s.name()).collect();
    names.join(", ")
}

fn check(names: &[PathBuf], set: &[(String, String)], console: &mut Console) -> Result<Outcome, Failure> {
    let files = sources::load(names)?;
    let rules = engine::compile(&files, set, analyze::look(console));
    analyze::show(rules.problems.iter(), console);
    let errors = rules.problems.iter().filter(|p| p.is_error).count();
    let lints = rules.problems.len() - errors;
    let mut parts = vec![
        plural(files.len(), "file"),
        plural(rules.program.rules.len(), "usable rule"),
        plural(rules.program.tests.len(), "test"),
        plural(errors, "error"),
    ];
    if lints > 0 {
        parts.push(plural(lints, "warning"));
    }
    console.out(&format!("{}\n", parts.join(", ")))?;
    Ok(served(&rules))
}

fn test(names: &[PathBuf], rule: Option<&str>, console: &mut Console) -> Result<Outcome, Failure> {
    let rules = compile(names, console)?;
    if let Some(name) = rule {
        find(&rules.program, name)?;
    }
    let files = sources::load(names)?;
    let results = engine::run_tests(&files, &[], &rules.program, rule);
    let failed = results.iter().filter(|r| !r.failure.is_empty()).count();
    let mut out = String::new();
    for r in &results {
        if r.failure.is_empty() {
            let _ = writeln!(out, "ok      {}: {}", r.rule, r.name);
        } else {
            let _ = writeln!(out, "FAILED  {}: {} ({})", r.rule, r.name, r.place);
            for line in r.failure.lines() {
                let _ = writeln!(out, "        {line}");
            }
        }
    }
    let _ = writeln!(out, "{} passed, {failed} failed", results.len() - failed);
    console.out(&out)?;
    let untested: Vec<&str> = rules
        .program
        .rules
        .iter()
        .filter(|r| rule.is_none_or(|name| named(r, name)))
        .filter(|r| !rules.program.tests.iter().any(|t| t.rule == r.name))
        .map(|r| r.name.as_str())
        .collect();
    if !untested.is_empty() {
        console.say(Kind::Warning, &format!("without a test: {}", untested.join(", ")));
    }
    Ok(if failed > 0 { Outcome::Found } else { served(&rules) })
}

fn explain(name: &str, args: &RuleArgs, console: &mut Console) -> Result<Outcome, Failure> {
    let rules = analyze::compile(args, console)?;
    let rule = find(&rules.program, name)?;
    let mut text = engine::explain(&rules.program, rule);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    console.out(&text)?;
    Ok(served(&rules))
}

fn named(rule: &Rule, name: &str) -> bool {
    rule.name.eq_ignore_ascii_case(name) || rule.id.eq_ignore_ascii_case(name)
}

fn find<'a>(program: &'a Program, name: &str) -> Result<&'a Rule, Failure> {
    program
        .rules
        .iter()
        .find(|r| named(r, name))
        .ok_or_else(|| Failure::NoSuchRule {
            name: name.to_owned(),
            near: near(name, program.rules.iter().map(|r| r.name.as_str())),
        })
}

/// Up to three names that differ by little, nearest first.
fn near<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<String> {
    let name = name.to_uppercase().replace('-', "_");
    let mut near: Vec<(usize, &str)> = known
        .map(|k| (strsim::osa_distance(&name, k), k))
        .filter(|(d, k)| *d <= 2.max(k.len() / 3) || k.contains(&name))
        .collect();
    near.sort_unstable();
    near.into_iter().take(3).map(|(_, k)| k.to_owned()).collect()
}

fn plural(n: usize, noun: &str) -> String {
    if n == 1 {
        format!("1 {noun}")
    } else {
        format!("{n} {noun}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names() {
        let known = ["HOL_BLOCKING", "SYNC_BOUND", "MEMCPY_BOUND"];
        assert_eq!(near("hol-bloking", known.into_iter()), ["HOL_BLOCKING"]);
        assert_eq!(near("BOUND", known.into_iter()), ["SYNC_BOUND", "MEMCPY_BOUND"]);
        assert!(near("ZZZ", known.into_iter()).is_empty());
    }
}
