//! The host: what it is, and how loaded it is, from `/proc` and `/sys`.

use crate::clock;
use crate::writer::{CgroupCpu, Session, Snapshot};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Reads the host's load; keeps the CPU counters of the last reading.
pub struct Load {
    last: (u64, u64),
}

impl Load {
    /// Begins at now.
    pub fn new() -> Self {
        Self {
            last: cpu_times(&read("/proc/stat")),
        }
    }

    /// Load since the last call.
    pub fn snapshot(&mut self) -> Snapshot {
        let cpu = cpu_times(&read("/proc/stat"));
        let (busy, total) = (cpu.0 - self.last.0.min(cpu.0), cpu.1 - self.last.1.min(cpu.1));
        self.last = cpu;
        let mem = read("/proc/meminfo");
        let kib = |key: &str| meminfo(&mem, key);
        let (total_kib, available) = (kib("MemTotal:"), kib("MemAvailable:"));
        let load = read("/proc/loadavg");
        Snapshot {
            timestamp: clock::wall_ns(),
            cpu_pct: percent(busy, total),
            mem_pct: percent(total_kib.saturating_sub(available), total_kib),
            mem_avail: (available / 1024).cast_signed(),
            swap_mb: (kib("SwapTotal:").saturating_sub(kib("SwapFree:")) / 1024).cast_signed(),
            load_avg: load.split(' ').next().and_then(|v| v.parse().ok()).unwrap_or(0.0),
        }
    }
}

impl Default for Load {
    fn default() -> Self {
        Self::new()
    }
}

#[allow(clippy::cast_precision_loss, reason = "a percentage needs no 53 bits")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        100.0 * part as f64 / whole as f64
    }
}

/// (busy, total) ticks of all CPUs.
fn cpu_times(stat: &str) -> (u64, u64) {
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|v| v.parse().ok())
        .collect();
    let total: u64 = ticks.iter().sum();
    let idle: u64 = ticks.iter().skip(3).take(2).sum(); // idle and iowait
    (total - idle, total)
}

fn meminfo(text: &str, key: &str) -> u64 {
    text.lines()
        .find_map(|l| l.strip_prefix(key))
        .and_then(|v| v.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Where the cgroup file systems that count CPU time are mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupMounts {
    v2: Option<String>,
    v1_cpu: Option<String>,
    v1_cpuacct: Option<String>,
}

impl CgroupMounts {
    /// As they are now.
    pub fn find() -> Self {
        Self::parse(&read("/proc/self/mounts"))
    }

    fn parse(mounts: &str) -> Self {
        let mut found = Self::default();
        for line in mounts.lines() {
            let mut fields = line.split(' ').skip(1);
            let (Some(at), Some(kind), Some(options)) = (fields.next(), fields.next(), fields.next()) else {
                continue;
            };
            let has = |controller: &str| kind == "cgroup" && options.split(',').any(|o| o == controller);
            for (slot, is) in [
                (&mut found.v2, kind == "cgroup2"),
                (&mut found.v1_cpu, has("cpu")),
                (&mut found.v1_cpuacct, has("cpuacct")),
            ] {
                if is && slot.is_none() {
                    *slot = Some(at.to_owned());
                }
            }
        }
        found
    }

    /// `cpu.stat` of the cgroups of these processes and of the cgroups around them: a quota may be
    /// set at any level. Of version 1 where that is where CPU time is limited, else of version 2.
    pub fn cpu<'a>(&self, pids: impl Iterator<Item = &'a u32>) -> Vec<CgroupCpu> {
        let mut paths = BTreeSet::new();
        for pid in pids {
            let text = read(&format!("/proc/{pid}/cgroup"));
            let Some(mut path) = cpu_cgroup(&text, self.v1_cpu.is_some()) else {
                continue;
            };
            while !path.is_empty() && path != "/" && paths.insert(path.to_owned()) {
                path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            }
        }
        let timestamp = clock::wall_ns();
        paths
            .into_iter()
            .filter_map(|path| {
                let of = |mount: &Option<String>, file: &str| {
                    let mount = mount.as_ref()?;
                    fs::read_to_string(format!("{mount}{path}/{file}")).ok()
                };
                if self.v1_cpu.is_some() {
                    let usage = of(&self.v1_cpuacct, "cpuacct.usage").unwrap_or_default();
                    return Some(cpu_stat_v1(&of(&self.v1_cpu, "cpu.stat")?, &usage, path, timestamp));
                }
                Some(cpu_stat(&of(&self.v2, "cpu.stat")?, path, timestamp))
            })
            .collect()
    }
}

/// The path of a process's cgroup in the hierarchy that limits CPU time.
fn cpu_cgroup(text: &str, v1: bool) -> Option<&str> {
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let mine = if v1 {
            controllers.split(',').any(|c| c == "cpu")
        } else {
            id == "0" && controllers.is_empty()
        };
        mine.then_some(path)
    })
}

fn stat_value(text: &str, key: &str) -> i64 {
    text.lines()
        .find_map(|l| l.strip_prefix(key)?.strip_prefix(' '))
        .and_then(|v| v.trim().parse().ok())
        .unwrap_or(0)
}

fn cpu_stat(text: &str, path: String, timestamp: i64) -> CgroupCpu {
    CgroupCpu {
        timestamp,
        path,
        usage_us: stat_value(text, "usage_usec"),
        nr_periods: stat_value(text, "nr_periods"),
        nr_throttled: stat_value(text, "nr_throttled"),
        throttled_us: stat_value(text, "throttled_usec"),
    }
}

