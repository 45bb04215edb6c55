//! What the program says about itself: schema, completions, manual pages.

use std::fs;
use std::path::Path;

use clap::CommandFactory as _;

use super::Outcome;
use super::args::{Cli, SchemaOf};
use super::console::Console;
use super::failure::Failure;
use crate::report::{explain, json, score};

pub(super) fn schema(of: SchemaOf, console: &mut Console) -> Result<Outcome, Failure> {
    let schema = match of {
        SchemaOf::Analyze => json::schema(),
        SchemaOf::Explain => explain::json::schema(),
        SchemaOf::BenchTruth => score::schema(),
    };
    console.out(&schema)?;
    Ok(Outcome::Fine)
}

pub(super) fn completions(shell: clap_complete::Shell, console: &mut Console) -> Result<Outcome, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ingero", &mut script);
    console.out(&String::from_utf8_lossy(&script))?;
    Ok(Outcome::Fine)
}

pub(super) fn man(dir: Option<&Path>, console: &mut Console) -> Result<Outcome, Failure> {
    if let Some(dir) = dir {
        let failed = |source| Failure::Write {
            path: dir.to_owned(),
            source,
        };
        fs::create_dir_all(dir).map_err(failed)?;
        clap_mangen::generate_to(Cli::command(), dir).map_err(failed)?;
        return Ok(Outcome::Fine);
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command())
        .render(&mut page)
        .map_err(|source| Failure::Print { source })?;
    console.out(&String::from_utf8_lossy(&page))?;
    Ok(Outcome::Fine)
}
