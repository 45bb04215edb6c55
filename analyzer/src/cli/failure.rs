//! Why a command could not run.

use std::io;
use std::path::PathBuf;

use crate::simulate::SimulateError;
use crate::trace::writer::WriteError;

/// Why a command could not run. All of these exit with 2.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum Failure {
    /// `--rules` names nothing.
    #[error("no rules {}: neither a file nor a folder nor a built-in pack", .name.display())]
    NoSuchRules {
        /// As given.
        name: PathBuf,
        /// Names of the built-in packs.
        packs: Vec<&'static str>,
    },
    /// A folder without rules.
    #[error("{}: no file in this folder ends in .rules", .dir.display())]
    NoRulesIn {
        /// The folder.
        dir: PathBuf,
    },
    /// A file could not be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Standard output could not be written.
    #[error("cannot write to standard output: {source}")]
    Print {
        /// Why.
        source: io::Error,
    },
    /// There is no rule to run.
    #[error("there is no rule to run")]
    NoRules,
    /// A parameter value from the command line that no rule can use.
    #[error("a value given with --set cannot be used")]
    BadSet,
    /// No trace could be read.
    #[error("no trace could be read")]
    NoTrace,
    /// Nothing of that name.
    #[error("there is no rule {name}")]
    NoSuchRule {
        /// As given.
        name: String,
        /// The nearest names.
        near: Vec<String>,
    },
    /// Two traces would share their golden files.
    #[error("{} and {} would share the golden file {name}.txt", .first.display(), .second.display())]
    SameGolden {
        /// Stem of both.
        name: String,
        /// One.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A trace without a name to derive a golden file's name from.
    #[error("{}: cannot name a golden file after this", .path.display())]
    NoStem {
        /// As given.
        path: PathBuf,
    },
    /// The recorder is not installed.
    #[error("cannot find `ingero-recorder` beside this program or on PATH")]
    NoRecorder,
    /// The recorder did not start.
    #[error("cannot start {}: {source}", .path.display())]
    Recorder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A trace could not be simulated.
    #[error(transparent)]
    Simulate(#[from] SimulateError),
    /// A part of the program that this build lacks.
    #[error("{0} is not built in yet")]
    NotBuiltIn(&'static str),
}

impl Failure {
    /// The way out, where there is one.
    pub(super) fn help(&self) -> Option<String> {
        match self {
            Self::NoSuchRules { packs, .. } if packs.is_empty() => None,
            Self::NoSuchRules { packs, .. } => Some(format!("built-in packs: {}", packs.join(", "))),
            Self::NoSuchRule { near, .. } if near.is_empty() => Some("`ingero rules list` names them all".to_owned()),
            Self::NoSuchRule { near, .. } => Some(format!("did you mean {}?", near.join(" or "))),
            Self::SameGolden { .. } => Some("keep them in different folders, or rename one".to_owned()),
            Self::NoRecorder => Some(
                "it is a program of its own that runs as root on the GPU host: install it beside `ingero`; a recorded \
                 trace can be analysed anywhere"
                    .to_owned(),
            ),
            Self::Simulate(SimulateError::Unknown { .. }) => Some("`ingero simulate --list` names them all".to_owned()),
            Self::Simulate(SimulateError::Write(WriteError::Exists { .. })) => Some("--force replaces it".to_owned()),
            _ => None,
        }
    }
}
