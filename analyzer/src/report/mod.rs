//! Reports: a finished [`Analysis`] as text, JSON or Markdown.
//!
//! Nothing here computes: every number comes from the model. Equal models give equal bytes.

pub mod explain;
pub mod facts;
pub mod github;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod ndjson;
mod paint;
pub mod rows;
pub mod sarif;
pub mod score;
pub mod table;
mod words;

pub(crate) use paint::wrap;

use crate::diagnosis::Analysis;
use crate::unit::Interval;

/// What a report is made of: the model, and what happened around it.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// What was found.
    pub analysis: &'a Analysis,
    /// What could not be served: rule files with errors, unreadable traces.
    pub problems: &'a [Problem],
    /// The stretch of trace time that was asked for; `None` for all of it.
    pub window: Option<Interval>,
    /// Version of the tool, as the report shall name it.
    pub version: &'a str,
}

/// A part of the request that could not be served, while the rest was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind of thing.
    pub kind: ProblemKind,
    /// The file, as the user gave it.
    pub path: String,
    /// What is wrong with it, and what that means for this report.
    pub message: String,
}

/// What a [`Problem`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// A rule file.
    Rules,
    /// A trace.
    Trace,
}

impl ProblemKind {
    /// As in JSON: `rules`, `trace`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rules => "rules",
            Self::Trace => "trace",
        }
    }
}

/// How a text for people is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextOptions {
    /// Columns. No line is wider (but never less than [`MIN_WIDTH`]).
    pub width: usize,
    /// Colours and bold type as ANSI escapes.
    pub color: bool,
    /// Only ASCII, for locales that are not UTF-8.
    pub ascii: bool,
    /// Primary findings shown; the rest is counted.
    pub top: usize,
    /// Also the rules' documentation, references, every rule's outcome and how the file was read.
    pub verbose: bool,
}

/// Narrower than this, the text is laid out as if it were this wide.
pub const MIN_WIDTH: usize = 60;

impl Default for TextOptions {
    fn default() -> Self {
        Self {
            width: 80,
            color: false,
            ascii: false,
            top: 5,
            verbose: false,
        }
    }
}
