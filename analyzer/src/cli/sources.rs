//! From `--rules` to texts of rules.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::builtin::PACKS;
use super::failure::Failure;
use crate::source::SourceFile;

/// How names of texts begin that come with the program.
const BUILTIN: &str = "<builtin>/";

/// The texts behind these names: files, folders (their `.rules` files by name), built-in packs.
/// Without any name, all built-in packs. A file that is named twice is read once.
pub(super) fn load(names: &[PathBuf]) -> Result<Vec<SourceFile>, Failure> {
    if names.is_empty() {
        return Ok(PACKS.iter().map(builtin).collect());
    }
    let mut seen = BTreeSet::new();
    let mut files = Vec::new();
    for name in names {
        // A bare name is a pack, even where a folder has that name too: `./vllm` is the folder.
        if let Some(pack) = PACKS.iter().find(|(n, _)| Path::new(n) == name) {
            if seen.insert(PathBuf::from(format!("<builtin>/{}", pack.0))) {
                files.push(builtin(pack));
            }
            continue;
        }
        let paths = if name.is_dir() {
            in_folder(name)?
        } else if name.exists() {
            vec![name.clone()]
        } else {
            return Err(Failure::NoSuchRules {
                name: name.clone(),
                packs: PACKS.iter().map(|(n, _)| *n).collect(),
            });
        };
        for path in paths {
            let same = path.canonicalize().unwrap_or_else(|_| path.clone());
            if seen.insert(same) {
                let text = fs::read_to_string(&path).map_err(|source| Failure::Read {
                    path: path.clone(),
                    source,
                })?;
                files.push(SourceFile::new(path.display().to_string(), text));
            }
        }
    }
    Ok(files)
}

/// Whether a text comes with the program, so that there is no file to change.
pub(super) fn is_builtin(file: &SourceFile) -> bool {
    file.name.starts_with(BUILTIN)
}

fn builtin((name, text): &(&str, &'static str)) -> SourceFile {
    SourceFile::new(format!("{BUILTIN}{name}.rules"), *text)
}

/// The `.rules` files of a folder, by name.
pub(super) fn in_folder(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |source| Failure::Read {
        path: dir.to_owned(),
        source,
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|e| e == "rules") && path.is_file() {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(Failure::NoRulesIn { dir: dir.to_owned() });
    }
    paths.sort();
    Ok(paths)
}
