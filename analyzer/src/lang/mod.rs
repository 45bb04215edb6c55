//! The rule language: text to checked rules. Knows the catalogue, never a trace.
//!
//! [`token`] splits the text, [`parser`] builds the tree ([`ast`]), `resolve` settles names, types and
//! defaults and leaves [`hir`], which the evaluator runs. Problems are [`diagnostic::Diagnostic`]s; a
//! rule that has one is left out, the others of its file stay usable.

#![allow(
    clippy::many_single_char_names,
    clippy::result_large_err,
    reason = "parsers thread `t` and short results through; a diagnostic is built once per error, off any hot path"
)]

pub mod ast;
pub mod diagnostic;
pub mod explain;
pub mod fix;
pub mod fmt;
pub mod hir;
mod import;
pub mod library;
pub mod limits;
mod lint;
pub mod mutate;
pub mod parser;
pub mod print;
pub mod reference;
pub mod render;
mod resolve;
pub(crate) mod suggest;
pub mod symbols;
pub mod token;
pub mod walk;
pub mod words;

use crate::source::SourceFile;
use diagnostic::Diagnostic;
use hir::Program;

/// What became of some files of rules.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    /// The rules and tests without errors.
    pub program: Program,
    /// Every error and lint, by file and place.
    pub diagnostics: Vec<Diagnostic>,
}

impl Compiled {
    /// Whether some rule, test or definition is unusable.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Checks files of rules.
///
/// `sets` are parameter values from the command line, as `(name, value)`; each becomes a small file of
/// its own in the program, so that a diagnostic can point into it.
pub fn compile(files: &[SourceFile], sets: &[(String, String)]) -> Compiled {
    resolve::program(files, sets)
}

/// The name under which a program lists the file that an `import "path"` of `from` means.
pub fn import_name(path: &str, from: &SourceFile) -> String {
    import::name(path, from)
}

/// Checks files of rules as [`compile`] does, and adds the warnings about rules that are right but
/// probably not meant.
///
/// `today` counts days since 1970-01-01; without it no exception is called expired.
pub fn check(files: &[SourceFile], sets: &[(String, String)], today: Option<i64>) -> Compiled {
    let mut out = compile(files, sets);
    lint::add(&out.program, files, today, &mut out.diagnostics);
    out
}
