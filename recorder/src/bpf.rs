//! Loads the eBPF programs, attaches them, and reads their maps.

use crate::abi::{self, Agg, Config, Hist, Loss, OffCpu, OpenCall, Record};
use crate::error::RecorderError;
use crate::probes::elf;
use crate::probes::libs::Mapped;
use crate::probes::ops::{Lib, OPS, Op};
use libbpf_rs::{
    Link, MapCore, MapFlags, MapHandle, Object, ObjectBuilder, PrintLevel, ProgramAttachType, UprobeMultiOpts,
    UprobeOpts, set_print,
};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::sync::Mutex;

/// How calls are probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// One session program for entry and return (Linux 6.13).
    Session,
    /// An entry and a return program, each on all functions of a library at once (Linux 6.6).
    Pair,
    /// A uprobe and a uretprobe for each function.
    Plain,
}

impl Mechanism {
    /// The programs it needs.
    fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Session => &["call_session"],
            Self::Pair | Self::Plain => &["call_entry", "call_return"],
        }
    }
    /// What to try when the kernel refuses it.
    fn fallback(self) -> Option<Self> {
        match self {
            Self::Session => Some(Self::Pair),
            Self::Pair => Some(Self::Plain),
            Self::Plain => None,
        }
    }
}

/// All programs for calls.
const CALL_PROGRAMS: [&str; 3] = ["call_session", "call_entry", "call_return"];

/// What became of one wanted probe; a row of `recording_probes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Symbol or tracepoint.
    pub name: String,
    /// Library path, or empty.
    pub target: String,
    /// `attached`, `missing` or `failed`.
    pub status: &'static str,
    /// Why not, or how.
    pub reason: String,
}

/// A program on a tracepoint, and what it is for.
struct Fixed {
    program: &'static str,
    tracepoint: &'static str,
    area: &'static str,
}

impl Fixed {
    /// The name under which its losses are booked.
    fn probe(&self) -> &'static str {
        if self.program == "page_alloc" {
            "pages"
        } else {
            self.area
        }
    }
}

const FIXED: &[Fixed] = &[
    Fixed {
        program: "sched_switch",
        tracepoint: "sched:sched_switch",
        area: "sched",
    },
    Fixed {
        program: "sched_wakeup",
        tracepoint: "sched:sched_wakeup",
        area: "sched",
    },
    Fixed {
        program: "sched_wakeup_new",
        tracepoint: "sched:sched_wakeup_new",
        area: "sched",
    },
    Fixed {
        program: "process_fork",
        tracepoint: "sched:sched_process_fork",
        area: "process",
    },
    Fixed {
        program: "process_exec",
        tracepoint: "sched:sched_process_exec",
        area: "process",
    },
    Fixed {
        program: "process_exit",
        tracepoint: "sched:sched_process_exit",
        area: "process",
    },
    Fixed {
        program: "task_rename",
        tracepoint: "task:task_rename",
        area: "process",
    },
    Fixed {
        program: "page_alloc",
        tracepoint: "kmem:mm_page_alloc",
        area: "mem",
    },
    Fixed {
        program: "oom_kill",
        tracepoint: "oom:mark_victim",
        area: "mem",
    },
    Fixed {
        program: "block_issue",
        tracepoint: "block:block_rq_issue",
        area: "io",
    },
    Fixed {
        program: "block_complete",
        tracepoint: "block:block_rq_complete",
        area: "io",
    },
    Fixed {
        program: "sys_enter",
        tracepoint: "raw_syscalls:sys_enter",
        area: "net",
    },
    Fixed {
        program: "sys_exit",
        tracepoint: "raw_syscalls:sys_exit",
        area: "net",
    },
    Fixed {
        program: "tcp_retransmit",
        tracepoint: "tcp:tcp_retransmit_skb",
        area: "tcp",
    },
    Fixed {
        program: "nvidia_xid",
        tracepoint: "nvidia:nvidia_dev_xid",
        area: "xid",
    },
];

