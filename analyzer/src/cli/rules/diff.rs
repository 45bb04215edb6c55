//! `ingero rules diff`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};

use super::super::console::Console;
use super::super::engine::Rules;
use super::super::failure::Failure;
use super::super::{Outcome, analyze};
use super::{compile, served};
use crate::diagnosis::{Analysis, Diagnosis, KeyValues, Severity};
use crate::eval;
use crate::unit::show_dur;

/// Two sets of rules, and the traces that both judge.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(in crate::cli) struct DiffArgs {
    /// The rules before: a file, a folder, or the name of a built-in pack
    #[arg(value_name = "OLD", value_hint = ValueHint::AnyPath)]
    old: PathBuf,
    /// The rules after
    #[arg(value_name = "NEW", value_hint = ValueHint::AnyPath)]
    new: PathBuf,
    /// Traces, each judged by itself
    #[arg(required = true, value_name = "TRACE", value_hint = ValueHint::AnyPath)]
    traces: Vec<PathBuf>,
}

const HELP: &str = "\
+ is found by the new rules only, - by the old ones only, ~ by both with another severity. Exits with 1 where
anything differs.

Example:
  ingero rules diff vllm mine.rules traces/*.db";

pub(super) fn run(args: &DiffArgs, console: &mut Console) -> Result<Outcome, Failure> {
    let old = compile(std::slice::from_ref(&args.old), &[], console)?;
    let new = compile(std::slice::from_ref(&args.new), &[], console)?;
    let mut out = String::new();
    let (mut whole, mut differ) = (true, false);
    for path in &args.traces {
        let (a, fine_a) = judge(&old, path, console)?;
        let (b, fine_b) = judge(&new, path, console)?;
        whole &= fine_a && fine_b;
        let lines = compare(&a, &b);
        differ |= !lines.is_empty();
        if lines.is_empty() {
            let _ = writeln!(out, "{}: no difference", path.display());
        } else {
            let _ = writeln!(out, "{}", path.display());
            for line in lines {
                let _ = writeln!(out, "  {line}");
            }
        }
    }
    console.out(&out)?;
    let fine = |r| served(r) == Outcome::Fine;
    Ok(if !whole || !fine(&old) || !fine(&new) {
        Outcome::Partial
    } else if differ {
        Outcome::Found
    } else {
        Outcome::Fine
    })
}

fn judge(rules: &Rules, path: &Path, console: &mut Console) -> Result<(Analysis, bool), Failure> {
    let read = analyze::read(&rules.program, std::slice::from_ref(&path.to_owned()), console)?;
    let analysis = eval::analyze(&rules.program, &read.trace, eval::Options::default());
    Ok((analysis, read.whole))
}

/// What differs, verdicts first, by rule.
fn compare(old: &Analysis, new: &Analysis) -> Vec<String> {
    let verdicts = |a: &Analysis| -> BTreeMap<String, (String, String)> {
        let one = |r: &crate::diagnosis::RuleResult| {
            let word = r.status.name().replace('_', " ");
            (r.name.clone(), (word, r.reason.clone()))
        };
        a.rules.iter().map(one).collect()
    };
    let (before, after) = (verdicts(old), verdicts(new));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut out = Vec::new();
    for name in names {
        match (before.get(name), after.get(name)) {
            (Some((a, _)), Some((b, why))) if a != b => {
                let why = if why.is_empty() {
                    String::new()
                } else {
                    format!(" ({why})")
                };
                out.push(format!("~ {name}: {a}, now {b}{why}"));
            }
            (Some((a, _)), None) => out.push(format!("- the rule {name} ({a})")),
            (None, Some((b, _))) => out.push(format!("+ the rule {name} ({b})")),
            _ => {}
        }
    }
    let found = |a: &Analysis| -> BTreeMap<(String, KeyValues), (Severity, String)> {
        let one = |d: &Diagnosis| ((d.rule.clone(), d.key.clone()), (d.severity, said(d)));
        a.diagnoses.iter().map(one).collect()
    };
    let (before, after) = (found(old), found(new));
    let keys: BTreeSet<&(String, KeyValues)> = before.keys().chain(after.keys()).collect();
    for key in keys {
        match (before.get(key), after.get(key)) {
            (Some((a, _)), Some((b, _))) if a != b => {
                let whom = key.1.words(true);
                out.push(format!("~ {}: {whom}: {}, now {}", key.0, a.name(), b.name()));
            }
            (Some((_, said)), None) => out.push(format!("- {said}")),
            (None, Some((_, said))) => out.push(format!("+ {said}")),
            _ => {}
        }
    }
    out
}

fn said(d: &Diagnosis) -> String {
    format!(
        "{}: {}: {}, {} lost",
        d.rule,
        d.key.words(true),
        d.severity.name(),
        show_dur(d.impact_ns)
    )
}
