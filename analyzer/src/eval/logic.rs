//! Truth with three values (Kleene), and why something is unknown.

use std::sync::Arc;

/// A truth value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truth {
    /// It is not so.
    False,
    /// The trace cannot tell.
    Unknown,
    /// It is so.
    True,
}

impl Truth {
    /// From a decided answer.
    pub fn of(b: bool) -> Self {
        if b { Self::True } else { Self::False }
    }

    /// Both: the smaller.
    #[must_use]
    pub fn and(self, o: Self) -> Self {
        self.min(o)
    }

    /// Either: the larger.
    #[must_use]
    pub fn or(self, o: Self) -> Self {
        self.max(o)
    }
}

impl std::ops::Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
            Self::True => Self::False,
        }
    }
}

/// How a value came to be unknown. Orders by what a user should hear first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lack {
    /// A source, op or column is not in the trace at all: the rule is not applicable.
    Missing,
    /// It was observed only in part.
    Partial,
    /// Too few events to say anything.
    Few,
}

/// Why something is unknown, for people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reason {
    /// Its kind.
    pub lack: Lack,
    /// One clause: `no sched events for thread 7`.
    pub text: Arc<str>,
}

impl Reason {
    /// A reason.
    pub fn new(lack: Lack, text: impl Into<Arc<str>>) -> Self {
        Self { lack, text: text.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::Truth::{self, False, True, Unknown};

    #[test]
    fn kleene_tables() {
        for (a, b, and, or) in [
            (True, True, True, True),
            (True, Unknown, Unknown, True),
            (True, False, False, True),
            (Unknown, Unknown, Unknown, Unknown),
            (Unknown, False, False, Unknown),
            (False, False, False, False),
        ] {
            assert_eq!((a.and(b), a.or(b)), (and, or));
            assert_eq!((b.and(a), b.or(a)), (and, or));
        }
        assert_eq!([!True, !Unknown, !False], [False, Unknown, True]);
        assert_eq!(Truth::of(true), True);
    }
}
