//! Reports that are kept under `testdata/reports`, compared by the command that users have for it.
//!
//! Traces of scenarios are played anew and are not kept. Real recordings are not kept either; their
//! reports are, and are compared where the recordings lie beside the repository.
//!
//! `BLESS=1 cargo test -p ingero --test golden` renews what differs; read the difference first.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use rusqlite::{Connection, OpenFlags, types::Value};

/// The trace that ships, relative to the repository.
const SHIPPED: &str = "investigations/hol-blocking/trace.db";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn reports(part: &str) -> PathBuf {
    repository().join("testdata/reports").join(part)
}

fn ingero(dir: &Path) -> Command {
    let mut command = Command::cargo_bin("ingero").unwrap();
    command.current_dir(dir).env("NO_COLOR", "1").env("LC_ALL", "C.UTF-8");
    command
}

/// Scenarios with a story, except the one that ships; `bulk` is made for size.
fn scenarios() -> Vec<&'static str> {
    ingero::simulate::scenarios()
        .iter()
        .map(|s| s.name)
        .filter(|n| !matches!(*n, "bulk" | "hol-blocking"))
        .collect()
}

fn simulate(dir: &Path, scenario: &str) -> String {
    let file = format!("{scenario}.db");
    ingero(dir).args(["simulate", scenario, "-o", &file]).assert().success();
    file
}

/// Compares, or renews where that is asked for. Traces are named relative to `dir`.
fn check(dir: &Path, goldens: &Path, traces: &[String]) {
    if std::env::var_os("BLESS").is_some() {
        ingero(dir)
            .args(["golden", "bless"])
            .arg(goldens)
            .args(traces)
            .assert()
            .success();
    }
    let output = ingero(dir)
        .args(["golden", "check"])
        .arg(goldens)
        .args(traces)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, format!("{} golden files are as kept\n", 2 * traces.len()));
    // Nothing is kept for a trace that is no more.
    let kept: BTreeSet<String> = fs::read_dir(goldens)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    let wanted: BTreeSet<String> = traces
        .iter()
        .filter_map(|t| Path::new(t).file_stem()?.to_str())
        .flat_map(|stem| [format!("{stem}.txt"), format!("{stem}.json")])
        .collect();
    assert_eq!(kept, wanted, "{}", goldens.display());
}

#[test]
fn the_shipped_trace() {
    check(&repository(), &reports("hol-blocking"), &[SHIPPED.to_owned()]);
}

#[test]
fn every_scenario() {
    let dir = tempfile::tempdir().unwrap();
    let traces: Vec<String> = scenarios().into_iter().map(|s| simulate(dir.path(), s)).collect();
    check(dir.path(), &reports("simulated"), &traces);
}

#[test]
fn real_recordings() {
    let near = |up: &str| repository().join(up).join("shared/traces");
    let Some(dir) = [near(".."), near("../..")].into_iter().find(|d| d.is_dir()) else {
        println!("skipped: no recordings in ../shared/traces");
        return;
    };
    let mut traces: Vec<String> = fs::read_dir(&dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| Path::new(n).extension().is_some_and(|e| e == "db"))
        .collect();
    traces.sort();
    check(&dir, &reports("recordings"), &traces);
}

/// All rows of a table, in the order of the file.
fn rows(conn: &Connection, table: &str) -> Vec<Vec<Value>> {
    let mut stmt = conn.prepare(&format!("SELECT * FROM {table}")).unwrap();
    let columns = stmt.column_count();
    stmt.query_map([], |r| (0..columns).map(|i| r.get(i)).collect())
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

/// The page beside the trace says how it was made; if that no longer makes it, make it again.
#[test]
fn the_shipped_trace_is_what_the_scenario_plays() {
    let dir = tempfile::tempdir().unwrap();
    let played = dir.path().join(simulate(dir.path(), "hol-blocking"));
    let open = |path: &Path| Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let (shipped, played) = (open(&repository().join(SHIPPED)), open(&played));
    for table in [
        "events",
        "sched_details",
        "annotations",
        "event_aggregates_5s",
        "tasks",
        "truth",
    ] {
        let (a, b) = (rows(&shipped, table), rows(&played, table));
        assert!(!a.is_empty(), "{table}");
        assert!(
            a == b,
            "{table} of {SHIPPED} differs from what `ingero simulate hol-blocking` plays"
        );
    }
    let size = fs::metadata(repository().join(SHIPPED)).unwrap().len();
    assert!(size <= 10_000_000, "{size} bytes");
    let page = fs::read_to_string(repository().join("investigations/hol-blocking/README.md")).unwrap();
    assert!(page.contains("ingero simulate hol-blocking --seed 1 -o investigations/hol-blocking/trace.db"));
}

#[test]
fn a_changed_report_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let trace = simulate(dir.path(), "lazy-load");
    let golden = |what: &str| {
        ingero(dir.path())
            .args(["golden", what, "kept", &trace])
            .output()
            .unwrap()
    };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();

    // Without a golden file nothing is as kept.
    let missing = golden("check");
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("2 of 2 golden files differ"));
    assert!(text(&missing.stdout).contains("--- /dev/null"));

    assert!(golden("bless").status.success());
    assert_eq!(golden("check").status.code(), Some(0));

    // A number, in the text and in the JSON.
    for (file, right, wrong) in [
        ("lazy-load.txt", "79 of 79 launches", "78 of 79 launches"),
        ("lazy-load.json", "\"severity\": \"low\"", "\"severity\": \"high\""),
    ] {
        let path = dir.path().join("kept").join(file);
        let kept = fs::read_to_string(&path).unwrap();
        assert!(kept.contains(right), "{kept}");
        fs::write(&path, kept.replace(right, wrong)).unwrap();
        let changed = golden("check");
        assert_eq!(changed.status.code(), Some(1), "{file}");
        assert!(text(&changed.stderr).contains("1 of 2 golden files differ"));
        let diff = text(&changed.stdout);
        let line = |sign: char, part: &str| diff.lines().any(|l| l.starts_with(sign) && l.contains(part));
        assert!(line('-', wrong) && line('+', right), "{diff}");
        assert!(diff.contains(file), "{diff}");
        // Checking mends nothing; blessing does, and says so.
        assert_eq!(golden("check").status.code(), Some(1), "{file}");
        let blessed = text(&golden("bless").stdout);
        assert!(
            blessed.contains("changed") && blessed.contains("unchanged"),
            "{blessed}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), kept);
        assert_eq!(golden("check").status.code(), Some(0));
    }

    // A rule set differently changes the report.
    let set = ingero(dir.path())
        .args(["golden", "check", "--set", "tail_share=90%", "kept", &trace])
        .output()
        .unwrap();
    assert_eq!(set.status.code(), Some(0), "this rule is quiet at 50 % and at 90 %");
    let other = ingero(dir.path())
        .args(["golden", "check", "--rules", "trace", "kept", &trace])
        .output()
        .unwrap();
    assert_eq!(other.status.code(), Some(1));
}
