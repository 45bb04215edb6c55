//! The command line: arguments in, text and an exit code out.
//!
//! Exit codes: 0 it ran; 1 a diagnosis at or above `--fail-on`, a failed rule test or a golden
//! file that differs; 2 the request could not be served, or not fully; 3 with `--strict`,
//! something could not be judged. Where several apply, 2 outweighs 1, and 1 outweighs 3.

mod analyze;
mod args;
mod bench_truth;
mod builtin;
mod compare_chains;
mod console;
mod demo;
mod docs;
mod engine;
mod explain;
mod export;
mod failure;
mod golden;
mod input;
mod lsp;
mod mcp;
mod memory;
mod merge;
mod query;
mod record;
mod rules;
mod simulate;
mod slice;
mod sources;
mod time;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Command, GoldenCommand};
use console::Console;
use failure::Failure;

pub use builtin::PACKS;

/// What a command came to, where it could run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Nothing to complain about.
    Fine,
    /// A diagnosis at or above `--fail-on`, a failed test, a difference.
    Found,
    /// A part of the request could not be served.
    Partial,
    /// `--strict`, and something could not be judged.
    Unjudged,
}

impl Outcome {
    fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Found => 1,
            Self::Partial => 2,
            Self::Unjudged => 3,
        }
    }
}

/// Runs the command that the arguments of the process ask for.
pub fn main() -> ExitCode {
    ExitCode::from(run(std::env::args_os()))
}

fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(problem) => return usage(&problem),
    };
    let mut console = Console::new(cli.color);
    match dispatch(&cli, &mut console) {
        Ok(outcome) => outcome.code(),
        Err(failure) => {
            console.failure(&failure);
            Outcome::Partial.code()
        }
    }
}

/// Help goes to standard output and is what was asked for; everything else of clap is an error.
fn usage(problem: &clap::Error) -> u8 {
    let mut console = Console::new(args::ColorChoice::Auto);
    let (text, help) = (problem.render(), !problem.use_stderr());
    let color = if help { console.color_out() } else { console.color_err() };
    let text = if color {
        text.ansi().to_string()
    } else {
        text.to_string()
    };
    if help {
        match console.out(&text) {
            Ok(()) => return 0,
            Err(failure) => console.failure(&failure),
        }
    } else {
        console.err(&text);
    }
    2
}

fn dispatch(cli: &Cli, console: &mut Console) -> Result<Outcome, Failure> {
    match &cli.command {
        Command::Analyze(args) => analyze::run(args, console),
        Command::Explain(args) => explain::run(args, console),
        Command::Rules { command } => rules::run(command, console),
        Command::CompareChains(args) => compare_chains::run(args, console),
        Command::BenchTruth(args) => bench_truth::run(args, console),
        Command::Demo(args) => demo::run(args, console),
        Command::Simulate(args) => simulate::run(args, console),
        Command::Slice(args) => slice::run(args, console),
        Command::Golden { command } => match command {
            GoldenCommand::Check(args) => golden::check(args, console),
            GoldenCommand::Bless(args) => golden::bless(args, console),
        },
        Command::Export(args) => export::run(args, console),
        Command::Mcp(args) => mcp::run(args, console),
        Command::Merge(args) => merge::run(args, console),
        Command::Query(args) => query::run(args, console),
        Command::Record { args } => record::run(args),
        Command::Schema { of } => docs::schema(*of, console),
        Command::Completions { shell } => docs::completions(*shell, console),
        Command::Man { dir } => docs::man(dir.as_deref(), console),
    }
}

/// Reads all there is in these files; says what cannot be read and goes on with the rest. The second
/// value says whether there was such a thing.
fn read_whole(
    paths: &[std::path::PathBuf],
    from: Option<time::Instant>,
    to: Option<time::Instant>,
    console: &mut Console,
) -> Result<(crate::trace::Trace, bool), Failure> {
    let (trace, unreadable) = engine::read_whole(paths, from, to);
    for p in &unreadable {
        console.say(console::Kind::Error, &format!("{}: {}", p.path, p.message));
        if let Some(help) = &p.help {
            console.say(console::Kind::Help, help);
        }
    }
    Ok((trace.ok_or(Failure::NoTrace)?, !unreadable.is_empty()))
}
