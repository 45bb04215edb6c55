//! `ingero bench-truth`: what the score counts, and the score of our own corpus.

use std::fs;
use std::path::Path;

use ingero::diagnosis::{Analysis, Severity};
use ingero::report::{TextOptions, score as render};
use ingero::score::{Case, Mistake, Score};
use ingero::trace::catalogue::{Op, Source};
use ingero::trace::truth::{Truth, TruthKind, truth};
use ingero::trace::writer::{Event, TruthRow, Writer};
use ingero::unit::Interval;
use rusqlite::Connection;
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::{ingero, report_model, root, stdout};

fn planted(kind: TruthKind, rule: &str, analysis: &Analysis) -> Truth {
    let named = analysis.diagnoses.iter().find(|d| d.rule == rule);
    Truth {
        kind,
        rule: rule.to_owned(),
        pid: 0,
        when: named.map_or(Interval::new(0, 1), |d| d.when),
        note: format!("{rule} was planted"),
    }
}

/// The article with its first finding planted, one that no rule knows, and a twin of its second.
fn scored() -> (Analysis, Vec<Truth>) {
    let analysis = report_model::article();
    let first = planted(TruthKind::Cause, &analysis.diagnoses[0].rule, &analysis);
    let unknown = planted(TruthKind::Cause, "NO_SUCH_RULE", &analysis);
    let twin = planted(TruthKind::Twin, &analysis.diagnoses[1].rule, &analysis);
    (analysis, vec![first, unknown, twin])
}

#[test]
fn found_missed_and_false_are_told_apart() {
    let (analysis, truth) = scored();
    let name = "a.db";
    let healthy = [planted(TruthKind::Healthy, "", &analysis)];
    let score = Score::new(&[
        Case {
            name,
            truth: &truth,
            analysis: &analysis,
        },
        Case {
            name: "healthy.db",
            truth: &healthy,
            analysis: &report_model::healthy(),
        },
        Case {
            name: "unknown.db",
            truth: &[],
            analysis: &analysis,
        },
    ]);
    assert_eq!(
        (score.labelled, score.unlabelled.as_slice()),
        (2, &["unknown.db".to_owned()][..])
    );
    assert_eq!((score.with_cause, score.primary_right), (1, 1));
    assert_eq!((score.healthy, score.healthy_findings), (1, 0));
    let first = score.rules[&analysis.diagnoses[0].rule];
    assert_eq!((first.planted, first.found, first.missed, first.right), (1, 1, 0, 1));
    assert_eq!((first.precision(), first.recall()), (Some(1000), Some(1000)));
    let unknown = score.rules["NO_SUCH_RULE"];
    assert_eq!((unknown.exists, unknown.missed, unknown.recall()), (false, 1, Some(0)));
    assert_eq!(unknown.precision(), None);
    let twin = score.rules[&analysis.diagnoses[1].rule];
    assert_eq!((twin.twins, twin.right, twin.precision()), (1, 0, Some(0)));
    // Every diagnosis of LOW or above is right or a false alarm, and each mistake is listed.
    let loud = analysis
        .diagnoses
        .iter()
        .filter(|d| d.severity > Severity::Info)
        .count() as u64;
    let total = score.total();
    assert_eq!(total.right + total.false_alarms, loud);
    let listed = |what| score.wrong.iter().filter(|w| w.what == what).count() as u64;
    assert_eq!((listed(Mistake::FalseAlarm), listed(Mistake::Missed)), (loud - 1, 1));
    assert_eq!(listed(Mistake::WrongPrimary), 0);
}

#[test]
fn another_time_or_another_process_is_not_named() {
    let (analysis, truth) = scored();
    let d = &analysis.diagnoses[0];
    let pid = d.key.pid.unwrap_or(0);
    let elsewhere = Truth {
        pid: pid + 1,
        ..truth[0].clone()
    };
    let later = Truth {
        when: Interval::new(d.when.end, d.when.end + 1),
        ..truth[0].clone()
    };
    for (t, found) in [
        (truth[0].clone(), 1),
        (elsewhere, u64::from(d.key.pid.is_none())),
        (later, 0),
    ] {
        let case = Case {
            name: "t.db",
            truth: &[t],
            analysis: &analysis,
        };
        assert_eq!(Score::new(&[case]).rules[&d.rule].found, found);
    }
}

#[test]
fn the_score_fits_every_width_and_follows_its_schema() {
    let (analysis, truth) = scored();
    let case = Case {
        name: "a folder/that has/a long name/trace.db",
        truth: &truth,
        analysis: &analysis,
    };
    let score = Score::new(&[case]);
    for width in (60..=200).chain([400]) {
        let options = TextOptions {
            width,
            ascii: true,
            ..TextOptions::default()
        };
        let shown = render::text(&score, None, &options);
        assert!(shown.is_ascii());
        for line in shown.lines() {
            assert!(line.width() <= width, "{} > {width}: {line}", line.width());
            assert_eq!(line.trim_end(), line);
        }
    }
    let schema: Value = serde_json::from_str(&stdout(&mut ingero(&["schema", "bench-truth"]))).unwrap();
    let value: Value = serde_json::from_str(&render::json(&score, None)).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(validator.is_valid(&value), "{:?}", validator.validate(&value).err());
}

