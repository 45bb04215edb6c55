//! The explanation for people.

use unicode_width::UnicodeWidthStr;

use super::{Chain, Parts, stored};
use crate::diagnosis::{Diagnosis, Measured, Witness};
use crate::report::paint::{Page, Style, fit};
use crate::report::{MIN_WIDTH, Report, TextOptions, words};
use crate::unit::{Dim, Num, show_dur};
use crate::view::{OffCpu, OpProfile, ProcessProfile, ThreadProfile, Unfinished};

/// Where the text of a chain or a process starts.
const INDENT: usize = 3;
/// Where the values beside the labels of a chain start.
const COLUMN: usize = 15;
/// Threads listed for a process.
const THREADS: usize = 8;
/// Columns that the name of an operation or a thread keeps.
const NAME: usize = 14;

/// Renders the parts asked for; ends with a line feed. `top` bounds the chains and the processes.
pub fn render(report: &Report<'_>, parts: &Parts<'_>, options: &TextOptions) -> String {
    let mut text = Text {
        report,
        top: options.top,
        page: Page::new(options.width.max(MIN_WIDTH), options.color, options.ascii),
        with_node: words::several_nodes(report.analysis),
    };
    text.head();
    if parts.chains {
        text.chains();
    }
    if let Some(processes) = parts.processes {
        text.processes(processes);
    }
    if parts.stored {
        text.stored();
    }
    text.tail(parts);
    text.page.finish()
}

/// Renders only the verdicts stored in the files; ends with a line feed.
pub fn stored(report: &Report<'_>, options: &TextOptions) -> String {
    let mut page = Page::new(options.width.max(MIN_WIDTH), options.color, options.ascii);
    stored::table(&mut page, report);
    page.finish()
}

struct Text<'a> {
    report: &'a Report<'a>,
    top: usize,
    page: Page,
    with_node: bool,
}

