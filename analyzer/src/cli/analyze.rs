//! `ingero analyze`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant as Clock};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::{AnalyzeArgs, Format, RuleArgs};
use super::console::{Console, Kind};
use super::engine::{self, Look, ReadRequest, Rules, TraceProblem};
use super::failure::Failure;
use super::time::Instant;
use super::{Outcome, memory, sources};
use crate::diagnosis::{Analysis, Severity, Status};
use crate::lang::hir::Program;
use crate::report::{Problem, ProblemKind, Report, github, html, json, junit, markdown, ndjson, sarif, table};
use crate::trace::catalogue::{Op, Source};
use crate::trace::{Needs, Trace};
use crate::unit::Interval;
use crate::view::{Drawing, ProcessProfile};

/// Reading for longer than this shows how far it is.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) fn run(args: &AnalyzeArgs, console: &mut Console) -> Result<Outcome, Failure> {
    let rules = compile(&args.rules, console)?;
    let request = args.input.request(console);
    let extras = Extras {
        drawn: (args.format == Format::Html).then_some(args.top),
        ..Extras::default()
    };
    let judged = judge_with(&rules, &request, extras, console)?;
    let text = render(args, &judged, console);
    deliver(args.output.as_deref(), &text, console)?;
    Ok(judged.outcome(args.fail_on, args.strict))
}

/// Writes a report to its file, or to standard output.
pub(super) fn deliver(file: Option<&Path>, text: &str, console: &mut Console) -> Result<(), Failure> {
    match file {
        Some(path) => fs::write(path, text).map_err(|source| Failure::Write {
            path: path.to_owned(),
            source,
        }),
        None => console.out(text),
    }
}

fn render(args: &AnalyzeArgs, judged: &Judged, console: &Console) -> String {
    let report = judged.report();
    match args.format {
        Format::Table => {
            let mut options = console.layout(args.output.is_some());
            options.top = args.top;
            options.verbose = args.verbose;
            table::render(&report, &options)
        }
        Format::Json => json::render(&report),
        Format::Ndjson => ndjson::render(&report),
        Format::Markdown => markdown::render(&report, args.top),
        Format::Html => html::render(&report, &judged.drawing, args.top),
        Format::Sarif => sarif::render(&report),
        Format::Junit => junit::render(&report, args.fail_on.unwrap_or(Severity::Low)),
        Format::Github => github::render(&report),
    }
}

/// What to judge; by default all of the time, on all cores.
#[derive(Clone, Debug, Default)]
pub(super) struct Request<'a> {
    pub(super) traces: &'a [PathBuf],
    pub(super) pid: Option<i64>,
    pub(super) from: Option<Instant>,
    pub(super) to: Option<Instant>,
    pub(super) threads: usize,
    /// Bytes of memory to use at most.
    pub(super) memory: Option<u64>,
    pub(super) progress: bool,
}

/// What was found, and what could not be served.
pub(super) struct Judged {
    pub(super) analysis: Analysis,
    pub(super) problems: Vec<Problem>,
    pub(super) window: Option<Interval>,
    /// What every process did, where that was asked for.
    pub(super) profiles: Vec<ProcessProfile>,
    /// The first findings and the coverage, where that was asked for.
    pub(super) drawing: Drawing,
}

impl Judged {
    /// As a report shows it.
    pub(super) fn report(&self) -> Report<'_> {
        Report {
            analysis: &self.analysis,
            problems: &self.problems,
            window: self.window,
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// A part that could not be served outweighs what was found in the rest, and that outweighs what
    /// could not be judged. Every diagnosis counts, also one that another explains: `--fail-on` asks
    /// how bad it is, not why.
    pub(super) fn outcome(&self, fail_on: Option<Severity>, strict: bool) -> Outcome {
        let severe = |level| self.analysis.diagnoses.iter().any(|d| d.severity >= level);
        let unjudged = |status| matches!(status, Status::Unknown | Status::NotApplicable);
        if !self.problems.is_empty() {
            Outcome::Partial
        } else if fail_on.is_some_and(severe) {
            Outcome::Found
        } else if strict && self.analysis.rules.iter().any(|r| unjudged(r.status)) {
            Outcome::Unjudged
        } else {
            Outcome::Fine
        }
    }
}

/// What is wanted beside the verdicts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extras {
    /// Profiles of all processes.
    pub(super) profiles: bool,
    /// Pictures of so many primary findings.
    pub(super) drawn: Option<usize>,
}

impl Extras {
    /// Operations that these look at, whatever the rules need.
    fn ops(self) -> Vec<Op> {
        let drawn = |o: &Op| {
            matches!(
                o.def().source,
                Source::Request | Source::Io | Source::Graph | Source::Nccl
            )
        };
        Op::all()
            .filter(|o| self.profiles || (self.drawn.is_some() && drawn(o)))
            .collect()
    }
}

