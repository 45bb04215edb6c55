//! Cases of the trace pack: what a recording does not hold.

use super::blocks::s;
use super::scene::{Base, Scene};
use super::{Entry, Twin};
use crate::unit::US;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        rule: "TRACE_INCOMPLETE",
        base: Base::Training,
        swept: "longest time without a snapshot of the host (5 s)",
        may: &[],
        plant: |x, by| {
            x.without_snapshots(by.of(s(5)) + s(1) / 10);
            x.calm(s(12));
        },
        twins: &[Twin {
            name: "counter",
            about: "what was lost are counts of pages, and no event",
            may: &[],
            plant: |x| {
                x.lost("mem", "recursion", 3);
                x.calm(s(12));
            },
        }],
    },
    Entry {
        rule: "SAMPLED_RATES",
        base: Base::Training,
        swept: "",
        may: &[],
        plant: |x, _| {
            x.record_all = false;
            for _ in 0..12 {
                x.counted_only(4_000, 12 * US);
                x.calm(s(1));
            }
        },
        twins: &[Twin {
            name: "stored",
            about: "the recorder may select, and stored every call",
            may: &[],
            plant: |x| {
                x.record_all = false;
                x.calm(s(12));
            },
        }],
    },
    Entry {
        rule: "WARMUP_ONLY",
        base: Base::Starting,
        swept: "steady operation, at most (10 s)",
        may: &[],
        // Steady from 31 s on; the story begins after 5 s and ends with an ordinary second.
        plant: |x, by| x.calm(s(25) + by.below(s(10))),
        twins: &[Twin {
            name: "long",
            about: "a minute of steady operation",
            may: &[],
            plant: |x: &mut Scene<'_>| x.calm(s(86)),
        }],
    },
];
