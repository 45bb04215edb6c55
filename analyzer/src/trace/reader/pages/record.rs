//! Records: where the wanted columns of a row are, and their values.
//!
//! A record is a header of serial types, one for each column, and the values behind it. Only the
//! columns up to the last wanted one are looked at, and only wanted values are decoded.

use super::super::columns::Row;
use super::super::scan::{Column, NodeNames};
use super::Unfit;

/// Columns of the table that can be looked at; a wanted one behind them is left to SQLite.
const MAX_COLUMNS: usize = 64;
/// A position that always holds the integer 0, for columns that are not wanted or not there.
const ZERO: usize = MAX_COLUMNS;
const SLOTS: usize = MAX_COLUMNS + 2;

/// Bytes that may be looked at behind a value: integers are cut out of eight bytes.
pub(super) const PAD: usize = 8;

const NULL: u8 = 0;
const CONSTANT_0: u8 = 8;
const BLOB: u8 = 12;
const TEXT: u8 = 13;
/// Not in files: the record ends before the column, and its default counts.
const ABSENT: u8 = 0x80;

/// Bytes of a value by serial type, for types of one byte.
const SIZE: [u8; 256] = {
    let mut size = [0; 256];
    let small = [0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0];
    let mut i = 0_u8;
    while i < 0x80 {
        size[i as usize] = if i < BLOB { small[i as usize] } else { (i - BLOB) / 2 };
        i += 1;
    }
    size
};

/// How to cut an integer out of eight bytes.
#[derive(Clone, Copy)]
struct Cut {
    shift: u32,
    mask: i64,
    add: i64,
    /// Not 0 where it is no integer.
    odd: u8,
}

const CUT: [Cut; 256] = {
    let mut cut = [Cut {
        shift: 0,
        mask: 0,
        add: 0,
        odd: 1,
    }; 256];
    let mut t = 1;
    while t <= 6 {
        cut[t] = Cut {
            shift: 64 - 8 * SIZE[t] as u32,
            mask: -1,
            add: 0,
            odd: 0,
        };
        t += 1;
    }
    cut[8].odd = 0;
    cut[9].odd = 0;
    cut[9].add = 1;
    cut
};

/// Reads the varint at a position; its value and the position behind it.
#[inline]
pub(super) fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let first = *bytes.get(at)?;
    if first < 0x80 {
        return Some((u64::from(first), at + 1));
    }
    let mut value = u64::from(first & 0x7F);
    for i in 1..8 {
        let b = *bytes.get(at + i)?;
        value = value << 7 | u64::from(b & 0x7F);
        if b < 0x80 {
            return Some((value, at + i + 1));
        }
    }
    Some((value << 8 | u64::from(*bytes.get(at + 8)?), at + 9))
}

/// The value of a column of which a record says nothing, because it was added later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Default {
    Null,
    Integer(i64),
    Text(Vec<u8>),
    /// Only SQLite can tell.
    Unknown,
}

/// What the table says about a column.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    pub(super) name: String,
    pub(super) ty: String,
    pub(super) default: Option<String>,
    pub(super) primary_key: bool,
}

impl Declared {
    /// The value that SQLite puts in place of a missing one: only plain literals of a type that the
    /// column does not convert.
    fn default(&self) -> Default {
        let Some(text) = self.default.as_deref().map(str::trim) else {
            return Default::Null;
        };
        let ty = self.ty.to_ascii_uppercase();
        let integer = ty.contains("INT") || ty.is_empty();
        let textual = !ty.contains("INT") && ["TEXT", "CHAR", "CLOB"].iter().any(|t| ty.contains(t));
        if text.eq_ignore_ascii_case("null") {
            Default::Null
        } else if let (true, Ok(n)) = (integer, text.parse::<i64>()) {
            Default::Integer(n)
        } else if let (true, Some(inner)) = (textual, text.strip_prefix('\'').and_then(|t| t.strip_suffix('\''))) {
            let plain = inner.replace("''", "");
            if plain.contains('\'') {
                return Default::Unknown;
            }
            Default::Text(inner.replace("''", "'").into_bytes())
        } else {
            Default::Unknown
        }
    }

    /// Whether values are converted when they are read.
    fn converts(&self) -> bool {
        let ty = self.ty.to_ascii_uppercase();
        ["REAL", "FLOA", "DOUB"].iter().any(|t| ty.contains(t))
    }
}

