//! Verdicts stored in the files as a table: theirs, what was measured, ours.

use unicode_width::UnicodeWidthStr;

use crate::diagnosis::StoredVerdict;
use crate::report::paint::{Page, Style, fit, wrap};
use crate::report::{Report, words};

/// Space between columns.
const GAP: usize = 2;
/// What can become of a stored verdict, in the order of the sum below the table.
const VERDICTS: [&str; 4] = ["confirmed", "contradicted", "not proven", "cannot be judged"];

/// Writes the table, and below it how many came to what.
pub(super) fn table(page: &mut Page, report: &Report<'_>) {
    let stored = &report.analysis.stored;
    if stored.is_empty() {
        page.hang(&[], 0, "The files hold no verdicts of their own.", Style::Strong);
        return;
    }
    let several = report.analysis.traces.len() > 1;
    let with_node = words::several_nodes(report.analysis);
    let cells = |v: &StoredVerdict| {
        let mut theirs = words::stored_head(v, with_node);
        if several {
            theirs = format!("{}: {theirs}", v.path);
        }
        let overlap = v.overlap.map_or("?".to_owned(), words::percent);
        [theirs, overlap, v.verdict.to_owned(), v.ours.clone()]
    };
    let head = ["THEIRS", "OFF CPU", "SO IT IS", "OURS"].map(str::to_owned);
    let rows: Vec<[String; 4]> = stored.iter().map(cells).collect();
    let widest = |i: usize| rows.iter().chain([&head]).map(|r| r[i].width()).max().unwrap_or(0);
    let (overlap, verdict) = (widest(1), widest(2));
    let room = page.width.saturating_sub(overlap + verdict + 3 * GAP);
    let widths = [room - room / 2, overlap, verdict, room / 2];
    row(page, &head, widths, Style::Dim);
    for cells in &rows {
        row(page, cells, widths, Style::Plain);
    }
    page.blank();
    let counts = VERDICTS.iter().filter_map(|name| {
        let n = words::size(stored.iter().filter(|v| v.verdict == *name).count());
        (n > 0).then(|| format!("{} {name}", words::count(n)))
    });
    let different = words::size(stored.len());
    let all: u64 = stored.iter().map(|v| v.repeats.max(1)).sum();
    let repeated = if all > different {
        format!(", stored {} times in all", words::count(all))
    } else {
        String::new()
    };
    let sum = format!(
        "{}{repeated}: {}.",
        words::plural(different, "verdict"),
        counts.collect::<Vec<_>>().join(", ")
    );
    page.hang(&[], 0, &sum, Style::Plain);
    let note = "OFF CPU: share of the time of the slowest 1 % of these calls that lies in off-CPU time of the same \
                thread; ? is not in the file.";
    page.hang(&[], 0, note, Style::Dim);
}

/// A row whose first and last cell may take several lines.
fn row(page: &mut Page, cells: &[String; 4], widths: [usize; 4], style: Style) {
    let lines: Vec<Vec<String>> = cells
        .iter()
        .zip(widths)
        .map(|(c, w)| wrap(&page.clean(&c.replace('\n', " ")), w, w))
        .collect();
    let most = lines.iter().map(Vec::len).max().unwrap_or(0);
    for k in 0..most {
        let cell = |i: usize| fit(lines[i].get(k).map_or("", String::as_str), widths[i], i == 1);
        let line = format!("{}  {}  {}  {}", cell(0), cell(1), cell(2), cell(3));
        page.line(&[(line.trim_end(), style)]);
    }
}
