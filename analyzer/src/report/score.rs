//! How well the verdicts agree with the truth, as a table and as JSON.

use schemars::JsonSchema;
use serde::Serialize;

use super::json::pretty;
use super::paint::{Page, Style, fit};
use super::{MIN_WIDTH, TextOptions, words};
use crate::score::{Factor, Mistake, RuleScore, Score, Seen, Sweep, Wrong, share};
use crate::unit::Num;

/// Columns of the numbers of the table.
const HEAD: [&str; 8] = [
    "PLANTED",
    "FOUND",
    "INFO",
    "MISSED",
    "TWINS",
    "FALSE",
    "PRECISION",
    "RECALL",
];

/// Renders the table, and below it everything that is wrong; ends with a line feed.
pub fn text(score: &Score, sweep: Option<&Sweep>, options: &TextOptions) -> String {
    let mut page = Page::new(options.width.max(MIN_WIDTH), options.color, options.ascii);
    let rows: Vec<(&str, [String; 8])> = score
        .rules
        .iter()
        .filter(|(_, r)| r.planted + r.twins + r.false_alarms > 0)
        .map(|(name, r)| (name.as_str(), cells(r)))
        .chain([("all", cells(&score.total()))])
        .collect();
    table(&mut page, HEAD, &rows);
    page.blank();
    for fact in facts(score) {
        page.hang(&[], 2, &fact, Style::Plain);
    }
    let beside = score.beside();
    if !beside.is_empty() {
        page.blank();
        let title = "Named beside what was planted, as LOW or above";
        page.hang(&[], 0, title, Style::Strong);
    }
    for ((planted, named), n) in beside {
        let line = format!("{planted}: {named} in {}", words::plural(n, "trace"));
        page.hang(&[("  - ", Style::Plain)], 4, &line, Style::Plain);
    }
    if !score.wrong.is_empty() {
        page.blank();
        page.hang(&[], 0, "Not as it should be", Style::Strong);
    }
    for w in &score.wrong {
        page.hang(&[("  - ", Style::Plain)], 4, &told(w), Style::Plain);
    }
    if let Some(sweep) = sweep {
        swept(&mut page, score, sweep);
    }
    page.finish()
}

/// Rows of numbers under their heads, the name of a rule in front.
fn table<const N: usize>(page: &mut Page, head: [&str; N], rows: &[(&str, [String; N])]) {
    let widest = |i: usize| {
        rows.iter()
            .map(|(_, c)| c[i].len())
            .max()
            .unwrap_or(0)
            .max(head[i].len())
    };
    let widths: [usize; N] = std::array::from_fn(widest);
    let room = page.width.saturating_sub(widths.iter().map(|w| w + 1).sum());
    let name = rows.iter().map(|(n, _)| n.len()).max().unwrap_or(0).min(room);
    let line = |first: &str, cells: &[String; N]| {
        let cells = cells.iter().zip(widths).map(|(c, w)| format!(" {}", fit(c, w, true)));
        format!("{}{}", fit(first, name, false), cells.collect::<String>())
    };
    page.line(&[(&line("RULE", &head.map(str::to_owned)), Style::Dim)]);
    for (first, cells) in rows {
        let style = if *first == "all" { Style::Strong } else { Style::Plain };
        page.line(&[(&line(first, cells), style)]);
    }
}

/// What moved thresholds come to, and by which of them something is lost or wrongly won.
fn swept(page: &mut Page, score: &Score, sweep: &Sweep) {
    page.blank();
    let title = "With one threshold at a time at 0.8 and 1.2 times its value, the worst of them";
    page.hang(&[], 0, title, Style::Strong);
    let known = |r: &RuleScore| r.planted + r.twins + r.false_alarms > 0;
    let told: Vec<(&str, &RuleScore)> = score
        .rules
        .iter()
        .filter(|(_, r)| r.exists && known(r))
        .map(|(n, r)| (n.as_str(), r))
        .collect();
    let number = |n: Option<u64>| n.map_or("-".to_owned(), words::count);
    let rows: Vec<(&str, [String; 7])> = told
        .iter()
        .map(|(name, r)| {
            let [low, high] = Factor::ALL.map(|f| sweep.worst(name, f));
            let cells = [
                Some(r.planted),
                low.map(|c| c.found),
                Some(r.found + r.info),
                high.map(|c| c.found),
                low.map(|c| c.false_alarms),
                Some(r.false_alarms),
                high.map(|c| c.false_alarms),
            ];
            (*name, cells.map(number))
        })
        .collect();
    let head = ["PLANTED", "FOUND 0.8x", "1x", "1.2x", "FALSE 0.8x", "1x", "1.2x"];
    table(page, head, &rows);
    for (name, r) in told {
        for factor in Factor::ALL {
            for (what, c) in sweep.of(name, factor) {
                let usual = r.found + r.info;
                if c.found == usual && c.false_alarms == r.false_alarms {
                    continue;
                }
                let line = format!(
                    "{name}, {what}: {} found, {}",
                    words::count(c.found),
                    words::plural(c.false_alarms, "false alarm")
                );
                page.hang(&[("  - ", Style::Plain)], 4, &line, Style::Plain);
            }
        }
    }
}