/// Where the wanted columns are.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Columns that are looked at.
    width: usize,
    /// By [`Column`].
    slots: [usize; Column::ALL.len()],
    /// By position in the table.
    defaults: Vec<Default>,
    /// By position in the table: see [`Layout::usual`].
    places: [Place; MAX_COLUMNS],
    rank: bool,
    node: bool,
}

/// Where the value of a column goes.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// By [`Column`]; [`NOWHERE`] for one that is not wanted.
    to: u8,
    /// 1 where it has to be an integer.
    wanted: u8,
}

/// Values of a row by [`Column`], and room for those that are not wanted.
const VALUES: usize = 16;
const NOWHERE: u8 = 15;
const _: () = assert!(Column::ALL.len() <= NOWHERE as usize);

impl Plan {
    /// `wanted` are the columns of the scan; those that the table lacks count as 0.
    pub(super) fn new(table: &[Declared], wanted: &[Column]) -> Result<Self, Unfit> {
        let mut plan = Self {
            width: 0,
            slots: [ZERO; Column::ALL.len()],
            defaults: table.iter().map(Declared::default).collect(),
            places: [Place { to: NOWHERE, wanted: 0 }; MAX_COLUMNS],
            rank: false,
            node: false,
        };
        for &column in wanted {
            let Some(at) = table.iter().position(|d| d.name == column.name()) else {
                continue;
            };
            let declared = &table[at];
            if declared.primary_key {
                return Err(Unfit::new("a column of numbers is the primary key"));
            }
            if declared.converts() {
                return Err(Unfit::new("a column of numbers is declared as fractions"));
            }
            if at >= MAX_COLUMNS {
                return Err(Unfit::new("the table has very many columns"));
            }
            plan.slots[column as usize] = at;
            plan.places[at] = Place {
                to: column as u8,
                wanted: 1,
            };
            plan.width = plan.width.max(at + 1);
            plan.rank |= column == Column::Rank;
            plan.node |= column == Column::Node;
        }
        Ok(plan)
    }
}

/// The serial types and positions of the columns of one record.
#[derive(Debug)]
pub(super) struct Layout<'a> {
    plan: &'a Plan,
    types: [u8; SLOTS],
    at: [u32; SLOTS],
}

