//! Quantities: exact numbers, dimensions, instants, and how they are printed.
//!
//! Knows nothing of traces or rules. Numeric casts live here.

use std::cmp::Ordering;
use std::fmt;

/// Nanoseconds in a day.
pub const DAY: i64 = 86_400 * SEC;
/// Nanoseconds in a second.
pub const SEC: i64 = 1_000_000_000;
/// Nanoseconds in a millisecond.
pub const MS: i64 = 1_000_000;
/// Nanoseconds in a microsecond.
pub const US: i64 = 1_000;

/// The dimension of a number: powers of time and of bytes.
///
/// Counts and ratios have none, so a bare number may stand for either, and for nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dim {
    /// Power of time (base unit: nanosecond).
    pub time: i8,
    /// Power of bytes (base unit: byte).
    pub bytes: i8,
}

impl Dim {
    /// A count or a ratio.
    pub const NONE: Self = Self { time: 0, bytes: 0 };
    /// A duration.
    pub const TIME: Self = Self { time: 1, bytes: 0 };
    /// A size.
    pub const BYTES: Self = Self { time: 0, bytes: 1 };
    /// Events in a time.
    pub const RATE: Self = Self { time: -1, bytes: 0 };
    /// Bytes in a time.
    pub const THROUGHPUT: Self = Self { time: -1, bytes: 1 };

    /// The dimension of a product.
    pub fn times(self, other: Self) -> Self {
        Self {
            time: self.time.saturating_add(other.time),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    /// The dimension of a quotient.
    pub fn per(self, other: Self) -> Self {
        Self {
            time: self.time.saturating_sub(other.time),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NONE => f.write_str("a number"),
            Self::TIME => f.write_str("a duration"),
            Self::BYTES => f.write_str("a size in bytes"),
            Self::RATE => f.write_str("a rate"),
            Self::THROUGHPUT => f.write_str("a throughput"),
            Self { time, bytes } => write!(f, "time^{time} bytes^{bytes}"),
        }
    }
}

/// An exact rational number in base units. No float decides a diagnosis.
///
/// Always reduced, the denominator always positive, so equal numbers are equal values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Num {
    n: i128,
    d: i128,
}

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl Num {
    /// Zero.
    pub const ZERO: Self = Self { n: 0, d: 1 };
    /// One.
    pub const ONE: Self = Self { n: 1, d: 1 };

    /// An integer.
    pub const fn int(n: i128) -> Self {
        Self { n, d: 1 }
    }

    /// `n / d`; `None` where `d` is zero or the fraction does not fit.
    pub fn ratio(n: i128, d: i128) -> Option<Self> {
        if d == 0 {
            return None;
        }
        let g = i128::try_from(gcd(n.unsigned_abs(), d.unsigned_abs())).ok()?.max(1);
        let (n, d) = (n / g, d / g);
        if d < 0 {
            Some(Self {
                n: n.checked_neg()?,
                d: d.checked_neg()?,
            })
        } else {
            Some(Self { n, d })
        }
    }

    /// Numerator of the reduced fraction.
    pub const fn numer(self) -> i128 {
        self.n
    }

    /// Denominator of the reduced fraction, positive.
    pub const fn denom(self) -> i128 {
        self.d
    }

    /// The sum, or `None` on overflow.
    pub fn plus(self, o: Self) -> Option<Self> {
        if self.d == o.d {
            return Self::ratio(self.n.checked_add(o.n)?, self.d);
        }
        Self::ratio(
            self.n.checked_mul(o.d)?.checked_add(o.n.checked_mul(self.d)?)?,
            self.d.checked_mul(o.d)?,
        )
    }

    /// The negated number, or `None` on overflow.
    pub fn negated(self) -> Option<Self> {
        Some(Self {
            n: self.n.checked_neg()?,
            d: self.d,
        })
    }

    /// The difference, or `None` on overflow.
    pub fn minus(self, o: Self) -> Option<Self> {
        self.plus(o.negated()?)
    }

    /// The product, or `None` on overflow.
    pub fn times(self, o: Self) -> Option<Self> {
        // Reduce across first: rates have denominators of 1e9 and would overflow early.
        let (a, b) = (Self::ratio(self.n, o.d)?, Self::ratio(o.n, self.d)?);
        Self::ratio(a.n.checked_mul(b.n)?, a.d.checked_mul(b.d)?)
    }

    /// The quotient, or `None` on overflow or division by zero.
    pub fn over(self, o: Self) -> Option<Self> {
        if o.n == 0 {
            return None;
        }
        self.times(Self::ratio(o.d, o.n)?)
    }

    /// Rounded toward negative infinity.
    pub fn floor(self) -> i128 {
        self.n.div_euclid(self.d)
    }

    /// For display, ranking and charts only, never for a verdict.
    #[expect(clippy::cast_precision_loss, reason = "display only")]
    pub fn to_f64(self) -> f64 {
        self.n as f64 / self.d as f64
    }
}

impl Ord for Num {
    fn cmp(&self, o: &Self) -> Ordering {
        match (self.n.checked_mul(o.d), o.n.checked_mul(self.d)) {
            (Some(a), Some(b)) => a.cmp(&b),
            // Too large to cross-multiply: compare whole parts, then the fractions that remain.
            _ => self.floor().cmp(&o.floor()).then_with(|| {
                let (a, b) = (self.n.rem_euclid(self.d), o.n.rem_euclid(o.d));
                match (a, b) {
                    (0, 0) => Ordering::Equal,
                    (0, _) => Ordering::Less,
                    (_, 0) => Ordering::Greater,
                    // a/d1 < b/d2 exactly when d1/a > d2/b: the continued fraction of both.
                    _ => Self { n: o.d, d: b }.cmp(&Self { n: self.d, d: a }),
                }
            }),
        }
    }
}

impl PartialOrd for Num {
    fn partial_cmp(&self, o: &Self) -> Option<Ordering> {
        Some(self.cmp(o))
    }
}

/// Nanoseconds since the Unix epoch on the recording host's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeNs(pub i64);

/// A stretch of trace time, both ends included. `end >= start`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval {
    /// First nanosecond.
    pub start: i64,
    /// Last nanosecond.
    pub end: i64,
}

