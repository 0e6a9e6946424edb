//! The program `benzene-bench`: sends load to a carbon receiver and checks what became of it.
//! `load` sends points whose values follow from the parameters alone; `check` computes them again
//! and looks for every one in the Whisper files, so that "nothing lost" is a thing one can run.
//! Neither knows anything of Benzene: any daemon that takes the same input will do.
//! `ingest` and `soak` start a daemon themselves: one measures what taking points in costs, beside
//! another daemon if wanted, the other looks whether anything goes wrong in the long run. `replay`
//! measures a start that has a full cache to get back from the journal, `steady` the even load of a site.
//! `writepath` measures the ways from points to files that we chose among, without a daemon.
//! `compare` measures a spinning disk and flash side by side, and says what each carries.
//! `settle` shows how a daemon's rate settles on a disk beside somebody who reads there.
//! `disk` makes a model disk to measure on: spinning, or slow.
//! The report goes to stdout, progress and errors to stderr. Exit code 0: as asked; 1: something
//! was not sent, is missing or is wrong; 2: the command line is not understood.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a report on stdout and progress on stderr are what this program is for"
)]

mod accounts;
mod asker;
mod check;
mod compare;
mod cpu;
mod daemon;
mod device;
mod disk;
mod figures;
mod ingest;
mod latency;
mod load;
mod machine;
mod order;
mod own_metrics;
mod process;
mod progress;
mod replay;
mod report;
mod runqueue;
mod said;
mod settle;
mod soak;
mod steady;
mod workload;
mod writepath;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Load and checks for carbon receivers.
#[derive(Debug, Parser)]
#[command(name = "benzene-bench", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send points to a receiver: line protocol, pickle or UDP
    Load(load::LoadArgs),
    /// Look for every point that `load` sent in the Whisper files of a data directory
    Check(check::CheckArgs),
    /// Start a daemon and measure what taking points in costs, beside another daemon if wanted
    Ingest(ingest::IngestArgs),
    /// Start a daemon over a full journal and measure what it takes to have all back
    Replay(replay::ReplayArgs),
    /// Start a daemon under an even load: how it starts, what it needs, and what a slow writer comes to
    Steady(steady::SteadyArgs),
    /// Start a daemon and look for a long time whether anything goes wrong
    Soak(soak::SoakArgs),
    /// Start a daemon over files on a disk and look how its rate settles beside a reader
    Settle(settle::SettleArgs),
    /// Measure updates and creates of Whisper files over several write paths, on one disk
    Writepath(writepath::WritepathArgs),
    /// Measure a spinning disk and flash side by side: what each carries, with a page to show
    Compare(Box<compare::CompareArgs>),
    /// Measure what the order of the disk is worth, on a model of a spinning disk; needs root
    Order(order::OrderArgs),
    /// Make a model disk: an HDD or a slow SSD for a machine that has none; needs root
    #[command(subcommand)]
    Disk(disk::DiskCommand),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Load(args) => load::command(&args),
        Command::Check(args) => check::command(&args),
        Command::Ingest(args) => ingest::command(&args),
        Command::Replay(args) => replay::command(&args),
        Command::Steady(args) => steady::command(&args),
        Command::Soak(args) => soak::command(&args),
        Command::Settle(args) => settle::command(&args),
        Command::Writepath(args) => writepath::command(&args),
        Command::Compare(args) => compare::command(&args),
        Command::Order(args) => order::command(&args),
        Command::Disk(command) => disk::command(&command),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("benzene-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
