//! Integration tests of the program, in one binary.

/// The wire codecs against the Python of this machine: float(), pickle, str.split.
#[cfg(test)]
mod wire_python;
