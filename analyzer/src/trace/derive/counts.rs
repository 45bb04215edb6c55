//! Aggregates and rows put side by side, bucket by bucket.

use std::collections::BTreeMap;

use crate::trace::anchor;
use crate::trace::catalogue::{Op, Source};
use crate::trace::model::{Bucket, Counted};
use crate::trace::reader::columns::{FIVE_SECONDS, RawLane, Tally};
use crate::trace::reader::tables::{Aggregate, Aggregates, BUCKET_LEN};

/// Rows by five-second bucket (its number, not its time).
pub(crate) type Tallies = BTreeMap<i64, Tally>;

/// Counts the rows of a lane by bucket of their stored timestamp.
pub(crate) fn tally(lane: &RawLane) -> Tallies {
    let mut out = Tallies::new();
    let mut current = (i64::MIN, Tally::NONE);
    let mut flush = |(bucket, tally): (i64, Tally)| {
        if tally.rows > 0 {
            out.entry(bucket).or_insert(Tally::NONE).merge(tally);
        }
    };
    for i in 0..lane.len() {
        let bucket = anchor::timestamp(lane.key.op, lane.start[i], lane.dur[i]).div_euclid(FIVE_SECONDS);
        if bucket != current.0 {
            flush(std::mem::replace(&mut current, (bucket, Tally::NONE)));
        }
        current.1.add(lane.dur[i]);
    }
    flush(current);
    #[expect(clippy::iter_over_hash_type, reason = "a sum has no order")]
    for (&bucket, &tally) in &lane.tallies {
        out.entry(bucket).or_insert(Tally::NONE).merge(tally);
    }
    out
}

/// Aggregates of a file, with what its rows say.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) counted: Vec<Counted>,
    /// Rows that aggregates call stored and that are not there.
    pub(crate) rows_missing: u64,
    /// Calls counted and not stored.
    pub(crate) not_stored: u64,
    /// One-minute buckets that a late event overwrote.
    pub(crate) overwritten: u64,
}

/// Joins aggregates and rows. `kept_from` is the time and the number (from 1) of the first row of a
/// trimmed file: a bucket that begins before it also counts rows that are not expected.
pub(crate) fn join(
    aggregates: &Aggregates,
    rows: &BTreeMap<(i64, Op), Tallies>,
    kept_from: Option<(i64, u64)>,
) -> Counts {
    let mut out = Counts::default();
    if aggregates.is_empty() {
        return out;
    }
    // Five-second rows are kept for ten minutes only, and only by later agents.
    let has_fives = aggregates.values().any(|a| !a[1].is_empty());
    let keys: std::collections::BTreeSet<(i64, Op)> = aggregates.keys().chain(rows.keys()).copied().collect();
    let (none, empty) = (Tallies::new(), [Vec::new(), Vec::new()]);
    let mut gone = 0;
    for (pid, op) in keys {
        let tallies = rows.get(&(pid, op)).unwrap_or(&none);
        let stored = aggregates.get(&(pid, op)).unwrap_or(&empty);
        let mut minutes_rows = Tallies::new();
        for (&five, &tally) in tallies {
            minutes_rows
                .entry(five.div_euclid(12))
                .or_insert(Tally::NONE)
                .merge(tally);
        }
        let minutes = buckets(op, &stored[0], &minutes_rows, BUCKET_LEN[0], true);
        let fives = buckets(op, &stored[1], tallies, BUCKET_LEN[1], false);
        for b in &minutes {
            if b.stored > b.rows {
                gone += b.stored - b.rows;
                if kept_from.is_none_or(|from| b.start >= from.0) {
                    out.rows_missing += b.stored - b.rows;
                }
            }
            // Page allocations and polling calls never become rows anywhere: that is no selection.
            if !op.is("page_alloc") && !op.is("query") {
                out.not_stored += b.count.saturating_sub(b.stored.max(b.rows));
            }
            out.overwritten += u64::from(!b.reliable);
        }
        out.counted.push(Counted {
            pid,
            process: None,
            op,
            minutes,
            fives: if has_fives { fives } else { Vec::new() },
        });
    }
    // Of all that is gone, those before the first row are accounted for.
    let before = kept_from.map_or(0, |(_, number)| number.saturating_sub(1));
    out.rows_missing = out.rows_missing.max(gone.saturating_sub(before));
    out
}

/// `fill`: rows without any aggregate make a bucket of their own, unreliable since its aggregate is gone.
fn buckets(op: Op, aggregates: &[Aggregate], rows: &Tallies, len: i64, fill: bool) -> Vec<Bucket> {
    let mut out: BTreeMap<i64, Bucket> = BTreeMap::new();
    for a in aggregates {
        let found = rows.get(&a.bucket.div_euclid(len)).copied().unwrap_or(Tally::NONE);
        let reliable = a.stored >= found.rows;
        let mut b = Bucket {
            start: a.bucket,
            len,
            count: a.count.max(found.rows),
            stored: a.stored,
            rows: found.rows,
            sum: i128::from(a.sum),
            min: a.min,
            max: a.max,
            bytes: i128::from(a.arg0) * if op.def().source == Source::Io { 512 } else { 1 },
            reliable,
        };
        if !reliable {
            b.sum = b.sum.max(found.sum);
            b.min = b.min.min(found.min);
            b.max = b.max.max(found.max);
        }
        out.insert(a.bucket, b);
    }
    if fill {
        for (&number, found) in rows {
            out.entry(number.saturating_mul(len)).or_insert(Bucket {
                start: number.saturating_mul(len),
                len,
                count: found.rows,
                stored: 0,
                rows: found.rows,
                sum: found.sum,
                min: found.min,
                max: found.max,
                bytes: 0,
                reliable: false,
            });
        }
    }
    out.into_values().collect()
}