/// What the loader is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Configuration of the programs.
    pub config: Config,
    /// Areas left out, as in `recording_losses.probe`.
    pub without: HashSet<String>,
    /// Bytes of the ring buffer, a power of two.
    pub ring_bytes: u32,
    /// `Some` forces a mechanism.
    pub mechanism: Option<Mechanism>,
    /// Also driver calls that a runtime call contains, polling calls of the driver included.
    pub nested: bool,
    /// Shortest stored duration by `(source, op)`.
    pub thresholds: Vec<(u8, u8, u64)>,
}

/// Loaded programs and what they are attached to. Dropping it detaches everything.
pub struct Bpf {
    object: Object,
    links: Vec<Link>,
    /// Iterates over the threads; not one of `links`, for it is read after they are gone.
    open_calls: Option<Link>,
    wanted: Wanted,
    /// How calls are probed on this kernel.
    pub mechanism: Mechanism,
}

static MESSAGES: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[allow(clippy::needless_pass_by_value, reason = "the type of libbpf's callback")]
fn keep_message(_: PrintLevel, text: String) {
    if let Ok(mut messages) = MESSAGES.lock()
        && messages.len() < 2000
    {
        messages.push(text.trim_end().to_owned());
    }
}

/// Says in one message why this machine cannot record, before anything is tried.
///
/// # Errors
/// No privilege, no BTF, or a kernel older than 6.2.
pub fn preflight() -> Result<(), RecorderError> {
    if !has_privilege() {
        return Err(RecorderError::NotPermitted);
    }
    if !std::path::Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Err(RecorderError::NoBtf);
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    if kernel_version(&release).is_some_and(|v| v < (6, 2)) {
        return Err(RecorderError::OldKernel {
            found: release.trim().to_owned(),
        });
    }
    Ok(())
}

fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// `CAP_BPF` and `CAP_PERFMON`, or `CAP_SYS_ADMIN`, among the effective capabilities.
fn has_privilege() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let caps = status
        .lines()
        .find_map(|l| l.strip_prefix("CapEff:"))
        .and_then(|v| u64::from_str_radix(v.trim(), 16).ok())
        .unwrap_or(0);
    let has = |bit: u32| caps >> bit & 1 == 1;
    has(21) || (has(38) && has(39))
}

impl Bpf {
    /// Loads all programs that this kernel takes and attaches the tracepoints.
    ///
    /// # Errors
    /// If the kernel refuses so much that nothing can be recorded.
    pub fn load(mut wanted: Wanted) -> Result<(Self, Vec<Probe>), RecorderError> {
        set_print(Some((PrintLevel::Warn, keep_message)));
        let mut skip: BTreeMap<String, String> = BTreeMap::new();
        for f in FIXED {
            if wanted.without.contains(f.area) && f.area != "process" {
                skip.insert(f.program.to_owned(), "left out on request".to_owned());
            }
        }
        match xid_offsets() {
            Ok(offsets) => wanted.config.xid_offsets = offsets,
            Err(why) => {
                skip.entry("nvidia_xid".to_owned()).or_insert(why);
            }
        }
        let mut mechanism = wanted.mechanism.unwrap_or(Mechanism::Session);
        let mut refusals = Vec::new();
        let object = loop {
            if let Ok(mut m) = MESSAGES.lock() {
                m.clear();
            }
            match open(&wanted, mechanism, &skip).and_then(libbpf_rs::OpenObject::load) {
                Ok(object) => break object,
                Err(error) => {
                    let messages = MESSAGES.lock().map(|m| m.clone()).unwrap_or_default();
                    let Some((program, why)) = refused(&messages, &skip) else {
                        return Err(RecorderError::Load(format!("{error}: {}", messages.join("; "))));
                    };
                    if !CALL_PROGRAMS.contains(&program.as_str()) {
                        skip.insert(program, why);
                        continue;
                    }
                    let next = mechanism.fallback().filter(|_| wanted.mechanism.is_none());
                    let Some(next) = next else {
                        return Err(RecorderError::Load(why));
                    };
                    refusals.push(Probe {
                        name: format!("calls by {mechanism:?}").to_lowercase(),
                        target: String::new(),
                        status: "failed",
                        reason: why,
                    });
                    mechanism = next;
                }
            }
        };
        let mut bpf = Self {
            object,
            links: Vec::new(),
            open_calls: None,
            wanted,
            mechanism,
        };
        bpf.set_thresholds()?;
        let mut probes = bpf.attach_tracepoints(&skip);
        probes.push(bpf.attach_iterator(&skip));
        probes.extend(refusals);
        Ok((bpf, probes))
    }