/// Version 1 counts in nanoseconds, and the time used in a file of its own.
fn cpu_stat_v1(text: &str, usage: &str, path: String, timestamp: i64) -> CgroupCpu {
    CgroupCpu {
        timestamp,
        path,
        usage_us: usage.trim().parse::<i64>().unwrap_or(0) / 1000,
        nr_periods: stat_value(text, "nr_periods"),
        nr_throttled: stat_value(text, "nr_throttled"),
        throttled_us: stat_value(text, "throttled_time") / 1000,
    }
}

/// The host's part of a session row.
pub fn session(node: String) -> Session {
    let cpuinfo = read("/proc/cpuinfo");
    let os = read("/etc/os-release");
    let (gpu_model, gpu_driver) = gpu();
    Session {
        started_at: clock::wall_ns(),
        gpu_model,
        gpu_driver,
        cpu_model: cpuinfo
            .lines()
            .find_map(|l| l.strip_prefix("model name")?.split_once(':'))
            .map(|(_, v)| v.trim().to_owned())
            .unwrap_or_default(),
        cpu_cores: std::thread::available_parallelism().map_or(0, |n| i64::try_from(n.get()).unwrap_or(0)),
        mem_total: (meminfo(&read("/proc/meminfo"), "MemTotal:") / 1024).cast_signed(),
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        os_release: os
            .lines()
            .find_map(|l| l.strip_prefix("PRETTY_NAME="))
            .map(|v| v.trim_matches('"').to_owned())
            .unwrap_or_default(),
        node,
        ..Session::default()
    }
}

/// Model ("NAME, N MiB" where `nvidia-smi` is there) and driver version.
fn gpu() -> (String, String) {
    let driver = read("/proc/driver/nvidia/version")
        .lines()
        .next()
        .and_then(|l| {
            l.split_whitespace()
                .find(|w| w.starts_with(|c: char| c.is_ascii_digit()))
        })
        .unwrap_or_default()
        .to_owned();
    if !Path::new("/proc/driver/nvidia").exists() {
        return (String::new(), driver);
    }
    let smi = std::process::Command::new("nvidia-smi")
        .args(["--query-gpu=name,memory.total", "--format=csv,noheader"])
        .output()
        .map(|o| {
            String::from_utf8_lossy(&o.stdout)
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned()
        });
    (smi.unwrap_or_default(), driver)
}

/// This host's name, as a node name: without the colon that ends it in an event id.
pub fn node_name() -> String {
    let name = read("/proc/sys/kernel/hostname");
    let name = name.trim().replace(':', "_");
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// Bytes free for us on the file system of `path`.
pub fn free_bytes(path: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    let dir = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let dir = std::ffi::CString::new(dir.as_os_str().as_bytes()).ok()?;
    let mut s = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: `dir` is a terminated string and `s` has room for the structure; all its bytes are
    // initialised to zero, which is a valid value of it.
    let s = unsafe {
        if libc::statvfs(dir.as_ptr(), s.as_mut_ptr()) != 0 {
            return None;
        }
        s.assume_init()
    };
    Some(s.f_bavail * s.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_iowait_are_not_busy() {
        assert_eq!(cpu_times("cpu  10 1 4 100 20 2 3 0 0 0\ncpu0 1"), (20, 140));
    }

    #[test]
    fn cpu_stat_keys_are_told_apart() {
        let text = "usage_usec 10\nuser_usec 4\nnr_periods 3\nnr_throttled 2\nthrottled_usec 7\n";
        let c = cpu_stat(text, "/a".to_owned(), 1);
        assert_eq!(
            (c.usage_us, c.nr_periods, c.nr_throttled, c.throttled_us),
            (10, 3, 2, 7)
        );
    }

    #[test]
    fn version_1_counts_in_nanoseconds() {
        let text = "nr_periods 3\nnr_throttled 2\nthrottled_time 7000\n";
        let c = cpu_stat_v1(text, "12000\n", "/a".to_owned(), 1);
        assert_eq!(
            (c.usage_us, c.nr_periods, c.nr_throttled, c.throttled_us),
            (12, 3, 2, 7)
        );
    }

    #[test]
    fn the_hierarchy_that_limits_cpu_time_is_found() {
        let mounts = "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0\n\
                      cgroup /sys/fs/cgroup/cpuset cgroup rw,cpuset 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let m = CgroupMounts::parse(mounts);
        assert_eq!(m.v1_cpu.as_deref(), Some("/sys/fs/cgroup/cpu,cpuacct"));
        assert_eq!(m.v1_cpuacct, m.v1_cpu);
        assert_eq!(m.v2.as_deref(), Some("/sys/fs/cgroup/unified"));
        let process = "4:cpuset:/wrong\n3:cpu,cpuacct:/a/b\n0::/c\n";
        assert_eq!(cpu_cgroup(process, true), Some("/a/b"));
        assert_eq!(cpu_cgroup(process, false), Some("/c"));
    }

    #[test]
    fn this_host_has_memory_and_free_disk() {
        let s = Load::new().snapshot();
        assert!(s.mem_avail > 0 && s.mem_pct > 0.0 && s.mem_pct < 100.0);
        assert!(free_bytes(Path::new("/tmp/x")).unwrap() > 0);
    }
}
