//! Integration tests of the program, in one binary.

/// The wire codecs against the Python of this machine: float(), pickle, str.split.
#[cfg(test)]
mod wire_python;
/// carbon.conf, environment and flags: what they come to, and what is said about mistakes.
#[cfg(test)]
mod config;
