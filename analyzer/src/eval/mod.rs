//! Evaluation: rules against a trace in memory. Does no I/O and cannot fail on good input.
//!
//! Metrics are computed once for all rules and keys (`metric`), from selections that rules share
//! (`select`); conditions are judged with three values (`cond`, `logic`); what holds is joined
//! in time (`join`), becomes diagnoses (`outcome`) and is ranked (`rank`).

mod cheap;
mod cond;
pub mod cost;
mod derive;
mod draw;
mod gaps;
pub mod harness;
mod join;
mod key;
mod logic;
mod merge;
mod metric;
mod order;
mod outcome;
mod profile;
mod rank;
mod segment;
mod select;
mod sift;
pub mod sight;
mod stored;
mod sums;
pub mod sweep;
mod value;
pub mod why;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::diagnosis::{Analysis, Severity, Status};
use crate::lang::hir::{CmpOp, Filter, MetricId, MetricKind, Program, Rule, Selector, Value};
use crate::lang::walk;
use crate::trace::catalogue::{Field, Key, Op};
use crate::trace::{ThreadIdx, Trace};
use crate::unit::Num;
use crate::view::Drawing;
use key::{KeyVal, Names};
use metric::Cell;
use select::Groups;

pub use profile::profile;

/// How to judge.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Judge only processes with this id; facts of whole nodes are judged all the same.
    pub pid: Option<i64>,
}

/// What the filters of a selection compare events with.
#[derive(Clone, Debug, Default)]
struct Thresholds {
    /// Values of the metrics that they name; `None` where there is nothing to measure.
    values: FxHashMap<MetricId, Option<Num>>,
    /// Launches that may not be the first of their kernel are taken for repeats.
    doubted_first: bool,
}

/// What is computed from the trace before rules look at it.
#[derive(Debug, Default)]
struct Prepared {
    derived: derive::Derived,
    since_sync: FxHashMap<(ThreadIdx, Op), Vec<u32>>,
    run_state: Vec<bool>,
    /// By node: when requests were open.
    requests: Vec<metric::Union<'static>>,
}

/// Selections by selector and key.
type Cache<'t> = FxHashMap<(Selector, Vec<Key>), Groups<'t>>;

/// Events by selector and key, and whose of them.
type Whom = (Selector, Vec<Key>, KeyVal);

/// An expression over windows, what its values are compared with, and for whom.
type Sought = (Value, CmpOp, Num, KeyVal);

/// One trace, one program, and what has been computed of them so far.
struct Engine<'t> {
    trace: &'t Trace,
    program: &'t Program,
    prepared: &'t Prepared,
    names: Names,
    cache: Mutex<Cache<'t>>,
    /// Running sums of whole lanes, by the address of the lane.
    stints: Mutex<FxHashMap<usize, Arc<join::Stints<'t>>>>,
    /// The longest duration of each block of a lane, by its address.
    longest: Mutex<FxHashMap<usize, Arc<[i64]>>>,
    /// When something was there, by what it is and whose.
    unions: Mutex<FxHashMap<metric::Whose, Arc<metric::Union<'t>>>>,
    /// Of sums over windows, by the first metric of those that differ only in statistic and window.
    peaks: Mutex<FxHashMap<(MetricId, KeyVal), metric::Peaks>>,
    /// Runs of windows by comparison and key.
    runs: Mutex<FxHashMap<Sought, Arc<metric::Runs>>>,
    /// Values in the windows of a grid, by metric and key.
    tables: Mutex<FxHashMap<(MetricId, KeyVal, metric::Grid), metric::Table>>,
    /// Where segments hold, by segment and key.
    places: Mutex<segment::Places>,
    /// What durations are usual, by selection and key.
    usual: Mutex<FxHashMap<Whom, i64>>,
    /// Metrics that are found in one go, by metric.
    mates: Vec<Vec<MetricId>>,
    /// Metrics of keys, as far as somebody asked.
    cells: Mutex<FxHashMap<(MetricId, KeyVal), Cell>>,
    pid: Option<i64>,
}

