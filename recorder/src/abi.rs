//! What the eBPF programs and the recorder agree on; the other half is `events.h`.
//!
//! Records are decoded field by field from bytes, so nothing here depends on alignment or on a
//! kernel: the tests run anywhere.

/// Names of the probe groups in `recording_losses`, in the order of `enum probe`.
pub const PROBES: [&str; 12] = [
    "cuda", "driver", "graph", "nccl", "sched", "mem", "process", "io", "net", "tcp", "xid", "pages",
];

/// Names of the loss reasons, in the order of `enum reason`.
pub const REASONS: [&str; 4] = ["ring_full", "map_full", "nesting", "no_entry"];

/// The group a source's events belong to; `op` tells the groups of source 3 apart.
pub fn probe_of(source: u8, op: u8) -> &'static str {
    match (source, op) {
        (1, _) => "cuda",
        (2, _) => "xid",
        (3, 1 | 2 | 21) => "sched",
        (3, 3 | 20) => "pages",
        (3, 4) => "mem",
        (4, _) => "driver",
        (5, _) => "io",
        (6, _) => "tcp",
        (7, _) => "net",
        (8, _) => "graph",
        (9, _) => "nccl",
        _ => "process",
    }
}

/// A finished call, block request or system call. Times are `CLOCK_MONOTONIC` nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of events.h")]
pub struct Call {
    pub source: u8,
    pub op: u8,
    pub ret: i32,
    pub pid: u32,
    pub tid: u32,
    pub start_ns: u64,
    pub dur_ns: u64,
    pub arg0: u64,
    pub arg1: u64,
    pub stream: u64,
    pub handle: u64,
}

/// A collective: `call.arg0` is the element count, `call.arg1` the communicator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of events.h")]
pub struct Nccl {
    pub call: Call,
    pub seq: u64,
    pub dtype: i32,
    pub peer: i32,
    pub rank: i32,
    pub nranks: i32,
    /// The same on all ranks of a communicator; 0 where it is not known.
    pub comm_id: u64,
}

/// A call that has not returned; its duration is its time so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of events.h")]
pub struct OpenCall {
    pub nccl: Nccl,
    pub depth: u32,
    pub exited: bool,
}

/// A thread came back on a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of events.h")]
pub struct Sched {
    pub cpu: u16,
    pub tid: u32,
    pub pid: u32,
    pub prev: u32,
    pub waker: u32,
    pub preemptor: u32,
    pub state: u32,
    pub end_ns: u64,
    pub dur_ns: u64,
    pub woken_ns: u64,
}

/// What happened to a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskWhat {
    /// It made `child_tid` of process `child_pid`.
    Fork,
    /// Its process runs another program; `child_tid` is the id the thread had before.
    Exec,
    /// It ended.
    Exit,
    /// It has another name.
    Rename,
}

/// Fork, exec, exit or rename of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of events.h")]
pub struct Task {
    pub what: TaskWhat,
    pub pid: u32,
    pub tid: u32,
    pub child_tid: u32,
    pub child_pid: u32,
    pub last: bool,
    pub ts_ns: u64,
    pub comm: String,
}

/// An error message of the NVIDIA driver.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of events.h")]
pub struct Xid {
    pub xid: u32,
    pub ts_ns: u64,
    pub device: String,
    pub message: String,
}

/// One record of the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named after their contents")]
pub enum Record {
    Call(Call),
    Nccl(Nccl),
    Sched(Sched),
    Task(Task),
    Xid(Xid),
    Open(OpenCall),
    /// A target mapped a file executable.
    Mapped {
        pid: u32,
        ts_ns: u64,
    },
}

