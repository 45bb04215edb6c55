//! The report for people: a summary table, then each finding with its proof.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle};
use unicode_width::UnicodeWidthStr;

use super::paint::{Page, Piece, Style, fit};
use super::{MIN_WIDTH, ProblemKind, Report, TextOptions, words};
use crate::diagnosis::{Diagnosis, Severity, Status};
use crate::unit::show_dur;

/// From this width on the summary has room for what each rule means.
const WIDE: usize = 120;
/// From this width on a timeline stands beside its label.
const ROOMY: usize = 100;
/// Where the text of a finding starts.
const INDENT: usize = 3;
/// Where the values beside the labels of a finding start.
const COLUMN: usize = 14;
/// Near misses shown.
const NEAR_MISSES: usize = 5;

/// Renders the whole report; ends with a line feed.
pub fn render(report: &Report<'_>, options: &TextOptions) -> String {
    let width = options.width.max(MIN_WIDTH);
    let mut text = Text {
        report,
        options,
        page: Page::new(width, options.color, options.ascii),
        with_node: words::several_nodes(report.analysis),
    };
    text.problems();
    text.summary();
    text.findings();
    text.unjudged();
    text.near_misses();
    text.stored();
    if options.verbose {
        text.rules();
    }
    text.coverage();
    text.page.finish()
}

struct Text<'a> {
    report: &'a Report<'a>,
    options: &'a TextOptions,
    page: Page,
    with_node: bool,
}

impl<'a> Text<'a> {
    fn zero(&self, d: &Diagnosis) -> i64 {
        words::zero(self.report.analysis, &d.key.node)
    }

    fn problems(&mut self) {
        for p in self.report.problems {
            let what = match p.kind {
                ProblemKind::Rules => "rules",
                ProblemKind::Trace => "trace",
            };
            self.page.hang(
                &[("! ", Style::Alarm)],
                2,
                &format!("{what} {}: {}", p.path, p.message),
                Style::Alarm,
            );
        }
    }

