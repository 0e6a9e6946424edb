//! The parts of the program `benzene`, as a library so that tests and benches reach them.

pub mod config;
pub mod wire;
