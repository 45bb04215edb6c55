//! `ingero simulate`.

use std::fmt::Write as _;

use super::Outcome;
use super::args::SimulateArgs;
use super::console::Console;
use super::engine;
use super::failure::Failure;
use crate::unit::show_count;

pub(super) fn run(args: &SimulateArgs, console: &mut Console) -> Result<Outcome, Failure> {
    if let (Some(name), Some(path)) = (&args.scenario, &args.output) {
        let events = engine::simulate(name, path, args.events, args.seed, args.force)?;
        console.out(&format!("{}: {} events\n", path.display(), show_count(events)))?;
        return Ok(Outcome::Fine);
    }
    let scenarios: Vec<_> = engine::scenarios().collect();
    let width = scenarios.iter().map(|s| s.0.len()).max().unwrap_or(0);
    let mut out = String::new();
    for (name, title) in scenarios {
        let _ = writeln!(out, "{name:width$}  {title}");
    }
    console.out(&out)?;
    Ok(Outcome::Fine)
}
