//! Reports of analyses made by hand, in every format.

mod report_model;

use ingero::diagnosis::Analysis;
use ingero::report::{Problem, ProblemKind, Report, TextOptions, json, markdown, ndjson, table};
use unicode_width::UnicodeWidthStr;

fn problems() -> Vec<Problem> {
    vec![Problem {
        kind: ProblemKind::Rules,
        path: "rules/mine.rules".to_owned(),
        message: "2 errors; only 3 of its 4 rules ran".to_owned(),
    }]
}

fn report<'a>(analysis: &'a Analysis, problems: &'a [Problem]) -> Report<'a> {
    Report {
        analysis,
        problems,
        window: None,
        version: "test",
    }
}

fn text(analysis: &Analysis, options: &TextOptions) -> String {
    table::render(&report(analysis, &[]), options)
}

fn plain(width: usize) -> TextOptions {
    TextOptions {
        width,
        ..TextOptions::default()
    }
}

/// Without escapes, what a terminal would show.
fn visible(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\x1b' {
            for c in chars.by_ref() {
                if c == 'm' {
                    break;
                }
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[test]
fn the_article_at_80_columns() {
    insta::assert_snapshot!(text(&report_model::article(), &plain(80)));
}

#[test]
fn the_article_at_160_columns() {
    insta::assert_snapshot!(text(&report_model::article(), &plain(160)));
}

#[test]
fn the_article_verbose() {
    let options = TextOptions {
        verbose: true,
        ..plain(100)
    };
    insta::assert_snapshot!(text(&report_model::article(), &options));
}

#[test]
fn the_article_in_colour() {
    let options = TextOptions {
        color: true,
        ..plain(80)
    };
    let colour = text(&report_model::article(), &options);
    assert_eq!(visible(&colour), text(&report_model::article(), &plain(80)));
    insta::assert_snapshot!(colour.replace('\x1b', "^"));
}

#[test]
fn one_finding_of_three_and_a_rule_file_with_errors() {
    let analysis = report_model::article();
    let problems = problems();
    let mut report = report(&analysis, &problems);
    report.window = analysis.traces[0].observed;
    let options = TextOptions { top: 1, ..plain(80) };
    insta::assert_snapshot!(table::render(&report, &options));
}

#[test]
fn nothing_found() {
    insta::assert_snapshot!(text(&report_model::healthy(), &plain(80)));
}

#[test]
fn ascii_is_ascii() {
    let options = TextOptions {
        ascii: true,
        ..plain(80)
    };
    for analysis in [
        report_model::article(),
        report_model::healthy(),
        report_model::hostile(),
    ] {
        assert!(text(&analysis, &options).is_ascii());
    }
    insta::assert_snapshot!(text(&report_model::article(), &options));
}

#[test]
fn hostile_names_stay_text() {
    let shown = text(&report_model::hostile(), &plain(80));
    assert!(!shown.contains(['\x1b', '\u{202e}', '\r', '\t']));
    let problems = [];
    let shown = markdown::render(&report(&report_model::hostile(), &problems), 5);
    assert!(!shown.contains(['\x1b', '\u{202e}', '\r', '<']));
}

#[test]
fn no_line_is_wider_than_asked() {
    let problems = problems();
    for analysis in [
        report_model::article(),
        report_model::healthy(),
        report_model::hostile(),
        Analysis::default(),
    ] {
        for width in (60..=200).chain([240, 400]) {
            for (color, verbose, ascii) in [(false, false, false), (true, true, false), (false, true, true)] {
                let options = TextOptions {
                    width,
                    color,
                    verbose,
                    ascii,
                    top: 5,
                };
                let shown = visible(&table::render(&report(&analysis, &problems), &options));
                for line in shown.lines() {
                    assert!(line.width() <= width, "{} > {width}: {line}", line.width());
                    assert_eq!(line.trim_end(), line);
                }
            }
        }
    }
}

#[test]
fn json_report() {
    let analysis = report_model::article();
    let problems = problems();
    insta::assert_snapshot!(json::render(&report(&analysis, &problems)));
}

#[test]
fn ndjson_report() {
    let analysis = report_model::article();
    let problems = problems();
    let lines = ndjson::render(&report(&analysis, &problems));
    for line in lines.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(value["type"].is_string());
    }
    insta::assert_snapshot!(lines);
}

#[test]
fn markdown_report() {
    let analysis = report_model::article();
    let problems = problems();
    insta::assert_snapshot!(markdown::render(&report(&analysis, &problems), 5));
}

#[test]
fn schema() {
    insta::assert_snapshot!(json::schema());
}

#[test]
fn every_report_follows_the_schema() {
    let schema: serde_json::Value = serde_json::from_str(&json::schema()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let problems = problems();
    for analysis in [
        report_model::article(),
        report_model::healthy(),
        report_model::hostile(),
        Analysis::default(),
    ] {
        let text = json::render(&report(&analysis, &problems));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let errors: Vec<String> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
    }
    // The schema is worth something only if it refuses.
    let wrong: serde_json::Value = serde_json::json!({ "schema_version": 2 });
    assert!(!validator.is_valid(&wrong));
}

#[test]
fn every_documented_field_is_there() {
    let analysis = report_model::article();
    let value: serde_json::Value = serde_json::from_str(&json::render(&report(&analysis, &[]))).unwrap();
    let has = |at: &serde_json::Value, fields: &str| {
        for field in fields.split(' ') {
            assert!(at.get(field).is_some(), "{field} is missing in {at}");
        }
    };
    assert_eq!(value["schema_version"], 1);
    has(&value, "tool traces rules diagnoses near_misses");
    has(&value["tool"], "name version");
    has(&value["traces"][0], "path node events span_ns start_ns coverage");
    has(&value["rules"][0], "id name file status reason");
    let first = &value["diagnoses"][0];
    has(
        first,
        "rank rule severity score confidence factors impact_ns key link start_ns end_ns message explanation fix \
         evidence explains explained_by",
    );
    has(&first["key"], "node pid process tid op");
    has(&first["evidence"][0], "metric value unit threshold witnesses");
    has(&first["evidence"][0]["witnesses"][0], "start_ns dur_ns tid op");
    assert_eq!(first["explains"], serde_json::json!([2, 4]));
    assert_eq!(value["diagnoses"][2]["explained_by"], 2);
    assert_eq!(value["diagnoses"][3]["evidence"][0]["value"], 208);
    assert_eq!(value["diagnoses"][3]["evidence"][0]["unit"], "1/s");
    let copies = &value["diagnoses"][4]["evidence"];
    assert_eq!(copies[0]["value"]["min"], 8_400_000_000_i64);
    assert_eq!(copies[1]["value"]["max"], serde_json::Value::Null);
}

#[test]
fn equal_models_give_equal_bytes() {
    for _ in 0..3 {
        let (a, b) = (report_model::article(), report_model::article());
        assert_eq!(json::render(&report(&a, &[])), json::render(&report(&b, &[])));
        assert_eq!(text(&a, &plain(80)), text(&b, &plain(80)));
    }
}

/// `SHOW=160 cargo test -p ingero --test report_formats show -- --nocapture` to look at it.
#[test]
fn show() {
    if let Some(width) = std::env::var("SHOW").ok().and_then(|w| w.parse().ok()) {
        let options = TextOptions {
            width,
            color: true,
            ..TextOptions::default()
        };
        println!("{}", text(&report_model::article(), &options));
    }
}
