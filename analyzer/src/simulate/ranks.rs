//! Scenarios of a job of several ranks that train in data parallel: each step ends in all-reduces.

use super::Length;
use super::rng::Rng;
use super::stage::{EPOCH, Off, Stage, Thread};
use crate::trace::catalogue::{Op, Source};
use crate::trace::writer::{Detail, Event, NcclCall, WriteError};
use crate::unit::{Interval, MS, SEC, US};

/// Process of rank 0; the others follow.
const FIRST: i64 = 7000;
const LAUNCHER: i64 = 6990;
const NEIGHBOUR: i64 = 6021;
/// What the communicator is called on all ranks.
const COMM: i64 = 0x5ca1_ab1e;
const STEP: i64 = 100 * MS;
/// When the first step begins, and for how long all is well.
const READY: i64 = 4 * SEC;
const CALM: i64 = 33 * SEC;
const BUCKETS: i64 = 4;
const BUCKET: i64 = 6_553_600;
const FLOAT: i64 = 7;

/// What is wrong with the job after its calm part.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// This rank waits for a CPU for so long, in seven steps of ten.
    Late(i64, i64),
    /// As late, and another rank in every step.
    InTurns(i64),
    /// This rank enters no further collective.
    Absent(i64),
    /// This rank reduces fewer elements, once.
    Mismatch(i64),
    /// All-reduces of 32 KiB, so many a step.
    Small(i64),
}

struct Rank {
    number: i64,
    main: Thread,
    rng: Rng,
    seq: i64,
}

struct Job {
    ranks: Vec<Rank>,
    init: Op,
    all_reduce: Op,
    at: i64,
    step: i64,
}

/// Ranks of a scenario; none where it is not one of these.
pub(super) fn count(scenario: &str) -> Option<i64> {
    match scenario {
        "ddp-straggler" | "ddp-small" => Some(2),
        name if name.starts_with("ddp-") => Some(8),
        _ => None,
    }
}

/// The process of a rank.
pub(super) fn process(rank: i64) -> i64 {
    FIRST + rank
}

impl Job {
    fn start(stage: &mut Stage<'_>, size: i64) -> Result<Self, WriteError> {
        stage.writer().probe("nccl", "", "attached", "")?;
        // All ranks are processes of one host, whose clock nothing keeps in step with others.
        stage.writer().recording("boot_id", "simulated")?;
        stage.writer().clock_offset(EPOCH, EPOCH, 50, None)?;
        stage.stranger(NEIGHBOUR, "cc1plus")?;
        let op = |name| Op::by_name(Source::Nccl, name).expect("the catalogue lists it (tested)");
        let mut job = Self {
            ranks: Vec::new(),
            init: op("ncclCommInitRankConfig"),
            all_reduce: op("ncclAllReduce"),
            at: EPOCH + READY,
            step: 0,
        };
        for number in 0..size {
            let pid = process(number);
            let born = EPOCH + 100 * MS + number * 3 * MS;
            let main = stage.thread(pid, pid, LAUNCHER, "python3", born)?;
            stage.push(Event::new(stage.ops.exec, pid, pid, born, 0).comm("python3"), None);
            let mut rank = Rank {
                number,
                main,
                rng: stage.rng(100 + number.unsigned_abs()),
                seq: 0,
            };
            rank.main.now = EPOCH + 300 * MS + number * 3 * MS;
            stage.cold_start(&mut rank.main, 12, 20 * MS);
            job.ranks.push(rank);
        }
        // The last to come ends the making of the communicator on all.
        let until = job.ranks.iter().map(|r| r.main.now).max().unwrap_or(EPOCH) + 300 * MS;
        for r in &mut job.ranks {
            let dur = until - r.main.now;
            let call = NcclCall {
                count: 0,
                dtype: -1,
                bytes: 0,
                seq: 0,
                ..r.call(0, size)
            };
            stage.nccl(&mut r.main, job.init, dur, call);
        }
        Ok(job)
    }