/// Judges every rule of the program on the trace.
///
/// Runs on the current rayon pool; the result does not depend on the number of its threads.
pub fn analyze(program: &Program, trace: &Trace, options: Options) -> Analysis {
    let selectors = selectors(program);
    let prepared = Prepared::new(trace, &selectors);
    let engine = Engine::new(program, trace, &prepared, options.pid);
    engine.judge_all()
}

/// As [`analyze`], and draws the `top` first primary diagnoses and what the trace covers.
pub fn analyze_and_draw(program: &Program, trace: &Trace, options: Options, top: usize) -> (Analysis, Drawing) {
    let selectors = selectors(program);
    let prepared = Prepared::new(trace, &selectors);
    let engine = Engine::new(program, trace, &prepared, options.pid);
    let analysis = engine.judge_all();
    let drawing = draw::draw(&engine, &analysis, top);
    (analysis, drawing)
}

/// What rules of a program came to, before it is put together with what the others came to.
#[derive(Default)]
pub struct Judged(BTreeMap<usize, outcome::Outcome>);

impl Judged {
    /// Judges the rules of a part of the program, which stand at these positions in the whole.
    pub fn add(&mut self, part: &Program, positions: &[usize], trace: &Trace, options: Options) {
        let prepared = Prepared::new(trace, &selectors(part));
        let outcomes = Engine::new(part, trace, &prepared, options.pid).outcomes();
        self.0.extend(positions.iter().copied().zip(outcomes));
    }

    /// The whole: as [`analyze`] with all rules of the program at once. `trace` need only hold what facts
    /// about the files and stored verdicts take.
    pub fn conclude(self, program: &Program, trace: &Trace, options: Options) -> Analysis {
        let prepared = Prepared::new(trace, &[]);
        Engine::new(program, trace, &prepared, options.pid).conclude(self.0.into_values().collect())
    }
}

impl<'t> Engine<'t> {
    fn new(program: &'t Program, trace: &'t Trace, prepared: &'t Prepared, pid: Option<i64>) -> Self {
        Self {
            trace,
            program,
            prepared,
            names: Names::new(trace),
            cache: Mutex::default(),
            stints: Mutex::default(),
            longest: Mutex::default(),
            unions: Mutex::default(),
            peaks: Mutex::default(),
            runs: Mutex::default(),
            tables: Mutex::default(),
            places: Mutex::default(),
            usual: Mutex::default(),
            mates: metric::mates(program, &condition_metrics(program)),
            cells: Mutex::default(),
            pid,
        }
    }

    fn judge_all(&self) -> Analysis {
        self.conclude(self.outcomes())
    }

    fn outcomes(&self) -> Vec<outcome::Outcome> {
        self.program.rules.par_iter().map(|r| self.outcome(r)).collect()
    }

    /// `judged` are the outcomes of all rules of the program, in their order.
    fn conclude(&self, judged: Vec<outcome::Outcome>) -> Analysis {
        let program = self.program;
        let mut analysis = Analysis {
            traces: outcome::summaries(self),
            recordings: outcome::recordings(self.trace),
            ..Analysis::default()
        };
        for o in judged {
            analysis.rules.push(o.result);
            analysis.near_misses.extend(o.near);
            analysis.diagnoses.extend(o.diagnoses);
        }
        rank::rank(program, &mut analysis);
        analysis.stored = stored::compare(self, &analysis.diagnoses);
        analysis
    }
}

/// What a rule comes to, without its proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it fires, and why not.
    pub status: Status,
    /// How severe it is for each key it fires for, by key.
    pub severities: Vec<Severity>,
}

