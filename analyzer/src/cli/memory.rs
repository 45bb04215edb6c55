//! `--memory`: verdicts in a given amount of memory.
//!
//! Where all that the rules need takes more, the traces are read several times, each time for some of
//! the rules only. The verdicts are the same.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::analyze::{Request, read_in_silence, tell};
use super::console::Console;
use super::engine::{self, ReadRequest, TraceProblem};
use super::failure::Failure;
use crate::diagnosis::Analysis;
use crate::lang::hir::Program;
use crate::plan::budget;
use crate::trace::{Needs, Trace};
use crate::unit::Interval;

/// A number of bytes: `512MiB`, `2GiB`, `1.5GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const UNITS: [(&str, u64); 9] = [
            ("B", 1),
            ("KiB", 1 << 10),
            ("MiB", 1 << 20),
            ("GiB", 1 << 30),
            ("TiB", 1 << 40),
            ("kB", 1_000),
            ("MB", 1_000_000),
            ("GB", 1_000_000_000),
            ("TB", 1_000_000_000_000),
        ];
        let wrong = || "write a size, for example 512MiB or 2GiB".to_owned();
        let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, unit) = text.split_at(at);
        let scale = UNITS.iter().find(|u| u.0 == unit.trim()).ok_or_else(wrong)?.1;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digits = u32::try_from(fraction.len()).map_err(|_| wrong())?;
        let whole: u64 = whole.parse().map_err(|_| wrong())?;
        let fraction: u64 = fraction.parse().map_err(|_| wrong())?;
        let part = 10_u64
            .checked_pow(digits)
            .map(|all| u128::from(fraction) * u128::from(scale) / u128::from(all));
        let part = part.and_then(|p| u64::try_from(p).ok());
        let bytes = whole.checked_mul(scale).zip(part).and_then(|(w, p)| w.checked_add(p));
        bytes.filter(|b| *b > 0).map(Self).ok_or_else(wrong)
    }
}

/// What was found, where it takes several passes.
pub(super) struct Found {
    pub(super) analysis: Analysis,
    pub(super) window: Option<Interval>,
    pub(super) unreadable: Vec<TraceProblem>,
}

/// Judges in several passes; `None` where one is enough. `whole`: what one pass takes.
///
/// # Errors
/// [`Failure::TooLarge`] where one rule alone takes more than `budget`, or where something is wanted that
/// takes the whole trace.
pub(super) fn judge(
    program: &Program,
    request: &Request<'_>,
    whole: &Needs,
    divisible: bool,
    budget: u64,
    console: &mut Console,
) -> Result<Option<Found>, Failure> {
    let count = engine::count(request.traces, request.threads);
    let bytes = budget::bytes(program, whole, &count);
    if bytes <= budget {
        return Ok(None);
    }
    if !divisible {
        return Err(Failure::TooLarge {
            what: "this view looks at the whole trace, which".to_owned(),
            bytes,
            budget,
            most: None,
        });
    }
    let groups = budget::groups(program, &count, budget).map_err(|e| Failure::TooLarge {
        what: e
            .rule
            .unwrap_or_else(|| "what is said of the recording itself".to_owned()),
        bytes: e.bytes,
        budget,
        most: e.most,
    })?;
    let mut judged = engine::Judged::default();
    let mut lanes = BTreeSet::new();
    let mut last: Option<(Trace, Vec<TraceProblem>)> = None;
    for group in &groups {
        // The trace before is not needed any more, and must not take memory beside this one.
        let before = last.take().map(|(trace, _)| files(&trace));
        let read = ReadRequest::of(&group.program, request);
        let (trace, unreadable) = loop {
            let mut needs = group.needs.clone();
            needs.lanes.clone_from(&lanes);
            let (trace, unreadable) = read_in_silence(request.traces, &read, &needs, request.progress);
            let Some(trace) = trace else {
                tell(&unreadable, console);
                return Err(Failure::NoTrace);
            };
            // What another pass keeps must be shared out among the lives of a process here as it is there.
            let kept = whole.closure();
            let torn = trace.torn.iter().filter(|l| kept.has(l.2) && !lanes.contains(*l));
            let torn: Vec<_> = torn.copied().collect();
            if torn.is_empty() {
                break (trace, unreadable);
            }
            lanes.extend(torn);
        };
        if let Some(path) = before.and_then(|b| changed(&b, &files(&trace))) {
            return Err(Failure::Changing { path });
        }
        engine::judge_part(&mut judged, group, &trace, request);
        last = Some((trace, unreadable));
    }
    let Some((trace, unreadable)) = last else {
        return Ok(None);
    };
    tell(&unreadable, console);
    Ok(Some(Found {
        analysis: engine::conclude(judged, program, &trace, request),
        window: engine::window(&trace, &ReadRequest::of(program, request)),
        unreadable,
    }))
}

type File = (PathBuf, u64, u64);

fn files(trace: &Trace) -> Vec<File> {
    let of = |f: &crate::trace::model::FileInfo| (f.path.clone(), f.size_bytes, f.rows);
    trace.files.iter().map(of).collect()
}

/// A file that two passes did not find the same.
fn changed(a: &[File], b: &[File]) -> Option<PathBuf> {
    let odd = |x: &[File], y: &[File]| x.iter().find(|f| !y.contains(f)).map(|f| f.0.clone());
    odd(a, b).or_else(|| odd(b, a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let size = |t: &str| t.parse::<Size>().map(|s| s.0);
        assert_eq!(size("2GiB"), Ok(2 << 30));
        assert_eq!(size("512 MiB"), Ok(512 << 20));
        assert_eq!(size("1.5GB"), Ok(1_500_000_000));
        assert_eq!(size("0.25KiB"), Ok(256));
        for wrong in [
            "",
            "2",
            "2G",
            "GiB",
            "-1GiB",
            "0GiB",
            "1.GiB",
            "99999999999TiB",
            "1.2.3GB",
        ] {
            assert!(size(wrong).unwrap_err().contains("512MiB"), "{wrong}");
        }
    }
}
