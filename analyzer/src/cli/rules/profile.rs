//! `ingero rules profile`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueHint};

use super::super::args::RuleArgs;
use super::super::console::Console;
use super::super::failure::Failure;
use super::super::{Outcome, analyze};
use super::{program_of, served};
use crate::eval::cost::cost;
use crate::unit::{Dim, Num, Style, show};

/// Which rules, on which traces.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(in crate::cli) struct ProfileArgs {
    /// Traces, or folders of traces; several are judged as one fleet, by node
    #[arg(required = true, value_name = "TRACE", value_hint = ValueHint::AnyPath)]
    traces: Vec<PathBuf>,
    #[command(flatten)]
    rules: RuleArgs,
}

const HELP: &str = "\
ROWS are looked at once however many conditions ask for them; SELECTED pass
the filters, over all selections; WITNESSES stand behind conditions that hold;
JOINS are `within` groups and overlaps. Each rule is judged by itself; together
they share much of the work. Only the last column differs between runs.";

pub(super) fn run(args: &ProfileArgs, console: &mut Console) -> Result<Outcome, Failure> {
    let rules = analyze::compile(&args.rules, console)?;
    let read = analyze::read(&rules.program, &args.traces, console)?;
    let name_width = rules
        .program
        .rules
        .iter()
        .map(|r| r.name.len())
        .max()
        .unwrap_or(0)
        .max(4);
    let mut out = format!(
        "{:name_width$}  {:>5} {:>10} {:>10} {:>9} {:>6} {:>8}\n",
        "RULE", "KEYS", "ROWS", "SELECTED", "WITNESSES", "JOINS", "MS"
    );
    let count = |n: u64| show(Num::int(n.into()), Dim::NONE, Style::Auto);
    for rule in &rules.program.rules {
        let program = program_of(&rules.program, rule);
        let began = Instant::now();
        let c = cost(&program, rule, &read.trace);
        let ms = began.elapsed().as_secs_f64() * 1e3;
        let _ = writeln!(
            out,
            "{:name_width$}  {:>5} {:>10} {:>10} {:>9} {:>6} {ms:>8.1}",
            rule.name,
            c.keys,
            count(c.rows),
            count(c.selected),
            count(c.witnesses),
            count(c.joins)
        );
    }
    console.out(&out)?;
    Ok(if read.whole { served(&rules) } else { Outcome::Partial })
}
