//! How well verdicts agree with what is known to be true: what was planted and found, what was missed, and
//! what was named that is not so.

use std::collections::BTreeMap;

use crate::diagnosis::{Analysis, Diagnosis, Severity};
use crate::trace::truth::{Truth, TruthKind};

/// A trace with its truth and its verdicts.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// How reports call the trace.
    pub name: &'a str,
    /// What is true in it; empty where nobody knows.
    pub truth: &'a [Truth],
    /// What was found in it.
    pub analysis: &'a Analysis,
}

/// The agreement of verdicts with the truth, over all traces of a corpus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Traces with a truth.
    pub labelled: u64,
    /// Traces without.
    pub unlabelled: Vec<String>,
    /// By rule: all that were judged, and those that a truth names.
    pub rules: BTreeMap<String, RuleScore>,
    /// Traces with a planted cause.
    pub with_cause: u64,
    /// Of these, those whose first finding of LOW or above is a planted cause.
    pub primary_right: u64,
    /// Traces in which nothing is wrong.
    pub healthy: u64,
    /// Findings of LOW or above in them.
    pub healthy_findings: u64,
    /// What is not as it should be.
    pub wrong: Vec<Wrong>,
    /// What was planted and named in each trace with a truth.
    pub traces: Vec<Seen>,
}

/// What was planted in a trace, and what was named: a row of the confusion matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The trace.
    pub trace: String,
    /// Rules of its causes and symptoms, causes first.
    pub planted: Vec<String>,
    /// Its findings by rank.
    pub named: Vec<Named>,
}

/// A finding, as the confusion matrix counts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The rule.
    pub rule: String,
    /// Its severity.
    pub severity: Severity,
    /// Whether another finding explains it.
    pub explained: bool,
}

impl Seen {
    fn new(case: &Case<'_>) -> Self {
        let of = |kind| {
            case.truth
                .iter()
                .filter(move |t| t.kind == kind)
                .map(|t| t.rule.clone())
        };
        let named = case.analysis.diagnoses.iter().map(|d| Named {
            rule: d.rule.clone(),
            severity: d.severity,
            explained: d.explained_by.is_some(),
        });
        Self {
            trace: case.name.to_owned(),
            planted: of(TruthKind::Cause).chain(of(TruthKind::Symptom)).collect(),
            named: named.collect(),
        }
    }
}

/// One rule. Planted things are rows of the truth, named things are diagnoses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleScore {
    /// Whether there is such a rule.
    pub exists: bool,
    /// Causes and symptoms that it should name.
    pub planted: u64,
    /// Of these, those that it names as LOW or above.
    pub found: u64,
    /// Of these, those that it names as INFO only.
    pub info: u64,
    /// Of these, those that it does not name.
    pub missed: u64,
    /// Things that look like it and are not.
    pub twins: u64,
    /// Things that it may name and need not.
    pub may: u64,
    /// Of these, those that it names.
    pub may_named: u64,
    /// Diagnoses of LOW or above that name something planted.
    pub right: u64,
    /// Diagnoses of LOW or above that name nothing planted.
    pub false_alarms: u64,
}

impl RuleScore {
    /// Of its diagnoses of LOW or above, those that name something planted, thousandths; `None` where there
    /// is none.
    pub fn precision(&self) -> Option<u32> {
        share(self.right, self.right + self.false_alarms)
    }

    /// Of what was planted, what it names at any severity, thousandths; `None` where nothing was.
    pub fn recall(&self) -> Option<u32> {
        share(self.found + self.info, self.planted)
    }

    fn add(&mut self, other: &Self) {
        self.planted += other.planted;
        self.found += other.found;
        self.info += other.info;
        self.missed += other.missed;
        self.twins += other.twins;
        self.may += other.may;
        self.may_named += other.may_named;
        self.right += other.right;
        self.false_alarms += other.false_alarms;
    }
}

/// Thousandths, rounded down, so that only all is 1000.
pub fn share(part: u64, whole: u64) -> Option<u32> {
    u32::try_from((part * 1000).checked_div(whole)?).ok()
}

/// A verdict that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The trace.
    pub trace: String,
    /// What kind of mistake.
    pub what: Mistake,
    /// The rule; of a wrong primary, the one that was named instead, or none.
    pub rule: String,
    /// In words: what was planted, or what was said.
    pub detail: String,
}

