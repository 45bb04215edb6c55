//! Times on the command line: instants, offsets into a trace, durations.

use std::str::FromStr;

use clap::Args;

use crate::unit::{MS, SEC, US, days_from_civil};

/// A point of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instant {
    /// Nanoseconds since the Unix epoch.
    At(i64),
    /// This long after the start of the recording.
    AfterStart(i64),
    /// This long before the end of the recording.
    BeforeEnd(i64),
}

/// A length of time, positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Duration(pub(super) i64);

/// Which part of a trace.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct TimeArgs {
    /// From here on
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<Instant>,
    /// Up to here
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<Instant>,
    /// The last part, counted back from the end of the trace
    #[arg(long, value_name = "DURATION", conflicts_with_all = ["from", "to"])]
    last: Option<Duration>,
    /// From here on; a mere duration counts back from the end of the trace
    #[arg(long, value_name = "TIME|DURATION", allow_hyphen_values = true, value_parser = since, conflicts_with_all = ["from", "last"])]
    since: Option<Instant>,
}

impl TimeArgs {
    /// The first instant; none: from the start of the trace.
    pub(super) fn from(&self) -> Option<Instant> {
        let last = self.last.map(|d| Instant::BeforeEnd(d.0));
        last.or(self.since).or(self.from)
    }

    /// The last instant; none: to the end of the trace.
    pub(super) fn to(&self) -> Option<Instant> {
        self.to
    }
}

fn since(text: &str) -> Result<Instant, String> {
    match text.parse::<Duration>() {
        Ok(d) => Ok(Instant::BeforeEnd(d.0)),
        Err(_) => text.parse(),
    }
}

const WRONG_INSTANT: &str =
    "write an instant (2026-04-02T04:38:10Z), an offset from the start (+5s) or one from the end (-10s)";
const WRONG_DURATION: &str = "write a number with its unit: 250ms, 5s, 1m30s, 2h";

impl FromStr for Instant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(rest) = text.strip_prefix('+') {
            return Ok(Self::AfterStart(duration(rest)?));
        }
        if let Some(rest) = text.strip_prefix('-') {
            return Ok(Self::BeforeEnd(duration(rest)?));
        }
        if duration(text).is_ok() {
            return Err(format!("is that +{text} from the start, or -{text} from the end?"));
        }
        rfc3339(text).map(Self::At)
    }
}

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match duration(text.trim())? {
            0 => Err("0 is no length of time".to_owned()),
            ns => Ok(Self(ns)),
        }
    }
}

/// `250ms`, `1m30s`, `2.5s`. Exact: fractions beyond a nanosecond are an error.
fn duration(text: &str) -> Result<i64, String> {
    let wrong = || WRONG_DURATION.to_owned();
    let too_long = || "that is longer than 292 years".to_owned();
    let mut rest = text;
    let mut total: i64 = 0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(end);
        let unit_end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let scale = match unit.trim() {
            "ns" => 1,
            "us" | "µs" => US,
            "ms" => MS,
            "s" => SEC,
            "m" | "min" => 60 * SEC,
            "h" => 3_600 * SEC,
            "d" => 86_400 * SEC,
            _ => return Err(wrong()),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let whole: i64 = whole.parse().map_err(|_| wrong())?;
        let mut part = whole.checked_mul(scale).ok_or_else(too_long)?;
        let mut step = scale;
        for digit in fraction.bytes() {
            if !digit.is_ascii_digit() || step % 10 != 0 {
                return Err(wrong());
            }
            step /= 10;
            part = part.checked_add(step * i64::from(digit - b'0')).ok_or_else(too_long)?;
        }
        total = total.checked_add(part).ok_or_else(too_long)?;
        rest = tail;
    }
    Ok(total)
}

/// `2026-04-02` to days since 1970-01-01.
pub(super) fn day(text: &str) -> Result<i64, String> {
    let [year, month, day] = number_parts(text, '-').ok_or("a day is written as 2026-04-02")?;
    days_from_civil(year, month, day).ok_or_else(|| format!("there is no {text}"))
}

/// `2026-04-02T04:38:10[.frac](Z|±hh:mm)` to nanoseconds since the Unix epoch.
fn rfc3339(text: &str) -> Result<i64, String> {
    let wrong = || WRONG_INSTANT.to_owned();
    let (date, time) = text
        .split_once(['T', 't', ' '])
        .ok_or_else(|| match number_parts(text, '-') {
            Some([_, _, _]) => format!("add the time of day: {text}T00:00:00Z"),
            _ => wrong(),
        })?;
    let [year, month, day] = number_parts(date, '-').ok_or_else(wrong)?;
    let days = days_from_civil(year, month, day).ok_or_else(|| format!("there is no {date}"))?;
    let zone_at = time
        .find(['Z', 'z', '+', '-'])
        .ok_or_else(|| format!("say in which zone: {text}Z is UTC"))?;
    let (clock, zone) = time.split_at(zone_at);
    let shift = zone_seconds(zone)?;
    let (clock, fraction) = match clock.split_once('.') {
        Some((clock, fraction)) => (clock, fraction_ns(fraction)?),
        None => (clock, 0),
    };
    let [hours, minutes, seconds] = number_parts(clock, ':').ok_or_else(wrong)?;
    if hours > 23 || minutes > 59 || seconds > 59 {
        return Err(format!("there is no {clock} on a clock"));
    }
    days.checked_mul(86_400)
        .and_then(|t| t.checked_add(hours * 3_600 + minutes * 60 + seconds - shift))
        .and_then(|t| t.checked_mul(SEC))
        .and_then(|t| t.checked_add(fraction))
        .ok_or_else(|| format!("{text} is too far from 1970"))
}

