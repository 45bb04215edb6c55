//! `ingero simulate`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};

use super::Outcome;
use super::args::amount;
use super::console::Console;
use super::engine;
use super::failure::Failure;
use crate::simulate::{Options, SimulateError};
use crate::unit::show_count;

/// The word that stands for all cases of the labelled corpus.
const CORPUS: &str = "corpus";

/// Which trace to write, and where.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct SimulateArgs {
    /// Which case (see --list), or `corpus` for all of the labelled corpus
    #[arg(required_unless_present = "list")]
    scenario: Option<String>,
    /// List the cases; with `corpus` those of the corpus
    #[arg(long, conflicts_with = "output")]
    list: bool,
    /// The trace to write; of the corpus the folder
    #[arg(long, short, value_name = "FILE", required_unless_present = "list", value_hint = ValueHint::AnyPath)]
    output: Option<PathBuf>,
    /// About how many events (200000, 10M); without it, as many as the case needs
    #[arg(long, value_name = "N", value_parser = amount)]
    events: Option<u64>,
    /// Same seed, same bytes
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Of the corpus only the cases of this rule
    #[arg(long, value_name = "NAME", conflicts_with = "events")]
    rule: Option<String>,
    /// Of a job of several ranks only this one, as a recorder on its own host would see it
    #[arg(long, value_name = "N", conflicts_with = "rule")]
    rank: Option<i64>,
    /// Replace an existing file
    #[arg(long)]
    force: bool,
}

const HELP: &str = "\
The corpus holds for each rule traces in which it must speak and twins that
differ in what decides, with the deciding quantity at 0.8, 1.0 and 1.2 times
the threshold; and healthy traces that look like trouble. What is true in a
trace stands in its table `truth`; `ingero bench-truth` compares.

Examples:
  ingero simulate hol-blocking -o trace.db
  ingero simulate ddp-straggler --rank 1 -o rank1.db
  ingero simulate corpus -o corpus/
  ingero simulate corpus --rule SYNC_BOUND -o corpus/
  ingero bench-truth corpus/";

impl SimulateArgs {
    fn options(&self) -> Options {
        let mut options = Options {
            events: self.events,
            seed: self.seed,
            rank: self.rank,
            ..Options::default()
        };
        if let Some(rank) = self.rank {
            options.node = format!("rank{rank}");
        }
        options
    }
}

pub(super) fn run(args: &SimulateArgs, console: &mut Console) -> Result<Outcome, Failure> {
    let of_corpus = args.scenario.as_deref() == Some(CORPUS);
    if args.rule.is_some() && !of_corpus {
        return Err(Failure::RuleWithoutCorpus);
    }
    if args.rank.is_some() && of_corpus {
        return Err(SimulateError::NoRank {
            name: CORPUS,
            ranks: None,
        }
        .into());
    }
    match (&args.scenario, &args.output) {
        (Some(_), Some(dir)) if of_corpus => return corpus(dir, args, console),
        (Some(name), Some(path)) => {
            let events = engine::simulate(name, path, &args.options(), args.force)?;
            console.out(&format!("{}: {} events\n", path.display(), show_count(events)))?;
            return Ok(Outcome::Fine);
        }
        _ => {}
    }
    let listed: Vec<(String, String)> = if of_corpus {
        engine::corpus(args.rule.as_deref())?
            .into_iter()
            .map(|c| (c.name, c.about))
            .collect()
    } else {
        let scenarios = engine::scenarios().map(|(name, title)| (name.to_owned(), title.to_owned()));
        let all = (
            "corpus".to_owned(),
            "all cases of the labelled corpus, into a folder".to_owned(),
        );
        scenarios.chain([all]).collect()
    };
    let width = listed.iter().map(|s| s.0.len()).max().unwrap_or(0);
    let mut out = String::new();
    for (name, title) in listed {
        let _ = writeln!(out, "{name:width$}  {title}");
    }
    console.out(&out)?;
    Ok(Outcome::Fine)
}

/// Writes the cases of the corpus, a file for each.
fn corpus(dir: &Path, args: &SimulateArgs, console: &mut Console) -> Result<Outcome, Failure> {
    let cases = engine::corpus(args.rule.as_deref())?;
    fs::create_dir_all(dir).map_err(|source| Failure::Write {
        path: dir.to_owned(),
        source,
    })?;
    let mut events = 0;
    for case in &cases {
        events += engine::simulate_case(case, &dir.join(format!("{}.db", case.name)), args.seed, args.force)?;
    }
    let (traces, events) = (cases.len(), show_count(events));
    console.out(&format!("{}: {traces} traces, {events} events\n", dir.display()))?;
    Ok(Outcome::Fine)
}
