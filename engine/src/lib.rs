//! The storage engine of Benzene: from a named point to a Whisper file, on one pinned core a shard.
//! It knows no socket protocol, reads no configuration file and writes no log format.
//! Start reading at `shard`, then `writer`, `whisper::plan`, `cache`, `ring`; every bound is in
//! `limits`.

pub mod breaks;
pub mod cache;
pub mod clock;
pub mod device;
pub mod journal;
pub mod latency;
pub mod limiter;
pub mod limits;
pub mod metric;
mod names;
mod near;
pub mod point;
pub mod quiet;
pub mod ring;
pub mod schemas;
pub mod shard;
pub mod stats;
pub mod whisper;
pub mod writer;
