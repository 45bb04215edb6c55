//! `ingero rules`: each subcommand in a file of its own, with its arguments.

mod check;
mod coverage;
mod diff;
mod doc;
mod explain;
mod fix;
mod fmt;
mod in_trace;
mod list;
mod mutate;
mod needs;
mod profile;
mod test;
mod why_not;

use std::path::PathBuf;

use clap::Subcommand;

use super::args::RuleArgs;
use super::console::Console;
use super::engine::Rules;
use super::failure::Failure;
use super::{Outcome, analyze, lsp};
use crate::lang::hir::{Program, Rule};

/// What to do with rules.
#[derive(Debug, Subcommand)]
pub(super) enum RulesCommand {
    /// List the rules
    List(list::ListArgs),
    /// Check rules: every error and warning of all files; exits with 2 if a rule cannot be used
    Check(check::CheckArgs),
    /// Run the tests that stand beside the rules; exits with 1 if one fails
    Test(test::TestArgs),
    /// Show which answers of each condition the tests have seen
    Coverage(coverage::CoverageArgs),
    /// Change rules a little and list the changes that no test notices
    Mutate(mutate::MutateArgs),
    /// Explain a rule: what it means, what it needs, every default that applies
    Explain(explain::ExplainArgs),
    /// Write rules in the one style; comments stay where they are
    Fmt(fmt::FmtArgs),
    /// Serve an editor on standard input and output (the language server protocol)
    Lsp,
    /// Say why a rule does not fire on a trace: each condition's value, and what it needs
    WhyNot(why_not::WhyNotArgs),
    /// List what each rule needs of a recording
    Needs(needs::NeedsArgs),
    /// Show how much work each rule is on a trace
    Profile(profile::ProfileArgs),
    /// Compare what two sets of rules find in traces
    Diff(diff::DiffArgs),
    /// Print the reference of everything that rules can ask for, as Markdown
    Doc,
}

pub(super) fn run(command: &RulesCommand, console: &mut Console) -> Result<Outcome, Failure> {
    match command {
        RulesCommand::List(args) => list::run(args, console),
        RulesCommand::Check(args) => check::run(args, console),
        RulesCommand::Test(args) => test::run(args, console),
        RulesCommand::Coverage(args) => coverage::run(args, console),
        RulesCommand::Mutate(args) => mutate::run(args, console),
        RulesCommand::Explain(args) => explain::run(args, console),
        RulesCommand::Fmt(args) => fmt::run(args, console),
        RulesCommand::Lsp => lsp::run(),
        RulesCommand::WhyNot(args) => why_not::run(args, console),
        RulesCommand::Needs(args) => needs::run(args, console),
        RulesCommand::Profile(args) => profile::run(args, console),
        RulesCommand::Diff(args) => diff::run(args, console),
        RulesCommand::Doc => doc::run(console),
    }
}

fn compile(names: &[PathBuf], set: &[(String, String)], console: &mut Console) -> Result<Rules, Failure> {
    let args = RuleArgs {
        rules: names.to_vec(),
        set: set.to_vec(),
    };
    analyze::compile(&args, console)
}

/// Whether every rule could be used.
pub(super) fn served(rules: &Rules) -> Outcome {
    if rules.problems.iter().any(|p| p.is_error) {
        Outcome::Partial
    } else {
        Outcome::Fine
    }
}

/// The program with one rule and without tests.
pub(super) fn program_of(program: &Program, rule: &Rule) -> Program {
    Program {
        rules: vec![rule.clone()],
        tests: Vec::new(),
        ..program.clone()
    }
}

fn named(rule: &Rule, name: &str) -> bool {
    rule.name.eq_ignore_ascii_case(name) || rule.id.eq_ignore_ascii_case(name)
}

/// The rule of that name or id.
pub(super) fn find<'a>(program: &'a Program, name: &str) -> Result<&'a Rule, Failure> {
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
