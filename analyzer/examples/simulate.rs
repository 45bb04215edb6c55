//! Times the simulator: `cargo run --release --example simulate -- SCENARIO FILE [EVENTS] [SEED]`.
#![expect(clippy::print_stdout, reason = "an example for the terminal")]

use std::path::Path;
use std::time::Instant;

use ingero::simulate::{Options, create};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, path, rest @ ..] = args.as_slice() else {
        return Err("usage: simulate SCENARIO FILE [EVENTS] [SEED]".into());
    };
    let options = Options {
        events: rest.first().map(|n| n.parse()).transpose()?,
        seed: rest.get(1).map_or(Ok(1), |n| n.parse())?,
        ..Options::default()
    };
    let started = Instant::now();
    let summary = create(name, &options, Path::new(path), true)?;
    let took = started.elapsed();
    println!(
        "{name}: {} events, {} bytes, {:.2} s, {} events/s",
        summary.events,
        summary.size_bytes,
        took.as_secs_f64(),
        u128::from(summary.events) * 1_000_000 / took.as_micros().max(1)
    );
    Ok(())
}
