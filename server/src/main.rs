//! The program `benzene`.

fn main() {}
