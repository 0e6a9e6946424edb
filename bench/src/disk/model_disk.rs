//! A model disk that is there: made, mounted, looked at, and taken away again.
//! Root is needed. What fails half way is taken away; what a killed process left is taken away by the
//! next one that wants the place. Dropped, a disk goes away, unless it was left standing on purpose.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use rustix::mount::{MountFlags, mount};
use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;

use super::attach::{attach, describe, loops, run, servers, take_apart, wait_for};
use super::model::counters::Counters;
use super::model::params::Params;
use super::place::{Place, State};
use super::touched::Sweep;

/// How long the server may take to begin.
const BEGIN: Duration = Duration::from_secs(10);
/// Options of chrt, and a program to try them on.
const REAL_TIME: [&str; 3] = ["--fifo", "1", "true"];
/// Far more than the text of all counters.
const COUNTERS_BYTES_MAX: usize = 64 << 10;
/// How long it may take to end: it writes what is dirty, at the host's pace.
const END: Duration = Duration::from_secs(60);

/// What the disk is formatted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Ext4,
    Xfs,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Format::Ext4 => "ext4",
            Format::Xfs => "xfs",
        }
    }

    /// Onto the backing file itself, so that it takes no model time.
    fn make(self, backing: &Path) -> Result<()> {
        // What ext4 would initialize in its first minutes would be measured.
        let now = "lazy_itable_init=0,lazy_journal_init=0";
        match self {
            Format::Ext4 => {
                let options = ["-q", "-F", "-E", now].map(Path::new);
                run(
                    "mkfs.ext4",
                    "e2fsprogs",
                    &[&options[..], &[backing]].concat(),
                )
            }
            Format::Xfs => {
                let options = ["-q", "-f"].map(Path::new);
                run("mkfs.xfs", "xfsprogs", &[&options[..], &[backing]].concat())
            }
        }
        .map(drop)
    }
}

/// What is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) params: Params,
    pub(crate) format: Format,
    pub(crate) place: Place,
    /// None: below the place.
    pub(crate) mount: Option<PathBuf>,
}

/// A disk that is mounted.
#[derive(Debug)]
pub(crate) struct ModelDisk {
    place: Place,
    state: State,
    server: Child,
    stays: bool,
}

impl ModelDisk {
    /// Makes and mounts it. What an earlier one left in the place is taken away first.
    pub(crate) fn up(wish: &Wish) -> Result<Self> {
        ensure_possible()?;
        let place = &wish.place;
        let is_up = place.state().is_some_and(|state| state.is_up);
        if is_up && !servers(place)?.is_empty() {
            bail!(
                "there is a model disk in {}: take it down first",
                place.dir().display()
            );
        }
        if down(place)? {
            eprintln!(
                "took away what an earlier disk left in {}",
                place.dir().display()
            );
        }
        let made = Self::make(wish);
        if made.is_err() {
            down(place)?;
        }
        made
    }

