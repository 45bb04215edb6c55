//! `ingero bench-truth`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum, ValueHint};

use super::Outcome;
use super::analyze::{self, Request, compile, deliver};
use super::args::RuleArgs;
use super::console::{Console, Kind};
use super::failure::Failure;
use crate::diagnosis::Analysis;
use crate::report::score;
use crate::score::{Case, Score};
use crate::trace::truth::{Truth, truth};

/// Which corpus, and how to report.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct BenchTruthArgs {
    /// Traces that hold their truth, or folders of them; folders in a folder are looked into
    #[arg(required = true, value_name = "CORPUS", value_hint = ValueHint::AnyPath)]
    corpus: Vec<PathBuf>,
    #[command(flatten)]
    rules: RuleArgs,
    /// A table for people, or one JSON document (see `ingero schema bench-truth`)
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Write the report to a file instead of standard output
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
}

const HELP: &str = "\
What is true in a trace stands in its table `truth`: `ingero simulate` writes
it, and programs that misbehave on purpose can. Lines of a `truth.jsonl` beside
a trace name the rules of rows that name none.

PLANTED counts causes and symptoms, FOUND those named as LOW or above, INFO
those named as INFO only. TWINS look like what the rule names and are not.
FALSE counts diagnoses of LOW or above that name nothing planted. RECALL counts
INFO as found; PRECISION does not count it.

Examples:
  ingero bench-truth investigations/
  ingero bench-truth --rules mine.rules --format json corpus/";

/// How to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

pub(super) fn run(args: &BenchTruthArgs, console: &mut Console) -> Result<Outcome, Failure> {
    let rules = compile(&args.rules, console)?;
    let mut outcome = Outcome::Fine;
    let mut judged: Vec<(String, Vec<Truth>, Analysis)> = Vec::new();
    for path in traces(&args.corpus)? {
        let truth = match truth(&path) {
            Ok(truth) => truth,
            Err(e) => {
                console.say(Kind::Error, &e.to_string());
                outcome = Outcome::Partial;
                continue;
            }
        };
        let paths = [path];
        let request = Request {
            traces: &paths,
            ..Request::default()
        };
        let found = match analyze::judge(&rules, &request, console) {
            Err(Failure::NoTrace) => {
                outcome = Outcome::Partial;
                continue;
            }
            found => found?,
        };
        if !found.problems.is_empty() {
            outcome = Outcome::Partial;
        }
        judged.push((paths[0].display().to_string(), truth, found.analysis));
    }
    if judged.is_empty() {
        return Err(Failure::NoTrace);
    }
    let cases: Vec<Case<'_>> = judged
        .iter()
        .map(|(name, truth, analysis)| Case { name, truth, analysis })
        .collect();
    let score = Score::new(&cases);
    let shown = match args.format {
        Format::Table => score::text(&score, &console.layout(args.output.is_some())),
        Format::Json => score::json(&score),
    };
    deliver(args.output.as_deref(), &shown, console)?;
    Ok(outcome)
}

/// The traces of a corpus: files as named, and what ends in `.db` in folders and the folders in them.
fn traces(corpus: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut out = Vec::new();
    for path in corpus {
        if path.is_dir() {
            let before = out.len();
            walk(path, &mut out)?;
            out[before..].sort();
        } else {
            out.push(path.clone());
        }
    }
    Ok(out)
}

fn walk(dir: &Path, out: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let failed = |source| Failure::Read {
        path: dir.to_owned(),
        source,
    };
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(failed)?);
        // No links: a corpus ends.
        if kind.is_dir() {
            walk(&path, out)?;
        } else if kind.is_file() && path.extension().is_some_and(|e| e == "db") {
            out.push(path);
        }
    }
    Ok(())
}
