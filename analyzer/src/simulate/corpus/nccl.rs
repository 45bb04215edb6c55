//! Cases of the nccl pack: one rank of a job of several GPUs, or all three ranks of a small one.

use super::super::stage::op;
use super::blocks::{ms, s};
use super::scene::{Base, JOB, Scene};
use super::{Entry, Twin};
use crate::trace::catalogue::Source;
use crate::trace::writer::{Detail, Event, NcclCall};
use crate::unit::US;

/// Collectives at a rate, for 3 s.
fn collectives(x: &mut Scene<'_>, per_s: i64, bytes: i64, dur: i64) {
    let start = x.main.now;
    for n in 1..=3 * per_s {
        x.collective(bytes, dur);
        x.main.now = x.main.now.max(start + n * s(1) / per_s);
        x.tick();
    }
    x.calm(s(9));
}

/// The processes of the ranks; the job is the last of them.
const RANKS: [i64; 3] = [JOB + 301, JOB + 302, JOB];
/// Elements of an ordinary collective.
const ELEMENTS: i64 = 6_553_600;

/// One rank enters a collective.
fn enter(x: &mut Scene<'_>, rank: usize, seq: i64, at: i64, count: i64) {
    let pid = RANKS[rank];
    let rank = i64::try_from(rank).unwrap_or(0);
    let bytes = count * 4;
    let event = Event::new(op(Source::Nccl, "ncclAllReduce"), pid, pid, at, 25 * US).args(bytes, 0);
    let call = NcclCall {
        comm: 0x7f40_0000_2000 + rank * 0x1000,
        seq,
        count,
        dtype: 7,
        bytes,
        peer: -1,
        rank,
        nranks: 3,
        comm_id: 0x0dd5,
    };
    x.stage.push(event, Some(Detail::Nccl(call)));
}

/// The other ranks begin to use their GPUs, and come into their steady state.
fn begin(x: &mut Scene<'_>) {
    let (launch, at) = (x.stage.ops.launch, x.main.now);
    for pid in RANKS.into_iter().filter(|pid| *pid != JOB) {
        x.stage
            .push(Event::new(launch, pid, pid, at, 12 * US).args(0x48_0040, 0), None);
    }
    x.calm(s(32));
}

/// So many steps with a collective each, numbered from 1, which `late` enters so long after the others.
fn together(x: &mut Scene<'_>, steps: i64, by: i64, late: fn(i64) -> usize) {
    for seq in 1..=steps {
        x.step(|x| {
            let at = x.main.now;
            for rank in 0..RANKS.len() {
                let from = if rank == late(seq) { at + by } else { at };
                enter(x, rank, seq, from, ELEMENTS);
            }
            x.pass(by + 30 * US);
        });
    }
}

/// The job, always.
fn job(_: i64) -> usize {
    2
}

/// A collective that the two other ranks enter at once.
fn others(x: &mut Scene<'_>, seq: i64, count: i64) {
    let at = x.main.now;
    enter(x, 0, seq, at, count);
    enter(x, 1, seq, at + 80 * US, count);
}

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        rule: "NCCL_STRAGGLER",
        base: Base::Training,
        swept: "share of the time in which the other ranks have entered and it has not (5 %)",
        may: &[],
        plant: |x, by| {
            begin(x);
            together(x, 80, by.of(ms(10)), job);
        },
        twins: &[Twin {
            name: "in-turns",
            about: "as much lateness, of another rank in every step",
            may: &[],
            plant: |x| {
                begin(x);
                together(x, 80, ms(12), |seq| usize::try_from(seq % 3).unwrap_or(0));
            },
        }],
    },
    Entry {
        rule: "NCCL_ABSENT_RANK",
        base: Base::Training,
        swept: "how long it has not entered what the others have (60 s)",
        may: &[],
        plant: |x, by| {
            together(x, 20, 50 * US, job);
            others(x, 21, ELEMENTS);
            x.calm(by.of(s(60)));
        },
        twins: &[Twin {
            name: "comes-late",
            about: "a rank that enters it after 72 s",
            may: &[],
            plant: |x| {
                together(x, 20, 50 * US, job);
                others(x, 21, ELEMENTS);
                x.calm(s(72));
                let at = x.main.now;
                enter(x, 2, 21, at, ELEMENTS);
                x.calm(s(3));
            },
        }],
    },
    Entry {
        rule: "NCCL_MISMATCH",
        base: Base::Training,
        swept: "",
        may: &[],
        plant: |x, _| {
            together(x, 20, 50 * US, job);
            others(x, 21, ELEMENTS);
            let at = x.main.now + 90 * US;
            enter(x, 2, 21, at, 1025);
            x.calm(s(3));
        },
        twins: &[Twin {
            name: "all-alike",
            about: "the last collective is as small on all ranks",
            may: &[],
            plant: |x| {
                together(x, 20, 50 * US, job);
                others(x, 21, 1025);
                let at = x.main.now + 90 * US;
                enter(x, 2, 21, at, 1025);
                x.calm(s(3));
            },
        }],
    },
    Entry {
        rule: "NCCL_HANG",
        base: Base::Rank,
        swept: "how long a collective has not returned (60 s)",
        may: &[],
        plant: |x, by| {
            x.calm(s(5));
            x.never_returns(Source::Nccl, "ncclAllReduce", by.of(s(60)));
        },
        twins: &[Twin {
            name: "returns",
            about: "a collective that takes as long and returns",
            may: &[],
            plant: |x| {
                x.step(|x| x.collective(25 << 20, s(72)));
                x.calm(s(5));
            },
        }],
    },
    Entry {
        rule: "NCCL_INIT_SLOW",
        base: Base::Rank,
        swept: "time in which a communicator is made (30 s)",
        may: &[],
        plant: |x, by| {
            x.step(|x| x.comm_init(by.of(s(30))));
            x.calm(s(5));
        },
        twins: &[Twin {
            name: "several",
            about: "four communicators of 9 s each",
            may: &[],
            plant: |x| {
                for _ in 0..4 {
                    x.step(|x| x.comm_init(s(9)));
                }
                x.calm(s(5));
            },
        }],
    },
    Entry {
        rule: "NCCL_SMALL_MESSAGES",
        base: Base::Rank,
        swept: "share of a second in which small collectives are queued (15 %)",
        may: &[],
        plant: |x, by| collectives(x, 600, 32 << 10, by.of(250 * US)),
        twins: &[Twin {
            name: "large",
            about: "as many collectives of 25 MiB",
            may: &[],
            plant: |x| collectives(x, 600, 25 << 20, 300 * US),
        }],
    },
];

/// Other quantities of the same rules, by a word for each.
pub(super) const MORE: &[(&str, Entry)] = &[
    (
        "rate",
        Entry {
            rule: "NCCL_SMALL_MESSAGES",
            base: Base::Rank,
            swept: "collectives in a second (500)",
            may: &[],
            plant: |x, by| collectives(x, by.of(500), 32 << 10, 400 * US),
            twins: &[],
        },
    ),
    (
        "size",
        Entry {
            rule: "NCCL_SMALL_MESSAGES",
            base: Base::Rank,
            swept: "bytes of a collective, at most (256 KiB)",
            may: &[],
            plant: |x, by| collectives(x, 600, by.below(256 << 10), 300 * US),
            twins: &[],
        },
    ),
];
