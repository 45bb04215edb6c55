//! Rows straight from the pages of the file, several times faster than through SQLite.
//!
//! The b-tree of `events` is walked down to the list of its leaves; each thread then reads leaves in
//! large pieces and takes from each record only the columns that are wanted. That is allowed where
//! the file holds everything that was committed, and nobody writes to it meanwhile (see
//! [`Opened::page_file`]).
//!
//! This reader knows only what is usual. It checks at least what SQLite checks, and whatever it does
//! not expect (a value of another type, a damaged page, UTF-16) makes it give up ([`Unfit`]):
//! then SQLite reads the file, and says what is wrong with it.

mod record;

use std::borrow::Cow;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::Connection;

use super::columns::RowSink;
use super::open::{MAGIC, Opened};
use super::scan::{Job, NodeNames, REPORT_EVERY, Range, RowSource};
use record::{Declared, Layout, PAD, Plan, varint};

/// Why the pages cannot be read here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unfit(Cow<'static, str>);

impl Unfit {
    pub(crate) fn new(why: &'static str) -> Self {
        Self(Cow::Borrowed(why))
    }

    #[cold]
    fn at_page(what: &str, page: u32) -> Self {
        Self(format!("page {page}: {what}").into())
    }

    #[cold]
    fn at_row(what: &str, row: i64) -> Self {
        Self(format!("row {row}: {what}").into())
    }

    fn sql(error: &rusqlite::Error) -> Self {
        Self(error.to_string().into())
    }

    fn io(error: &std::io::Error) -> Self {
        Self(error.to_string().into())
    }
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Bytes read at once. They stay in the cache of a core until they are decoded.
const PIECE: usize = 256 * 1024;
/// Pages of other tables that are read along rather than skipped.
const GAP: u32 = 2;
/// Levels of a tree, more than a file of any size needs.
const MAX_DEPTH: usize = 20;
const LEAF: u8 = 13;
const INTERIOR: u8 = 5;
/// The page that holds this byte is used for locks only.
const LOCK_BYTE: u64 = 1 << 30;

/// A leaf and the largest row number that it may hold.
#[derive(Clone, Copy, Debug)]
struct Leaf {
    page: u32,
    last: i64,
}

/// The sizes that all pages share.
#[derive(Clone, Copy, Debug)]
struct Geometry {
    page_size: usize,
    /// Without the bytes reserved at the end.
    usable: usize,
    pages: u32,
    /// Whether some pages say of each other page what it belongs to.
    maps: bool,
}

/// Rows of `events`, from its pages.
#[derive(Debug)]
pub(crate) struct PageRows<'a> {
    file: &'a File,
    geometry: Geometry,
    plan: Plan,
    leaves: Vec<Leaf>,
}

impl<'a> PageRows<'a> {
    /// Looks at the header and walks the tree. `conn` sees the same file.
    pub(crate) fn open(opened: &'a Opened, conn: &Connection, job: &Job) -> Result<Self, Unfit> {
        let file = opened.page_file()?;
        let geometry = Geometry::read(file, conn)?;
        let (root, table) = table(conn)?;
        let plan = Plan::new(&table, &job.columns)?;
        let leaves = Walk::new(file, geometry).leaves(root)?;
        let rows = Self {
            file,
            geometry,
            plan,
            leaves,
        };
        Ok(rows)
    }

    /// Cuts the rows from `low` to `high` into about as many parts, each a number of whole leaves.
    pub(crate) fn ranges(&self, low: i64, high: i64, parts: usize) -> Vec<(i64, i64)> {
        let size = self.leaves.len().div_ceil(parts.max(1)).max(1);
        let mut out = Vec::new();
        let mut from = low;
        for part in self.leaves.chunks(size) {
            let to = part.last().map_or(high, |l| l.last.min(high));
            if from <= to {
                out.push((from, to));
                from = to.saturating_add(1);
            }
        }
        out
    }

    fn first_row(&self, leaf: Leaf, last: bool) -> Result<i64, Unfit> {
        let page = read_page(self.file, self.geometry, leaf.page)?;
        let n = be16(&page, 3).unwrap_or(0);
        let i = if last { n.saturating_sub(1) } else { 0 };
        let cell = be16(&page, 8 + 2 * i).filter(|_| n > 0);
        let rowid = cell
            .and_then(|cell| varint(&page, cell))
            .and_then(|(_, at)| varint(&page, at));
        rowid
            .map(|(id, _)| id.cast_signed())
            .ok_or_else(|| Unfit::at_page("no rows", leaf.page))
    }
}