impl Interval {
    /// An interval from its ends; ends in the wrong order give the empty interval at `start`.
    pub fn new(start: i64, end: i64) -> Self {
        Self {
            start,
            end: end.max(start),
        }
    }

    /// Length in nanoseconds.
    pub fn len(self) -> i64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether it is a single instant.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The time both have in common, in nanoseconds.
    pub fn overlap(self, o: Self) -> i64 {
        (self.end.min(o.end) - self.start.max(o.start)).max(0)
    }

    /// Time between the two; 0 where they touch or overlap.
    pub fn distance(self, o: Self) -> i64 {
        (self.start.max(o.start) - self.end.min(o.end)).max(0)
    }

    /// The smallest interval that holds both.
    pub fn hull(self, o: Self) -> Self {
        Self {
            start: self.start.min(o.start),
            end: self.end.max(o.end),
        }
    }

    /// Whether `t` lies inside.
    pub fn contains(self, t: i64) -> bool {
        self.start <= t && t <= self.end
    }
}

/// How to print a number, beyond its dimension.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Style {
    /// By dimension: `356 ms`, `8.7 MB`, `208/s`, `24347`.
    #[default]
    Auto,
    /// A factor: `6.4x`.
    Times,
    /// A share: `80 %`.
    Percent,
}

/// Prints a number with three significant digits and a unit that suits its size.
pub fn show(value: Num, dim: Dim, style: Style) -> String {
    let v = value.to_f64();
    match (style, dim) {
        (Style::Percent, _) => format!("{} %", digits(v * 100.0)),
        (Style::Times, _) => format!("{}x", digits(v)),
        (_, Dim::TIME) => show_ns(v),
        (_, Dim::BYTES) => show_bytes(v),
        (_, Dim::RATE) => format!("{}/s", digits(v * 1e9)),
        (_, Dim::THROUGHPUT) => format!("{}/s", show_bytes(v * 1e9)),
        _ => digits(v),
    }
}

/// Prints a number of things: `1,234`.
pub fn show_count(n: u64) -> String {
    show(Num::int(n.into()), Dim::NONE, Style::Auto)
}

/// Prints a duration in nanoseconds.
pub fn show_dur(ns: i64) -> String {
    show(Num::int(ns.into()), Dim::TIME, Style::Auto)
}

fn show_ns(ns: f64) -> String {
    let a = ns.abs();
    let (scale, unit) = if a < 1e3 {
        (1.0, "ns")
    } else if a < 1e6 {
        (1e3, "µs")
    } else if a < 1e9 {
        (1e6, "ms")
    } else if a < 120e9 {
        (1e9, "s")
    } else {
        return format!("{:.0} min {:02.0} s", (ns / 60e9).trunc(), (a / 1e9 % 60.0).trunc());
    };
    format!("{} {unit}", digits(ns / scale))
}

