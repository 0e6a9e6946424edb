//! `benzene-bench disk hdd|ssd up|down|status`: a model disk, for a machine that has no such disk.
//! A loop device stands on the one file of a FUSE filesystem, whose server answers when a disk with
//! seeks, rotation and transfer would have (`model`), formatted and mounted like any disk. What it is
//! not is in docs/operating/model-disk.md.
//! Needs root. `up` starts a process that stays; `down` takes everything away, also what a kill left.

mod attach;
mod delay;
mod filesystem;
mod model;
mod model_disk;
mod place;
mod report;
mod serve;
mod touched;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Subcommand;

use model_disk::{counters, down};
use report::Status;

pub(crate) use model::counters::Counters;
pub(crate) use model::params::{ModelName, Params};
pub(crate) use model_disk::{Format, ModelDisk, Wish};
pub(crate) use place::Place;
pub(crate) use touched::Sweep;

/// Which kind.
#[derive(Debug, Subcommand)]
pub(crate) enum DiskCommand {
    /// A spinning disk
    Hdd {
        #[command(subcommand)]
        verb: Verb,
    },
    /// A slow SATA SSD
    Ssd {
        #[command(subcommand)]
        verb: Verb,
    },
    /// The process behind a model disk
    #[command(hide = true)]
    Serve(serve::ServeArgs),
}

/// What is done with it.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make the disk, format and mount it
    Up(UpArgs),
    /// Take it away, with all that is on it
    Down(At),
    /// What it has counted since it came up
    Status(StatusArgs),
}

/// Where the disk is.
#[derive(Debug, clap::Args)]
pub(crate) struct At {
    /// Where its bytes and its state are; in memory (/dev/shm) the machine's own disk cannot disturb it
    /// [default: /var/tmp/benzene-hdd, /var/tmp/benzene-ssd]
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Options of `up`.
#[derive(Debug, clap::Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    at: At,
    /// Which disk [default: hdd-7200, ssd-sata]
    #[arg(long, value_enum)]
    model: Option<ModelName>,
    /// What it is formatted with
    #[arg(long, value_enum, default_value_t = Format::Ext4)]
    fs: Format,
    /// How large it is; only what is written takes room
    #[arg(long, default_value = "20G", value_parser = parse_size)]
    size: u64,
    /// Where it is mounted [default: mnt in --dir]
    #[arg(long)]
    mount: Option<PathBuf>,
    /// Over how much of the head's full stroke its bytes are spread, from outside: a site's files on a
    /// larger disk; 100: this is the whole disk
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=100))]
    stroke_percent: u8,
    /// Whether writes are answered from the disk's buffer [default: as the model has it]
    #[arg(long)]
    write_cache: Option<bool>,
}

/// Options of `status`.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    at: At,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What a kind of disk has for a default.
#[derive(Clone, Copy, Debug)]
struct Kind {
    model: ModelName,
    dir: &'static str,
}

const HDD: Kind = Kind {
    model: ModelName::Hdd7200,
    dir: "/var/tmp/benzene-hdd",
};
const SSD: Kind = Kind {
    model: ModelName::SsdSata,
    dir: "/var/tmp/benzene-ssd",
};

/// Does it. True: as asked.
pub(crate) fn command(command: &DiskCommand) -> Result<bool> {
    let (kind, verb) = match command {
        DiskCommand::Hdd { verb } => (HDD, verb),
        DiskCommand::Ssd { verb } => (SSD, verb),
        DiskCommand::Serve(args) => return serve::command(args),
    };
    match verb {
        Verb::Up(args) => up(kind, args),
        Verb::Down(at) => {
            let place = at.place(kind)?;
            let was_there = down(&place)?;
            let said = if was_there {
                "is gone"
            } else {
                "was not there"
            };
            println!("the model disk in {} {said}", place.dir().display());
            Ok(true)
        }
        Verb::Status(args) => status(kind, args),
    }
}

fn up(kind: Kind, args: &UpArgs) -> Result<bool> {
    let model = args.model.unwrap_or(kind.model);
    ensure!(
        model.rotates() == kind.model.rotates(),
        "{} is the other kind of disk",
        model.name()
    );
    let disk = ModelDisk::up(&Wish {
        params: Params {
            model,
            bytes: args.size,
            stroke_percent: args.stroke_percent,
            write_cache: args.write_cache,
        },
        format: args.fs,
        place: args.at.place(kind)?,
        mount: args.mount.clone(),
    })?;
    println!(
        "{} as {}, {} on {}",
        model.name(),
        disk.state().device,
        disk.state().filesystem,
        disk.mount().display()
    );
    disk.leave();
    Ok(true)
}

fn status(kind: Kind, args: &StatusArgs) -> Result<bool> {
    let place = args.at.place(kind)?;
    let Some(state) = place.state() else {
        eprintln!("there is no model disk in {}", place.dir().display());
        return Ok(false);
    };
    let status = Status {
        state,
        counters: counters(&place).ok(),
    };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&status)?);
    } else {
        print!("{}", status.text());
    }
    Ok(status.counters.is_some())
}

impl At {
    fn place(&self, kind: Kind) -> Result<Place> {
        let default = || PathBuf::from(kind.dir);
        Place::new(&self.dir.clone().unwrap_or_else(default))
    }
}

/// Bytes, or with K, M, G or T behind them powers of 1,024, in whole blocks.
fn parse_size(text: &str) -> Result<u64, String> {
    const BLOCK: u64 = 4096;
    let (number, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(end) => text.split_at(end),
        None => (text, ""),
    };
    let shift = match unit {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(String::from("a number, or one with K, M, G or T behind it")),
    };
    let number: u64 = number.parse().map_err(|error| format!("{error}"))?;
    let bytes = number
        .checked_mul(1 << shift)
        .filter(|bytes| *bytes <= 16 << 40);
    match bytes {
        Some(bytes) if bytes >= 64 << 20 => Ok(bytes / BLOCK * BLOCK),
        _ => Err(String::from("from 64M to 16T")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_a_unit_and_bounds() {
        assert_eq!(parse_size("20G"), Ok(20 << 30));
        assert_eq!(parse_size("100000001"), Ok(100_000_001 / 4096 * 4096));
        for wrong in ["", "G", "20g", "1K", "17T", "99999999999999999999", "20GB"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }
}