    fn make(wish: &Wish) -> Result<Self> {
        let place = wish.place.clone();
        let mount_point = wish.mount.clone().unwrap_or_else(|| place.mount());
        for dir in [&place.fuse(), &mount_point] {
            fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        let mut state = State {
            params: wish.params,
            filesystem: wish.format.name().to_owned(),
            server: 0,
            mount: mount_point,
            device: String::new(),
            is_up: false,
        };
        // Before the backing file, which without a state would not be ours.
        place.put_state(&state)?;
        let backing = place.backing();
        File::create(&backing)
            .and_then(|file| file.set_len(wish.params.bytes))
            .with_context(|| format!("cannot make {}", backing.display()))?;
        wish.format.make(&backing)?;
        let server = start_server(&place, &wish.params)?;
        state.server = server.id();
        let mut disk = Self {
            place,
            state,
            server,
            stays: false,
        };
        disk.place.put_state(&disk.state)?;
        disk.bring_up(wish)?;
        Ok(disk)
    }

    /// From the server's begin to the mount.
    fn bring_up(&mut self, wish: &Wish) -> Result<()> {
        let served = wait_for(BEGIN, || {
            let ended = self.server.try_wait().context("the server is lost")?;
            let log = || fs::read_to_string(self.place.log()).unwrap_or_default();
            ensure!(ended.is_none(), "the server ended: {}", log().trim());
            Ok(self.place.disk().exists())
        })?;
        ensure!(served, "the server does not begin");
        let name = attach(&self.place)?;
        describe(&name, wish.params.model.rotates())?;
        self.state.device = format!("/dev/{name}");
        let (device, point) = (&self.state.device, &self.state.mount);
        mount(device, point, wish.format.name(), MountFlags::empty(), None)
            .with_context(|| format!("cannot mount {device} on {}", point.display()))?;
        let read = self.counters()?.reads;
        ensure!(read > 0, "the mount has not read through the model");
        self.state.is_up = true;
        self.place.put_state(&self.state)
    }

    /// What it has counted since it came up.
    pub(crate) fn counters(&self) -> Result<Counters> {
        counters(&self.place)
    }

    /// Writes all that is dirty, and what the file system's journal alone has, so that none of it comes
    /// later.
    pub(crate) fn settle(&self) -> Result<()> {
        for freeze in ["--freeze", "--unfreeze"] {
            let arguments = [Path::new(freeze), self.mount()];
            run("fsfreeze", "util-linux", &arguments)?;
        }
        Ok(())
    }

    /// What the blocks that were touched since the last question take in one sweep.
    pub(crate) fn sweep(&self) -> Result<Sweep> {
        counted(&self.place.sweep())
    }

    /// Where its files are.
    pub(crate) fn mount(&self) -> &Path {
        &self.state.mount
    }

    /// What has been done to make it.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// It is there after this, until it is taken down by its place.
    pub(crate) fn leave(mut self) {
        self.stays = true;
    }
}

impl Drop for ModelDisk {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        if let Err(error) = down(&self.place) {
            eprintln!("benzene-bench: the model disk is still there: {error:#}");
        }
        // It has ended, or there is nothing that would end it.
        drop(self.server.try_wait());
    }
}

/// What the disk in a place has counted.
pub(crate) fn counters(place: &Place) -> Result<Counters> {
    counted(&place.counters())
}

/// What the server says in a file.
fn counted<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let mut text = vec![0; COUNTERS_BYTES_MAX];
    // In one read: each is answered with what is counted by then, and pieces of two would not fit.
    let bytes = File::open(path)
        .and_then(|mut file| file.read(&mut text))
        .with_context(|| format!("cannot read {}: is the disk up?", path.display()))?;
    let text = text.get(..bytes).unwrap_or_default();
    serde_json::from_slice(text).with_context(|| format!("{} cannot be read", path.display()))
}

/// Takes a disk away, with all that is on it. True: there was something.
pub(crate) fn down(place: &Place) -> Result<bool> {
    ensure_possible()?;
    ensure!(
        place.is_ours(),
        "{} is no model disk's: name another directory",
        place.backing().display()
    );
    let running = servers(place)?;
    let was_there = !running.is_empty() || !loops(place)?.is_empty() || place.backing().exists();
    for (kind, longest) in [(Signal::TERM, END), (Signal::KILL, BEGIN)] {
        for pid in servers(place)? {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                let _ended_meanwhile = kill_process(pid, kind).is_err();
            }
        }
        if wait_for(longest, || Ok(servers(place)?.is_empty()))? {
            break;
        }
    }
    take_apart(place)?;
    place.remove()?;
    Ok(was_there)
}

fn start_server(place: &Place, params: &Params) -> Result<Child> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let log = File::create(place.log())
        .with_context(|| format!("cannot make {}", place.log().display()))?;
    // On a busy machine an answer that is late is measured as if the disk were slower. A nice value
    // does not help against other sessions (sched_autogroup); real time does, where it is allowed.
    let mut command = if run("chrt", "util-linux", &REAL_TIME.map(Path::new)).is_ok() {
        let mut chrt = Command::new("chrt");
        chrt.args(&REAL_TIME[..2]).arg(program);
        chrt
    } else {
        Command::new(program)
    };
    command
        .args(["disk", "serve", "--dir"])
        .arg(place.dir())
        .arg("--params")
        .arg(serde_json::to_string(params)?)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .current_dir("/")
        // Ctrl-C is for whoever measures; the disk stays until it is taken down.
        .process_group(0)
        .spawn()
        .context("cannot start the server")
}

/// One message for what is missing.
fn ensure_possible() -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "a model disk needs root, for mounts and a loop device: run this with sudo"
    );
    for (device, remedy) in [
        (
            "/dev/fuse",
            "modprobe fuse; in a container: --device /dev/fuse",
        ),
        (
            "/dev/loop-control",
            "modprobe loop; in a container: --privileged",
        ),
    ] {
        ensure!(Path::new(device).exists(), "{device} is missing: {remedy}");
    }
    Ok(())
}
