//! ingero
fn main() {}
