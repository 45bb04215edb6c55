//! `ingero rules test`.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::super::console::{Console, Kind};
use super::super::failure::Failure;
use super::super::{Outcome, engine, sources};
use super::{compile, find, named, served};

/// Which tests to run.
#[derive(Debug, Args)]
pub(in crate::cli) struct TestArgs {
    /// Rules: files, folders or names of built-in packs; without any, all packs
    #[arg(value_name = "FILE|NAME|DIR", value_hint = ValueHint::AnyPath)]
    rules: Vec<PathBuf>,
    /// Only tests of this rule
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
}

pub(super) fn run(args: &TestArgs, console: &mut Console) -> Result<Outcome, Failure> {
    let (names, rule) = (args.rules.as_slice(), args.rule.as_deref());
    let rules = compile(names, console)?;
    if let Some(name) = rule {
        find(&rules.program, name)?;
    }
    let files = sources::load(names)?;
    let results = engine::run_tests(&files, &[], &rules.program, rule);
    let failed = results.iter().filter(|r| !r.failure.is_empty()).count();
    let mut out = String::new();
    for r in &results {
        if r.failure.is_empty() {
            let _ = writeln!(out, "ok      {}: {}", r.rule, r.name);
        } else {
            let _ = writeln!(out, "FAILED  {}: {} ({})", r.rule, r.name, r.place);
            for line in r.failure.lines() {
                let _ = writeln!(out, "        {line}");
            }
        }
    }
    let _ = writeln!(out, "{} passed, {failed} failed", results.len() - failed);
    console.out(&out)?;
    let untested: Vec<&str> = rules
        .program
        .rules
        .iter()
        .filter(|r| rule.is_none_or(|name| named(r, name)))
        .filter(|r| !rules.program.tests.iter().any(|t| t.rule == r.name))
        .map(|r| r.name.as_str())
        .collect();
    if !untested.is_empty() {
        console.say(Kind::Warning, &format!("without a test: {}", untested.join(", ")));
    }
    Ok(if failed > 0 { Outcome::Found } else { served(&rules) })
}
