//! Rows of `events` as they come off the file: one set of columns for each (node, pid, tid, op) as
//! stored, before anybody knows which process a thread belongs to.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::options::Needs;
use crate::trace::anchor;
use crate::trace::catalogue::{Anchor, OPS, Op, Source, told_by_xids};
use crate::trace::model::UNKNOWN_TIME;

/// Position of a node name within its file.
pub(crate) type FileNode = u16;

/// Identity of a row as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RawKey {
    pub(crate) node: FileNode,
    pub(crate) pid: i64,
    pub(crate) tid: i64,
    pub(crate) op: Op,
}

/// What one of the two arguments means for an op, or which of them holds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arg {
    None,
    Arg0,
    Arg1,
    Sectors,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    None,
    Kind,
    Always(u8),
}

/// How rows of an op are kept.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent columns")]
pub(crate) struct Shape {
    /// Whether every row is kept, or only a summary of them.
    keep: bool,
    anchor: Anchor,
    /// What goes to `value`.
    value: Arg,
    /// What goes to `aux`.
    aux: Arg,
    direction: Direction,
    ret: bool,
    gpu: bool,
    rank: bool,
    cgroup: bool,
}

const UNKNOWN_DIRECTION: u8 = 5;

impl Shape {
    fn of(op: Op, needs: &Needs) -> Self {
        let d = op.def();
        let call = matches!(d.source, Source::Cuda | Source::Driver | Source::Graph | Source::Nccl);
        let (mut value, mut aux, mut direction) = (Arg::None, Arg::None, Direction::None);
        match d.source {
            Source::Cuda | Source::Driver => {
                if op.is("launch") {
                    value = Arg::Arg0;
                    // The driver rows of every generation store 0 here.
                    if needs.stream && d.source == Source::Cuda {
                        aux = Arg::Arg1;
                    }
                } else if op.is("malloc") || op.is("host_alloc") || op.is("memset") {
                    value = Arg::Arg0;
                } else if op.is("free") {
                    value = Arg::Arg1;
                } else if op.is("memcpy") {
                    value = Arg::Arg0;
                    direction = match d.name {
                        "cudaMemcpy" | "cudaMemcpyAsync" | "cudaMemcpy2D" | "cudaMemcpy2DAsync" => Direction::Kind,
                        n if n.contains("HtoD") => Direction::Always(1),
                        n if n.contains("DtoH") => Direction::Always(2),
                        n if n.contains("DtoD") || n.contains("Peer") => Direction::Always(3),
                        _ => Direction::Always(UNKNOWN_DIRECTION),
                    };
                } else if matches!(d.name, "cudaStreamSync" | "cuStreamSynchronize") && needs.stream {
                    aux = Arg::Arg0;
                }
            }
            Source::Io => value = Arg::Sectors,
            Source::Net => value = Arg::Arg1,
            Source::Sched => match d.op_id {
                1 => aux = Arg::Arg1,
                2 => value = Arg::Arg1,
                _ => {}
            },
            Source::Mem => match d.op_id {
                3 => value = Arg::Arg0,
                _ => value = Arg::Arg1,
            },
            Source::Process if op.is("fork") => value = Arg::Arg1,
            _ => {}
        }
        Self {
            keep: needs.has(op),
            anchor: d.anchor,
            value,
            aux,
            direction,
            ret: call && needs.ret,
            gpu: call && needs.gpu,
            rank: (call || d.source == Source::Net) && needs.rank,
            cgroup: (call || d.source == Source::Net) && needs.cgroup,
        }
    }
}

/// Rows of one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) rows: u64,
    pub(crate) sum: i128,
    pub(crate) min: i64,
    pub(crate) max: i64,
}

impl Tally {
    pub(crate) const NONE: Self = Self {
        rows: 0,
        sum: 0,
        min: i64::MAX,
        max: 0,
    };

    pub(crate) fn add(&mut self, dur: i64) {
        self.rows += 1;
        self.sum += i128::from(dur);
        self.min = self.min.min(dur);
        self.max = self.max.max(dur);
    }

    pub(crate) fn merge(&mut self, o: Self) {
        self.rows += o.rows;
        self.sum += o.sum;
        self.min = self.min.min(o.min);
        self.max = self.max.max(o.max);
    }
}

/// Length of the shorter buckets; the longer ones are twelve of them.
pub(crate) const FIVE_SECONDS: i64 = 5_000_000_000;

