//! What people and their tools look at: `explain`, the formats for CI, the page, the demo.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests may unwrap and print")]

mod report_model;

#[path = "views/browser.rs"]
mod browser;
#[path = "views/chains.rs"]
mod chains;
#[path = "views/ci.rs"]
mod ci;
#[path = "views/corpus.rs"]
mod corpus;
#[path = "views/demo.rs"]
mod demo;
#[path = "views/explain.rs"]
mod explain;
#[path = "views/gates.rs"]
mod gates;
#[path = "views/page.rs"]
mod page;

#[path = "views/score.rs"]
mod score;

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use ingero::diagnosis::Analysis;
use ingero::report::Report;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The program, run at the root of the repository.
fn ingero(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ingero"));
    command
        .current_dir(root())
        .args(args)
        .env_remove("COLUMNS")
        .env_remove("NO_COLOR")
        .env("LC_ALL", "C.UTF-8");
    command
}

/// Standard output of a run that succeeds.
fn stdout(command: &mut Command) -> String {
    let out = command.assert().success().get_output().stdout.clone();
    String::from_utf8(out).unwrap()
}

fn report(analysis: &Analysis) -> Report<'_> {
    Report {
        analysis,
        problems: &[],
        window: None,
        version: "test",
    }
}