impl Text<'_> {
    fn zero(&self, node: &str) -> i64 {
        words::zero(self.report.analysis, node)
    }

    fn head(&mut self) {
        for p in self.report.problems {
            let line = format!("{} {}: {}", p.kind.name(), p.path, p.message);
            self.page.hang(&[("! ", Style::Alarm)], 2, &line, Style::Alarm);
        }
        for t in &self.report.analysis.traces {
            self.page
                .hang(&[], 0, &words::coverage(t, self.report.window), Style::Plain);
            for note in &t.notes {
                self.page.hang(&[("  ", Style::Plain)], 2, note, Style::Plain);
            }
        }
        if self.report.window.is_some() {
            for line in words::only(self.report.analysis, "looked at") {
                let line = format!("{line} What reaches beyond counts whole.");
                self.page.hang(&[], 2, &line, Style::Plain);
            }
        }
    }

    fn heading(&mut self, text: &str) {
        self.page.blank();
        self.page.hang(&[], 0, text, Style::Strong);
    }

    fn label(&mut self, label: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        let head = format!("{:INDENT$}{label:<width$}", "", width = COLUMN - INDENT);
        self.page.prose(&[(&head, Style::Dim)], COLUMN, text);
    }

    fn chains(&mut self) {
        let analysis = self.report.analysis;
        let chains = Chain::all(analysis);
        self.heading(&words::headline(analysis));
        self.page.hang(&[], 0, &words::checked(analysis), Style::Dim);
        for (i, chain) in chains.iter().take(self.top).enumerate() {
            self.page.blank();
            self.chain(i + 1, chain);
        }
        if chains.len() > self.top {
            self.page.blank();
            let line = format!("and {} more: --top {}", chains.len() - self.top, chains.len());
            self.page.hang(&[], 2, &line, Style::Dim);
        }
    }

    fn chain(&mut self, number: usize, chain: &Chain<'_>) {
        let d = chain.root;
        let level = format!("[{}] ", words::level(d.severity));
        let title = if d.title.is_empty() { &d.rule } else { &d.title };
        self.page.prose(
            &[
                (&format!("{number:<width$} ", width = INDENT - 1), Style::Dim),
                (&level, Style::Level(d.severity)),
                (title, Style::Strong),
            ],
            INDENT,
            "",
        );
        self.page.prose(&[], INDENT, &d.message);
        self.page.blank();
        self.label("where", &words::place(&d.key, true));
        self.label("when", &words::when(d, self.zero(&d.key.node)));
        self.timeline(chain);
        self.label("root cause", &self.root_cause(d));
        for (i, (depth, effect)) in chain.effects.iter().enumerate() {
            let label = if i == 0 { "leads to" } else { "" };
            let head = format!("{:INDENT$}{label:<width$}", "", width = COLUMN - INDENT);
            let indent = "  ".repeat(*depth);
            let level = format!("{indent}[{}] ", words::level(effect.severity));
            let sure = words::percent(effect.confidence);
            let line = format!("{}: {} ({sure} sure)", effect.rule, effect.message);
            self.page.prose(
                &[(&head, Style::Dim), (&level, Style::Level(effect.severity))],
                COLUMN + 2 + indent.len(),
                &line,
            );
        }
        self.fixes(d);
        self.label("refuted by", &d.refuted_by);
    }

    /// The rule, and how far its proof reaches.
    fn root_cause(&self, d: &Diagnosis) -> String {
        let place = words::place(&d.key, self.with_node);
        let sure = words::percent(d.confidence);
        format!("{} at {place}. {sure} sure: {}.", d.rule, words::confidence(d))
    }

    fn timeline(&mut self, chain: &Chain<'_>) {
        let zero = self.zero(&chain.root.key.node);
        let rows: Vec<[String; 4]> = words::timeline_of(&chain.members())
            .into_iter()
            .map(|(layer, w)| {
                let cells = [
                    words::offset(w.when.start, zero),
                    show_dur(w.when.len()),
                    format!("[{layer}]"),
                    event(w),
                ];
                cells.map(|c| self.page.clean(&c.replace('\n', " ")))
            })
            .collect();
        let widest = |i: usize| rows.iter().map(|r| r[i].width()).max().unwrap_or(0);
        let widths = [widest(0), widest(1), widest(2)];
        let left = if self.page.width < 100 { INDENT + 2 } else { COLUMN };
        for (i, [at, lasted, layer, what]) in rows.iter().enumerate() {
            let label = if i == 0 { "timeline" } else { "" };
            let mut head = format!("{:INDENT$}{label:<width$}", "", width = COLUMN - INDENT);
            if left < COLUMN {
                if i == 0 {
                    self.page.line(&[(&head, Style::Dim)]);
                }
                head = " ".repeat(left);
            }
            let cells = format!(
                "{}  {}  {}  ",
                fit(at, widths[0], true),
                fit(lasted, widths[1], true),
                fit(layer, widths[2], false)
            );
            let indent = left + widths.iter().sum::<usize>() + 6;
            self.page.hang(
                &[(&head, Style::Dim), (&cells, Style::Plain)],
                indent,
                what,
                Style::Plain,
            );
        }
    }

    fn fixes(&mut self, d: &Diagnosis) {
        match d.fixes.as_slice() {
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

    fn processes(&mut self, processes: &[ProcessProfile]) {
        let doing = match processes.len() {
            0 => "No process did anything that was recorded.".to_owned(),
            1 => "1 process did something.".to_owned(),
            n => format!("{} processes did something.", words::count(words::size(n))),
        };
        self.heading(&doing);
        for p in processes.iter().take(self.top) {
            self.page.blank();
            self.process(p);
        }
        if processes.len() > self.top {
            self.page.blank();
            let line = format!("and {} more: --top {}", processes.len() - self.top, processes.len());
            self.page.hang(&[], 2, &line, Style::Dim);
        }
    }

    fn process(&mut self, p: &ProcessProfile) {
        let name = if p.name.is_empty() {
            format!("pid {}", p.pid)
        } else {
            format!("{}[{}]", p.name, p.pid)
        };
        let node = if p.node.is_empty() {
            String::new()
        } else {
            format!("on {}, ", p.node)
        };
        let gpu = if p.uses_gpu { ", uses the GPU" } else { "" };
        let zero = self.zero(&p.node);
        let (from, to) = (words::offset(p.alive.start, zero), words::offset(p.alive.end, zero));
        let life = format!("{node}{from} to {to} ({}){gpu}", show_dur(p.alive.len()));
        self.page
            .hang(&[(&name, Style::Strong), (" ", Style::Plain)], 2, &life, Style::Plain);
        let head = ["CALL", "CALLS", "AVG", "P50", "P99", "MAX", "TOTAL"];
        self.columns(&head, &p.ops.iter().map(op_cells).collect::<Vec<_>>());
        self.inside(p);
        self.unfinished(p);
        self.allocations(p);
        let mut reasons: Vec<&str> = p.ops.iter().map(|o| o.reason.as_str()).collect();
        let off_cpu: Vec<(&ThreadProfile, &OffCpu)> = p
            .threads
            .iter()
            .filter_map(|t| t.off_cpu.as_ref().map(|o| (t, o)))
            .collect();
        if !off_cpu.is_empty() {
            let head = ["THREAD", "SWITCHES", "OFF CPU", "RUN QUEUE", "SLEEP", "I/O", "UNKNOWN"];
            let rows = off_cpu.iter().take(THREADS).map(|(t, o)| off_cpu_cells(t, o));
            self.columns(&head, &rows.collect::<Vec<_>>());
            self.more_threads(off_cpu.len());
            reasons.extend(off_cpu.iter().map(|(_, o)| o.reason.as_str()));
        }
        self.by_thread(p, &mut reasons);
        reasons.retain(|r| !r.is_empty());
        reasons.sort_unstable();
        reasons.dedup();
        for reason in reasons {
            self.page
                .hang(&[("   not exact: ", Style::Dim)], INDENT + 2, reason, Style::Dim);
        }
    }

    /// Calls by thread, where more than one makes any: the whole process says it otherwise.
    fn by_thread<'p>(&mut self, p: &'p ProcessProfile, reasons: &mut Vec<&'p str>) {
        let calling: Vec<&ThreadProfile> = p.threads.iter().filter(|t| !t.ops.is_empty()).collect();
        if calling.len() < 2 {
            return;
        }
        for t in calling.iter().take(THREADS) {
            let head = thread_name(t);
            self.columns(
                &[&head, "CALLS", "AVG", "P50", "P99", "MAX", "TOTAL"],
                &t.ops.iter().map(op_cells).collect::<Vec<_>>(),
            );
            reasons.extend(t.ops.iter().map(|o| o.reason.as_str()));
        }
        self.more_threads(calling.len());
    }

    fn more_threads(&mut self, all: usize) {
        if all > THREADS {
            let line = format!("and {} more threads: --format json", all - THREADS);
            self.page.hang(&[("     ", Style::Dim)], INDENT + 2, &line, Style::Dim);
        }
    }

    /// Which calls are told twice, so that nobody adds up the totals.
    fn inside(&mut self, p: &ProcessProfile) {
        let one = |o: &OpProfile| format!("{} {} of {}", o.op, words::count(o.inside), words::count(o.stored));
        let all: Vec<String> = p.ops.iter().filter(|o| o.inside > 0).map(one).collect();
        if !all.is_empty() {
            let line = format!("{}: inside runtime calls, whose time holds theirs", all.join(", "));
            self.page
                .hang(&[("   inside     ", Style::Dim)], INDENT + 11, &line, Style::Plain);
        }
    }

    /// Calls that did not return, which no count holds.
    fn unfinished(&mut self, p: &ProcessProfile) {
        let zero = self.zero(&p.node);
        let one = |u: &Unfinished| {
            let since = words::offset(u.when.start, zero);
            let so_far = show_dur(u.when.len());
            format!("{} of thread {}, since {since} ({so_far} so far)", u.op, u.tid)
        };
        let mut all: Vec<String> = p.unfinished.iter().take(THREADS).map(one).collect();
        if p.unfinished.len() > THREADS {
            all.push(format!("and {} more: --format json", p.unfinished.len() - THREADS));
        }
        if !all.is_empty() {
            self.page.hang(
                &[("   unfinished ", Style::Dim)],
                INDENT + 11,
                &all.join("; "),
                Style::Plain,
            );
        }
    }

    fn allocations(&mut self, p: &ProcessProfile) {
        let one = |o: &OpProfile| {
            let times = match o.calls {
                Measured::Exact(Num::ONE) => "once".to_owned(),
                calls => format!("{} times", words::bound(calls, Dim::NONE)),
            };
            match o.bytes {
                Some(bytes) => format!("{} {times}, {}", o.op, words::bound(bytes, Dim::BYTES)),
                None => format!("{} {times}", o.op),
            }
        };
        let all: Vec<String> = p.ops.iter().filter(|o| o.allocates).map(one).collect();
        if !all.is_empty() {
            self.page.hang(
                &[("   allocated  ", Style::Dim)],
                INDENT + 11,
                &all.join("; "),
                Style::Plain,
            );
        }
    }

    /// Columns that fit the page: the first one shrinks, and if that is not enough each row becomes
    /// a paragraph.
    fn columns(&mut self, head: &[&str], rows: &[Vec<String>]) {
        if rows.is_empty() {
            return;
        }
        let clean = |c: &String| self.page.clean(&c.replace('\n', " "));
        let head: Vec<String> = head.iter().map(|h| clean(&(*h).to_owned())).collect();
        let rows: Vec<Vec<String>> = rows.iter().map(|r| r.iter().map(clean).collect()).collect();
        let widest = |i: usize| {
            rows.iter()
                .chain([&head])
                .filter_map(|r| r.get(i))
                .map(|c| c.width())
                .max()
        };
        let mut widths: Vec<usize> = (0..head.len()).map(|i| widest(i).unwrap_or(0)).collect();
        let rest: usize = widths.iter().skip(1).map(|w| w + 2).sum();
        let room = self.page.width.saturating_sub(INDENT + rest);
        if room < NAME.min(widths[0]) {
            for row in &rows {
                let values = head
                    .iter()
                    .zip(row)
                    .skip(1)
                    .map(|(h, c)| format!("{} {c}", h.to_lowercase()));
                let line = values.collect::<Vec<_>>().join(", ");
                let name = format!("{:INDENT$}{}  ", "", row[0]);
                self.page
                    .hang(&[(&name, Style::Plain)], INDENT + 4, &line, Style::Plain);
            }
            return;
        }
        widths[0] = widths[0].min(room);
        for (i, row) in std::iter::once(&head).chain(&rows).enumerate() {
            let cells = row.iter().zip(&widths).enumerate().map(|(k, (c, w))| {
                let pad = if k == 0 { "" } else { "  " };
                format!("{pad}{}", fit(c, *w, k > 0))
            });
            let line = format!("{:INDENT$}{}", "", cells.collect::<String>());
            self.page
                .line(&[(&line, if i == 0 { Style::Dim } else { Style::Plain })]);
        }
    }

    fn stored(&mut self) {
        self.page.blank();
        stored::table(&mut self.page, self.report);
    }

    fn tail(&mut self, parts: &Parts<'_>) {
        let a = self.report.analysis;
        let mut notes = Vec::new();
        if parts.chains {
            let unjudged: usize = words::unjudged(a).iter().map(|(.., rules)| rules.len()).sum();
            if unjudged > 0 {
                notes.push("`ingero analyze` says why rules could not be judged, and what came near.".to_owned());
            }
            let contested = words::contested(a).len();
            if contested > 0 && !parts.stored {
                let noun = words::plural(words::size(contested), "verdict");
                notes.push(format!(
                    "The evidence does not bear out {noun} stored in the files: --chains shows them."
                ));
            }
        }
        if parts.chains || parts.processes.is_some() {
            notes.extend(words::origin(self.report.analysis));
        }
        if !notes.is_empty() {
            self.page.blank();
        }
        for note in notes {
            self.page.hang(&[], 0, &note, Style::Dim);
        }
    }
}