/// The rows of one [`RawKey`].
#[derive(Clone, Debug)]
pub(crate) struct RawLane {
    pub(crate) key: RawKey,
    /// File that the rows come from.
    pub(crate) file: u32,
    /// Whether every row is kept, or only a summary of them.
    pub(crate) keep: bool,
    pub(crate) start: Vec<i64>,
    pub(crate) dur: Vec<i64>,
    /// rowid minus the smallest of the file.
    pub(crate) row: Vec<u32>,
    /// Bytes, kernel, child, target, victim: by op.
    pub(crate) value: Vec<i64>,
    /// Stream, or the previous thread.
    pub(crate) aux: Vec<i64>,
    pub(crate) direction: Vec<u8>,
    /// Empty while all are 0.
    pub(crate) ret: Vec<i32>,
    pub(crate) gpu: Vec<i32>,
    pub(crate) rank: Vec<i32>,
    pub(crate) cgroup: Vec<i64>,
    /// sched, from tables of details or from wake-ups: see [`crate::trace::Lane`].
    pub(crate) runnable: Vec<i64>,
    pub(crate) uninterruptible: Vec<bool>,
    /// False once a row came before its predecessor.
    pub(crate) sorted: bool,
    /// Rows seen, kept or not.
    pub(crate) rows: u64,
    /// Smallest start and largest end, kept or not; meaningless without rows.
    pub(crate) first: i64,
    pub(crate) last: i64,
    /// Last row seen, for a look at its name.
    pub(crate) sample: u32,
    /// Rows that are not kept, by five-second bucket of their timestamp.
    pub(crate) tallies: FxHashMap<i64, Tally>,
}