fn u16_at(b: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([b[at], b[at + 1]])
}
fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}
fn i32_at(b: &[u8], at: usize) -> i32 {
    u32_at(b, at).cast_signed()
}
/// The eight bytes at `at`.
pub(crate) fn u64_at(b: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes([
        b[at],
        b[at + 1],
        b[at + 2],
        b[at + 3],
        b[at + 4],
        b[at + 5],
        b[at + 6],
        b[at + 7],
    ])
}
fn text(b: &[u8]) -> String {
    let end = b.iter().position(|c| *c == 0).unwrap_or(b.len());
    String::from_utf8_lossy(&b[..end]).into_owned()
}

fn call(b: &[u8]) -> Call {
    Call {
        source: b[2],
        op: b[3],
        ret: i32_at(b, 4),
        pid: u32_at(b, 8),
        tid: u32_at(b, 12),
        start_ns: u64_at(b, 16),
        dur_ns: u64_at(b, 24),
        arg0: u64_at(b, 32),
        arg1: u64_at(b, 40),
        stream: u64_at(b, 48),
        handle: u64_at(b, 56),
    }
}

fn nccl(b: &[u8]) -> Nccl {
    Nccl {
        call: call(b),
        seq: u64_at(b, 64),
        dtype: i32_at(b, 72),
        peer: i32_at(b, 76),
        rank: i32_at(b, 80),
        nranks: i32_at(b, 84),
        comm_id: u64_at(b, 88),
    }
}

/// Sizes of the records, by kind, as `events.h` asserts them.
pub const SIZES: [usize; 8] = [0, 64, 96, 56, 48, 176, 16, 104];

/// The kind of a record, if its length fits.
pub fn kind_of(b: &[u8]) -> Option<u16> {
    if b.len() < 4 {
        return None;
    }
    let kind = u16_at(b, 0);
    let size = *SIZES.get(usize::from(kind))?;
    (kind != 0 && b.len() >= size).then_some(kind)
}

/// The kind number of [`Record::Mapped`].
pub const KIND_MAPPED: u16 = 6;
/// The kind number of [`Record::Open`].
pub const KIND_OPEN: u16 = 7;
/// The kind number of [`Record::Task`].
pub const KIND_TASK: u16 = 4;

/// Reads one record; `None` for an unknown kind or a short one.
pub fn decode(b: &[u8]) -> Option<Record> {
    Some(match kind_of(b)? {
        1 => Record::Call(call(b)),
        2 => Record::Nccl(nccl(b)),
        3 => Record::Sched(Sched {
            cpu: u16_at(b, 2),
            tid: u32_at(b, 4),
            pid: u32_at(b, 8),
            prev: u32_at(b, 12),
            waker: u32_at(b, 16),
            preemptor: u32_at(b, 20),
            state: u32_at(b, 24),
            end_ns: u64_at(b, 32),
            dur_ns: u64_at(b, 40),
            woken_ns: u64_at(b, 48),
        }),
        4 => Record::Task(Task {
            what: match u16_at(b, 2) {
                0 => TaskWhat::Fork,
                1 => TaskWhat::Exec,
                2 => TaskWhat::Exit,
                3 => TaskWhat::Rename,
                _ => return None,
            },
            pid: u32_at(b, 4),
            tid: u32_at(b, 8),
            child_tid: u32_at(b, 12),
            child_pid: u32_at(b, 16),
            last: u32_at(b, 20) != 0,
            ts_ns: u64_at(b, 24),
            comm: text(&b[32..48]),
        }),
        5 => Record::Xid(Xid {
            xid: u32_at(b, 4),
            ts_ns: u64_at(b, 8),
            device: text(&b[16..48]),
            message: text(&b[48..176]),
        }),
        KIND_MAPPED => Record::Mapped {
            pid: u32_at(b, 4),
            ts_ns: u64_at(b, 8),
        },
        KIND_OPEN => Record::Open(OpenCall {
            nccl: nccl(b),
            depth: u32_at(b, 96),
            exited: u32_at(b, 100) != 0,
        }),
        _ => return None,
    })
}

