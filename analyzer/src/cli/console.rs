//! The streams: the only place that prints, and the only one that looks at the terminal.

use std::env;
use std::io::{self, IsTerminal as _, Write as _};

use super::args::ColorChoice;
use super::failure::Failure;
use crate::report::TextOptions;

/// Standard output and standard error.
pub(super) struct Console {
    color: ColorChoice,
    closed: bool,
}

impl Console {
    pub(super) fn new(color: ColorChoice) -> Self {
        Self { color, closed: false }
    }

    /// Prints to standard output. A reader that went away (`| head`) is not an error: the rest is
    /// dropped and the exit code stays what it would have been.
    pub(super) fn out(&mut self, text: &str) -> Result<(), Failure> {
        if self.closed {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(source) if source.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            Err(source) => Err(Failure::Print { source }),
        }
    }

    /// Prints to standard error. Nobody can be told if that fails.
    #[expect(clippy::unused_self, reason = "printing goes through the console")]
    pub(super) fn err(&mut self, text: &str) {
        let mut stderr = io::stderr().lock();
        let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
    }

    /// A line of a kind (`error`, `warning`, `note`) on standard error.
    pub(super) fn say(&mut self, kind: Kind, text: &str) {
        let (word, codes) = match kind {
            Kind::Error => ("error", "1;31"),
            Kind::Warning => ("warning", "1;33"),
            Kind::Help => (" help", "1;36"),
        };
        let line = if self.color_err() {
            format!("\x1b[{codes}m{word}:\x1b[0m {text}\n")
        } else {
            format!("{word}: {text}\n")
        };
        self.err(&line);
    }

    /// Says why a command could not run.
    pub(super) fn failure(&mut self, failure: &Failure) {
        self.say(Kind::Error, &failure.to_string());
        if let Some(help) = failure.help() {
            self.say(Kind::Help, &help);
        }
    }

    /// Whether standard output takes colour.
    pub(super) fn color_out(&self) -> bool {
        self.colored(io::stdout().is_terminal())
    }

    /// Whether standard error takes colour.
    pub(super) fn color_err(&self) -> bool {
        self.colored(io::stderr().is_terminal())
    }

    /// Whether somebody watches standard error.
    #[expect(clippy::unused_self, reason = "the console knows the terminal")]
    pub(super) fn watched(&self) -> bool {
        io::stderr().is_terminal()
    }

    fn colored(&self, terminal: bool) -> bool {
        match self.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                let set = |name: &str| env::var_os(name).is_some_and(|v| !v.is_empty());
                terminal && !set("NO_COLOR") && env::var_os("TERM").is_none_or(|t| t != "dumb")
            }
        }
    }

    /// Layout for a text on standard output, or in a file.
    pub(super) fn layout(&self, to_file: bool) -> TextOptions {
        let terminal = !to_file && io::stdout().is_terminal();
        let asked = env::var("COLUMNS").ok().and_then(|c| c.trim().parse().ok());
        let seen = || {
            terminal
                .then(terminal_size::terminal_size)
                .flatten()
                .map(|(width, _)| usize::from(width.0))
        };
        TextOptions {
            width: asked.filter(|w| *w > 0).or_else(seen).unwrap_or(80),
            color: self.colored(terminal),
            ascii: !utf8(|name| env::var(name).ok()),
            ..TextOptions::default()
        }
    }

    /// Columns of standard output where it is a terminal, or as many as COLUMNS says.
    pub(super) fn terminal_width(&self) -> Option<usize> {
        let asked = env::var("COLUMNS").is_ok_and(|c| c.trim().parse().is_ok_and(|w: usize| w > 0));
        (asked || io::stdout().is_terminal()).then(|| self.layout(false).width)
    }

    /// Columns of standard error.
    #[expect(clippy::unused_self, reason = "the console knows the terminal")]
    pub(super) fn err_width(&self) -> usize {
        let seen = terminal_size::terminal_size_of(io::stderr()).map(|(width, _)| usize::from(width.0));
        seen.unwrap_or(80).clamp(40, 120)
    }

    /// Whether standard error shows more than ASCII.
    #[expect(clippy::unused_self, reason = "the console knows the terminal")]
    pub(super) fn utf8(&self) -> bool {
        utf8(|name| env::var(name).ok())
    }
}

/// What a line on standard error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The request could not be served.
    Error,
    /// The request was served, with a reservation.
    Warning,
    /// The way out.
    Help,
}

/// Whether the locale is UTF-8. None at all is taken for it: containers rarely set one, and their
/// terminals show UTF-8.
fn utf8(var: impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(var)
        .find(|v| !v.is_empty());
    locale.is_none_or(|l| {
        let l = l.to_ascii_lowercase();
        l.contains("utf-8") || l.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_locale_variable_decides() {
        let with =
            |vars: &[(&str, &str)]| utf8(|name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()));
        assert!(with(&[]));
        assert!(with(&[("LANG", "de_DE.UTF-8")]));
        assert!(with(&[("LC_ALL", ""), ("LANG", "C.utf8")]));
        assert!(!with(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]));
        assert!(!with(&[("LANG", "POSIX")]));
    }
}
