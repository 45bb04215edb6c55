//! The report as one page: no network, no fonts or scripts from elsewhere, complete without script.
//!
//! Its policy allows only the style and the script that are compiled in, by their hashes, so that no
//! text out of a trace can ever run, even if escaping failed. The size depends on the number of
//! findings shown, not on the events of the trace.

mod chart;
mod timeline;

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::paint::clean;
use super::{Report, words};
use crate::diagnosis::{Diagnosis, Status};
use crate::unit::show_dur;
use crate::view::{Drawing, Picture};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");
/// Rows of the ranking.
const RANKED: usize = 200;
/// Near misses, stored verdicts and the like.
const LISTED: usize = 50;
/// Characters of a text from a trace or a rule.
const LONGEST: usize = 600;

/// Renders the page with the `top` first primary findings in full; ends with a line feed.
pub fn render(report: &Report<'_>, drawing: &Drawing, top: usize) -> String {
    let mut page = Html {
        out: String::new(),
        report,
        drawing,
        with_node: words::several_nodes(report.analysis),
    };
    page.head();
    page.ranking();
    page.findings(top);
    page.coverage();
    page.lists();
    page.foot();
    page.out
}

struct Html<'a> {
    out: String,
    report: &'a Report<'a>,
    drawing: &'a Drawing,
    with_node: bool,
}

impl<'a> Html<'a> {
    fn zero(&self, node: &str) -> i64 {
        words::zero(self.report.analysis, node)
    }

    fn head(&mut self) {
        let a = self.report.analysis;
        let headline = words::headline(a);
        let policy = format!(
            "default-src 'none'; style-src '{}'; script-src '{}'; img-src data:; base-uri 'none'; form-action 'none'",
            hash(STYLE),
            hash(SCRIPT)
        );
        let _ = write!(
            self.out,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <link rel=\"icon\" href=\"data:,\">\n<title>Ingero: {title}</title>\n<style>{STYLE}</style>\n</head>\n\
             <body>\n<a class=\"skip\" href=\"#findings\">Skip to the findings</a>\n<header>\n<h1>{title}</h1>\n\
             <p>{checked}</p>\n",
            title = escape(&headline),
            checked = escape(&words::checked(a)),
        );
        for p in self.report.problems {
            let text = format!("{} {}: {}", p.kind.name(), p.path, p.message);
            let _ = writeln!(self.out, "<p class=\"problem\">{}</p>", escape(&text));
        }
        if self.report.window.is_some() {
            for text in words::only(a, "judged") {
                let _ = writeln!(self.out, "<p>{text}</p>");
            }
        }
        self.out.push_str(
            "<p class=\"dim keys\">Keys: <kbd>j</kbd> and <kbd>k</kbd> walk the findings; in a timeline <kbd>+</kbd> \
             and <kbd>-</kbd> zoom, the arrows move, <kbd>0</kbd> shows all.</p>\n</header>\n<main>\n",
        );
    }

    fn ranking(&mut self) {
        let a = self.report.analysis;
        if a.diagnoses.is_empty() {
            let quiet = a.rules.iter().filter(|r| r.status == Status::Quiet);
            let names: Vec<&str> = quiet.map(|r| r.name.as_str()).collect();
            if !names.is_empty() {
                let _ = writeln!(
                    self.out,
                    "<p>Checked and not present: {}.</p>",
                    escape(&names.join(", "))
                );
            }
            return;
        }
        self.out.push_str(
            "<nav class=\"scroll\" aria-label=\"Findings, ranked\">\n<table aria-label=\"Findings, ranked\">\n<thead><tr><th class=\"n\">#</th>\
             <th>Severity</th><th>What</th><th>Where</th><th class=\"n\">Lost</th><th class=\"n\">Sure</th></tr></thead>\n\
             <tbody>\n",
        );
        for d in a.diagnoses.iter().take(RANKED) {
            let lost = if d.impact_ns > 0 {
                show_dur(d.impact_ns)
            } else {
                "-".to_owned()
            };
            let under = if d.explained_by.is_some() {
                " class=\"under\""
            } else {
                ""
            };
            let name = escape(&d.rule);
            let link = if self.picture(d).is_some() {
                format!("<a href=\"#f{}\">{name}</a>", d.rank)
            } else {
                name
            };
            let _ = writeln!(
                self.out,
                "<tr><td class=\"n\">{}</td><td class=\"level {}\">{}</td><td{under}>{link}</td><td>{}</td>\
                 <td class=\"n\">{lost}</td><td class=\"n\">{}</td></tr>",
                d.rank,
                d.severity.name(),
                words::level(d.severity),
                escape(&words::place(&d.key, self.with_node)),
                words::percent(d.confidence),
            );
        }
        self.out.push_str("</tbody>\n</table>\n</nav>\n");
        self.more(a.diagnoses.len(), RANKED);
    }

