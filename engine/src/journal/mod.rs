//! The journal: what a shard has accepted, on the disk before it is in its file.
//! `block`, `entry` and `name_entry` are the bytes of docs/formats/journal.md, pure: bytes and numbers in, bytes and
//! numbers out. Nothing here opens a file, reads a clock or starts a thread.
//! Damage is never a panic: what cannot be read is an error that says where.

pub mod block;
pub mod entry;
#[cfg(test)]
mod entry_tests;
pub mod name_entry;
mod number;
