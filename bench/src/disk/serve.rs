//! `benzene-bench disk serve`: the process behind a model disk. `up` starts it and `down` ends it; it
//! is no command for people.
//! On SIGTERM or SIGINT it takes the whole disk down, without the model's delays: the filesystem on
//! it, the loop device, its own mount. When its mount is taken away it ends.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use benzene_engine::clock;
use fuser::{Config, MountOption, Session, SessionACL};
use rustix::process::configure_io_flusher_behavior;
use tokio::signal::unix::{SignalKind, signal};

use super::attach::take_apart;
use super::delay::Delay;
use super::filesystem::ModelFilesystem;
use super::model::params::Params;
use super::place::Place;

/// Threads that move bytes: one that waits for the host's disk must not hold up the others.
const THREADS: usize = 4;
/// How often it is looked whether the mount is still there.
const LOOK: Duration = Duration::from_millis(100);

/// Options of `disk serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// The model disk's directory
    #[arg(long)]
    dir: PathBuf,
    /// What to serve, as JSON
    #[arg(long, value_parser = parse_params)]
    params: Params,
}

fn parse_params(text: &str) -> Result<Params, serde_json::Error> {
    serde_json::from_str(text)
}

/// Serves until it is told to end. True: it ended as it should.
pub(super) fn command(args: &ServeArgs) -> Result<bool> {
    let place = Place::new(&args.dir)?;
    // Without this the kernel may slow this process down because its own disk is slow to take dirty
    // pages. Root in a container may lack the capability (CAP_SYS_RESOURCE); with the bytes in
    // memory, where pages are not dirty, it is of no use either.
    if let Err(error) = configure_io_flusher_behavior(true) {
        eprintln!("dirty pages of the model disk may slow it down: {error}");
    }
    let backing = OpenOptions::new()
        .read(true)
        .write(true)
        .open(place.backing())
        .with_context(|| format!("cannot open {}", place.backing().display()))?;
    let delay = Delay::start(&args.params)?;
    let filesystem = ModelFilesystem {
        delay: delay.clone(),
        backing,
        bytes: args.params.bytes,
        made: std::time::UNIX_EPOCH + Duration::from_secs(clock::now().unix_seconds.into()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    let _inside = runtime.enter();
    let mut terminate = signal(SignalKind::terminate()).context("cannot take signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot take signals")?;
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName(String::from("benzene-model-disk")),
        MountOption::NoAtime,
    ];
    config.acl = SessionACL::Owner;
    config.n_threads = Some(THREADS);
    let session = Session::new(filesystem, place.fuse(), &config)
        .with_context(|| format!("cannot mount {}", place.fuse().display()))?
        .spawn()
        .context("cannot start threads")?;
    let signalled = runtime.block_on(async {
        loop {
            tokio::select! {
                _ = terminate.recv() => return true,
                _ = interrupt.recv() => return true,
                () = tokio::time::sleep(LOOK) => if session.guard.is_finished() {
                    return false;
                },
            }
        }
    });
    if signalled {
        delay.let_go();
        take_apart(&place)?;
    }
    session.join().context("the FUSE session fails")?;
    Ok(true)
}
