//! Timelines: one picture a track, all with one time axis.
//!
//! The pictures are stretched to the width of the page, so they hold no text; zooming changes the
//! part that is stretched.

use std::fmt::Write as _;

use super::escape;
use crate::diagnosis::Diagnosis;
use crate::report::words;
use crate::unit::{Interval, show_dur};
use crate::view::{Bar, BarKind, Coverage, Join, Picture, Track};

/// Units across a picture.
const WIDE: i64 = 1_000_000;
/// Marks on the axis.
const TICKS: i64 = 4;
/// Rows in which overlapping bars are stacked.
const ROWS: usize = 6;
/// Height of such a row.
const ROW: usize = 14;
/// Height of a track with one row.
const FLAT: usize = 20;

/// The timeline of a finding.
pub(super) fn of_picture(out: &mut String, d: &Diagnosis, p: &Picture, zero: i64) {
    let label = format!("Timeline of finding {}", d.rank);
    open(out, &label, p.window, zero);
    for t in &p.tracks {
        let stacked = t.what == "proof" || t.what.starts_with("requests");
        track(out, t, p.window, &p.joins, stacked);
    }
    axis(out, p.window, zero);
    let mut kinds: Vec<BarKind> = Vec::new();
    for bar in p.tracks.iter().flat_map(|t| &t.bars) {
        if !kinds.contains(&bar.kind) {
            kinds.push(bar.kind);
        }
    }
    out.push_str("<ul class=\"legend\">");
    for kind in kinds {
        let (class, name) = look(kind);
        let _ = write!(out, "<li class=\"{class}\"><span>{name}</span></li>");
    }
    if !p.joins.is_empty() {
        out.push_str("<li class=\"k-join\"><span>cause inside its symptom, same thread</span></li>");
    }
    out.push_str("</ul>\n</figure>\n");
    if !p.joins.is_empty() {
        out.push_str("<ul class=\"joins\">\n");
        for j in &p.joins {
            let at = words::offset(j.when.start, zero);
            let _ = writeln!(out, "<li>{at}: {}</li>", escape(&j.what));
        }
        out.push_str("</ul>\n");
    }
}

/// The timeline of a node: what was stored and lost, what was seen, and where the findings lie.
pub(super) fn of_coverage(out: &mut String, c: &Coverage, findings: &[&Diagnosis], number: usize, zero: i64) {
    let name = if c.node.is_empty() {
        format!("node {}", number + 1)
    } else {
        c.node.clone()
    };
    open(out, &format!("Timeline of {name}"), c.observed, zero);
    let marks = |class: &str, list: &[(Interval, String)]| -> String {
        let bars = list
            .iter()
            .map(|(when, what)| bar(*when, c.observed, class, 0, FLAT, what));
        bars.collect()
    };
    let complete = c.complete.iter().map(|w| (*w, "every event is in the file".to_owned()));
    let lost = |n: &u64| format!("{} lost", words::plural(*n, "event"));
    let losses: Vec<(Interval, String)> = c.losses.iter().map(|(w, n)| (*w, lost(n))).collect();
    let stored = format!(
        "{}{}",
        marks("k-ok", &complete.collect::<Vec<_>>()),
        marks("k-lost", &losses)
    );
    let words_of_stored = match (c.complete.is_empty(), losses.len()) {
        (true, _) => "nowhere is every call in the file".to_owned(),
        (false, 0) => "green: every call is in the file".to_owned(),
        (false, n) => format!("green: every call is in the file; red: losses, at {n} places"),
    };
    row(out, "stored", &words_of_stored, FLAT, &stored);
    if !findings.is_empty() {
        let all: Vec<(Interval, String)> = findings
            .iter()
            .map(|d| (d.when, format!("{}. {} {}", d.rank, words::level(d.severity), d.rule)))
            .collect();
        let rows = stack(all.iter().map(|(w, _)| *w));
        let height = rows.iter().max().map_or(1, |r| r + 1) * ROW;
        let bars: String = all
            .iter()
            .zip(&rows)
            .map(|((when, what), row)| bar(*when, c.observed, "k-proof", row * ROW, ROW - 2, what))
            .collect();
        let note = words::plural(words::size(findings.len()), "finding");
        row(out, "findings", &note, height, &bars);
    }
    for t in &c.tracks {
        track(out, t, c.observed, &[], false);
    }
    axis(out, c.observed, zero);
    out.push_str("</figure>\n");
}

