//! Who did what, and what happened around a moment.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Page, State, Tool};
use crate::cli::engine;
use crate::cli::time::{Duration as Length, Instant};
use crate::report::explain::json as explain;
use crate::trace::row::{COLUMNS, Get};
use crate::trace::{Lane, Node};
use crate::unit::{Interval, MS};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PerProcess {
    /// Only this process; unless given, those that use the GPU come first.
    pid: Option<i64>,
    /// Also by thread.
    #[serde(default)]
    threads: bool,
}

impl Tool for PerProcess {
    const NAME: &'static str = "per_process";
    const TITLE: &'static str = "Statistics by process";
    const ABOUT: &'static str = "What each process did, by operation: calls, total, average, median, 99th percentile, \
                                 longest; with `threads` also by thread, with time off the CPU. A value is a number, \
                                 bounds, or null where the trace cannot tell. Calls counted in `inside` ran inside a \
                                 runtime call of the same list: do not add their time to its.";
    const PAGED: bool = true;

    fn call(&self, state: &State, page: Page) -> Result<Value, String> {
        let profiles = engine::profile(&state.trace, self.pid, 0);
        if let (Some(pid), true) = (self.pid, profiles.is_empty()) {
            return Err(format!(
                "there is no process {pid}; `sql` lists them: SELECT pid, name FROM processes"
            ));
        }
        let one = |p: &_| {
            let mut value = json!(explain::process(p));
            if let Some(all) = value.as_object_mut().filter(|_| !self.threads) {
                all.remove("threads");
            }
            value
        };
        Ok(page.of(&profiles, one, Map::new()))
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Timeline {
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
}

impl Tool for Timeline {
    const NAME: &'static str = "timeline";
    const TITLE: &'static str = "Events around a moment";
    const ABOUT: &'static str = "Events of all layers that overlap a moment, by start: calls, off-CPU stints, I/O, \
                                 requests.";
    const PAGED: bool = true;

    fn call(&self, state: &State, page: Page) -> Result<Value, String> {
        let moments = state.moments(&self.at)?;
        let length = |text: &Option<String>, usual: i64| match text {
            None => Ok(usual),
            Some(text) => text.parse::<Length>().map(|d| d.0),
        };
        let around = length(&self.around, 100 * MS)?;
        let least = length(&self.min_duration, 0)?;
        let windows: Vec<Interval> = moments
            .iter()
            .map(|at| Interval::new(at.saturating_sub(around), at.saturating_add(around)))
            .collect();
        let wanted = |lane: &&Lane| {
            self.pid.is_none_or(|p| state.trace.process_of(lane).pid == p)
                && self.tid.is_none_or(|t| state.trace.thread(lane.thread).tid == t)
                && self.source.as_ref().is_none_or(|s| lane.op.def().source.name() == s)
        };
        let mut found: Vec<(Interval, usize, usize)> = Vec::new();
        for (l, lane) in state.trace.lanes.iter().enumerate().filter(|(_, lane)| wanted(lane)) {
            let window = windows[usize::from(state.trace.process_of(lane).node.0)];
            let before = lane.start.partition_point(|&s| s <= window.end);
            let overlapping = (0..before).filter(|&i| lane.interval(i).end >= window.start && lane.dur[i] >= least);
            found.extend(overlapping.map(|i| (lane.interval(i), l, i)));
        }
        found.sort_unstable();
        let window = windows.into_iter().reduce(Interval::hull).unwrap_or_default();
        let edges = [("from_ns", window.start), ("to_ns", window.end)];
        let edges = edges.map(|(name, at)| (name.to_owned(), json!(at)));
        let event = |&(_, l, i): &(Interval, usize, usize)| state.event(&state.trace.lanes[l], i);
        Ok(page.of(&found, event, edges.into_iter().collect()))
    }
}

impl State {
    /// A moment on each node; offsets count within its recording. 0 on those without events.
    fn moments(&self, text: &str) -> Result<Vec<i64>, String> {
        let digits = text.trim().parse::<i64>().ok();
        let at = match digits.filter(|_| !text.trim().starts_with(['+', '-'])) {
            Some(ns) => Instant::At(ns),
            None => text.parse()?,
        };
        self.observed().ok_or("the trace holds no events")?;
        let on = |node: &Node| {
            let recording = node.recording.unwrap_or_default();
            match at {
                Instant::At(ns) => ns,
                Instant::AfterStart(ns) => recording.start.saturating_add(ns),
                Instant::BeforeEnd(ns) => recording.end.saturating_sub(ns),
            }
        };
        Ok(self.trace.nodes.iter().map(on).collect())
    }

    /// What is known of an event; what is not known is left out.
    fn event(&self, lane: &Lane, i: usize) -> Value {
        let mut all = Map::new();
        all.insert("layer".to_owned(), json!(lane.op.def().source.layer()));
        let node = &self.trace.node(self.trace.process_of(lane).node).name;
        all.insert("start_offset_s".to_owned(), json!(self.offset(lane.start[i], node)));
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
}
