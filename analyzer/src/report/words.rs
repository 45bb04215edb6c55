//! Parts of the model in words, shared by the reports for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::diagnosis::{
    Analysis, Diagnosis, Evidence, KeyValues, Link, Measured, Recording, RuleResult, Severity, Status, StoredVerdict,
    TraceSummary, Witness,
};
use crate::unit::{Dim, Interval, Num, Style, digits, show, show_dur, show_utc};

/// `1,234`.
pub(super) use crate::unit::show_count as count;

/// `1 event`, `1,234 events`.
pub(super) fn plural(n: u64, noun: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {noun}{s}", count(n))
}

/// `1 launch stored`, `18,240 launches stored`.
pub(super) fn launches(n: u64) -> String {
    let noun = if n == 1 { "launch" } else { "launches" };
    format!("{} {noun} stored", count(n))
}

pub(super) fn size(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// Thousandths as a percentage.
pub(super) fn percent(thousandths: u32) -> String {
    format!("{} %", digits(f64::from(thousandths) / 10.0))
}

/// Thousandths as a decimal number.
pub(super) fn decimal(thousandths: u32) -> String {
    digits(f64::from(thousandths) / 1000.0)
}

/// `HIGH`.
pub(super) fn level(severity: Severity) -> String {
    severity.name().to_uppercase()
}

/// An offset from the beginning, as `--from` takes it: `+12.310s`.
pub(super) fn offset(at: i64, zero: i64) -> String {
    let ns = at.saturating_sub(zero);
    let ms = ns.unsigned_abs() / 1_000_000;
    let sign = if ns < 0 { '-' } else { '+' };
    format!("{sign}{}.{:03}s", ms / 1000, ms % 1000)
}

/// An instant to the millisecond.
pub(super) fn utc(ns: i64) -> String {
    let full = show_utc(ns);
    match full.split_once('.') {
        Some((head, frac)) => format!("{head}.{}Z", frac.get(..3).unwrap_or("000")),
        None => full,
    }
}

/// Where offsets count from on a node: the start of its recording.
pub(super) fn zero(analysis: &Analysis, node: &str) -> i64 {
    let mine = |r: &&Recording| r.nodes.iter().any(|n| n == node);
    analysis.recordings.iter().find(mine).map_or(0, |r| r.whole.start)
}

/// Where offsets count from, in words; `None` without any event.
pub(super) fn origin(analysis: &Analysis) -> Option<String> {
    match analysis.recordings.as_slice() {
        [] => None,
        [one] => Some(format!("Offsets count from {}.", utc(one.whole.start))),
        many => {
            let one = |r: &Recording| format!("{} ({})", utc(r.whole.start), r.nodes.join(", "));
            let list: Vec<String> = many.iter().map(one).collect();
            Some(format!(
                "Offsets count from the start of each recording: {}.",
                list.join("; ")
            ))
        }
    }
}

/// Which part of each recording was looked at, for a window that was asked for: `Only +1.000s to +3.000s was
/// judged (2 s).`
pub(super) fn only(analysis: &Analysis, done: &str) -> Vec<String> {
    let several = analysis.recordings.len() > 1;
    let one = |r: &Recording| {
        let of = if several {
            format!(" of the recording from {}", utc(r.whole.start))
        } else {
            String::new()
        };
        let Some(part) = r.judged else {
            return format!("Nothing{of} was {done}: the time asked for lies outside of it.");
        };
        let (from, to) = (offset(part.start, r.whole.start), offset(part.end, r.whole.start));
        format!("Only {from} to {to}{of} was {done} ({}).", show_dur(part.len()))
    };
    analysis.recordings.iter().map(one).collect()
}

/// Whether the report has to say which node.
pub(super) fn several_nodes(analysis: &Analysis) -> bool {
    let mut nodes: Vec<&String> = analysis.traces.iter().flat_map(|t| &t.nodes).collect();
    nodes.sort();
    nodes.dedup();
    nodes.len() > 1
}

/// `EngineCore[4121] cudaLaunchKernel on gpu-07`.
pub(super) fn place(key: &KeyValues, with_node: bool) -> String {
    key.words(with_node)
}

/// `356 ms`, `1 ms … 2 ms`, `unknown`.
pub(super) fn measured(value: Measured, dim: Dim, style: Style) -> String {
    let one = |n| show(n, dim, style);
    match value {
        Measured::Exact(n) => one(n),
        Measured::Between(Some(a), Some(b)) => format!("{} … {}", one(a), one(b)),
        Measured::Between(Some(a), None) => format!("at least {}", one(a)),
        Measured::Between(None, Some(b)) => format!("at most {}", one(b)),
        Measured::Between(None, None) | Measured::Unknown => "unknown".to_owned(),
    }
}

/// As [`measured`], short enough for a column: `356 ms`, `≥ 1 ms`, `1 ms…2 ms`, `?`.
pub(super) fn bound(value: Measured, dim: Dim) -> String {
    let one = |n| show(n, dim, Style::Auto);
    match value {
        Measured::Exact(n) => one(n),
        Measured::Between(Some(a), Some(b)) if a > Num::ZERO => format!("{}…{}", one(a), one(b)),
        Measured::Between(_, Some(b)) => format!("≤ {}", one(b)),
        Measured::Between(Some(a), None) if a > Num::ZERO => format!("≥ {}", one(a)),
        Measured::Between(_, None) | Measured::Unknown => "?".to_owned(),
    }
}

/// All findings folded under one, in the order of a walk, with their depth from 0. The depth is
/// bounded, should a model have a cycle.
pub(super) fn effects<'a>(analysis: &'a Analysis, d: &'a Diagnosis) -> Vec<(usize, &'a Diagnosis)> {
    fn walk<'a>(analysis: &'a Analysis, d: &'a Diagnosis, depth: usize, out: &mut Vec<(usize, &'a Diagnosis)>) {
        if depth < 8 {
            for child in d.explains.iter().filter_map(|i| analysis.diagnoses.get(*i)) {
                out.push((depth, child));
                walk(analysis, child, depth + 1, out);
            }
        }
    }
    let mut out = Vec::new();
    walk(analysis, d, 0, &mut out);
    out
}