    fn attach_tracepoints(&mut self, skip: &BTreeMap<String, String>) -> Vec<Probe> {
        let mut probes = Vec::new();
        for f in FIXED {
            if self.wanted.without.contains(f.area) && f.area != "process" {
                continue;
            }
            let (status, reason) = if let Some(why) = skip.get(f.program) {
                let absent = why.contains("no tracepoint") || why.contains("failed to find kernel");
                (if absent { "missing" } else { "failed" }, why.clone())
            } else {
                match self.program(f.program).attach() {
                    Ok(link) => {
                        self.links.push(link);
                        ("attached", String::new())
                    }
                    Err(e) => ("failed", e.to_string()),
                }
            };
            let name = f.tracepoint.to_owned();
            probes.push(Probe {
                name,
                target: String::new(),
                status,
                reason,
            });
        }
        probes
    }

    fn attach_iterator(&mut self, skip: &BTreeMap<String, String>) -> Probe {
        const PROGRAM: &str = "open_calls_now";
        let attached = match skip.get(PROGRAM) {
            Some(why) => Err(why.clone()),
            None => self.program(PROGRAM).attach().map_err(|e| e.to_string()),
        };
        let (status, reason) = match attached {
            Ok(link) => {
                self.open_calls = Some(link);
                ("attached", "calls that have not returned".to_owned())
            }
            Err(why) => ("failed", why),
        };
        Probe {
            name: "iter:task".to_owned(),
            target: String::new(),
            status,
            reason,
        }
    }

    /// Calls of the targets that have not returned by now, by thread and from the outside in.
    pub fn open_calls(&self) -> Vec<OpenCall> {
        let mut bytes = Vec::new();
        let read = self.open_calls.as_ref().map(|link| {
            let mut iter = libbpf_rs::Iter::new(link).map_err(std::io::Error::other)?;
            std::io::Read::read_to_end(&mut iter, &mut bytes)
        });
        if !matches!(read, Some(Ok(_))) {
            return Vec::new();
        }
        bytes
            .chunks_exact(abi::SIZES[usize::from(abi::KIND_OPEN)])
            .filter_map(|b| match abi::decode(b)? {
                Record::Open(call) => Some(call),
                _ => None,
            })
            .collect()
    }

