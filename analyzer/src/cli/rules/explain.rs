//! `ingero rules explain`.

use clap::Args;

use super::super::args::RuleArgs;
use super::super::console::Console;
use super::super::failure::Failure;
use super::super::{Outcome, analyze, engine};
use super::{find, served};

/// Which rule to explain.
#[derive(Debug, Args)]
pub(in crate::cli) struct ExplainArgs {
    /// Its name or id
    rule: String,
    #[command(flatten)]
    rules: RuleArgs,
}

pub(super) fn run(args: &ExplainArgs, console: &mut Console) -> Result<Outcome, Failure> {
    let rules = analyze::compile(&args.rules, console)?;
    let rule = find(&rules.program, &args.rule)?;
    let mut text = engine::explain(&rules.program, rule);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    console.out(&text)?;
    Ok(served(&rules))
}
