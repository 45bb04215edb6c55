//! `ingero rules coverage`.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::super::console::Console;
use super::super::failure::Failure;
use super::super::{Outcome, sources};
use super::{compile, plural, served};
use crate::eval::harness::coverage::coverage;
use crate::report::wrap;

/// Which rules.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(in crate::cli) struct CoverageArgs {
    /// Rules: files, folders or names of built-in packs; without any, all packs
    #[arg(value_name = "FILE|NAME|DIR", value_hint = ValueHint::AnyPath)]
    rules: Vec<PathBuf>,
}

const HELP: &str = "\
T, F and U stand before a condition that some test finds true, false or unknown; a dot where none does.";

pub(super) fn run(args: &CoverageArgs, console: &mut Console) -> Result<Outcome, Failure> {
    let rules = compile(&args.rules, &[], console)?;
    let files = sources::load(&args.rules)?;
    let found = coverage(&files, &[], &rules.program);
    let width = console.layout(false).width.saturating_sub(7);
    let mut out = String::new();
    let (mut seen, mut all) = (0, 0);
    for r in &found {
        let _ = writeln!(out, "{}  {}", r.rule, plural(r.tests, "test"));
        for p in &r.predicates {
            let mark = |is: bool, letter| if is { letter } else { '.' };
            let marks: String = [mark(p.yes, 'T'), mark(p.no, 'F'), mark(p.unknown, 'U')]
                .iter()
                .collect();
            for (i, line) in wrap(&p.text, width, width).iter().enumerate() {
                let _ = writeln!(out, "  {:3}  {line}", if i == 0 { &marks } else { "" });
            }
            seen += [p.yes, p.no].iter().filter(|s| **s).count();
            all += 2;
        }
    }
    let _ = writeln!(out, "true and false seen: {seen} of {all}");
    console.out(&out)?;
    Ok(served(&rules))
}
