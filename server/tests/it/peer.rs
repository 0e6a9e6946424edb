//! Another program beside the daemon, which listens, until it is dropped.

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::daemon::wait_for;

/// A program that runs; dropping it kills it.
pub(crate) struct Peer {
    pub(crate) child: Child,
    name: &'static str,
    at: SocketAddr,
    log: PathBuf,
    _root: tempfile::TempDir,
}

impl Peer {
    /// Starts it. It is to listen there; its files are in `root`, and so is what it says.
    pub(crate) fn start(
        name: &'static str,
        command: &mut Command,
        at: SocketAddr,
        root: tempfile::TempDir,
    ) -> Peer {
        let log = root.path().join("log");
        let to_log = std::fs::File::create(&log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(to_log.try_clone().unwrap())
            .stderr(to_log)
            .spawn()
            .unwrap();
        Peer {
            child,
            name,
            at,
            log,
            _root: root,
        }
    }

    /// What it has said.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it listens.
    pub(crate) fn connect(&mut self) -> TcpStream {
        wait_for(|| {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{} {ended:?}: {}", self.name, self.log());
            TcpStream::connect(self.at).ok()
        })
        .unwrap_or_else(|| panic!("{} never listened: {}", self.name, self.log()))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
