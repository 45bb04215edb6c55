//! The tools: what each takes and what it answers. No protocol in here.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::text::{NOTICE, tame_all};
use crate::cli::engine::{self, Look};
use crate::cli::failure::query_help;
use crate::cli::time::{Duration as Length, Instant};
use crate::diagnosis::{Analysis, Diagnosis, Severity};
use crate::lang::hir::Program;
use crate::report::explain::json as explain;
use crate::report::json as report_json;
use crate::report::rows;
use crate::report::{Report, markdown};
use crate::source::SourceFile;
use crate::trace::query::{QueryLimits, Session};
use crate::trace::row::{COLUMNS, Get};
use crate::trace::{Lane, Trace};
use crate::unit::{Interval, MS, Num, SEC, show_utc};

/// Items of a page, unless asked otherwise.
const PAGE: usize = 10;
/// Items of a page at most.
const MOST: usize = 100;
/// Bytes of a draft of rules.
const DRAFT: usize = 64 << 10;
/// Time for a query.
const QUERY_TIME: Duration = Duration::from_secs(10);
/// Bytes of the answer to a query.
const QUERY_BYTES: usize = 256 << 10;

/// What all calls share.
pub(super) struct State {
    trace: Trace,
    program: Program,
    analysis: Analysis,
    /// Texts of the rules.
    pub(super) files: Vec<SourceFile>,
    /// The file that `sql` asked last: opening and judging one takes a while.
    session: Mutex<Option<Session>>,
}

/// A tool.
pub(super) struct ToolDef {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    pub(super) schema: fn() -> Map<String, Value>,
    run: fn(&State, Value) -> Result<Value, String>,
}

