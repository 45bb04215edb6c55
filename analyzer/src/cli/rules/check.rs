//! `ingero rules check`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::super::args::assignment;
use super::super::console::Console;
use super::super::failure::Failure;
use super::super::time::day;
use super::super::{Outcome, analyze, engine, sources};
use super::{fix, in_trace, plural};
use crate::eval::sight::sights;
use crate::lang::render::{json, sarif};
use crate::lang::{self, Compiled};
use crate::trace::Trace;
use crate::unit::DAY;

/// Which rules to check, and how to say what is wrong.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(in crate::cli) struct CheckArgs {
    /// Rules: files, folders or names of built-in packs; without any, all packs
    #[arg(value_name = "FILE|NAME|DIR", value_hint = ValueHint::AnyPath)]
    rules: Vec<PathBuf>,
    /// Set a parameter of the rules
    #[arg(long, value_name = "NAME=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    /// Text for people, one JSON document, or SARIF for code hosts
    #[arg(long, value_enum, default_value_t = CheckFormat::Text)]
    format: CheckFormat,
    /// Make the changes that the messages suggest, and say which
    #[arg(long)]
    fix: bool,
    /// Also show what this trace holds of each metric, and what looking at it costs
    #[arg(long, value_name = "TRACE", value_hint = ValueHint::FilePath)]
    trace: Option<PathBuf>,
    /// Warn about exceptions that ended before this day; without it, before the end of the trace
    #[arg(long, value_name = "DATE", value_parser = day)]
    today: Option<i64>,
    /// Exit with 2 on warnings too
    #[arg(long)]
    deny_warnings: bool,
}

const HELP: &str = "\
A comment in or above a rule silences a warning there: # allow W0009: why that is right here

Examples:
  ingero rules check mine.rules
  ingero rules check --trace trace.db mine.rules
  ingero rules check --fix --deny-warnings rules/
  ingero rules check --today 2027-01-31 rules/
  ingero rules check --format sarif rules/ > rules.sarif";

/// How to say what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CheckFormat {
    Text,
    Json,
    Sarif,
}

pub(super) fn run(args: &CheckArgs, console: &mut Console) -> Result<Outcome, Failure> {
    if args.format == CheckFormat::Sarif && args.trace.is_some() {
        return Err(Failure::NoTraceInSarif);
    }
    let mut files = sources::load(&args.rules)?;
    let read = |checked: &Compiled, console: &mut Console| match &args.trace {
        Some(path) => analyze::read(&checked.program, std::slice::from_ref(path), console).map(Some),
        None => Ok(None),
    };
    // The clock is not asked: the same files get the same answer on any day.
    let mut today = args.today;
    let mut checked = lang::check(&files, &args.set, today);
    let mut trace = read(&checked, console)?;
    if today.is_none() {
        today = trace.as_ref().and_then(|read| last_day(&read.trace));
    }
    if args.fix {
        let changes = fix::run(&mut files, &args.set, today)?;
        if args.format == CheckFormat::Text {
            console.out(&changes)?;
        }
    }
    if args.fix || today != args.today {
        checked = lang::check(&files, &args.set, today);
    }
    if args.fix {
        // Rules that were wrong ask for more.
        trace = read(&checked, console)?;
    }
    let seen = trace.as_ref().map(|read| sights(&checked.program, &read.trace));
    match args.format {
        CheckFormat::Text => {
            let look = analyze::look(console);
            analyze::show(engine::problems(&checked, files.len(), look).iter(), console);
            if let Some(seen) = &seen {
                console.out(&in_trace::text(seen, console.layout(false).width))?;
            }
            console.out(&summary(&checked, files.len(), today))?;
        }
        CheckFormat::Json => console.out(&json::check(&checked, seen.as_deref().map(in_trace::json)))?,
        CheckFormat::Sarif => console.out(&sarif::check(&checked, env!("CARGO_PKG_VERSION")))?,
    }
    let denied = args.deny_warnings && !checked.diagnostics.is_empty();
    Ok(if checked.has_errors() || denied {
        Outcome::Partial
    } else {
        Outcome::Fine
    })
}

/// The day on which a trace ends, counted from 1970-01-01.
fn last_day(trace: &Trace) -> Option<i64> {
    let ends = trace.nodes.iter().filter_map(|n| n.observed);
    ends.map(|o| o.end.div_euclid(DAY)).max()
}

/// `1 file, 2 usable rules, 3 tests, 0 errors`.
fn summary(checked: &Compiled, files: usize, today: Option<i64>) -> String {
    let errors = checked.diagnostics.iter().filter(|d| d.is_error()).count();
    let warnings = checked.diagnostics.len() - errors;
    let mut parts = vec![
        plural(files, "file"),
        plural(checked.program.rules.len(), "usable rule"),
        plural(checked.program.tests.len(), "test"),
        plural(errors, "error"),
    ];
    if warnings > 0 {
        parts.push(plural(warnings, "warning"));
    }
    let excepts = checked.program.rules.iter().flat_map(|r| &r.excepts);
    let dated = excepts.filter(|e| e.until.is_some()).count();
    let note = match today {
        None if dated > 0 => format!(
            "{} with a last day: --today DATE tells which are over\n",
            plural(dated, "exception")
        ),
        _ => String::new(),
    };
    format!("{}\n{note}", parts.join(", "))
}
