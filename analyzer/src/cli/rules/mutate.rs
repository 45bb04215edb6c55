//! `ingero rules mutate`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::super::console::Console;
use super::super::failure::Failure;
use super::super::{Outcome, analyze, sources};
use super::{compile, plural, served};
use crate::eval::harness::mutate::survivors;
use crate::lang::hir::{Metric, Program};
use crate::lang::mutate::mutants;
use crate::trace::Trace;

/// Which rules, and which survivors are right.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(in crate::cli) struct MutateArgs {
    /// Rules: files, folders or names of built-in packs; without any, all packs
    #[arg(value_name = "FILE|NAME|DIR", value_hint = ValueHint::AnyPath)]
    rules: Vec<PathBuf>,
    /// Count only survivors that change a verdict on one of these traces
    #[arg(long, value_name = "TRACE", value_hint = ValueHint::AnyPath)]
    on: Vec<PathBuf>,
    /// Survivors that are right, with their reasons
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    accept: Option<PathBuf>,
}

const HELP: &str = "\
Each rule is changed a little, in its condition and in those of its severities:
comparisons flipped, thresholds halved and doubled, conditions, filters and
`within` left out, percentiles swapped. A change that none of its tests notices
(by what it says, how often, or `severity = …`) survives, and exits with 1.

A line of the file for --accept is RULE: CHANGE # REASON; one that no longer
survives is an error too.

Examples:
  ingero rules mutate mine.rules
  ingero rules mutate --on traces/ --accept rules/survivors.txt rules/";

pub(super) fn run(args: &MutateArgs, console: &mut Console) -> Result<Outcome, Failure> {
    let rules = compile(&args.rules, &[], console)?;
    let files = sources::load(&args.rules)?;
    let accepted = match &args.accept {
        Some(path) => accepted(path)?,
        None => BTreeSet::new(),
    };
    let mut corpus: Vec<Trace> = Vec::new();
    let mut whole = true;
    if !args.on.is_empty() {
        let needs = with_mutants(&rules.program);
        for path in &args.on {
            let read = analyze::read(&needs, std::slice::from_ref(path), console)?;
            whole &= read.whole;
            corpus.push(read.trace);
        }
    }
    let corpus = (!args.on.is_empty()).then_some(corpus.as_slice());
    let found = survivors(&files, &[], &rules.program, corpus);
    let mut out = String::new();
    let mut alive: BTreeSet<String> = BTreeSet::new();
    let mut unexpected = 0;
    for r in &found {
        let _ = writeln!(
            out,
            "{}: {}, {} survived",
            r.rule,
            plural(r.mutants, "mutant"),
            r.survivors.len()
        );
        for what in &r.survivors {
            let line = format!("{}: {what}", r.rule);
            if !accepted.contains(&line) {
                unexpected += 1;
                let _ = writeln!(out, "  {what}");
            }
            alive.insert(line);
        }
    }
    let stale: Vec<&String> = accepted.difference(&alive).collect();
    for line in &stale {
        let _ = writeln!(out, "no longer survives: {line}");
    }
    let all: usize = found.iter().map(|r| r.mutants).sum();
    let _ = writeln!(
        out,
        "{}, {} survived, {unexpected} of them without a stated reason",
        plural(all, "mutant"),
        alive.len()
    );
    console.out(&out)?;
    Ok(if !whole {
        Outcome::Partial
    } else if unexpected > 0 || !stale.is_empty() {
        Outcome::Found
    } else {
        served(&rules)
    })
}

/// The program with all metrics of its mutants, to know what to read.
fn with_mutants(program: &Program) -> Program {
    let metrics: Vec<Metric> = program.rules.iter().flat_map(|r| mutants(program, r).metrics).collect();
    Program {
        metrics,
        ..program.clone()
    }
}

/// Lines `RULE: CHANGE # REASON`; a line without a reason accepts nothing.
fn accepted(path: &PathBuf) -> Result<BTreeSet<String>, Failure> {
    let text = fs::read_to_string(path).map_err(|source| Failure::Read {
        path: path.clone(),
        source,
    })?;
    let mut out = BTreeSet::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.rsplit_once(" # ") {
            Some((what, reason)) if !reason.trim().is_empty() => {
                out.insert(what.trim().to_owned());
            }
            _ => {
                return Err(Failure::NoReason {
                    path: path.clone(),
                    line: i + 1,
                });
            }
        }
    }
    Ok(out)
}
