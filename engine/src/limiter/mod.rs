//! Updates a second and creates a minute: one exact budget for all shards of the process.
