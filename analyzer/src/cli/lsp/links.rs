//! Names across files: what a text uses of others, and who uses what a text defines.

use std::path::{Path, PathBuf};
use std::{fs, str};

use lsp_types::Uri;

use super::super::sources;
use super::document::{Analysis, Text, names};
use crate::lang::library::PACKS;
use crate::lang::symbols::{Foreign, ImportOf, Symbols};
use crate::lang::{self, limits};
use crate::source::{SourceFile, Span};

/// Files beside a text in which names are looked up.
const NEIGHBOURS: usize = 64;

/// A file that a text imports.
pub(super) struct Imported {
    /// What its names go by.
    pub(super) alias: Option<String>,
    /// Where the text names it, with the quotes.
    pub(super) at: Span,
    /// Its path, or `std/…`.
    pub(super) file: String,
    pub(super) text: Text,
    pub(super) symbols: Symbols,
}

impl Imported {
    /// What a text imports, as far as the program of the text read it.
    pub(super) fn all(source: &SourceFile, imports: &[ImportOf], read: &[SourceFile]) -> Vec<Self> {
        let one = |i: &ImportOf| {
            let file = lang::import_name(&i.path.value, source);
            let found = read.iter().find(|f| f.name == file)?;
            let text = Text::new(std::sync::Arc::clone(&found.text));
            Some(Self {
                alias: i.alias.clone(),
                at: i.path.span,
                file,
                symbols: names(&text),
                text,
            })
        };
        imports.iter().filter_map(one).collect()
    }

    /// Where it can be opened; what is part of the program cannot.
    pub(super) fn uri(&self) -> Option<Uri> {
        uri_of(&fs::canonicalize(&self.file).ok()?)
    }
}

impl Analysis {
    /// The file that defines a name of others, and which of its names that is.
    pub(super) fn home(&self, name: &Foreign) -> Option<(&Imported, usize)> {
        let mut imports = self.imports.iter().filter(|i| i.alias == name.alias);
        imports.find_map(|i| Some((i, i.symbols.offered(&name.name)?)))
    }

    /// The imported file whose path stands at a byte.
    pub(super) fn import_at(&self, byte: u32) -> Option<&Imported> {
        self.imports.iter().find(|i| i.at.start <= byte && byte <= i.at.end)
    }
}

/// Places in a text, called `uri`, of a name that the file `home` offers.
pub(super) fn uses(uri: &Uri, text: &Text, home: &Path, name: &str) -> Vec<Span> {
    let symbols = names(text);
    let source = source_of(uri, text);
    let mut aliases = Vec::new();
    for i in &symbols.imports {
        let file = lang::import_name(&i.path.value, &source);
        if fs::canonicalize(file).is_ok_and(|f| f == home) {
            aliases.push(i.alias.as_deref());
        }
    }
    let here = |f: &&Foreign| f.name == name && aliases.contains(&f.alias.as_deref());
    symbols.foreign.iter().filter(here).map(|f| f.span).collect()
}

/// A text under the name by which its imports are found.
pub(super) fn source_of(uri: &Uri, text: &Text) -> SourceFile {
    let name = path_of(uri).map_or_else(|| uri.as_str().to_owned(), |p| p.display().to_string());
    SourceFile::new(name, std::sync::Arc::clone(&text.text))
}

/// Paths that an `import` could name: the library, then the files in the folder of a text.
pub(super) fn importable(uri: &Uri) -> Vec<String> {
    let own = path_of(uri);
    let library = PACKS.iter().map(|(name, _)| format!("std/{name}"));
    let beside = neighbours(uri).into_iter().filter(|p| Some(p) != own.as_ref());
    let beside = beside.filter_map(|p| Some(p.file_name()?.to_str()?.to_owned()));
    library.chain(beside).collect()
}

/// The files of rules in the folder of a text.
pub(super) fn neighbours(uri: &Uri) -> Vec<PathBuf> {
    let dir = path_of(uri).and_then(|p| p.parent().map(Path::to_owned));
    let mut paths = dir.and_then(|d| sources::in_folder(&d).ok()).unwrap_or_default();
    paths.truncate(NEIGHBOURS);
    paths
}

/// The text of a file on disk, where it may be one of rules.
pub(super) fn text_of(path: &Path) -> Option<Text> {
    let small = fs::metadata(path).is_ok_and(|m| m.len() <= limits::FILE_BYTES as u64);
    fs::read_to_string(path).ok().filter(|_| small).map(Text::new)
}

/// The path behind a `file:` address.
pub(super) fn path_of(uri: &Uri) -> Option<PathBuf> {
    let rest = uri.as_str().strip_prefix("file://")?;
    let mut bytes = Vec::new();
    let mut chars = rest.bytes();
    while let Some(b) = chars.next() {
        if b == b'%' {
            let hex = [chars.next()?, chars.next()?];
            bytes.push(u8::from_str_radix(str::from_utf8(&hex).ok()?, 16).ok()?);
        } else {
            bytes.push(b);
        }
    }
    Some(PathBuf::from(String::from_utf8(bytes).ok()?))
}

/// The `file:` address of a path.
pub(super) fn uri_of(path: &Path) -> Option<Uri> {
    use std::fmt::Write as _;
    let mut out = "file://".to_owned();
    for b in path.to_str()?.bytes() {
        if b.is_ascii_alphanumeric() || b"/-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
    }
    out.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_addresses_and_back() {
        for path in ["/a/b.rules", "/a b/ü%#.rules"] {
            let uri = uri_of(Path::new(path)).unwrap();
            assert_eq!(path_of(&uri).unwrap(), Path::new(path), "{}", uri.as_str());
        }
        assert_eq!(path_of(&"untitled:one".parse().unwrap()), None);
    }
}
