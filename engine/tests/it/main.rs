//! Integration tests of the engine, one module a subject.

/// What the cache says that it holds is what it holds.
mod cache_bytes;
/// The tables of docs/formats against the constants in the code.
mod format_docs;
/// Updates and fetches of Whisper files against Python's whisper.
mod whisper_python;
