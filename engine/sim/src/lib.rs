//! Benzene's shards on a simulated disk and clock, from one seed: kills and power cuts at any step,
//! operations that complete in any order or fail, restarts with other numbers of shards, every way to
//! set a daemon up. What must be there afterwards is known exactly. A seed that fails is a test that
//! fails: the same run again. What is simulated and what is not stands in docs/simulator.md.

mod compare;
mod content;
mod disk;
mod ends;
mod far;
mod inode;
mod instances;
mod oracle;
mod prng;
mod process;
mod query;
mod settings;
mod trouble;
mod unread;
mod workload;
mod world;

pub use world::World;
