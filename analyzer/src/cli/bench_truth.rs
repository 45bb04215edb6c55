//! `ingero bench-truth`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum, ValueHint};

use super::Outcome;
use super::analyze::{self, compile, deliver};
use super::args::RuleArgs;
use super::console::{Console, Kind};
use super::engine;
use super::failure::Failure;
use super::rules::served;
use crate::diagnosis::Analysis;
use crate::eval;
use crate::lang::hir::Program;
use crate::report::score;
use crate::score::{Case, Factor, Score, Sweep};
use crate::trace::Trace;
use crate::trace::truth::{Truth, truth};
use crate::unit::Num;

/// Which corpus, and how to report.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct BenchTruthArgs {
    /// Traces that hold their truth, or folders of them; folders in a folder are looked into
    #[arg(required = true, value_name = "CORPUS", value_hint = ValueHint::AnyPath)]
    corpus: Vec<PathBuf>,
    #[command(flatten)]
    rules: RuleArgs,
    /// Also judge by each rule with one threshold at 0.8 and at 1.2 times its value
    #[arg(long)]
    sweep: bool,
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
a trace name the rules of rows that name none, and with `really` what they are
instead, where that lay outside of the program.

PLANTED counts causes and symptoms, FOUND those named as LOW or above, INFO
those named as INFO only. TWINS look like what the rule names and are not.
FALSE counts diagnoses of LOW or above that name nothing planted, nor anything
that may be named and need not (`may`: at a threshold, or beside a cause).
RECALL counts INFO as found; PRECISION does not count it.

With --sweep a second table says how far the verdicts are from a threshold:
for each rule the worst of all its thresholds, moved one at a time. It takes
about twenty times as long.

Examples:
  ingero bench-truth investigations/
  ingero simulate corpus -o corpus/ && ingero bench-truth corpus/
  ingero bench-truth --sweep investigations/
  ingero bench-truth --rules mine.rules --format json corpus/";

/// How to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

pub(super) fn run(args: &BenchTruthArgs, console: &mut Console) -> Result<Outcome, Failure> {
    let rules = compile(&args.rules, console)?;
    if rules.program.rules.is_empty() {
        return Err(Failure::NoRules);
    }
    let mut outcome = Outcome::Fine;
    let mut sweep = args.sweep.then(Sweep::default);
    let mut judged: Vec<(String, Vec<Truth>, Analysis)> = Vec::new();
    for path in traces(&args.corpus)? {
        let known = match truth(&path) {
            Ok(known) => known,
            Err(e) => {
                console.say(Kind::Error, &e.to_string());
                outcome = Outcome::Partial;
                continue;
            }
        };
        let paths = [path];
        let read = match analyze::read(&rules.program, &paths, console) {
            Err(Failure::NoTrace) => {
                outcome = Outcome::Partial;
                continue;
            }
            read => read?,
        };
        if let Some(sweep) = &mut sweep {
            run_sweep(&rules.program, &read.trace, &known, sweep);
        }
        let analysis = engine::analyze(&rules.program, &read.trace, None, 0);
        judged.push((paths[0].display().to_string(), known, analysis));
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
        Format::Table => score::text(&score, sweep.as_ref(), &console.layout(args.output.is_some())),
        Format::Json => score::json(&score, sweep.as_ref()),
    };
    deliver(args.output.as_deref(), &shown, console)?;
    Ok(match served(&rules) {
        Outcome::Fine => outcome,
        other => other,
    })
}

fn run_sweep(program: &Program, trace: &Trace, known: &[Truth], sweep: &mut Sweep) {
    for rule in &program.rules {
        for factor in Factor::ALL {
            let (numer, denom) = factor.value();
            let times = Num::ratio(numer, denom).unwrap_or(Num::ONE);
            for run in eval::sweep::sweep(program, rule, times, trace) {
                sweep.add(&rule.name, factor, &run.what, &run.diagnoses, known);
            }
        }
    }
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
