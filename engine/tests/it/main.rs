//! Integration tests of the engine, one module a subject.

// What the cache says that it holds is what it holds.
mod cache_bytes;
// What the house style asks of every file of the workspace, and that the lists in docs are whole.
mod tidy;