    fn program(&self, name: &str) -> libbpf_rs::ProgramMut<'_> {
        self.object
            .progs_mut()
            .find(|p| p.name() == name)
            .expect("every program named here is in the object")
    }

    /// A handle on a map, usable from another thread.
    ///
    /// # Errors
    /// If the file descriptor cannot be duplicated.
    pub fn map(&self, name: &str) -> Result<MapHandle, RecorderError> {
        let map = self.object.maps().find(|m| m.name() == name);
        map.and_then(|m| MapHandle::try_from(&m).ok())
            .ok_or_else(|| RecorderError::Load(format!("no map {name}")))
    }

    fn set_thresholds(&self) -> Result<(), RecorderError> {
        let map = self.map("thresholds")?;
        for (source, op, min) in &self.wanted.thresholds {
            let key = (u32::from(*source) << 8 | u32::from(*op)).to_ne_bytes();
            map.update(&key, &min.to_ne_bytes(), MapFlags::ANY)
                .map_err(|e| RecorderError::Load(format!("threshold: {e}")))?;
        }
        Ok(())
    }

    /// Attaches all ops of `mapped`'s kind that the file defines, each piece of code once.
    pub fn attach_library(&mut self, mapped: &Mapped) -> Vec<Probe> {
        let points = match self.points(mapped) {
            Ok(points) => points,
            Err(reason) => {
                return vec![Probe {
                    name: "*".to_owned(),
                    target: mapped.shown.clone(),
                    status: "failed",
                    reason,
                }];
            }
        };
        let mut probes = Vec::new();
        let mut todo = Vec::new();
        for point in points {
            match point.at {
                Some(at) => todo.push((point, at)),
                None => probes.push(point.probe(mapped, "missing", String::new())),
            }
        }
        probes.extend(self.attach_points(mapped, &todo));
        probes
    }

    fn attach_points(&mut self, mapped: &Mapped, todo: &[(Point, u64)]) -> Vec<Probe> {
        if todo.is_empty() {
            return Vec::new();
        }
        // One refused place fails the whole set, which then is tried one by one below.
        if self.mechanism != Mechanism::Plain && self.attach_all(mapped, todo).is_ok() {
            let how = if self.mechanism == Mechanism::Session {
                "session"
            } else {
                "pair"
            };
            return todo
                .iter()
                .map(|(p, _)| p.probe(mapped, "attached", p.how(how)))
                .collect();
        }
        todo.iter()
            .map(|point| match self.attach_point(mapped, point) {
                Ok(how) => point.0.probe(mapped, "attached", point.0.how(how)),
                Err(e) => point.0.probe(mapped, "failed", e.to_string()),
            })
            .collect()
    }

    /// Attaches all places in one or two links, or none.
    fn attach_all(&mut self, mapped: &Mapped, todo: &[(Point, u64)]) -> libbpf_rs::Result<()> {
        let set = |calls_only: bool, retprobe: bool, session: bool| {
            let points = || todo.iter().filter(|(p, _)| !(calls_only && p.op.is_poll()));
            UprobeMultiOpts {
                offsets: points().map(|(_, at)| usize::try_from(*at).unwrap_or(0)).collect(),
                cookies: points().map(|(p, _)| p.op.cookie()).collect(),
                retprobe,
                session,
                ..UprobeMultiOpts::default()
            }
        };
        let attach = |program: &str, opts: UprobeMultiOpts| {
            self.program(program)
                .attach_uprobe_multi_with_opts(-1, &mapped.open, "", opts)
        };
        let mut links = Vec::new();
        if self.mechanism == Mechanism::Session {
            links.push(attach("call_session", set(false, false, true))?);
        } else {
            // The return first: an entry without its return would leave a frame behind.
            let returns = set(true, true, false);
            if !returns.offsets.is_empty() {
                links.push(attach("call_return", returns)?);
            }
            links.push(attach("call_entry", set(false, false, false))?);
        }
        self.links.extend(links);
        Ok(())
    }

    fn attach_point(&mut self, mapped: &Mapped, point: &(Point, u64)) -> libbpf_rs::Result<&'static str> {
        let (Point { op, .. }, at) = point;
        if self.mechanism != Mechanism::Plain {
            self.attach_all(mapped, std::slice::from_ref(point))?;
            return Ok(if self.mechanism == Mechanism::Session {
                "session"
            } else {
                "pair"
            });
        }
        let at = usize::try_from(*at).unwrap_or(0);
        let opts = |retprobe| UprobeOpts {
            cookie: op.cookie(),
            retprobe,
            ..UprobeOpts::default()
        };
        if !op.is_poll() {
            let program = self.program("call_return");
            let link = program.attach_uprobe_with_opts(-1, &mapped.open, at, opts(true))?;
            self.links.push(link);
        }
        let program = self.program("call_entry");
        let link = program.attach_uprobe_with_opts(-1, &mapped.open, at, opts(false))?;
        self.links.push(link);
        Ok("plain")
    }

    /// Every wanted function of the library, with its place if the file has it.
    fn points(&self, mapped: &Mapped) -> Result<Vec<Point>, String> {
        let ops: Vec<&Op> = OPS
            .iter()
            .filter(|o| o.lib == mapped.lib && !self.wanted.without.contains(area(o)))
            // The runtime's polling calls contain the driver's.
            .filter(|o| self.wanted.nested || !(o.is_poll() && o.lib == Lib::Driver))
            .collect();
        let names: HashSet<String> = ops.iter().flat_map(|o| o.symbols().map(|(_, name)| name)).collect();
        let file = File::open(&mapped.open).map_err(|e| e.to_string())?;
        let again = file.try_clone().map_err(|e| e.to_string())?;
        let program = crate::probes::libs::lib_of(&mapped.shown).is_none();
        let found = elf::functions(again, &|n| names.contains(n), program)?;
        if program && !found.contains_key("cudaLaunchKernel") {
            return Ok(Vec::new()); // an ordinary program: nothing is missing from it
        }
        let mut file = file;
        let mut taken: HashMap<u64, String> = HashMap::new();
        let mut points = Vec::new();
        for op in ops {
            for (base, name) in op.symbols() {
                let Some(start) = found.get(&name) else {
                    // Variants that a library of this age does not have are no loss.
                    if base == name {
                        points.push(Point {
                            op: *op,
                            name,
                            at: None,
                            cheap: true,
                        });
                    }
                    continue;
                };
                let code = elf::code_at(&mut file, *start);
                let skip = elf::probe_skip(&code);
                let at = start + skip;
                if taken.insert(at, name.clone()).is_some() {
                    continue; // another name of the same code
                }
                let rest = code.get(usize::try_from(skip).unwrap_or(0)..).unwrap_or(&[]);
                let cheap = elf::is_cheap(rest);
                points.push(Point {
                    op: *op,
                    name,
                    at: Some(at),
                    cheap,
                });
            }
        }
        Ok(points)
    }

    /// Adds processes to the traced ones.
    ///
    /// # Errors
    /// If the map is full.
    pub fn add_target(&self, pid: u32) -> Result<(), RecorderError> {
        let map = self.map("targets")?;
        map.update(&pid.to_ne_bytes(), &1u32.to_ne_bytes(), MapFlags::ANY)
            .map_err(|e| RecorderError::Load(format!("targets: {e}")))
    }

    /// Whether a process is traced now.
    pub fn is_target(&self, pid: u32) -> bool {
        self.map("targets")
            .is_ok_and(|m| m.lookup(&pid.to_ne_bytes(), MapFlags::ANY).is_ok_and(|v| v.is_some()))
    }

    /// Says that a thread has been off CPU since now, unless the kernel knows better.
    pub fn seed_off_cpu(&self, tid: u32, off: OffCpu) {
        if let Ok(map) = self.map("off_cpus") {
            // Fails where the thread has been switched in the meantime, which is what is wanted.
            let _ = map.update(&tid.to_ne_bytes(), &off.to_bytes(), MapFlags::NO_EXIST);
        }
    }

    /// The threads that are off CPU now.
    pub fn off_cpu(&self) -> Vec<(u32, OffCpu)> {
        let Ok(map) = self.map("off_cpus") else {
            return Vec::new();
        };
        map.keys()
            .filter_map(|key| {
                let tid = u32::from_ne_bytes(key.as_slice().try_into().ok()?);
                let value = map.lookup(&key, MapFlags::ANY).ok()??;
                OffCpu::decode(&value).filter(|o| o.ts_ns != 0).map(|o| (tid, o))
            })
            .collect()
    }

    /// Takes out the counts of buckets before `bucket` (in units of 5 s).
    pub fn take_aggregates(&self, before: u32) -> Vec<Agg> {
        let Ok(map) = self.map("aggs") else {
            return Vec::new();
        };
        let keys: Vec<_> = map.keys().collect();
        keys.iter()
            .filter(|k| k.len() == 12 && u32::from_ne_bytes([k[0], k[1], k[2], k[3]]) < before)
            .filter_map(|key| {
                let values = map.lookup_percpu(key, MapFlags::ANY).ok()??;
                let _ = map.delete(key);
                Agg::decode(key, &values)
            })
            .collect()
    }

    /// Takes out the histogram counts of buckets before `before`.
    pub fn take_histograms(&self, before: u32) -> Vec<Hist> {
        let Ok(map) = self.map("hists") else {
            return Vec::new();
        };
        let keys: Vec<_> = map.keys().collect();
        keys.iter()
            .filter(|k| k.len() == 12 && u32::from_ne_bytes([k[0], k[1], k[2], k[3]]) < before)
            .filter_map(|key| {
                let value = map.lookup(key, MapFlags::ANY).ok()??;
                let _ = map.delete(key);
                Hist::decode(key, &value)
            })
            .collect()
    }

    /// Takes out the losses of seconds before `before`.
    pub fn take_losses(&self, before: u32) -> Vec<Loss> {
        let Ok(map) = self.map("losses") else {
            return Vec::new();
        };
        let keys: Vec<_> = map.keys().collect();
        keys.iter()
            .filter(|k| k.len() == 8 && u32::from_ne_bytes([k[0], k[1], k[2], k[3]]) < before)
            .flat_map(|key| {
                let values = map.lookup_percpu(key, MapFlags::ANY).ok().flatten();
                let _ = map.delete(key);
                Loss::decode(key, &values.unwrap_or_default())
            })
            .collect()
    }

    /// Losses that found no room in their map, at the end of a recording.
    ///
    /// # Panics
    /// Never: the numbers of probes and reasons are small constants.
    pub fn untimed_losses(&self, second: u32) -> Vec<Loss> {
        let Ok(map) = self.map("untimed_losses") else {
            return Vec::new();
        };
        let reasons = u32::try_from(crate::abi::REASONS.len()).expect("a few");
        (0..reasons * u32::try_from(crate::abi::PROBES.len()).expect("a few"))
            .flat_map(|slot| {
                let values = map.lookup_percpu(&slot.to_ne_bytes(), MapFlags::ANY).ok().flatten();
                let mut key = second.to_ne_bytes().to_vec();
                for part in [slot / reasons, slot % reasons] {
                    key.extend(u16::try_from(part).expect("small").to_ne_bytes());
                }
                Loss::decode(&key, &values.unwrap_or_default())
            })
            .collect()
    }

    /// Driver calls left out because a runtime call around them is recorded.
    pub fn nested_calls(&self) -> u64 {
        let Ok(map) = self.map("nested") else {
            return 0;
        };
        map.lookup_percpu(&0u32.to_ne_bytes(), MapFlags::ANY)
            .ok()
            .flatten()
            .unwrap_or_default()
            .iter()
            .filter(|v| v.len() >= 8)
            .map(|v| crate::abi::u64_at(v, 0))
            .sum()
    }

    /// Runs of a tracepoint program that the kernel skipped because it was running already, which
    /// are events nobody saw.
    pub fn skipped_runs(&self) -> Vec<(&'static str, u64)> {
        FIXED
            .iter()
            .filter_map(|f| {
                let program = self.object.progs().find(|p| p.name() == f.program)?;
                let n = recursion_misses(&program)?;
                (n > 0).then_some((f.probe(), n))
            })
            .collect()
    }

    /// Detaches everything, so that no event comes after this.
    pub fn detach(&mut self) {
        self.links.clear();
    }
}