impl RawLane {
    pub(crate) fn new(key: RawKey, file: u32) -> Self {
        Self {
            key,
            file,
            keep: true,
            start: Vec::new(),
            dur: Vec::new(),
            row: Vec::new(),
            value: Vec::new(),
            aux: Vec::new(),
            direction: Vec::new(),
            ret: Vec::new(),
            gpu: Vec::new(),
            rank: Vec::new(),
            cgroup: Vec::new(),
            runnable: Vec::new(),
            uninterruptible: Vec::new(),
            sorted: true,
            rows: 0,
            first: i64::MAX,
            last: i64::MIN,
            sample: 0,
            tallies: FxHashMap::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.start.len()
    }

    pub(crate) fn end(&self, i: usize) -> i64 {
        self.start[i].saturating_add(self.dur[i])
    }

    /// Adds the rows of a later range of the same file, or of another file.
    pub(crate) fn append(&mut self, mut o: Self) {
        if self.rows == 0 {
            *self = o;
            return;
        }
        self.sorted &= o.sorted
            && match (self.start.last(), o.start.first()) {
                (Some(a), Some(b)) => a <= b,
                _ => true,
            };
        let (n, m) = (self.len(), o.len());
        pad(&mut self.ret, n, &mut o.ret, m, 0);
        pad(&mut self.aux, n, &mut o.aux, m, 0);
        pad(&mut self.value, n, &mut o.value, m, 0);
        pad(&mut self.gpu, n, &mut o.gpu, m, 0);
        pad(&mut self.rank, n, &mut o.rank, m, -1);
        pad(&mut self.cgroup, n, &mut o.cgroup, m, 0);
        pad(&mut self.direction, n, &mut o.direction, m, UNKNOWN_DIRECTION);
        pad(&mut self.runnable, n, &mut o.runnable, m, UNKNOWN_TIME);
        pad(&mut self.uninterruptible, n, &mut o.uninterruptible, m, false);
        self.start.append(&mut o.start);
        self.dur.append(&mut o.dur);
        self.row.append(&mut o.row);
        self.rows += o.rows;
        self.first = self.first.min(o.first);
        self.last = self.last.max(o.last);
        // Row numbers of two files mix here; the name is looked up in the later one.
        self.file = o.file;
        self.sample = o.sample;
        #[expect(clippy::iter_over_hash_type, reason = "a sum has no order")]
        for (bucket, tally) in o.tallies {
            self.tallies.entry(bucket).or_insert(Tally::NONE).merge(tally);
        }
    }

    fn reserve(&mut self, extra: usize) {
        self.start.reserve_exact(extra);
        self.dur.reserve_exact(extra);
        self.row.reserve_exact(extra);
        for column in [&mut self.value, &mut self.aux, &mut self.cgroup] {
            if !column.is_empty() {
                column.reserve_exact(extra);
            }
        }
    }

    /// Joins parts in order. Each part is freed as soon as it is copied.
    pub(crate) fn concat(parts: Vec<Self>) -> Option<Self> {
        let total: usize = parts.iter().map(Self::len).sum();
        let mut parts = parts.into_iter();
        let mut all = parts.next()?;
        all.reserve(total - all.len());
        for part in parts {
            all.append(part);
        }
        Some(all)
    }

    /// Sorts by (start, number of the event). Rows come in by number, so equal starts keep their
    /// order unless `numbers` gives the numbers of a file whose row order is another one.
    pub(crate) fn sort(&mut self, numbers: Option<&[u64]>) {
        if let Some(numbers) = numbers {
            let number = |row: u32| numbers.get(row as usize).copied().unwrap_or(u64::from(row));
            let mut order: Vec<u32> = (0..to_u32(self.len())).collect();
            order.sort_by_key(|&i| (self.start[i as usize], number(self.row[i as usize])));
            self.permute(0, &order);
        } else if !self.sorted {
            // Rows are late by a fraction of a second at most, so what is out of order lies in short
            // blocks. A block ends where nothing before is larger than anything behind.
            let n = self.len();
            let mut least_behind = vec![i64::MAX; n + 1];
            for i in (0..n).rev() {
                least_behind[i] = least_behind[i + 1].min(self.start[i]);
            }
            let (mut from, mut largest) = (0, i64::MIN);
            let mut order: Vec<u32> = Vec::new();
            for i in 0..n {
                largest = largest.max(self.start[i]);
                if largest <= least_behind[i + 1] {
                    if i > from {
                        order.clear();
                        order.extend(to_u32(from)..=to_u32(i));
                        order.sort_by_key(|&k| self.start[k as usize]);
                        self.permute(from, &order);
                    }
                    from = i + 1;
                    largest = i64::MIN;
                }
            }
        }
        self.sorted = true;
    }

    fn permute(&mut self, at: usize, order: &[u32]) {
        fn apply<T: Copy>(column: &mut [T], at: usize, order: &[u32]) {
            if column.is_empty() {
                return;
            }
            let moved: Vec<T> = order.iter().map(|&i| column[i as usize]).collect();
            column[at..at + order.len()].copy_from_slice(&moved);
        }
        apply(&mut self.start, at, order);
        apply(&mut self.dur, at, order);
        apply(&mut self.row, at, order);
        apply(&mut self.value, at, order);
        apply(&mut self.aux, at, order);
        apply(&mut self.direction, at, order);
        apply(&mut self.ret, at, order);
        apply(&mut self.gpu, at, order);
        apply(&mut self.rank, at, order);
        apply(&mut self.cgroup, at, order);
        apply(&mut self.runnable, at, order);
        apply(&mut self.uninterruptible, at, order);
    }

    /// Splits off the rows from position `at` on.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        fn cut<T>(column: &mut Vec<T>, at: usize) -> Vec<T> {
            if column.is_empty() {
                Vec::new()
            } else {
                column.split_off(at)
            }
        }
        let mut rest = Self::new(self.key, self.file);
        rest.keep = self.keep;
        rest.start = cut(&mut self.start, at);
        rest.dur = cut(&mut self.dur, at);
        rest.row = cut(&mut self.row, at);
        rest.value = cut(&mut self.value, at);
        rest.aux = cut(&mut self.aux, at);
        rest.direction = cut(&mut self.direction, at);
        rest.ret = cut(&mut self.ret, at);
        rest.gpu = cut(&mut self.gpu, at);
        rest.rank = cut(&mut self.rank, at);
        rest.cgroup = cut(&mut self.cgroup, at);
        rest.runnable = cut(&mut self.runnable, at);
        rest.uninterruptible = cut(&mut self.uninterruptible, at);
        rest.sorted = self.sorted;
        for part in [&mut *self, &mut rest] {
            part.rows = part.len() as u64;
            part.first = part.start.first().copied().unwrap_or(i64::MAX);
            part.last = (0..part.len()).map(|i| part.end(i)).max().unwrap_or(i64::MIN);
            part.sample = part.row.last().copied().unwrap_or(0);
        }
        rest
    }
}

/// Fills the shorter of two columns where only one of them was needed so far.
fn pad<T: Copy>(a: &mut Vec<T>, a_len: usize, b: &mut Vec<T>, b_len: usize, zero: T) {
    if a.is_empty() && b.is_empty() {
        return;
    }
    a.resize(a_len, zero);
    b.resize(b_len, zero);
    a.append(b);
}

