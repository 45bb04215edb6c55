//! ingero
fn main() { }
