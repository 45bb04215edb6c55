//! Requests and steps, from annotations.

use std::collections::BTreeMap;

use crate::trace::reader::tables::Annotation;
use crate::unit::{Interval, MS};

/// A request as its annotations tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) pid: i64,
    pub(crate) id: String,
    /// From arrival to last token.
    pub(crate) open: Interval,
    /// First token, where known.
    pub(crate) first_token: Option<i64>,
    /// -1: not known.
    pub(crate) prompt_tokens: i64,
    /// -1: not known.
    pub(crate) output_tokens: i64,
    pub(crate) choices: i64,
    pub(crate) logprobs: i64,
}

/// A labelled step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) pid: i64,
    pub(crate) name: String,
    pub(crate) when: Interval,
}

#[derive(Default)]
struct Parts {
    span: Option<Interval>,
    phases: Option<Interval>,
    prefill_end: Option<i64>,
    labels: BTreeMap<String, String>,
}

fn label<'a>(labels: &'a BTreeMap<String, String>, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|n| labels.get(*n)).map(String::as_str)
}

/// Milliseconds, perhaps with a fraction, to nanoseconds, exactly.
fn millis(text: &str) -> Option<i64> {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole: i64 = whole.parse().ok().filter(|&w| w >= 0)?;
    let digits: String = fraction.chars().chain("000000".chars()).take(6).collect();
    whole.checked_mul(MS)?.checked_add(digits.parse().ok()?)
}

/// Requests by (pid, arrival, id), and steps by (pid, start). Later annotations of a request add to
/// its labels or replace them.
pub(crate) fn find(annotations: &[Annotation]) -> (Vec<Request>, Vec<Step>) {
    let mut parts: BTreeMap<(i64, &str), Parts> = BTreeMap::new();
    let mut steps = Vec::new();
    for a in annotations {
        let Some(id) = label(&a.labels, &["request_id", "gen_ai.response.id"]) else {
            if let (Some(step), Some(when)) = (a.labels.get("step"), a.span) {
                steps.push(Step {
                    pid: a.pid,
                    name: step.clone(),
                    when,
                });
            }
            continue;
        };
        let p = parts.entry((a.pid, id)).or_default();
        p.labels.extend(a.labels.iter().map(|(k, v)| (k.clone(), v.clone())));
        let Some(span) = a.span else { continue };
        match a.labels.get("phase").map(String::as_str) {
            None => p.span = Some(p.span.map_or(span, |s| s.hull(span))),
            Some(phase) => {
                p.phases = Some(p.phases.map_or(span, |s| s.hull(span)));
                // A prompt may be processed in chunks: the first token follows the last of them.
                if phase == "prefill" {
                    p.prefill_end = Some(p.prefill_end.map_or(span.end, |e| e.max(span.end)));
                }
            }
        }
    }
    let mut requests = Vec::new();
    for ((pid, id), p) in parts {
        let Some(open) = p.span.or(p.phases) else { continue };
        let number = |names: &[&str]| {
            let found = label(&p.labels, names).and_then(|t| t.trim().parse::<i64>().ok());
            found.filter(|&n| n >= 0).unwrap_or(-1)
        };
        let first_token = match p.labels.get("ttft_ms").and_then(|t| millis(t)) {
            Some(ttft) => Some(open.start.saturating_add(ttft)),
            None => p.prefill_end,
        };
        requests.push(Request {
            pid,
            id: id.to_owned(),
            open,
            first_token: first_token.filter(|&t| t >= open.start),
            prompt_tokens: number(&["prompt_tokens", "gen_ai.usage.input_tokens"]),
            output_tokens: number(&["output_tokens", "gen_ai.usage.output_tokens", "max_tokens"]),
            choices: number(&["n", "gen_ai.request.choice.count"]),
            logprobs: number(&["logprobs"]),
        });
    }
    // Clients name these only where they ask for more than usual.
    let choices = requests.iter().any(|r| r.choices >= 0);
    let logprobs = requests.iter().any(|r| r.logprobs >= 0);
    for r in &mut requests {
        if choices {
            r.choices = r.choices.max(1);
        }
        if logprobs {
            r.logprobs = r.logprobs.max(0);
        }
    }
    requests.sort_by(|a, b| (a.pid, a.open.start, &a.id).cmp(&(b.pid, b.open.start, &b.id)));
    steps.sort_by(|a, b| (a.pid, a.when.start, &a.name).cmp(&(b.pid, b.when.start, &b.name)));
    (requests, steps)
}