/// Compiles the rules asked for and shows every error in them. Rules without errors still run; a
/// value given with `--set` that cannot be used stops the run, for then no rule means what was
/// asked.
pub(super) fn compile(args: &RuleArgs, console: &mut Console) -> Result<Rules, Failure> {
    let files = sources::load(&args.rules)?;
    if files.is_empty() {
        return Err(Failure::NoRules);
    }
    let rules = engine::compile(&files, &args.set, look(console));
    show(rules.problems.iter().filter(|p| p.is_error), console);
    if rules.problems.iter().any(|p| p.is_error && p.in_set) {
        return Err(Failure::BadSet);
    }
    Ok(rules)
}

/// Shows problems in texts of rules, a blank line after each.
pub(super) fn show<'a>(problems: impl Iterator<Item = &'a engine::RuleProblem>, console: &mut Console) {
    for problem in problems {
        console.err(&format!("{}\n\n", problem.text.trim_end()));
    }
}

/// How problems look on standard error.
pub(super) fn look(console: &Console) -> Look {
    Look {
        width: console.err_width(),
        color: console.color_err(),
        utf8: console.utf8(),
    }
}

/// Reads and judges.
pub(super) fn judge(rules: &Rules, request: &Request<'_>, console: &mut Console) -> Result<Judged, Failure> {
    judge_with(rules, request, Extras::default(), console)
}

/// Reads and judges, and looks at more than the verdicts.
pub(super) fn judge_with(
    rules: &Rules,
    request: &Request<'_>,
    extras: Extras,
    console: &mut Console,
) -> Result<Judged, Failure> {
    let mut problems = rule_problems(rules);
    for p in &problems {
        console.say(Kind::Error, &format!("{}: {}", p.path, p.message));
    }
    if rules.program.rules.is_empty() {
        return Err(Failure::NoRules);
    }
    let read = ReadRequest {
        also: extras.ops(),
        ..ReadRequest::of(&rules.program, request)
    };
    let needs = read.needs();
    let left_out = |p: TraceProblem| Problem {
        kind: ProblemKind::Trace,
        path: p.path,
        message: format!("{}; the report is without it", p.message),
    };
    if let Some(budget) = request.memory {
        let divisible = !extras.profiles && extras.drawn.is_none();
        if let Some(found) = memory::judge(&rules.program, request, &needs, divisible, budget, console)? {
            problems.extend(found.unreadable.into_iter().map(left_out));
            return Ok(Judged {
                analysis: found.analysis,
                drawing: Drawing::default(),
                window: found.window,
                profiles: Vec::new(),
                problems,
            });
        }
    }
    let (trace, unreadable) = read_traces(request.traces, &read, &needs, request.progress, console)?;
    problems.extend(unreadable.into_iter().map(left_out));
    let (analysis, drawing) = match extras.drawn {
        Some(top) => engine::analyze_and_draw(&rules.program, &trace, request.pid, request.threads, top),
        None => (
            engine::analyze(&rules.program, &trace, request.pid, request.threads),
            Drawing::default(),
        ),
    };
    Ok(Judged {
        analysis,
        drawing,
        window: engine::window(&trace, &read),
        profiles: if extras.profiles {
            engine::profile(&trace, request.pid, request.threads)
        } else {
            Vec::new()
        },
        problems,
    })
}

/// Reads traces, says which could not be read, and fails where that is all of them.
fn read_traces(
    paths: &[PathBuf],
    read: &ReadRequest<'_>,
    needs: &Needs,
    watched: bool,
    console: &mut Console,
) -> Result<(Trace, Vec<TraceProblem>), Failure> {
    let (trace, unreadable) = read_in_silence(paths, read, needs, watched);
    tell(&unreadable, console);
    Ok((trace.ok_or(Failure::NoTrace)?, unreadable))
}

/// Reads traces; only progress is shown.
pub(super) fn read_in_silence(
    paths: &[PathBuf],
    read: &ReadRequest<'_>,
    needs: &Needs,
    watched: bool,
) -> (Option<Trace>, Vec<TraceProblem>) {
    let progress = Progress::new();
    let tell = |done, all| progress.tell(done, all);
    let read = ReadRequest {
        progress: if watched { Some(&tell) } else { None },
        also: read.also.clone(),
        ..*read
    };
    let found = engine::read(paths, &read, needs);
    progress.finish();
    found
}

/// Says which traces could not be read.
pub(super) fn tell(unreadable: &[TraceProblem], console: &mut Console) {
    for p in unreadable {
        console.say(Kind::Error, &format!("{}: {}", p.path, p.message));
        if let Some(help) = &p.help {
            console.say(Kind::Help, help);
        }
    }
}

/// A trace, and whether every file of it could be read.
pub(super) struct Read {
    pub(super) trace: Trace,
    pub(super) whole: bool,
}

/// Reads what a program needs of traces, all of their time.
pub(super) fn read(program: &Program, paths: &[PathBuf], console: &mut Console) -> Result<Read, Failure> {
    let request = ReadRequest {
        program,
        also: Vec::new(),
        from: None,
        to: None,
        threads: 0,
        progress: None,
    };
    let watched = console.watched();
    let (trace, unreadable) = read_traces(paths, &request, &request.needs(), watched, console)?;
    Ok(Read {
        trace,
        whole: unreadable.is_empty(),
    })
}