    fn more(&mut self, all: usize, shown: usize) {
        if all > shown {
            let left = words::count(words::size(all - shown));
            let _ = writeln!(
                self.out,
                "<p class=\"dim\">and {left} more: --format json has them all</p>"
            );
        }
    }

    fn picture(&self, d: &Diagnosis) -> Option<&'a Picture> {
        let pictures = self.drawing.pictures.iter();
        let mut own = pictures.filter(|p| p.diagnosis + 1 == d.rank);
        own.next()
    }

    fn findings(&mut self, top: usize) {
        let primaries = words::primaries(self.report.analysis);
        if primaries.is_empty() {
            return;
        }
        self.out.push_str("<section id=\"findings\" aria-label=\"Findings\">\n");
        let shown = primaries.iter().take(top);
        let drawn: Vec<(&Diagnosis, &Picture)> = shown.filter_map(|d| Some((*d, self.picture(d)?))).collect();
        for (d, picture) in &drawn {
            self.open(d, 2);
            self.finding(d, picture);
            let effects = words::effects(self.report.analysis, d);
            for (_, effect) in effects {
                if let Some(picture) = self.picture(effect) {
                    self.open(effect, 3);
                    self.finding(effect, picture);
                    self.out.push_str("</article>\n");
                }
            }
            self.out.push_str("</article>\n");
        }
        let left = primaries.len() - drawn.len();
        if left > 0 {
            let _ = writeln!(
                self.out,
                "<p class=\"dim\">{} not shown in full: --top {}</p>",
                words::plural(words::size(left), "finding"),
                primaries.len()
            );
        }
        self.out.push_str("</section>\n");
    }

    fn open(&mut self, d: &Diagnosis, heading: u8) {
        let rank = d.rank;
        let title = if d.title.is_empty() { &d.rule } else { &d.title };
        let explained = if heading == 3 {
            "<span class=\"dim\">Explained by the above:</span> "
        } else {
            ""
        };
        let _ = writeln!(
            self.out,
            "<article id=\"f{rank}\" tabindex=\"-1\" aria-labelledby=\"f{rank}h\">\n<h{heading} id=\"f{rank}h\">{rank}. \
             <span class=\"level {}\">{}</span> {explained}{} <code>{}</code></h{heading}>",
            d.severity.name(),
            words::level(d.severity),
            escape(title),
            escape(&d.rule),
        );
    }

    fn finding(&mut self, d: &Diagnosis, picture: &Picture) {
        let _ = writeln!(self.out, "<p>{}</p>\n<dl>", escape(&d.message));
        self.term("Where", &escape(&words::place(&d.key, true)));
        self.term("When", &escape(&words::when(d, self.zero(&d.key.node))));
        let sure = format!("{}: {}", words::percent(d.confidence), words::confidence(d));
        self.term("Sure", &escape(&sure));
        for e in &d.evidence {
            let value = format!(
                "<strong>{}</strong> <code>{}</code>",
                escape(&words::values(e)),
                escape(&words::conjunct(e))
            );
            self.term("Measured", &value);
        }
        match d.fixes.as_slice() {
            [] => {}
            [one] => self.term("Fix", &escape(one)),
            many => {
                let items: Vec<String> = many.iter().map(|f| escape(f)).collect();
                self.term("Fix", &format!("<ol><li>{}</li></ol>", items.join("</li><li>")));
            }
        }
        if !d.refuted_by.is_empty() {
            self.term("Refuted by", &escape(&d.refuted_by));
        }
        self.out.push_str("</dl>\n");
        let zero = self.zero(&d.key.node);
        timeline::of_picture(&mut self.out, d, picture, zero);
        for (i, histogram) in picture.histograms.iter().enumerate() {
            chart::histogram(&mut self.out, histogram, &format!("f{}c{i}", d.rank));
        }
        self.events(d);
    }

    fn term(&mut self, name: &str, html: &str) {
        let _ = writeln!(self.out, "<dt>{name}</dt><dd>{html}</dd>");
    }

    fn events(&mut self, d: &Diagnosis) {
        let zero = self.zero(&d.key.node);
        let rows = words::timeline(d);
        if rows.is_empty() {
            return;
        }
        let _ = write!(
            self.out,
            "<details>\n<summary>The {} it rests on</summary>\n<div class=\"scroll\"><table aria-label=\"Events of finding {}\">\n<thead><tr>\
             <th class=\"n\">At</th><th class=\"n\">Lasted</th><th>Layer</th><th class=\"wide\">Thread</th>\
             <th>Event</th></tr></thead>\n<tbody>\n",
            words::plural(words::size(rows.len()), "event"),
            d.rank
        );
        for (layer, w) in rows {
            let what = if w.detail.is_empty() {
                w.op.clone()
            } else {
                format!("{}: {}", w.op, w.detail)
            };
            let _ = writeln!(
                self.out,
                "<tr><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{layer}</td><td class=\"wide\">{}</td>\
                 <td>{}</td></tr>",
                words::offset(w.when.start, zero),
                show_dur(w.when.len()),
                escape(&words::thread(w)),
                escape(&what)
            );
        }
        self.out.push_str("</tbody>\n</table></div>\n</details>\n");
    }

    fn coverage(&mut self) {
        let a = self.report.analysis;
        self.out
            .push_str("<section aria-labelledby=\"coverage\">\n<h2 id=\"coverage\">What the trace covers</h2>\n<ul>\n");
        for t in a.traces.iter().take(LISTED) {
            let _ = write!(self.out, "<li>{}", escape(&words::coverage(t, self.report.window)));
            for note in t.notes.iter().take(LISTED) {
                let _ = write!(self.out, "<br><span class=\"dim\">{}</span>", escape(note));
            }
            self.out.push_str("</li>\n");
        }
        self.out.push_str("</ul>\n");
        self.more(a.traces.len(), LISTED);
        for (i, c) in self.drawing.coverage.iter().take(LISTED).enumerate() {
            let here = a
                .diagnoses
                .iter()
                .filter(|d| d.key.node == c.node && d.explained_by.is_none());
            let findings: Vec<&Diagnosis> = here.take(LISTED).collect();
            let zero = self.zero(&c.node);
            timeline::of_coverage(&mut self.out, c, &findings, i, zero);
        }
        if let Some(text) = words::origin(a) {
            let _ = writeln!(self.out, "<p class=\"dim\">{}</p>", escape(&text));
        }
        self.out.push_str("</section>\n");
    }

    fn lists(&mut self) {
        let a = self.report.analysis;
        let mut unjudged: Vec<String> = words::unjudged(a)
            .into_iter()
            .map(|(_, reason, rules)| {
                let names: Vec<&str> = rules.iter().map(|r| r.name.as_str()).collect();
                format!("{}: {}", reason.trim_end_matches('.'), names.join(", "))
            })
            .collect();
        let partly = words::partly(a);
        if !partly.is_empty() {
            unjudged.push(format!("judged for some, not for others: {}", partly.join(", ")));
        }
        self.list("Could not be judged", &unjudged);
        let near = a.near_misses.iter().map(|m| {
            let place = words::place(&m.key, self.with_node);
            format!("{} {place}: {}", m.rule, m.reason)
        });
        self.list("Near misses", &near.collect::<Vec<_>>());
        let stored = a.stored.iter().map(|v| {
            let head = words::stored_head(v, self.with_node);
            format!("{}: {head}: {}", v.path, words::stored_body(v))
        });
        self.list(
            "Verdicts stored in the files, and what the evidence says",
            &stored.collect::<Vec<_>>(),
        );
    }

    fn list(&mut self, title: &str, items: &[String]) {
        if items.is_empty() {
            return;
        }
        let _ = writeln!(self.out, "<section>\n<h2>{title}</h2>\n<ul>");
        for item in items.iter().take(LISTED) {
            let _ = writeln!(self.out, "<li>{}</li>", escape(item));
        }
        self.out.push_str("</ul>\n");
        self.more(items.len(), LISTED);
        self.out.push_str("</section>\n");
    }

    fn foot(&mut self) {
        let _ = writeln!(
            self.out,
            "</main>\n<footer>Written by ingero {}. This page loads nothing and sends nothing.</footer>\n\
             <script>{SCRIPT}</script>\n</body>\n</html>",
            escape(self.report.version)
        );
    }
}

/// A source expression of the page's policy.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text.as_bytes())))
}

/// Text in which nothing is HTML, neither between tags nor inside a quoted attribute, and nothing
/// is longer than a page can bear.
fn escape(text: &str) -> String {
    let text = clean(text);
    let mut out = String::with_capacity(text.len());
    for (i, c) in text.chars().enumerate() {
        match c {
            _ if i == LONGEST => {
                out.push('…');
                break;
            }
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_never_markup() {
        let shown = escape("</script><img src=x onerror=\"alert('1')\">&\u{202e}\0");
        assert!(!shown.contains(['<', '>', '"', '\'', '\0', '\u{202e}']), "{shown}");
        assert_eq!(escape(&"x".repeat(10_000)).chars().count(), LONGEST + 1);
    }

    #[test]
    fn what_is_compiled_in_cannot_end_its_element() {
        assert!(!STYLE.contains("</") && !SCRIPT.contains("</"));
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    }
}