/// What each rule of the program comes to: no diagnoses, no proof.
///
/// Equal metrics and selections of the rules are computed once, so many rules that differ by little
/// cost little more than one.
pub fn verdicts(program: &Program, trace: &Trace) -> Vec<Verdict> {
    let prepared = Prepared::new(trace, &selectors(program));
    let engine = Engine::new(program, trace, &prepared, None);
    let one = |r| {
        let v = engine.verdict(r);
        Verdict {
            status: v.status,
            severities: v.fired.iter().map(|key| engine.severity(r, *key)).collect(),
        }
    };
    program.rules.par_iter().map(one).collect()
}

/// For each predicate of a rule's condition, in the order written, whether some key finds it
/// false, unknown and true.
pub fn truths(program: &Program, rule: &Rule, trace: &Trace) -> Vec<[bool; 3]> {
    let prepared = Prepared::new(trace, &selectors(program));
    let engine = Engine::new(program, trace, &prepared, None);
    let keys = engine.rule_keys(rule);
    walk::leaves(&rule.cond)
        .into_iter()
        .map(|leaf| {
            let mut seen = [false; 3];
            for key in &keys {
                seen[engine.judge(&rule.key, leaf, *key).truth as usize] = true;
            }
            seen
        })
        .collect()
}

impl Prepared {
    fn new(trace: &Trace, selectors: &[Selector]) -> Self {
        let mut out = Self {
            derived: derive::all(trace, selectors),
            ..Self::default()
        };
        if selectors
            .iter()
            .any(|s| s.filters.iter().any(|f| select::uses(f, Field::SinceSync)))
        {
            out.since_sync = derive::since_sync(trace);
        }
        out.requests = metric::open_requests(trace);
        out.run_state = (0u32..)
            .take(trace.threads.len())
            .map(|t| derive::run_state_known(trace, ThreadIdx(t)))
            .collect();
        out
    }
}

/// Every selector of a program, in its order.
fn selectors(program: &Program) -> Vec<Selector> {
    let mut out = Vec::new();
    for m in &program.metrics {
        match &m.kind {
            MetricKind::Stat { sel, .. } | MetricKind::Share { sel, .. } | MetricKind::Trend { sel, .. } => {
                out.push(sel.clone());
            }
            MetricKind::Covered { a, b, .. } | MetricKind::Lift { a, b, .. } => out.extend([a.clone(), b.clone()]),
            MetricKind::System { .. } | MetricKind::Fact(_) | MetricKind::Peer { .. } => {}
        }
    }
    for s in &program.segments {
        walk::cond_selectors(&s.cond, &mut out);
    }
    for rule in &program.rules {
        for c in rule.conditions() {
            walk::cond_stints(c, &mut out);
        }
    }
    out
}

/// Metrics that decide whether rules fire, and those that these depend on, by id.
fn condition_metrics(program: &Program) -> Vec<MetricId> {
    let mut ids = Vec::new();
    for rule in &program.rules {
        walk::cond_metrics(&rule.cond, &mut ids);
    }
    let mut seen = vec![false; program.metrics.len()];
    while let Some(id) = ids.pop() {
        if std::mem::replace(&mut seen[id.0 as usize], true) {
            continue;
        }
        let m = &program.metrics[id.0 as usize];
        if let MetricKind::Peer { of, .. } = m.kind {
            ids.push(of);
        }
        let filters: Vec<&Filter> = match &m.kind {
            MetricKind::Stat { sel, .. } | MetricKind::Share { sel, .. } | MetricKind::Trend { sel, .. } => {
                sel.filters.iter().collect()
            }
            MetricKind::Covered { a, b, .. } | MetricKind::Lift { a, b, .. } => {
                a.filters.iter().chain(&b.filters).collect()
            }
            _ => Vec::new(),
        };
        for f in filters {
            walk::metrics_of_filter(f, &mut ids);
        }
    }
    (0u32..)
        .zip(seen)
        .filter(|(_, s)| *s)
        .map(|(i, _)| MetricId(i))
        .collect()
}