pub(crate) fn to_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// One row, decoded.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Row {
    pub(crate) rowid: i64,
    pub(crate) timestamp: i64,
    pub(crate) duration: i64,
    pub(crate) pid: i64,
    pub(crate) tid: i64,
    pub(crate) source: i64,
    pub(crate) op: i64,
    pub(crate) arg0: i64,
    pub(crate) arg1: i64,
    pub(crate) ret: i64,
    pub(crate) gpu: i64,
    pub(crate) rank: Option<i64>,
    pub(crate) cgroup: i64,
    pub(crate) node: FileNode,
}

const SOURCES: usize = 16;
const OP_IDS: usize = 256;
const NO_OP: u16 = u16::MAX;

/// Which op is meant by (source, op) and how its rows are kept.
#[derive(Clone, Debug)]
pub(crate) struct Shapes {
    by_ids: Vec<u16>,
    by_op: Vec<Shape>,
    /// Lanes that are kept whatever their operation.
    lanes: BTreeSet<(i64, i64, Op)>,
    /// Whether any rows are kept with columns that are rarely wanted.
    extras: bool,
}

impl Shapes {
    pub(crate) fn new(needs: &Needs) -> Self {
        let mut by_ids = vec![NO_OP; SOURCES * OP_IDS];
        for op in Op::all() {
            let d = op.def();
            let (s, o) = (usize::from(d.source_id), usize::from(d.op_id));
            if s != 0 && s < SOURCES && o < OP_IDS {
                by_ids[s * OP_IDS + o] = op.0;
            }
        }
        debug_assert_eq!(
            by_ids.iter().filter(|&&o| o != NO_OP).count(),
            OPS.iter().filter(|d| d.source_id != 0).count()
        );
        Self {
            by_ids,
            extras: needs.ret || needs.gpu || needs.rank || needs.cgroup,
            by_op: Op::all().map(|op| Shape::of(op, needs)).collect(),
            lanes: needs.lanes.clone(),
        }
    }

    fn find(&self, source: i64, op: i64) -> Option<Op> {
        let (s, o) = (usize::try_from(source).ok()?, usize::try_from(op).ok()?);
        if s >= SOURCES || o >= OP_IDS {
            return None;
        }
        let op = self.by_ids[s * OP_IDS + o];
        (op != NO_OP).then_some(Op(op))
    }
}

/// Collects the rows of one range. The only thing that a source of rows has to feed.
///
/// Rows are staged and handed to their lanes some thousands at a time: lanes are many and each has
/// several columns, so writing to all of them in turn would miss the caches with every value.
#[derive(Debug)]
pub(crate) struct RowSink {
    shapes: Arc<Shapes>,
    file: u32,
    base: i64,
    index: FxHashMap<RawKey, u32>,
    recent: Vec<(RawKey, u32)>,
    lanes: Vec<RawLane>,
    staged: Vec<Staged>,
    /// As long as `staged`, or empty where nobody wants them.
    extras: Vec<Extras>,
    /// By lane: how many of the staged rows are its own.
    pending: Vec<u32>,
    /// Lanes that have some.
    touched: Vec<u32>,
    order: Vec<u32>,
    pub(crate) rows: u64,
    pub(crate) unknown: u64,
    /// How many rows are still to come, as far as the source can tell.
    pub(crate) left: Option<u64>,
}

/// A row on its way to its lane.
#[derive(Clone, Copy, Debug)]
struct Staged {
    timestamp: i64,
    duration: i64,
    arg0: i64,
    arg1: i64,
    offset: u32,
    lane: u32,
}

/// Columns of a row that are rarely wanted.
#[derive(Clone, Copy, Debug)]
struct Extras {
    cgroup: i64,
    ret: i32,
    gpu: i32,
    rank: i32,
}

/// Rows that are staged at most: together they stay in the cache of a core.
const STAGED: usize = 16_384;

/// Events of a few threads alternate: remembering some keys saves most look-ups.
const RECENT: usize = 2048;
const NOBODY: (RawKey, u32) = (
    RawKey {
        node: 0,
        pid: 0,
        tid: 0,
        op: Op(NO_OP),
    },
    0,
);