/// `struct config`: read-only data of the programs.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "the names are those of events.h")]
pub struct Config {
    pub epoch_offset: u64,
    pub self_pid: u32,
    pub everything: bool,
    pub drop_nested: bool,
    pub use_thresholds: bool,
    pub xid_offsets: [u16; 3],
    pub comms: Vec<String>,
}

impl Config {
    /// The bytes of `struct config`.
    pub fn to_bytes(&self) -> [u8; 88] {
        let mut b = [0; 88];
        b[..8].copy_from_slice(&self.epoch_offset.to_ne_bytes());
        b[8..12].copy_from_slice(&self.self_pid.to_ne_bytes());
        b[12] = u8::from(self.everything);
        b[13] = u8::from(self.drop_nested);
        b[14] = u8::from(self.use_thresholds);
        let comms = self.comms.iter().take(4);
        for (i, comm) in comms.enumerate() {
            b[15] += 1;
            let name = comm.as_bytes();
            let n = name.len().min(15);
            b[24 + 16 * i..24 + 16 * i + n].copy_from_slice(&name[..n]);
        }
        for (i, off) in self.xid_offsets.iter().enumerate() {
            b[16 + 2 * i..18 + 2 * i].copy_from_slice(&off.to_ne_bytes());
        }
        b
    }
}

/// `struct agg_key` with the sum of `struct agg` over all CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of events.h")]
pub struct Agg {
    pub bucket: u32,
    pub pid: u32,
    pub source: u8,
    pub op: u8,
    pub order: u8,
    pub count: u64,
    pub sum_dur: u64,
    pub min_dur: u64,
    pub max_dur: u64,
    pub sum_arg0: u64,
}

impl Agg {
    /// Adds up the values of all CPUs; `None` if a size is wrong.
    pub fn decode(key: &[u8], values: &[Vec<u8>]) -> Option<Self> {
        if key.len() != 12 || values.iter().any(|v| v.len() < 40) {
            return None;
        }
        let mut a = Self {
            bucket: u32_at(key, 0),
            pid: u32_at(key, 4),
            source: key[8],
            op: key[9],
            order: key[10],
            count: 0,
            sum_dur: 0,
            min_dur: u64::MAX,
            max_dur: 0,
            sum_arg0: 0,
        };
        for v in values.iter().filter(|v| u64_at(v, 0) != 0) {
            a.count += u64_at(v, 0);
            a.sum_dur = a.sum_dur.wrapping_add(u64_at(v, 8));
            a.min_dur = a.min_dur.min(u64_at(v, 16));
            a.max_dur = a.max_dur.max(u64_at(v, 24));
            a.sum_arg0 = a.sum_arg0.wrapping_add(u64_at(v, 32));
        }
        Some(a)
    }
}

/// `struct hist_key` and its count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of events.h")]
pub struct Hist {
    pub bucket: u32,
    pub pid: u32,
    pub source: u8,
    pub op: u8,
    pub slot: u16,
    pub count: u64,
}

impl Hist {
    /// `None` if a size is wrong.
    pub fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        (key.len() == 12 && value.len() >= 8).then(|| Self {
            bucket: u32_at(key, 0),
            pid: u32_at(key, 4),
            source: key[8],
            op: key[9],
            slot: u16_at(key, 10),
            count: u64_at(value, 0),
        })
    }
}

/// Losses of one probe group on one CPU in one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of recording_losses")]
pub struct Loss {
    pub second: u32,
    pub probe: &'static str,
    pub reason: &'static str,
    pub cpu: i32,
    pub lost: u64,
}

