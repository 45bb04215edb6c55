//! `ingero compare-chains`: a row for each verdict that a file holds.

use ingero::report::TextOptions;
use ingero::report::explain::text;
use ingero::trace::catalogue::Op;
use ingero::trace::writer::{Event, Writer};
use rusqlite::{Connection, params};
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::{ingero, report, report_model, stdout};

/// 200 launches, 2 of them slow; a stint off the CPU fills the slow ones of `held`, and lies between the
/// calls otherwise. Two equal verdicts blame the scheduler, one blames nothing that is recorded.
fn blamed(path: &std::path::Path, held: bool) {
    let op = |source, id| Op::by_ids(source, id).unwrap();
    let mut w = Writer::create(path, "n").unwrap();
    for i in 0..200 {
        let (start, slow) = (1_000_000_000 + i * 10_000_000, i % 100 == 50);
        let dur = if slow { 4_000_000 } else { 20_000 };
        w.event(&Event::new(op(1, 3), 7, 7, start, dur).comm("engine")).unwrap();
        let away = if held { start + 100_000 } else { start + 4_100_000 };
        if slow {
            w.event(&Event::new(op(3, 1), 7, 7, away, 3_800_000).comm("engine"))
                .unwrap();
        }
    }
    w.finish().unwrap();
    let conn = Connection::open(path).unwrap();
    for (id, severity, summary, cause) in [
        (
            "chain-1",
            "HIGH",
            "cudaLaunchKernel p99=4ms",
            "high context switch count",
        ),
        (
            "chain-2",
            "HIGH",
            "cudaLaunchKernel p99=4ms",
            "high context switch count",
        ),
        ("chain-3", "LOW", "cudaLaunchKernel slow", "network"),
    ] {
        conn.execute(
            "INSERT INTO causal_chains(id, detected_at, severity, summary, root_cause, explanation, cuda_op, node)
             VALUES (?1, 0, ?2, ?3, ?4, '', 'cudaLaunchKernel', 'n')",
            params![id, severity, summary, cause],
        )
        .unwrap();
    }
}

#[test]
fn every_stored_verdict_is_measured() {
    let dir = tempfile::tempdir().unwrap();
    for (held, share, verdict) in [(true, 0.95, "confirmed"), (false, 0.0, "contradicted")] {
        let path = dir.path().join(format!("{held}.db"));
        blamed(&path, held);
        let path = path.to_str().unwrap();
        let out = stdout(&mut ingero(&["compare-chains", "--format", "json", path]));
        let report: Value = serde_json::from_str(&out).unwrap();
        let stored = report["stored_verdicts"].as_array().unwrap();
        assert_eq!(stored.len(), 2, "equal ones are one row: {stored:?}");
        let of = |summary: &str| stored.iter().find(|v| v["summary"] == summary).unwrap();
        let blamed = of("cudaLaunchKernel p99=4ms");
        assert_eq!((&blamed["verdict"], &blamed["repeats"]), (&verdict.into(), &2.into()));
        // 3.8 of 4 ms of the two slowest calls of 200.
        assert!((blamed["overlap"].as_f64().unwrap() - share).abs() < 1e-9, "{blamed}");
        assert_eq!(of("cudaLaunchKernel slow")["verdict"], "not proven");
        let table = stdout(&mut ingero(&["compare-chains", path]));
        assert!(table.contains(&format!(
            "2 verdicts, stored 3 times in all: 1 {verdict}, 1 not proven."
        )));
        // The same as the part of `explain`.
        let told = stdout(&mut ingero(&["explain", "--chains", path]));
        assert!(told.ends_with(&table), "{told}\n{table}");
    }
    let none = stdout(&mut ingero(&["compare-chains", "investigations/hol-blocking/trace.db"]));
    assert_eq!(none, "The files hold no verdicts of their own.\n");
}

#[test]
fn the_table_fits_every_width() {
    for analysis in [report_model::article(), report_model::hostile()] {
        for width in (60..=200).chain([400]) {
            for ascii in [false, true] {
                let options = TextOptions {
                    width,
                    ascii,
                    ..TextOptions::default()
                };
                let shown = text::stored(&report(&analysis), &options);
                assert!(!ascii || shown.is_ascii());
                for line in shown.lines() {
                    assert!(line.width() <= width, "{} > {width}: {line}", line.width());
                    assert_eq!(line.trim_end(), line);
                }
            }
        }
    }
}