/// `recursion_misses` of `struct bpf_prog_info`.
fn recursion_misses(program: &libbpf_rs::Program<'_>) -> Option<u64> {
    use std::os::fd::{AsFd, AsRawFd};
    let fd = program.as_fd().as_raw_fd();
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
    text.lines()
        .find_map(|l| l.strip_prefix("recursion_misses:"))?
        .trim()
        .parse()
        .ok()
}

/// The area an op belongs to, as `--without` names it.
fn area(op: &Op) -> &'static str {
    match (op.source, op.lib) {
        (8, _) => "graph",
        (_, Lib::Runtime) => "cuda",
        (_, Lib::Driver) => "driver",
        (_, Lib::Nccl) => "nccl",
    }
}

struct Point {
    op: Op,
    name: String,
    at: Option<u64>,
    cheap: bool,
}

impl Point {
    fn probe(&self, mapped: &Mapped, status: &'static str, reason: String) -> Probe {
        Probe {
            name: self.name.clone(),
            target: mapped.shown.clone(),
            status,
            reason,
        }
    }
    fn how(&self, mechanism: &str) -> String {
        let how = if self.op.is_poll() { "counted only" } else { mechanism };
        let slow = if self.cheap {
            ""
        } else {
            "; first instruction is single-stepped"
        };
        format!("{how}{slow}")
    }
}