impl Loss {
    /// One for every CPU that lost something under `struct loss_key` `key`.
    pub fn decode(key: &[u8], values: &[Vec<u8>]) -> Vec<Self> {
        if key.len() != 8 {
            return Vec::new();
        }
        let name =
            |names: &[&'static str], at: usize| names.get(usize::from(u16_at(key, at))).copied().unwrap_or("unknown");
        (0..)
            .zip(values)
            .filter(|(_, v)| v.len() >= 8 && u64_at(v, 0) != 0)
            .map(|(cpu, v)| Self {
                second: u32_at(key, 0),
                probe: name(&PROBES, 4),
                reason: name(&REASONS, 6),
                cpu,
                lost: u64_at(v, 0),
            })
            .collect()
    }
}

/// `struct off_cpu`: a thread that is off CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of events.h")]
pub struct OffCpu {
    pub ts_ns: u64,
    pub woken_ns: u64,
    pub pid: u32,
    pub waker: u32,
    pub preemptor: u32,
    pub state: u32,
}

impl OffCpu {
    /// `None` if the size is wrong.
    pub fn decode(b: &[u8]) -> Option<Self> {
        (b.len() >= 32).then(|| Self {
            ts_ns: u64_at(b, 0),
            woken_ns: u64_at(b, 8),
            pid: u32_at(b, 16),
            waker: u32_at(b, 20),
            preemptor: u32_at(b, 24),
            state: u32_at(b, 28),
        })
    }