/// One problem for each file of rules with errors.
fn rule_problems(rules: &Rules) -> Vec<Problem> {
    let mut errors: BTreeMap<&str, usize> = BTreeMap::new();
    for p in rules.problems.iter().filter(|p| p.is_error) {
        *errors.entry(&p.file).or_default() += 1;
    }
    errors
        .into_iter()
        .map(|(file, n)| {
            let ran = rules
                .program
                .rules
                .iter()
                .filter(|r| {
                    let source = usize::try_from(r.file.0).ok().and_then(|i| rules.program.files.get(i));
                    source.is_some_and(|f| f.name == file)
                })
                .count();
            let errors = if n == 1 {
                "1 error".to_owned()
            } else {
                format!("{n} errors")
            };
            let ran = match ran {
                0 => "none of its rules ran".to_owned(),
                1 => "only 1 rule of it, the one without errors, ran".to_owned(),
                n => format!("only {n} rules of it, those without errors, ran"),
            };
            Problem {
                kind: ProblemKind::Rules,
                path: file.to_owned(),
                message: format!("{errors}; {ran}"),
            }
        })
        .collect()
}

/// Shows how far reading is, once it takes longer than [`PATIENCE`].
struct Progress {
    began: Clock,
    bar: Mutex<Option<ProgressBar>>,
}

impl Progress {
    fn new() -> Self {
        Self {
            began: Clock::now(),
            bar: Mutex::new(None),
        }
    }

    fn tell(&self, done: u64, all: u64) {
        if self.began.elapsed() < PATIENCE {
            return;
        }
        // Progress is never worth a failure.
        let Ok(mut bar) = self.bar.lock() else { return };
        let bar = bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(Some(all), ProgressDrawTarget::stderr());
            if let Ok(style) =
                ProgressStyle::with_template("reading {bar:30} {percent:>3} %  {human_pos} rows, {eta} left")
            {
                bar.set_style(style);
            }
            bar
        });
        bar.set_length(all);
        bar.set_position(done);
    }

    fn finish(&self) {
        if let Ok(bar) = self.bar.lock()
            && let Some(bar) = bar.as_ref()
        {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::{Diagnosis, Factors, KeyValues, RuleResult};

    fn diagnosis(severity: Severity, explained_by: Option<usize>) -> Diagnosis {
        Diagnosis {
            rank: 1,
            rule: "A".to_owned(),
            rule_id: "a".to_owned(),
            title: String::new(),
            severity,
            score: 0,
            confidence: 0,
            factors: Factors::default(),
            impact_ns: 0,
            key: KeyValues::default(),
            link: None,
            when: Interval::default(),
            incidents: 1,
            message: String::new(),
            explanation: String::new(),
            refuted_by: String::new(),
            fixes: Vec::new(),
            evidence: Vec::new(),
            explains: Vec::new(),
            explained_by,
            refs: Vec::new(),
        }
    }

    fn judged(diagnoses: Vec<Diagnosis>, status: Status) -> Judged {
        let rule = RuleResult {
            id: "a".to_owned(),
            name: "A".to_owned(),
            title: String::new(),
            file: String::new(),
            status,
            reason: String::new(),
            keys: (0, 0),
        };
        Judged {
            analysis: Analysis {
                rules: vec![rule],
                diagnoses,
                ..Analysis::default()
            },
            problems: Vec::new(),
            window: None,
            profiles: Vec::new(),
            drawing: Drawing::default(),
        }
    }

    #[test]
    fn what_was_found_decides_only_when_asked_for() {
        let low_explains_high = || vec![diagnosis(Severity::Low, None), diagnosis(Severity::High, Some(0))];
        let found = judged(low_explains_high(), Status::Fired);
        assert_eq!(found.outcome(None, false), Outcome::Fine);
        assert_eq!(found.outcome(Some(Severity::High), false), Outcome::Found);
        assert_eq!(found.outcome(Some(Severity::Critical), false), Outcome::Fine);
        let unknown = judged(low_explains_high(), Status::Unknown);
        assert_eq!(unknown.outcome(None, true), Outcome::Unjudged);
        assert_eq!(unknown.outcome(None, false), Outcome::Fine);
        assert_eq!(unknown.outcome(Some(Severity::Low), true), Outcome::Found);
        let skipped = judged(Vec::new(), Status::NotApplicable);
        assert_eq!(skipped.outcome(None, true), Outcome::Unjudged);
        let quiet = judged(Vec::new(), Status::Quiet);
        assert_eq!(quiet.outcome(Some(Severity::Info), true), Outcome::Fine);
    }

    #[test]
    fn a_part_that_could_not_be_served_outweighs_the_rest() {
        let mut found = judged(vec![diagnosis(Severity::Critical, None)], Status::Fired);
        found.problems.push(Problem {
            kind: ProblemKind::Trace,
            path: "t.db".to_owned(),
            message: "truncated".to_owned(),
        });
        assert_eq!(found.outcome(Some(Severity::Low), true), Outcome::Partial);
    }
}
