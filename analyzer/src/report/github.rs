//! Annotations of GitHub Actions: workflow commands on standard output become marks on the run.

use std::fmt::Write as _;

use super::paint::clean;
use super::{Report, words};
use crate::diagnosis::{Diagnosis, Severity};

/// Renders one annotation for each finding that no other explains (what it explains is told in it),
/// one for each problem, and the headline.
pub fn render(report: &Report<'_>) -> String {
    let a = report.analysis;
    let mut out = String::new();
    for p in report.problems {
        command(
            &mut out,
            "error",
            &format!("ingero: {} {}", p.kind.name(), p.path),
            &p.message,
        );
    }
    for d in words::primaries(a) {
        let mut text = format!("{}\n{}", place(d), d.message);
        for fix in &d.fixes {
            let _ = write!(text, "\nFix: {fix}");
        }
        for (_, effect) in words::effects(a, d) {
            let _ = write!(text, "\nExplains {}: {}", effect.rule, effect.message);
        }
        command(
            &mut out,
            level(d.severity),
            &format!("{} {}", words::level(d.severity), d.rule),
            &text,
        );
    }
    let headline = format!("{} {}", words::headline(a), words::checked(a));
    command(&mut out, "notice", "ingero", &headline);
    out
}

fn place(d: &Diagnosis) -> String {
    format!("{}, {} sure", words::place(&d.key, true), words::percent(d.confidence))
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "notice",
    }
}

/// Text is data: what would end the command or its properties is escaped as the runner expects it.
fn command(out: &mut String, kind: &str, title: &str, text: &str) {
    let escape = |t: &str| clean(t).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let title = escape(title).replace(':', "%3A").replace(',', "%2C");
    let _ = writeln!(out, "::{kind} title={title}::{}", escape(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_end_the_command() {
        let mut out = String::new();
        command(&mut out, "error", "a,b::c", "50 %\n::set-output name=x::y\r");
        assert_eq!(
            out,
            "::error title=a%2Cb%3A%3Ac::50 %25%0A::set-output name=x::y\u{fffd}\n"
        );
    }
}
