//! The page about CI: its commands run as they stand there.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("CI.md")).unwrap()
}

fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let parts = page.split(&fence).skip(1);
    parts.map(|b| b.split("```").next().unwrap().to_owned()).collect()
}

/// Runs lines as a shell would that stops at the first failure, with this program on the path.
fn shell(dir: &Path, script: &str) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_ingero")).parent().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(program.to_owned()).chain(std::env::split_paths(&path))).unwrap();
    Command::new("sh")
        .args(["-euc", script])
        .current_dir(dir)
        .env("PATH", path)
        .output()
        .unwrap()
}

fn text(out: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    )
}

#[test]
fn the_page_about_ci_does_what_it_says() {
    let page = page();
    let dir = tempfile::tempdir().unwrap();
    let rules = blocks(&page, "rules");
    fs::write(dir.path().join("team.rules"), &rules[0]).unwrap();
    let scripts = blocks(&page, "sh");
    assert_eq!(scripts.len(), 3, "keep, check, gate");
    for script in &scripts {
        let out = shell(dir.path(), script);
        assert_eq!(out.status.code(), Some(0), "{script}\n{}", text(&out));
    }
    let golden = fs::read_to_string(dir.path().join("goldens/incident.txt")).unwrap();
    assert!(golden.contains("SYNC_BOUND"), "{golden}");

    // The incident does not pass the gate, in any format.
    for format in ["table", "github", "sarif", "junit", "markdown", "html"] {
        let gate = format!("ingero analyze --rules cuda --format {format} --fail-on low traces/incident.db");
        let out = shell(dir.path(), &gate);
        assert_eq!(out.status.code(), Some(1), "{gate}\n{}", text(&out));
    }
    // A changed rule is a changed report.
    let stricter = rules[0]
        .replace("> 20ms", "> 2us")
        .replace("expect quiet", "expect fires");
    fs::write(dir.path().join("team.rules"), stricter).unwrap();
    let out = shell(dir.path(), &scripts[1]);
    assert_eq!(out.status.code(), Some(1), "{}", text(&out));
    assert!(
        text(&out).contains("+  ") || text(&out).contains("TEAM_SLOW_SYNC"),
        "{}",
        text(&out)
    );
    // A broken trace is not a passed gate.
    fs::write(dir.path().join("traces/healthy.db"), b"not a trace").unwrap();
    let out = shell(dir.path(), &scripts[2]);
    assert_eq!(out.status.code(), Some(2), "{}", text(&out));
}

#[test]
fn every_format_is_named_on_the_page() {
    let page = page();
    for format in ["github", "sarif", "junit", "markdown", "html"] {
        assert!(page.contains(&format!("| `{format}` |")), "{format}");
    }
}
