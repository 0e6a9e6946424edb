//! benzene-bench as a program, against the real daemon: one binary, a line for each room of it.

// A small case of `compare`: a model disk beside a directory.
#[cfg(test)]
mod compare;
// A model disk: up, used, killed, down.
#[cfg(test)]
mod disk;
// A small case of `ingest`, alone and beside another daemon.
#[cfg(test)]
mod ingest;
// A small case of `order`: on a model disk, in its order and one by one.
#[cfg(test)]
mod order;
// The two programs: this package's, and the daemon's, which is built where it is not up to date.
#[cfg(test)]
mod programs;
// A few points that come back from a journal.
#[cfg(test)]
mod replay;
// How a daemon's rate settles on a model disk and on this machine's.
#[cfg(test)]
mod settle;
// A short soak of a daemon that is well, and of one that loses a file.
#[cfg(test)]
mod soak;
// A small even load through its four phases.
#[cfg(test)]
mod steady;
// Whisper files on a model of a spinning disk, the journal elsewhere, and a kill.
#[cfg(test)]
mod spindle;
// A small case of `writepath` over every path.
#[cfg(test)]
mod writepath;
