//! Changing texts of rules as their diagnostics suggest.
//!
//! A file is written only where it can be written back whole: through a second file in its folder
//! that takes its place, after the text on disk was compared with the one that was read.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use super::super::failure::Failure;
use super::super::sources;
use crate::lang::{self, fix, render};
use crate::source::SourceFile;

/// One change may bring the next mistake to light; more rounds than this are a circle.
const ROUNDS: usize = 16;

/// Applies edits until none is left and writes the files that changed. Returns what was done, a
/// line for each change.
pub(super) fn run(files: &mut [SourceFile], set: &[(String, String)], today: Option<i64>) -> Result<String, Failure> {
    let before = files.to_vec();
    let mut said = String::new();
    for _ in 0..ROUNDS {
        let checked = lang::check(files, set, today);
        let mut changed = false;
        for (i, file) in files.iter_mut().enumerate().filter(|(_, f)| !sources::is_builtin(f)) {
            let here = || checked.diagnostics.iter().filter(|d| d.file.0 as usize == i);
            let (text, done) = fix::apply(&file.text, here().filter_map(|d| d.edit.as_ref()));
            for edit in &done {
                let code = here()
                    .find(|d| d.edit.as_ref() == Some(edit))
                    .map_or("", |d| d.code.as_str());
                let (line, column) = file.line_col(edit.span.start);
                let change = render::change(edit, Some(file));
                let _ = writeln!(said, "fixed {}:{line}:{column}: {change} ({code})", file.name);
            }
            if !done.is_empty() {
                changed = true;
                *file = SourceFile::new(file.name.clone(), text);
            }
        }
        if !changed {
            break;
        }
    }
    for (old, new) in before.iter().zip(files.iter()).filter(|(o, n)| o.text != n.text) {
        replace(Path::new(&old.name), &old.text, &new.text)?;
    }
    Ok(said)
}

/// Puts a new text in the place of the one that was read.
fn replace(path: &Path, old: &str, new: &str) -> Result<(), Failure> {
    let failed = |source| Failure::Write {
        path: path.to_owned(),
        source,
    };
    // A link stays one: what it points to is replaced.
    let real = path.canonicalize().map_err(failed)?;
    let mode = fs::metadata(&real).map_err(failed)?.permissions();
    if mode.readonly() {
        return Err(failed(std::io::ErrorKind::PermissionDenied.into()));
    }
    if fs::read(&real).map_err(failed)? != old.as_bytes() {
        return Err(Failure::Changed { path: path.to_owned() });
    }
    let mut name = std::ffi::OsString::from(".");
    name.push(real.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    let beside = real.with_file_name(name);
    let written = write(&beside, new, mode).and_then(|()| fs::rename(&beside, &real));
    written.map_err(|e| {
        // What could not take the place of the file is of no use beside it.
        let _ = fs::remove_file(&beside);
        failed(e)
    })
}

fn write(path: &Path, text: &str, mode: fs::Permissions) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    file.set_permissions(mode)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
