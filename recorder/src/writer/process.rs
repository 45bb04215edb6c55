//! Threads and processes of the trace: names, life spans, ranks and cgroups.

use crate::abi::Task;
use rustc_hash::{FxHashMap, FxHashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;

/// A thread of a target; a row of `tasks`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the table")]
pub struct Thread {
    pub tid: u32,
    pub pid: u32,
    pub ppid: u32,
    pub comm: String,
    pub start_ns: i64,
    pub exit_ns: i64,
    pub traced: bool,
}

/// A cgroup, for `cgroup_metadata`.
pub(super) struct Cgroup {
    pub(super) id: i64,
    pub(super) path: String,
    pub(super) container_id: String,
}

/// What an `events` row says of its process.
pub(super) struct About<'a> {
    pub(super) comm: &'a str,
    pub(super) ranks: [Option<i64>; 3],
    pub(super) cgroup_id: i64,
}

#[derive(Clone, Copy, Default)]
struct Process {
    ranks: [Option<i64>; 3],
    cgroup_id: i64,
}

#[derive(Default)]
pub(super) struct Processes {
    threads: FxHashMap<u32, Thread>,
    changed: Vec<Thread>,
    by_pid: FxHashMap<u32, Process>,
    /// Names of threads that are no targets, such as those that issue block requests.
    strangers: FxHashMap<u32, String>,
    cgroups: FxHashSet<i64>,
    new_cgroups: Vec<Cgroup>,
}

/// Strangers remembered at most; a host has more threads than this only in odd cases.
const MAX_STRANGERS: usize = 65_536;

impl Processes {
    /// A thread that is older than the recording, or of a process that became a target later.
    pub(super) fn seed(&mut self, t: Thread) {
        if !self.threads.contains_key(&t.tid) {
            self.put(t);
        }
    }

    fn put(&mut self, t: Thread) {
        self.strangers.remove(&t.tid);
        self.changed.push(t.clone());
        self.threads.insert(t.tid, t);
    }

    pub(super) fn fork(&mut self, t: &Task, at: i64) {
        if t.child_pid != t.pid {
            self.by_pid.remove(&t.child_pid); // the number may have been another's
        }
        self.put(Thread {
            tid: t.child_tid,
            pid: t.child_pid,
            ppid: if t.child_pid == t.pid { 0 } else { t.pid },
            comm: t.comm.clone(),
            start_ns: at,
            exit_ns: 0,
            traced: true,
        });
    }

    pub(super) fn exec(&mut self, t: &Task, at: i64) {
        self.by_pid.remove(&t.pid);
        if t.child_tid != t.tid
            && let Some(mut old) = self.threads.remove(&t.child_tid)
        {
            old.exit_ns = at;
            self.changed.push(old);
        }
        self.rename(t);
        if !self.threads.contains_key(&t.tid) {
            // Known from here on only, so nothing before is claimed.
            self.put(Thread {
                tid: t.tid,
                pid: t.pid,
                comm: t.comm.clone(),
                start_ns: at,
                traced: true,
                ..Thread::default()
            });
        }
    }

    pub(super) fn exit(&mut self, t: &Task, at: i64) {
        if let Some(mut thread) = self.threads.remove(&t.tid) {
            thread.exit_ns = at;
            // It may still be switched a few times on its way out.
            self.strangers.insert(t.tid, thread.comm.clone());
            self.changed.push(thread);
        }
        if t.last {
            self.by_pid.remove(&t.pid);
        }
    }

    pub(super) fn rename(&mut self, t: &Task) {
        if let Some(thread) = self.threads.get_mut(&t.tid)
            && thread.comm != t.comm
        {
            thread.comm.clone_from(&t.comm);
            self.changed.push(thread.clone());
        }
    }

    /// Threads that changed since the last call, the newest state of each last.
    pub(super) fn take_changed(&mut self) -> Vec<Thread> {
        std::mem::take(&mut self.changed)
    }

    pub(super) fn take_new_cgroups(&mut self) -> Vec<Cgroup> {
        std::mem::take(&mut self.new_cgroups)
    }

    /// For a new file: every living thread is to be written again.
    pub(super) fn mark_all_changed(&mut self) {
        let mut all: Vec<Thread> = self.threads.values().cloned().collect();
        all.sort_unstable_by_key(|t| t.tid);
        self.changed.extend(all);
        self.cgroups.clear();
        self.by_pid.clear();
    }

    /// Some sched events were lost, and nobody knows of which threads.
    pub(super) fn mark_untraced(&mut self) {
        let mut all: Vec<u32> = self.threads.keys().copied().collect();
        all.sort_unstable();
        for tid in all {
            if let Some(t) = self.threads.get_mut(&tid) {
                t.traced = false;
                self.changed.push(t.clone());
            }
        }
    }

    pub(super) fn about(&mut self, pid: u32, tid: u32) -> About<'_> {
        let pid = self.threads.get(&tid).map_or(pid, |t| t.pid);
        let process = *self.by_pid.entry(pid).or_insert_with(|| {
            let (cgroup_id, path) = cgroup_of(pid);
            if cgroup_id != 0 && self.cgroups.insert(cgroup_id) {
                let container_id = container_of(&path);
                self.new_cgroups.push(Cgroup {
                    id: cgroup_id,
                    path,
                    container_id,
                });
            }
            Process {
                ranks: ranks_of(pid),
                cgroup_id,
            }
        });
        let comm = if let Some(t) = self.threads.get(&tid) {
            t.comm.as_str()
        } else {
            if self.strangers.len() > MAX_STRANGERS {
                self.strangers.clear();
            }
            self.strangers.entry(tid).or_insert_with(|| comm_of(tid))
        };
        About {
            comm,
            ranks: process.ranks,
            cgroup_id: process.cgroup_id,
        }
    }
}

fn comm_of(tid: u32) -> String {
    let text = fs::read_to_string(format!("/proc/{tid}/comm")).unwrap_or_default();
    text.trim_end().to_owned()
}

/// `RANK`, `LOCAL_RANK` and `WORLD_SIZE` of the process's environment.
fn ranks_of(pid: u32) -> [Option<i64>; 3] {
    let env = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    ["RANK=", "LOCAL_RANK=", "WORLD_SIZE="].map(|key| {
        env.split(|b| *b == 0)
            .find_map(|v| v.strip_prefix(key.as_bytes()))
            .and_then(|v| std::str::from_utf8(v).ok()?.trim().parse().ok())
    })
}

/// The id (inode) and path of the process's cgroup v2; (0, "") for none or the root.
fn cgroup_of(pid: u32) -> (i64, String) {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let Some(path) = text.lines().find_map(|l| l.strip_prefix("0::")).filter(|p| *p != "/") else {
        return (0, String::new());
    };
    let inode = fs::metadata(format!("/sys/fs/cgroup{path}")).map_or(0, |m| m.ino());
    (inode.cast_signed(), path.to_owned())
}

/// The 64 hexadecimal digits that container runtimes put into the path, if they are there.
fn container_of(path: &str) -> String {
    path.split(|c: char| !c.is_ascii_hexdigit())
        .find(|part| part.len() == 64)
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_ids_are_found_in_their_paths() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(container_of(&format!("/system.slice/docker-{id}.scope")), id);
        assert_eq!(container_of("/user.slice"), "");
    }
}
