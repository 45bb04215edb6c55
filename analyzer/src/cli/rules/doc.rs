//! `ingero rules doc`.

use super::super::Outcome;
use super::super::console::Console;
use super::super::failure::Failure;
use crate::lang::reference;

pub(super) fn run(console: &mut Console) -> Result<Outcome, Failure> {
    console.out(&reference::markdown())?;
    Ok(Outcome::Fine)
}
