//! Cases of the nccl pack: one rank of a job of several GPUs.

use super::blocks::s;
use super::scene::{Base, Scene};
use super::{Entry, Twin};
use crate::trace::catalogue::Source;
use crate::unit::US;

/// For 3 s, 600 collectives a second.
fn collectives(x: &mut Scene<'_>, bytes: i64, dur: i64) {
    let start = x.main.now;
    for n in 1..=1_800 {
        x.collective(bytes, dur);
        x.main.now = x.main.now.max(start + n * s(1) / 600);
        x.tick();
    }
    x.calm(s(9));
}

pub(super) const ENTRIES: &[Entry] = &[
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
        plant: |x, by| collectives(x, 32 << 10, by.of(250 * US)),
        twins: &[Twin {
            name: "large",
            about: "as many collectives of 25 MiB",
            may: &[],
            plant: |x| collectives(x, 25 << 20, 300 * US),
        }],
    },
];