/// Kinds of mistakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// Planted and not named.
    Missed,
    /// Named as LOW or above and not planted.
    FalseAlarm,
    /// A cause is planted, and the first finding is something else.
    WrongPrimary,
}

impl Mistake {
    /// As in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missed => "missed",
            Self::FalseAlarm => "false_alarm",
            Self::WrongPrimary => "wrong_primary",
        }
    }
}

impl Score {
    /// Compares every case with its truth, in the order given.
    pub fn new(cases: &[Case<'_>]) -> Self {
        let mut score = Self::default();
        for case in cases {
            for r in &case.analysis.rules {
                score.rules.entry(r.name.clone()).or_default().exists = true;
            }
        }
        for case in cases {
            score.add(case);
        }
        score
    }

    /// All rules together.
    pub fn total(&self) -> RuleScore {
        let mut all = RuleScore {
            exists: true,
            ..RuleScore::default()
        };
        self.rules.values().for_each(|r| all.add(r));
        all
    }

    /// In traces with something planted, findings of LOW or above that are not of it: by what was planted
    /// and what was named, in how many traces.
    pub fn beside(&self) -> BTreeMap<(&str, &str), u64> {
        let mut out = BTreeMap::new();
        for seen in &self.traces {
            let Some(cause) = seen.planted.first() else { continue };
            let mut others: Vec<&str> = seen
                .named
                .iter()
                .filter(|n| n.severity > Severity::Info && !seen.planted.contains(&n.rule))
                .map(|n| n.rule.as_str())
                .collect();
            others.sort_unstable();
            others.dedup();
            for rule in others {
                *out.entry((cause.as_str(), rule)).or_default() += 1;
            }
        }
        out
    }

    fn add(&mut self, case: &Case<'_>) {
        if case.truth.is_empty() {
            self.unlabelled.push(case.name.to_owned());
            return;
        }
        self.labelled += 1;
        self.traces.push(Seen::new(case));
        let planted: Vec<&Truth> = case.truth.iter().filter(|t| is_planted(t)).collect();
        for t in &planted {
            self.planted(case, t);
        }
        for t in case.truth.iter().filter(|t| t.kind == TruthKind::Twin) {
            self.rules.entry(t.rule.clone()).or_default().twins += 1;
        }
        let may: Vec<&Truth> = case.truth.iter().filter(|t| t.kind == TruthKind::May).collect();
        for t in &may {
            let rule = self.rules.entry(t.rule.clone()).or_default();
            rule.may += 1;
            rule.may_named += u64::from(case.analysis.diagnoses.iter().any(|d| names(d, t)));
        }
        let loud: Vec<&Diagnosis> = case.analysis.diagnoses.iter().filter(|d| is_loud(d)).collect();
        for d in &loud {
            let right = planted.iter().any(|t| names(d, t));
            let rule = self.rules.entry(d.rule.clone()).or_default();
            if right {
                rule.right += 1;
            } else if !may.iter().any(|t| names(d, t)) {
                rule.false_alarms += 1;
                self.wrong(
                    case,
                    Mistake::FalseAlarm,
                    &d.rule,
                    format!("{}: {}", d.severity.name(), d.message),
                );
            }
        }
        self.primary(case, &planted, &loud);
        if planted.is_empty() && case.truth.iter().any(|t| t.kind == TruthKind::Healthy) {
            self.healthy += 1;
            self.healthy_findings += loud.len() as u64;
        }
    }

    fn planted(&mut self, case: &Case<'_>, t: &Truth) {
        let rule = self.rules.entry(t.rule.clone()).or_default();
        rule.planted += 1;
        let named = case.analysis.diagnoses.iter().filter(|d| names(d, t));
        match named.map(is_loud).max() {
            Some(true) => rule.found += 1,
            Some(false) => rule.info += 1,
            None => {
                rule.missed += 1;
                let said = case.analysis.rules.iter().find(|r| r.name == t.rule);
                let said = said.map_or("there is no such rule".to_owned(), |r| {
                    let reason = if r.reason.is_empty() { "" } else { ", " };
                    format!("{}{reason}{}", r.status.name().replace('_', " "), r.reason)
                });
                self.wrong(case, Mistake::Missed, &t.rule, format!("{} ({said})", t.note));
            }
        }
    }

    fn primary(&mut self, case: &Case<'_>, planted: &[&Truth], loud: &[&Diagnosis]) {
        let causes: Vec<&&Truth> = planted.iter().filter(|t| t.kind == TruthKind::Cause).collect();
        let Some(cause) = causes.first() else { return };
        self.with_cause += 1;
        // What is only worth knowing is no incident, and none of it comes before the others.
        let mut primary = loud.iter().copied().filter(|d| d.explained_by.is_none());
        let is_cause = |d: &Diagnosis| causes.iter().any(|t| names(d, t));
        let noted = || {
            let all = &case.analysis.diagnoses;
            all.iter().find(|d| is_cause(d)).or(all.first())
        };
        let first = primary.next().or_else(noted);
        if first.is_some_and(is_cause) {
            self.primary_right += 1;
        } else {
            let said = first.map_or("", |d| d.rule.as_str());
            self.wrong(case, Mistake::WrongPrimary, said, format!("planted is {}", cause.rule));
        }
    }

    fn wrong(&mut self, case: &Case<'_>, what: Mistake, rule: &str, detail: String) {
        self.wrong.push(Wrong {
            trace: case.name.to_owned(),
            what,
            rule: rule.to_owned(),
            detail,
        });
    }
}

/// What rules come to with one of their thresholds a little lower or higher: the worst of all thresholds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// By rule, factor and threshold.
    runs: BTreeMap<(String, Factor), BTreeMap<String, Counts>>,
}

