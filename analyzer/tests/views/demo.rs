//! `ingero demo`.

use std::fs;

use crate::{ingero, stdout};

#[test]
fn the_demo_tells_an_incident_and_leaves_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let out = stdout(ingero(&["demo"]).env("TMPDIR", scratch.path()));
    assert!(out.contains("[HIGH] Short requests wait behind long ones"), "{out}");
    assert!(out.contains("demo hol-blocking: 71,208 events"), "{out}");
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    // The same on every run, whatever its folder was called.
    assert_eq!(out, stdout(&mut ingero(&["demo"])));
}

#[test]
fn a_folder_keeps_trace_and_page() {
    let dir = tempfile::tempdir().unwrap();
    let out = stdout(&mut ingero(&[
        "demo",
        "sync-bound",
        "--dir",
        dir.path().to_str().unwrap(),
    ]));
    assert!(out.contains("SYNC_BOUND"), "{out}");
    let page = fs::read_to_string(dir.path().join("report.html")).unwrap();
    assert!(page.contains("SYNC_BOUND"));
    assert!(dir.path().join("trace.db").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn the_page_is_opened_or_named() {
    let scratch = tempfile::tempdir().unwrap();
    let nothing = tempfile::tempdir().unwrap();
    let run = ingero(&["demo", "sync-bound", "--open"])
        .env("TMPDIR", scratch.path())
        .env("PATH", nothing.path())
        .assert()
        .success();
    let out = String::from_utf8(run.get_output().stdout.clone()).unwrap();
    let err = String::from_utf8(run.get_output().stderr.clone()).unwrap();
    assert!(err.contains("open the page by hand"), "{err}");
    let page = out.lines().find_map(|l| l.strip_prefix("The page is ")).unwrap();
    let page = page.split(", the trace").next().unwrap();
    assert!(fs::read_to_string(page).unwrap().starts_with("<!doctype html>"));
}

#[test]
fn an_unknown_case_is_named() {
    let run = ingero(&["demo", "sync"]).assert().code(2);
    let err = String::from_utf8(run.get_output().stderr.clone()).unwrap();
    assert!(err.contains("no scenario `sync`; did you mean `sync-bound`"), "{err}");
}
