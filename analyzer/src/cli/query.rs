//! `ingero query`.

use std::path::PathBuf;
use std::time::Duration as Time;

use clap::{Args, ValueEnum, ValueHint};

use super::Outcome;
use super::analyze::compile;
use super::args::RuleArgs;
use super::console::{Console, Kind};
use super::engine;
use super::failure::Failure;
use super::time::Duration;
use crate::report::rows::{self, RowOptions};
use crate::trace::query::{QueryLimits, Session};

/// Bytes of all values of an answer.
const MAX_BYTES: usize = 1 << 30;

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct QueryArgs {
    /// The trace
    #[arg(value_name = "TRACE", value_hint = ValueHint::FilePath)]
    trace: PathBuf,
    /// One SELECT, in the dialect of SQLite
    #[arg(value_name = "SQL")]
    sql: String,
    /// A table for people, a JSON array of objects, or CSV
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Rows to print at most; 0 prints all
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
    /// Stop the query after this long
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    timeout: Duration,
    #[command(flatten)]
    rules: RuleArgs,
}

/// How to print rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
    Csv,
}

const HELP: &str = "\
Beside the tables of the file there are views of what the analyzer makes of
them. Times are nanoseconds since 1970, durations nanoseconds:
  ev         every event: event_row, node, pid, process, tid, thread, source,
             op, family, start_ns, end_ns, dur_ns, bytes, direction, ret,
             stream, gpu, rank, cgroup, first_use, nested, …, arg0, arg1
  offcpu     stints off a CPU: waited_for_cpu_ns, blocked_on_io, preempted_by
  requests   from annotations: id, start_ns, first_token_ns, wait_ns, …
  spans      annotated steps, programs, warm-up, XIDs
  processes, threads
  diagnoses  what the rules found; evidence and witnesses join by rank, part
  rules      what every rule came to

Nothing but reading is possible, and neither the file nor its folder changes.

Examples:
  ingero query trace.db 'SELECT rank, severity, rule, message FROM diagnoses'
  ingero query trace.db 'SELECT op, count(*), max(dur_ns) FROM ev GROUP BY op'
  ingero query trace.db 'SELECT * FROM offcpu ORDER BY dur_ns DESC LIMIT 10'
  ingero query --format csv trace.db 'SELECT id, wait_ns FROM requests'
  ingero query trace.db 'SELECT * FROM witnesses JOIN ev USING (event_row)'";

pub(super) fn run(args: &QueryArgs, console: &mut Console) -> Result<Outcome, Failure> {
    let mut session = Session::open(&args.trace)?;
    let needs = session.needs(&args.sql)?;
    if needs.rules {
        let rules = compile(&args.rules, console)?;
        if rules.program.rules.is_empty() {
            return Err(Failure::NoRules);
        }
        engine::prepare_query(&mut session, Some(&rules.program))?;
    } else if needs.trace {
        engine::prepare_query(&mut session, None)?;
    }
    let limits = QueryLimits {
        rows: if args.limit == 0 { usize::MAX } else { args.limit },
        bytes: MAX_BYTES,
        time: Time::from_nanos(args.timeout.0.unsigned_abs()),
    };
    let answer = session.run(&args.sql, limits)?;
    let text = match args.format {
        Format::Table => {
            let layout = console.layout(false);
            rows::table(
                &answer,
                RowOptions {
                    width: console.terminal_width(),
                    color: layout.color,
                    ascii: layout.ascii,
                },
            )
        }
        Format::Json => rows::json(&answer),
        Format::Csv => rows::csv(&answer),
    };
    console.out(&text)?;
    if answer.more {
        console.say(
            Kind::Warning,
            &format!(
                "only the first {} rows are shown; --limit 0 shows all",
                answer.rows.len()
            ),
        );
    }
    Ok(Outcome::Fine)
}