/// `cudaLaunchKernel: first use, thread 4211 VLLM::EngineCor`.
fn event(w: &Witness) -> String {
    let mut out = w.op.clone();
    if !w.detail.is_empty() {
        out = format!("{out}: {}", w.detail);
    }
    let thread = words::thread(w);
    if thread.is_empty() {
        out
    } else {
        format!("{out} ({thread})")
    }
}

fn thread_name(t: &ThreadProfile) -> String {
    format!("{} {}", t.tid, t.name).trim_end().to_owned()
}

fn op_cells(o: &OpProfile) -> Vec<String> {
    // What has no length is only counted.
    let instant = o.max == Measured::Exact(Num::ZERO);
    let time = |m: Measured| {
        if instant {
            "-".to_owned()
        } else {
            words::bound(m, Dim::TIME)
        }
    };
    let calls = words::bound(o.calls, Dim::NONE);
    let only_inside = o.inside > 0 && o.inside == o.stored;
    let mut out = vec![format!("{}{}", if only_inside { "  " } else { "" }, o.op), calls];
    out.extend([o.avg, o.p50, o.p99, o.max, o.total].map(time));
    out
}

fn off_cpu_cells(t: &ThreadProfile, o: &OffCpu) -> Vec<String> {
    let part = |ns: i64| if ns == 0 { "-".to_owned() } else { show_dur(ns) };
    vec![
        thread_name(t),
        words::bound(o.switches, Dim::NONE),
        words::bound(o.total, Dim::TIME),
        part(o.parts.runq),
        part(o.parts.sleep),
        part(o.parts.io_wait),
        part(o.parts.unknown),
    ]
}
