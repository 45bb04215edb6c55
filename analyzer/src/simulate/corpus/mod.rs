//! The labelled corpus: for each rule traces in which it must speak and twins in which it must not, and
//! healthy traces in which nothing may be named.
//!
//! A case is a line of a table: an ordinary workload (`scene::Base`), what is planted into it out of named
//! building blocks (`blocks`), and the quantity that decides, which is played at 0.8, 1.0 and 1.2 times the
//! threshold of the rule. The tables lie in one file per rule pack; `controls` holds the healthy traces. What
//! is true in a trace is written into the trace, by `play` alone, so that no case can say one thing and
//! be labelled with another.

mod blocks;
mod controls;
mod cuda;
mod host;
mod nccl;
mod pytorch;
mod scene;
mod trace;
mod vllm;

use std::path::Path;

use super::stage::{EPOCH, Stage};
use super::{SimulateError, header, session};
use crate::trace::writer::{TruthRow, WriteError, Writer};
use scene::{Base, Scene};

/// A rule and how to show it.
#[derive(Debug)]
struct Entry {
    rule: &'static str,
    base: Base,
    /// The quantity that is swept, with its threshold; empty where a single event decides.
    swept: &'static str,
    /// Rules that may be named beside it, and need not.
    may: &'static [&'static str],
    /// Plants so many times the threshold.
    plant: fn(&mut Scene<'_>, By),
    /// The same without what decides.
    twins: &'static [Twin],
}

/// What differs from the positive in one condition.
#[derive(Debug)]
struct Twin {
    name: &'static str,
    /// How it differs, in words.
    about: &'static str,
    /// Rules that may be named there.
    may: &'static [&'static str],
    plant: fn(&mut Scene<'_>),
}

/// A healthy trace.
#[derive(Debug)]
struct Control {
    /// As in the catalogue of pathologies, and what it is.
    name: &'static str,
    about: &'static str,
    base: Base,
    /// Rules that it looks like.
    guards: &'static [&'static str],
    plant: fn(&mut Scene<'_>),
}

/// How many tenths of the threshold are planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct By(i64);

impl By {
    /// That part of a quantity.
    fn of(self, threshold: i64) -> i64 {
        threshold * self.0 / 10
    }

    /// That part of a small number, rounded.
    fn count(self, threshold: i64) -> i64 {
        (threshold * self.0 + 5) / 10
    }

    /// So much that this part is left: for thresholds that must not be exceeded.
    fn below(self, threshold: i64) -> i64 {
        threshold * 10 / self.0
    }
}

/// A trace of the corpus.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name, which is that of its file.
    pub name: String,
    /// The rule it is about; none of a healthy trace.
    pub rule: Option<&'static str>,
    /// What it is.
    pub kind: CaseKind,
    /// In words, what is planted.
    pub about: String,
    what: What,
}

