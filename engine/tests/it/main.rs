//! Integration tests of the engine, one module a subject.

/// What the cache says that it holds is what it holds.
mod cache_bytes;
