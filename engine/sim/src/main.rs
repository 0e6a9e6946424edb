//! Runs worlds: one seed, so many, or as many as there is time for.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people and for the gate"
)]

use std::time::Duration;

use benzene_engine::clock;
use benzene_sim::World;
use clap::Parser;

/// Benzene's shards on a simulated disk and clock. A run that finds something wrong panics and says
/// its seed; the same seed and steps give the same run.
#[derive(Debug, Parser)]
struct Options {
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Steps of a run
    #[arg(long, default_value_t = 4_000)]
    steps: u64,
    /// So many seeds, one after the other
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Further seeds for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    swarm: u64,
    /// Tell what happens in the world
    #[arg(long)]
    say: bool,
    /// Break the engine on purpose, in a way that the swarm is to find
    #[cfg(feature = "broken")]
    #[arg(long, value_name = "WAY")]
    broken: Option<String>,
}

fn main() {
    let options = Options::parse();
    #[cfg(feature = "broken")]
    if let Some(way) = &options.broken
        && let Err(ways) = benzene_engine::breaks::choose(way)
    {
        eprintln!("there is no way {way}; there are {ways}");
        std::process::exit(2);
    }
    let begun = clock::now().instant;
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        println!("the seed above has found something");
    }));
    let swarm = Duration::from_secs(options.swarm);
    for (count, seed) in (1_u64..).zip(options.seed..) {
        println!("seed {seed}, {} steps", options.steps);
        let says: fn(&str) = |what| eprintln!("{what}");
        let mut world = World::new(seed, options.say.then_some(says));
        world.run(options.steps);
        println!("  {}", world.summary());
        let elapsed = clock::now().instant.duration_since(begun);
        if count >= options.seeds && elapsed >= swarm {
            return;
        }
    }
}
