//! `ingero explain`.

use ingero::diagnosis::Measured;
use ingero::report::explain::{Parts, json, text};
use ingero::report::{MIN_WIDTH, TextOptions};
use ingero::trace::writer::{Event, Uncounted, Writer};
use ingero::trace::{ReadOptions, read_connection};
use ingero::unit::{Interval, MS, Num, SEC};
use ingero::view::{ProcessProfile, Unfinished};
use rusqlite::Connection;
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::{ingero, report, report_model, root, stdout};

const HOL: &str = "investigations/hol-blocking/trace.db";

#[test]
fn an_incident_at_80_columns() {
    insta::assert_snapshot!(stdout(&mut ingero(&["explain", HOL])));
}

#[test]
fn an_incident_at_160_columns() {
    insta::assert_snapshot!(stdout(ingero(&["explain", HOL]).env("COLUMNS", "160")));
}

#[test]
fn processes_at_80_columns() {
    let args = ["explain", HOL, "--per-process", "--top", "2"];
    insta::assert_snapshot!(stdout(&mut ingero(&args)));
}

#[test]
fn a_locale_without_utf8_gets_ascii() {
    for args in [
        &["explain", HOL][..],
        &["explain", HOL, "--per-process"],
        &["explain", HOL, "--chains"],
        &["analyze", HOL],
    ] {
        let out = stdout(ingero(args).env("LC_ALL", "C"));
        assert!(out.is_ascii(), "{args:?}");
        assert!(!out.contains('\x1b'), "{args:?}: colour in a pipe");
    }
}

#[test]
fn stored_verdicts_stand_beside_the_evidence() {
    let analysis = report_model::article();
    let parts = Parts {
        chains: false,
        processes: None,
        stored: true,
    };
    insta::assert_snapshot!(text::render(&report(&analysis), &parts, &TextOptions::default()));
}

/// Nearest rank, as SQL would say it.
fn percentile(sorted: &[i64], percent: usize) -> i64 {
    sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1]
}