    /// A step of every rank: launches, all-reduces, and a wait for the last rank and the GPUs.
    fn step(&mut self, stage: &mut Stage<'_>, fault: Fault) -> Result<(), WriteError> {
        let size = i64::try_from(self.ranks.len()).unwrap_or(1);
        let mut last = self.at;
        for r in &mut self.ranks {
            let t = &mut r.main;
            t.now = self.at + 200 * US;
            for k in 0..12 {
                let dur = r.rng.log_normal(14 * US, 0.15);
                stage.launch(t, k | 1, dur);
                t.now += 900 * US;
            }
            // 3 % of a step, of whichever rank.
            t.now += r.rng.between(0, 3 * MS);
            match fault {
                Fault::Late(rank, by) if rank == r.number && self.step % 10 < 7 => {
                    stage.off_cpu(t, by, Off::Preempted(NEIGHBOUR));
                }
                Fault::InTurns(by) if self.step % size == r.number => {
                    stage.off_cpu(t, by, Off::Preempted(NEIGHBOUR));
                }
                _ => {}
            }
            let (calls, count, queueing) = match fault {
                Fault::Small(n) => (n, 8192, 100 * US),
                _ => (BUCKETS, BUCKET, 22 * US),
            };
            for _ in 0..calls {
                r.seq += 1;
                let dur = r.rng.around(queueing, queueing / 10);
                let call = r.call(count, size);
                stage.nccl(&mut r.main, self.all_reduce, dur, call);
                r.main.now += 40 * US;
            }
            last = last.max(r.main.now);
        }
        let end = (self.at + STEP).max(last + 50 * MS);
        for r in &mut self.ranks {
            let wait = end - r.main.now - r.rng.between(300 * US, 600 * US);
            stage.call(&mut r.main, stage.ops.stream_sync, wait, 0, 0);
        }
        (self.at, self.step) = (end, self.step + 1);
        stage.flush_until(end - STEP)
    }

    fn steps_until(&mut self, stage: &mut Stage<'_>, until: i64, fault: Fault) -> Result<(), WriteError> {
        while self.at < until {
            self.step(stage, fault)?;
        }
        Ok(())
    }

    /// One more collective, which rank `odd` does not enter, or enters with fewer elements; then all wait.
    fn stuck(&mut self, stage: &mut Stage<'_>, odd: i64, fewer: bool, wait: i64) -> Result<i64, WriteError> {
        let size = i64::try_from(self.ranks.len()).unwrap_or(1);
        let begin = self.at + 2 * MS;
        let mut stop = begin;
        for r in &mut self.ranks {
            r.main.now = begin + r.rng.between(0, MS);
            if r.number == odd && !fewer {
                // It looks for something else meanwhile.
                stage.poll_until(&mut r.main, begin + wait, 100 * MS, MS);
                stage.call(&mut r.main, stage.ops.event_sync, 20 * US, 0, 0);
            } else {
                r.seq += 1;
                let call = r.call(if r.number == odd { 1025 } else { 262_144 }, size);
                stage.nccl(&mut r.main, self.all_reduce, 22 * US, call);
                let open = Interval::new(r.main.now + MS, begin + wait);
                if stage.records(r.main.pid) {
                    let sync = stage.ops.stream_sync;
                    stage.writer().open_call(sync, r.main.pid, r.main.tid, open)?;
                }
            }
            stop = stop.max(begin + wait);
        }
        Ok(stop)
    }
}

impl Rank {
    fn call(&self, count: i64, size: i64) -> NcclCall {
        NcclCall {
            comm: 0x7f00_0000_1000 + self.number * 0x10_0000,
            seq: self.seq,
            count,
            dtype: FLOAT,
            bytes: count * 4,
            peer: -1,
            rank: self.number,
            nranks: size,
            comm_id: COMM,
        }
    }
}

impl Stage<'_> {
    fn nccl(&mut self, t: &mut Thread, op: Op, dur: i64, call: NcclCall) {
        let event = Event::new(op, t.pid, t.tid, t.now, dur).args(call.bytes, call.comm);
        self.push(event, Some(Detail::Nccl(call)));
        t.now += dur;
    }
}

