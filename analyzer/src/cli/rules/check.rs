//! `ingero rules check`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum, ValueHint};

use super::super::args::assignment;
use super::super::console::Console;
use super::super::failure::Failure;
use super::super::{Outcome, analyze, engine, sources};
use super::{fix, plural};
use crate::eval::sight::{Seen, sights};
use crate::lang::render::{json, sarif};
use crate::lang::{self, Compiled};
use crate::report::wrap;
use crate::unit::{Dim, Num, Style, show};

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
  ingero rules check --format sarif rules/ > rules.sarif";

/// How to say what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CheckFormat {
    Text,
    Json,
    Sarif,
}

pub(super) fn run(args: &CheckArgs, console: &mut Console) -> Result<Outcome, Failure> {
    let mut files = sources::load(&args.rules)?;
    if args.fix {
        let changes = fix::run(&mut files, &args.set, today())?;
        if args.format == CheckFormat::Text {
            console.out(&changes)?;
        }
    }
    let checked = lang::check(&files, &args.set, today());
    match args.format {
        CheckFormat::Text => {
            let look = analyze::look(console);
            analyze::show(engine::problems(&checked, files.len(), look).iter(), console);
            if let Some(path) = &args.trace {
                let shown = in_trace(&checked, path, console)?;
                console.out(&shown)?;
            }
            console.out(&summary(&checked, files.len()))?;
        }
        CheckFormat::Json => console.out(&json::check(&checked))?,
        CheckFormat::Sarif => console.out(&sarif::check(&checked, env!("CARGO_PKG_VERSION")))?,
    }
    let denied = args.deny_warnings && !checked.diagnostics.is_empty();
    Ok(if checked.has_errors() || denied {
        Outcome::Partial
    } else {
        Outcome::Fine
    })
}

/// Names of absent operations that are shown; a bare source asks for dozens.
const NAMES: usize = 6;

/// What a trace holds of each metric of the rules.
fn in_trace(checked: &Compiled, path: &PathBuf, console: &mut Console) -> Result<String, Failure> {
    let read = analyze::read(&checked.program, std::slice::from_ref(path), console)?;
    let width = console.layout(false).width;
    let mut out = String::new();
    for s in sights(&checked.program, &read.trace) {
        for line in wrap(&s.text, width, width) {
            let _ = writeln!(out, "{line}");
        }
        let mut say = |head: &str, text: &str| {
            for (i, line) in wrap(text, width.saturating_sub(10), width.saturating_sub(10))
                .iter()
                .enumerate()
            {
                let _ = writeln!(out, "  {:6}  {line}", if i == 0 { head } else { "" });
            }
        };
        // Operations that were seen each on a line, the others together.
        let (there, absent): (Vec<_>, Vec<_>) = s
            .parts
            .iter()
            .partition(|(_, seen)| !matches!(seen, Seen::Nothing | Seen::Unobserved));
        for (name, seen) in there {
            say("there", &format!("{name}: {}", seen.words()));
        }
        for kind in [Seen::Nothing, Seen::Unobserved] {
            let names: Vec<&str> = absent
                .iter()
                .filter(|(_, k)| *k == kind)
                .map(|(n, _)| n.as_str())
                .collect();
            let more = names.len().saturating_sub(NAMES);
            let shown = names.into_iter().take(NAMES).collect::<Vec<_>>().join(", ");
            let rest = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            if !shown.is_empty() {
                say("absent", &format!("{shown}{rest}: {}", kind.words()));
            }
        }
        if !s.missing_columns.is_empty() {
            say("absent", &format!("the columns {}", s.missing_columns.join(", ")));
        }
        let rows = show(Num::int(s.rows.into()), Dim::NONE, Style::Auto);
        say("cost", &format!("looks at {rows} rows, for {}", s.rules.join(", ")));
    }
    Ok(out)
}

/// `1 file, 2 usable rules, 3 tests, 0 errors`.
fn summary(checked: &Compiled, files: usize) -> String {
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
    format!("{}\n", parts.join(", "))
}

/// Days since 1970-01-01, where the clock can be believed.
fn today() -> Option<i64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs() / 86_400).ok()
}