fn open(
    wanted: &Wanted,
    mechanism: Mechanism,
    skip: &BTreeMap<String, String>,
) -> libbpf_rs::Result<libbpf_rs::OpenObject> {
    let mut open = ObjectBuilder::default().open_memory(ingero_recorder_ebpf::OBJECT)?;
    for mut map in open.maps_mut() {
        match map.name().to_str() {
            Some(".rodata.config") => map.set_initial_value(&wanted.config.to_bytes())?,
            Some("ring") => map.set_max_entries(wanted.ring_bytes)?,
            _ => {}
        }
    }
    for mut program in open.progs_mut() {
        let name = program.name().to_string_lossy().into_owned();
        let other_way = CALL_PROGRAMS.contains(&name.as_str()) && !mechanism.programs().contains(&name.as_str());
        program.set_autoload(!other_way && !skip.contains_key(&name));
        if mechanism == Mechanism::Pair && CALL_PROGRAMS.contains(&name.as_str()) {
            program.set_attach_type(ProgramAttachType::TraceUprobeMulti);
        }
    }
    Ok(open)
}

/// The program that libbpf's messages say the kernel refused, and what it said.
fn refused(messages: &[String], skip: &BTreeMap<String, String>) -> Option<(String, String)> {
    let name_in = |m: &str| {
        let (_, rest) = m.split_once("prog '")?;
        let (name, _) = rest.split_once('\'')?;
        (!skip.contains_key(name)).then(|| name.to_owned())
    };
    let name = messages.iter().find_map(|m| name_in(m))?;
    let about: Vec<&str> = messages
        .iter()
        .filter(|m| m.contains(&name))
        .flat_map(|m| match m.split_once("BEGIN PROG LOAD LOG") {
            None => vec![m.as_str()],
            // Of the verifier's log only the end says what it did not like.
            Some((_, log)) => {
                let lines: Vec<&str> = log.lines().filter(|l| !l.contains("END PROG")).collect();
                lines[lines.len().saturating_sub(3)..].to_vec()
            }
        })
        .take(5)
        .collect();
    Some((name, about.join("; ")))
}

