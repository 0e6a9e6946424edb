//! The parts of the program `benzene`, as a library so that tests and benches reach them.
//! Start reading at `core` (the loop), then `front` (connections), `wire` (protocols), `desk`
//! (start, signals, own metrics, stop), `process` (pid file, background, user) and `config`.

pub mod called;
pub mod cli;
pub mod config;
mod core;
pub mod desk;
pub mod exit;
mod front;
pub mod lists;
pub mod logging;
pub mod process;
mod relay;
mod tagdb;
pub mod tools;
pub mod wire;