fn cells(r: &RuleScore) -> [String; 8] {
    let number = |n: u64| if n == 0 { "-".to_owned() } else { words::count(n) };
    let percent = |p: Option<u32>| p.map_or("-".to_owned(), words::percent);
    [
        number(r.planted),
        number(r.found),
        number(r.info),
        number(r.missed),
        number(r.twins),
        number(r.false_alarms),
        percent(r.precision()),
        percent(r.recall()),
    ]
}

fn facts(score: &Score) -> Vec<String> {
    let quiet = score.rules.values().filter(|r| r.exists && r.planted == 0).count();
    let mut out = vec![format!(
        "{} with a truth; {} right in {} of {} with a planted cause.",
        words::plural(score.labelled, "trace"),
        "first finding",
        words::count(score.primary_right),
        words::count(score.with_cause),
    )];
    out.push(format!(
        "Findings of LOW or above in {} in which nothing is wrong: {}.",
        words::plural(score.healthy, "trace"),
        words::count(score.healthy_findings),
    ));
    let total = score.total();
    if total.may > 0 {
        out.push(format!(
            "Of {} that a rule may name and need not, {} named.",
            words::plural(total.may, "thing"),
            words::count(total.may_named)
        ));
    }
    if quiet > 0 {
        out.push(format!(
            "{} never planted, so their recall is not known.",
            words::plural(words::size(quiet), "rule")
        ));
    }
    if !score.unlabelled.is_empty() {
        out.push(format!(
            "Without a truth, not counted: {}.",
            score.unlabelled.join(", ")
        ));
    }
    out
}

fn told(w: &Wrong) -> String {
    let rule = if w.rule.is_empty() { "nothing" } else { w.rule.as_str() };
    match w.what {
        Mistake::Missed => format!("{}: missed {rule}: {}", w.trace, w.detail),
        Mistake::FalseAlarm => format!("{}: false alarm {rule}, {}", w.trace, w.detail),
        Mistake::WrongPrimary => format!("{}: {}, said first is {rule}", w.trace, w.detail),
    }
}

/// Version of the JSON format. A field may be added without a new one; none is removed or redefined.
const SCHEMA_VERSION: u32 = 1;

/// One run of `ingero bench-truth`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "Ingero score")]
struct JsonScore<'a> {
    /// Version of this format: 1.
    #[schemars(extend("const" = SCHEMA_VERSION))]
    schema_version: u32,
    /// Traces with a truth.
    labelled: u64,
    /// Traces without, which are not counted.
    unlabelled: &'a [String],
    /// By rule, in order of name.
    rules: Vec<JsonRule<'a>>,
    /// All rules together.
    total: JsonRule<'a>,
    /// Traces with a planted cause, and how often the first finding is one.
    primary: JsonPrimary,
    /// Traces in which nothing is wrong.
    healthy: JsonHealthy,
    /// Everything that is not as it should be.
    wrong: Vec<JsonWrong<'a>>,
    /// Each trace with a truth: what was planted and what was named, the confusion matrix.
    traces: Vec<JsonTrace<'a>>,
    /// What each moved threshold comes to; null where not asked for.
    sweep: Option<Vec<JsonShift<'a>>>,
}

/// A rule with one threshold moved.
#[derive(Debug, Serialize, JsonSchema)]
struct JsonShift<'a> {
    /// Its name.
    rule: &'a str,
    /// 0.8 or 1.2.
    factor: f64,
    /// The change, in words.
    change: &'a str,
    /// Planted things that are named then, at any severity.
    found: u64,
    /// Diagnoses of low or above then that name nothing planted.
    false_alarms: u64,
}

/// A row of the confusion matrix.
#[derive(Debug, Serialize, JsonSchema)]
struct JsonRule<'a> {
    /// Its name; `all` for the total.
    rule: &'a str,
    /// Whether there is such a rule.
    exists: bool,
    /// Causes and symptoms that it should name.
    planted: u64,
    /// Of these, named as low or above.
    found: u64,
    /// Of these, named as info only.
    info: u64,
    /// Of these, not named.
    missed: u64,
    /// Things that look like it and are not.
    twins: u64,
    /// Things that it may name and need not: at a threshold, or beside a cause.
    may: u64,
    /// Of these, those that it names.
    may_named: u64,
    /// Its diagnoses of low or above that name something planted.
    right: u64,
    /// Its diagnoses of low or above that name nothing planted.
    false_alarms: u64,
    /// right / (right + `false_alarms`); null where it named nothing.
    precision: Option<f64>,
    /// (found + info) / planted; null where nothing was planted.
    recall: Option<f64>,
}

