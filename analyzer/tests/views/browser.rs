//! The page in a real Chromium. Where there is none, or no Python to drive it, this says so and ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::{ingero, page, stdout};

fn on_path(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let all = names.iter().flat_map(|n| dirs.iter().map(move |d| d.join(n)));
    all.into_iter().find(|p| p.is_file())
}

/// What the browser made of a page; `None` where there is no browser.
fn look(page: &str) -> Option<Value> {
    let chromium = on_path(&["chromium", "chromium-browser", "google-chrome"]);
    let (Some(chromium), Some(python)) = (chromium, on_path(&["python3"])) else {
        eprintln!("skipped: this test needs chromium and python3");
        return None;
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("page.html");
    fs::write(&path, page).unwrap();
    let out = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/views/browser.py"))
        .args([chromium, path])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{err}");
    Some(serde_json::from_slice(&out.stdout).unwrap())
}

#[test]
fn the_page_works_in_a_browser() {
    let page = stdout(&mut ingero(&[
        "analyze",
        "--format",
        "html",
        "investigations/hol-blocking/trace.db",
    ]));
    let Some(seen) = look(&page) else { return };
    assert_eq!(seen["complaints"], json!([]));
    assert_eq!(seen["requests"], json!([]));
    assert_eq!(seen["tools"], true, "the script ran: its policy allows it");
    let view = |what: &str| -> Vec<f64> {
        let text = seen[what].as_str().unwrap();
        text.split(' ').map(|n| n.parse().unwrap()).collect()
    };
    let (whole, zoomed, moved) = (view("whole"), view("zoomed"), view("moved"));
    assert!(zoomed[2] < whole[2] && zoomed[0] > whole[0], "{whole:?} {zoomed:?}");
    assert!(moved[0] > zoomed[0], "{zoomed:?} {moved:?}");
    assert_eq!(view("reset"), whole);
    assert_eq!([&seen["first"], &seen["second"], &seen["back"]], ["f1", "f2", "f1"]);
    assert_eq!(seen["nameless"], json!([]));
    assert!(seen["named"].as_u64().unwrap() > 50, "{seen}");
    assert_eq!(seen["phone_overflow"], 0);
    assert_ne!(seen["schemes"]["light"], seen["schemes"]["dark"]);
}

#[test]
fn hostile_names_do_nothing_in_a_browser() {
    let Some(seen) = look(&page::hostile()) else { return };
    assert_eq!(seen["complaints"], json!([]));
    assert_eq!(seen["requests"], json!([]));
    assert_eq!([&seen["images"], &seen["scripts"]], [0, 1]);
    assert_eq!(seen["nameless"], json!([]));
    assert_eq!(seen["phone_overflow"], 0);
}
