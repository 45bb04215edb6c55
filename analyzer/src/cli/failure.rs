//! Why a command could not run.

use std::io;
use std::path::PathBuf;

use crate::lang::suggest::nearest;
use crate::simulate::SimulateError;
use crate::trace::query::QueryError;
use crate::trace::slice::SliceError;
use crate::trace::writer::{MergeError, WriteError};
use crate::unit::{Dim, Num, Style, show, show_count};

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
    /// A file is no longer what it was when it was read.
    #[error("{} was changed meanwhile, so it was not written", .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
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
    /// The corpus has no case of a rule.
    #[error("the corpus has no case of `{rule}`")]
    NoCase {
        /// As given.
        rule: String,
    },
    /// `--rule` narrows the corpus, and something else was asked for.
    #[error("--rule chooses among the cases of `corpus`")]
    RuleWithoutCorpus,
    /// A part was asked for around a finding that there is not.
    #[error("{rule} finds nothing in this trace")]
    NoFinding {
        /// The rule.
        rule: String,
        /// Rules that find something.
        fired: Vec<String>,
    },
    /// A parameter value from the command line that no rule can use.
    #[error("a value given with --set cannot be used")]
    BadSet,
    /// No trace could be read.
    #[error("no trace could be read")]
    NoTrace,
    /// `--memory` is too little.
    #[error("{}", too_large(.what, *.bytes, *.budget, .most.as_ref()))]
    TooLarge {
        /// What takes it.
        what: String,
        /// Bytes that it takes.
        bytes: u64,
        /// Bytes that are allowed.
        budget: u64,
        /// The operation that takes most, and its rows.
        most: Option<(String, u64)>,
    },
    /// Two passes over a file did not find the same.
    #[error("{} was written to while it was read", .path.display())]
    Changing {
        /// The file.
        path: PathBuf,
    },
    /// `--pid` names nobody.
    #[error("no process {pid} did anything in this trace")]
    NoSuchProcess {
        /// As given.
        pid: i64,
    },
    /// Nothing of that name.
    #[error("there is no rule {name}")]
    NoSuchRule {
        /// As given.
        name: String,
        /// The nearest names.
        near: Vec<String>,
    },
    /// No test says so.
    #[error("no test says \"{words}\"")]
    NoSuchTest {
        /// As given.
        words: String,
    },
    /// What a trace holds is no problem of a text.
    #[error("SARIF has no place for what a trace holds: --trace goes with --format text or json")]
    NoTraceInSarif,
    /// A survivor that is accepted without a reason.
    #[error("{}:{line}: this accepts a survivor without a reason", .path.display())]
    NoReason {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
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
    /// Traces could not be merged.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// `--node-name` names a trace that is not among those to merge.
    #[error("--node-name names {}, which is not one of the traces", .trace.display())]
    NamesNoTrace {
        /// As given.
        trace: PathBuf,
    },
    /// A server that other hosts could reach.
    #[error("{address} is not a loopback address")]
    NotLoopback {
        /// As given.
        address: std::net::SocketAddr,
    },
    /// A token that anybody could present.
    #[error("the token is empty")]
    EmptyToken,
    /// A server could not start or go on.
    #[error("cannot serve: {source}")]
    Serve {
        /// Why.
        source: io::Error,
    },
    /// A query could not be served.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// No part of a trace could be cut out.
    #[error(transparent)]
    Slice(#[from] SliceError),
    /// A trace could not be simulated.
    #[error(transparent)]
    Simulate(#[from] SimulateError),
}

fn too_large(what: &str, bytes: u64, budget: u64, most: Option<&(String, u64)>) -> String {
    let size = |n: u64| show(Num::int(n.into()), Dim::BYTES, Style::Auto);
    let most = most.map_or_else(String::new, |(op, rows)| {
        format!(", most of it for {} rows of {op}", show_count(*rows))
    });
    format!(
        "{what} takes about {} of memory{most}; --memory allows {}",
        size(bytes),
        size(budget)
    )
}

impl Failure {
    /// The way out, where there is one.
    pub(super) fn help(&self) -> Option<String> {
        match self {
            Self::NoSuchRules { packs, .. } if packs.is_empty() => None,
            Self::NoSuchRules { packs, .. } => Some(format!("built-in packs: {}", packs.join(", "))),
            Self::NoSuchRule { near, .. } if near.is_empty() => Some("`ingero rules list` names them all".to_owned()),
            Self::NoSuchRule { near, .. } => Some(format!("did you mean {}?", near.join(" or "))),
            Self::TooLarge { .. } => Some(
                "allow more with --memory, judge other rules with --rules, or cut a part with `ingero slice` and judge that"
                    .to_owned(),
            ),
            Self::Changing { .. } => Some("run it again once nobody writes, or without --memory".to_owned()),
            Self::NoSuchProcess { .. } => Some("`ingero explain --per-process` without --pid lists them".to_owned()),
            Self::NoCase { .. } => Some("`ingero simulate corpus --list` lists all cases".to_owned()),
            Self::RuleWithoutCorpus => Some("as in `ingero simulate corpus --rule SYNC_BOUND -o corpus/`".to_owned()),
            Self::NoSuchTest { .. } => Some("without --name all tests run, and their names are shown".to_owned()),
            Self::NoReason { .. } => Some("write `RULE: CHANGE # why no test should notice it`".to_owned()),
            Self::SameGolden { .. } => Some("keep them in different folders, or rename one".to_owned()),
            Self::NoRecorder => Some(
                "it is a program of its own that runs as root on the GPU host: install it beside `ingero`; a recorded \
                 trace can be analysed anywhere"
                    .to_owned(),
            ),
            Self::Merge(MergeError::Read(error)) => miette::Diagnostic::help(error).map(|h| h.to_string()),
            Self::Merge(MergeError::SameNode { second, .. }) => {
                Some(format!("give one another name: --node-name {}=NAME", second.display()))
            }
            Self::NotLoopback { .. } => {
                Some("the trace would be open to the network; use 127.0.0.1, and a tunnel from elsewhere".to_owned())
            }
            Self::Query(error) => query_help(error),
            Self::Simulate(SimulateError::Unknown { .. }) => Some("`ingero simulate --list` names them all".to_owned()),
            Self::Simulate(SimulateError::Write(WriteError::Exists { .. }))
            | Self::Merge(MergeError::Write(WriteError::Exists { .. }))
            | Self::Slice(SliceError::Write(WriteError::Exists { .. })) => Some("--force replaces it".to_owned()),
            Self::Slice(SliceError::Trace(error)) => miette::Diagnostic::help(error).map(|help| help.to_string()),
            Self::Slice(SliceError::Merged { .. }) => {
                Some("cut the traces it was made of, and merge the parts".to_owned())
            }
            Self::NoFinding { fired, .. } if fired.is_empty() => Some("no rule does: give --from and --to".to_owned()),
            Self::NoFinding { fired, .. } => Some(format!("these do: {}", fired.join(", "))),
            Self::Slice(SliceError::TooLarge { .. }) => {
                Some("allow more: counts, names and threads of the whole recording are kept in every part".to_owned())
            }
            _ => None,
        }
    }
}

pub(super) fn query_help(error: &QueryError) -> Option<String> {
    let near = |name: &str, known: &[String]| {
        let bare = name.rsplit('.').next().unwrap_or(name);
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        nearest(bare, &known).map(|n| format!("did you mean {n}?"))
    };
    match error {
        QueryError::Trace(error) => miette::Diagnostic::help(error).map(|h| h.to_string()),
        QueryError::NoTable { name, known } => {
            Some(near(name, known).unwrap_or_else(|| format!("there are {}", known.join(", "))))
        }
        QueryError::NoColumn { name, known } => {
            Some(near(name, known).unwrap_or_else(|| "`SELECT * FROM ev LIMIT 1` shows the columns of ev".to_owned()))
        }
        QueryError::NotAllowed { .. } => Some("the file is evidence; work on a copy with another tool".to_owned()),
        QueryError::Empty => Some("for example: SELECT * FROM diagnoses".to_owned()),
        QueryError::Several => Some("keep one, or run the command once for each".to_owned()),
        QueryError::TimedOut { .. } => Some("ask for less (WHERE, LIMIT), or raise --timeout".to_owned()),
        QueryError::TooLarge { .. } => Some("ask for fewer columns or rows (LIMIT)".to_owned()),
        _ => None,
    }
}
