//! The subcommands beside the daemon.
//! They are ordinary clients: no ring, no shard, ordinary libraries.

pub mod query;