/// Those that no other finding explains.
pub(super) fn primaries(analysis: &Analysis) -> Vec<&Diagnosis> {
    analysis.diagnoses.iter().filter(|d| d.explained_by.is_none()).collect()
}

/// What was measured: `444 µs > 210 µs`; what exists is counted instead.
pub(super) fn values(e: &Evidence) -> String {
    let value = measured(e.value, e.dim, e.style);
    match e.threshold {
        Some(limit) => format!("{value} {} {}", e.relation, measured(limit, e.dim, e.style)),
        None if e.value == Measured::Unknown && e.n_witnesses > 0 => format!("{} seen", count(e.n_witnesses)),
        None => value,
    }
}

/// The conjunct as written and what it rests on.
pub(super) fn conjunct(e: &Evidence) -> String {
    let mut out = e.text.clone();
    let mut basis = Vec::new();
    if e.samples > 0 {
        basis.push(plural(e.samples, "sample"));
    }
    let shown = size(e.witnesses.len());
    if e.n_witnesses > shown && shown > 0 {
        basis.push(match shown {
            1 => format!("the longest of {} witnesses shown", count(e.n_witnesses)),
            n => format!("the {n} longest of {} witnesses shown", count(e.n_witnesses)),
        });
    }
    if !basis.is_empty() {
        let _ = write!(out, " ({})", basis.join(", "));
    }
    out
}

/// A conjunct with its values on one line.
pub(super) fn evidence(e: &Evidence) -> String {
    format!("{}, {}", values(e), conjunct(e))
}

/// The witnesses of all conjuncts by time, each once, with their layers.
pub(super) fn timeline(d: &Diagnosis) -> Vec<(&'static str, &Witness)> {
    timeline_of(&[d])
}