#[test]
fn numbers_per_process_are_those_of_sql() {
    let out = stdout(&mut ingero(&["explain", HOL, "--per-process", "--format", "json"]));
    let report: Value = serde_json::from_str(&out).unwrap();
    let processes = report["processes"].as_array().unwrap();
    let engine = processes.iter().find(|p| p["pid"] == 4211).unwrap();
    let conn = Connection::open_with_flags(root().join(HOL), rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let durations = |source: i64, op: i64| -> Vec<i64> {
        let sql = "SELECT duration FROM events WHERE pid = 4211 AND source = ?1 AND op = ?2 ORDER BY duration";
        let mut statement = conn.prepare(sql).unwrap();
        let rows = statement.query_map([source, op], |r| r.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    for (source, op, name) in [
        (1, 3, "cudaLaunchKernel"),
        (1, 7, "cudaMemcpyAsync"),
        (1, 103, "cudaEventSynchronize"),
    ] {
        let all = durations(source, op);
        let told = engine["ops"]
            .as_array()
            .unwrap()
            .iter()
            .find(|o| o["op"] == name)
            .unwrap();
        assert_eq!(told["calls"], all.len(), "{name}");
        assert_eq!(told["stored"], all.len(), "{name}");
        assert_eq!(told["total_ns"], all.iter().sum::<i64>(), "{name}");
        assert_eq!(told["p50_ns"], percentile(&all, 50), "{name}");
        assert_eq!(told["p99_ns"], percentile(&all, 99), "{name}");
        assert_eq!(told["max_ns"], *all.last().unwrap(), "{name}");
        assert_eq!(told["reason"], Value::Null, "{name}");
    }
    let main = engine["threads"]
        .as_array()
        .unwrap()
        .iter()
        .find(|t| t["tid"] == 4211)
        .unwrap();
    let off_cpu = &main["off_cpu"];
    let parts = ["run_queue_ns", "sleep_ns", "io_wait_ns", "unknown_ns"].map(|p| off_cpu[p].as_i64().unwrap());
    assert_eq!(parts.iter().sum::<i64>(), off_cpu["total_ns"].as_i64().unwrap());
    let sql = "SELECT count(*) FROM events WHERE tid = 4211 AND source = 3 AND op = 1";
    let rows: i64 = conn.query_row(sql, [], |r| r.get(0)).unwrap();
    assert_eq!(off_cpu["switches"], rows);
}

/// 100 launches of 10 to 109 µs, of which those of 60 µs and more are rows, and the profile of it.
fn thinned() -> Vec<ProcessProfile> {
    let launch = ingero::trace::catalogue::Op::by_ids(1, 3).unwrap();
    let mut writer = Writer::in_memory("n").unwrap();
    for i in 0..100 {
        let (start, dur) = (1_775_104_690 * SEC + i * MS, (10 + i) * 1000);
        if dur >= 60_000 {
            writer
                .event(&Event::new(launch, 7, 7, start, dur).comm("engine"))
                .unwrap();
        } else {
            writer.not_stored(&Uncounted {
                op: launch,
                pid: 7,
                at: start,
                count: 1,
                sum_dur: dur,
                min_dur: dur,
                max_dur: dur,
                sum_arg0: 0,
            });
        }
    }
    let conn = writer.into_connection().unwrap();
    conn.execute("INSERT INTO recording_thresholds VALUES (1, 3, 60000, 0)", [])
        .unwrap();
    let trace = read_connection(&conn, &ReadOptions::default()).unwrap();
    ingero::eval::profile(&trace, None)
}

#[test]
fn dropped_rows_leave_bounds_that_hold() {
    let profile = thinned();
    let op = &profile[0].ops[0];
    let exact = |n: i128| Measured::Exact(Num::int(n));
    assert_eq!((op.stored, op.calls), (50, exact(100)));
    // Counted, not guessed.
    assert_eq!(op.total, exact((0..100).map(|i| (10 + i) * 1000).sum()));
    assert_eq!(op.max, exact(109_000));
    assert_eq!(op.p99, exact(108_000));
    let Measured::Between(low, Some(high)) = op.p50 else {
        panic!("half of the calls are not rows: {:?}", op.p50);
    };
    assert!(
        low.unwrap_or(Num::ZERO) <= Num::int(59_000) && Num::int(59_000) <= high,
        "{:?}",
        op.p50
    );
    assert!(!op.reason.is_empty());
}

#[test]
fn calls_that_did_not_return_are_told() {
    let sync = ingero::trace::catalogue::Op::by_name(ingero::trace::catalogue::Source::Cuda, "cudaStreamSync").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let mut w = Writer::create(&path, "n").unwrap();
    w.event(&Event::new(sync, 7, 7, SEC, MS).comm("engine")).unwrap();
    w.event(&Event::new(sync, 7, 7, 9 * SEC, MS).comm("engine")).unwrap();
    w.open_call(sync, 7, 8, Interval::new(2 * SEC, 10 * SEC)).unwrap();
    w.finish().unwrap();
    let args = ["explain", "--per-process", path.to_str().unwrap()];
    let text = stdout(&mut ingero(&args));
    let line = "   unfinished cudaStreamSync of thread 8, since +1.000s (8 s so far)";
    assert!(text.lines().any(|l| l == line), "{text}");
    let json = stdout(&mut ingero(&[&args[..], &["--format", "json"]].concat()));
    let report: Value = serde_json::from_str(&json).unwrap();
    let process = &report["processes"][0];
    assert_eq!(process["ops"][0]["calls"], 2);
    let open = serde_json::json!([{ "op": "cudaStreamSync", "tid": 8, "start_ns": 2 * SEC, "seen_ns": 10 * SEC }]);
    assert_eq!(process["unfinished"], open);
}

#[test]
fn nothing_is_wider_than_the_page() {
    let mut hostile = thinned();
    hostile[0].unfinished = (0..20)
        .map(|tid| Unfinished {
            op: "\x1b[2J\u{202e}evil".repeat(8),
            tid,
            when: Interval::new(0, i64::MAX / 4),
        })
        .collect();
    hostile[0].name = "\x1b[2J\u{202e}evil\n|name".repeat(20);
    hostile[0].threads[0].name = "一二三四五六七八九十".repeat(8);
    hostile[0].alive = Interval::new(i64::MIN / 4, i64::MAX / 4);
    for analysis in [
        report_model::article(),
        report_model::healthy(),
        report_model::hostile(),
    ] {
        let parts = Parts {
            chains: true,
            processes: Some(&hostile),
            stored: true,
        };
        for width in MIN_WIDTH..=200 {
            for ascii in [false, true] {
                let options = TextOptions {
                    width,
                    ascii,
                    ..TextOptions::default()
                };
                let shown = text::render(&report(&analysis), &parts, &options);
                assert!(!ascii || shown.is_ascii());
                assert!(!shown.contains(['\x1b', '\u{202e}', '\r', '\t']));
                for line in shown.lines() {
                    assert!(line.width() <= width, "{} > {width}: {line}", line.width());
                    assert_eq!(line.trim_end(), line);
                }
            }
        }
    }
}

#[test]
fn the_json_follows_its_schema() {
    let schema: Value = serde_json::from_str(&stdout(&mut ingero(&["schema", "explain"]))).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let profile = thinned();
    let parts = Parts {
        chains: true,
        processes: Some(&profile),
        stored: true,
    };
    for analysis in [
        report_model::article(),
        report_model::healthy(),
        report_model::hostile(),
    ] {
        let value: Value = serde_json::from_str(&json::render(&report(&analysis), &parts)).unwrap();
        assert!(validator.is_valid(&value), "{:?}", validator.validate(&value).err());
    }
    insta::assert_snapshot!(json::schema());
}

#[test]
fn since_counts_from_the_end_and_pids_must_be_there() {
    let window = |args: &[&str]| -> Value {
        let mut all = vec!["explain", HOL, "--format", "json", "--rules", "trace"];
        all.extend(args);
        let report: Value = serde_json::from_str(&stdout(&mut ingero(&all))).unwrap();
        report["window"].clone()
    };
    let since = window(&["--since", "5s"]);
    assert_eq!(since, window(&["--last", "5s"]));
    assert_eq!(since, window(&["--from", "-5s"]));
    let run = ingero(&["explain", HOL, "--per-process", "--pid", "99"])
        .assert()
        .code(2);
    let err = String::from_utf8(run.get_output().stderr.clone()).unwrap();
    assert!(err.contains("no process 99 did anything"), "{err}");
    for wrong in [
        &["--since", "5s", "--last", "5s"][..],
        &["--since", "soon"],
        &["--since", "5s", "--from", "+1s"],
    ] {
        let mut all = vec!["explain", HOL];
        all.extend(wrong);
        ingero(&all).assert().code(2);
    }
}