    /// The bytes of `struct off_cpu`.
    pub fn to_bytes(&self) -> [u8; 32] {
        let mut b = [0; 32];
        b[..8].copy_from_slice(&self.ts_ns.to_ne_bytes());
        b[8..16].copy_from_slice(&self.woken_ns.to_ne_bytes());
        b[16..20].copy_from_slice(&self.pid.to_ne_bytes());
        b[20..24].copy_from_slice(&self.waker.to_ne_bytes());
        b[24..28].copy_from_slice(&self.preemptor.to_ne_bytes());
        b[28..32].copy_from_slice(&self.state.to_ne_bytes());
        b
    }
}

/// The slot of `recording_histograms` a duration falls into.
///
/// # Panics
/// Never: there are fewer than a thousand slots.
pub fn slot_of(dur_ns: u64) -> u16 {
    if dur_ns < 16 {
        return u16::try_from(dur_ns).expect("below 16");
    }
    let log = dur_ns.ilog2();
    let fine = (dur_ns >> (log - 4)) & 15;
    u16::try_from(16 * u64::from(log - 3) + fine).expect("at most 16 * 61")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(kind: u16, size: usize) -> Vec<u8> {
        // Every byte is its own position, so a field read from the wrong place shows.
        let mut b: Vec<u8> = (0..size).map(|i| u8::try_from(i).unwrap()).collect();
        b[..2].copy_from_slice(&kind.to_ne_bytes());
        b
    }
    fn pattern(at: u64, n: u32) -> u64 {
        (0..u64::from(n)).map(|i| (at + i) << (8 * i)).sum()
    }

    #[test]
    fn call_fields_lie_where_the_header_says() {
        let Some(Record::Call(c)) = decode(&bytes(1, 64)) else {
            panic!("not a call")
        };
        assert_eq!((c.source, c.op), (2, 3));
        assert_eq!(u64::from(c.ret.cast_unsigned()), pattern(4, 4));
        assert_eq!(u64::from(c.pid), pattern(8, 4));
        assert_eq!(u64::from(c.tid), pattern(12, 4));
        assert_eq!(c.start_ns, pattern(16, 8));
        assert_eq!(c.dur_ns, pattern(24, 8));
        assert_eq!(c.arg0, pattern(32, 8));
        assert_eq!(c.arg1, pattern(40, 8));
        assert_eq!(c.stream, pattern(48, 8));
        assert_eq!(c.handle, pattern(56, 8));
    }

    #[test]
    fn nccl_fields_follow_the_call() {
        let Some(Record::Nccl(n)) = decode(&bytes(2, 96)) else {
            panic!("not a collective")
        };
        assert_eq!(n.seq, pattern(64, 8));
        assert_eq!(u64::from(n.dtype.cast_unsigned()), pattern(72, 4));
        assert_eq!(u64::from(n.nranks.cast_unsigned()), pattern(84, 4));
        assert_eq!(n.comm_id, pattern(88, 8));
    }

    #[test]
    fn an_open_call_says_how_deep_it_lies() {
        let Some(Record::Open(o)) = decode(&bytes(7, 104)) else {
            panic!("not an open call")
        };
        assert_eq!((o.nccl.call.start_ns, o.nccl.seq), (pattern(16, 8), pattern(64, 8)));
        assert_eq!((u64::from(o.depth), o.exited), (pattern(96, 4), true));
    }

    #[test]
    fn sched_fields_lie_where_the_header_says() {
        let Some(Record::Sched(s)) = decode(&bytes(3, 56)) else {
            panic!("not a switch")
        };
        assert_eq!(u64::from(s.cpu), pattern(2, 2));
        assert_eq!(u64::from(s.tid), pattern(4, 4));
        assert_eq!(u64::from(s.preemptor), pattern(20, 4));
        assert_eq!(u64::from(s.state), pattern(24, 4));
        assert_eq!(s.end_ns, pattern(32, 8));
        assert_eq!(s.woken_ns, pattern(48, 8));
    }

    #[test]
    fn names_end_at_the_first_zero() {
        let mut b = bytes(4, 48);
        b[2..4].copy_from_slice(&3u16.to_ne_bytes());
        b[32..48].copy_from_slice(b"pt_data_pin\0junk");
        let Some(Record::Task(t)) = decode(&b) else {
            panic!("not a task")
        };
        assert_eq!(t.what, TaskWhat::Rename);
        assert_eq!(t.comm, "pt_data_pin");
    }

    #[test]
    fn xid_texts_are_read() {
        let mut b = bytes(5, 176);
        b[4..8].copy_from_slice(&79u32.to_ne_bytes());
        b[16..30].copy_from_slice(b"0000:01:00.0\0x");
        b[48..60].copy_from_slice(b"GPU is lost\0");
        let Some(Record::Xid(x)) = decode(&b) else {
            panic!("not an xid")
        };
        assert_eq!((x.xid, x.device.as_str()), (79, "0000:01:00.0"));
        assert_eq!(x.message, "GPU is lost");
    }

    #[test]
    fn short_and_unknown_records_are_refused() {
        for kind in 1..8u16 {
            let size = SIZES[usize::from(kind)];
            assert!(decode(&bytes(kind, size - 1)).is_none(), "kind {kind}");
        }
        assert!(decode(&bytes(0, 64)).is_none());
        assert!(decode(&bytes(8, 200)).is_none());
        assert!(decode(&[]).is_none());
    }

    #[test]
    fn slots_are_those_of_the_schema() {
        for ns in (0..4096).chain([12_345_678, u64::MAX]) {
            let s = u64::from(slot_of(ns));
            let low = if s < 16 {
                u128::from(s)
            } else {
                u128::from(16 + s % 16) << (s / 16 - 1)
            };
            let high = if s < 16 {
                u128::from(s) + 1
            } else {
                u128::from(17 + s % 16) << (s / 16 - 1)
            };
            assert!(low <= u128::from(ns) && u128::from(ns) < high, "{ns} in slot {s}");
        }
    }

    #[test]
    fn aggregates_of_all_cpus_are_added_up() {
        let mut key = vec![0; 12];
        key[8] = 1;
        key[9] = 113;
        let cpu =
            |n: u64, min: u64| -> Vec<u8> { [n, 10 * n, min, 20, 5].iter().flat_map(|v| v.to_ne_bytes()).collect() };
        let a = Agg::decode(&key, &[cpu(2, 7), cpu(0, 0), cpu(3, 4)]).unwrap();
        assert_eq!((a.source, a.op), (1, 113));
        assert_eq!((a.count, a.sum_dur, a.min_dur, a.max_dur), (5, 50, 4, 20));
    }
}