impl RowSource for PageRows<'_> {
    type Error = Unfit;

    fn bounds(&self) -> Result<Option<(i64, i64)>, Unfit> {
        let (Some(&first), Some(&last)) = (self.leaves.first(), self.leaves.last()) else {
            return Ok(None);
        };
        Ok(Some((self.first_row(first, false)?, self.first_row(last, true)?)))
    }

    fn scan(&self, from: i64, to: i64, job: &Job) -> Result<Range, Unfit> {
        let begin = self.leaves.partition_point(|l| l.last < from);
        let end = self.leaves.partition_point(|l| l.last < to) + 1;
        let leaves = self.leaves.get(begin..end.min(self.leaves.len())).unwrap_or(&[]);
        let mut taking = Taking {
            geometry: self.geometry,
            file: self.file,
            layout: Layout::new(&self.plan),
            sink: RowSink::new(Arc::clone(&job.shapes), job.file, job.base),
            names: NodeNames::default(),
            spilled: Vec::new(),
            before: begin.checked_sub(1).map_or(i64::MIN, |i| self.leaves[i].last),
            from,
            to,
        };
        let page_size = self.geometry.page_size;
        let most = (PIECE / page_size).max(1);
        let mut buffer = vec![0; most * page_size + PAD];
        let mut reported = 0;
        let mut rest = leaves;
        while let Some(first) = rest.first() {
            let within = u32::try_from(most).unwrap_or(1);
            let n = rest
                .windows(2)
                .take_while(|w| {
                    let (a, b) = (w[0].page, w[1].page);
                    b > a && b - a <= GAP + 1 && b - first.page < within
                })
                .count()
                + 1;
            let (run, behind) = rest.split_at(n);
            rest = behind;
            let pages = run.last().map_or(1, |l| l.page - first.page + 1) as usize;
            let bytes = buffer
                .get_mut(..pages * page_size)
                .ok_or(Unfit::new("a piece of no size"))?;
            read_at(self.file, bytes, self.geometry.offset(first.page))?;
            for leaf in run {
                let at = (leaf.page - first.page) as usize * page_size;
                let page = buffer
                    .get(at..at + page_size + PAD)
                    .ok_or(Unfit::new("a piece of no size"))?;
                taking.leaf(page, *leaf)?;
            }
            let (done, to_do) = (leaves.len() - rest.len(), rest.len());
            taking.sink.left = Some(taking.sink.rows * to_do as u64 / done as u64);
            let due = taking.sink.rows / REPORT_EVERY * REPORT_EVERY;
            job.done.fetch_add(due - reported, Ordering::Relaxed);
            reported = due;
        }
        Ok(Range {
            rows: taking.sink.rows,
            unknown: taking.sink.unknown,
            lanes: taking.sink.into_lanes(),
            nodes: taking.names.names,
        })
    }
}

/// The state of one scan.
struct Taking<'a> {
    geometry: Geometry,
    file: &'a File,
    layout: Layout<'a>,
    sink: RowSink,
    names: NodeNames,
    /// The beginning of a record that spills over to other pages.
    spilled: Vec<u8>,
    /// The largest row number so far.
    before: i64,
    from: i64,
    to: i64,
}

