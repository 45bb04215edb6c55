//! The tools: what each takes and what it answers. No protocol in here.

mod events;
mod rules;
mod sql;
mod verdicts;

use std::sync::Mutex;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::text::{NOTICE, tame_all};
use crate::cli::engine::{self, Look};
use crate::cli::failure::Failure;
use crate::diagnosis::Analysis;
use crate::lang::hir::Program;
use crate::report::json as report_json;
use crate::report::{Report, markdown};
use crate::source::SourceFile;
use crate::trace::Trace;
use crate::trace::query::Session;
use crate::unit::{Interval, Num, SEC};

/// Items of a page, unless asked otherwise.
const PAGE: usize = 10;
/// Items of a page at most.
const MOST: usize = 100;

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

/// A tool: the fields of the type are its arguments.
trait Tool: DeserializeOwned + JsonSchema {
    const NAME: &'static str;
    const TITLE: &'static str;
    const ABOUT: &'static str;
    /// Whether its answers come in pages; then it takes `limit` and `cursor`, too.
    const PAGED: bool = false;

    /// The answer; an error is for whoever called.
    fn call(&self, state: &State, page: Page) -> Result<Value, String>;
}

/// A [`Tool`] as the protocol needs it.
pub(super) struct ToolDef {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    pub(super) schema: fn() -> Map<String, Value>,
    run: fn(&State, Map<String, Value>) -> Result<Value, String>,
}

/// All of them, in the order in which an investigation uses them.
pub(super) const TOOLS: &[ToolDef] = &[
    def::<verdicts::Overview>(),
    def::<verdicts::Diagnoses>(),
    def::<verdicts::OneDiagnosis>(),
    def::<events::PerProcess>(),
    def::<events::Timeline>(),
    def::<rules::WhyNot>(),
    def::<rules::List>(),
    def::<rules::Explain>(),
    def::<rules::Check>(),
    def::<rules::Run>(),
    def::<sql::Sql>(),
];

const fn def<T: Tool>() -> ToolDef {
    ToolDef {
        name: T::NAME,
        title: T::TITLE,
        about: T::ABOUT,
        schema: schema::<T>,
        run: run::<T>,
    }
}

fn schema<T: Tool>() -> Map<String, Value> {
    let mut all = object::<T>();
    if T::PAGED {
        let own = all.entry("properties").or_insert_with(|| json!({}));
        let paging = object::<PageArgs>().remove("properties");
        if let (Some(own), Some(Value::Object(paging))) = (own.as_object_mut(), paging) {
            own.extend(paging);
        }
    }
    all
}

fn object<T: JsonSchema>() -> Map<String, Value> {
    match serde_json::to_value(schemars::schema_for!(T)) {
        Ok(Value::Object(all)) => all,
        _ => Map::new(),
    }
}

fn run<T: Tool>(state: &State, mut arguments: Map<String, Value>) -> Result<Value, String> {
    let mut page = Map::new();
    if T::PAGED {
        page.extend(PageArgs::NAMES.iter().filter_map(|n| arguments.remove_entry(*n)));
    }
    let beside = if T::PAGED { " beside `limit` and `cursor`" } else { "" };
    let page = parse::<PageArgs>(page, "")?.page()?;
    parse::<T>(arguments, beside)?.call(state, page)
}

fn parse<T: DeserializeOwned>(arguments: Map<String, Value>, beside: &str) -> Result<T, String> {
    serde_json::from_value(Value::Object(arguments)).map_err(|e| format!("wrong arguments: {e}{beside}"))
}

/// Which page of an answer.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PageArgs {
    /// Items of the page: 1 to 100, 10 unless given.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl PageArgs {
    const NAMES: [&str; 2] = ["limit", "cursor"];

    fn page(&self) -> Result<Page, String> {
        let limit = self.limit.unwrap_or(PAGE);
        if !(1..=MOST).contains(&limit) {
            return Err(format!("limit is 1 to {MOST}, not {limit}"));
        }
        let from = match &self.cursor {
            None => 0,
            Some(c) => c
                .parse()
                .map_err(|_| "cursor is not one that a page before gave".to_owned())?,
        };
        Ok(Page { from, limit })
    }
}

/// Where a page starts, and how many items it holds.
#[derive(Clone, Copy)]
struct Page {
    from: usize,
    limit: usize,
}

impl Page {
    /// Answers with the items of the page and their number in all, beside other facts.
    fn of<T>(self, all: &[T], item: impl FnMut(&T) -> Value, mut beside: Map<String, Value>) -> Value {
        let items: Vec<Value> = all.iter().skip(self.from).take(self.limit).map(item).collect();
        let next = self.from.saturating_add(items.len());
        let more = next < all.len() && !items.is_empty();
        beside.insert("total".to_owned(), json!(all.len()));
        beside.insert("items".to_owned(), Value::Array(items));
        answer(Value::Object(beside), more.then_some(next))
    }
}

fn answer(data: Value, next: Option<usize>) -> Value {
    let next = next.map(|n| n.to_string());
    json!({ "notice": NOTICE, "data": tame_all(data), "next_cursor": next })
}

/// What is wrong, and the way out.
fn told(failure: &Failure) -> String {
    match failure.help() {
        Some(help) => format!("{failure}; {help}"),
        None => failure.to_string(),
    }
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
    pub(super) fn call(&self, name: &str, arguments: Map<String, Value>) -> Option<Result<Value, String>> {
        let tool = TOOLS.iter().find(|t| t.name == name)?;
        Some((tool.run)(self, arguments))
    }

    fn report(&self) -> Report<'_> {
        Report {
            analysis: &self.analysis,
            problems: &[],
            window: None,
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// The report in Markdown.
    pub(super) fn markdown(&self) -> String {
        format!("> {NOTICE}\n\n{}", markdown::render(&self.report(), 5))
    }

    /// The report in JSON, as `data` of an answer.
    pub(super) fn json(&self) -> String {
        let report = serde_json::from_str(&report_json::render(&self.report())).unwrap_or_default();
        answer(report, None).to_string()
    }

    fn observed(&self) -> Option<Interval> {
        self.trace
            .nodes
            .iter()
            .filter_map(|n| n.observed)
            .reduce(Interval::hull)
    }

    /// An offset from the start of the recording of a node, as reports write it.
    fn offset(&self, at: i64, node: &str) -> f64 {
        let mine = self.trace.nodes.iter().find(|n| n.name == node);
        let from = mine.and_then(|n| n.recording).map_or(0, |r| r.start);
        seconds(at.saturating_sub(from))
    }
}
