//! `ingero rules list`.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::super::Outcome;
use super::super::console::Console;
use super::super::failure::Failure;
use super::{compile, served};
use crate::lang::hir::Rule;

/// Which rules to list.
#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// Rules: files, folders or names of built-in packs; without any, all packs
    #[arg(value_name = "FILE|NAME|DIR", value_hint = ValueHint::AnyPath)]
    rules: Vec<PathBuf>,
}

pub(super) fn run(args: &ListArgs, console: &mut Console) -> Result<Outcome, Failure> {
    let rules = compile(&args.rules, &[], console)?;
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