impl RowSink {
    pub(crate) fn new(shapes: Arc<Shapes>, file: u32, base: i64) -> Self {
        Self {
            shapes,
            file,
            base,
            index: FxHashMap::default(),
            recent: vec![NOBODY; RECENT],
            lanes: Vec::new(),
            staged: Vec::with_capacity(STAGED),
            extras: Vec::new(),
            pending: Vec::new(),
            touched: Vec::new(),
            order: Vec::new(),
            rows: 0,
            unknown: 0,
            left: None,
        }
    }

    #[inline]
    fn lane(&mut self, key: RawKey) -> u32 {
        // Thread ids and ops are small and close together: multiplied by a large odd number, their
        // differences reach the upper bits, which choose the slot.
        let mixed = (key.tid.cast_unsigned() << 8 ^ u64::from(key.op.0)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let slot = usize::try_from(mixed >> (64 - RECENT.trailing_zeros())).unwrap_or(0);
        let (recent, at) = self.recent[slot];
        if recent == key {
            return at;
        }
        let at = *self.index.entry(key).or_insert_with(|| {
            let mut lane = RawLane::new(key, self.file);
            let shape = &self.shapes.by_op[usize::from(key.op.0)];
            lane.keep = shape.keep || self.shapes.lanes.contains(&(key.pid, key.tid, key.op));
            self.lanes.push(lane);
            self.pending.push(0);
            to_u32(self.lanes.len() - 1)
        });
        self.recent[slot] = (key, at);
        at
    }

    /// Takes a row.
    #[inline]
    pub(crate) fn push(&mut self, row: &Row) {
        self.rows += 1;
        let Some(op) = self.shapes.find(row.source, row.op) else {
            self.unknown += u64::from(!told_by_xids(row.source, row.op));
            return;
        };
        let lane = self.lane(RawKey {
            node: row.node,
            pid: row.pid,
            tid: row.tid,
            op,
        });
        let pending = &mut self.pending[lane as usize];
        if *pending == 0 {
            self.touched.push(lane);
        }
        *pending += 1;
        self.staged.push(Staged {
            timestamp: row.timestamp,
            duration: row.duration,
            arg0: row.arg0,
            arg1: row.arg1,
            offset: u32::try_from(row.rowid.wrapping_sub(self.base)).unwrap_or(u32::MAX),
            lane,
        });
        if self.shapes.extras {
            self.extras.push(Extras {
                cgroup: row.cgroup,
                ret: narrow(row.ret),
                gpu: narrow(row.gpu),
                rank: row.rank.map_or(-1, narrow),
            });
        }
        if self.staged.len() == STAGED {
            self.hand_over();
        }
    }

    /// The lanes with all rows.
    pub(crate) fn into_lanes(mut self) -> Vec<RawLane> {
        self.hand_over();
        self.lanes
    }

    /// Hands the staged rows to their lanes, in the order in which they came.
    #[inline(never)]
    fn hand_over(&mut self) {
        // Counted by lane, so each row knows its place among those of all lanes.
        let mut next = 0;
        for &lane in &self.touched {
            let pending = &mut self.pending[lane as usize];
            next += std::mem::replace(pending, next);
        }
        self.order.clear();
        self.order.resize(self.staged.len(), 0);
        for (i, row) in self.staged.iter().enumerate() {
            let place = &mut self.pending[row.lane as usize];
            self.order[*place as usize] = to_u32(i);
            *place += 1;
        }
        let growth = Growth {
            rows: self.rows.max(1),
            left: self.left,
        };
        let mut from = 0;
        for &lane in &self.touched {
            let to = std::mem::take(&mut self.pending[lane as usize]) as usize;
            let lane = &mut self.lanes[lane as usize];
            let shape = self.shapes.by_op[usize::from(lane.key.op.0)];
            lane.take(&shape, &self.staged, &self.extras, &self.order[from..to], growth);
            from = to;
        }
        self.touched.clear();
        self.staged.clear();
        self.extras.clear();
    }
}

/// How far a range has been read.
#[derive(Clone, Copy, Debug)]
struct Growth {
    rows: u64,
    left: Option<u64>,
}

impl Growth {
    /// How many values a column of that length will still get: its share of the rows to come, and a
    /// little for chance. At most four times what it has, as the past may be no guide.
    fn of(self, len: usize) -> usize {
        let Some(left) = self.left else { return len / 2 };
        let more = u128::from(left) * len as u128 / u128::from(self.rows);
        let more = usize::try_from(more).unwrap_or(usize::MAX);
        more.min(4 * len) + more.min(4 * len) / 32 + 64
    }