/// How often the first finding is a planted cause.
#[derive(Debug, Serialize, JsonSchema)]
struct JsonPrimary {
    /// Traces with a planted cause.
    traces: u64,
    /// Of these, those whose first finding is one.
    right: u64,
    /// right / traces; null without traces.
    rate: Option<f64>,
}

/// Findings where none should be.
#[derive(Debug, Serialize, JsonSchema)]
struct JsonHealthy {
    /// Traces in which nothing is wrong.
    traces: u64,
    /// Findings of low or above in them.
    findings: u64,
}

/// A verdict that is not as it should be.
#[derive(Debug, Serialize, JsonSchema)]
struct JsonWrong<'a> {
    /// The trace.
    trace: &'a str,
    /// `missed`, `false_alarm` or `wrong_primary`.
    what: &'static str,
    /// The rule; of a wrong primary, the one named instead, or empty.
    rule: &'a str,
    /// What was planted, or what was said.
    detail: &'a str,
}

/// What was planted in a trace and what was named.
#[derive(Debug, Serialize, JsonSchema)]
struct JsonTrace<'a> {
    /// The trace.
    trace: &'a str,
    /// Rules of its causes and symptoms, causes first.
    planted: &'a [String],
    /// Its findings by rank.
    named: Vec<JsonNamed<'a>>,
}

/// A finding.
#[derive(Debug, Serialize, JsonSchema)]
struct JsonNamed<'a> {
    /// The rule.
    rule: &'a str,
    /// `info`, `low`, `medium` or `high`.
    severity: &'static str,
    /// Whether another finding explains it.
    explained: bool,
}

/// Renders the score, indented, ending with a line feed.
pub fn json(score: &Score, sweep: Option<&Sweep>) -> String {
    let total = score.total();
    let shown = JsonScore {
        schema_version: SCHEMA_VERSION,
        labelled: score.labelled,
        unlabelled: &score.unlabelled,
        rules: score.rules.iter().map(|(name, r)| json_rule(name, r)).collect(),
        total: json_rule("all", &total),
        primary: JsonPrimary {
            traces: score.with_cause,
            right: score.primary_right,
            rate: decimal(share(score.primary_right, score.with_cause)),
        },
        healthy: JsonHealthy {
            traces: score.healthy,
            findings: score.healthy_findings,
        },
        wrong: score.wrong.iter().map(json_wrong).collect(),
        traces: score.traces.iter().map(json_trace).collect(),
        sweep: sweep.map(|s| shifts(score, s)),
    };
    let mut text = pretty(&shown);
    text.push('\n');
    text
}

fn shifts<'a>(score: &'a Score, sweep: &'a Sweep) -> Vec<JsonShift<'a>> {
    let rules = score.rules.keys().flat_map(|r| Factor::ALL.map(|f| (r.as_str(), f)));
    rules
        .flat_map(|(rule, factor)| {
            let (numer, denom) = factor.value();
            sweep.of(rule, factor).map(move |(change, c)| JsonShift {
                rule,
                factor: Num::ratio(numer, denom).map_or(1.0, Num::to_f64),
                change,
                found: c.found,
                false_alarms: c.false_alarms,
            })
        })
        .collect()
}

fn decimal(thousandths: Option<u32>) -> Option<f64> {
    thousandths.map(|t| f64::from(t) / 1000.0)
}

fn json_rule<'a>(rule: &'a str, r: &RuleScore) -> JsonRule<'a> {
    JsonRule {
        rule,
        exists: r.exists,
        planted: r.planted,
        found: r.found,
        info: r.info,
        missed: r.missed,
        twins: r.twins,
        may: r.may,
        may_named: r.may_named,
        right: r.right,
        false_alarms: r.false_alarms,
        precision: decimal(r.precision()),
        recall: decimal(r.recall()),
    }
}

fn json_wrong(w: &Wrong) -> JsonWrong<'_> {
    JsonWrong {
        trace: &w.trace,
        what: w.what.name(),
        rule: &w.rule,
        detail: &w.detail,
    }
}

fn json_trace(seen: &Seen) -> JsonTrace<'_> {
    let named = seen.named.iter().map(|n| JsonNamed {
        rule: &n.rule,
        severity: n.severity.name(),
        explained: n.explained,
    });
    JsonTrace {
        trace: &seen.trace,
        planted: &seen.planted,
        named: named.collect(),
    }
}

/// The JSON Schema of the score, indented, ending with a line feed.
pub fn schema() -> String {
    let mut text = pretty(&schemars::schema_for!(JsonScore<'_>));
    text.push('\n');
    text
}
