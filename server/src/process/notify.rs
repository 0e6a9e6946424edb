//! What the service manager is told: ready, reloading, stopping, and that we are alive, as
//! sd_notify(3) says. One datagram each to the socket that NOTIFY_SOCKET names; without that nothing
//! is said. It never waits: a manager that does not listen is passed over.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use benzene_engine::limits::STOP_EXTENDED_BY;
use benzene_engine::ring::host;

/// Looks up an environment variable.
type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The service manager's ear.
#[derive(Debug, Default)]
pub(crate) struct Notify {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How long the manager waits for a sign of life.
    watchdog: Option<Duration>,
}

impl Notify {
    /// Whom the environment names.
    pub(super) fn find(environment: Environment<'_>) -> Notify {
        let Some(name) = environment("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Notify::default();
        };
        match reach(&name) {
            Ok(socket) => Notify {
                socket: Some(socket),
                watchdog: watchdog(environment),
            },
            Err(error) => {
                tracing::warn!(
                    "NOTIFY_SOCKET = {name}: the service manager is told nothing: {error}"
                );
                Notify::default()
            }
        }
    }

    /// How often the manager wants a sign of life, at most; none where it wants none.
    pub(crate) fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Everything is served.
    pub(crate) fn ready(&self) {
        self.say(&format!(
            "READY=1\nMAINPID={}\nSTATUS=receiving and answering",
            std::process::id()
        ));
    }

    /// The files are read again, until `ready`.
    pub(crate) fn reloading(&self) {
        let now = host::monotonic_micros();
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={now}"));
    }

    /// The end has begun.
    pub(crate) fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=stopping");
    }

    /// The end takes its time, and comes nearer.
    pub(crate) fn still_stopping(&self, points: u64) {
        self.say(&format!(
            "EXTEND_TIMEOUT_USEC={}\nSTATUS=stopping, {points} points to write",
            STOP_EXTENDED_BY.as_micros()
        ));
    }

    /// A sign of life.
    pub(crate) fn alive(&self) {
        self.say("WATCHDOG=1");
    }

    fn say(&self, state: &str) {
        let Some((socket, manager)) = &self.socket else {
            return;
        };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), manager) {
            tracing::debug!("the service manager does not hear {state:?}: {error}");
        }
    }
}

fn reach(name: &str) -> io::Result<(UnixDatagram, SocketAddr)> {
    let manager = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, manager))
}

/// How long the manager waits; meant for us only where WATCHDOG_PID does not name another.
fn watchdog(environment: Environment<'_>) -> Option<Duration> {
    let micros: u64 = environment("WATCHDOG_USEC")?.trim().parse().ok()?;
    let is_ours = match environment("WATCHDOG_PID") {
        Some(process) => process.trim().parse() == Ok(std::process::id()),
        None => true,
    };
    (is_ours && micros > 0).then(|| Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notify(variables: &[(&str, &str)]) -> Notify {
        Notify::find(&|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 500];
        socket
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_socket_of_either_kind_of_name_hears_us() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        notify(&[("NOTIFY_SOCKET", path.to_str().unwrap())]).ready();
        let said = heard(&by_path);
        let pid = format!("MAINPID={}", std::process::id());
        assert!(
            said.starts_with("READY=1\n") && said.contains(&pid),
            "{said}"
        );
        let name = format!("benzene-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let hidden = UnixDatagram::bind_addr(&address).unwrap();
        let manager = notify(&[("NOTIFY_SOCKET", &format!("@{name}"))]);
        manager.reloading();
        assert!(heard(&hidden).starts_with("RELOADING=1\nMONOTONIC_USEC="));
        manager.still_stopping(7);
        assert!(heard(&hidden).contains("EXTEND_TIMEOUT_USEC=30000000"));
    }

    #[test]
    fn the_watchdog_is_ours_or_nobodys() {
        let socket = ("NOTIFY_SOCKET", "@benzene-nobody");
        let own = std::process::id().to_string();
        let half_a_minute = Some(Duration::from_secs(30));
        for (variables, want) in [
            (vec![socket], None),
            (vec![socket, ("WATCHDOG_USEC", "30000000")], half_a_minute),
            (
                vec![
                    socket,
                    ("WATCHDOG_USEC", "30000000"),
                    ("WATCHDOG_PID", &own),
                ],
                half_a_minute,
            ),
            (
                vec![socket, ("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", "1")],
                None,
            ),
            (vec![socket, ("WATCHDOG_USEC", "0")], None),
            (vec![("WATCHDOG_USEC", "30000000")], None),
        ] {
            let found = notify(&variables);
            assert_eq!(found.watchdog(), want, "{variables:?}");
            // Nobody listens, and nothing happens.
            found.alive();
        }
    }
}