impl<'a> Layout<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        let mut types = [NULL; SLOTS];
        types[ZERO] = CONSTANT_0;
        Self {
            plan,
            types,
            at: [0; SLOTS],
        }
    }

    /// Decodes a row in one go where its record is as nearly all are: the header and all types of one byte,
    /// no column absent, wanted ones integers. `None` says nothing but that it is to be read step by step,
    /// by [`parse`](Self::parse) and [`row`](Self::row). `record` reaches [`PAD`] bytes beyond the `payload`.
    #[inline]
    pub(super) fn usual(&self, record: &[u8], payload: usize, rowid: i64) -> Option<Row> {
        let plan = self.plan;
        let header_len = usize::from(*record.first()?);
        if header_len >= 0x80 || header_len > payload || plan.rank || plan.node {
            return None;
        }
        let header = record.get(1..header_len)?;
        let types = header.get(..plan.width)?;
        let mut values = [0; VALUES];
        let (mut offset, mut odd) = (header_len, 0);
        for (&t, place) in types.iter().zip(&plan.places) {
            let bytes = record.get(offset..)?.first_chunk::<8>()?;
            let cut = CUT[usize::from(t)];
            values[usize::from(place.to) % VALUES] = (i64::from_be_bytes(*bytes) >> cut.shift) & cut.mask | cut.add;
            odd |= cut.odd & place.wanted | t & 0x80;
            offset += usize::from(SIZE[usize::from(t)]);
        }
        let complete = header.len() == plan.width;
        if odd != 0 || offset > payload || (complete && offset != payload) {
            return None;
        }
        let value = |column: Column| values[column as usize];
        Some(Row {
            rowid,
            timestamp: value(Column::Timestamp),
            duration: value(Column::Duration),
            pid: value(Column::Pid),
            tid: value(Column::Tid),
            source: value(Column::Source),
            op: value(Column::Op),
            arg0: value(Column::Arg0),
            arg1: value(Column::Arg1),
            ret: value(Column::Ret),
            gpu: value(Column::Gpu),
            cgroup: value(Column::Cgroup),
            rank: None,
            node: 0,
        })
    }

    /// Bytes of the header of a record, with the number that says so.
    pub(super) fn header_len(record: &[u8]) -> Option<usize> {
        usize::try_from(varint(record, 0)?.0).ok()
    }

    /// Reads the header. Gives the end of the last value that is looked at; `None` where the record
    /// makes no sense. `payload` is the size of the whole record, at most 2^32 - 1.
    #[inline]
    pub(super) fn parse(&mut self, record: &[u8], payload: usize) -> Option<usize> {
        let (header_len, start) = varint(record, 0)?;
        let header_len = usize::try_from(header_len).ok()?;
        if header_len > payload {
            return None;
        }
        let header = record.get(start..header_len)?;
        let width = self.plan.width;
        let first = header.get(..width).unwrap_or(&[]);
        let (types, at) = (self.types.get_mut(..width)?, self.at.get_mut(..=width)?);
        let mut offset = narrow(header_len)?;
        let mut all = 0;
        for ((&t, ty), at) in first.iter().zip(types).zip(at.iter_mut()) {
            *ty = t;
            *at = offset;
            all |= t;
            offset += u32::from(SIZE[usize::from(t)]);
        }
        if all >= 0x80 || first.len() < width {
            return self.parse_slowly(header, header_len, payload);
        }
        *at.last_mut()? = offset;
        let end = offset as usize;
        let complete = header.len() == width;
        (end <= payload && (!complete || end == payload)).then_some(end)
    }

    /// The same with types of any size and columns that are absent.
    fn parse_slowly(&mut self, header: &[u8], header_len: usize, payload: usize) -> Option<usize> {
        let mut pos = 0;
        let mut offset = header_len;
        for i in 0..self.plan.width {
            self.at[i] = narrow(offset)?;
            if pos >= header.len() {
                self.types[i] = ABSENT;
                continue;
            }
            let (t, next) = varint(header, pos)?;
            pos = next;
            let size = if t < 0x80 {
                let t = u8::try_from(t).ok()?;
                self.types[i] = t;
                usize::from(SIZE[usize::from(t)])
            } else {
                self.types[i] = if t % 2 == 0 { BLOB } else { TEXT };
                usize::try_from((t - 12) / 2).ok()?
            };
            offset = offset.checked_add(size)?;
            if offset > payload {
                return None;
            }
        }
        self.at[self.plan.width] = narrow(offset)?;
        (pos < header.len() || offset == payload).then_some(offset)
    }

    /// Decodes the row. `record` must reach [`PAD`] bytes beyond the end that [`parse`](Self::parse) gave.
    #[inline]
    pub(super) fn row(&self, record: &[u8], rowid: i64, names: &mut NodeNames) -> Result<Row, Unfit> {
        let mut odd = 0;
        let mut int = |column: Column| -> i64 {
            let slot = self.plan.slots[column as usize];
            let cut = CUT[usize::from(self.types[slot])];
            odd |= cut.odd;
            let at = self.at[slot] as usize;
            let Some(bytes) = record.get(at..).and_then(|r| r.first_chunk::<8>()) else {
                odd = 1;
                return 0;
            };
            (i64::from_be_bytes(*bytes) >> cut.shift) & cut.mask | cut.add
        };
        let mut row = Row {
            rowid,
            timestamp: int(Column::Timestamp),
            duration: int(Column::Duration),
            pid: int(Column::Pid),
            tid: int(Column::Tid),
            source: int(Column::Source),
            op: int(Column::Op),
            arg0: int(Column::Arg0),
            arg1: int(Column::Arg1),
            ret: int(Column::Ret),
            gpu: int(Column::Gpu),
            cgroup: int(Column::Cgroup),
            rank: None,
            node: 0,
        };
        if odd != 0 {
            row = self.row_slowly(record, rowid)?;
        }
        if self.plan.rank {
            row.rank = self.value(record, Column::Rank)?;
        }
        if self.plan.node {
            row.node = names.index(self.text(record)?);
        }
        Ok(row)
    }

    #[cold]
    #[inline(never)]
    fn row_slowly(&self, record: &[u8], rowid: i64) -> Result<Row, Unfit> {
        let int = |column: Column| {
            self.value(record, column)?
                .ok_or_else(|| Unfit::at_row("a value that is not an integer", rowid))
        };
        Ok(Row {
            rowid,
            timestamp: int(Column::Timestamp)?,
            duration: int(Column::Duration)?,
            pid: int(Column::Pid)?,
            tid: int(Column::Tid)?,
            source: int(Column::Source)?,
            op: int(Column::Op)?,
            arg0: int(Column::Arg0)?,
            arg1: int(Column::Arg1)?,
            ret: int(Column::Ret)?,
            gpu: int(Column::Gpu)?,
            cgroup: int(Column::Cgroup)?,
            rank: None,
            node: 0,
        })
    }

    /// An integer or nothing.
    #[inline]
    fn value(&self, record: &[u8], column: Column) -> Result<Option<i64>, Unfit> {
        let slot = self.plan.slots[column as usize];
        let ty = self.types[slot];
        let cut = CUT[usize::from(ty)];
        let at = self.at[slot] as usize;
        match record.get(at..).and_then(|r| r.first_chunk::<8>()) {
            _ if ty == NULL => Ok(None),
            Some(bytes) if cut.odd == 0 => Ok(Some((i64::from_be_bytes(*bytes) >> cut.shift) & cut.mask | cut.add)),
            _ if ty == ABSENT => match self.plan.defaults.get(slot) {
                Some(Default::Null) => Ok(None),
                Some(&Default::Integer(n)) => Ok(Some(n)),
                _ => Err(Unfit::new(
                    "a column was added later with a default that is no plain number",
                )),
            },
            _ => Err(Unfit::new("a value that is not an integer")),
        }
    }

    #[inline]
    fn text<'r>(&self, record: &'r [u8]) -> Result<&'r [u8], Unfit>
    where
        'a: 'r,
    {
        let slot = self.plan.slots[Column::Node as usize];
        let ty = self.types[slot];
        if ty == ABSENT {
            return match self.plan.defaults.get(slot) {
                Some(Default::Text(text)) => Ok(text),
                _ => Err(Unfit::new(
                    "a column was added later with a default that is no plain text",
                )),
            };
        }
        let (from, to) = (self.at[slot] as usize, self.at[slot + 1] as usize);
        match record.get(from..to) {
            Some(text) if ty >= TEXT && ty % 2 == 1 => Ok(text),
            _ => Err(Unfit::new("a node that is not text")),
        }
    }
}

