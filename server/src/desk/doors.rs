//! What is listened on: bound at start, before there is a ring, and dealt to the cores. The first core
//! accepts all connections; UDP receivers, which have none, are spread over the cores.
//! Whatever cannot be bound ends the start with its option and line, but for a port that another process
//! has and a relay of the same carbon.conf asks for. The files of Unix sockets go when
//! the daemon ends, in whatever way it ends that lets it do so; one that is left behind is replaced at
//! the next start.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use benzene_engine::clock;
use benzene_engine::limits::{LISTEN_BACKLOG, UDP_SOCKET_BUFFER_BYTES};
use benzene_engine::ring::mount;
use benzene_engine::ring::socket::{self, Inet};

use crate::config::{At, Door, Service, Settings};
use crate::exit::Exit;
use crate::front::Entrance;

/// How long a port may be taken: a daemon that was killed has its sockets until the kernel comes to
/// the end of its rings, some milliseconds after its process.
const LET_GO: Duration = Duration::from_secs(2);
/// How often it is tried meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// Why something cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("{service} cannot listen on {at}: {why}")]
pub(super) struct DoorError {
    /// What was to listen.
    service: &'static str,
    /// Where.
    at: At,
    /// Why not, and how to mend it.
    why: String,
    exit: Exit,
}

impl DoorError {
    fn new(door: &Door, error: &io::Error) -> DoorError {
        let key = door.key;
        let place = door.place.as_ref();
        let key = place.map_or_else(|| key.to_owned(), |place| format!("{key} ({place})"));
        let (why, exit) = match (&door.at, error.kind()) {
            (At::Inet(_), io::ErrorKind::AddrInUse) => (
                format!(
                    "another process has that port (a carbon-cache that still runs?); stop it, or set \
                     {key} in carbon.conf to a free port"
                ),
                Exit::PortInUse,
            ),
            (At::Unix(_), io::ErrorKind::AddrInUse) => (
                format!(
                    "another process listens there; stop it, or set {key} in carbon.conf to another path"
                ),
                Exit::PortInUse,
            ),
            (At::Unix(path), io::ErrorKind::AlreadyExists) => (
                format!(
                    "there is a file that is no socket; move {} away, or set {key} in carbon.conf to \
                     another path",
                    path.display()
                ),
                Exit::Config,
            ),
            (At::Unix(path), io::ErrorKind::NotFound) => (
                format!(
                    "there is no such directory; make {}, or see {key} in carbon.conf",
                    path.parent().unwrap_or(path).display()
                ),
                Exit::Config,
            ),
            _ => (format!("{error}; see {key} in carbon.conf"), Exit::Config),
        };
        DoorError {
            service: door.service.noun(),
            at: door.at.clone(),
            why,
            exit,
        }
    }

    /// The exit code that tells this apart.
    pub(super) fn exit(&self) -> Exit {
        self.exit
    }
}

/// A bound socket and what it is for.
pub(super) struct Bound {
    pub(super) entrance: Entrance,
    pub(super) socket: OwnedFd,
}

/// Everything that is listened on.
#[derive(Default)]
pub(super) struct Doors<'s> {
    bound: Vec<(&'s Door, Bound)>,
    files: SocketFiles,
}

impl<'s> Doors<'s> {
    /// Binds these; answers the files that came about.
    pub(super) fn open(
        &mut self,
        doors: &[&'s Door],
        settings: &Settings,
    ) -> Result<Vec<&'s Path>, DoorError> {
        let mut files = Vec::new();
        for door in doors {
            let socket = match (open_patiently(door, settings.socket_mode), &door.rival) {
                (Ok(socket), _) => socket,
                (Err(error), Some(rival)) if error.kind() == io::ErrorKind::AddrInUse => {
                    let instance = &settings.instances[door.instance].name;
                    tracing::warn!(
                        "instance {instance} does not listen for the {} on {}: another process has that \
                         port, as {rival} asks for",
                        door.service.noun(),
                        door.at
                    );
                    continue;
                }
                (Err(error), _) => return Err(DoorError::new(door, &error)),
            };
            if let At::Unix(path) = &door.at {
                self.files.add(path.clone());
                files.push(path.as_path());
            } else {
                probe(door, &socket, settings);
            }
            let (service, instance) = (door.service, door.instance);
            let entrance = Entrance { service, instance };
            self.bound.push((door, Bound { entrance, socket }));
        }
        Ok(files)
    }

