//! What happened, told to somebody who knows no rules: causal chains on one timeline, what every
//! process did, and what the file itself claims.

pub mod json;
mod stored;
pub mod text;

use crate::diagnosis::{Analysis, Diagnosis};
use crate::view::ProcessProfile;

/// Which parts to tell.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The causal chains.
    pub chains: bool,
    /// What every process did.
    pub processes: Option<&'a [ProcessProfile]>,
    /// The verdicts stored in the files.
    pub stored: bool,
}

/// A finding that nothing else explains, and what follows from it.
struct Chain<'a> {
    root: &'a Diagnosis,
    /// With their depth below the root, from 0.
    effects: Vec<(usize, &'a Diagnosis)>,
}

impl<'a> Chain<'a> {
    /// Worst first.
    fn all(analysis: &'a Analysis) -> Vec<Self> {
        let roots = super::words::primaries(analysis).into_iter();
        roots
            .map(|root| Self {
                root,
                effects: super::words::effects(analysis, root),
            })
            .collect()
    }

    fn members(&self) -> Vec<&'a Diagnosis> {
        std::iter::once(self.root)
            .chain(self.effects.iter().map(|(_, d)| *d))
            .collect()
    }
}