impl Taking<'_> {
    /// Takes the rows of a leaf. `page` reaches [`PAD`] bytes beyond it.
    #[inline]
    fn leaf(&mut self, page: &[u8], leaf: Leaf) -> Result<(), Unfit> {
        let damaged = || Unfit::at_page("not a sound leaf", leaf.page);
        let usable = self.geometry.usable;
        let n = be16(page, 3).ok_or_else(damaged)?;
        let first = 8 + 2 * n;
        if page[0] != LEAF || n == 0 || n > (usable - 8) / 6 {
            return Err(damaged());
        }
        let pointers = page.get(8..first).ok_or_else(damaged)?;
        for pointer in pointers.chunks_exact(2) {
            let cell = usize::from(u16::from_be_bytes([pointer[0], pointer[1]]));
            if cell < first || cell > usable - 4 {
                return Err(damaged());
            }
            let (payload, at) = varint(page, cell).ok_or_else(damaged)?;
            let (rowid, body) = varint(page, at).ok_or_else(damaged)?;
            let rowid = rowid.cast_signed();
            if rowid <= self.before || rowid > leaf.last {
                return Err(damaged());
            }
            self.before = rowid;
            let payload = usize::try_from(payload).map_err(|_| damaged())?;
            if payload <= usable - 35 {
                if body + payload > usable {
                    return Err(damaged());
                }
                if rowid < self.from || rowid > self.to {
                    continue;
                }
                let record = page.get(body..body + payload + PAD).ok_or_else(damaged)?;
                if let Some(row) = self.layout.usual(record, payload, rowid) {
                    self.sink.push(&row);
                    continue;
                }
                self.layout.parse(record, payload).ok_or_else(damaged)?;
                let row = self.layout.row(record, rowid, &mut self.names)?;
                self.sink.push(&row);
            } else {
                self.spilled(page, body, payload, rowid, leaf.page)?;
            }
        }
        self.before = leaf.last;
        Ok(())
    }

    /// Takes a row whose record continues on other pages.
    #[cold]
    fn spilled(&mut self, page: &[u8], body: usize, payload: usize, rowid: i64, at: u32) -> Result<(), Unfit> {
        let damaged = || Unfit::at_page("a record that does not end where it should", at);
        let usable = self.geometry.usable;
        if payload as u64 > u64::from(self.geometry.pages) * usable as u64 || payload > i32::MAX as usize {
            return Err(damaged());
        }
        let least = (usable - 12) * 32 / 255 - 23;
        let spread = least + (payload - least) % (usable - 4);
        let local = if spread <= usable - 35 { spread } else { least };
        let here = page.get(body..body + local + 4).ok_or_else(damaged)?;
        if body + local + 4 > usable {
            return Err(damaged());
        }
        if rowid < self.from || rowid > self.to {
            return Ok(());
        }
        let (here, next) = here.split_at(local);
        let mut chain = Chain {
            file: self.file,
            geometry: self.geometry,
            before: at,
            first: true,
            next: be32(next, 0).ok_or_else(damaged)?,
        };
        self.spilled.clear();
        self.spilled.extend_from_slice(here);
        let header = Layout::header_len(&self.spilled).ok_or_else(damaged)?;
        // SQLite takes no longer header either.
        if header > payload.min(98_307) {
            return Err(damaged());
        }
        chain.extend(&mut self.spilled, header, payload)?;
        let end = self.layout.parse(&self.spilled, payload).ok_or_else(damaged)?;
        chain.extend(&mut self.spilled, end, payload)?;
        self.spilled.resize(self.spilled.len() + PAD, 0);
        let row = self.layout.row(&self.spilled, rowid, &mut self.names)?;
        self.sink.push(&row);
        Ok(())
    }
}

/// Overflow pages of a record.
struct Chain<'a> {
    file: &'a File,
    geometry: Geometry,
    /// The page that named the next one.
    before: u32,
    /// Whether that was the leaf.
    first: bool,
    next: u32,
}

impl Chain<'_> {
    /// Makes `record` at least `len` bytes long.
    fn extend(&mut self, record: &mut Vec<u8>, len: usize, payload: usize) -> Result<(), Unfit> {
        while record.len() < len {
            let page = read_page(self.file, self.geometry, self.next)?;
            self.check_map()?;
            let take = (payload - record.len()).min(self.geometry.usable - 4);
            let more = page.get(4..4 + take).ok_or(Unfit::new("a page of no size"))?;
            record.extend_from_slice(more);
            self.before = self.next;
            self.first = false;
            self.next = be32(&page, 0).unwrap_or(0);
        }
        Ok(())
    }

    /// Where there are maps, SQLite follows them rather than the links: both must say the same.
    fn check_map(&self) -> Result<(), Unfit> {
        const FIRST: u8 = 3;
        const FURTHER: u8 = 4;
        if !self.geometry.maps {
            return Ok(());
        }
        let expected = (if self.first { FIRST } else { FURTHER }, self.before);
        // SQLite tries the page behind the last one first.
        let mut guess = self.before + 1;
        while self.geometry.map_of(guess) == guess || !self.geometry.holds(guess) && guess <= self.geometry.pages {
            guess += 1;
        }
        let elsewhere = !self.first
            && guess != self.next
            && guess <= self.geometry.pages
            && self.owner(guess)? == (FURTHER, self.before);
        if elsewhere || self.owner(self.next)? != expected {
            return Err(Unfit::at_page("its map disagrees", self.next));
        }
        Ok(())
    }

    /// What the map says of a page: its kind, and the page that names it.
    fn owner(&self, page: u32) -> Result<(u8, u32), Unfit> {
        let map = self.geometry.map_of(page);
        let entry = page
            .checked_sub(map + 1)
            .ok_or_else(|| Unfit::at_page("is a map", page))?;
        let mut bytes = [0; 5];
        read_at(self.file, &mut bytes, self.geometry.offset(map) + 5 * u64::from(entry))?;
        Ok((bytes[0], be32(&bytes, 1).unwrap_or(0)))
    }
}

