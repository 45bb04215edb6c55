//! What INTEGRATIONS.md says is so.

use std::fs;
use std::process::Command;

use ingero::trace::row::{COLUMNS, Get};

use crate::support::{ingero, repo};

fn page() -> String {
    fs::read_to_string(repo("analyzer/INTEGRATIONS.md")).unwrap()
}

/// Texts of the code blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let page = page();
    let start = format!("```{language}\n");
    let rest = page.split(start.as_str()).skip(1);
    rest.map(|b| b.split("\n```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_columns_of_parquet_are_listed() {
    let page = page();
    for c in COLUMNS {
        let kind = match c.get {
            _ if ["start_ns", "end_ns", "runnable_ns"].contains(&c.name) => "TIMESTAMP",
            Get::Int(_) => "INT64",
            Get::Flag(_) => "BOOLEAN",
            Get::Text(_) => "STRING",
        };
        let line = format!("| `{}` | {kind} | {} |", c.name, c.about);
        assert!(page.contains(&line), "{line}");
    }
}

#[test]
fn the_query_of_the_page_prints_what_it_shows() {
    let blocks = blocks("console");
    assert_eq!(blocks.len(), 1);
    let (command, shown) = blocks[0].split_once('\n').unwrap();
    let sql = command.split('\'').nth(1).unwrap();
    let trace = repo("investigations/hol-blocking/trace.db");
    let output = ingero()
        .args(["query".as_ref(), trace.as_os_str(), sql.as_ref()])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), shown);
}

#[test]
fn the_commands_of_the_page_run() {
    let dir = tempfile::tempdir().unwrap();
    let recorded = repo("investigations/hol-blocking/trace.db");
    fs::copy(&recorded, dir.path().join("trace.db")).unwrap();
    fs::copy(&recorded, dir.path().join("a.db")).unwrap();
    fs::copy(repo("investigations/recapture/trace.db"), dir.path().join("b.db")).unwrap();
    let program = assert_cmd::cargo::cargo_bin("ingero");
    let path = format!(
        "{}:{}",
        program.parent().unwrap().display(),
        std::env::var("PATH").unwrap()
    );
    let commands: Vec<String> = blocks("sh")
        .iter()
        .flat_map(|b| b.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert_eq!(commands.len(), 5);
    for command in commands {
        let again = command.contains("--node-name");
        let command = if again {
            command.replace("all.db", "again.db")
        } else {
            command
        };
        let output = Command::new("sh")
            .args(["-c", &command])
            .env("PATH", &path)
            .current_dir(&dir)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{command}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
