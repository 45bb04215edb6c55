//! `ingero slice`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::Outcome;
use super::analyze::{self, Request};
use super::args::RuleArgs;
use super::console::Console;
use super::engine;
use super::failure::Failure;
use super::time::TimeArgs;
use crate::trace::slice::{SliceOptions, slice};
use crate::trace::{Edge, WindowSpec};
use crate::unit::{SEC, show_count, show_dur, show_utc};

/// Arguments of `ingero slice`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct SliceArgs {
    /// The trace to cut from; it is not changed
    #[arg(value_name = "TRACE", value_hint = ValueHint::FilePath)]
    trace: PathBuf,
    /// The trace to write
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: PathBuf,
    #[command(flatten)]
    time: TimeArgs,
    /// Keep the time of the first finding of this rule, and 5 s on both sides; --rules says where it is
    #[arg(long, value_name = "RULE", conflicts_with_all = ["from", "to", "last", "since"])]
    around: Option<String>,
    #[command(flatten)]
    rules: RuleArgs,
    /// Narrow the window around its middle until the file is no larger than this (6M, 500K)
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_size: Option<u64>,
    /// Keep the paths in the recorded command; otherwise only the last part of each stays
    #[arg(long)]
    keep_paths: bool,
    /// Take out what says whose machine it was: names become numbered words, texts go (see below)
    #[arg(long, visible_alias = "anonymize", conflicts_with = "keep_paths")]
    anonymise: bool,
    /// Replace an existing file
    #[arg(long)]
    force: bool,
}

const HELP: &str = "\
The part is a complete trace of its window: events that reach into it are kept
whole, and the aggregates count what is kept. Those of the whole recording are
in whole_aggregates, and the tables slices and slice_cuts say what was cut.
Times are as of `ingero analyze`.

--anonymise replaces the names of nodes, processes, threads, cgroups and folders,
and labels that are no numbers. It empties the command, stacks, texts of XIDs,
notes and addresses, and drops verdicts of other tools and tables that it does
not know. What stays: times, ids, sizes, the names of libraries, compilers and
loaders, and the models of GPU, CPU and kernel. All processes are kept, for who
took a CPU from whom stands in their rows.

Examples:
  ingero slice trace.db -o incident.db --from +10s --to +40s --max-size 6M
  ingero slice trace.db -o share.db --around ENGINE_STALL --anonymise";

/// Kept on both sides of a finding.
const AROUND: i64 = 5 * SEC;

pub(super) fn run(args: &SliceArgs, console: &mut Console) -> Result<Outcome, Failure> {
    let window = match &args.around {
        Some(rule) => around(args, rule, console)?,
        None => engine::window_spec(args.time.from(), args.time.to()).unwrap_or_default(),
    };
    let options = SliceOptions {
        window,
        max_bytes: args.max_size,
        keep_paths: args.keep_paths,
        anonymise: args.anonymise,
        replace: args.force,
    };
    let done = slice(&args.trace, &args.output, &options)?;
    console.out(&format!(
        "{}: {} of {} events, those that reach into {} from {}; {} bytes\n",
        args.output.display(),
        show_count(done.kept),
        show_count(done.before),
        show_dur(done.window.len()),
        show_utc(done.window.start),
        show_count(done.size_bytes)
    ))?;
    Ok(Outcome::Fine)
}

/// The time of the first finding of a rule, in the order of reports, with room on both sides.
fn around(args: &SliceArgs, rule: &str, console: &mut Console) -> Result<WindowSpec, Failure> {
    let rules = analyze::compile(&args.rules, console)?;
    let request = Request {
        traces: std::slice::from_ref(&args.trace),
        ..Request::default()
    };
    let judged = analyze::judge(&rules, &request, console)?;
    let diagnoses = &judged.analysis.diagnoses;
    let Some(found) = diagnoses.iter().find(|d| d.rule == rule) else {
        let mut fired: Vec<String> = diagnoses.iter().map(|d| d.rule.clone()).collect();
        fired.sort();
        fired.dedup();
        return Err(Failure::NoFinding {
            rule: rule.to_owned(),
            fired,
        });
    };
    Ok(WindowSpec {
        from: Some(Edge::At(found.when.start.saturating_sub(AROUND))),
        to: Some(Edge::At(found.when.end.saturating_add(AROUND))),
    })
}

fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'K') => (&text[..text.len() - 1], 10),
        Some(b'M') => (&text[..text.len() - 1], 20),
        Some(b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let bytes: Option<u64> = digits.parse().ok().and_then(|n: u64| n.checked_mul(1 << shift));
    bytes
        .filter(|n| *n > 0)
        .ok_or_else(|| "write a number of bytes, for example 500K or 6M".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("6M"), Ok(6 << 20));
        assert_eq!(size("4096"), Ok(4096));
        for wrong in ["", "M", "0", "6 M", "6MB", "é", "99999999999G"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
