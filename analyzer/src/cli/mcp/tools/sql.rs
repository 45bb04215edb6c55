//! SQL over a trace file.

use std::sync::PoisonError;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Page, State, Tool, answer, told};
use crate::cli::engine;
use crate::report::rows;
use crate::trace::query::{QueryError, QueryLimits, Session};

/// Time for a query.
const TIME: Duration = Duration::from_secs(10);
/// Bytes of the answer to a query.
const BYTES: usize = 256 << 10;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Sql {
    /// The SELECT.
    query: String,
    /// Path of the trace, as `overview` names it; the first one unless given.
    trace: Option<String>,
}

impl Tool for Sql {
    const NAME: &'static str = "sql";
    const TITLE: &'static str = "SQL, for reading only";
    const ABOUT: &'static str = "One SELECT in the dialect of SQLite over one trace file. Views: ev (every event: \
                                 event_row, node, pid, process, tid, thread, source, op, family, start_ns, end_ns, \
                                 dur_ns, bytes, …), offcpu, requests, spans, processes, threads, diagnoses, evidence, \
                                 witnesses, rules. Times are ns since 1970.";
    const PAGED: bool = true;

    fn call(&self, state: &State, page: Page) -> Result<Value, String> {
        let files = &state.trace.files;
        let file = match &self.trace {
            None => files.first(),
            Some(path) => files.iter().find(|f| f.path.display().to_string() == *path),
        };
        let path = file.map(|f| f.path.clone()).ok_or_else(|| {
            let known: Vec<String> = files.iter().map(|f| f.path.display().to_string()).collect();
            format!("there is no such trace; there are {}", known.join(", "))
        })?;
        let mut held = state.session.lock().unwrap_or_else(PoisonError::into_inner);
        let fail = |e: QueryError| told(&e.into());
        // A session that was given the engine's tables serves all later queries of its file.
        let mut session = match held.take().filter(|s| s.path() == path) {
            Some(session) => session,
            None => {
                let mut session = Session::open(&path).map_err(fail)?;
                let needs = session.needs(&self.query).map_err(fail)?;
                if !needs.rules && !needs.trace {
                    return run(&mut session, &self.query, page).map_err(fail);
                }
                engine::prepare_query(&mut session, Some(&state.program)).map_err(fail)?;
                session
            }
        };
        let rows = run(&mut session, &self.query, page).map_err(fail);
        *held = Some(session);
        rows
    }
}

fn run(session: &mut Session, query: &str, Page { from, limit }: Page) -> Result<Value, QueryError> {
    let limits = QueryLimits {
        rows: from.saturating_add(limit),
        bytes: BYTES.saturating_mul(from / limit + 1),
        time: TIME,
    };
    let mut found = session.run(query, limits)?;
    let rows: Vec<Value> = found
        .rows
        .drain(..)
        .skip(from)
        .map(|r| Value::Array(r.iter().map(rows::value).collect()))
        .collect();
    let next = from + rows.len();
    let more = found.more && !rows.is_empty();
    let data = json!({ "columns": found.columns, "rows": rows });
    Ok(answer(data, more.then_some(next)))
}
