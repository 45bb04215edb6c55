//! Processes and their threads, as `/proc` shows them.

use crate::abi::OffCpu;
use crate::writer::Thread;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// One line of `/proc/PID/stat`, as far as it is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Name in parentheses.
    pub comm: String,
    /// State letter.
    pub state: char,
    /// Parent process.
    pub ppid: u32,
    /// Start in clock ticks since boot.
    pub start_ticks: i64,
}

fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.split_once('(')?;
    // The name may hold parentheses and spaces; the last one closes it.
    let (comm, rest) = rest.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let ppid = fields.next()?.parse().ok()?;
    let start_ticks = fields.nth(17)?.parse().ok()?;
    Some(Stat {
        comm: comm.to_owned(),
        state,
        ppid,
        start_ticks,
    })
}

/// `None` if there is no such process.
pub fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// All processes of this pid namespace.
pub fn all() -> Vec<u32> {
    let mut pids: Vec<u32> = numbers("/proc");
    pids.sort_unstable();
    pids
}

/// Processes whose name is one of `comms`.
pub fn named(comms: &[String]) -> Vec<u32> {
    all()
        .into_iter()
        .filter(|p| stat(*p).is_some_and(|s| comms.contains(&s.comm)))
        .collect()
}

/// `roots` and all their descendants.
pub fn trees(roots: &[u32]) -> BTreeSet<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for pid in all() {
        if let Some(s) = stat(pid) {
            children.entry(s.ppid).or_default().push(pid);
        }
    }
    let mut found = BTreeSet::new();
    let mut todo = roots.to_vec();
    while let Some(pid) = todo.pop() {
        if found.insert(pid) {
            todo.extend(children.get(&pid).into_iter().flatten());
        }
    }
    found
}

/// The threads of a process now, with the off-CPU state of those that sleep.
pub fn threads(pid: u32, now_ns: u64) -> Vec<(Thread, Option<OffCpu>)> {
    let ppid = stat(pid).map_or(0, |s| s.ppid);
    let mut tids: Vec<u32> = numbers(&format!("/proc/{pid}/task"));
    tids.sort_unstable();
    tids.into_iter()
        .filter_map(|tid| {
            let text = fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat")).ok()?;
            let s = parse_stat(&text)?;
            let state = match s.state {
                'S' => Some(1),
                'D' => Some(2),
                'T' => Some(4),
                _ => None,
            };
            let thread = Thread {
                tid,
                pid,
                ppid: if tid == pid { ppid } else { 0 },
                comm: s.comm,
                start_ns: 0,
                exit_ns: 0,
                traced: true,
            };
            let off = state.map(|state| OffCpu {
                ts_ns: now_ns,
                woken_ns: 0,
                pid,
                waker: 0,
                preemptor: 0,
                state,
            });
            Some((thread, off))
        })
        .collect()
}

fn numbers(dir: &str) -> Vec<u32> {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses_are_read() {
        let line = "7 (a) (b c) S 3 7 7 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 9876 0 0";
        let s = parse_stat(line).unwrap();
        assert_eq!(
            (s.comm.as_str(), s.state, s.ppid, s.start_ticks),
            ("a) (b c", 'S', 3, 9876)
        );
    }

    #[test]
    fn this_process_is_in_its_parents_tree() {
        let me = std::process::id();
        let parent = stat(me).unwrap().ppid;
        assert!(trees(&[parent]).contains(&me));
        assert!(!trees(&[me]).contains(&parent));
        assert!(threads(me, 1).iter().any(|(t, _)| t.tid == me));
    }
}