/// How many times the prompt makes a request heavier.
const HEAVIER: i64 = 4;

/// For each request its time behind heavier ones and how many those were; -1 where sizes are
/// unknown. The requests are those of one owner, by arrival.
///
/// Heavier requests arrived no later, so each covers the wait from its begin on, and the longest
/// of them covers what all of them do.
pub(crate) fn behind_heavier(requests: &[Request]) -> Vec<(i64, i64)> {
    // Requests without a first token yet: (first token, position).
    let mut waiting: Vec<(i64, usize)> = Vec::new();
    let mut out = Vec::with_capacity(requests.len());
    for (i, r) in requests.iter().enumerate() {
        // Those that arrive in the same instant stand on both sides.
        let same = requests[i + 1..]
            .iter()
            .take_while(|q| q.open.start == r.open.start)
            .count();
        waiting.retain(|w| w.0 > r.open.start);
        if r.prompt_tokens < 0 || r.first_token.is_none() {
            out.push((-1, -1));
        } else {
            let mine = r.first_token.unwrap_or(r.open.start);
            let later = (i + 1..=i + same).filter_map(|k| requests[k].first_token.map(|t| (t, k)));
            let (mut until, mut n) = (r.open.start, 0);
            for (first_token, k) in waiting.iter().copied().chain(later) {
                let heavier = requests[k].prompt_tokens >= r.prompt_tokens.saturating_mul(HEAVIER);
                if heavier && requests[k].prompt_tokens > 0 && first_token > r.open.start && mine > r.open.start {
                    until = until.max(first_token.min(mine));
                    n += 1;
                }
            }
            out.push((until - r.open.start, n));
        }
        if let Some(first_token) = r.first_token {
            waiting.push((first_token, i));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(pid: i64, labels: &[(&str, &str)], span: (i64, i64)) -> Annotation {
        Annotation {
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            pid,
            timestamp: span.1,
            span: Some(Interval::new(span.0, span.1)),
        }
    }

    #[test]
    fn a_request_is_told_by_its_span_or_by_its_phases() {
        let all = [
            note(
                7,
                &[("request_id", "a"), ("prompt_tokens", "2048"), ("ttft_ms", "1.5")],
                (0, 9 * MS),
            ),
            note(7, &[("request_id", "b"), ("phase", "queued")], (MS, 2 * MS)),
            note(7, &[("request_id", "b"), ("phase", "prefill")], (2 * MS, 5 * MS)),
            note(
                7,
                &[
                    ("request_id", "b"),
                    ("phase", "decode"),
                    ("gen_ai.usage.input_tokens", "128"),
                ],
                (5 * MS, 8 * MS),
            ),
            note(7, &[("step", "12")], (0, 3)),
        ];
        let (requests, steps) = find(&all);
        assert_eq!(steps.len(), 1);
        assert_eq!(requests[0].first_token, Some(1_500_000));
        assert_eq!(requests[1].open, Interval::new(MS, 8 * MS));
        assert_eq!(
            (requests[1].first_token, requests[1].prompt_tokens),
            (Some(5 * MS), 128)
        );
        // b arrived 1 ms after a, which is 16 times as heavy and got its first token at 1.5 ms.
        assert_eq!(behind_heavier(&requests), [(0, 0), (MS / 2, 1)]);
    }

    #[test]
    fn fractions_of_milliseconds_are_exact() {
        assert_eq!(millis("11000"), Some(11_000 * MS));
        assert_eq!(millis("0.1234567"), Some(123_456));
        assert_eq!(millis("-1"), None);
        assert_eq!(millis("1e3"), None);
    }
}