    /// Says where each listens.
    pub(super) fn say(&self, settings: &Settings) {
        for (door, Bound { socket, .. }) in &self.bound {
            let noun = door.service.noun();
            let whose = if settings.instances.len() > 1 {
                let instance = &settings.instances[door.instance];
                format!(" (instance {})", instance.name)
            } else {
                String::new()
            };
            match (&door.at, socket::local_addr(socket)) {
                (At::Unix(path), _) => {
                    tracing::info!("{noun} listens on {}{whose}", path.display());
                }
                (At::Inet(_), Ok(address)) => {
                    tracing::info!("{noun} listens on {address}{whose}");
                }
                (At::Inet(_), Err(error)) => {
                    tracing::warn!("{noun} listens, but where is not to be had: {error}");
                }
            }
        }
    }

    /// What each core gets, in their order.
    pub(super) fn dealt(self, cores: u16) -> (VecDeque<Vec<Bound>>, SocketFiles) {
        let mut dealt: VecDeque<Vec<Bound>> = (0..cores).map(|_| Vec::new()).collect();
        let mut datagrams = 0;
        for (_, bound) in self.bound {
            let mut core = 0;
            if bound.entrance.service == Service::Datagram {
                core = datagrams % dealt.len();
                datagrams += 1;
            }
            dealt[core].push(bound);
        }
        (dealt, self.files)
    }
}

/// Has silent connections probed, where carbon.conf says so.
fn probe(door: &Door, socket: &OwnedFd, settings: &Settings) {
    if let Some(how) = settings.keep_alive
        && door.service != Service::Datagram
        && let Err(error) = socket::keep_alive(socket, how)
    {
        let name = door.service.noun();
        tracing::warn!("silent connections of the {name} are not probed: {error}");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "no shard runs in this process yet"
)]
fn open_patiently(door: &Door, socket_mode: u32) -> io::Result<OwnedFd> {
    let begun = clock::now().instant;
    loop {
        let opened = open(door, socket_mode);
        let is_taken = matches!(&opened, Err(error) if error.kind() == io::ErrorKind::AddrInUse);
        if !is_taken || begun.elapsed() > LET_GO {
            return opened;
        }
        std::thread::sleep(LOOK);
    }
}

fn open(door: &Door, socket_mode: u32) -> io::Result<OwnedFd> {
    match (&door.at, door.service) {
        (At::Unix(path), _) => socket::listen_unix(path, socket_mode, LISTEN_BACKLOG),
        (At::Inet(_), Service::Datagram) => socket::bind_udp(inet(door), UDP_SOCKET_BUFFER_BYTES),
        (At::Inet(_), Service::Line | Service::Pickle | Service::Protobuf | Service::Query) => {
            socket::listen_tcp(inet(door), LISTEN_BACKLOG)
        }
    }
}

/// Whether it could be listened on now; nobody can connect to it meanwhile.
pub(crate) fn attempt(door: &Door) -> io::Result<()> {
    match (&door.at, door.service) {
        (At::Unix(path), _) => {
            socket::try_unix(path)?;
            mount::may_make_files(path.parent().unwrap_or(path))
        }
        (At::Inet(_), Service::Datagram) => socket::try_udp(inet(door)),
        (At::Inet(_), Service::Line | Service::Pickle | Service::Protobuf | Service::Query) => {
            socket::try_tcp(inet(door))
        }
    }
}

fn inet(door: &Door) -> Inet {
    let At::Inet(address) = door.at else {
        unreachable!("{door:?} has a path")
    };
    let is_only_v6 = door.is_only_v6;
    Inet {
        address,
        is_only_v6,
    }
}

/// The files of our Unix sockets, with what tells them from those that others put there since. They go
/// when this is dropped.
#[derive(Debug, Default)]
pub(super) struct SocketFiles(Vec<(PathBuf, (u64, u64))>);

impl SocketFiles {
    fn add(&mut self, path: PathBuf) {
        if let Some(identity) = identity(&path) {
            self.0.push((path, identity));
        }
    }
}

impl Drop for SocketFiles {
    fn drop(&mut self) {
        for (path, ours) in &self.0 {
            if identity(path) == Some(*ours)
                && let Err(error) = fs::remove_file(path)
            {
                tracing::warn!(
                    "the socket {} stays: {error}; the next start replaces it",
                    path.display()
                );
            }
        }
    }
}

/// Device and inode of a file.
fn identity(path: &PathBuf) -> Option<(u64, u64)> {
    let found = fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}