    /// The primary findings that are shown.
    fn primaries(&self) -> Vec<&'a Diagnosis> {
        let diagnoses = &self.report.analysis.diagnoses;
        diagnoses.iter().filter(|d| d.explained_by.is_none()).collect()
    }

    fn summary(&mut self) {
        let analysis = self.report.analysis;
        self.page.blank();
        let headline = words::headline(analysis);
        self.page.hang(&[], 0, &headline, Style::Strong);
        self.page.hang(&[], 0, &words::checked(analysis), Style::Dim);
        let quiet: Vec<&str> = analysis
            .rules
            .iter()
            .filter(|r| r.status == Status::Quiet)
            .map(|r| r.name.as_str())
            .collect();
        let primaries = self.primaries();
        if primaries.is_empty() {
            if !quiet.is_empty() {
                self.page.hang(
                    &[("Checked and not present: ", Style::Plain)],
                    2,
                    &format!("{}.", quiet.join(", ")),
                    Style::Plain,
                );
            }
            return;
        }
        self.page.blank();
        let shown = primaries.len().min(self.options.top);
        let table = self.summary_table(&primaries[..shown]);
        for line in &table {
            let pieces: Vec<Piece<'_>> = line.iter().map(|(t, s)| (t.as_str(), *s)).collect();
            self.page.line(&pieces);
        }
        self.more(primaries.len());
    }

    fn more(&mut self, all: usize) {
        let left = all.saturating_sub(self.options.top);
        if left > 0 {
            let line = format!("and {left} more: --top {all}");
            self.page.hang(&[], 2, &line, Style::Dim);
        }
    }

    fn summary_table(&self, primaries: &[&'a Diagnosis]) -> Vec<Vec<(String, Style)>> {
        let wide = self.page.width >= WIDE;
        let mut table = Table::new();
        let rule = if self.options.ascii { '-' } else { '─' };
        table.load_style(TableStyle::new().header_separator(LineStyle::none().fill(rule)));
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(u16::try_from(self.page.width).unwrap_or(u16::MAX));
        let mut head = vec!["#", "SEVERITY", "WHAT", "WHERE", "LOST"];
        if wide {
            head.push("LASTED");
        }
        head.push("SURE");
        if wide {
            head.push("MEANING");
        }
        let mut widths: Vec<usize> = head.iter().map(|h| h.len()).collect();
        table.set_header(&head);
        let mut rows = Vec::new();
        for d in primaries {
            self.summary_rows(d, 0, wide, &mut rows);
        }
        for (_, cells) in &rows {
            for (w, cell) in widths.iter_mut().zip(cells) {
                *w = (*w).max(cell.width());
            }
            table.add_row(cells);
        }
        let wraps = |i: usize| head[i] == "WHERE" || head[i] == "MEANING";
        let fixed: usize = (0..head.len()).filter(|i| !wraps(*i)).map(|i| widths[i] + 2).sum();
        let roomy = fixed + 16 <= self.page.width;
        for (i, title) in head.iter().enumerate() {
            let Some(column) = table.column_mut(i) else { continue };
            column.set_padding((0, 2));
            if roomy && !wraps(i) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
            if matches!(*title, "#" | "LOST" | "LASTED" | "SURE") {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        if let Some(last) = table.column_mut(head.len() - 1) {
            last.set_padding((0, 0));
        }
        let columns = roomy.then_some([widths[0] + 2, widths[1] + 2, widths[2]]);
        table
            .to_string()
            .lines()
            .enumerate()
            .map(|(i, line)| match i {
                0 => vec![(line.to_owned(), Style::Strong)],
                1 => vec![(line.to_owned(), Style::Dim)],
                _ => summary_pieces(line, columns),
            })
            .collect()
    }

    /// A finding and, under it, those that it explains.
    fn summary_rows(&self, d: &'a Diagnosis, depth: usize, wide: bool, rows: &mut Vec<(Severity, Vec<String>)>) {
        let prefix = if depth == 0 {
            String::new()
        } else {
            format!("{}└ ", "  ".repeat(depth - 1))
        };
        let lost = if d.impact_ns > 0 {
            show_dur(d.impact_ns)
        } else {
            "-".to_owned()
        };
        let mut cells = vec![
            d.rank.to_string(),
            words::level(d.severity),
            format!("{prefix}{}", d.rule),
            words::place(&d.key, self.with_node),
            lost,
        ];
        if wide {
            cells.push(show_dur(d.when.len()));
        }
        cells.push(words::percent(d.confidence));
        if wide {
            cells.push(d.title.clone());
        }
        let cells = cells.iter().map(|c| self.page.clean(&c.replace('\n', " "))).collect();
        rows.push((d.severity, cells));
        for child in self.explained(d, depth) {
            self.summary_rows(child, depth + 1, wide, rows);
        }
    }

    /// The findings folded under this one. Depth is bounded, should a model have a cycle.
    fn explained(&self, d: &'a Diagnosis, depth: usize) -> Vec<&'a Diagnosis> {
        if depth >= 8 {
            return Vec::new();
        }
        let diagnoses = &self.report.analysis.diagnoses;
        d.explains.iter().filter_map(|i| diagnoses.get(*i)).collect()
    }

    fn findings(&mut self) {
        let primaries = self.primaries();
        for d in primaries.iter().take(self.options.top) {
            self.page.blank();
            self.finding(d);
        }
    }

    fn finding(&mut self, d: &'a Diagnosis) {
        let rank = format!("{:<width$}", d.rank, width = INDENT - 1);
        let rank = format!("{rank} ");
        let level = format!("{}  ", words::level(d.severity));
        let mut head = vec![
            (rank.as_str(), Style::Dim),
            (level.as_str(), Style::Level(d.severity)),
            (d.rule.as_str(), Style::Strong),
        ];
        if !d.title.is_empty() {
            head.push((": ", Style::Plain));
        }
        self.page.prose(&head, INDENT, &d.title);
        self.page.prose(&[], INDENT, &d.message);
        self.page.blank();
        self.label("where", &words::place(&d.key, true));
        self.label("when", &words::when(d, self.zero(d)));
        self.timeline(d);
        self.measured(d);
        let sure = format!("{}: {}", words::percent(d.confidence), words::confidence(d));
        self.label("sure", &sure);
        self.label("refuted by", &d.refuted_by);
        self.fixes(d);
        for (i, child) in self.explained(d, 0).into_iter().enumerate() {
            self.folded(child, if i == 0 { "explains" } else { "" }, 0);
        }
        if self.options.verbose {
            self.verbose(d);
        }
    }

    fn label(&mut self, label: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        let head = format!("{:INDENT$}{label:<width$}", "", width = COLUMN - INDENT);
        self.page.prose(&[(&head, Style::Dim)], COLUMN, text);
    }

    fn measured(&mut self, d: &Diagnosis) {
        let values: Vec<String> = d.evidence.iter().map(|e| self.page.clean(&words::values(e))).collect();
        let widest = values.iter().map(|v| v.width()).filter(|w| *w <= 24).max().unwrap_or(0);
        for (i, (e, value)) in d.evidence.iter().zip(&values).enumerate() {
            let label = if i == 0 { "measured" } else { "" };
            let label = format!("{:INDENT$}{label:<width$}", "", width = COLUMN - INDENT);
            if value.width() > widest {
                self.page.hang(&[(&label, Style::Dim)], COLUMN, value, Style::Strong);
                self.page.prose(&[], COLUMN + 2, &words::conjunct(e));
                continue;
            }
            let pad = " ".repeat(widest - value.width() + 2);
            self.page.prose(
                &[(&label, Style::Dim), (value, Style::Strong), (&pad, Style::Plain)],
                COLUMN + widest + 2,
                &words::conjunct(e),
            );
        }
    }

    fn timeline(&mut self, d: &Diagnosis) {
        let rows: Vec<[String; 5]> = words::timeline(d)
            .into_iter()
            .map(|(layer, w)| {
                let what = if w.detail.is_empty() {
                    w.op.clone()
                } else {
                    format!("{}: {}", w.op, w.detail)
                };
                let cells = [
                    words::offset(w.when.start, self.zero(d)),
                    show_dur(w.when.len()),
                    layer.to_owned(),
                    words::thread(w),
                    what,
                ];
                cells.map(|c| self.page.clean(&c.replace('\n', " ")))
            })
            .collect();
        if rows.is_empty() {
            return;
        }
        let head = ["AT", "LASTED", "LAYER", "THREAD", "EVENT"];
        let widest = |i: usize| rows.iter().map(|r| r[i].width()).max().unwrap_or(0).max(head[i].len());
        let left = if self.page.width < ROOMY { INDENT + 2 } else { COLUMN };
        // A long thread name must not push the event off the page.
        let spare = self
            .page
            .width
            .saturating_sub(left + widest(0) + widest(1) + widest(2) + 8 + 16);
        let thread = widest(3).min(spare.max(8));
        let columns = [widest(0), widest(1), widest(2), thread];
        let line = |cells: [&str; 4]| {
            let [at, lasted, layer, thread] = cells;
            format!(
                "{}  {}  {}  {}  ",
                fit(at, columns[0], true),
                fit(lasted, columns[1], true),
                fit(layer, columns[2], false),
                fit(thread, columns[3], false)
            )
        };
        let indent = left + columns.iter().sum::<usize>() + 8;
        let mut label = format!("{:INDENT$}{:<width$}", "", "timeline", width = COLUMN - INDENT);
        if left < COLUMN {
            self.page.line(&[(&label, Style::Dim)]);
            label = " ".repeat(left);
        }
        self.page.hang(
            &[
                (&label, Style::Dim),
                (&line([head[0], head[1], head[2], head[3]]), Style::Dim),
            ],
            indent,
            head[4],
            Style::Dim,
        );
        for [at, lasted, layer, thread, what] in &rows {
            let cells = format!("{:left$}{}", "", line([at, lasted, layer, thread]));
            self.page.hang(&[(&cells, Style::Plain)], indent, what, Style::Plain);
        }
    }

    fn fixes(&mut self, d: &Diagnosis) {
        match d.fixes.as_slice() {
            [] => {}
            [only] => self.label("fix", only),
            many => {
                for (i, fix) in many.iter().enumerate() {
                    let label = if i == 0 { "fix" } else { "" };
                    let head = format!("{:INDENT$}{label:<width$}{}. ", "", i + 1, width = COLUMN - INDENT);
                    self.page.prose(&[(&head, Style::Dim)], COLUMN + 3, fix);
                }
            }
        }
    }

    fn folded(&mut self, d: &'a Diagnosis, label: &str, depth: usize) {
        let column = COLUMN + 2 * depth;
        let head = format!("{:INDENT$}{label:<width$}", "", width = column - INDENT);
        let level = format!("#{} {} ", d.rank, words::level(d.severity));
        let place = words::place(&d.key, self.with_node);
        let mut about = format!("{place}, {}", words::when(d, self.zero(d)));
        let _ = write!(about, "; {} sure", words::percent(d.confidence));
        self.page.prose(
            &[
                (&head, Style::Dim),
                (&level, Style::Level(d.severity)),
                (&d.rule, Style::Strong),
                (": ", Style::Plain),
            ],
            column + 2,
            &about,
        );
        if !d.message.is_empty() {
            self.page.prose(&[], column + 2, &d.message);
        }
        for e in &d.evidence {
            self.page.hang(&[], column + 2, &words::evidence(e), Style::Dim);
        }
        for child in self.explained(d, depth + 1) {
            self.folded(child, "", depth + 1);
        }
    }

    fn verbose(&mut self, d: &Diagnosis) {
        let f = &d.factors;
        let score = format!(
            "{} from severity {}, sure {}, share of time lost {}",
            words::decimal(d.score),
            words::decimal(f.severity),
            words::decimal(d.confidence),
            words::decimal(f.time_lost)
        );
        self.label("score", &score);
        self.label("about", d.explanation.trim());
        for (i, r) in d.refs.iter().enumerate() {
            self.label(if i == 0 { "references" } else { "" }, r);
        }
    }

    fn heading(&mut self, text: &str) {
        self.page.blank();
        self.page.hang(&[], 0, text, Style::Strong);
    }

    fn unjudged(&mut self) {
        let groups = words::unjudged(self.report.analysis);
        let partly = words::partly(self.report.analysis);
        if groups.is_empty() && partly.is_empty() {
            return;
        }
        self.heading("Could not be judged");
        for (status, reason, rules) in groups {
            let names: Vec<&str> = rules.iter().map(|r| r.name.as_str()).collect();
            let head = match (status, reason) {
                (Status::Unknown, "") => "the trace cannot tell".to_owned(),
                (_, "") => "the trace lacks what it needs".to_owned(),
                (_, reason) => reason.trim_end_matches('.').to_owned(),
            };
            self.page.hang(
                &[("  - ", Style::Dim)],
                4,
                &format!("{head}: {}", names.join(", ")),
                Style::Plain,
            );
        }
        if !partly.is_empty() {
            self.page.hang(
                &[("  - ", Style::Dim)],
                4,
                &format!("judged for some, not for others: {}", partly.join(", ")),
                Style::Plain,
            );
        }
    }

    fn near_misses(&mut self) {
        let misses = &self.report.analysis.near_misses;
        if misses.is_empty() {
            return;
        }
        self.heading("Near misses");
        for m in misses.iter().take(NEAR_MISSES) {
            let place = words::place(&m.key, self.with_node);
            self.page.hang(
                &[("  - ", Style::Dim), (&m.rule, Style::Plain), (" ", Style::Plain)],
                4,
                &format!("{place}: {}", m.reason),
                Style::Plain,
            );
        }
        if misses.len() > NEAR_MISSES {
            let line = format!("and {} more in the JSON report", misses.len() - NEAR_MISSES);
            self.page.hang(&[("    ", Style::Dim)], 4, &line, Style::Dim);
        }
    }

    fn stored(&mut self) {
        let contested = words::contested(self.report.analysis);
        let agreed = self.report.analysis.stored.len() - contested.len();
        if contested.is_empty() && agreed == 0 {
            return;
        }
        self.heading("Verdicts stored in the files");
        for v in contested {
            let several = self.report.analysis.traces.len() > 1;
            let mut head = words::stored_head(v, self.with_node);
            if several {
                head = format!("{}: {head}", v.path);
            }
            self.page.hang(&[("  - ", Style::Dim)], 4, &head, Style::Plain);
            self.page.hang(&[], 6, &words::stored_body(v), Style::Plain);
        }
        if agreed > 0 {
            let line = match agreed {
                1 => "1 is confirmed by the evidence".to_owned(),
                n => format!("{n} are confirmed by the evidence"),
            };
            self.page.hang(&[("  - ", Style::Dim)], 4, &line, Style::Plain);
        }
    }

    fn rules(&mut self) {
        self.heading("Every rule");
        for r in &self.report.analysis.rules {
            let status = r.status.name().replace('_', " ");
            let mut line = format!("{status}, {}", r.file);
            if r.keys.0 > 0 {
                let _ = write!(line, ", {} judged", words::plural(words::size(r.keys.0), "key"));
            }
            self.page.hang(
                &[("  - ", Style::Dim), (&r.name, Style::Plain), (": ", Style::Plain)],
                4,
                &line,
                Style::Plain,
            );
        }
    }

    fn coverage(&mut self) {
        self.heading(if self.report.analysis.traces.len() == 1 {
            "Trace"
        } else {
            "Traces"
        });
        for t in &self.report.analysis.traces {
            self.page.hang(
                &[("  - ", Style::Dim)],
                4,
                &words::coverage(t, self.report.window),
                Style::Plain,
            );
            for p in t
                .gpu_processes
                .iter()
                .take(if self.options.verbose { usize::MAX } else { 3 })
            {
                let steady = if p.steady_ns > 0 {
                    format!("steady for {}", show_dur(p.steady_ns))
                } else {
                    "never steady".to_owned()
                };
                let node = if self.with_node {
                    format!(" on {}", p.node)
                } else {
                    String::new()
                };
                let line = format!(
                    "GPU process {}[{}]{node}: {}, {steady}",
                    p.name,
                    p.pid,
                    words::launches(p.launches),
                );
                self.page.hang(&[("    ", Style::Plain)], 4, &line, Style::Plain);
            }
            for note in &t.notes {
                self.page.hang(&[("    ", Style::Plain)], 4, note, Style::Plain);
            }
            if self.options.verbose && !t.reader.is_empty() {
                self.page.hang(
                    &[("    ", Style::Plain)],
                    6,
                    &format!("read by {}", t.reader),
                    Style::Dim,
                );
            }
        }
        let a = self.report.analysis;
        if self.report.window.is_some() {
            for line in words::only(a, "judged") {
                self.page.hang(&[("  - ", Style::Dim)], 4, &line, Style::Plain);
            }
        }
        if let Some(line) = words::origin(a).filter(|_| !a.diagnoses.is_empty()) {
            self.page.hang(&[("  - ", Style::Dim)], 4, &line, Style::Dim);
        }
    }
}

/// A row of the summary in pieces: the severity in its colour, the name of the rule strong. The
/// columns before these hold one character a column.
fn summary_pieces(line: &str, columns: Option<[usize; 3]>) -> Vec<(String, Style)> {
    let Some([rank, severity, what]) = columns else {
        return vec![(line.to_owned(), Style::Plain)];
    };
    let mut chars = line.chars();
    let mut take = |n: usize| chars.by_ref().take(n).collect::<String>();
    let (rank, severity, what) = (take(rank), take(severity), take(what));
    let level = Severity::by_name(&severity.trim().to_lowercase());
    vec![
        (rank, Style::Dim),
        (severity, level.map_or(Style::Plain, Style::Level)),
        (what, Style::Strong),
        (chars.collect(), Style::Plain),
    ]
}
