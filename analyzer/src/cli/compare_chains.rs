//! `ingero compare-chains`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::Outcome;
use super::analyze;
use super::args::RuleArgs;
use super::console::Console;
use super::failure::Failure;
use super::input::InputArgs;
use crate::report::explain::{Parts, json, text};

/// Which traces, and how to report.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct CompareChainsArgs {
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    rules: RuleArgs,
    /// A table for people, or one JSON document (see `ingero schema explain`)
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Write the report to a file instead of standard output
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
}

const HELP: &str = "\
A row for each causal chain that another tool stored in the traces: what it
says, the share of the slowest 1 % of those calls that lies in off-CPU time of
the same thread, what follows from that, and what the rules say of these calls.
It is the part of `ingero explain --chains`, alone.

Examples:
  ingero compare-chains trace.db
  ingero compare-chains --format json traces/";

/// How to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

pub(super) fn run(args: &CompareChainsArgs, console: &mut Console) -> Result<Outcome, Failure> {
    let rules = analyze::compile(&args.rules, console)?;
    let judged = analyze::judge(&rules, &args.input.request(console), console)?;
    let parts = Parts {
        chains: false,
        processes: None,
        stored: true,
    };
    let shown = match args.format {
        Format::Table => text::stored(&judged.report(), &console.layout(args.output.is_some())),
        Format::Json => json::render(&judged.report(), &parts),
    };
    analyze::deliver(args.output.as_deref(), &shown, console)?;
    Ok(judged.outcome(None, false))
}