/// All of them, in the order in which an investigation uses them.
pub(super) const TOOLS: &[ToolDef] = &[
    ToolDef {
        name: "overview",
        title: "Overview",
        about: "What was recorded and what was found: traces, their coverage, counts of diagnoses and of rules by outcome. Start here.",
        schema: schema::<Nothing>,
        run: |s, a| parse(a).map(|Nothing {}| s.overview()),
    },
    ToolDef {
        name: "diagnoses",
        title: "Diagnoses",
        about: "The ranked diagnoses in short, worst first. Ask `diagnosis` for the proof of one.",
        schema: schema::<DiagnosesArgs>,
        run: |s, a| s.diagnoses(&parse(a)?),
    },
    ToolDef {
        name: "diagnosis",
        title: "One diagnosis",
        about: "One diagnosis with all its evidence: values against thresholds, events, advice, what would refute it.",
        schema: schema::<DiagnosisArgs>,
        run: |s, a| s.diagnosis(&parse(a)?),
    },
    ToolDef {
        name: "per_process",
        title: "Statistics by process",
        about: "What each process did, by operation: calls, total, average, median, 99th percentile, longest; with `threads` also by thread, with time off the CPU. A value is a number, bounds, or null where the trace cannot tell.",
        schema: schema::<ProcessArgs>,
        run: |s, a| s.per_process(&parse(a)?),
    },
    ToolDef {
        name: "timeline",
        title: "Events around a moment",
        about: "Events of all layers that overlap a moment, by start: calls, off-CPU stints, I/O, requests.",
        schema: schema::<TimelineArgs>,
        run: |s, a| s.timeline(&parse(a)?),
    },
    ToolDef {
        name: "rules_list",
        title: "Rules",
        about: "The rules that were judged: what each is about and what it came to (fired, quiet, not_applicable, unknown) with the reason.",
        schema: schema::<PageArgs>,
        run: |s, a| s.rules_list(&parse(a)?),
    },
    ToolDef {
        name: "rule_explain",
        title: "Explain a rule",
        about: "A rule in words: what it means, what it needs, every default that applies.",
        schema: schema::<RuleArgs>,
        run: |s, a| s.rule_explain(&parse(a)?),
    },
    ToolDef {
        name: "rule_check",
        title: "Check a draft rule",
        about: "Compiles the text of rules without running it and says everything that is wrong, with place and suggestion.",
        schema: schema::<DraftArgs>,
        run: |_, a| State::rule_check(&parse(a)?),
    },
    ToolDef {
        name: "rule_run",
        title: "Run a draft rule",
        about: "Compiles the text of rules and judges the trace by them.",
        schema: schema::<DraftArgs>,
        run: |s, a| s.rule_run(&parse(a)?),
    },
    ToolDef {
        name: "sql",
        title: "SQL, for reading only",
        about: "One SELECT in the dialect of SQLite over one trace file. Views: ev (every event: event_row, node, pid, process, tid, thread, source, op, family, start_ns, end_ns, dur_ns, bytes, …), offcpu, requests, spans, processes, threads, diagnoses, evidence, witnesses, rules. Times are ns since 1970.",
        schema: schema::<SqlArgs>,
        run: |s, a| s.sql(&parse(a)?),
    },
];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PageArgs {
    /// Items of the page: 1 to 100, 10 unless given.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DiagnosesArgs {
    /// Only those at least this severe: info, low, medium, high, critical.
    severity: Option<String>,
    /// Items of the page: 1 to 100, 10 unless given.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DiagnosisArgs {
    /// Its rank, as `diagnoses` gives it.
    rank: usize,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ProcessArgs {
    /// Only this process; unless given, those that use the GPU come first.
    pid: Option<i64>,
    /// Also by thread.
    #[serde(default)]
    threads: bool,
    /// Items of the page: 1 to 100, 10 unless given.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TimelineArgs {
    /// The moment: +5s counts from the start of the trace, -5s from its end, or an instant like
    /// 2026-04-02T04:38:10Z, or ns since 1970.
    at: String,
    /// How far around it, before and after: 100ms unless given.
    around: Option<String>,
    /// Only this process.
    pid: Option<i64>,
    /// Only this thread.
    tid: Option<i64>,
    /// Only this source: cuda, driver, sched, io, net, request, …
    source: Option<String>,
    /// Only events at least this long, like 1ms.
    min_duration: Option<String>,
    /// Items of the page: 1 to 100, 10 unless given.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RuleArgs {
    /// Its name or id.
    rule: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DraftArgs {
    /// Text of one or more rules, up to 64 KiB.
    text: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SqlArgs {
    /// The SELECT.
    query: String,
    /// Path of the trace, as `overview` names it; the first one unless given.
    trace: Option<String>,
    /// Rows of the page: 1 to 100, 10 unless given.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

fn schema<T: JsonSchema>() -> Map<String, Value> {
    match serde_json::to_value(schemars::schema_for!(T)) {
        Ok(Value::Object(all)) => all,
        _ => Map::new(),
    }
}

fn parse<T: DeserializeOwned>(arguments: Value) -> Result<T, String> {
    serde_json::from_value(arguments).map_err(|e| format!("wrong arguments: {e}"))
}

/// Where a page starts, and how many items it holds.
fn page(limit: Option<usize>, cursor: Option<&str>) -> Result<(usize, usize), String> {
    let limit = limit.unwrap_or(PAGE);
    if !(1..=MOST).contains(&limit) {
        return Err(format!("limit is 1 to {MOST}, not {limit}"));
    }
    let from = match cursor {
        None => 0,
        Some(c) => c
            .parse()
            .map_err(|_| "cursor is not one that a page before gave".to_owned())?,
    };
    Ok((from, limit))
}

/// Answers with the items from a place on, and where the next page starts.
fn paged(items: &[Value], (from, limit): (usize, usize)) -> Value {
    let shown: Vec<Value> = items.iter().skip(from).take(limit).cloned().collect();
    let next = from.saturating_add(shown.len());
    let more = next < items.len() && !shown.is_empty();
    let data = json!({ "total": items.len(), "items": shown });
    answer(data, more.then_some(next))
}

fn answer(data: Value, next: Option<usize>) -> Value {
    let next = next.map(|n| n.to_string());
    json!({ "notice": NOTICE, "data": tame_all(data), "next_cursor": next })
}

fn seconds(ns: i64) -> f64 {
    Num::ratio(ns.into(), SEC.into()).map_or(0.0, Num::to_f64)
}

const PLAIN: Look = Look {
    width: 100,
    color: false,
    utf8: false,
};

impl State {
    pub(super) fn new(trace: Trace, program: Program, files: Vec<SourceFile>) -> Self {
        Self {
            analysis: engine::analyze(&program, &trace, None, 0),
            trace,
            program,
            files,
            session: Mutex::default(),
        }
    }

    /// Calls a tool; `None` where there is no such one. The error is for whoever called.
    pub(super) fn call(&self, name: &str, arguments: Value) -> Option<Result<Value, String>> {
        let tool = TOOLS.iter().find(|t| t.name == name)?;
        Some((tool.run)(self, arguments))
    }

    fn report(analysis: &Analysis) -> Report<'_> {
        Report {
            analysis,
            problems: &[],
            window: None,
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// The report in Markdown.
    pub(super) fn markdown(&self) -> String {
        markdown::render(&Self::report(&self.analysis), 5)
    }

    /// The report in JSON.
    pub(super) fn json(&self) -> String {
        report_json::render(&Self::report(&self.analysis))
    }

    fn observed(&self) -> Option<Interval> {
        self.trace
            .nodes
            .iter()
            .filter_map(|n| n.observed)
            .reduce(Interval::hull)
    }

    /// An offset from the start of the trace, as reports write it.
    fn offset(&self, at: i64) -> f64 {
        let from = self.observed().map_or(0, |o| o.start);
        seconds(at.saturating_sub(from))
    }

    fn overview(&self) -> Value {
        let found = |level| self.analysis.diagnoses.iter().filter(|d| d.severity == level).count();
        let severities: Map<String, Value> = Severity::ALL
            .iter()
            .map(|(level, name)| ((*name).to_owned(), json!(found(*level))))
            .collect();
        let mut outcomes: Map<String, Value> = Map::new();
        for name in ["fired", "quiet", "not_applicable", "unknown"] {
            let n = self.analysis.rules.iter().filter(|r| r.status.name() == name).count();
            outcomes.insert(name.to_owned(), json!(n));
        }
        let traces = report_json::traces(&self.analysis);
        answer(
            json!({
                "start": self.observed().map(|o| show_utc(o.start)),
                "length_s": self.observed().map(|o| seconds(o.len())),
                "traces": traces,
                "diagnoses_by_severity": severities,
                "rules_by_outcome": outcomes,
            }),
            None,
        )
    }

    fn short(&self, d: &Diagnosis) -> Value {
        json!({
            "rank": d.rank,
            "rule": d.rule,
            "severity": d.severity.name(),
            "confidence": f64::from(d.confidence) / 1000.0,
            "message": d.message,
            "node": d.key.node,
            "process": d.key.process,
            "pid": d.key.pid,
            "start_ns": d.when.start,
            "start_offset_s": self.offset(d.when.start),
            "length_ns": d.when.len(),
            "lost_ns": d.impact_ns,
            "explained_by": d.explained_by.and_then(|i| self.analysis.diagnoses.get(i)).map(|by| by.rank),
        })
    }

    fn diagnoses(&self, args: &DiagnosesArgs) -> Result<Value, String> {
        let page = page(args.limit, args.cursor.as_deref())?;
        let least = match &args.severity {
            None => Severity::Info,
            Some(name) => Severity::by_name(name).ok_or_else(|| {
                let names = Severity::ALL.map(|s| s.1).join(", ");
                format!("there is no severity `{name}`: it is one of {names}")
            })?,
        };
        let items: Vec<Value> = self
            .analysis
            .diagnoses
            .iter()
            .filter(|d| d.severity >= least)
            .map(|d| self.short(d))
            .collect();
        Ok(paged(&items, page))
    }

    fn diagnosis(&self, args: &DiagnosisArgs) -> Result<Value, String> {
        let found = self.analysis.diagnoses.iter().find(|d| d.rank == args.rank);
        let d = found.ok_or_else(|| match self.analysis.diagnoses.len() {
            0 => "there are no diagnoses; `rules_list` says why".to_owned(),
            n => format!("there is no diagnosis of rank {}: they are 1 to {n}", args.rank),
        })?;
        Ok(answer(json!(report_json::diagnosis(d, &self.analysis)), None))
    }

    fn per_process(&self, args: &ProcessArgs) -> Result<Value, String> {
        let page = page(args.limit, args.cursor.as_deref())?;
        let mut profiles = engine::profile(&self.trace, args.pid, 0);
        if let (Some(pid), true) = (args.pid, profiles.is_empty()) {
            return Err(format!(
                "there is no process {pid}; `sql` lists them: SELECT pid, name FROM processes"
            ));
        }
        profiles.sort_by_key(|p| !p.uses_gpu);
        let items: Vec<Value> = profiles
            .iter()
            .map(|p| {
                let mut value = json!(explain::process(p));
                if let Some(all) = value.as_object_mut().filter(|_| !args.threads) {
                    all.remove("threads");
                }
                value
            })
            .collect();
        Ok(paged(&items, page))
    }

    fn moment(&self, text: &str) -> Result<i64, String> {
        if let Ok(ns) = text.trim().parse::<i64>()
            && !text.trim().starts_with(['+', '-'])
        {
            return Ok(ns);
        }
        let observed = self.observed().ok_or("the trace holds no events")?;
        Ok(match text.parse::<Instant>()? {
            Instant::At(ns) => ns,
            Instant::AfterStart(ns) => observed.start.saturating_add(ns),
            Instant::BeforeEnd(ns) => observed.end.saturating_sub(ns),
        })
    }

    fn timeline(&self, args: &TimelineArgs) -> Result<Value, String> {
        let page = page(args.limit, args.cursor.as_deref())?;
        let at = self.moment(&args.at)?;
        let length = |text: &Option<String>, usual: i64| match text {
            None => Ok(usual),
            Some(text) => text.parse::<Length>().map(|d| d.0),
        };
        let around = length(&args.around, 100 * MS)?;
        let least = length(&args.min_duration, 0)?;
        let window = Interval::new(at.saturating_sub(around), at.saturating_add(around));
        let wanted = |lane: &&Lane| {
            let thread = self.trace.thread(lane.thread);
            args.pid.is_none_or(|p| self.trace.process_of(lane).pid == p)
                && args.tid.is_none_or(|t| thread.tid == t)
                && args.source.as_ref().is_none_or(|s| lane.op.def().source.name() == s)
        };
        let mut found: Vec<(Interval, usize, usize)> = Vec::new();
        for (l, lane) in self.trace.lanes.iter().enumerate().filter(|(_, lane)| wanted(lane)) {
            let before = lane.start.partition_point(|&s| s <= window.end);
            let overlapping = (0..before).filter(|&i| lane.interval(i).end >= window.start && lane.dur[i] >= least);
            found.extend(overlapping.map(|i| (lane.interval(i), l, i)));
        }
        found.sort_unstable();
        let total = found.len();
        let shown: Vec<Value> = found
            .iter()
            .skip(page.0)
            .take(page.1)
            .map(|&(_, l, i)| self.event(&self.trace.lanes[l], i))
            .collect();
        let next = page.0 + shown.len();
        let more = next < total && !shown.is_empty();
        let data = json!({ "from_ns": window.start, "to_ns": window.end, "total": total, "items": shown });
        Ok(answer(data, more.then_some(next)))
    }

    /// What is known of an event; what is not known is left out.
    fn event(&self, lane: &Lane, i: usize) -> Value {
        let mut all = Map::new();
        all.insert("layer".to_owned(), json!(lane.op.def().source.layer()));
        all.insert("start_offset_s".to_owned(), json!(self.offset(lane.start[i])));
        for column in COLUMNS.iter().filter(|c| c.name != "end_ns" && c.name != "family") {
            let value = match column.get {
                Get::Int(get) => get(&self.trace, lane, i).map(|v| json!(v)),
                Get::Flag(get) => get(&self.trace, lane, i).filter(|v| *v).map(|v| json!(v)),
                Get::Text(get) => get(&self.trace, lane, i).map(|v| json!(v)),
            };
            if let Some(value) = value {
                all.insert(column.name.to_owned(), value);
            }
        }
        Value::Object(all)
    }

    fn rules_list(&self, args: &PageArgs) -> Result<Value, String> {
        let page = page(args.limit, args.cursor.as_deref())?;
        let items: Vec<Value> = self
            .analysis
            .rules
            .iter()
            .map(|r| json!({ "rule": r.name, "id": r.id, "title": r.title, "outcome": r.status.name(), "reason": r.reason }))
            .collect();
        Ok(paged(&items, page))
    }

    fn rule_explain(&self, args: &RuleArgs) -> Result<Value, String> {
        let found = self
            .program
            .rules
            .iter()
            .find(|r| r.name == args.rule || r.id == args.rule);
        let rule = found.ok_or_else(|| {
            let known: Vec<&str> = self.program.rules.iter().map(|r| r.name.as_str()).collect();
            let near = crate::lang::suggest::nearest(&args.rule, &known).map(|n| format!("; did you mean {n}?"));
            format!("there is no rule {}{}", args.rule, near.unwrap_or_default())
        })?;
        // Our own text, and longer than what is cut out of a trace.
        let text = engine::explain(&self.program, rule);
        Ok(json!({ "data": { "rule": rule.name, "text": text }, "next_cursor": null }))
    }

    fn draft(args: &DraftArgs) -> Result<engine::Rules, String> {
        if args.text.len() > DRAFT {
            return Err(format!(
                "the text is {} bytes long; {DRAFT} are the most",
                args.text.len()
            ));
        }
        let files = [SourceFile::new("draft.rules", args.text.clone())];
        Ok(engine::compile(&files, &[], PLAIN))
    }

    fn rule_check(args: &DraftArgs) -> Result<Value, String> {
        let rules = Self::draft(args)?;
        let errors = rules.problems.iter().filter(|p| p.is_error).count();
        let shown = rules.problems.iter().fold(String::new(), |mut out, p| {
            let _ = writeln!(out, "{}\n", p.text.trim_end());
            out
        });
        let names: Vec<&str> = rules.program.rules.iter().map(|r| r.name.as_str()).collect();
        Ok(json!({
            "data": { "usable": errors == 0 && !names.is_empty(), "errors": errors, "rules": names, "problems": shown.trim_end() },
            "next_cursor": null,
        }))
    }

    fn rule_run(&self, args: &DraftArgs) -> Result<Value, String> {
        let rules = Self::draft(args)?;
        if rules.problems.iter().any(|p| p.is_error) || rules.program.rules.is_empty() {
            return Err("the rules cannot be used; `rule_check` says why".to_owned());
        }
        let analysis = engine::analyze(&rules.program, &self.trace, None, 0);
        let outcomes: Vec<Value> = analysis
            .rules
            .iter()
            .map(|r| json!({ "rule": r.name, "outcome": r.status.name(), "reason": r.reason }))
            .collect();
        let shown: Vec<Value> = analysis
            .diagnoses
            .iter()
            .take(PAGE)
            .map(|d| json!(report_json::diagnosis(d, &analysis)))
            .collect();
        let near: Vec<Value> = analysis
            .near_misses
            .iter()
            .take(PAGE)
            .map(|m| json!({ "rule": m.rule, "nearness": f64::from(m.nearness) / 1000.0, "reason": m.reason }))
            .collect();
        let data = json!({
            "rules": outcomes, "total": analysis.diagnoses.len(), "diagnoses": shown, "near_misses": near,
        });
        Ok(answer(data, None))
    }

    fn sql(&self, args: &SqlArgs) -> Result<Value, String> {
        let (from, limit) = page(args.limit, args.cursor.as_deref())?;
        let files = &self.trace.files;
        let file = match &args.trace {
            None => files.first(),
            Some(path) => files.iter().find(|f| f.path.display().to_string() == *path),
        };
        let path = file.map(|f| f.path.clone()).ok_or_else(|| {
            let known: Vec<String> = files.iter().map(|f| f.path.display().to_string()).collect();
            format!("there is no such trace; there are {}", known.join(", "))
        })?;
        let mut held = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let fail = |e: crate::trace::query::QueryError| {
            let help = query_help(&e).map(|h| format!("; {h}"));
            format!("{e}{}", help.unwrap_or_default())
        };
        // A session that was given the engine's tables serves all later queries of its file.
        let mut session = match held.take().filter(|s| s.path() == path) {
            Some(session) => session,
            None => {
                let mut session = Session::open(&path).map_err(fail)?;
                let needs = session.needs(&args.query).map_err(fail)?;
                if !needs.rules && !needs.trace {
                    let rows = run_query(&mut session, &args.query, from, limit).map_err(fail)?;
                    return Ok(rows);
                }
                engine::prepare_query(&mut session, Some(&self.program)).map_err(fail)?;
                session
            }
        };
        let rows = run_query(&mut session, &args.query, from, limit).map_err(fail);
        *held = Some(session);
        rows
    }
}

fn run_query(
    session: &mut Session,
    query: &str,
    from: usize,
    limit: usize,
) -> Result<Value, crate::trace::query::QueryError> {
    let limits = QueryLimits {
        rows: from.saturating_add(limit),
        bytes: QUERY_BYTES.saturating_mul(from / limit + 1),
        time: QUERY_TIME,
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
