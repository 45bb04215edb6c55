//! `ingero analyze --format html`: the page as text. The browser's part is in `browser.rs`.

use ingero::diagnosis::Witness;
use ingero::report::html;
use ingero::unit::Interval;
use ingero::view::{Bar, BarKind, Bin, Coverage, Drawing, Histogram, Join, Picture, Track};

use crate::{ingero, report, report_model, stdout};

const HOL: &str = "investigations/hol-blocking/trace.db";
/// No page is larger, whatever the trace.
const LARGEST: usize = 1_500_000;

const HOSTILE: &str = "</script></style></title>--><img src=x onerror=alert(1)>\"'><svg onload=alert(1)>&\u{202e}\u{0}";

/// The article's case with everything that comes from a trace or a rule turned against the page.
pub(crate) fn hostile() -> String {
    let mut a = report_model::article();
    let bad = || HOSTILE.to_owned();
    for d in &mut a.diagnoses {
        (d.title, d.message, d.refuted_by, d.explanation) = (bad(), bad(), bad(), bad());
        (d.key.node, d.key.process, d.key.op) = (bad(), Some(bad()), Some(bad()));
        d.key.more.push((bad(), bad()));
        d.fixes.push(bad());
        for e in &mut d.evidence {
            (e.text, e.metric) = (bad(), bad());
            e.witnesses.push(Witness {
                layer: "CUDA",
                when: d.when,
                tid: Some(1),
                thread: bad(),
                op: bad(),
                detail: bad(),
                row: None,
            });
        }
    }
    for r in &mut a.rules {
        (r.name, r.reason) = (bad(), bad());
    }
    for t in &mut a.traces {
        (t.path, t.stored, t.generation) = (bad(), bad(), bad());
        t.nodes = vec![bad()];
        t.notes = vec![bad()];
    }
    for v in &mut a.stored {
        (v.path, v.summary, v.ours, v.op, v.severity) = (bad(), bad(), bad(), bad(), bad());
    }
    for m in &mut a.near_misses {
        (m.rule, m.reason) = (bad(), bad());
    }
    let window = a.diagnoses[0].when;
    let track = Track {
        owner: bad(),
        what: "CUDA calls",
        events: 1,
        busy: vec![500; 240],
        bars: vec![Bar {
            when: window,
            kind: BarKind::RunQueue,
            what: bad(),
        }],
        partial: true,
    };
    let picture = |diagnosis| Picture {
        diagnosis,
        window,
        tracks: vec![track.clone()],
        joins: vec![Join {
            when: window,
            what: bad(),
        }],
        histograms: vec![Histogram {
            what: bad(),
            bins: vec![Bin {
                from: 10,
                to: 20,
                events: 3,
            }],
            events: 3,
            beyond: 3,
            threshold: Some(10),
            partial: true,
        }],
    };
    let drawing = Drawing {
        pictures: (0..a.diagnoses.len()).map(picture).collect(),
        coverage: vec![Coverage {
            node: bad(),
            observed: window,
            complete: vec![window],
            losses: vec![(window, 3)],
            tracks: vec![track.clone()],
        }],
    };
    html::render(&report(&a), &drawing, 5)
}

#[test]
fn nothing_out_of_a_trace_is_markup() {
    let page = hostile();
    for wrong in ["<img", "<svg onload", "onerror=alert(1)>", "\u{202e}", "\u{0}", "-->"] {
        assert!(!page.contains(wrong), "{wrong}");
    }
    for element in ["script", "style", "title"] {
        let want = if element == "title" { None } else { Some(1) };
        let (open, close) = (format!("<{element}>"), format!("</{element}>"));
        let (opened, closed) = (page.matches(&open).count(), page.matches(&close).count());
        assert_eq!(opened, closed, "{element}");
        assert!(want.is_none_or(|n| n == opened), "{element}");
    }
}

#[test]
fn the_page_needs_nothing_from_outside() {
    let page = stdout(&mut ingero(&["analyze", "--format", "html", HOL]));
    for wrong in [
        "http://",
        "src=",
        "@import",
        "url(",
        "<link rel=\"style",
        "style=\"",
        " onclick",
    ] {
        assert!(!page.contains(wrong), "{wrong}");
    }
    assert!(page.contains("default-src 'none'"));
    for part in [
        "LAUNCH_TAIL_CONTENTION",
        "class=\"join\"",
        "threshold ",
        "What the trace covers",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(page.len() < LARGEST);
}

#[test]
fn the_same_bytes_on_any_number_of_threads() {
    let page = |threads| stdout(&mut ingero(&["analyze", "--format", "html", "--threads", threads, HOL]));
    assert_eq!(page("1"), page("7"));
}

#[test]
fn the_page_does_not_grow_with_the_trace() {
    let dir = tempfile::tempdir().unwrap();
    let page = |events: &str| {
        let trace = dir.path().join(format!("{events}.db"));
        let trace = trace.to_str().unwrap();
        stdout(&mut ingero(&["simulate", "bulk", "-o", trace, "--events", events]));
        stdout(&mut ingero(&["analyze", "--format", "html", trace])).len()
    };
    let (small, large) = (page("40k"), page("160k"));
    assert!(large < LARGEST, "{large}");
    assert!(large < small * 3 / 2, "{small} bytes at 40k events, {large} at 160k");
}

#[test]
fn many_findings_are_listed_and_few_are_drawn() {
    let mut a = report_model::article();
    let one = a.diagnoses[4].clone();
    a.diagnoses = (0..5_000)
        .map(|i| {
            let mut d = one.clone();
            d.rank = i + 1;
            d.message = "m".repeat(5_000);
            d.when = Interval::new(0, 10);
            d
        })
        .collect();
    let picture = |diagnosis| Picture {
        diagnosis,
        window: Interval::new(0, 10),
        ..Picture::default()
    };
    let drawing = Drawing {
        pictures: (0..40).map(picture).collect(),
        ..Drawing::default()
    };
    let page = html::render(&report(&a), &drawing, 5_000);
    assert!(page.len() < LARGEST, "{}", page.len());
    assert!(page.contains("4,800 more"), "the ranking says how many it leaves out");
    assert!(page.contains("4,960 findings not shown in full"));
}

#[test]
fn a_trace_without_findings_has_a_page_too() {
    let analysis = report_model::healthy();
    let page = html::render(&report(&analysis), &Drawing::default(), 5);
    assert!(page.contains("Nothing found") && page.contains("Checked and not present"));
}
