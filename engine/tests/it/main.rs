//! Integration tests of the engine, one module a subject.

// What the cache says that it holds is what it holds.
mod cache_bytes;
// The tables of docs/formats against the constants in the code.
mod format_docs;
// Python carbon's own write orders, drain by drain.
mod orders_python;
// What the house style asks of every file of the workspace, and that the lists in docs are whole.
mod tidy;
// Updates and fetches of Whisper files against Python's whisper.
mod whisper_python;
