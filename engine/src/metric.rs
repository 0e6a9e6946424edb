//! A metric's canonical name, its file's path below the data directory, and its owner shard.
