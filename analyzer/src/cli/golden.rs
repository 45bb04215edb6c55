//! `ingero golden`: reports that are kept and compared.
//!
//! A golden report is the text at 80 columns without colour, and the JSON. Both name traces and
//! rules as given on the command line, so run it from the same folder with relative paths. The
//! version of the tool is left out: a release must not change every file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use similar::TextDiff;

use super::args::GoldenArgs;
use super::console::{Console, Kind};
use super::failure::Failure;
use super::{Outcome, analyze};
use crate::report::{Report, TextOptions, json, table};

/// A file as it should be.
struct Golden {
    path: PathBuf,
    text: String,
}

pub(super) fn check(args: &GoldenArgs, console: &mut Console) -> Result<Outcome, Failure> {
    let (goldens, mut outcome) = render(args, console)?;
    let mut differ = 0;
    for golden in &goldens {
        let kept = kept(&golden.path)?;
        if kept.as_deref() == Some(&golden.text) {
            continue;
        }
        differ += 1;
        let text = diff(&golden.path, kept.as_deref(), &golden.text, console.color_out());
        console.out(&text)?;
    }
    let same = goldens.len() - differ;
    if differ > 0 {
        console.say(
            Kind::Error,
            &format!("{differ} of {} golden files differ", goldens.len()),
        );
        console.say(Kind::Help, "if the reports are right, `ingero golden bless` keeps them");
        if outcome == Outcome::Fine {
            outcome = Outcome::Found;
        }
    } else {
        console.out(&format!("{same} golden files are as kept\n"))?;
    }
    Ok(outcome)
}

pub(super) fn bless(args: &GoldenArgs, console: &mut Console) -> Result<Outcome, Failure> {
    let (goldens, outcome) = render(args, console)?;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Failure::Write { path, source }
    };
    fs::create_dir_all(&args.dir).map_err(failed(&args.dir))?;
    for golden in &goldens {
        let kept = kept(&golden.path)?;
        let what = match kept {
            Some(text) if text == golden.text => "unchanged",
            Some(_) => "changed",
            None => "new",
        };
        if what != "unchanged" {
            fs::write(&golden.path, &golden.text).map_err(failed(&golden.path))?;
        }
        console.out(&format!("{what:<9}  {}\n", golden.path.display()))?;
    }
    Ok(outcome)
}

fn render(args: &GoldenArgs, console: &mut Console) -> Result<(Vec<Golden>, Outcome), Failure> {
    let stems = stems(&args.traces)?;
    let rules = analyze::compile(&args.rules, console)?;
    let mut outcome = Outcome::Fine;
    let mut goldens = Vec::new();
    for (stem, trace) in stems {
        let traces = [trace];
        let request = analyze::Request {
            traces: &traces,
            ..analyze::Request::default()
        };
        let judged = analyze::judge(&rules, &request, console)?;
        if !judged.problems.is_empty() {
            outcome = Outcome::Partial;
        }
        let report = Report {
            analysis: &judged.analysis,
            problems: &judged.problems,
            window: judged.window,
            version: "golden",
        };
        goldens.push(Golden {
            path: args.dir.join(format!("{stem}.txt")),
            text: table::render(&report, &TextOptions::default()),
        });
        goldens.push(Golden {
            path: args.dir.join(format!("{stem}.json")),
            text: json::render(&report),
        });
    }
    Ok((goldens, outcome))
}

/// Which file belongs to which trace, by name.
fn stems(traces: &[PathBuf]) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let mut stems: BTreeMap<String, PathBuf> = BTreeMap::new();
    for trace in traces {
        let Some(stem) = trace.file_stem().and_then(|s| s.to_str()) else {
            return Err(Failure::NoStem { path: trace.clone() });
        };
        if let Some(first) = stems.insert(stem.to_owned(), trace.clone()) {
            return Err(Failure::SameGolden {
                name: stem.to_owned(),
                first,
                second: trace.clone(),
            });
        }
    }
    Ok(stems)
}

fn kept(path: &Path) -> Result<Option<String>, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Failure::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

/// A unified diff from what is kept to what is said now.
pub(super) fn diff(path: &Path, kept: Option<&str>, now: &str, color: bool) -> String {
    let name = path.display().to_string();
    let old = if kept.is_some() { name.as_str() } else { "/dev/null" };
    let diff = TextDiff::from_lines(kept.unwrap_or(""), now);
    let plain = diff.unified_diff().header(old, &name).to_string();
    if !color {
        return plain;
    }
    let mut out = String::new();
    for line in plain.lines() {
        let codes = match line.as_bytes().first() {
            Some(b'-') => "31",
            Some(b'+') => "32",
            _ => "0",
        };
        let _ = writeln!(out, "\x1b[{codes}m{line}\x1b[0m");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_unified_diffs() {
        let text = diff(Path::new("g/a.txt"), Some("one\ntwo\n"), "one\n2\n", false);
        assert_eq!(text, "--- g/a.txt\n+++ g/a.txt\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n");
        let text = diff(Path::new("g/a.txt"), None, "one\n", false);
        assert_eq!(text, "--- /dev/null\n+++ g/a.txt\n@@ -0,0 +1 @@\n+one\n");
    }

    #[test]
    fn traces_of_one_name_are_refused() {
        let traces = [PathBuf::from("a/x.db"), PathBuf::from("b/x.db")];
        assert!(matches!(stems(&traces), Err(Failure::SameGolden { .. })));
    }
}
