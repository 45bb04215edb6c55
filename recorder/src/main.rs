//! The recorder. It does not record yet.
fn main() {}
