//! `import`: which files a file brings in. The only place of the language that reads files.

use std::path::{Component, Path, PathBuf};

use super::ast::Import;
use super::diagnostic::{Code, Diagnostic};
use super::library::PACKS;
use super::limits;
use crate::source::{SourceFile, SourceId, Span};

/// What tells one imported file from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Identity {
    /// A pack inside the program.
    Pack(&'static str),
    /// A file, its path made plain.
    File(PathBuf),
}

/// Who a file is that was given by name. Packs go by their bare names.
pub(super) fn identity(name: &str) -> Identity {
    let pack = PACKS
        .iter()
        .find(|(n, _)| *n == name || name.strip_prefix("std/") == Some(n));
    pack.map_or_else(|| Identity::File(plain(Path::new(name))), |(n, _)| Identity::Pack(n))
}

/// A path without `.` and without `x/..`.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if out.file_name().is_some() => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// Who is imported, relative to the file that says so.
pub(super) fn target(import: &Import, from: &SourceFile) -> Identity {
    of(&import.path.value, from)
}

fn of(written: &str, from: &SourceFile) -> Identity {
    if written.starts_with("std/") {
        return identity(written);
    }
    let base = match identity(&from.name) {
        Identity::File(path) => path.parent().map(Path::to_path_buf).unwrap_or_default(),
        Identity::Pack(_) => PathBuf::new(),
    };
    Identity::File(plain(&base.join(written)))
}

/// The name of the file that a path in an `import` means, as the program lists it.
pub(super) fn name(written: &str, from: &SourceFile) -> String {
    match of(written, from) {
        Identity::Pack(name) => format!("std/{name}"),
        Identity::File(path) => path.display().to_string(),
    }
}

/// The text of an imported file, under the name that messages show.
pub(super) fn read(who: &Identity, import: &Import, at: SourceId) -> Result<SourceFile, Diagnostic> {
    let written = import.path.value.as_str();
    let wrong = |message: String| Diagnostic::new(Code::Import, at, import.path.span, message);
    let path = match who {
        Identity::Pack(name) => {
            let text = PACKS.iter().find(|(n, _)| n == name).map_or("", |(_, t)| t);
            return Ok(SourceFile::new(format!("std/{name}"), text));
        }
        Identity::File(path) if written.starts_with("std/") => {
            let known: Vec<String> = PACKS.iter().map(|(n, _)| format!("std/{n}")).collect();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let inside = Span {
                start: import.path.span.start + 1,
                end: import.path.span.end.saturating_sub(1),
            };
            let d = wrong(format!("there is no `{}` in the library", path.display()));
            return Err(d.suggest(inside, written, &known, "the library holds"));
        }
        Identity::File(path) => path,
    };
    let unreadable = |e: &dyn std::fmt::Display| {
        wrong(format!("cannot read `{}`: {e}", path.display())).help("paths are relative to this file")
    };
    let about = std::fs::metadata(path).map_err(|e| unreadable(&e))?;
    if !about.is_file() {
        return Err(unreadable(&"it is no file"));
    }
    if about.len() > limits::FILE_BYTES as u64 {
        return Err(unreadable(&"it is too large"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| unreadable(&e))?;
    Ok(SourceFile::new(path.display().to_string(), text))
}
