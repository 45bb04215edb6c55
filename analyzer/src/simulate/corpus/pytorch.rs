//! Cases of the pytorch pack: training loops.

use super::super::stage::Off;
use super::blocks::{ms, s};
use super::scene::{Base, Scene};
use super::{Entry, Twin};
use crate::unit::US;

/// Once a second the loop waits `wait` for a batch, while the workers work or sleep.
fn waits(x: &mut Scene<'_>, wait: i64, workers_busy: bool) {
    x.during(s(20), |x| {
        x.step(|x| {
            if workers_busy {
                x.workers_busy(wait + ms(20));
            }
            x.off(wait, Off::Sleep);
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
        plant: |x, by| waits(x, by.of(ms(95)), true),
        twins: &[Twin {
            name: "idle-workers",
            about: "asleep as long, while the workers sleep as well",
            may: &[],
            plant: |x| waits(x, ms(120), false),
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