/// Where the fields of `nvidia:nvidia_dev_xid` lie in its record.
fn xid_offsets() -> Result<[u16; 3], String> {
    let tracing = tracefs();
    let format = format!("{tracing}/events/nvidia/nvidia_dev_xid/format");
    let text = std::fs::read_to_string(format)
        .map_err(|_| "no tracepoint nvidia:nvidia_dev_xid on this machine".to_owned())?;
    let of = |field: &str| {
        text.lines()
            .find(|l| l.contains(&format!(" {field};")) && l.contains("field:"))
            .and_then(|l| l.split_once("offset:"))
            .and_then(|(_, rest)| rest.split(';').next()?.trim().parse().ok())
            .ok_or_else(|| format!("nvidia:nvidia_dev_xid has no field {field}"))
    };
    Ok([of("dev")?, of("error_code")?, of("msg")?])
}

/// The tracefs mount point; mounts it where it is missing and that is allowed.
fn tracefs() -> &'static str {
    for dir in ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"] {
        if std::path::Path::new(dir).join("events").exists() {
            return dir;
        }
    }
    // SAFETY: four constant, terminated strings; a refused mount changes nothing.
    unsafe {
        libc::mount(
            c"nodev".as_ptr(),
            c"/sys/kernel/tracing".as_ptr(),
            c"tracefs".as_ptr(),
            0,
            std::ptr::null(),
        )
    };
    "/sys/kernel/tracing"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(kernel_version("6.18.44-fc"), Some((6, 18)));
        assert_eq!(kernel_version("5.4.0"), Some((5, 4)));
        assert!(kernel_version("10.1.0") > kernel_version("6.2.0"));
        assert_eq!(kernel_version(""), None);
    }

    #[test]
    fn the_refused_program_is_named_by_the_messages() {
        let messages = vec![
            "libbpf: prog 'oom_kill': BPF program load failed: -EACCES".to_owned(),
            "libbpf: failed to load object".to_owned(),
        ];
        let (name, why) = refused(&messages, &BTreeMap::new()).unwrap();
        assert_eq!(name, "oom_kill");
        assert!(why.contains("EACCES"));
        let known = BTreeMap::from([("oom_kill".to_owned(), String::new())]);
        assert!(refused(&messages, &known).is_none());
    }
}
