//! The parts of the program `benzene`, as a library so that tests and benches reach them.

pub mod cli;
pub mod config;
pub mod exit;
pub mod wire;
