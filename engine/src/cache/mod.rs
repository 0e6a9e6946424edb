//! Series table, cached points, write order and byte accounting of one shard.

mod order;

pub use order::Strategy;