impl Geometry {
    fn read(file: &File, conn: &Connection) -> Result<Self, Unfit> {
        let mut header = [0; 100];
        read_at(file, &mut header, 0)?;
        let page_size = match be16(&header, 16).unwrap_or(0) {
            1 => 65_536,
            n => n,
        };
        let reserved = usize::from(header[20]);
        let known = header.starts_with(MAGIC)
            && (512..=65_536).contains(&page_size)
            && page_size.is_power_of_two()
            && page_size - reserved >= 480
            && matches!(header[18], 1 | 2)
            && matches!(header[19], 1 | 2)
            && header[21..24] == [64, 32, 32]
            && matches!(be32(&header, 44), Some(1..=4));
        if !known {
            return Err(Unfit::new("an unusual file header"));
        }
        if be32(&header, 56) != Some(1) {
            return Err(Unfit::new("its text is not UTF-8"));
        }
        let pragma = |name: &str| {
            conn.query_row(&format!("PRAGMA main.{name}"), [], |r| r.get::<_, i64>(0))
                .map_err(|e| Unfit::sql(&e))
        };
        // That both see the same file.
        let same = i64::try_from(page_size) == Ok(pragma("page_size")?)
            && be32(&header, 40).map(u32::cast_signed).map(i64::from) == Some(pragma("schema_version")?);
        if !same {
            return Err(Unfit::new("another file came in its place"));
        }
        Ok(Self {
            page_size,
            usable: page_size - reserved,
            maps: be32(&header, 52) != Some(0),
            pages: u32::try_from(pragma("page_count")?).map_err(|_| Unfit::new("an unusual file header"))?,
        })
    }

    fn offset(self, page: u32) -> u64 {
        u64::from(page - 1) * self.page_size as u64
    }

    /// The page with the map that a page is in; a map is in its own. Pages are at least number 2.
    fn map_of(self, page: u32) -> u32 {
        let each = u32::try_from(self.usable / 5 + 1).unwrap_or(u32::MAX);
        let map = page.saturating_sub(2) / each * each + 2;
        if self.is_for_locks(map) { map + 1 } else { map }
    }

    fn is_for_locks(self, page: u32) -> bool {
        self.offset(page) == LOCK_BYTE / self.page_size as u64 * self.page_size as u64
    }

    /// Whether a table may use the page.
    fn holds(self, page: u32) -> bool {
        (2..=self.pages).contains(&page) && !self.is_for_locks(page)
    }
}

/// The root page and the columns of `events`.
fn table(conn: &Connection) -> Result<(u32, Vec<Declared>), Unfit> {
    let sql = |e: rusqlite::Error| Unfit::sql(&e);
    let mut stmt = conn
        .prepare("SELECT rootpage FROM main.sqlite_schema WHERE type = 'table' AND lower(name) = 'events'")
        .map_err(sql)?;
    let roots: Vec<u32> = stmt
        .query_map([], |r| r.get(0))
        .and_then(Iterator::collect)
        .map_err(sql)?;
    let [root] = roots[..] else {
        return Err(Unfit::new("the table has no root page of its own"));
    };
    let mut stmt = conn
        .prepare("SELECT name, type, dflt_value, pk, hidden FROM pragma_table_xinfo('events', 'main') ORDER BY cid")
        .map_err(sql)?;
    let mut table = Vec::new();
    let mut rows = stmt.query([]).map_err(sql)?;
    while let Some(row) = rows.next().map_err(sql)? {
        if row.get::<_, i64>(4).map_err(sql)? != 0 {
            return Err(Unfit::new("the table has computed columns"));
        }
        let declared = Declared {
            name: row.get(0).map_err(sql)?,
            ty: row.get(1).map_err(sql)?,
            default: row.get(2).map_err(sql)?,
            primary_key: row.get::<_, i64>(3).map_err(sql)? != 0,
        };
        if declared.name.eq_ignore_ascii_case("rowid") {
            return Err(Unfit::new("a column is named rowid"));
        }
        table.push(declared);
    }
    Ok((root, table))
}

