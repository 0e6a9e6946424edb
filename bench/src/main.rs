//! The program `benzene-bench`.

fn main() {}