/// The witnesses of several diagnoses by time, each once, with their layers.
pub(super) fn timeline_of<'a>(diagnoses: &[&'a Diagnosis]) -> Vec<(&'static str, &'a Witness)> {
    let mut rows: Vec<(&'static str, &Witness)> = Vec::new();
    for w in diagnoses.iter().flat_map(|d| &d.evidence).flat_map(|e| &e.witnesses) {
        if !rows.iter().any(|(_, seen)| *seen == w) {
            rows.push((w.layer, w));
        }
    }
    // A stint whose whole length is of one kind needs to be said once, by its kind.
    let parts: Vec<(Interval, Option<i64>)> = rows
        .iter()
        .filter(|(_, w)| matches!(w.op.as_str(), "runq" | "sleep" | "io_wait"))
        .map(|(_, w)| (w.when, w.tid))
        .collect();
    rows.retain(|(_, w)| w.op != "off_cpu" || !parts.contains(&(w.when, w.tid)));
    rows.sort_by_key(|(_, w)| (w.when.start, w.when.end));
    rows
}

/// `4121 EngineCore`, `4121`, or nothing.
pub(super) fn thread(w: &Witness) -> String {
    match (w.tid, w.thread.as_str()) {
        (Some(tid), "") => tid.to_string(),
        (Some(tid), name) => format!("{tid} {name}"),
        (None, name) => name.to_owned(),
    }
}

/// Every factor of the confidence in words; those that lower it with how much is left.
pub(super) fn confidence(d: &Diagnosis) -> String {
    let f = &d.factors;
    let factor = |share: u32, words: &str| match share {
        1000.. => words.to_owned(),
        _ => format!("{words} ({})", percent(share)),
    };
    let mut out = vec![
        factor(
            f.data_quality,
            match f.data_quality {
                1000.. => "every event it needs is in the file",
                _ => "not every event it needs is in the file",
            },
        ),
        factor(
            f.support,
            match f.support {
                1000.. => "enough samples",
                _ => "few samples for the statistics used",
            },
        ),
    ];
    // Requests and a busy GPU are the setting of what is slow, no cause of it.
    let setting = d.link == Some(Link::Node) && f.link == 1000;
    match d.link {
        _ if setting => {}
        Some(Link::Thread) => out.push(factor(f.link, "cause and symptom on the same thread")),
        Some(Link::Process) => out.push(factor(f.link, "cause and symptom on different threads of one process")),
        Some(Link::Node) => out.push(factor(f.link, "cause and symptom only on the same node")),
        None if f.link < 1000 => out.push(factor(f.link, "loosely linked")),
        None => {}
    }
    match (f.evidence, d.link) {
        (1000.., None) => {}
        (1000.., _) if setting => {}
        (1000.., Some(_)) => out.push("no shift in time explains as much by chance".to_owned()),
        (share, _) => out.push(format!(
            "{} of the shifts in time explain as much by chance ({})",
            percent(1000 - share),
            percent(share)
        )),
    }
    out.join("; ")
}

/// When it was, how long, and what it cost.
pub(super) fn when(d: &Diagnosis, zero: i64) -> String {
    let mut out = if d.when.is_empty() {
        format!("at {}", offset(d.when.start, zero))
    } else {
        format!(
            "{} to {} ({})",
            offset(d.when.start, zero),
            offset(d.when.end, zero),
            show_dur(d.when.len())
        )
    };
    if d.incidents > 1 {
        let _ = write!(out, ", {} incidents", count(size(d.incidents)));
    }
    if d.impact_ns > 0 {
        let _ = write!(out, "; {} lost", show_dur(d.impact_ns));
        if d.factors.time_lost > 0 {
            let _ = write!(out, ", {} of its time", percent(d.factors.time_lost));
        }
    }
    out
}

/// `2 findings: 1 high, 1 medium; 2 more are explained by them`.
pub(super) fn headline(analysis: &Analysis) -> String {
    let primary: Vec<&Diagnosis> = analysis.diagnoses.iter().filter(|d| d.explained_by.is_none()).collect();
    let folded = analysis.diagnoses.len() - primary.len();
    if primary.is_empty() {
        return "Nothing found.".to_owned();
    }
    let mut levels = Vec::new();
    for (severity, name) in Severity::ALL.into_iter().rev() {
        let n = primary.iter().filter(|d| d.severity == severity).count();
        if n > 0 {
            levels.push(format!("{n} {name}"));
        }
    }
    let mut out = format!("{}: {}", plural(size(primary.len()), "finding"), levels.join(", "));
    match folded {
        0 => {}
        1 => out.push_str("; 1 more is explained by them"),
        n => {
            let _ = write!(out, "; {n} more are explained by them");
        }
    }
    out.push('.');
    out
}

/// What was checked: one sentence for the case that nothing, or not everything, was found.
pub(super) fn checked(analysis: &Analysis) -> String {
    let n = |status| size(analysis.rules.iter().filter(|r| r.status == status).count());
    let (fired, quiet) = (n(Status::Fired), n(Status::Quiet));
    let (unknown, missing) = (n(Status::Unknown), n(Status::NotApplicable));
    let mut parts = Vec::new();
    if fired > 0 {
        parts.push(format!("{} fired", count(fired)));
    }
    parts.push(format!("{} checked and not present", count(quiet)));
    if unknown + missing > 0 {
        parts.push(format!("{} could not be judged", count(unknown + missing)));
    }
    format!("{}: {}.", plural(size(analysis.rules.len()), "rule"), parts.join(", "))
}

/// Rules that could not be judged, those with one reason together, in the order of first mention.
pub(super) fn unjudged(analysis: &Analysis) -> Vec<(Status, &str, Vec<&RuleResult>)> {
    let mut order: Vec<(Status, &str)> = Vec::new();
    let mut groups: BTreeMap<(Status, &str), Vec<&RuleResult>> = BTreeMap::new();
    for rule in &analysis.rules {
        if matches!(rule.status, Status::NotApplicable | Status::Unknown) {
            let group = (rule.status, rule.reason.as_str());
            if !groups.contains_key(&group) {
                order.push(group);
            }
            groups.entry(group).or_default().push(rule);
        }
    }
    order
        .into_iter()
        .filter_map(|group| groups.remove(&group).map(|rules| (group.0, group.1, rules)))
        .collect()
}

/// Rules that were judged, but not for every key: `IO_STALL (2 of 5)`.
pub(super) fn partly(analysis: &Analysis) -> Vec<String> {
    analysis
        .rules
        .iter()
        .filter(|r| matches!(r.status, Status::Fired | Status::Quiet) && r.keys.1 > 0)
        .map(|r| format!("{} (unknown for {} of {})", r.name, r.keys.1, r.keys.0))
        .collect()
}

/// What a trace holds, in one line, and how much of its time was looked at.
pub(super) fn coverage(t: &TraceSummary, window: Option<Interval>) -> String {
    let mut out = format!("{}: {}", t.path, plural(t.events, "event"));
    if let Some(seen) = t.observed {
        // The events are those of the file, the time is what was looked at.
        let over = if window.is_some() { ", looked at:" } else { " over" };
        let _ = write!(out, "{over} {} from {}", show_dur(seen.len()), utc(seen.start));
    }
    if !t.generation.is_empty() {
        let _ = write!(out, ", format {}", t.generation);
    }
    let nodes: Vec<&str> = t.nodes.iter().map(String::as_str).filter(|n| !n.is_empty()).collect();
    match nodes.as_slice() {
        [] => {}
        [one] => {
            let _ = write!(out, ", node {one}");
        }
        many => {
            let _ = write!(out, ", nodes {}", many.join(", "));
        }
    }
    if !t.stored.is_empty() {
        let _ = write!(out, "; stored: {}", t.stored);
    }
    if t.not_stored > 0 {
        let _ = write!(out, "; {} counted, not stored", plural(t.not_stored, "call"));
    }
    let lost = match t.lost {
        None => "; losses were not counted".to_owned(),
        Some(0) => "; nothing lost".to_owned(),
        Some(n) => format!("; {} lost", plural(n, "event")),
    };
    out.push_str(&lost);
    out
}

/// Stored verdicts that the evidence does not bear out.
pub(super) fn contested(analysis: &Analysis) -> Vec<&StoredVerdict> {
    analysis.stored.iter().filter(|v| v.verdict != "confirmed").collect()
}

/// `HIGH "cudaMemcpyAsync: 48 context switches" (stored 316 times)`.
pub(super) fn stored_head(v: &StoredVerdict, with_node: bool) -> String {
    let mut out = format!("{} \"{}\"", v.severity, v.summary);
    if with_node && !v.node.is_empty() {
        let _ = write!(out, " on {}", v.node);
    }
    if v.repeats > 1 {
        let _ = write!(out, " (stored {} times)", count(v.repeats));
    }
    out
}

/// Why a stored verdict is contested, and what is said instead.
pub(super) fn stored_body(v: &StoredVerdict) -> String {
    let mut out = v.verdict.to_owned();
    if let Some(share) = v.overlap {
        let op = if v.op.is_empty() { "the" } else { v.op.as_str() };
        let _ = write!(
            out,
            ": {} of the time of the slowest 1 % of {op} calls lies in off-CPU time of the same thread",
            percent(share)
        );
    }
    if !v.ours.is_empty() {
        let _ = write!(out, "; the rules say: {}", v.ours);
    }
    out
}
