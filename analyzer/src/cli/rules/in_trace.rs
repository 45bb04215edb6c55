//! What a trace holds of each metric of some rules, as `ingero rules check --trace` says it.

use std::fmt::Write as _;

use crate::eval::sight::{Seen, Sight};
use crate::lang::render::json::{JsonPart, JsonSight};
use crate::report::wrap;
use crate::unit::{Dim, Num, Style, show};

/// Names of absent operations that are shown; a bare source asks for dozens.
const NAMES: usize = 6;

/// For people, in lines of at most that many letters.
pub(super) fn text(sights: &[Sight], width: usize) -> String {
    let mut out = String::new();
    for s in sights {
        for line in wrap(&s.text, width, width) {
            let _ = writeln!(out, "{line}");
        }
        let mut say = |head: &str, text: &str| {
            for (i, line) in wrap(text, width.saturating_sub(10), width.saturating_sub(10))
                .iter()
                .enumerate()
            {
                let _ = writeln!(out, "  {:6}  {line}", if i == 0 { head } else { "" });
            }
        };
        // Operations that were seen each on a line, the others together.
        let (there, absent): (Vec<_>, Vec<_>) = s
            .parts
            .iter()
            .partition(|(_, seen)| !matches!(seen, Seen::Nothing | Seen::Unobserved));
        for (name, seen) in there {
            say("there", &format!("{name}: {}", seen.words()));
        }
        for kind in [Seen::Nothing, Seen::Unobserved] {
            let names: Vec<&str> = absent
                .iter()
                .filter(|(_, k)| *k == kind)
                .map(|(n, _)| n.as_str())
                .collect();
            let more = names.len().saturating_sub(NAMES);
            let shown = names.into_iter().take(NAMES).collect::<Vec<_>>().join(", ");
            let rest = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            if !shown.is_empty() {
                say("absent", &format!("{shown}{rest}: {}", kind.words()));
            }
        }
        if !s.missing_columns.is_empty() {
            say("absent", &format!("the columns {}", s.missing_columns.join(", ")));
        }
        let rows = show(Num::int(s.rows.into()), Dim::NONE, Style::Auto);
        say("cost", &format!("looks at {rows} rows, for {}", s.rules.join(", ")));
    }
    out
}

/// For programs.
pub(super) fn json(sights: &[Sight]) -> Vec<JsonSight> {
    let one = |s: &Sight| JsonSight {
        metric: s.text.clone(),
        rules: s.rules.clone(),
        parts: s.parts.iter().map(|(name, seen)| part(name, seen)).collect(),
        missing_columns: s.missing_columns.clone(),
        rows_looked_at: s.rows,
    };
    sights.iter().map(one).collect()
}

fn part(name: &str, seen: &Seen) -> JsonPart {
    let (seen, rows) = match seen {
        Seen::Complete(n) => ("complete", *n),
        Seen::Windows(n) => ("complete_in_windows", *n),
        Seen::Slow(n) => ("slow_only", *n),
        Seen::Nothing => ("none_seen", 0),
        Seen::Unobserved => ("not_observed", 0),
    };
    JsonPart {
        name: name.to_owned(),
        seen,
        rows,
    }
}
