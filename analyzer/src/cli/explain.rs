//! `ingero explain`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::Outcome;
use super::analyze::{self, Extras, Request};
use super::args::RuleArgs;
use super::console::Console;
use super::failure::Failure;
use super::time::TimeArgs;
use crate::report::explain::{Parts, json, text};

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct ExplainArgs {
    /// Traces, or folders of traces
    #[arg(required = true, value_name = "TRACE", value_hint = ValueHint::AnyPath)]
    traces: Vec<PathBuf>,
    /// What every process and thread did: calls, time off the CPU, allocations
    #[arg(long)]
    per_process: bool,
    /// The verdicts stored in the files, each beside what the evidence says
    #[arg(long)]
    chains: bool,
    #[command(flatten)]
    rules: RuleArgs,
    #[command(flatten)]
    time: TimeArgs,
    /// Look at this process only
    #[arg(long, value_name = "PID")]
    pid: Option<i64>,
    /// How to report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write the report to a file instead of standard output
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Chains or processes to show in a text; JSON always holds all
    #[arg(long, value_name = "N", default_value_t = 5)]
    top: usize,
    /// Threads to use; 0 is one for each core. The report is the same for any number
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// No progress
    #[arg(long, short)]
    quiet: bool,
}

const HELP: &str = "\
Without --per-process and --chains it tells the causal chains: each has a root cause, what it leads to,
one timeline across the host and the GPU layers, and what to do. Times are as for `ingero analyze`.

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
    let request = Request {
        traces: &args.traces,
        pid: args.pid,
        from: args.time.from(),
        to: args.time.to(),
        threads: args.threads,
        progress: console.watched() && !args.quiet,
    };
    let extras = Extras {
        profiles: args.per_process,
        ..Extras::default()
    };
    let judged = analyze::judge_with(&rules, &request, extras, console)?;
    if let (Some(pid), true, true) = (args.pid, args.per_process, judged.profiles.is_empty()) {
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