/// What a trace of the corpus is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaseKind {
    /// Below the threshold: the rule must be quiet.
    Below,
    /// At the threshold: either answer is right.
    At,
    /// Above it, or simply there: the rule must speak, and first.
    Positive,
    /// Without what decides: the rule must be quiet.
    Twin,
    /// Nothing is wrong.
    Healthy,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Swept(&'static Entry, By),
    Twin(&'static Entry, &'static Twin),
    Control(&'static Control),
}

/// Every trace of the corpus, by pack and rule, the healthy ones last.
pub fn cases() -> Vec<Case> {
    let packs = [
        trace::ENTRIES,
        cuda::ENTRIES,
        pytorch::ENTRIES,
        vllm::ENTRIES,
        nccl::ENTRIES,
        host::ENTRIES,
    ];
    let more = [cuda::MORE, pytorch::MORE, vllm::MORE, nccl::MORE, host::MORE];
    let of_rules = packs.into_iter().flatten().flat_map(|e| e.cases(""));
    let more = more.into_iter().flatten().flat_map(|(word, e)| e.cases(word));
    let healthy = controls::CONTROLS.iter().map(Control::case);
    of_rules.chain(more).chain(healthy).collect()
}

impl Entry {
    /// Its traces; `word` names the quantity where it is not the first of its rule.
    fn cases(&'static self, word: &str) -> Vec<Case> {
        let mut name = self.rule.to_ascii_lowercase().replace('_', "-");
        if !word.is_empty() {
            name = format!("{name}-{word}");
        }
        let case = |suffix: &str, kind, about: String, what| Case {
            name: format!("{name}-{suffix}"),
            rule: Some(self.rule),
            kind,
            about,
            what,
        };
        let mut out = Vec::new();
        if self.swept.is_empty() {
            let about = "planted".to_owned();
            out.push(case("planted", CaseKind::Positive, about, What::Swept(self, By(12))));
        } else {
            for (suffix, tenths, kind) in [
                ("0.8", 8, CaseKind::Below),
                ("1.0", 10, CaseKind::At),
                ("1.2", 12, CaseKind::Positive),
            ] {
                let about = format!("{suffix} times the threshold: {}", self.swept);
                out.push(case(suffix, kind, about, What::Swept(self, By(tenths))));
            }
        }
        for twin in self.twins {
            let (suffix, about) = (format!("twin-{}", twin.name), twin.about.to_owned());
            out.push(case(&suffix, CaseKind::Twin, about, What::Twin(self, twin)));
        }
        out
    }
}

impl Control {
    fn case(&'static self) -> Case {
        Case {
            name: self.name.to_owned(),
            rule: None,
            kind: CaseKind::Healthy,
            about: self.about.to_owned(),
            what: What::Control(self),
        }
    }
}

/// Plays a case into a new trace, with its truth. Finishing the writer is the caller's part.
///
/// # Errors
/// A failure of the file.
pub fn play(case: &Case, seed: u64, writer: &mut Writer) -> Result<(), WriteError> {
    let base = match case.what {
        What::Swept(e, _) | What::Twin(e, _) => e.base,
        What::Control(c) => c.base,
    };
    let mut scene = Scene::new(Stage::new(writer, seed), base)?;
    let begin = scene.main.now;
    match case.what {
        What::Swept(e, by) => (e.plant)(&mut scene, by),
        What::Twin(_, t) => (t.plant)(&mut scene),
        What::Control(c) => (c.plant)(&mut scene),
    }
    let end = scene.main.now.max(begin + 1);
    let stop = scene.end()?;
    let (cores, record_all, whose) = (scene.host.cores, scene.record_all, scene.whose);
    drop(scene);
    header(writer, &case.name, seed, cores, record_all)?;
    if base == Base::Rank {
        writer.probe("nccl", "", "attached", "")?;
    }
    writer.session(&session(stop, cores, "NVIDIA H100 80GB HBM3, 81559 MiB", record_all))?;
    for (kind, rule) in case.truth() {
        writer.truth(&TruthRow {
            kind,
            rule,
            pid: whose,
            tid: whose,
            start: if kind == "healthy" { EPOCH } else { begin },
            end: if kind == "healthy" { stop } else { end },
            value: 0,
            note: case.about.clone(),
        })?;
    }
    Ok(())
}

impl Case {
    /// Kinds and rules of the rows of its truth.
    fn truth(&self) -> Vec<(&'static str, &'static str)> {
        let (first, others) = match self.what {
            What::Swept(e, _) => (e.rule, e.may),
            What::Twin(e, t) => (e.rule, t.may),
            What::Control(c) => {
                return [("healthy", "")]
                    .into_iter()
                    .chain(c.guards.iter().map(|g| ("twin", *g)))
                    .collect();
            }
        };
        let kind = match self.kind {
            CaseKind::Positive => "cause",
            CaseKind::At => "may",
            CaseKind::Below | CaseKind::Twin | CaseKind::Healthy => "twin",
        };
        [(kind, first)]
            .into_iter()
            .chain(others.iter().map(|r| ("may", *r)))
            .collect()
    }
}

/// Plays a case into a new file; with `overwrite`, an existing one is replaced at the end. Returns how many
/// events it has.
///
/// # Errors
/// A failure of the file.
pub fn create(case: &Case, seed: u64, path: &Path, overwrite: bool) -> Result<u64, SimulateError> {
    let mut writer = if overwrite {
        Writer::overwrite(path, "sim")?
    } else {
        Writer::create(path, "sim")?
    };
    play(case, seed, &mut writer)?;
    Ok(writer.finish()?.events)
}
