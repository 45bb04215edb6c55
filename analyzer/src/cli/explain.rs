//! `ingero explain`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::Outcome;
use super::analyze::{self, Extras};
use super::args::RuleArgs;
use super::console::Console;
use super::failure::Failure;
use super::input::InputArgs;
use crate::report::explain::{Parts, json, text};

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct ExplainArgs {
    /// What every process and thread did: calls, time off the CPU, allocations
    #[arg(long)]
    per_process: bool,
    /// The verdicts stored in the files, each beside what the evidence says
    #[arg(long)]
    chains: bool,
    #[command(flatten)]
    rules: RuleArgs,
    /// How to report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write the report to a file instead of standard output
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Chains or processes to show in a text; JSON always holds all
    #[arg(long, value_name = "N", default_value_t = 5)]
    top: usize,
    #[command(flatten)]
    input: InputArgs,
}

const HELP: &str = "\
Without --per-process and --chains it tells the causal chains: each has a root
cause, what it leads to, one timeline across the host and the GPU layers, and
what to do. Times are as for `ingero analyze`.

Examples:
  ingero explain trace.db
  ingero explain trace.db --since 5m --per-process
  ingero explain trace.db --pid 4211 --format json";

/// How to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Text for people
    Text,
    /// One JSON document (see `ingero schema explain`)
    Json,
}

pub(super) fn run(args: &ExplainArgs, console: &mut Console) -> Result<Outcome, Failure> {
    let rules = analyze::compile(&args.rules, console)?;
    let request = args.input.request(console);
    let extras = Extras {
        profiles: args.per_process,
        ..Extras::default()
    };
    let judged = analyze::judge_with(&rules, &request, extras, console)?;
    if let (Some(pid), true, true) = (args.input.pid, args.per_process, judged.profiles.is_empty()) {
        return Err(Failure::NoSuchProcess { pid });
    }
    let parts = Parts {
        chains: !args.per_process && !args.chains,
        processes: args.per_process.then_some(judged.profiles.as_slice()),
        stored: args.chains,
    };
    let report = judged.report();
    let shown = match args.format {
        Format::Text => {
            let mut options = console.layout(args.output.is_some());
            options.top = args.top;
            text::render(&report, &parts, &options)
        }
        Format::Json => json::render(&report, &parts),
    };
    analyze::deliver(args.output.as_deref(), &shown, console)?;
    Ok(judged.outcome(None, false))
}
