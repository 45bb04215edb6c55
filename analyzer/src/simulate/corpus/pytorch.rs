//! Cases of the pytorch pack: training loops.

use super::super::stage::Off;
use super::blocks::{ms, s};
use super::scene::{Base, Scene};
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
