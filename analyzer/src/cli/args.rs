//! The arguments, as clap reads them. The texts here are the manual.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use super::demo::DemoArgs;
use super::explain::ExplainArgs;
use super::input::InputArgs;
use super::rules::RulesCommand;
use crate::diagnosis::Severity;

/// Finds, and proves from a stored trace, why a GPU server is slow.
#[derive(Debug, Parser)]
#[command(name = "ingero", version, max_term_width = 100, after_help = AFTER_HELP)]
pub(super) struct Cli {
    /// When to use colour; auto is on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, default_value_t = ColorChoice::Auto, value_name = "WHEN", display_order = 900)]
    pub(super) color: ColorChoice,
    #[command(subcommand)]
    pub(super) command: Command,
}

const AFTER_HELP: &str = "\
Exit codes:
  0  it ran
  1  a diagnosis at or above --fail-on, a failed rule test, a golden file that
     differs
  2  the request could not be served, or not fully (bad arguments, rules,
     traces)
  3  with --strict: something could not be judged";

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ColorChoice {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Judge traces by rules and report what is wrong
    Analyze(Box<AnalyzeArgs>),
    /// Tell what happened: causal chains, per-process statistics, stored verdicts
    Explain(Box<ExplainArgs>),
    /// Put the causal chains stored in traces beside what was measured
    CompareChains(super::compare_chains::CompareChainsArgs),
    /// Score the rules on traces whose truth is known
    BenchTruth(super::bench_truth::BenchTruthArgs),
    /// Write a trace and what was found in it for other tools
    Export(super::export::ExportArgs),
    /// Serve traces to assistants by the Model Context Protocol
    Mcp(super::mcp::McpArgs),
    /// Put traces of several nodes into one file
    Merge(super::merge::MergeArgs),
    /// Ask a trace a question in SQL, for reading only
    Query(super::query::QueryArgs),
    /// List, check, test and explain rules
    Rules {
        #[command(subcommand)]
        command: RulesCommand,
    },
    /// Record a trace on this host (starts `ingero-recorder`)
    #[command(disable_help_flag = true)]
    Record {
        /// Arguments of `ingero-recorder`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARG")]
        args: Vec<OsString>,
    },
    /// Simulate an incident and tell what happened
    Demo(DemoArgs),
    /// Write a labelled trace of a known case
    Simulate(super::simulate::SimulateArgs),
    /// Cut a part out of a trace
    Slice(super::slice::SliceArgs),
    /// Compare reports with files kept for that purpose
    Golden {
        #[command(subcommand)]
        command: GoldenCommand,
    },
    /// Print the JSON Schema of a JSON report
    Schema {
        /// The command that writes the report
        #[arg(value_enum, default_value_t = SchemaOf::Analyze, value_name = "COMMAND")]
        of: SchemaOf,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write those of all commands into a folder
    Man {
        /// Write one page for each command into this folder
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
#[command(after_help = ANALYZE_HELP)]
pub(super) struct AnalyzeArgs {
    #[command(flatten)]
    pub(super) rules: RuleArgs,
    /// How to report
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(super) format: Format,
    /// Write the report to a file instead of standard output
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) output: Option<PathBuf>,
    /// Exit with 1 if any diagnosis, explained by another one or not, is at least this severe
    #[arg(long, value_name = "LEVEL", value_parser = severity())]
    pub(super) fail_on: Option<Severity>,
    /// Exit with 3 if a rule could not be judged
    #[arg(long)]
    pub(super) strict: bool,
    /// Findings to show in full in a table, Markdown or HTML; JSON always holds all
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(super) top: usize,
    #[command(flatten)]
    pub(super) input: InputArgs,
    /// Also what each rule is about, its references, and how the files were read
    #[arg(long, short, conflicts_with = "quiet")]
    pub(super) verbose: bool,
}

const ANALYZE_HELP: &str = "\
Times are instants (2026-04-02T04:38:10Z, 2026-04-02T04:38:10.5+02:00) or
offsets: +5s counts from the start of the recording, -10s from its end.
Durations: 250ms, 5s, 1m30s, 2h. Traces whose times overlap are one recording
with one start and one end; others have their own, so that `--last 5m` looks at
the last 5 minutes of every day's trace. Reports count offsets the same way.

Examples:
  ingero analyze trace.db
  ingero analyze --rules vllm --last 5m trace.db
  ingero analyze --format html --output report.html trace.db
  ingero analyze --format json --fail-on high --output report.json traces/";

/// Which rules.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct RuleArgs {
    /// Rules to run: a file, a folder, or the name of a built-in pack; without it, all packs
    #[arg(long, value_name = "FILE|NAME|DIR", value_hint = ValueHint::AnyPath)]
    pub(super) rules: Vec<PathBuf>,
    /// Set a parameter of the rules
    #[arg(long, value_name = "NAME=VALUE", value_parser = assignment)]
    pub(super) set: Vec<(String, String)>,
}

/// How to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Text for people
    Table,
    /// One JSON document (see `ingero schema`)
    Json,
    /// A JSON object a line
    Ndjson,
    /// Markdown, for issues and chats
    Markdown,
    /// One page that needs no network, with timelines and histograms
    Html,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// JUnit XML: a test case for each rule
    Junit,
    /// Annotations of GitHub Actions
    Github,
}

/// Commands whose JSON has a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum SchemaOf {
    Analyze,
    Explain,
    BenchTruth,
}

#[derive(Debug, Subcommand)]
pub(super) enum GoldenCommand {
    /// Compare; prints a unified diff and exits with 1 where a report differs
    Check(GoldenArgs),
    /// Write the reports that differ, and say which
    Bless(GoldenArgs),
}

#[derive(Debug, Args)]
pub(super) struct GoldenArgs {
    /// Folder of the golden files: NAME.txt and NAME.json for a trace NAME.db
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) dir: PathBuf,
    /// Traces, each with a report of its own
    #[arg(required = true, value_name = "TRACE", value_hint = ValueHint::AnyPath)]
    pub(super) traces: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) rules: RuleArgs,
}

fn severity() -> impl clap::builder::TypedValueParser<Value = Severity> {
    use clap::builder::TypedValueParser as _;
    clap::builder::PossibleValuesParser::new(Severity::ALL.map(|(_, name)| name))
        .map(|name| Severity::by_name(&name).unwrap_or_default())
}

pub(super) fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() && !value.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("write NAME=VALUE, for example tail=250ms".to_owned()),
    }
}

pub(super) fn amount(text: &str) -> Result<u64, String> {
    let plain = text.replace(['_', ','], "");
    let (digits, scale) = match plain.as_bytes().last() {
        Some(b'k' | b'K') => (&plain[..plain.len() - 1], 1_000),
        Some(b'M') => (&plain[..plain.len() - 1], 1_000_000),
        _ => (plain.as_str(), 1),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(scale))
        .ok_or_else(|| "write a whole number, for example 200000, 200k or 10M".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn clap_finds_no_fault() {
        Cli::command().debug_assert();
    }

    #[test]
    fn amounts_and_assignments() {
        assert_eq!(amount("10M"), Ok(10_000_000));
        assert_eq!(amount("1_500"), Ok(1_500));
        assert!(amount("many").is_err());
        assert!(amount("99999999999999M").is_err());
        assert_eq!(assignment("a = 5ms"), Ok(("a".to_owned(), "5ms".to_owned())));
        assert!(assignment("a").is_err());
        assert!(assignment("=1").is_err());
    }
}
