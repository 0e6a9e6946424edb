//! Integration tests of the engine, one module a subject.

// What the house style asks of every file of the workspace, and that the lists in docs are whole.
mod tidy;