fn narrow(n: usize) -> Option<u32> {
    u32::try_from(n).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_of_every_length() {
        assert_eq!(varint(&[0x00], 0), Some((0, 1)));
        assert_eq!(varint(&[0x7F], 0), Some((0x7F, 1)));
        assert_eq!(varint(&[9, 0x81, 0x00], 1), Some((128, 3)));
        assert_eq!(varint(&[0xFF; 9], 0), Some((u64::MAX, 9)));
        assert_eq!(varint(&[0x80; 9], 0), Some((0x80, 9)));
        for cut in 0..9 {
            assert_eq!(varint(&[0xFF; 9][..cut], 0), None);
        }
        assert_eq!(varint(&[1], usize::MAX), None);
    }

    #[test]
    fn defaults_are_taken_only_where_they_are_plain() {
        let of = |ty: &str, default: Option<&str>| {
            Declared {
                name: "c".into(),
                ty: ty.into(),
                default: default.map(Into::into),
                primary_key: false,
            }
            .default()
        };
        assert_eq!(of("INTEGER", None), Default::Null);
        assert_eq!(of("INTEGER", Some("NULL")), Default::Null);
        assert_eq!(of("INTEGER", Some("-7")), Default::Integer(-7));
        assert_eq!(of("TEXT", Some("'it''s'")), Default::Text(b"it's".to_vec()));
        assert_eq!(of("TEXT", Some("''")), Default::Text(Vec::new()));
        for (ty, default) in [
            ("TEXT", "5"),
            ("INTEGER", "'5'"),
            ("INTEGER", "0x10"),
            ("INTEGER", "99999999999999999999"),
            ("REAL", "5"),
            ("TEXT", "'a' || 'b'"),
            ("TEXT", "'"),
        ] {
            assert_eq!(of(ty, Some(default)), Default::Unknown, "{ty} {default}");
        }
    }
}