/// What thresholds are multiplied with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Factor {
    /// 0.8
    Lower,
    /// 1.2
    Higher,
}

impl Factor {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Lower, Self::Higher];

    /// As a fraction.
    pub fn value(self) -> (i128, i128) {
        match self {
            Self::Lower => (4, 5),
            Self::Higher => (6, 5),
        }
    }
}

/// Of one run over the corpus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Planted things that are named, at any severity.
    pub found: u64,
    /// Diagnoses of LOW or above that name nothing planted.
    pub false_alarms: u64,
}

impl Sweep {
    /// Counts what a rule found in a trace after a change to one threshold. A trace without truth counts
    /// nothing.
    pub fn add(&mut self, rule: &str, factor: Factor, threshold: &str, found: &[Diagnosis], truth: &[Truth]) {
        let run = self.runs.entry((rule.to_owned(), factor)).or_default();
        let counts = run.entry(threshold.to_owned()).or_default();
        if truth.is_empty() {
            return;
        }
        let planted: Vec<&Truth> = truth.iter().filter(|t| is_planted(t)).collect();
        let named = planted.iter().filter(|t| found.iter().any(|d| names(d, t)));
        counts.found += named.count() as u64;
        let loud = found.iter().filter(|d| is_loud(d));
        let known = truth.iter().filter(|t| is_planted(t) || t.kind == TruthKind::May);
        let known: Vec<&Truth> = known.collect();
        counts.false_alarms += loud.filter(|d| !known.iter().any(|t| names(d, t))).count() as u64;
    }

    /// The fewest found, and the most false alarms, over all thresholds of a rule; `None` where it has none.
    pub fn worst(&self, rule: &str, factor: Factor) -> Option<Counts> {
        let runs = self.runs.get(&(rule.to_owned(), factor))?.values();
        let found = runs.clone().map(|c| c.found).min()?;
        let false_alarms = runs.map(|c| c.false_alarms).max()?;
        Some(Counts { found, false_alarms })
    }

    /// Every moved threshold of a rule, in words, with what it comes to.
    pub fn of(&self, rule: &str, factor: Factor) -> impl Iterator<Item = (&str, Counts)> {
        let runs = self.runs.get(&(rule.to_owned(), factor));
        runs.into_iter().flatten().map(|(what, c)| (what.as_str(), *c))
    }
}

fn is_planted(t: &Truth) -> bool {
    matches!(t.kind, TruthKind::Cause | TruthKind::Symptom)
}

fn is_loud(d: &Diagnosis) -> bool {
    d.severity > Severity::Info
}

/// Whether a diagnosis names what is true: the rule, whom it concerns, and some of the time.
fn names(d: &Diagnosis, t: &Truth) -> bool {
    let whom = t.pid == 0 || d.key.pid.is_none_or(|pid| pid == t.pid);
    d.rule == t.rule && whom && d.when.start < t.when.end && d.when.end > t.when.start
}