fn show_bytes(b: f64) -> String {
    let a = b.abs();
    for (scale, unit) in [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")] {
        if a >= scale {
            return format!("{} {unit}", digits(b / scale));
        }
    }
    format!("{} B", digits(b))
}

/// Three significant digits below 1000, whole numbers with thousands separators above.
pub fn digits(v: f64) -> String {
    let a = v.abs();
    if a >= 999.5 {
        let whole = format!("{a:.0}");
        let mut out = String::new();
        for (i, c) in whole.chars().enumerate() {
            if i > 0 && (whole.len() - i) % 3 == 0 {
                out.push(',');
            }
            out.push(c);
        }
        return if v < 0.0 { format!("-{out}") } else { out };
    }
    let decimals = if a >= 99.95 {
        0
    } else if a >= 9.995 {
        1
    } else {
        2
    };
    let text = format!("{v:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// Prints an instant as UTC, `2026-04-02T04:38:10.123456789Z`.
pub fn show_utc(ns: i64) -> String {
    let (secs, frac) = (ns.div_euclid(SEC), ns.rem_euclid(SEC));
    let (days, tod) = (secs.div_euclid(86_400), secs.rem_euclid(86_400));
    let (y, m, d) = civil(days);
    format!(
        "{y:04}-{m:02}-{d:02}T{:02}:{:02}:{:02}.{frac:09}Z",
        tod / 3600,
        tod / 60 % 60,
        tod % 60
    )
}

/// Prints a day as `2026-04-02`.
pub fn show_day(days: i64) -> String {
    let (y, m, d) = civil(days);
    format!("{y:04}-{m:02}-{d:02}")
}

/// Days since 1970-01-01 to a Gregorian date (proleptic, any year).
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let m = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(m <= 2), m, doy - (153 * mp + 2) / 5 + 1)
}

/// Gregorian date to days since 1970-01-01; `None` where the date does not exist.
pub fn days_from_civil(y: i64, m: i64, d: i64) -> Option<i64> {
    if !(1..=12).contains(&m) || !(1..=31).contains(&d) {
        return None;
    }
    let yy = if m <= 2 { y - 1 } else { y };
    let era = yy.div_euclid(400);
    let yoe = yy.rem_euclid(400);
    let doy = (153 * (if m > 2 { m - 3 } else { m + 9 }) + 2) / 5 + d - 1;
    let days = era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468;
    (civil(days) == (y, m, d)).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rationals_compare_exactly() {
        let third = Num::ratio(1, 3).unwrap();
        assert!(third < Num::ratio(334, 1000).unwrap());
        assert!(third > Num::ratio(333, 1000).unwrap());
        let big = Num::ratio(i128::MAX / 3, 7).unwrap();
        let bigger = Num::ratio(i128::MAX / 3 + 7, 7).unwrap();
        assert!(big < bigger);
        assert!(bigger > big);
        assert_eq!(Num::ratio(2, -4), Num::ratio(-1, 2));
        assert_eq!(Num::int(1).over(Num::ZERO), None);
    }

    #[test]
    fn numbers_print_with_three_digits() {
        for (ns, text) in [
            (17, "17 ns"),
            (16_400, "16.4 µs"),
            (356_000_000, "356 ms"),
            (2_500_000_000, "2.5 s"),
        ] {
            assert_eq!(show_dur(ns), text);
        }
        assert_eq!(show_dur(185 * SEC), "3 min 05 s");
        assert_eq!(show(Num::int(8_700_000), Dim::BYTES, Style::Auto), "8.7 MB");
        assert_eq!(
            show(Num::ratio(208, i128::from(SEC)).unwrap(), Dim::RATE, Style::Auto),
            "208/s"
        );
        assert_eq!(show(Num::int(24_347), Dim::NONE, Style::Auto), "24,347");
        assert_eq!(show(Num::ratio(444, 70).unwrap(), Dim::NONE, Style::Times), "6.34x");
    }

    #[test]
    fn dates_round_trip() {
        assert_eq!(show_utc(1_774_360_124_670_647_270), "2026-03-24T13:48:44.670647270Z");
        assert_eq!(days_from_civil(1970, 1, 1), Some(0));
        assert_eq!(days_from_civil(2027, 2, 29), None);
        for days in [-719_468, -1, 0, 59, 20_536, 2_932_896] {
            let (y, m, d) = civil(days);
            assert_eq!(days_from_civil(y, m, d), Some(days));
        }
    }
}
