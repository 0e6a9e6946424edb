//! storage-schemas.conf and storage-aggregation.conf: which archives and which method a new file gets.

pub mod ini;