fn play(stage: &mut Stage<'_>, length: Length, size: i64, fault: Fault) -> Result<i64, WriteError> {
    let mut job = Job::start(stage, size)?;
    let begin = EPOCH + READY + CALM + length.extra_s * SEC;
    let stop = begin + 20 * SEC;
    job.steps_until(stage, begin, Fault::None)?;
    let from = job.at;
    let main = |job: &Job, rank: i64| {
        let of = |r: &&Rank| r.number == rank;
        job.ranks.iter().find(of).unwrap_or(&job.ranks[0]).main.clone()
    };
    match fault {
        Fault::Absent(rank) => {
            let end = job.stuck(stage, rank, false, 70 * SEC)?;
            let note = "this rank enters no further collective; value: its rank";
            stage.truth("cause", "NCCL_ABSENT_RANK", &main(&job, rank), (from, end), rank, note)?;
            for r in job.ranks.iter().filter(|r| r.number != rank) {
                let note = "waits for that rank in a synchronisation";
                stage.truth("symptom", "CUDA_HANG", &r.main, (from, end), rank, note)?;
            }
            stage.snapshots(EPOCH, end, (9, 15), 14)?;
            return Ok(end);
        }
        Fault::Mismatch(rank) => {
            let end = job.stuck(stage, rank, true, 5 * SEC)?;
            let note = "1,025 elements where the others reduce 262,144; value: its rank";
            stage.truth("cause", "NCCL_MISMATCH", &main(&job, rank), (from, end), rank, note)?;
            stage.snapshots(EPOCH, end, (9, 15), 14)?;
            return Ok(end);
        }
        _ => job.steps_until(stage, stop, fault)?,
    }
    stage.snapshots(EPOCH, job.at, (9, 15), 14)?;
    let when = (from, job.at);
    match fault {
        Fault::Late(rank, by) => {
            let note = "this rank waits for its CPU before it reduces, in seven steps of ten; value: ns";
            stage.truth("cause", "NCCL_STRAGGLER", &main(&job, rank), when, by, note)?;
            // Enough of its time for the rule about that.
            if by >= STEP / 5 {
                let note = "cc1plus (6021), outside the job, has its CPU; value: its pid";
                stage.truth("cause", "NOISY_NEIGHBOUR", &main(&job, rank), when, NEIGHBOUR, note)?;
            }
        }
        Fault::InTurns(by) => {
            let note = "the late rank is another one in every step; value: ns it is late";
            stage.truth("twin", "NCCL_STRAGGLER", &main(&job, 0), when, by, note)?;
        }
        Fault::Small(n) => {
            for r in &job.ranks {
                let note = "all-reduces of 32 KiB; value: how many in a step";
                stage.truth("cause", "NCCL_SMALL_MESSAGES", &r.main, when, n, note)?;
            }
        }
        _ => {
            let note = "ranks enter up to 3 ms apart, none of them always last";
            stage.truth("healthy", "", &main(&job, 0), (EPOCH + READY, job.at), 0, note)?;
        }
    }
    Ok(job.at)
}

pub(crate) fn healthy(stage: &mut Stage<'_>, length: Length) -> Result<i64, WriteError> {
    play(stage, length, 8, Fault::None)
}

pub(crate) fn straggler(stage: &mut Stage<'_>, length: Length) -> Result<i64, WriteError> {
    play(stage, length, 2, Fault::Late(1, 25 * MS))
}

pub(crate) fn straggler_of_eight(stage: &mut Stage<'_>, length: Length) -> Result<i64, WriteError> {
    play(stage, length, 8, Fault::Late(3, 12 * MS))
}

pub(crate) fn in_turns(stage: &mut Stage<'_>, length: Length) -> Result<i64, WriteError> {
    play(stage, length, 8, Fault::InTurns(12 * MS))
}

pub(crate) fn hang(stage: &mut Stage<'_>, length: Length) -> Result<i64, WriteError> {
    play(stage, length, 8, Fault::Absent(2))
}

pub(crate) fn mismatch(stage: &mut Stage<'_>, length: Length) -> Result<i64, WriteError> {
    play(stage, length, 8, Fault::Mismatch(1))
}

pub(crate) fn small(stage: &mut Stage<'_>, length: Length) -> Result<i64, WriteError> {
    play(stage, length, 2, Fault::Small(180))
}