fn open(out: &mut String, label: &str, window: Interval, zero: i64) {
    let (from, to) = (words::offset(window.start, zero), words::offset(window.end, zero));
    let label = escape(label);
    let _ = write!(
        out,
        "<figure class=\"timeline\" aria-label=\"{label}\">\n<figcaption>{label}: {from} to {to} ({})</figcaption>\n\
         <div class=\"tools\" role=\"group\" aria-label=\"Zoom: {label}\" hidden>",
        show_dur(window.len())
    );
    for (act, name, sign) in [
        ("in", "Zoom in", "+"),
        ("out", "Zoom out", "−"),
        ("left", "Earlier", "←"),
        ("right", "Later", "→"),
        ("all", "Show all", "0"),
    ] {
        let _ = write!(
            out,
            "<button type=\"button\" data-do=\"{act}\" aria-label=\"{name}\" title=\"{name}\">{sign}</button>"
        );
    }
    let _ = writeln!(
        out,
        "</div>\n<div class=\"rows\" tabindex=\"0\" role=\"group\" aria-label=\"{label}; plus and minus zoom, arrows \
         move, 0 shows all\" data-from=\"{}\" data-len=\"{}\">",
        window.start.saturating_sub(zero),
        window.len()
    );
}

fn axis(out: &mut String, window: Interval, zero: i64) {
    out.push_str("<div class=\"axis\" aria-hidden=\"true\">");
    for k in 0..=TICKS {
        let part = i128::from(window.len()) * i128::from(k) / i128::from(TICKS);
        let at = window.start.saturating_add(i64::try_from(part).unwrap_or(0));
        let _ = write!(out, "<span>{}</span>", words::offset(at, zero));
    }
    out.push_str("</div>\n</div>\n");
}

fn track(out: &mut String, t: &Track, window: Interval, joins: &[Join], stacked: bool) {
    let rows: Vec<usize> = if stacked {
        stack(t.bars.iter().map(|b| b.when))
    } else {
        vec![0; t.bars.len()]
    };
    let (height, tall) = if stacked {
        (rows.iter().max().map_or(1, |r| r + 1) * ROW, ROW - 2)
    } else {
        (FLAT, FLAT)
    };
    let mut shapes = String::new();
    for j in joins {
        let (x, w) = place(j.when, window);
        let _ = write!(
            shapes,
            "<rect class=\"join\" x=\"{x}\" y=\"0\" width=\"{}\" height=\"{height}\"/>",
            w.max(1)
        );
    }
    if !stacked {
        shapes.push_str(&busy(&t.busy));
    }
    for (b, row) in t.bars.iter().zip(&rows) {
        let Bar { when, kind, what } = b;
        shapes.push_str(&bar(*when, window, look(*kind).0, row * ROW, tall, what));
    }
    let mut note = words::plural(t.events, "event");
    if t.events > words::size(t.bars.len()) && !t.bars.is_empty() {
        let drawn = words::count(words::size(t.bars.len()));
        let _ = write!(note, ", {drawn} drawn: the longest of all and of each part of the time");
    }
    if t.partial {
        note.push_str("; not all are in the file");
    }
    let name = if t.owner.is_empty() {
        t.what.to_owned()
    } else {
        format!("{}: {}", t.owner, t.what)
    };
    row(out, &name, &note, height, &shapes);
}