    /// Adds values to a column. Doubling it where there is no room would leave more unused.
    fn extend<T>(self, column: &mut Vec<T>, values: impl ExactSizeIterator<Item = T>) {
        let more = values.len();
        if column.capacity() - column.len() < more {
            column.reserve_exact(more + self.of(column.len() + more));
        }
        column.extend(values);
    }
}

impl RawLane {
    /// Takes some of the staged rows.
    fn take(&mut self, shape: &Shape, staged: &[Staged], extras: &[Extras], which: &[u32], growth: Growth) {
        let rows = || which.iter().map(|&i| &staged[i as usize]);
        let interval = |r: &Staged| anchor::interval(shape.anchor, r.timestamp, r.duration);
        self.rows += which.len() as u64;
        if let Some(last) = rows().next_back() {
            self.sample = last.offset;
        }
        let (mut first, mut last) = (self.first, self.last);
        if !self.keep {
            self.tally(rows().map(|r| {
                let (start, dur) = interval(r);
                first = first.min(start);
                last = last.max(start.saturating_add(dur));
                (r.timestamp, dur)
            }));
            (self.first, self.last) = (first, last);
            return;
        }
        let n = self.start.len();
        let mut before = self.start.last().copied().unwrap_or(i64::MIN);
        let mut sorted = self.sorted;
        growth.extend(
            &mut self.start,
            rows().map(|r| {
                let (start, dur) = interval(r);
                first = first.min(start);
                last = last.max(start.saturating_add(dur));
                sorted &= before <= start;
                before = start;
                start
            }),
        );
        (self.first, self.last, self.sorted) = (first, last, sorted);
        growth.extend(&mut self.dur, rows().map(|r| interval(r).1));
        growth.extend(&mut self.row, rows().map(|r| r.offset));
        match shape.value {
            Arg::None => {}
            Arg::Arg0 => growth.extend(&mut self.value, rows().map(|r| r.arg0)),
            Arg::Arg1 => growth.extend(&mut self.value, rows().map(|r| r.arg1)),
            Arg::Sectors => growth.extend(&mut self.value, rows().map(|r| r.arg0.saturating_mul(512))),
        }
        match shape.aux {
            Arg::Arg0 => growth.extend(&mut self.aux, rows().map(|r| r.arg0)),
            Arg::Arg1 => growth.extend(&mut self.aux, rows().map(|r| r.arg1)),
            Arg::None | Arg::Sectors => {}
        }
        match shape.direction {
            Direction::None => {}
            Direction::Always(d) => self.direction.resize(n + which.len(), d),
            Direction::Kind => growth.extend(
                &mut self.direction,
                rows().map(|r| u8::try_from(r.arg1).map_or(UNKNOWN_DIRECTION, |d| d.min(UNKNOWN_DIRECTION))),
            ),
        }
        let rows = || which.iter().map(|&i| &extras[i as usize]);
        if shape.ret && (!self.ret.is_empty() || rows().any(|r| r.ret != 0)) {
            self.ret.resize(n, 0);
            growth.extend(&mut self.ret, rows().map(|r| r.ret));
        }
        if shape.gpu {
            growth.extend(&mut self.gpu, rows().map(|r| r.gpu));
        }
        if shape.rank {
            growth.extend(&mut self.rank, rows().map(|r| r.rank));
        }
        if shape.cgroup {
            growth.extend(&mut self.cgroup, rows().map(|r| r.cgroup));
        }
    }

    /// Counts rows that are not kept: pairs of timestamp and duration.
    fn tally(&mut self, rows: impl Iterator<Item = (i64, i64)>) {
        let mut now: Option<(i64, Tally)> = None;
        for (timestamp, dur) in rows {
            let bucket = timestamp.div_euclid(FIVE_SECONDS);
            if let Some((at, tally)) = &mut now
                && *at == bucket
            {
                tally.add(dur);
                continue;
            }
            let mut tally = Tally::NONE;
            tally.add(dur);
            if let Some((at, done)) = now.replace((bucket, tally)) {
                self.tallies.entry(at).or_insert(Tally::NONE).merge(done);
            }
        }
        if let Some((at, done)) = now {
            self.tallies.entry(at).or_insert(Tally::NONE).merge(done);
        }
    }
}

fn narrow(v: i64) -> i32 {
    i32::try_from(v).unwrap_or(if v < 0 { i32::MIN } else { i32::MAX })
}
