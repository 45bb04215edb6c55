//! `ingero rules check`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::super::args::assignment;
use super::super::console::Console;
use super::super::failure::Failure;
use super::super::{Outcome, analyze, engine, sources};
use super::{plural, served};

/// Which rules to check.
#[derive(Debug, Args)]
pub(in crate::cli) struct CheckArgs {
    /// Rules: files, folders or names of built-in packs; without any, all packs
    #[arg(value_name = "FILE|NAME|DIR", value_hint = ValueHint::AnyPath)]
    rules: Vec<PathBuf>,
    /// Set a parameter of the rules
    #[arg(long, value_name = "NAME=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
}

pub(super) fn run(args: &CheckArgs, console: &mut Console) -> Result<Outcome, Failure> {
    let files = sources::load(&args.rules)?;
    let rules = engine::compile(&files, &args.set, analyze::look(console));
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
