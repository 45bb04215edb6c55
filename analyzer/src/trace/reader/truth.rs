//! What is true in a trace, where somebody knows it.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use serde::Deserialize;

use super::open::Opened;
use crate::trace::error::TraceError;
use crate::unit::Interval;

/// Something that is true in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// What it is.
    pub kind: TruthKind,
    /// The rule that should name it, or must not; empty where that is not known.
    pub rule: String,
    /// Whose; 0 for what concerns the node.
    pub pid: i64,
    /// When.
    pub when: Interval,
    /// One sentence.
    pub note: String,
}

/// What a [`Truth`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TruthKind {
    /// Why it was slow.
    Cause,
    /// What follows from a cause.
    Symptom,
    /// Nothing is wrong here.
    Healthy,
    /// It looks like what the rule names, and is not.
    Twin,
    /// The rule may name it and need not: it lies at a threshold, or beside a cause.
    May,
    /// Anything else.
    Note,
}

impl TruthKind {
    fn by_name(name: &str) -> Self {
        match name {
            "cause" => Self::Cause,
            "symptom" => Self::Symptom,
            "healthy" => Self::Healthy,
            "twin" => Self::Twin,
            "may" => Self::May,
            _ => Self::Note,
        }
    }
}

/// A line of `truth.jsonl`: which rules should name what a program did wrong on purpose, for the program
/// cannot know.
#[derive(Deserialize)]
struct Line {
    truth: String,
    note: String,
    /// What it is instead, where that lay outside of the program: how its server was started.
    #[serde(default)]
    really: Option<String>,
    #[serde(default)]
    rule: String,
    #[serde(default)]
    symptoms: Vec<String>,
}

/// Reads the table `truth` of a trace, in its order; empty where there is none.
///
/// Rows that name no rule get the one of the next line of the same kind and note in `truth.jsonl` beside the
/// trace, and what they are instead, where it says so; the symptoms that stand there follow them.
///
/// # Errors
/// [`TraceError`] where the file is no trace, or the table or the lines cannot be read.
pub fn truth(path: &Path) -> Result<Vec<Truth>, TraceError> {
    let opened = Opened::new(path)?;
    let rows = table(&opened.connect()?).map_err(|e| TraceError::from_sql(path, &e))?;
    let mut lines = lines(&path.with_file_name("truth.jsonl"))?;
    let mut out = Vec::new();
    for mut row in rows {
        let fits = |l: &Line| row.rule.is_empty() && TruthKind::by_name(&l.truth) == row.kind && l.note == row.note;
        let line = lines.iter().position(fits).map(|i| lines.remove(i));
        if let Some(line) = &line {
            row.rule.clone_from(&line.rule);
            row.kind = line.really.as_deref().map_or(row.kind, TruthKind::by_name);
        }
        let symptoms = line.as_ref().map_or(&[][..], |l| &l.symptoms).iter().map(|rule| Truth {
            kind: TruthKind::Symptom,
            rule: rule.clone(),
            ..row.clone()
        });
        let symptoms: Vec<Truth> = symptoms.collect();
        out.push(row);
        out.extend(symptoms);
    }
    Ok(out)
}

fn table(conn: &Connection) -> rusqlite::Result<Vec<Truth>> {
    let there = "SELECT EXISTS (SELECT 1 FROM main.sqlite_schema WHERE type='table' AND name='truth')";
    if !conn.query_row(there, [], |r| r.get::<_, bool>(0))? {
        return Ok(Vec::new());
    }
    let mut statement = conn.prepare("SELECT kind, rule, pid, start_ns, end_ns, note FROM main.truth ORDER BY id")?;
    let rows = statement.query_map([], |r| {
        Ok(Truth {
            kind: TruthKind::by_name(&r.get::<_, String>(0)?),
            rule: r.get(1)?,
            pid: r.get(2)?,
            when: Interval::new(r.get(3)?, r.get(4)?),
            note: r.get(5)?,
        })
    })?;
    rows.collect()
}

fn lines(path: &Path) -> Result<Vec<Line>, TraceError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(TraceError::from_io(path, &e)),
    };
    let wrong = |(i, e): (usize, serde_json::Error)| TraceError::Corrupt {
        path: path.to_owned(),
        detail: format!("line {}: {e}", i + 1),
    };
    let filled = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty());
    filled
        .map(|(i, l)| serde_json::from_str(l).map_err(|e| wrong((i, e))))
        .collect()
}