/// The way from the root to the leaves.
struct Walk<'a> {
    file: &'a File,
    geometry: Geometry,
    /// One bit for each page.
    seen: Vec<u64>,
    leaves: Vec<Leaf>,
}

impl<'a> Walk<'a> {
    fn new(file: &'a File, geometry: Geometry) -> Self {
        Self {
            file,
            geometry,
            seen: vec![0; geometry.pages as usize / 64 + 1],
            leaves: Vec::new(),
        }
    }

    fn leaves(mut self, root: u32) -> Result<Vec<Leaf>, Unfit> {
        // All leaves are equally deep: the leftmost one tells.
        let mut page = root;
        for depth in 0..MAX_DEPTH {
            let bytes = self.page(page)?;
            match bytes[0] {
                LEAF => {
                    self.below(root, depth, i64::MIN, i64::MAX)?;
                    return Ok(self.leaves);
                }
                INTERIOR => {
                    page = be16(&bytes, 12)
                        .and_then(|cell| be32(&bytes, cell))
                        .ok_or_else(|| Unfit::at_page("no left child", page))?;
                }
                _ => return Err(Unfit::at_page("not a page of a table", page)),
            }
        }
        Err(Unfit::at_page("the tree is too deep", root))
    }

    fn page(&self, page: u32) -> Result<Vec<u8>, Unfit> {
        read_page(self.file, self.geometry, page)
    }

    /// Adds the leaves below a page, `depth` levels further down. They hold the row numbers behind
    /// `after` up to `last`.
    fn below(&mut self, page: u32, depth: usize, after: i64, last: i64) -> Result<(), Unfit> {
        if !self.geometry.holds(page) {
            return Err(Unfit::at_page("outside of the file", page));
        }
        let (word, bit) = (page as usize / 64, 1 << (page % 64));
        if self.seen[word] & bit != 0 {
            return Err(Unfit::at_page("used twice", page));
        }
        self.seen[word] |= bit;
        let Some(depth) = depth.checked_sub(1) else {
            self.leaves.push(Leaf { page, last });
            return Ok(());
        };
        let damaged = || Unfit::at_page("not a sound page of a tree", page);
        let bytes = self.page(page)?;
        let usable = self.geometry.usable;
        let n = be16(&bytes, 3).ok_or_else(damaged)?;
        if bytes[0] != INTERIOR || n == 0 || n > (usable - 8) / 6 {
            return Err(damaged());
        }
        let mut after = after;
        for i in 0..n {
            let cell = be16(&bytes, 12 + 2 * i)
                .filter(|&c| c >= 12 + 2 * n && c <= usable - 5)
                .ok_or_else(damaged)?;
            let child = be32(&bytes, cell).ok_or_else(damaged)?;
            let (key, end) = varint(&bytes, cell + 4).ok_or_else(damaged)?;
            let key = key.cast_signed();
            if end > usable || key <= after || key > last {
                return Err(damaged());
            }
            self.below(child, depth, after, key)?;
            after = key;
        }
        self.below(be32(&bytes, 8).ok_or_else(damaged)?, depth, after, last)
    }
}

fn read_page(file: &File, geometry: Geometry, page: u32) -> Result<Vec<u8>, Unfit> {
    if !geometry.holds(page) {
        return Err(Unfit::at_page("outside of the file", page));
    }
    let mut bytes = vec![0; geometry.page_size];
    read_at(file, &mut bytes, geometry.offset(page))?;
    Ok(bytes)
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> Result<(), Unfit> {
    use std::os::unix::fs::FileExt as _;
    file.read_exact_at(bytes, at).map_err(|e| Unfit::io(&e))
}

#[cfg(not(unix))]
fn read_at(_: &File, _: &mut [u8], _: u64) -> Result<(), Unfit> {
    Err(Unfit::io(&std::io::ErrorKind::Unsupported.into()))
}

fn be16(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?)))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}
