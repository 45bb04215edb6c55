//! Python packages of other projects, as judges of what we write: installed from PyPI into a virtual
//! environment under `target/`, once.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The interpreter of the environment; `None`, said on standard error, where it cannot be made.
pub(crate) fn python() -> Option<&'static Path> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match FOUND.get_or_init(environment) {
        Ok(path) => Some(path),
        Err(why) => {
            // Past the capture of the test runner: who reads only the summary must see it.
            let _ = writeln!(std::io::stderr(), "skipped: no Python packages to check with: {why}");
            None
        }
    }
}

fn environment() -> Result<PathBuf, String> {
    let wanted = include_str!("requirements.txt");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let interpreter = dir.join("bin/python");
    let marker = dir.join("installed");
    if fs::read_to_string(&marker).is_ok_and(|m| m == wanted) {
        return Ok(interpreter);
    }
    let run = |command: &mut Command| -> Result<(), String> {
        let output = command.output().map_err(|e| e.to_string())?;
        let tail = String::from_utf8_lossy(&output.stderr);
        let tail = tail.trim().lines().last().unwrap_or("").to_owned();
        if output.status.success() { Ok(()) } else { Err(tail) }
    };
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&dir))?;
    let requirements = dir.join("requirements.txt");
    fs::write(&requirements, wanted).map_err(|e| e.to_string())?;
    run(Command::new(&interpreter)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--retries",
            "1",
            "-r",
        ])
        .arg(&requirements))?;
    fs::write(&marker, wanted).map_err(|e| e.to_string())?;
    Ok(interpreter)
}

/// Runs a script with arguments; returns what it printed. Fails the test where the script fails.
pub(crate) fn script(python: &Path, name: &str, args: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    let output = Command::new(python).arg(script).args(args).output().unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{name} {args:?}:\n{out}\n{err}");
    out.into_owned()
}
