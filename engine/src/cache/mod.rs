//! Series table, cached points, write order and byte accounting of one shard.