#[test]
fn lines_beside_a_trace_name_the_rules() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    fs::copy(root().join("investigations/pageable/trace.db"), &path).unwrap();
    let rules = |path: &Path| -> Vec<(TruthKind, String)> {
        let all = truth(path).unwrap();
        let planted = all
            .iter()
            .filter(|t| t.kind != TruthKind::Healthy && t.kind != TruthKind::Note);
        planted.map(|t| (t.kind, t.rule.clone())).collect()
    };
    assert_eq!(rules(&path), [(TruthKind::Cause, String::new())]);
    fs::copy(
        root().join("investigations/pageable/truth.jsonl"),
        dir.path().join("truth.jsonl"),
    )
    .unwrap();
    let named = [
        (TruthKind::Cause, "PAGEABLE_COPY".to_owned()),
        (TruthKind::Symptom, "MEMCPY_BOUND".to_owned()),
    ];
    assert_eq!(rules(&path), named);
    let lines = fs::read_to_string(dir.path().join("truth.jsonl")).unwrap();
    let twin = lines.replace(
        "\"rule\": \"PAGEABLE_COPY\"",
        "\"really\": \"twin\", \"rule\": \"PAGEABLE_COPY\"",
    );
    fs::write(dir.path().join("truth.jsonl"), twin).unwrap();
    assert_eq!(rules(&path)[0], (TruthKind::Twin, "PAGEABLE_COPY".to_owned()));
    // A row that names its rule keeps it.
    let conn = Connection::open(&path).unwrap();
    conn.execute("UPDATE truth SET rule = 'OWN' WHERE kind = 'cause'", [])
        .unwrap();
    drop(conn);
    assert_eq!(rules(&path), [(TruthKind::Cause, "OWN".to_owned())]);
    fs::write(dir.path().join("truth.jsonl"), "{\"truth\": 1}\n").unwrap();
    let err = truth(&path).unwrap_err().to_string();
    assert!(err.contains("truth.jsonl") && err.contains("line 1"), "{err}");
}

/// Ten waits of 10 ms, all time in them, and the truth that they are too long.
fn waits(path: &Path) {
    let mut w = Writer::create(path, "n").unwrap();
    let wait = Op::by_name(Source::Cuda, "cudaStreamSync").unwrap();
    for i in 0..10 {
        let event = Event::new(wait, 7, 7, 1_000_000_000 + i * 10_000_000, 10_000_000);
        w.event(&event.comm("engine")).unwrap();
    }
    w.truth(&TruthRow {
        kind: "cause",
        rule: "LONG_WAITS",
        pid: 7,
        start: 1_000_000_000,
        end: 1_100_000_000,
        ..TruthRow::default()
    })
    .unwrap();
    w.finish().unwrap();
}

#[test]
fn thresholds_are_moved_one_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let (trace, rules) = (dir.path().join("t.db"), dir.path().join("r.rules"));
    waits(&trace);
    // 9 ms is close below, 90 % has nothing at 1.2 times it, 1 nothing at either, and OTHER is quiet by little.
    let text = "when cuda.sync.max > 9ms and cuda.sync.count >= 1 and cuda.sync[duration > 1ms].sum >= 90% * \
                cuda.sync.sum => LONG_WAITS { min_count 1 severity low }\n\
                when cuda.sync.max > 12ms => OTHER { min_count 1 severity low }";
    fs::write(&rules, text).unwrap();
    let args = [
        "bench-truth",
        "--sweep",
        "--rules",
        rules.to_str().unwrap(),
        trace.to_str().unwrap(),
    ];
    let out = stdout(&mut ingero(&[&args[..], &["--format", "json"]].concat()));
    let score: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(score["total"]["found"], 1);
    let moved: Vec<(&str, f64, u64, u64)> = score["sweep"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| {
            let number = |f: &str| s[f].as_u64().unwrap();
            let rule = s["rule"].as_str().unwrap();
            (
                rule,
                s["factor"].as_f64().unwrap(),
                number("found"),
                number("false_alarms"),
            )
        })
        .collect();
    // Of LONG_WAITS: 9 ms, 90 % (only lower), and the 1 ms of the filter.
    let of = |rule: &str, factor: f64| -> Vec<(u64, u64)> {
        let here = moved.iter().filter(|m| m.0 == rule && (m.1 - factor).abs() < 1e-9);
        here.map(|m| (m.2, m.3)).collect()
    };
    assert_eq!(of("LONG_WAITS", 0.8), [(1, 0), (1, 0), (1, 0)]);
    let mut higher = of("LONG_WAITS", 1.2);
    higher.sort_unstable();
    assert_eq!(higher, [(0, 0), (1, 0)]);
    assert_eq!((of("OTHER", 0.8), of("OTHER", 1.2)), (vec![(0, 1)], vec![(0, 0)]));
    let table = stdout(&mut ingero(&args));
    assert!(
        table.contains("LONG_WAITS, threshold times 1.2 in `cuda.sync.max > 9ms`: 0 found"),
        "{table}"
    );
}

/// The score of the recordings and of every case that can be simulated, as it is committed. A miss stands
/// in it like everything else.
#[test]
fn the_score_of_our_corpus_is_the_committed_one() {
    let dir = tempfile::tempdir().unwrap();
    for scenario in ingero::simulate::scenarios().iter().filter(|s| s.name != "bulk") {
        let path = dir.path().join(format!("{}.db", scenario.name));
        ingero::simulate::create(scenario.name, &ingero::simulate::Options::default(), &path, false).unwrap();
    }
    let corpus = dir.path().to_str().unwrap();
    let table = stdout(ingero(&["bench-truth", "investigations", corpus]).env("COLUMNS", "100"));
    // A rule more changes no verdict.
    let kept = table.lines().filter(|l| !l.contains("never planted"));
    let kept: Vec<&str> = kept.collect();
    insta::assert_snapshot!(kept.join("\n").replace(corpus, "simulated"));
}
