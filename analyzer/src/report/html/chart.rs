//! Histograms of durations, both axes logarithmic, with the bound of the rule drawn in.

use std::fmt::Write as _;

use super::escape;
use crate::report::words;
use crate::unit::show_dur;
use crate::view::Histogram;

const WIDE: usize = 640;
const TALL: usize = 150;
/// Room for the bound's label above and the scale below.
const ABOVE: usize = 18;
const BELOW: usize = 18;

/// A figure of one distribution.
pub(super) fn histogram(out: &mut String, h: &Histogram, id: &str) {
    let (Some(first), Some(last)) = (h.bins.first(), h.bins.last()) else {
        return;
    };
    let what = escape(&h.what);
    let mut caption = format!(
        "{what}: {}, {} to {}",
        words::plural(h.events, "event"),
        show_dur(first.from),
        show_dur(last.to)
    );
    if let Some(t) = h.threshold {
        let _ = write!(caption, "; {} longer than {}", words::count(h.beyond), show_dur(t));
    }
    if h.partial {
        caption.push_str("; not all events are in the file");
    }
    let _ = write!(
        out,
        "<figure class=\"histogram\" aria-labelledby=\"{id}\">\n<figcaption id=\"{id}\">{caption}; both scales logarithmic</figcaption>\n\
         <svg viewBox=\"0 0 {WIDE} {}\" role=\"img\" aria-labelledby=\"{id}\">",
        ABOVE + TALL + BELOW
    );
    let most = h.bins.iter().map(|b| b.events).max().unwrap_or(1);
    let n = h.bins.len();
    let left = |k: usize| k * WIDE / n;
    for (k, b) in h.bins.iter().enumerate().filter(|(_, b)| b.events > 0) {
        let height = height(b.events, most);
        let class = if h.threshold.is_some_and(|t| b.from >= t) {
            "h-out"
        } else {
            "h-in"
        };
        let _ = write!(
            out,
            "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{height}\"><title>{} to {}: {}</title></rect>",
            left(k),
            ABOVE + TALL - height,
            (left(k + 1) - left(k)).saturating_sub(1).max(1),
            show_dur(b.from),
            show_dur(b.to),
            words::plural(b.events, "event")
        );
    }
    let floor = ABOVE + TALL;
    let _ = write!(
        out,
        "<line class=\"base\" x1=\"0\" y1=\"{floor}\" x2=\"{WIDE}\" y2=\"{floor}\"/>"
    );
    let mut decade = 1i64;
    while decade < last.to && decade < i64::MAX / 10 {
        if let Some(x) = position(h, decade) {
            let anchor = anchor(x);
            let _ = write!(
                out,
                "<line class=\"base\" x1=\"{x}\" y1=\"{floor}\" x2=\"{x}\" y2=\"{}\"/>\
                 <text x=\"{x}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
                floor + 4,
                floor + 16,
                show_dur(decade)
            );
        }
        decade *= 10;
    }
    if let Some((t, x)) = h.threshold.and_then(|t| Some((t, position(h, t)?))) {
        let anchor = anchor(x);
        let _ = write!(
            out,
            "<line class=\"rule\" x1=\"{x}\" y1=\"{ABOVE}\" x2=\"{x}\" y2=\"{floor}\"/>\
             <text class=\"limit\" x=\"{x}\" y=\"12\" text-anchor=\"{anchor}\">threshold {}</text>",
            show_dur(t)
        );
    }
    out.push_str("</svg>\n</figure>\n");
}

fn anchor(x: usize) -> &'static str {
    match x {
        0..60 => "start",
        580.. => "end",
        _ => "middle",
    }
}

/// Where a duration lies: within its bin in proportion. `None` outside of the chart.
fn position(h: &Histogram, dur: i64) -> Option<usize> {
    let k = h.bins.iter().position(|b| b.from <= dur && dur < b.to)?;
    let (b, n) = (h.bins[k], h.bins.len());
    let inside = i128::from(dur - b.from) * WIDE as i128 / i128::from((b.to - b.from).max(1)) / n as i128;
    Some(k * WIDE / n + usize::try_from(inside).unwrap_or(0))
}

/// Height of a bar: one event is seen, and ten times as many are one step more.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "pixels"
)]
fn height(events: u64, most: u64) -> usize {
    let log = |n: u64| (1.0 + n as f64).log10();
    ((log(events) / log(most.max(1)) * TALL as f64).round() as usize).clamp(2, TALL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Bin;

    #[test]
    fn a_duration_lies_in_its_bin() {
        let bin = |from, to| Bin { from, to, events: 1 };
        let h = Histogram {
            what: String::new(),
            bins: vec![bin(100, 200), bin(200, 400)],
            events: 2,
            beyond: 1,
            threshold: Some(200),
            partial: false,
        };
        assert_eq!(position(&h, 100), Some(0));
        assert_eq!(position(&h, 200), Some(WIDE / 2));
        assert_eq!(position(&h, 300), Some(WIDE * 3 / 4));
        assert_eq!(position(&h, 400), None);
    }
}
