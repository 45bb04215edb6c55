//! `ingero rules why-not`.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::super::args::RuleArgs;
use super::super::console::Console;
use super::super::failure::Failure;
use super::super::{Outcome, analyze};
use super::{find, program_of, served};
use crate::eval;
use crate::eval::why::{Answer, WhyNot, why_not};
use crate::report::wrap;

/// Which rule, on which traces.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(in crate::cli) struct WhyNotArgs {
    /// Its name or id
    rule: String,
    /// Traces, or folders of traces; several are judged as one fleet, by node
    #[arg(required = true, value_name = "TRACE", value_hint = ValueHint::AnyPath)]
    traces: Vec<PathBuf>,
    #[command(flatten)]
    rules: RuleArgs,
    /// Judge this process only
    #[arg(long, value_name = "PID")]
    pid: Option<i64>,
    /// Processes (or other keys) to show, nearest miss first
    #[arg(long, value_name = "N", default_value_t = 5)]
    top: usize,
}

const HELP: &str = "\
Each condition is shown with its value and with what it needs. Nearest to firing comes first.

Examples:
  ingero rules why-not LAUNCH_TAIL_CONTENTION trace.db
  ingero rules why-not MY_RULE --rules mine.rules --pid 4211 trace.db";

pub(super) fn run(args: &WhyNotArgs, console: &mut Console) -> Result<Outcome, Failure> {
    let rules = analyze::compile(&args.rules, console)?;
    let rule = find(&rules.program, &args.rule)?;
    let program = program_of(&rules.program, rule);
    let trace = analyze::read(&program, &args.traces, console)?;
    let options = eval::Options { pid: args.pid };
    let found = why_not(&program, rule, &trace.trace, options);
    let width = console.layout(false).width;
    let mut out = format!("{}\n", format!("{}  {}", rule.name, rule.title).trim_end());
    if found.is_empty() {
        let (status, reason) = eval::analyze(&program, &trace.trace, options)
            .rules
            .into_iter()
            .next()
            .map_or((String::new(), String::new()), |r| {
                (r.status.name().replace('_', " "), r.reason)
            });
        let said = match args.pid {
            _ if !reason.is_empty() => reason,
            Some(pid) => format!("process {pid} has none of its events, if it is in the trace at all"),
            None => "no process or node has any of its events".to_owned(),
        };
        let _ = writeln!(out, "{status}: {said}");
    }
    for w in found.iter().take(args.top) {
        out.push('\n');
        one(&mut out, w, width);
    }
    if found.len() > args.top {
        let _ = writeln!(out, "\n{} more; --top shows them", found.len() - args.top);
    }
    console.out(&out)?;
    Ok(if trace.whole { served(&rules) } else { Outcome::Partial })
}

fn one(out: &mut String, w: &WhyNot, width: usize) {
    let verdict = match w.answer {
        Answer::Holds => "it fires".to_owned(),
        Answer::Unknown => "the trace cannot tell".to_owned(),
        Answer::Fails => format!(
            "{} of {} conditions hold",
            w.required().count() - w.misses(),
            w.required().count()
        ),
    };
    let _ = writeln!(out, "{}: {verdict}", w.key.words(true));
    for c in &w.conditions {
        let indent = "  ".repeat(c.depth);
        let room = width.saturating_sub(11 + indent.len());
        let mut lines = |head: &str, text: &str| {
            for (i, line) in wrap(text, room, room).iter().enumerate() {
                let _ = writeln!(out, "  {:7}  {indent}{line}", if i == 0 { head } else { "" });
            }
        };
        lines(c.answer.word(), &c.text);
        if !c.says.is_empty() {
            lines("", &format!("= {}", c.says));
        }
    }
}