/// `Z`, `+02:00`: how far the zone is ahead of UTC.
fn zone_seconds(zone: &str) -> Result<i64, String> {
    if zone.eq_ignore_ascii_case("z") {
        return Ok(0);
    }
    match number_parts(&zone[1..], ':') {
        Some([hours @ 0..=23, minutes @ 0..=59]) => {
            let ahead = hours * 3_600 + minutes * 60;
            Ok(if zone.starts_with('-') { -ahead } else { ahead })
        }
        _ => Err(format!("there is no zone {zone}")),
    }
}

/// The digits after the point of a second.
fn fraction_ns(digits: &str) -> Result<i64, String> {
    let wrong = || "a fraction of a second has 1 to 9 digits".to_owned();
    if !(1..=9).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    format!("{digits:0<9}").parse().map_err(|_| wrong())
}

/// Exactly `N` unsigned numbers of at most four digits.
fn number_parts<const N: usize>(text: &str, between: char) -> Option<[i64; N]> {
    let parts: Option<Vec<i64>> = text
        .split(between)
        .map(|p| {
            let plain = (1..=4).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit());
            if plain { p.parse().ok() } else { None }
        })
        .collect();
    parts?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_counts_back_from_the_end() {
        assert_eq!(since("5m"), Ok(Instant::BeforeEnd(300 * SEC)));
        assert_eq!(since("+5s"), Ok(Instant::AfterStart(5 * SEC)));
        assert_eq!(since("1970-01-01T00:00:02Z"), Ok(Instant::At(2 * SEC)));
        assert!(since("soon").is_err());
    }

    fn instant(text: &str) -> Result<Instant, String> {
        text.parse()
    }

    #[test]
    fn instants() {
        let at = 1_775_104_690 * SEC;
        assert_eq!(instant("2026-04-02T04:38:10Z"), Ok(Instant::At(at)));
        assert_eq!(instant("2026-04-02T06:38:10.5+02:00"), Ok(Instant::At(at + 500 * MS)));
        assert_eq!(instant("2026-04-02 04:38:10.000000001Z"), Ok(Instant::At(at + 1)));
        assert_eq!(instant("1969-12-31T23:59:59Z"), Ok(Instant::At(-SEC)));
        assert_eq!(instant("+5s"), Ok(Instant::AfterStart(5 * SEC)));
        assert_eq!(instant("+12.310s"), Ok(Instant::AfterStart(12_310 * MS)));
        assert_eq!(instant("-1m30s"), Ok(Instant::BeforeEnd(90 * SEC)));
    }

    #[test]
    fn wrong_instants_say_what_to_write() {
        for (text, says) in [
            ("5s", "+5s from the start, or -5s from the end"),
            ("2026-04-02", "2026-04-02T00:00:00Z"),
            ("2026-04-02T04:38:10", "2026-04-02T04:38:10Z is UTC"),
            ("2026-02-30T00:00:00Z", "there is no 2026-02-30"),
            ("2026-04-02T25:00:00Z", "there is no 25:00:00"),
            ("2026-04-02T04:38:10.Z", "1 to 9 digits"),
            ("2026-04-02T04:38:10+99:00", "there is no zone +99:00"),
            ("9999-01-01T00:00:00Z", "too far from 1970"),
            ("yesterday", "write an instant"),
            ("", "write an instant"),
            ("+", "write a number with its unit"),
            ("+5", "write a number with its unit"),
            ("+é", "write a number with its unit"),
            ("2026-04-02T04:38:10é", "in which zone"),
            ("2026-04-02T04:38:10+é", "there is no zone +é"),
        ] {
            let error = instant(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn durations() {
        let parse = |t: &str| t.parse::<Duration>().map(|d| d.0);
        assert_eq!(parse("5m"), Ok(300 * SEC));
        assert_eq!(parse("1h2min3s4ms5us6ns"), Ok(3_723 * SEC + 4_005_006));
        assert_eq!(parse("2.5s"), Ok(2_500 * MS));
        assert!(parse("0s").is_err());
        assert!(parse("1.5ns").is_err());
        assert!(parse("999999999d").unwrap_err().contains("292 years"));
        assert!(parse("..s").is_err());
        assert!(parse("5 parsec").is_err());
    }
}
