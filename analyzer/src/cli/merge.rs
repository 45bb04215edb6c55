//! `ingero merge`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::Outcome;
use super::console::Console;
use super::engine;
use super::failure::Failure;
use crate::unit::show_count;

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct MergeArgs {
    /// Traces of different nodes
    #[arg(required = true, num_args = 2.., value_name = "TRACE", value_hint = ValueHint::FilePath)]
    traces: Vec<PathBuf>,
    /// The file to write
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: PathBuf,
    /// Name the node of a trace; needed where two have the same name
    #[arg(long, value_name = "TRACE=NAME", value_parser = naming)]
    node_name: Vec<(PathBuf, String)>,
    /// Replace an existing file
    #[arg(long)]
    force: bool,
}

const HELP: &str = "\
Everything is kept: events, aggregates, snapshots, annotations, losses and
details. `ingero analyze` says of the merged file what it says of the
traces together. Clocks are not adjusted.

Examples:
  ingero merge a.db b.db -o all.db
  ingero merge a.db b.db -o all.db --node-name b.db=worker-2";

fn naming(text: &str) -> Result<(PathBuf, String), String> {
    match text.rsplit_once('=') {
        Some((path, name)) if !path.is_empty() && !name.is_empty() => Ok((PathBuf::from(path), name.to_owned())),
        _ => Err("write a trace and the name of its node: b.db=worker-2".to_owned()),
    }
}

pub(super) fn run(args: &MergeArgs, console: &mut Console) -> Result<Outcome, Failure> {
    if let Some((trace, _)) = args.node_name.iter().find(|(trace, _)| !args.traces.contains(trace)) {
        return Err(Failure::NamesNoTrace { trace: trace.clone() });
    }
    let name = |trace: &PathBuf| args.node_name.iter().find(|n| n.0 == *trace).map(|n| n.1.clone());
    let inputs: Vec<_> = args.traces.iter().map(|t| (t.clone(), name(t))).collect();
    let merged = engine::merge(&inputs, &args.output, args.force)?;
    let nodes = merged.nodes.join(", ");
    console.out(&format!(
        "{}: {} events of {nodes}\n",
        args.output.display(),
        show_count(merged.events)
    ))?;
    for note in &merged.notes {
        console.err(&format!("note: {note}\n"));
    }
    Ok(Outcome::Fine)
}
