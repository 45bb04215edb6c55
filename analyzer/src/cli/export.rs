//! `ingero export`.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum, ValueHint};

use super::analyze::compile;
use super::args::RuleArgs;
use super::console::Console;
use super::engine::{self, Report};
use super::failure::Failure;
use super::time::TimeArgs;
use super::{Outcome, read_whole};

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct ExportArgs {
    /// Traces, or folders of traces
    #[arg(required = true, value_name = "TRACE", value_hint = ValueHint::AnyPath)]
    traces: Vec<PathBuf>,
    /// For whom
    #[arg(long, value_enum)]
    format: Format,
    /// The file to write; an existing one is replaced
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: PathBuf,
    #[command(flatten)]
    rules: RuleArgs,
    #[command(flatten)]
    time: TimeArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For ui.perfetto.dev and `trace_processor`
    Perfetto,
    /// For DuckDB, Polars, pandas, Spark: one row for each event
    Parquet,
    /// OpenTelemetry spans as JSON lines, for a collector
    Otlp,
}

const HELP: &str = "\
The diagnoses go along: as a track, with arrows from cause to symptom
(Perfetto), as events of the spans they concern (OTLP), as the JSON report in
the footer (Parquet, key `ingero.report`).

Examples:
  ingero export --format perfetto -o trace.pftrace trace.db
  ingero export --format parquet -o events.parquet trace.db
  ingero export --format otlp --last 30s -o spans.jsonl trace.db";

pub(super) fn run(args: &ExportArgs, console: &mut Console) -> Result<Outcome, Failure> {
    let rules = compile(&args.rules, console)?;
    if rules.program.rules.is_empty() {
        return Err(Failure::NoRules);
    }
    let (trace, unreadable) = read_whole(&args.traces, args.time.from(), args.time.to(), console)?;
    let analysis = engine::analyze(&rules.program, &trace, None, 0);
    let report = Report {
        analysis: &analysis,
        problems: &[],
        window: None,
        version: env!("CARGO_PKG_VERSION"),
    };
    write(&args.output, |out| match args.format {
        Format::Perfetto => engine::perfetto(&report, &trace, out),
        Format::Parquet => engine::parquet(&report, &trace, out),
        Format::Otlp => engine::otlp(&report, &trace, out),
    })?;
    Ok(if unreadable { Outcome::Partial } else { Outcome::Fine })
}

/// Writes beside the file and renames at the end: nobody finds half an export under its name.
fn write(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<(), Failure> {
    let fail = |source| Failure::Write {
        path: path.to_owned(),
        source,
    };
    let name = path
        .file_name()
        .ok_or_else(|| fail(io::ErrorKind::InvalidFilename.into()))?;
    let partial = path.with_file_name(format!(".{}.{}.partial", name.display(), std::process::id()));
    let done = File::create(&partial).map(BufWriter::new).and_then(|mut out| {
        fill(&mut out)?;
        out.flush()
    });
    if let Err(source) = done.and_then(|()| fs::rename(&partial, path)) {
        // The failure is what the user must hear of.
        let _ = fs::remove_file(&partial);
        return Err(fail(source));
    }
    Ok(())
}