fn row(out: &mut String, name: &str, note: &str, height: usize, shapes: &str) {
    let (name, note) = (escape(name), escape(note));
    let _ = writeln!(
        out,
        "<div class=\"track\"><div class=\"name\">{name}<small>{note}</small></div><svg class=\"plot h{height}\" \
         role=\"img\" aria-label=\"{name}: {note}\" data-h=\"{height}\" viewBox=\"0 0 {WIDE} {height}\" \
         preserveAspectRatio=\"none\">{shapes}</svg></div>"
    );
}

/// Position and length in a picture.
fn place(when: Interval, window: Interval) -> (i64, i64) {
    let len = i128::from(window.len().max(1));
    let at = |t: i64| {
        let t = i128::from(t.clamp(window.start, window.end)) - i128::from(window.start);
        i64::try_from(t * i128::from(WIDE) / len).unwrap_or(WIDE)
    };
    let (from, to) = (at(when.start), at(when.end));
    (from, to - from)
}

fn bar(when: Interval, window: Interval, class: &str, y: usize, height: usize, what: &str) -> String {
    let (x, w) = place(when, window);
    format!(
        "<rect class=\"bar {class}\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{height}\"><title>{}, {}</title></rect>",
        escape(what),
        show_dur(when.len())
    )
}

/// The share of time in progress as an area.
fn busy(shares: &[u16]) -> String {
    if shares.is_empty() {
        return String::new();
    }
    let mut path = format!("M0,{FLAT}");
    let n = shares.len();
    for (k, share) in shares.iter().enumerate() {
        let height = usize::from(*share) * FLAT / 1000;
        // What is there at all is seen.
        let y = FLAT - if *share > 0 { height.max(1) } else { 0 };
        if k == 0 || shares[k - 1] != *share {
            let _ = write!(path, "V{y}");
        }
        if shares.get(k + 1) != Some(share) {
            let _ = write!(path, "H{}", usize::try_from(WIDE).unwrap_or(0) * (k + 1) / n);
        }
    }
    format!("<path class=\"busy\" d=\"{path}V{FLAT}Z\"/>")
}

/// A row for each bar so that they do not cover each other, as far as there are rows.
fn stack(bars: impl Iterator<Item = Interval>) -> Vec<usize> {
    let mut ends: Vec<i64> = Vec::new();
    bars.map(|when| {
        let free = ends.iter().position(|end| *end <= when.start);
        let row = free.unwrap_or(ends.len()).min(ROWS - 1);
        if row == ends.len() {
            ends.push(when.end);
        } else {
            ends[row] = ends[row].max(when.end);
        }
        row
    })
    .collect()
}

/// Class and name.
fn look(kind: BarKind) -> (&'static str, &'static str) {
    match kind {
        BarKind::Call => ("k-call", "call"),
        BarKind::Sync => ("k-sync", "synchronisation"),
        BarKind::RunQueue => ("k-runq", "ready, waiting for a CPU"),
        BarKind::Sleep => ("k-sleep", "asleep"),
        BarKind::IoWait => ("k-iowait", "waiting for a device"),
        BarKind::OffCpu => ("k-offcpu", "off the CPU, unknown why"),
        BarKind::Io => ("k-io", "block I/O"),
        BarKind::Request => ("k-request", "request"),
        BarKind::Proof => ("k-proof", "measured stretch"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_bars_get_rows_of_their_own() {
        let i = Interval::new;
        assert_eq!(
            stack([i(0, 10), i(5, 8), i(8, 20), i(30, 40)].into_iter()),
            [0, 1, 1, 0]
        );
        assert!(stack((0..20).map(|_| i(0, 1))).iter().all(|r| *r < ROWS));
    }

    #[test]
    fn the_area_keeps_only_changes() {
        assert_eq!(
            busy(&[0, 0, 1000, 1]),
            "<path class=\"busy\" d=\"M0,20V20H500000V0H750000V19H1000000V20Z\"/>"
        );
    }
}
