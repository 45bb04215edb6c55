//! `--check`: what would be attached, and why not.

use crate::bpf::{self, Bpf, Probe};
use crate::child;
use crate::cli::Args;
use crate::error::RecorderError;
use crate::probes::libs::{self, Mapped};
use crate::record;
use crate::targets;
use std::collections::HashSet;
use std::fmt::Write;

/// Attaches everything once, detaches it, and gives the table.
///
/// # Errors
/// What also keeps a recording from starting.
pub fn check(args: &Args) -> Result<String, RecorderError> {
    bpf::preflight()?;
    let offset = crate::clock::offset();
    let (mut bpf, mut probes) = Bpf::load(record::wanted(args, offset.offset_ns, args.thresholds()?)?)?;
    let mut seen = HashSet::new();
    for mapped in libraries(args)? {
        if seen.insert(mapped.id) {
            probes.extend(bpf.attach_library(&mapped));
        }
    }
    let mut text = format!("calls: {:?}\n", bpf.mechanism).to_lowercase();
    text.push_str(&table(&probes));
    if !probes.iter().any(|p| !p.target.is_empty()) {
        text.push_str("no process has libcudart, libcuda or libnccl mapped now: they are attached when one does\n");
    }
    Ok(text)
}

fn libraries(args: &Args) -> Result<Vec<Mapped>, RecorderError> {
    let mut found = Vec::new();
    for path in &args.lib {
        let mapped = libs::at_path(path).map_err(|e| RecorderError::Library {
            path: path.clone(),
            reason: e.to_string(),
        })?;
        found.extend(mapped);
    }
    if let Some(name) = args.command.first() {
        let program = child::resolve(name)?;
        let likely = libs::likely(Some(&program));
        found.extend(likely.iter().filter_map(|p| libs::at_path(p).ok().flatten()));
    }
    for pid in &args.pid {
        if targets::stat(*pid).is_none() {
            return Err(RecorderError::NoProcess(*pid));
        }
    }
    let mut roots = args.pid.clone();
    roots.extend(targets::named(&args.comm));
    if args.everything() {
        roots = targets::all();
    }
    for pid in targets::trees(&roots) {
        found.extend(libs::mapped_by(pid));
    }
    Ok(found)
}

/// One line a probe, columns as wide as needed, libraries grouped.
fn table(probes: &[Probe]) -> String {
    let width = |of: &dyn Fn(&Probe) -> usize, head: &str| probes.iter().map(of).max().unwrap_or(0).max(head.len());
    let name = width(&|p| p.name.len(), "PROBE");
    let target = width(&|p| p.target.len(), "TARGET");
    let mut out = String::new();
    let mut line = |a: &str, b: &str, c: &str, d: &str| {
        let text = format!("{a:name$}  {b:8}  {c:target$}  {d}");
        let _ = writeln!(out, "{}", text.trim_end());
    };
    line("PROBE", "STATUS", "TARGET", "REASON");
    for p in probes {
        line(&p.name, p.status, &p.target, &p.reason);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let probe = |name: &str, status, reason: &str| Probe {
            name: name.to_owned(),
            target: String::new(),
            status,
            reason: reason.to_owned(),
        };
        let text = table(&[
            probe("sched:sched_switch", "attached", ""),
            probe("x", "missing", "no such tracepoint"),
        ]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0].find("STATUS"), lines[1].find("attached"));
        assert_eq!(lines[0].find("REASON"), lines[2].find("no such"));
    }
}
