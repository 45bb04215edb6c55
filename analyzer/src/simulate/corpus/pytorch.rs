//! Cases of the pytorch pack: training loops.

use super::super::stage::{Off, direction};
use super::blocks::{ms, s};
use super::scene::{Base, JOB, NEIGHBOUR, Scene};
use super::{Entry, Twin};
use crate::unit::US;

/// Once a second the loop makes no call for `wait`, asleep for a part of it, while the workers work for a part.
fn waits(x: &mut Scene<'_>, wait: i64, asleep: i64, work: i64) {
    x.during(s(20), |x| {
        x.step(|x| {
            if work > 0 {
                x.workers_busy(work);
            }
            x.off(asleep, Off::Sleep);
            x.pass(wait - asleep);
        });
        x.calm(ms(700));
    });
}

/// Every 500 ms `n` frees, `apart`, and as many allocations.
fn emptied(x: &mut Scene<'_>, n: i64, apart: i64) {
    let mut next = x.main.now;
    x.during(s(20), |x| {
        x.step(|x| {
            if x.main.now < next {
                return;
            }
            next += ms(500);
            for _ in 0..n {
                x.free(400 * US);
                x.pass(apart);
            }
            for _ in 0..n {
                x.pass(ms(2));
                x.malloc(20 << 20, 200 * US, 0);
            }
        });
    });
}

/// The loop stands still four times for 1.5 s, while a compiler of `parent` runs for a part of it.
fn compiled(x: &mut Scene<'_>, parent: i64, compiler: i64) {
    for _ in 0..4 {
        x.step(|x| {
            let at = x.main.now;
            x.run_program("ptxas", at + ms(5), compiler, parent);
            x.off(ms(1_500), Off::Sleep);
        });
        x.calm(s(6));
    }
}

/// Twice the loop copies from the GPU and then makes no call for `standstill`, while so much is written.
fn saved(x: &mut Scene<'_>, standstill: i64, sectors: i64) {
    for _ in 0..2 {
        x.step(|x| {
            x.copy("cudaMemcpyAsync", direction::D2H, 150_000_000, ms(20));
            x.disk("block_write", NEIGHBOUR, ms(20), sectors);
            x.pass(standstill);
        });
        x.calm(s(9));
    }
}

/// Once a second the gradients go down, the CPU works for `time`, and so many bytes come back up.
fn offloaded(x: &mut Scene<'_>, time: i64, up: i64) {
    x.during(s(24), |x| {
        x.step(|x| {
            x.copy("cudaMemcpyAsync", direction::D2H, 120_000_000, ms(10));
            x.pass(time);
            x.copy("cudaMemcpyAsync", direction::H2D, up, 90 * US);
        });
        x.calm(ms(700));
    });
}

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        rule: "DATALOADER_STARVATION",
        base: Base::Training,
        swept: "time without a call, asleep while workers work, of 10 s (1 s)",
        may: &[],
        plant: |x, by| waits(x, by.of(ms(95)), by.of(ms(95)), ms(140)),
        twins: &[Twin {
            name: "idle-workers",
            about: "asleep as long, while the workers sleep as well",
            may: &[],
            plant: |x| waits(x, ms(120), ms(120), 0),
        }],
    },
    Entry {
        rule: "EMPTY_CACHE_LOOP",
        base: Base::Training,
        swept: "frees in bursts in 10 s (100)",
        may: &[],
        plant: |x, by| emptied(x, by.count(5), 100 * US),
        twins: &[Twin {
            name: "one-by-one",
            about: "as many frees, 5 ms apart",
            may: &[],
            plant: |x| emptied(x, 6, ms(5)),
        }],
    },
    Entry {
        rule: "RECOMPILE_THRASH",
        base: Base::Training,
        swept: "share of the standstills in which its compilers run (50 %)",
        may: &["BLOCKED_ON_CHILD"],
        plant: |x, by| compiled(x, JOB, by.of(ms(750))),
        twins: &[Twin {
            name: "stranger",
            about: "stands still as often, while somebody else's compiler runs",
            may: &[],
            plant: |x| compiled(x, 1, ms(900)),
        }],
    },
    Entry {
        rule: "CHECKPOINT_IO_STALL",
        base: Base::Training,
        swept: "length of the standstills in which a checkpoint is written (2 s)",
        may: &[],
        plant: |x, by| saved(x, by.of(s(2)), 600_000),
        twins: &[Twin {
            name: "not-written",
            about: "stands still as long after a copy, and nothing is written",
            may: &[],
            plant: |x| saved(x, ms(2_400), 64),
        }],
    },
    Entry {
        rule: "OFFLOAD_OPTIMIZER_BOUND",
        base: Base::Training,
        swept: "time on the CPU between copies down and up, of 10 s (3 s)",
        may: &[],
        plant: |x, by| offloaded(x, by.of(ms(360)), 120_000_000),
        twins: &[Twin {
            name: "one-way",
            about: "computes as long, and nothing goes back to the GPU",
            may: &[],
            plant: |x| offloaded(x, ms(432), 1_000_000),
        }],
    },
];

/// Other quantities of the same rules, by a word for each.
pub(super) const MORE: &[(&str, Entry)] = &[
    (
        "asleep",
        Entry {
            rule: "DATALOADER_STARVATION",
            base: Base::Training,
            swept: "share of the time without a call in which the loop sleeps (60 %)",
            may: &[],
            plant: |x, by| waits(x, ms(150), by.of(ms(90)), ms(170)),
            twins: &[],
        },
    ),
    (
        "work",
        Entry {
            rule: "DATALOADER_STARVATION",
            base: Base::Training,
            swept: "share of the time without a call in which workers work (60 %)",
            may: &[],
            plant: |x, by| waits(x, ms(150), ms(150), by.of(ms(90))),
            twins: &[],
        },
    ),
];
